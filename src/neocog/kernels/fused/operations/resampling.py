"""Read rows and columns of maps at other places, also between pixels, and compute the gradient of that.

A unit of work is ``block`` planes (channels).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.kernels.fused.operation import PLANES, compiled, operation
from neocog.kernels.fused.simd import size_of, view

__all__ = ["resample", "resample_back"]

TABLES = "down across down_share across_share"
"""For rows and columns of the output: all first pixels, then all second ones; the shares of the second."""


@compiled
def _copy(across: Any, N: int, width: int, x: Any, y: Any) -> None:
    """Copy pixels of N numbers; places are unsigned, never counted from the end, and so vectorised."""
    if N == 1:
        for j in range(width):
            y[j] = x[across[j]]
        return
    for j in range(width):
        first = across[j] * np.uint64(N)
        for n in range(N):
            y[j * N + n] = x[first + np.uint64(n)]


@compiled
def _blend(across: Any, share: Any, N: int, width: int, x: Any, y: Any) -> None:
    """Compute a row between the pixels of x."""
    if N == 1:
        for j in range(width):
            y[j] = (1 - share[j]) * x[across[j]] + share[j] * x[across[width + j]]
        return
    for j in range(width):
        left, right = across[j] * np.uint64(N), across[width + j] * np.uint64(N)
        for n in range(N):
            y[j * N + n] = (1 - share[j]) * x[left + np.uint64(n)] + share[j] * x[right + np.uint64(n)]


@operation(maps="x y", arrays=TABLES, integers=f"{PLANES} W N linear")
def resample(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute y (C, rows, lanes) of x (C, H, W, N): between two rows, then between two columns.

    Unless ``linear``, the first pixels are copied.
    """
    like = zero[0]
    size = size_of(like)
    N = p.N
    width = p.lanes // N
    down, across = view(p.down, 2 * p.rows, np.int64(0)), view(p.across, 2 * width, np.uint64(0))
    a, b = view(p.down_share, p.rows, like), view(p.across_share, width, like)
    line = view(scratch, p.W * N, like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            first = view(p.x + (c * p.x_plane + down[i] * p.x_row) * size, p.W * N, like)
            if not p.linear:
                _copy(across, N, width, first, y)
                continue
            second = view(p.x + (c * p.x_plane + down[p.rows + i] * p.x_row) * size, p.W * N, like)
            for n in range(p.W * N):
                line[n] = (1 - a[i]) * first[n] + a[i] * second[n]
            _blend(across, b, N, width, line, y)


@operation(maps="dy dx", arrays=TABLES, integers=f"{PLANES} H W N linear")
def resample_back(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Add each dy (C, rows, lanes) to the pixels of dx (C, H, W, N) it was read from, in their shares."""
    like = zero[0]
    size = size_of(like)
    N = p.N
    width = p.lanes // N
    down, across = view(p.down, 2 * p.rows, np.int64(0)), view(p.across, 2 * width, np.uint64(0))
    a, b = view(p.down_share, p.rows, like), view(p.across_share, width, like)
    line = view(scratch, p.W * N, like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for r in range(p.H):
            view(p.dx + (c * p.dx_plane + r * p.dx_row) * size, p.W * N, like)[:] = 0
        for i in range(p.rows):
            dy = view(p.dy + (c * p.dy_plane + i * p.dy_row) * size, p.lanes, like)
            line[:] = 0
            for j in range(width):
                left, right = across[j] * np.uint64(N), across[width + j] * np.uint64(N)
                for n in range(N):
                    line[left + np.uint64(n)] += (1 - b[j]) * dy[j * N + n]
                if p.linear:
                    for n in range(N):
                        line[right + np.uint64(n)] += b[j] * dy[j * N + n]
            first = view(p.dx + (c * p.dx_plane + down[i] * p.dx_row) * size, p.W * N, like)
            for n in range(p.W * N):
                first[n] += (1 - a[i]) * line[n]
            if p.linear:
                second = view(p.dx + (c * p.dx_plane + down[p.rows + i] * p.dx_row) * size, p.W * N, like)
                for n in range(p.W * N):
                    second[n] += a[i] * line[n]
