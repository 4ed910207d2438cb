"""Compute with an operand that is repeated along axes, and the adjoint: sum along these axes.

The strides of the repeated operand are elements from a plane, a row, a pixel and an image to the next; 0
along an axis that it lacks. A unit of work is ``block`` planes (channels).
"""

from __future__ import annotations

from typing import Any

from neocog.kernels.fused.operation import PLANES, operation
from neocog.kernels.fused.simd import size_of, view

__all__ = ["ADD", "DIVIDE", "MAXIMUM", "MINIMUM", "MULTIPLY", "TIES", "combine", "gather"]

MULTIPLY, ADD, MAXIMUM, MINIMUM, DIVIDE, TIES = range(6)


@operation(maps="x y z", integers=f"{PLANES} N kind y_pixel y_image")
def combine(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``z = x y``, with y repeated along the axes that it lacks; or what ``kind`` says.

    TIES are 1 where neither number is the larger one, else 0.
    """
    like = zero[0]
    size = size_of(like)
    tiled = p.y_pixel != p.N or p.y_image != 1
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            place = p.y + (c * p.y_plane + i * p.y_row) * size
            y = view(scratch if tiled else place, p.lanes, like)
            if tiled and (i == 0 or p.y_row):
                own = view(place, (p.lanes // p.N - 1) * p.y_pixel + (p.N - 1) * p.y_image + 1, like)
                for j in range(p.lanes // p.N):
                    for n in range(p.N):
                        y[j * p.N + n] = own[j * p.y_pixel + n * p.y_image]
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            z = view(p.z + (c * p.z_plane + i * p.z_row) * size, p.lanes, like)
            if p.kind == MULTIPLY:
                for n in range(p.lanes):
                    z[n] = x[n] * y[n]
            elif p.kind == ADD:
                for n in range(p.lanes):
                    z[n] = x[n] + y[n]
            elif p.kind == MAXIMUM:
                for n in range(p.lanes):
                    z[n] = x[n] if x[n] > y[n] or x[n] != x[n] else y[n]
            elif p.kind == MINIMUM:
                for n in range(p.lanes):
                    z[n] = x[n] if x[n] < y[n] or x[n] != x[n] else y[n]
            elif p.kind == DIVIDE:
                for n in range(p.lanes):
                    z[n] = x[n] / y[n]
            else:
                for n in range(p.lanes):
                    z[n] = like if x[n] < y[n] or x[n] > y[n] else like + 1


@operation(maps="x other y", integers=f"{PLANES} N y_pixel y_image", numbers="gain")
def gather(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``y = gain sum x``, or ``gain sum x other``, over the axes along which y is repeated.

    Planes are not summed: each has its own part of y.
    """
    like = zero[0]
    size = size_of(like)
    row = view(scratch, p.lanes, like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            first = i == 0 or p.y_row != 0
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            if p.other:
                other = view(p.other + (c * p.other_plane + i * p.other_row) * size, p.lanes, like)
                if first:
                    for n in range(p.lanes):
                        row[n] = x[n] * other[n]
                else:
                    for n in range(p.lanes):
                        row[n] += x[n] * other[n]
            elif first:
                for n in range(p.lanes):
                    row[n] = x[n]
            else:
                for n in range(p.lanes):
                    row[n] += x[n]
            if i + 1 < p.rows and p.y_row == 0:
                continue
            W = p.lanes // p.N
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, max(p.lanes, (W - 1) * p.y_pixel + 1), like)
            if p.y_pixel == 0 and p.y_image == 0:
                total = like * 0
                for n in range(p.lanes):
                    total += row[n]
                y[0] = p.gain * total
            elif p.y_pixel == 0:
                for j in range(1, W):
                    for n in range(p.N):
                        row[n] += row[j * p.N + n]
                for n in range(p.N):
                    y[n] = p.gain * row[n]
            elif p.y_image == 0:
                for j in range(W):
                    total = like * 0
                    for n in range(p.N):
                        total += row[j * p.N + n]
                    y[j * p.y_pixel] = p.gain * total
            else:
                for n in range(p.lanes):
                    y[n] = p.gain * row[n]
