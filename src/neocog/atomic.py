"""Write files either completely or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def atomic_write(
    path: str | os.PathLike[str],
    content: bytes | str | Callable[[BinaryIO], None],
    check: Callable[[Path], None] | None = None,
) -> None:
    """Write a temporary file and move it to ``path``; on any error the old file stays as it was.

    Parameters
    ----------
    path : path
        Its folder must exist. A link is followed, not replaced.
    content : bytes, str, or function (file)
        A function writes it into the file, which is open: piece by piece where it is large.
    check : function (path), optional
        Reads the new file and raises if it is wrong, before it replaces the old one.

    Raises
    ------
    OSError
        If the disk is full or read-only, or the folder does not exist.
    """
    path = Path(os.path.realpath(path))
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} into.")
    beside = path.parent / f".{uuid.uuid4().hex}.part"  # unique for each writer, also for two threads
    try:
        with open(beside, "xb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        if check is not None:
            check(beside)
        os.replace(beside, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(beside)):
            raise OSError(error.errno, error.strerror, str(path)) from error  # of the right class, by errno
        raise


def remove_parts(folder: Path) -> None:
    """Remove what writers that were killed have left in a folder, in which nobody writes now."""
    for part in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            part.unlink()
