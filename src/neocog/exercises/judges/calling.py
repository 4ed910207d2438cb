"""Call a reader's function as its exercise says, and put what goes wrong into words."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import inspect
import io
import linecache
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np

SECONDS = 10.0
"""How long one call of a reader's function may take."""


class Fault(Exception):  # noqa: N818 - it is the reader's, and ends in no traceback
    """What is wrong with a reader's function, in words."""


class OutOfTime(BaseException):
    """Raised inside a reader's function that does not end."""


@dataclass(frozen=True)
class Signature:
    """How a function is called, and what it returns.

    Attributes
    ----------
    arguments : tuple of str
        Their names.
    results : tuple of str
        Their names.
    axes : tuple of str
        The indices of each result, as letters; "..." of a list, which may be a tuple.
    """

    arguments: tuple[str, ...]
    results: tuple[str, ...]
    axes: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Signature:
        """Read one such as ``"dense_backward(dy, x, w) -> dx[ni], dw[ik], db[k]"``.

        Examples
        --------
        >>> Signature.parse("relu_backward(dy, x) -> dx[nc]")
        Signature(arguments=('dy', 'x'), results=('dx',), axes=('nc',))
        """
        before, _, after = text.partition(" -> ")
        arguments = before.partition("(")[2].removesuffix(")").split(", ")
        results = [part.removesuffix("]").partition("[") for part in after.split(", ")]
        return cls(tuple(arguments), tuple(name for name, _, _ in results), tuple(a for _, _, a in results))


class _Tee(io.TextIOBase):
    """Pass on what a reader's function prints, and remember that it did."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.used = False

    def write(self, text: str) -> int:
        self.used = True
        return self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()


def call(program: Callable[..., Any], signature: Signature, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Call a reader's function with copies of the arguments and return its results.

    Raises
    ------
    Fault
        If it takes other arguments, raises, does not end, changes an input, or does not return as many
        results as it should.
    """
    _check_arguments(program, signature, arguments)
    given = tuple(a if callable(a) else copy.deepcopy(a) for a in arguments)
    output = _Tee(sys.stdout)
    try:
        with time_limit(SECONDS), np.errstate(all="ignore"), contextlib.redirect_stdout(output):
            returned = program(*given)
    except OutOfTime as problem:
        place = _place(program, problem, " it was then")
        raise Fault(
            f"it has not ended after {SECONDS:g} seconds: is there a loop without an end?{place}"
        ) from None
    except Exception as problem:
        place = _place(program, problem, "")
        message = str(problem).rstrip(". ")
        raise Fault(f"it raises {type(problem).__name__}: {message}.{place}") from problem
    for name, before, now in zip(signature.arguments, arguments, given, strict=False):
        if isinstance(before, np.ndarray) and not _identical(before, now):
            raise Fault(f"it changes its input {name}: compute into a new array")
    return _results(returned, signature, output.used)


def _check_arguments(program: Callable[..., Any], signature: Signature, arguments: tuple[Any, ...]) -> None:
    try:
        found = inspect.signature(program)
    except (TypeError, ValueError):  # a builtin may have none
        return
    try:
        found.bind(*arguments)
    except TypeError:
        names = ", ".join(signature.arguments[: len(arguments)])
        raise Fault(f"it must take {len(arguments)} arguments, ({names}), but takes {found}") from None


def _identical(before: np.ndarray, now: np.ndarray) -> bool:
    if before.shape != now.shape or before.dtype != now.dtype:
        return False
    return np.array_equal(before, now, equal_nan=before.dtype.kind in "fc")


def _results(returned: Any, signature: Signature, printed: bool) -> tuple[Any, ...]:
    names = ", ".join(signature.results)
    if returned is None:
        if printed:
            raise Fault(f"it prints its result, but returns None: end it with `return {names}`")
        raise Fault(f"it returns None: end it with `return {names}`")
    if signature.axes == ("...",):
        return (returned,)
    if len(signature.results) == 1:
        alone = isinstance(returned, tuple) and len(returned) == 1
        if isinstance(returned, tuple) and not alone:
            raise Fault(f"it returns {len(returned)} results instead of 1: {names}")
        return returned if alone else (returned,)
    parts = tuple(returned) if isinstance(returned, tuple | list) else (returned,)
    if len(parts) != len(signature.results):
        noun = "result" if len(parts) == 1 else "results"
        raise Fault(f"it returns {len(parts)} {noun} instead of {len(signature.results)}: {names}")
    return parts


def _place(program: Callable[..., Any], problem: BaseException, before: str) -> str:
    """Say in which line of the reader's own code an exception was raised; "" if that is unknown."""
    code = getattr(inspect.unwrap(program), "__code__", None)
    if code is None:
        return ""
    lines = [
        number
        for frame, number in traceback.walk_tb(problem.__traceback__)
        if frame.f_code.co_filename == code.co_filename
    ]
    if not lines:
        return ""
    text = linecache.getline(code.co_filename, lines[-1]).strip()
    shown = f": `{text}`" if text else ""
    return (
        f"{before} in line {lines[-1]} of your code{shown}"
        if before
        else f" See line {lines[-1]} of your code{shown}"
    )


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in the code inside, at its next line of Python, when so many seconds have passed.

    Where there are no threads, as in a browser, there is no limit.
    """
    set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
    thread = ctypes.c_ulong(threading.get_ident())
    timer = threading.Timer(seconds, set_exception, (thread, ctypes.py_object(OutOfTime)))
    timer.daemon = True
    try:
        timer.start()
    except RuntimeError:
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OutOfTime):  # it came when the code had just ended
            timer.cancel()
            timer.join()
            set_exception(thread, None)  # one that is still on its way
