"""Read images between their pixels.

A unit of work is ``block`` images. The images lie in memory as (N, C, H, W).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.kernels.fused.operation import operation
from neocog.kernels.fused.simd import size_of, view

__all__ = ["affine", "scratch_bytes"]


def scratch_bytes(C: int, H: int, W: int, size: int) -> int:
    """Return the bytes that a thread needs for :func:`affine`: a row's places and weights, and an image."""
    return 8 * W + 2 * W * size + C * (H + 2) * (W + 2) * size


@operation(arrays="x y matrix", integers="block n0 n1 n2 n3 edge", numbers="fill", exact=True)
def affine(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``y[n, c, i, j]``: x[n, c] at ``matrix[n] (i - (H - 1) / 2, j - (W - 1) / 2, 1)``.

    Around the image lies the border pixel of each row and column if ``edge``, else ``fill``. The images are
    n0 x n1 x n2 x n3, the matrices are float64.
    """
    like = zero[0]
    size = size_of(like)
    C, H, W = p.n1, p.n2, p.n3
    width = W + 2
    area = (H + 2) * width
    place = view(scratch, W, np.int64(0))
    right = view(scratch + 8 * W, W, like)
    down = view(scratch + (8 + size) * W, W, like)
    maps = scratch + (8 + 2 * size) * W
    for n in range(unit * p.block, min(p.n0, (unit + 1) * p.block)):
        for c in range(C):
            for i in range(H + 2):
                r = min(max(i - 1, 0), H - 1)
                x = view(p.x + ((n * C + c) * H + r) * W * size, W, like)
                line = view(maps + (c * area + i * width) * size, width, like)
                if p.edge or 0 < i <= H:
                    for j in range(W):
                        line[j + 1] = x[j]
                    line[0] = x[0] if p.edge else p.fill
                    line[W + 1] = x[W - 1] if p.edge else p.fill
                else:
                    for j in range(width):
                        line[j] = p.fill
        m = view(p.matrix + n * 48, 6, 0.0)
        for i in range(H):
            y_middle = i - (H - 1) / 2
            first_row, first_column = m[0] * y_middle + m[2], m[3] * y_middle + m[5]
            for j in range(W):
                x_middle = j - (W - 1) / 2
                row, column = first_row + m[1] * x_middle + 1, first_column + m[4] * x_middle + 1
                row, column = row if row > 0 else 0.0, column if column > 0 else 0.0
                row, column = row if row < H + 1 else H + 1.0, column if column < W + 1 else W + 1.0
                top, left = min(int(row), H), min(int(column), W)
                place[j] = top * width + left
                down[j], right[j] = row - top, column - left
            for c in range(C):
                pixels = view(maps + c * area * size, area, like)
                y = view(p.y + ((n * C + c) * H + i) * W * size, W, like)
                for j in range(W):
                    k = place[j]
                    upper, lower = pixels[k], pixels[k + width]
                    upper += right[j] * (pixels[k + 1] - upper)
                    lower += right[j] * (pixels[k + width + 1] - lower)
                    y[j] = upper + down[j] * (lower - upper)
