"""Copy, clear, add, multiply and sum planes.

A unit of work is ``block`` planes (channels).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.kernels.fused.operation import PLANES, compiled, operation
from neocog.kernels.fused.simd import SQUARE, size_of, transpose, view

__all__ = ["add", "copy", "frame", "multiply", "plane_sum"]


@compiled
def _transpose(x: int, x_row: int, y: int, y_row: int, rows: int, columns: int, like: Any) -> None:
    """Copy ``y[r y_row + k] = x[k x_row + r]``: squares in registers, the last ones over those before."""
    size = size_of(like)
    for first_k in range(0, columns, SQUARE):
        k = min(first_k, columns - SQUARE)
        for first_r in range(0, rows, SQUARE):
            r = min(first_r, rows - SQUARE)
            transpose(x + (k * x_row + r) * size, x_row, y + (r * y_row + k) * size, y_row, like)


@operation(arrays="x y", integers="adding block n0 n1 n2 n3 x0 x1 x2 x3 y0 y1 y2 y3")
def copy(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Copy ``y[i] = x[i]``, or ``y[i] += x[i]`` if ``adding``, over four axes.

    Axis k is ``nk`` long; its strides are ``xk`` and ``yk``. A transposition of the last two axes, of which
    x has the one side by side and y the other, is made in registers.
    """
    like = zero[0]
    size = size_of(like)
    transposing = p.x2 == 1 and p.y3 == 1 and p.n2 >= SQUARE and p.n3 >= SQUARE and not p.adding
    transposing = transposing and p.x3 != 1
    for a in range(unit * p.block, min(p.n0, (unit + 1) * p.block)):
        for b in range(p.n1):
            if transposing:
                first_x, first_y = (a * p.x0 + b * p.x1) * size, (a * p.y0 + b * p.y1) * size
                _transpose(p.x + first_x, p.x3, p.y + first_y, p.y2, p.n2, p.n3, like)
            for c in range(0 if transposing else p.n2):
                x = view(p.x + (a * p.x0 + b * p.x1 + c * p.x2) * size, (p.n3 - 1) * p.x3 + 1, like)
                y = view(p.y + (a * p.y0 + b * p.y1 + c * p.y2) * size, (p.n3 - 1) * p.y3 + 1, like)
                if p.x3 == 1 and p.y3 == 1:
                    if p.adding:
                        for i in range(p.n3):
                            y[i] += x[i]
                    else:
                        for i in range(p.n3):
                            y[i] = x[i]
                elif p.x3 == 2 and p.y3 == 1 and not p.adding:
                    for i in range(p.n3):  # unsigned, never counted from the end: vectorised
                        y[i] = x[np.uint64(i) + np.uint64(i)]
                else:
                    for i in range(p.n3):
                        y[i * p.y3] = x[i * p.x3] + (y[i * p.y3] if p.adding else 0)


@operation(maps="y", integers=f"{PLANES} top left")
def frame(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Clear y but for the ``rows x lanes`` after ``top`` rows and ``left`` lanes of each plane."""
    like = zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        y = view(p.y + c * p.y_plane * size, p.y_plane, like)
        head = p.top * p.y_row
        y[:head] = 0
        y[head + p.rows * p.y_row :] = 0
        if p.y_row > p.lanes:
            for i in range(p.rows):
                start = head + i * p.y_row
                for n in range(p.left):
                    y[start + n] = 0
                for n in range(p.left + p.lanes, p.y_row):
                    y[start + n] = 0


@operation(maps="x y z", integers=PLANES, numbers="low high")
def add(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``z = min(max(x + y, low), high)``."""
    like = zero[0]
    size = size_of(like)
    low, high = like + p.low, like + p.high
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            z = view(p.z + (c * p.z_plane + i * p.z_row) * size, p.lanes, like)
            for n in range(p.lanes):
                v = x[n] + y[n]
                z[n] = low if v < low else high if v > high else v


@operation(maps="x y z", integers=PLANES)
def multiply(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``z = x y``."""
    like = zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            z = view(p.z + (c * p.z_plane + i * p.z_row) * size, p.lanes, like)
            for n in range(p.lanes):
                z[n] = x[n] * y[n]


@operation(maps="dy", arrays="d_bias", integers=PLANES)
def plane_sum(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``d_bias[c] = sum_{i,l} dy[c,i,l]``."""
    like = zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        total = 0.0
        for i in range(p.rows):
            dy = view(p.dy + (c * p.dy_plane + i * p.dy_row) * size, p.lanes, like)
            row = like * 0
            for n in range(p.lanes):
                row += dy[n]
            total += row
        view(p.d_bias + c * size, 1, like)[0] = total
