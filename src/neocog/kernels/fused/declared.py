"""Make operations of a user's functions of one number."""

from __future__ import annotations

import dis
import itertools
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

import numpy as np
from numba import njit

from neocog.errors import UnsupportedError
from neocog.kernels.fused.operation import OPERATIONS, OPTIONS, PLANES, SETTINGS, Operation
from neocog.kernels.fused.pointwise import pointwise, pointwise_back
from neocog.kernels.fused.program import Program
from neocog.kernels.fused.simd import library, view
from neocog.kernels.fused.workers import codes

__all__ = ["declared_operation", "read_outside"]

_SOURCE = """
def settings(p):
    floats = view(p.settings, {count}, 0.0)
    return ({floats})

def forward(x, like, {names}):
    return function(library, x, {arguments})

def back(x, dy, like, {names}):
    return dy * function(library, x, {arguments})
"""
"""Written out, as the number of arguments differs from function to function."""

_PROBES = np.array([-3.7, -2, -1, -0.6, -0.25, 0, 0.3, 0.5, 0.9, 1, 2, 4.4]).reshape(2, 2, 3)
"""Numbers on which a compiled function is compared with the plain one."""

_operations: dict[Any, str | UnsupportedError] = {}
_numbers = itertools.count()
_whole = njit(**OPTIONS, forceinline=True)
"""Compile a user's function, whatever it does, into the loop that calls it."""


def read_outside(function: Callable[..., Any]) -> Callable[[], tuple[Any, ...]]:
    """Return a function that reads what a function finds outside of itself.

    Those are its global and enclosed variables, which Numba takes for constants.

    Raises
    ------
    UnsupportedError
        If one is neither a number, a text, a function, NumPy nor ``math``: it might change unseen.
    """
    function = getattr(function, "py_func", function)  # of one compiled by Numba itself
    if not isinstance(getattr(function, "__code__", None), CodeType):
        return lambda: ()
    code, variables, cells = function.__code__, function.__globals__, function.__closure__ or ()
    readers = [
        (lambda name=name: variables.get(name)) for name in sorted(set(_globals(code))) if name in variables
    ]
    readers += [(lambda cell=cell: cell.cell_contents) for cell in cells]
    inner = []
    for reader in readers:
        value: Any = reader()
        if value is not np and value is not math and not callable(value) and not _is_constant(value):
            raise UnsupportedError(f"{function.__qualname__} reads {value!r}, which is no number")
        if hasattr(value, "py_func"):
            inner.append(read_outside(value))

    def read() -> tuple[Any, ...]:
        values = [reader() for reader in readers]
        # By identity where values might not be comparable.
        return *(v if _is_constant(v) else id(v) for v in values), *(each() for each in inner)

    return read if readers else lambda: ()


def _is_constant(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | np.generic)


def _globals(code: CodeType) -> Iterator[str]:
    """Yield the names of global variables that code reads, functions within it included."""
    for each in dis.get_instructions(code):
        if each.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield each.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _globals(constant)


def declared_operation(
    function: Callable[..., Any], settings: tuple[Any, ...], dtype: np.dtype[Any], backward: bool = False
) -> str:
    """Return the operation ``y = f(np, x, *settings)``; backward, ``dx = dy f(np, x, *settings)``.

    It is compiled once, and kept for the process, not on disk. Settings that are floats are read from the
    row's ``settings`` in their order; the others are constants.

    Raises
    ------
    UnsupportedError
        If Numba cannot compile it, or the compiled function gives other numbers.
    """
    constants = tuple(None if isinstance(value, float) else (type(value), value) for value in settings)
    key = function, constants, dtype, backward, read_outside(function)()
    if key not in _operations:
        _operations[key] = _compiled_operation(function, settings, dtype, backward)
    found = _operations[key]
    if isinstance(found, UnsupportedError):
        raise found
    return found


def _compiled_operation(
    function: Callable[..., Any], settings: tuple[Any, ...], dtype: np.dtype[Any], backward: bool
) -> str | UnsupportedError:
    count = sum(isinstance(value, float) for value in settings)
    names = [f"setting_{k}" for k in range(count)]
    left = iter(names)
    text = {
        "count": count,
        "floats": "".join(f"floats[{k}], " for k in range(count)),
        "names": ", ".join(names),
        "arguments": ", ".join(next(left) if isinstance(value, float) else repr(value) for value in settings),
    }
    namespace: dict[str, Any] = {"function": _whole(function), "library": library, "view": view}
    exec(_SOURCE.format_map(text), namespace)
    make, name = (pointwise_back, "back") if backward else (pointwise, "forward")
    body = make(namespace[name], _whole(namespace["settings"]), _whole)
    name = f"{function.__module__}.{function.__qualname__}.{next(_numbers)}"
    OPERATIONS[name] = Operation(body, "saved dy dx" if backward else "x y", SETTINGS, PLANES, on_disk=False)
    try:
        codes([name], dtype)
    except Exception as error:  # Numba raises errors of many classes; what it cannot compile runs in Python
        del OPERATIONS[name]
        reason = str(error).strip().splitlines() or [type(error).__name__]
        return UnsupportedError(f"Numba cannot compile {function.__qualname__}: {reason[-1]}")
    if not _gives_the_same(name, function, settings, dtype, backward):
        del OPERATIONS[name]
        return UnsupportedError(f"{function.__qualname__} gives other numbers for one number at a time")
    return name


@contextmanager
def _unraisable_unsaid() -> Iterator[None]:
    """Keep Python from printing an exception that compiled code cannot pass on."""
    before = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = before


def _gives_the_same(
    name: str, function: Callable[..., Any], settings: tuple[Any, ...], dtype: np.dtype[Any], backward: bool
) -> bool:
    """Return whether an operation gives on some numbers what its function gives on them as one array.

    It does not if the function sums over the array, or draws, or counts on an error: ``0**-1`` as such ends
    compiled code, without a word.
    """
    x = _PROBES.astype(dtype)
    y = np.full_like(x, np.nan)
    floats = np.array([value for value in settings if isinstance(value, float)])
    fields: dict[str, Any] = {"saved": x, "dy": np.ones_like(x), "dx": y} if backward else {"x": x, "y": y}
    fields |= {f"{name}_{part}": 0 for name in fields for part in ("plane", "row")}
    program = Program(dtype)
    program.add(name, 1, C=1, rows=1, lanes=x.size, settings=floats, **fields)
    program.finish()
    try:
        with np.errstate(all="ignore"):
            expected = np.asarray(function(np, x.copy(), *settings))
        with _unraisable_unsaid():
            program.run()
        if expected.shape not in ((x.shape, ()) if backward else (x.shape,)):
            return False
        tolerance = float(np.finfo(dtype).eps) ** 0.5
        return np.allclose(y, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
    except Exception:  # the function may raise anything
        return False
