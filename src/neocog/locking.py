"""Lock files: one process at a time."""

from __future__ import annotations

import errno
import sys
from typing import Any

__all__ = ["lock"]

if sys.platform == "win32":
    import msvcrt

    def _take(file: Any) -> None:
        file.seek(2**30)  # a byte beyond the end: the file itself can be read and written
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(file: Any) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def lock(file: Any) -> bool:
    """Lock an open file until it is closed or the process ends; return False if another process holds it.

    Where the file system knows no locks, there is none, and the answer is True.
    """
    try:
        _take(file)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True
