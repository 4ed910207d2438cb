"""Pool the windows of each plane, or the whole plane, and compute the gradients of that.

A unit of work is ``block`` planes (channels).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.kernels.fused.operation import compiled, operation, record
from neocog.kernels.fused.simd import size_of, view

__all__ = ["average_pool", "average_pool_back", "max_pool", "max_pool_back", "plane_mean", "plane_mean_back"]


@operation
def plane_mean(row: int, unit: int, scratch: int, zero: Any) -> None:
    """``y[c,n] = mean_{i,j} x[c,i,j,n]``."""
    p, like = record(row), zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        y = view(p.y + c * p.N * size, p.N, like)
        y[:] = 0
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.W * p.N, like)
            if p.N == 1:
                for j in range(p.W):
                    y[0] += x[j]
                continue
            for j in range(p.W):
                pixel = x[j * p.N : (j + 1) * p.N]
                for n in range(p.N):
                    y[n] += pixel[n]
        for n in range(p.N):
            y[n] /= p.rows * p.W


@operation
def plane_mean_back(row: int, unit: int, scratch: int, zero: Any) -> None:
    """``z[c,i,j,n] = y[c,n] / (H W)``."""
    p, like = record(row), zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        y = view(p.y + c * p.N * size, p.N, like)
        for i in range(p.rows):
            for j in range(p.W):
                z = view(p.z + (c * p.z_plane + i * p.z_row + j * p.N) * size, p.N, like)
                for n in range(p.N):
                    z[n] = y[n] / (p.rows * p.W)


@compiled
def _columns(q: int, p: Any) -> tuple[int, int]:
    """Output columns j whose tap q lies in the image: ``0 <= j stride - left + q < W``."""
    first = max(0, (p.left - q + p.stride_w - 1) // p.stride_w)
    last = min(p.lanes // p.N, (p.W - 1 + p.left - q) // p.stride_w + 1)
    return first, last


@compiled
def _narrow_max_pool(p: Any, c: int, i: int, y: Any, like: Any) -> None:
    """One row of the outputs for few images: first the maximum down the rows of x, then across."""
    size = size_of(like)
    N = p.N
    first, last = max(0, i * p.stride_h - p.top), min(p.H, i * p.stride_h - p.top + p.kernel_h)
    down = np.empty(p.W * N, y.dtype)
    x = view(p.x + (c * p.x_plane + first * p.x_row) * size, p.W * N, like)
    for n in range(p.W * N):
        down[n] = x[n]
    for r in range(first + 1, last):
        x = view(p.x + (c * p.x_plane + r * p.x_row) * size, p.W * N, like)
        for n in range(p.W * N):
            down[n] = down[n] if down[n] > x[n] or down[n] != down[n] else x[n]
    for b in range(p.kernel_w):
        start, stop = _columns(b, p)
        for j in range(start, stop):
            at = np.uint64((j * p.stride_w - p.left + b) * N)
            for n in range(N):
                v = down[at + np.uint64(n)]
                y[j * N + n] = y[j * N + n] if y[j * N + n] > v or y[j * N + n] != y[j * N + n] else v


@operation
def max_pool(row: int, unit: int, scratch: int, zero: Any) -> None:
    """Take the maximum of each window; a tie goes to the first, NaN wins. ``index``: the winners' taps.

    x is (C, H, W, N), y (C, rows, lanes); without ``index`` (0) only y is written.
    """
    p, like = record(row), zero[0]
    size = size_of(like)
    N = p.N
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            y_row = p.y + (c * p.y_plane + i * p.y_row) * size
            y = view(y_row, p.lanes, like)
            y[:] = -np.inf
            if N < 8 and not p.index:
                _narrow_max_pool(p, c, i, y, like)
                continue
            winners = p.index + (c * p.rows + i) * p.lanes
            if p.index:
                view(winners, p.lanes, np.uint8(0))[:] = 255
            for a in range(p.kernel_h):
                r = i * p.stride_h - p.top + a
                if not 0 <= r < p.H:
                    continue
                x_row = p.x + (c * p.x_plane + r * p.x_row) * size
                for b in range(p.kernel_w):
                    tap = np.uint8(a * p.kernel_w + b)
                    first, last = _columns(b, p)
                    if N < 8:
                        shift = (b - p.left) * N
                        for n in range(N):
                            x = view(x_row + (first * p.stride_w * N + shift + n) * size, p.W * N, like)
                            z = view(y_row + (first * N + n) * size, p.lanes, like)
                            w = view(winners + first * N + n, p.lanes, np.uint8(0))
                            for j in range(last - first):
                                v = x[j * p.stride_w * N]
                                if v > z[j * N] or v != v or w[j * N] == 255:
                                    z[j * N] = v
                                    w[j * N] = tap
                        continue
                    for j in range(first, last):
                        x = view(x_row + (j * p.stride_w - p.left + b) * N * size, N, like)
                        z = view(y_row + j * N * size, N, like)
                        if p.index:
                            w = view(winners + j * N, N, np.uint8(0))
                            for n in range(N):
                                wins = x[n] > z[n] or x[n] != x[n] or w[n] == 255
                                z[n] = x[n] if wins else z[n]
                                w[n] = tap if wins else w[n]
                        else:
                            for n in range(N):
                                z[n] = z[n] if z[n] > x[n] or z[n] != z[n] else x[n]


@operation
def max_pool_back(row: int, unit: int, scratch: int, zero: Any) -> None:
    """Give each y (dy) to its winner in z (dx, ``H x W N``); windows that overlap add.

    With x, the pooled outputs: only where they are above 0, which is what a ReLU before the pooling lets
    through.
    """
    p, like = record(row), zero[0]
    size = size_of(like)
    N = p.N
    apart = p.stride_h >= p.kernel_h and p.stride_w >= p.kernel_w
    whole = p.top == p.left == 0 and p.rows * p.stride_h == p.H and p.lanes * p.stride_w == p.W * N
    clear = not (apart and whole and p.stride_h == p.kernel_h and p.stride_w == p.kernel_w)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        if clear:
            for r in range(p.H):
                view(p.z + (c * p.z_plane + r * p.z_row) * size, p.W * N, like)[:] = 0
        for i in range(p.rows):
            y_row = p.y + (c * p.y_plane + i * p.y_row) * size
            winners = p.index + (c * p.rows + i) * p.lanes
            if p.x:
                x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
                w = view(winners, p.lanes, np.uint8(0))
                for n in range(p.lanes):
                    w[n] = w[n] if x[n] > 0 else 255
            for a in range(p.kernel_h):
                r = i * p.stride_h - p.top + a
                if not 0 <= r < p.H:
                    continue
                z_row = p.z + (c * p.z_plane + r * p.z_row) * size
                for b in range(p.kernel_w):
                    tap = a * p.kernel_w + b
                    first, last = _columns(b, p)
                    for j in range(first, last):
                        y = view(y_row + j * N * size, N, like)
                        z = view(z_row + (j * p.stride_w - p.left + b) * N * size, N, like)
                        w = view(winners + j * N, N, np.uint8(0))
                        if clear:
                            for n in range(N):
                                z[n] += y[n] if w[n] == tap else 0
                        else:
                            for n in range(N):
                                z[n] = y[n] if w[n] == tap else 0


@compiled
def _window_share(i: int, j: int, p: Any) -> float:
    """One over the numbers that the window's mean counts; kind 1 counts the padding."""
    if p.kind:
        return 1 / (p.kernel_h * p.kernel_w)
    top, left = i * p.stride_h - p.top, j * p.stride_w - p.left
    down = min(top + p.kernel_h, p.H) - max(top, 0)
    across = min(left + p.kernel_w, p.W) - max(left, 0)
    return 1 / (down * across)


