"""Operations that take each plane (channel) by itself: normalisation, activation, pooling, copies, sums.

A unit is ``block`` planes. Sums over a plane are taken in rows, in the dtype of the array, and the rows'
sums in float64: always in the same order, whatever the number of threads.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neocog.kernels.fused.operation import compiled, operation, record
from neocog.kernels.fused.simd import size_of, view

__all__ = [
    "GELU",
    "GELU_TANH",
    "LEAKY",
    "RELU",
    "SIGMOID",
    "TANH",
    "activate",
    "activate_back",
    "add",
    "average_pool",
    "average_pool_back",
    "copy",
    "frame",
    "max_pool",
    "max_pool_back",
    "multiply",
    "normalise",
    "normalise_back",
    "plane_mean",
    "plane_mean_back",
    "plane_sum",
]

RELU, LEAKY, SIGMOID, TANH, GELU, GELU_TANH = range(6)
_SQRT_HALF = math.sqrt(0.5)
_DENSITY = 1 / math.sqrt(2 * math.pi)
_GELU_SLOPE = math.sqrt(2 / math.pi)


@operation
def copy(row: int, unit: int, scratch: int, zero: Any) -> None:
    """``y[i] = x[i]`` (kind 0) or ``y[i] += x[i]`` (kind 1) over four axes with any strides."""
    p, like = record(row), zero[0]
    size = size_of(like)
    for a in range(unit * p.block, min(p.n0, (unit + 1) * p.block)):
        for b in range(p.n1):
            for c in range(p.n2):
                x = view(p.x + (a * p.x0 + b * p.x1 + c * p.x2) * size, (p.n3 - 1) * p.x3 + 1, like)
                y = view(p.y + (a * p.y0 + b * p.y1 + c * p.y2) * size, (p.n3 - 1) * p.y3 + 1, like)
                if p.x3 == 1 and p.y3 == 1:
                    if p.kind:
                        for i in range(p.n3):
                            y[i] += x[i]
                    else:
                        for i in range(p.n3):
                            y[i] = x[i]
                elif p.x3 == 2 and p.y3 == 1 and not p.kind:
                    for i in range(p.n3):  # unsigned, never counted from the end: vectorised
                        y[i] = x[np.uint64(i) + np.uint64(i)]
                else:
                    for i in range(p.n3):
                        y[i * p.y3] = x[i * p.x3] + (y[i * p.y3] if p.kind else 0)


@operation
def frame(row: int, unit: int, scratch: int, zero: Any) -> None:
    """Set y to zero but for the ``rows x lanes`` after ``top`` rows and ``left`` lanes of each plane."""
    p, like = record(row), zero[0]
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


@operation
def add(row: int, unit: int, scratch: int, zero: Any) -> None:
    """``z = max(floor, x + y)``."""
    p, like = record(row), zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            z = view(p.z + (c * p.z_plane + i * p.z_row) * size, p.lanes, like)
            if p.floor == 0:
                for n in range(p.lanes):
                    v = x[n] + y[n]
                    z[n] = v if not v < 0 else like
            else:
                for n in range(p.lanes):
                    z[n] = x[n] + y[n]


@operation
def multiply(row: int, unit: int, scratch: int, zero: Any) -> None:
    """``z = x y``."""
    p, like = record(row), zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            z = view(p.z + (c * p.z_plane + i * p.z_row) * size, p.lanes, like)
            for n in range(p.lanes):
                z[n] = x[n] * y[n]


@operation
def activate(row: int, unit: int, scratch: int, zero: Any) -> None:
    """``y = f(x)``, f by ``kind``; ``slope`` is the leaky ReLU's."""
    p, like = record(row), zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            if p.kind == RELU:
                for n in range(p.lanes):
                    y[n] = x[n] if not x[n] < 0 else like
            elif p.kind == LEAKY:
                for n in range(p.lanes):
                    y[n] = x[n] if not x[n] < 0 else x[n] * p.slope
            elif p.kind == SIGMOID:
                for n in range(p.lanes):
                    y[n] = 0.5 * (1 + math.tanh(0.5 * x[n]))
            elif p.kind == TANH:
                for n in range(p.lanes):
                    y[n] = p.slope * math.tanh(p.lr * x[n])
            elif p.kind == GELU:
                for n in range(p.lanes):
                    y[n] = 0.5 * x[n] * math.erfc(-_SQRT_HALF * x[n])
            else:
                for n in range(p.lanes):
                    v = float(x[n])
                    y[n] = 0.5 * v * (1 + math.tanh(_GELU_SLOPE * (v + 0.044715 * v * v * v)))


