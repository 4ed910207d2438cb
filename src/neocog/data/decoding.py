"""Decode many pictures: on all threads, some batches ahead of their use, and once.

Decoded pictures are kept in memory, in bytes where they are bytes, up to the budget "cached"
(:mod:`neocog.budgets`): those that come first stay. A file that is changed (its size or time) is decoded
again. Nothing is written to disk, and nothing is kept longer than the :class:`~neocog.data.LazyImages` that
the pictures belong to.
"""

from __future__ import annotations

import functools
import math
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from neocog.budgets import limit
from neocog.data.pictures import decode, problem_of
from neocog.data.preprocessing import Preprocessing
from neocog.forking import renew_after_fork
from neocog.kernels import get_threads

__all__ = ["Decoder"]

AHEAD = 2
"""Batches that are decoded while one is in use."""
_TOGETHER = 4
"""Pictures of a task: few, so that all threads end a batch at about the same time."""
_Stamp: TypeAlias = tuple[int, int]
"""Size and time of a file."""


class _Ledger:
    """Count the bytes that all decoders keep."""

    def __init__(self) -> None:
        self.bytes = 0
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Make a new lock."""
        self.lock = threading.RLock()  # collecting garbage may give bytes back while they are taken

    def take(self, count: int) -> bool:
        """Count bytes, and return true, if they are within the budget."""
        with self.lock:
            fits = self.bytes + count <= limit("cached")
            self.bytes += count if fits else 0
        return fits

    def give_back(self, counted: list[int]) -> None:
        """Count the bytes of a list no longer."""
        with self.lock:
            self.bytes -= sum(counted)


_ledger = _Ledger()


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="neocog-decode")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # where its threads do not exist


class Decoder:
    """Decode the pictures of a data set, each once as long as memory allows.

    Copies, such as those in other processes, begin empty.

    Parameters
    ----------
    preprocessing : Preprocessing
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing
        self._kept: dict[Path, tuple[_Stamp, np.ndarray]] = {}
        self._counted: list[int] = []
        weakref.finalize(self, _ledger.give_back, self._counted).atexit = False

    def __reduce__(self) -> Any:
        return Decoder, (self.preprocessing,)

    def batches(
        self, batches: Iterable[Sequence[Path]], invert: bool = False, ahead: int = AHEAD
    ) -> Iterator[np.ndarray]:
        """Yield the images of each batch of paths, float32 (N, C, H, W), and decode the next ones meanwhile.

        As many threads decode as the kernels use (:func:`neocog.kernels.get_threads`); with one, each batch
        is decoded when it is asked for. An error is raised by the batch that the file belongs to.
        """
        threads = get_threads()
        if threads == 1:
            for paths in batches:
                images = self._room(paths)
                self._fill(images, paths, invert)
                yield images
            return
        waiting: deque[tuple[np.ndarray, list[Future[None]]]] = deque()
        try:
            for paths in batches:
                waiting.append(self._submit(paths, invert, _pool(threads)))
                if len(waiting) > ahead:
                    yield _wait(waiting)
            while waiting:
                yield _wait(waiting)
        finally:  # an error, Ctrl-C, or nobody wants more
            for _, tasks in waiting:
                for task in tasks:
                    task.cancel()

    def problems(self, paths: Sequence[Path]) -> list[tuple[Path, str]]:
        """Decode every picture; return the files that cannot be decoded, each with the reason."""

        def problem(path: Path) -> str:
            try:
                self._pixels(path)
            except (OSError, ValueError) as error:
                return problem_of(path, error)
            return ""

        found = _pool(get_threads()).map(problem, paths)
        return [(path, reason) for path, reason in zip(paths, found, strict=True) if reason]

    def remark(self, count: int) -> str:
        """Return a sentence on what is not kept of so many pictures of 8 bits; empty if all are."""
        asked, allowed = count * math.prod(self.preprocessing.image_shape), limit("cached")
        if asked <= allowed:
            return ""
        return (
            f"Decoded, the pictures take {asked / 2**20:,.0f} MiB, more than the {allowed / 2**20:,.0f} MiB "
            "that are kept in memory (NEOCOG_BUDGET_CACHED): the rest is decoded in every epoch."
        )

    def _room(self, paths: Sequence[Path]) -> np.ndarray:
        return np.empty((len(paths), *self.preprocessing.image_shape), np.float32)

    def _submit(
        self, paths: Sequence[Path], invert: bool, pool: ThreadPoolExecutor
    ) -> tuple[np.ndarray, list[Future[None]]]:
        images = self._room(paths)
        parts = [slice(start, start + _TOGETHER) for start in range(0, len(paths), _TOGETHER)]
        return images, [pool.submit(self._fill, images[some], paths[some], invert) for some in parts]

    def _fill(self, images: np.ndarray, paths: Sequence[Path], invert: bool) -> None:
        """Write the pictures of some files into an array."""
        for image, path in zip(images, paths, strict=True):
            pixels = self._pixels(path)
            if pixels.dtype == np.uint8:
                np.divide(pixels, np.float32(255), out=image)
            else:
                image[...] = pixels
            if invert:
                np.subtract(1, image, out=image)

    def _pixels(self, path: Path) -> np.ndarray:
        """Return a picture as it is kept, or decode it."""
        stamp = _stamp(path)
        known, kept = self._kept.get(path, (None, None))
        if kept is not None and known == stamp:
            return kept
        pixels = np.ascontiguousarray(decode(path, self.preprocessing))
        if stamp is None:
            return pixels
        if kept is not None and kept.nbytes == pixels.nbytes:  # of a file that has changed
            self._kept[path] = stamp, pixels
        elif _ledger.take(pixels.nbytes):
            self._counted.append(pixels.nbytes)
            self._kept[path] = stamp, pixels
        return pixels


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:  # decoding says what is wrong
        return None
    return status.st_size, status.st_mtime_ns


def _wait(waiting: deque[tuple[np.ndarray, list[Future[None]]]]) -> np.ndarray:
    """Wait for the first batch, and take it from the queue once it is whole."""
    images, tasks = waiting[0]
    for task in tasks:
        task.result()
    waiting.popleft()
    return images
