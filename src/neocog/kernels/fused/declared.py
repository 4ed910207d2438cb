"""Make operations of a user's functions of one number."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from neocog.errors import UnsupportedError
from neocog.kernels.fused.operation import OPERATIONS, PLANES, SETTINGS, Operation, compiled
from neocog.kernels.fused.simd import size_of, view
from neocog.kernels.fused.workers import codes

__all__ = ["declared_operation"]

_FORWARD = """
def operation(p, unit, scratch, zero):
    like = zero[0]
    size = size_of(like)
    settings = view(p.settings, {count}, np.float64(0))
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            for n in range(p.lanes):
                y[n] = function(np, x[n]{arguments})
"""
_BACKWARD = """
def operation(p, unit, scratch, zero):
    like = zero[0]
    size = size_of(like)
    settings = view(p.settings, {count}, np.float64(0))
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            x = view(p.saved + (c * p.saved_plane + i * p.saved_row) * size, p.lanes, like)
            dy = view(p.dy + (c * p.dy_plane + i * p.dy_row) * size, p.lanes, like)
            dx = view(p.dx + (c * p.dx_plane + i * p.dx_row) * size, p.lanes, like)
            for n in range(p.lanes):
                dx[n] = dy[n] * function(np, x[n]{arguments})
"""
"""Written out, as the number of arguments differs from function to function."""

_operations: dict[Any, str | UnsupportedError] = {}
_numbers = itertools.count()


def declared_operation(
    function: Callable[..., Any], settings: tuple[Any, ...], dtype: np.dtype[Any], backward: bool = False
) -> str:
    """Return the operation ``y = f(np, x, *settings)``; backward, ``dx = dy f(np, x, *settings)``.

    It is compiled once, and kept for the process, not on disk. Settings that are floats are read from the
    row's ``settings`` in their order; the others are constants.

    Raises
    ------
    UnsupportedError
        If Numba cannot compile it.
    """
    constants = tuple(None if isinstance(value, float) else (type(value), value) for value in settings)
    key = function, constants, dtype, backward
    if key not in _operations:
        _operations[key] = _compiled_operation(function, settings, dtype, backward)
    found = _operations[key]
    if isinstance(found, UnsupportedError):
        raise found
    return found


def _compiled_operation(
    function: Callable[..., Any], settings: tuple[Any, ...], dtype: np.dtype[Any], backward: bool
) -> str | UnsupportedError:
    floats = itertools.count()
    arguments = "".join(
        f", settings[{next(floats)}]" if isinstance(value, float) else f", {value!r}" for value in settings
    )
    namespace: dict[str, Any] = {
        "function": compiled(function),
        "np": np,
        "size_of": size_of,
        "view": view,
    }
    source, maps = (_BACKWARD, "saved dy dx") if backward else (_FORWARD, "x y")
    exec(source.format(count=next(floats), arguments=arguments), namespace)
    name = f"{function.__module__}.{function.__qualname__}.{next(_numbers)}"
    OPERATIONS[name] = Operation(namespace["operation"], maps, SETTINGS, PLANES, on_disk=False)
    try:
        codes([name], dtype)
    except Exception as error:  # Numba raises errors of many classes; what it cannot compile runs in Python
        del OPERATIONS[name]
        reason = str(error).strip().splitlines() or [type(error).__name__]
        return UnsupportedError(f"Numba cannot compile {function.__qualname__}: {reason[-1]}")
    return name
