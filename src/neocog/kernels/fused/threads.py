"""The one pool of threads. Between two programs its threads sleep; none of them spins."""

from __future__ import annotations

import os
import queue
import threading
import time
from typing import Any

import numpy as np

from neocog.kernels.fused.machine import run
from neocog.validation import integer

__all__ = ["get_threads", "run_program", "set_threads"]

_lock = threading.Lock()


def _available() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _default() -> int:
    value = os.environ.get("NEOCOG_NUM_THREADS")
    if not value:
        return _available()
    try:
        return integer("NEOCOG_NUM_THREADS", int(value))
    except ValueError:
        raise ValueError(f"NEOCOG_NUM_THREADS must be a number from 1, got {value!r}.") from None


class _Pool:
    """Threads that wait for programs; the caller is one more."""

    def __init__(self) -> None:
        self.size = 0
        self.process = os.getpid()
        self.tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask(self, helpers: int, task: Any) -> None:
        """Have up to ``helpers`` threads join in."""
        if self.size < helpers or self.process != os.getpid():
            with _lock:
                if self.process != os.getpid():  # threads do not survive a fork
                    self.__init__()  # type: ignore[misc]
                while self.size < helpers:
                    threading.Thread(target=self._work, name=f"neocog-{self.size + 1}", daemon=True).start()
                    self.size += 1
        for _ in range(helpers):
            self.tasks.put(task)

    def _work(self) -> None:
        while True:
            _join(*self.tasks.get())


_pool = _Pool()
_threads = 0


def set_threads(n: int) -> None:
    """Choose how many threads the compiled kernels use, this one included.

    The default is all cores, or the environment's ``NEOCOG_NUM_THREADS``. Results do not depend on it.

    Parameters
    ----------
    n : int, from 1

    Examples
    --------
    >>> set_threads(1)
    >>> get_threads()
    1
    """
    global _threads
    _threads = integer("n", n)


def get_threads() -> int:
    """Threads that the compiled kernels use."""
    global _threads
    if not _threads:
        _threads = _default()
    return _threads


def _join(program: np.ndarray, progress: np.ndarray, like: Any) -> None:
    """Work on a program until it is done."""
    at, end = 0, len(program)
    while (at := run(program, progress.ctypes.data, at, False, like)) < end:
        time.sleep(0)  # others hold an operation up: let them run


def run_program(program: np.ndarray, like: Any, parallel: bool) -> None:
    """Run a program to its end, with all threads if ``parallel``."""
    helpers = get_threads() - 1 if parallel else 0
    if not helpers:
        run(program, 0, 0, True, like)
        return
    progress = np.zeros(2 * len(program), np.int64)  # a new one, which a thread that comes too late finds used up
    _pool.ask(helpers, (program, progress, like))
    _join(program, progress, like)
