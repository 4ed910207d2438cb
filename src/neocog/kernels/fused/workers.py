"""Run programs on one pool of threads, and compile what they run.

Between two programs the threads sleep instead of spinning.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba.core.compiler_lock import global_compiler_lock

from neocog.kernels.fused.machine import COUNTERS, code, run
from neocog.kernels.threads import get_threads
from neocog.representation import say

__all__ = ["ALIGNMENT", "Task", "codes", "run_program", "side_by_side"]

_ready: set[Any] = set()
_PATIENCE = 1.0
"""Seconds of compiling after which a message says so."""
ALIGNMENT = 64
"""Bytes: buffers begin at a multiple of a cache line, which is also the widest vector register."""


class _Pool:
    """Threads that wait for tasks; the caller is one more."""

    def __init__(self) -> None:
        self.size = 0
        self.lock = threading.Lock()
        self.tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def start(self, *tasks: Callable[[], None]) -> None:
        """Let threads, as many as the system allows, call these functions."""
        helpers = len(tasks)
        if self.size < helpers:
            # The system may allow no more threads: go on with fewer.
            with self.lock, contextlib.suppress(RuntimeError):
                while self.size < helpers:
                    name = f"neocog-{self.size + 1}"
                    threading.Thread(target=self._work, name=name, daemon=True).start()
                    self.size += 1
        for task in tasks[: self.size]:
            self.tasks.put(task)

    def _work(self) -> None:
        while True:
            self.tasks.get()()


_pool = _Pool()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=global_compiler_lock.acquire,  # a fork waits until no other thread compiles
        after_in_parent=global_compiler_lock.release,
        after_in_child=lambda: (global_compiler_lock.release(), _pool.__init__()),  # its threads are gone
    )


_local = threading.local()


def _scratch(bytes_needed: int) -> int:
    """Return the address of memory that only this thread uses, and keeps."""
    if bytes_needed > getattr(_local, "bytes", -1):
        _local.memory = None
        _local.memory = np.empty(bytes_needed + ALIGNMENT, np.uint8)
        start = _local.memory.ctypes.data
        _local.start, _local.bytes = start + -start % ALIGNMENT, bytes_needed
    address: int = _local.start
    return address


class Task(NamedTuple):
    """A program to run: addresses, and what keeps them alive."""

    table: int
    length: int
    scratch: int  # bytes that each thread needs of its own
    zero: int
    held: Any


def _join(task: Task, progress: np.ndarray, last_first: bool = False) -> None:
    """Work on a program until it is done."""
    at, counters = 0, progress.ctypes.data
    scratch = _scratch(task.scratch)
    while (
        at := run(task.table, task.length, counters, at, False, last_first, scratch, task.zero)
    ) < task.length:
        time.sleep(0)  # other threads still compute an operation: let them run


def run_program(task: Task, parallel: bool) -> None:
    """Run a program to its end, with all threads if ``parallel``."""
    helpers = get_threads() - 1 if parallel else 0
    if not helpers:
        run(task.table, task.length, 0, 0, True, False, _scratch(task.scratch), task.zero)
        return
    # New counters for every run: a thread that arrives late finds all units of its run taken.
    progress = np.zeros(COUNTERS * task.length, np.int64)
    _scratch(task.scratch)
    _pool.start(*(functools.partial(_join, task, progress, k % 2 == 0) for k in range(helpers)))
    try:
        _join(task, progress)
    except BaseException:  # KeyboardInterrupt: the others still work on these arrays
        _join(task, progress)
        raise


def side_by_side(functions: Sequence[Callable[[], None]]) -> None:
    """Call functions in as many threads; return when all have ended, and raise what one has raised."""
    pending, ended = list(functions), queue.SimpleQueue[BaseException | None]()

    def work() -> None:
        while pending:
            try:
                function = pending.pop()
            except IndexError:  # another thread was quicker
                return
            try:
                function()
                ended.put(None)
            except BaseException as error:
                ended.put(error)

    _pool.start(*[work] * (len(functions) - 1))
    errors: list[BaseException | None] = []
    while len(errors) < len(functions):
        try:
            work()
            errors.append(ended.get())
        except KeyboardInterrupt as error:  # the others still work on these arrays
            functions, errors = [*functions, work], [*errors, error]
    for each in errors:
        if each is not None:
            raise each


class _Compiling:
    """Print to stderr that kernels are being compiled, and for how long, if it takes more than a moment.

    Python's garbage collector rests meanwhile: it would take a tenth of the time, and find little.
    """

    def __enter__(self) -> None:
        self.collects = gc.isenabled()
        gc.disable()
        self.began = time.perf_counter()
        self.timer = threading.Timer(_PATIENCE, self._say)
        self.timer.daemon = True
        self.timer.start()

    def _say(self) -> None:
        say(sys.stderr, "compiling kernels, once ...", end="")

    def __exit__(self, *error: object) -> None:
        self.timer.cancel()
        if self.collects:
            gc.enable()
        seconds = time.perf_counter() - self.began
        if seconds > _PATIENCE:
            say(sys.stderr, f" {seconds:.0f} s")


def codes(names: Iterable[str], dtype: np.dtype[Any]) -> dict[str, int]:
    """Compile these operations or load them from disk; return the number of each in a program."""
    with _Compiling() if (dtype, *names) not in _ready else contextlib.nullcontext():
        found = {name: code(name, dtype) for name in names}
    _ready.add((dtype, *names))
    return found
