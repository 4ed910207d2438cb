"""Pool the windows of each plane, or the whole plane, and compute the gradients of that.

A unit of work is ``block`` planes (channels); of the forward pass of windows ``block`` rows of the output.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.kernels.fused.operation import PLANES, compiled, operation
from neocog.kernels.fused.simd import size_of, to_winners, view

__all__ = [
    "average_pool",
    "average_pool_back",
    "max_pool",
    "max_pool_2x2",
    "max_pool_2x2_back",
    "max_pool_back",
    "max_pool_few",
    "plane_mean",
    "plane_mean_back",
]

FEW_IMAGES = 8
"""Images below which loops over the batch are too short for vectors, and run along the row instead."""
NO_WINNER = 255
"""In ``index``: no pixel of the window has been seen yet, or none takes the gradient."""
WINDOWS = "H W N kernel_h kernel_w stride_h stride_w top left"
"""Integers of an operation on windows of images H x W: of the kernel, the stride and the padding before."""


@operation(maps="x y", integers="C rows W N block")
def plane_mean(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``y[c,n] = mean_{i,j} x[c,i,j,n]``."""
    like = zero[0]
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


@operation(maps="dy dx", integers="C rows W N block")
def plane_mean_back(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``dx[c,i,j,n] = dy[c,n] / (H W)``."""
    like = zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        dy = view(p.dy + c * p.N * size, p.N, like)
        for i in range(p.rows):
            for j in range(p.W):
                dx = view(p.dx + (c * p.dx_plane + i * p.dx_row + j * p.N) * size, p.N, like)
                for n in range(p.N):
                    dx[n] = dy[n] / (p.rows * p.W)


@compiled
def _columns(q: int, left: int, stride: int, W: int, W_out: int) -> tuple[int, int]:
    """Return the range of outputs j whose tap q lies in the image: ``0 <= j stride - left + q < W``."""
    return max(0, (left - q + stride - 1) // stride), min(W_out, (W - 1 + left - q) // stride + 1)


@compiled
def _narrow_max_pool(p: Any, c: int, i: int, y: Any, scratch: int, like: Any) -> None:
    """Compute one row of the outputs for few images: first the maximum down the rows of x, then across."""
    size = size_of(like)
    N = p.N
    first, last = max(0, i * p.stride_h - p.top), min(p.H, i * p.stride_h - p.top + p.kernel_h)
    down = view(scratch, p.W * N, like)
    x = view(p.x + (c * p.x_plane + first * p.x_row) * size, p.W * N, like)
    for n in range(p.W * N):
        down[n] = x[n]
    for r in range(first + 1, last):
        x = view(p.x + (c * p.x_plane + r * p.x_row) * size, p.W * N, like)
        for n in range(p.W * N):
            down[n] = down[n] if down[n] > x[n] or down[n] != down[n] else x[n]
    if N == 1 and p.stride_w == p.kernel_w == 2 and p.left == 0 and 2 * p.lanes <= p.W:
        for j in range(p.lanes):  # pairs side by side, of which the compiler makes vectors
            a, b = down[2 * j], down[2 * j + 1]
            y[j] = a if a > b or a != a else b
        return
    for b in range(p.kernel_w):
        start, stop = _columns(b, p.left, p.stride_w, p.W, p.lanes // N)
        for j in range(start, stop):
            at = np.uint64((j * p.stride_w - p.left + b) * N)
            for n in range(N):
                v = down[at + np.uint64(n)]
                y[j * N + n] = y[j * N + n] if y[j * N + n] > v or y[j * N + n] != y[j * N + n] else v


@operation(maps="x y", arrays="index", integers=f"{PLANES} {WINDOWS}")
def max_pool(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Take the maximum of each window; a tie goes to the first, NaN wins. ``index``: the winners' taps.

    x is (C, H, W, N), y (C, rows, lanes); without ``index`` (0) only y is written.
    """
    like = zero[0]
    size = size_of(like)
    N = p.N
    for line in range(unit * p.block, min(p.C * p.rows, (unit + 1) * p.block)):
        c, i = line // p.rows, line % p.rows
        y_row = p.y + (c * p.y_plane + i * p.y_row) * size
        view(y_row, p.lanes, like)[:] = -np.inf
        winners = p.index + (c * p.rows + i) * p.lanes
        if p.index:
            view(winners, p.lanes, np.uint8(0))[:] = NO_WINNER
        for a in range(p.kernel_h):
            r = i * p.stride_h - p.top + a
            if not 0 <= r < p.H:
                continue
            x_row = p.x + (c * p.x_plane + r * p.x_row) * size
            for b in range(p.kernel_w):
                tap = np.uint8(a * p.kernel_w + b)
                first, last = _columns(b, p.left, p.stride_w, p.W, p.lanes // N)
                for j in range(first, last):
                    x = view(x_row + (j * p.stride_w - p.left + b) * N * size, N, like)
                    z = view(y_row + j * N * size, N, like)
                    if p.index:
                        w = view(winners + j * N, N, np.uint8(0))
                        for n in range(N):
                            wins = x[n] > z[n] or x[n] != x[n] or w[n] == NO_WINNER
                            z[n] = x[n] if wins else z[n]
                            w[n] = tap if wins else w[n]
                    else:
                        for n in range(N):
                            z[n] = z[n] if z[n] > x[n] or z[n] != z[n] else x[n]


@operation(maps="x y", arrays="index", integers=f"{PLANES} {WINDOWS}")
def max_pool_few(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Do what :func:`max_pool` does, for fewer than :data:`FEW_IMAGES` images: along the row."""
    like = zero[0]
    size = size_of(like)
    N = p.N
    for line in range(unit * p.block, min(p.C * p.rows, (unit + 1) * p.block)):
        c, i = line // p.rows, line % p.rows
        y_row = p.y + (c * p.y_plane + i * p.y_row) * size
        y = view(y_row, p.lanes, like)
        y[:] = -np.inf
        if not p.index:
            _narrow_max_pool(p, c, i, y, scratch, like)
            continue
        winners = p.index + (c * p.rows + i) * p.lanes
        view(winners, p.lanes, np.uint8(0))[:] = NO_WINNER
        for a in range(p.kernel_h):
            r = i * p.stride_h - p.top + a
            if not 0 <= r < p.H:
                continue
            x_row = p.x + (c * p.x_plane + r * p.x_row) * size
            for b in range(p.kernel_w):
                tap = np.uint8(a * p.kernel_w + b)
                first, last = _columns(b, p.left, p.stride_w, p.W, p.lanes // N)
                shift = (b - p.left) * N
                for n in range(N):
                    x = view(x_row + (first * p.stride_w * N + shift + n) * size, p.W * N, like)
                    z = view(y_row + (first * N + n) * size, p.lanes, like)
                    w = view(winners + first * N + n, p.lanes, np.uint8(0))
                    for j in range(last - first):
                        v = x[j * p.stride_w * N]
                        if v > z[j * N] or v != v or w[j * N] == NO_WINNER:
                            z[j * N] = v
                            w[j * N] = tap


@operation(maps="x y", arrays="index", integers=f"{PLANES} N")
def max_pool_2x2(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Do what :func:`max_pool` does, for windows of 2 x 2 side by side: all four numbers at once."""
    like = zero[0]
    size = size_of(like)
    N = p.N
    for line in range(unit * p.block, min(p.C * p.rows, (unit + 1) * p.block)):
        c, i = line // p.rows, line % p.rows
        for j in range(p.lanes // N):
            top = p.x + (c * p.x_plane + 2 * i * p.x_row + 2 * j * N) * size
            x0, x1 = view(top, N, like), view(top + N * size, N, like)
            x2, x3 = view(top + p.x_row * size, N, like), view(top + (p.x_row + N) * size, N, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row + j * N) * size, N, like)
            if p.index:
                w = view(p.index + (c * p.rows + i) * p.lanes + j * N, N, np.uint8(0))
                for n in range(N):
                    best, tap = x0[n], np.uint8(0)
                    wins = x1[n] > best or x1[n] != x1[n]
                    best, tap = x1[n] if wins else best, np.uint8(1) if wins else tap
                    wins = x2[n] > best or x2[n] != x2[n]
                    best, tap = x2[n] if wins else best, np.uint8(2) if wins else tap
                    wins = x3[n] > best or x3[n] != x3[n]
                    y[n], w[n] = x3[n] if wins else best, np.uint8(3) if wins else tap
            else:
                for n in range(N):
                    best = x1[n] if x1[n] > x0[n] or x1[n] != x1[n] else x0[n]
                    best = x2[n] if x2[n] > best or x2[n] != x2[n] else best
                    y[n] = x3[n] if x3[n] > best or x3[n] != x3[n] else best


@operation(maps="dy dx pooled", arrays="index", integers=f"{PLANES} {WINDOWS}")
def max_pool_back(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Add each dy to its winner in dx (C, H, W, N); ``index`` are the winners' taps.

    With ``pooled``, the outputs of :func:`max_pool`: only where they are above 0, which is the gradient of a
    ReLU before the pooling, too. ``index`` is then changed.
    """
    like = zero[0]
    size = size_of(like)
    N = p.N
    apart = p.stride_h >= p.kernel_h and p.stride_w >= p.kernel_w
    whole = p.top == p.left == 0 and p.rows * p.stride_h == p.H and p.lanes * p.stride_w == p.W * N
    clear = not (apart and whole and p.stride_h == p.kernel_h and p.stride_w == p.kernel_w)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        if clear:
            for r in range(p.H):
                view(p.dx + (c * p.dx_plane + r * p.dx_row) * size, p.W * N, like)[:] = 0
        for i in range(p.rows):
            dy_row = p.dy + (c * p.dy_plane + i * p.dy_row) * size
            winners = p.index + (c * p.rows + i) * p.lanes
            if p.pooled:
                pooled = view(p.pooled + (c * p.pooled_plane + i * p.pooled_row) * size, p.lanes, like)
                w = view(winners, p.lanes, np.uint8(0))
                for n in range(p.lanes):
                    w[n] = w[n] if pooled[n] > 0 else NO_WINNER
            for a in range(p.kernel_h):
                r = i * p.stride_h - p.top + a
                if not 0 <= r < p.H:
                    continue
                dx_row = p.dx + (c * p.dx_plane + r * p.dx_row) * size
                for b in range(p.kernel_w):
                    tap = a * p.kernel_w + b
                    first, last = _columns(b, p.left, p.stride_w, p.W, p.lanes // N)
                    for j in range(first, last):
                        dy = view(dy_row + j * N * size, N, like)
                        dx = view(dx_row + (j * p.stride_w - p.left + b) * N * size, N, like)
                        w = view(winners + j * N, N, np.uint8(0))
                        if clear:
                            for n in range(N):
                                dx[n] += dy[n] if w[n] == tap else 0
                        else:
                            for n in range(N):
                                dx[n] = dy[n] if w[n] == tap else 0


@operation(maps="dy dx pooled", arrays="index", integers=f"{PLANES} N")
def max_pool_2x2_back(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Do what :func:`max_pool_back` does, for windows of 2 x 2 side by side: a vector of images at a time."""
    like = zero[0]
    size = size_of(like)
    N = p.N
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            for j in range(p.lanes // N):
                dy = p.dy + (c * p.dy_plane + i * p.dy_row + j * N) * size
                pooled = p.pooled + (c * p.pooled_plane + i * p.pooled_row + j * N) * size if p.pooled else 0
                dx = p.dx + (c * p.dx_plane + 2 * (i * p.dx_row + j * N)) * size
                to_winners(dy, pooled, p.index + (c * p.rows + i) * p.lanes + j * N, dx, p.dx_row, N, N, like)


@compiled
def _clipped(i: int, stride: int, before: int, kernel: int, size: int) -> tuple[int, int]:
    """Return the range of pixels of window ``i`` along one axis that lie in the image."""
    start = i * stride - before
    return max(start, 0), min(start + kernel, size)


@operation(maps="x y", integers=f"{PLANES} {WINDOWS} counted")
def average_pool(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Take the mean of each window of x (C, H, W, N); y is (C, rows, lanes).

    If ``counted``, a mean counts the padding in its window, as zeros.
    """
    like = zero[0]
    size = size_of(like)
    N = p.N
    for line in range(unit * p.block, min(p.C * p.rows, (unit + 1) * p.block)):
        c, i = line // p.rows, line % p.rows
        top, bottom = _clipped(i, p.stride_h, p.top, p.kernel_h, p.H)
        for j in range(p.lanes // N):
            y = view(p.y + (c * p.y_plane + i * p.y_row + j * N) * size, N, like)
            y[:] = 0
            left, right = _clipped(j, p.stride_w, p.left, p.kernel_w, p.W)
            for r in range(top, bottom):
                for s in range(left, right):
                    x = view(p.x + (c * p.x_plane + r * p.x_row + s * N) * size, N, like)
                    for n in range(N):
                        y[n] += x[n]
            count = p.kernel_h * p.kernel_w if p.counted else (bottom - top) * (right - left)
            share = like * 0 + 1 / count
            for n in range(N):
                y[n] *= share


@operation(maps="dy dx", integers=f"{PLANES} {WINDOWS} counted")
def average_pool_back(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Add to each pixel of dx (C, H, W, N) its share of every dy whose window holds it."""
    like = zero[0]
    size = size_of(like)
    N = p.N
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for r in range(p.H):
            view(p.dx + (c * p.dx_plane + r * p.dx_row) * size, p.W * N, like)[:] = 0
        for i in range(p.rows):
            top, bottom = _clipped(i, p.stride_h, p.top, p.kernel_h, p.H)
            for j in range(p.lanes // N):
                dy = view(p.dy + (c * p.dy_plane + i * p.dy_row + j * N) * size, N, like)
                left, right = _clipped(j, p.stride_w, p.left, p.kernel_w, p.W)
                count = p.kernel_h * p.kernel_w if p.counted else (bottom - top) * (right - left)
                share = like * 0 + 1 / count
                for r in range(top, bottom):
                    for s in range(left, right):
                        dx = view(p.dx + (c * p.dx_plane + r * p.dx_row + s * N) * size, N, like)
                        for n in range(N):
                            dx[n] += dy[n] * share