@operation
def activate_back(row: int, unit: int, scratch: int, zero: Any) -> None:
    """``z = y f'``: y is dy, z is dx; x is the input of a GELU, the output of any other activation."""
    p, like = record(row), zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            z = view(p.z + (c * p.z_plane + i * p.z_row) * size, p.lanes, like)
            if p.kind == RELU:
                for n in range(p.lanes):
                    z[n] = y[n] if x[n] > 0 else like
            elif p.kind == LEAKY:
                for n in range(p.lanes):
                    z[n] = y[n] if x[n] > 0 else y[n] * p.slope
            elif p.kind == SIGMOID:
                for n in range(p.lanes):
                    z[n] = y[n] * (x[n] * (1 - x[n]))
            elif p.kind == TANH:
                for n in range(p.lanes):
                    z[n] = y[n] * (p.lr * (p.slope - x[n] * x[n] / p.slope))
            elif p.kind == GELU:
                for n in range(p.lanes):
                    v = float(x[n])
                    z[n] = y[n] * (0.5 * math.erfc(-_SQRT_HALF * v) + v * _DENSITY * math.exp(-0.5 * v * v))
            else:
                for n in range(p.lanes):
                    v = float(x[n])
                    t = math.tanh(_GELU_SLOPE * (v + 0.044715 * v * v * v))
                    inner = _GELU_SLOPE * (1 + 3 * 0.044715 * v * v)
                    z[n] = y[n] * (0.5 * (1 + t) + 0.5 * v * (1 - t * t) * inner)


@operation
def plane_sum(row: int, unit: int, scratch: int, zero: Any) -> None:
    """``d_bias[c] = sum_{i,l} y[c,i,l]``."""
    p, like = record(row), zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        total = 0.0
        for i in range(p.rows):
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            row = like * 0
            for n in range(p.lanes):
                row += y[n]
            total += row
        view(p.d_bias + c * size, 1, like)[0] = total


@operation
def normalise(row: int, unit: int, scratch: int, zero: Any) -> None:
    """``y = max(floor, weight (x - m) / sqrt(v + eps) + bias)`` of each channel.

    Kind 1, training: m and v (biased) of the batch, which also move the running statistics by ``momentum``
    and are kept in ``mean`` and ``inv_std``. Kind 0: the running ones.
    """
    p, like = record(row), zero[0]
    size = size_of(like)
    count = p.rows * p.lanes
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        running_mean = view(p.running_mean + c * size, 1, like)
        running_var = view(p.running_var + c * size, 1, like)
        if p.kind:
            total = 0.0
            for i in range(p.rows):
                x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
                row = like * 0
                for n in range(p.lanes):
                    row += x[n]
                total += row
            view(p.mean + c * size, 1, like)[0] = total / count
            m = view(p.mean + c * size, 1, like)[0]
            total = 0.0
            for i in range(p.rows):
                x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
                row = like * 0
                for n in range(p.lanes):
                    row += (x[n] - m) * (x[n] - m)
                total += row
            variance = total / count
            running_mean[0] += p.momentum * (m - running_mean[0])
            running_var[0] += p.momentum * (variance * count / (count - 1) - running_var[0])
        else:
            m, variance = running_mean[0], float(running_var[0])
            view(p.mean + c * size, 1, like)[0] = m
        inv_std = view(p.inv_std + c * size, 1, like)
        inv_std[0] = 1 / math.sqrt(variance + p.eps)
        scale = view(p.weight + c * size, 1, like)[0] * inv_std[0]
        shift = view(p.bias + c * size, 1, like)[0]
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            if p.floor == 0:
                for n in range(p.lanes):
                    v = (x[n] - m) * scale + shift
                    y[n] = v if not v < 0 else like
            else:
                for n in range(p.lanes):
                    y[n] = (x[n] - m) * scale + shift


@operation
def normalise_back(row: int, unit: int, scratch: int, zero: Any) -> None:
    """Gradients of :func:`normalise`: y is dy, z is dx (0: not wanted); d_weight and d_bias.

    With ``init``, its output after a ReLU: dy is first set to zero where that is zero.
    """
    p, like = record(row), zero[0]
    size = size_of(like)
    count = p.rows * p.lanes
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        m = view(p.mean + c * size, 1, like)[0]
        inv_std = view(p.inv_std + c * size, 1, like)[0]
        db, dw = 0.0, 0.0
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            if p.init:
                out = view(p.init + (c * p.init_plane + i * p.init_row) * size, p.lanes, like)
                for n in range(p.lanes):
                    y[n] = y[n] if out[n] > 0 else like
            row, product = like * 0, like * 0
            for n in range(p.lanes):
                row += y[n]
                product += y[n] * ((x[n] - m) * inv_std)
            db += row
            dw += product
        view(p.d_bias + c * size, 1, like)[0] = db
        view(p.d_weight + c * size, 1, like)[0] = dw
        if p.z == 0:
            continue
        d_bias = view(p.d_bias + c * size, 1, like)
        d_weight = view(p.d_weight + c * size, 1, like)
        scale = view(p.weight + c * size, 1, like)[0] * inv_std
        mean_dy, mean_product = d_bias[0] / count * p.kind, d_weight[0] / count * p.kind
        shift, slope = like * 0 + mean_dy, like * 0 + mean_product
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            z = view(p.z + (c * p.z_plane + i * p.z_row) * size, p.lanes, like)
            for n in range(p.lanes):
                z[n] = scale * (y[n] - (shift + ((x[n] - m) * inv_std) * slope))


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