@operation
def average_pool(row: int, unit: int, scratch: int, zero: Any) -> None:
    """Take the mean of each window of x (C, H, W, N); y is (C, rows, lanes)."""
    p, like = record(row), zero[0]
    size = size_of(like)
    N = p.N
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            for j in range(p.lanes // N):
                y = view(p.y + (c * p.y_plane + i * p.y_row + j * N) * size, N, like)
                y[:] = 0
                top, left = i * p.stride_h - p.top, j * p.stride_w - p.left
                for r in range(max(top, 0), min(top + p.kernel_h, p.H)):
                    for s in range(max(left, 0), min(left + p.kernel_w, p.W)):
                        x = view(p.x + (c * p.x_plane + r * p.x_row + s * N) * size, N, like)
                        for n in range(N):
                            y[n] += x[n]
                share = like * 0 + _window_share(i, j, p)
                for n in range(N):
                    y[n] *= share


@operation
def average_pool_back(row: int, unit: int, scratch: int, zero: Any) -> None:
    """Share each y (dy) out among its window in z (dx)."""
    p, like = record(row), zero[0]
    size = size_of(like)
    N = p.N
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for r in range(p.H):
            view(p.z + (c * p.z_plane + r * p.z_row) * size, p.W * N, like)[:] = 0
        for i in range(p.rows):
            for j in range(p.lanes // N):
                y = view(p.y + (c * p.y_plane + i * p.y_row + j * N) * size, N, like)
                share = like * 0 + _window_share(i, j, p)
                top, left = i * p.stride_h - p.top, j * p.stride_w - p.left
                for r in range(max(top, 0), min(top + p.kernel_h, p.H)):
                    for s in range(max(left, 0), min(left + p.kernel_w, p.W)):
                        z = view(p.z + (c * p.z_plane + r * p.z_row + s * N) * size, N, like)
                        for n in range(N):
                            z[n] += y[n] * share
