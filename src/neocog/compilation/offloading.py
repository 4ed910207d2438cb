"""Move arrays that the compiled code no longer reads out of memory, into a temporary file."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import tempfile
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from neocog.layers.base import Layer

__all__ = ["Offload"]

LARGE = 1 << 18
"""Bytes of an array that is worth the way to the file and back."""


class Offload:
    """A temporary file for arrays of a network, mapped into memory.

    An array in the file is one like any other, with the same bits, but read-only: the system reads it when
    somebody looks at it, and may forget it again. The file goes with the last of its arrays.

    Parameters
    ----------
    network : Layer
        Whose arrays may be moved.
    """

    def __init__(self, network: Layer) -> None:
        self._room = sum(_pages(array.nbytes) for array in network.params.values() if array.nbytes >= LARGE)
        self._end = 0
        self._file: Any = None
        self._mapping: mmap.mmap | None = None
        self._mapped = np.zeros(0, np.uint8)

    def move(self, arrays: dict[str, Any], needed: Callable[[Any], bool]) -> None:
        """Put copies in the file in the place of arrays, but for small ones and those that are ``needed``.

        They stay in memory, too, where the disk has no room for them.
        """
        self.forget()
        for name in arrays:
            array = arrays[name]
            moved = np.may_share_memory(array, self._mapped)
            if array.nbytes >= LARGE and not moved and not needed(array):
                with contextlib.suppress(OSError):
                    arrays[name] = self._write(array)
                    del array
                    _return_free_memory()

    def forget(self) -> None:
        """Take out of memory what has been read of the file; whoever looks again finds it."""
        if self._mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._mapping.madvise(mmap.MADV_DONTNEED)

    def _write(self, array: Any) -> Any:
        """Return the copy of an array in the file."""
        if self._file is None:
            file = tempfile.TemporaryFile()  # noqa: SIM115 - for more arrays later
            weakref.finalize(self, file.close)
            file.truncate(self._room)
            self._mapping = mmap.mmap(file.fileno(), self._room, access=mmap.ACCESS_READ)
            self._file, self._mapped = file, np.frombuffer(self._mapping, np.uint8)
        self._file.seek(self._end)
        self._file.write(array)
        self._file.flush()
        there = self._mapped[self._end : self._end + array.nbytes]
        self._end += _pages(array.nbytes)
        return there.view(array.dtype).reshape(array.shape)


def _pages(size: int) -> int:
    """Return whole pages."""
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def _return_free_memory() -> None:
    """Return to the system what is free between other allocations: the C library of Linux has to be told."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another library
        ctypes.CDLL(None).malloc_trim(0)
