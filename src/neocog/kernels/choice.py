"""Choose the backend that computes, and its precision."""

from __future__ import annotations

import functools
import platform
import sys
from contextvars import ContextVar, Token
from types import TracebackType

from neocog.validation import one_of

__all__ = [
    "BACKENDS",
    "PRECISIONS",
    "active_kernels",
    "active_precision",
    "kernels_for",
    "missing_numba",
    "use_kernels",
]

BACKENDS: dict[str, str] = {
    "auto": "neocog.kernels.columns",
    "reference": "neocog.kernels.reference",
    "im2col": "neocog.kernels.columns",
    "fused": "neocog.kernels.fused",
}
"""The module of each backend, imported when it is first used."""
PRECISIONS = ("fast", "exact")


@functools.cache
def missing_numba() -> str:
    """Return why there are no ``fused`` kernels, which Numba compiles, and what to do; empty if there are."""
    try:
        import numba  # noqa: F401
    except ModuleNotFoundError as error:
        reason = f"importing it fails: {error}"
        if error.name == "numba":
            python = f"{platform.python_implementation()} {platform.python_version()} on {sys.platform}"
            reason = f"it is not installed for this {python}"
    except Exception as error:  # a build for another NumPy, a library that is not found
        reason = f"importing it fails: {type(error).__name__}: {error}"
    else:
        return ""
    return (
        f"the kernels 'fused' need Numba, and {reason}. Install a working one ('pip install numba') where "
        "there is a build for your Python, or use the kernels 'auto' or 'im2col', which compute the same."
    )


_choice: ContextVar[tuple[str, str]] = ContextVar("neocog_kernels", default=("auto", "fast"))


class use_kernels:  # noqa: N801 - used as a function
    """Choose the kernel backend, for good or for a ``with`` block.

    The choice belongs to the current thread (a :class:`contextvars.ContextVar`): another thread neither
    sees nor disturbs it, and starts with ``"auto"``.

    Parameters
    ----------
    name : {"auto", "reference", "im2col", "fused"}
        The backend.
    precision : {"fast", "exact"}, optional
        Whether ``fused`` may convolve float32 maps of 32 channels and more by Winograd's method: fewer
        multiplications, and an error of up to 3e-5 of the largest output where the direct sum, made of short
        ones, has 1e-6 (chapter 11 of the book has the errors measured, and the tests that bound them).
        Default: unchanged; initially ``"fast"``. float64 is always exact.

    Raises
    ------
    ValueError
        If there is no backend, or no precision, of that name.
    ImportError
        If ``"fused"`` is chosen and Numba cannot be imported.

    Examples
    --------
    >>> with use_kernels("reference"):
    ...     active_kernels()
    'reference'
    >>> active_kernels()
    'auto'
    """

    def __init__(self, name: str, precision: str | None = None) -> None:
        one_of("kernels", name, BACKENDS)
        if name == "fused" and (reason := missing_numba()):
            raise ImportError(reason, name="numba")
        self._chosen = name, one_of("precision", precision, PRECISIONS) if precision else active_precision()
        self._token: Token[tuple[str, str]] | None = _choice.set(self._chosen)

    def __enter__(self) -> use_kernels:
        if self._token is None:  # entered once more
            self._token = _choice.set(self._chosen)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _choice.reset(self._token)
            self._token = None


def active_kernels() -> str:
    """Name the backend in use in this thread."""
    return _choice.get()[0]


def active_precision() -> str:
    """Name the precision in use in this thread: ``"fast"`` or ``"exact"``."""
    return _choice.get()[1]


COMPILE_SECONDS = 3.0
"""Estimated seconds of a job by ``im2col`` from which compiling kernels for it pays.

Compiling takes about two seconds; the job then takes a tenth to a third of the time."""


def kernels_for(seconds: float) -> str:
    """Name the backend for a job that ``im2col`` would compute in about this many seconds.

    The one that is in use, unless that is ``auto``: then ``fused`` where compiling it would pay and Numba can
    be imported, else ``im2col``. The seconds are an estimate from the work, never a measurement, so that a
    job gives the same result however fast the machine is today.
    """
    name = active_kernels()
    if name != "auto":
        return name
    return "fused" if seconds > COMPILE_SECONDS and not missing_numba() else "im2col"
