"""Make operations of functions of one number: the loops around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from neocog.kernels.fused.lean import lean
from neocog.kernels.fused.operation import OPTIONS, Body
from neocog.kernels.fused.simd import size_of, view

__all__ = ["Settings", "inlined", "nothing", "pointwise", "pointwise_back"]

Settings: TypeAlias = Callable[[Any], tuple[Any, ...]]
"""Reads what a function needs besides the number from the fields of a row."""

inlined = lean(**OPTIONS, forceinline=True)
"""Compile a function into the loop that calls it, so that the loop becomes vector instructions."""


def _named(body: Body, function: Callable[..., Any]) -> Body:
    for name in ("__name__", "__qualname__", "__doc__"):
        setattr(body, name, getattr(function, name))
    return body


@inlined
def nothing(p: Any) -> tuple[()]:
    """Read no settings."""
    return ()


def pointwise(function: Callable[..., Any], settings: Settings = nothing, into: Any = inlined) -> Body:
    """Return the operation ``y = function(x, like, *settings(p))`` on planes.

    A unit of work is ``block`` planes. The settings are read once, not for every number. ``into`` compiles
    the function into the loop.
    """
    of_number = into(function)

    def body(p: Any, unit: int, scratch: int, zero: Any) -> None:
        like = zero[0]
        size = size_of(like)
        fixed = settings(p)
        for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
            for i in range(p.rows):
                x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
                y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
                for n in range(p.lanes):
                    y[n] = of_number(x[n], like, *fixed)

    return _named(body, function)


def pointwise_back(function: Callable[..., Any], settings: Settings = nothing, into: Any = inlined) -> Body:
    """Return the operation ``dx = function(saved, dy, like, *settings(p))``: what is saved is x or y."""
    of_number = into(function)

    def body(p: Any, unit: int, scratch: int, zero: Any) -> None:
        like = zero[0]
        size = size_of(like)
        fixed = settings(p)
        for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
            for i in range(p.rows):
                saved = view(p.saved + (c * p.saved_plane + i * p.saved_row) * size, p.lanes, like)
                dy = view(p.dy + (c * p.dy_plane + i * p.dy_row) * size, p.lanes, like)
                dx = view(p.dx + (c * p.dx_plane + i * p.dx_row) * size, p.lanes, like)
                for n in range(p.lanes):
                    dx[n] = of_number(saved[n], dy[n], like, *fixed)

    return _named(body, function)
