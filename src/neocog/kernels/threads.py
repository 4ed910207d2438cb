"""Choose how many threads the compiled kernels use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar

from neocog.validation import integer

__all__ = ["get_threads", "set_threads", "use_threads"]

_threads = 0
_here: ContextVar[int] = ContextVar("neocog_threads", default=0)


def set_threads(n: int) -> None:
    """Choose how many threads the compiled kernels use, the caller's included.

    The default is all cores, or the environment's ``NEOCOG_NUM_THREADS``. Results do not depend on it.

    Parameters
    ----------
    n : int, from 1

    Raises
    ------
    ValueError, TypeError
        If ``n`` is anything else.

    Examples
    --------
    >>> before = get_threads()
    >>> set_threads(1)
    >>> get_threads()
    1
    >>> set_threads(before)
    """
    global _threads
    _threads = integer("n", n)


def get_threads() -> int:
    """Return how many threads the compiled kernels use."""
    global _threads
    if here := _here.get():
        return here
    if not _threads:
        _threads = _default()
    return _threads


@contextlib.contextmanager
def use_threads(n: int) -> Iterator[None]:
    """Choose how many threads the kernels use within a ``with`` block, and in this thread alone.

    Examples
    --------
    >>> before = get_threads()
    >>> with use_threads(3):
    ...     get_threads()
    3
    >>> get_threads() == before
    True
    """
    token = _here.set(integer("n", n))
    try:
        yield
    finally:
        _here.reset(token)


def _default() -> int:
    value = os.environ.get("NEOCOG_NUM_THREADS")
    if not value:
        affinity = getattr(os, "sched_getaffinity", None)  # not on every system
        return len(affinity(0)) if affinity else os.cpu_count() or 1
    if not value.isdecimal() or not int(value):
        raise ValueError(f"NEOCOG_NUM_THREADS must be a number from 1, got {value!r}.")
    return int(value)
