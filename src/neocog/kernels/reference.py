"""Define every kernel by plain loops, to be read beside the formula; other backends are tested against it.

The loops run over output channels and positions; the sum over a window is taken by NumPy for all images at
once. Nothing here is meant to be fast.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neocog.kernels import sampling
from neocog.kernels.geometry import (
    Array,
    Counts,
    Padding,
    Pair,
    crop,
    output_sizes,
    pad,
    padded_shape,
)


def _windows(
    x_shape: tuple[int, ...], kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair = (1, 1)
) -> Iterator[tuple[int, int, slice, slice]]:
    """Yield each output position (i, j) with the rows and columns of the padded image that it reads."""
    H_out, W_out = output_sizes(x_shape, kernel_size, stride, padding, dilation)
    for i in range(H_out):
        for j in range(W_out):
            top, left = i * stride[0], j * stride[1]
            rows = slice(top, top + dilation[0] * (kernel_size[0] - 1) + 1, dilation[0])
            columns = slice(left, left + dilation[1] * (kernel_size[1] - 1) + 1, dilation[1])
            yield i, j, rows, columns


def _channels(f: int, w_shape: tuple[int, ...], groups: int) -> slice:
    """Return the input channels that output channel ``f`` reads."""
    group = f // (w_shape[0] // groups)
    return slice(group * w_shape[1], (group + 1) * w_shape[1])


def conv2d(
    x: Array, w: Array, b: Array | None, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """Compute ``y[n,f,i,j] = b[f] + sum_{c,p,q} w[f,c,p,q] x[n,c, i s + p d, j s + q d]``."""
    H_out, W_out = output_sizes(x.shape, w.shape[2:], stride, padding, dilation)
    y = np.zeros((x.shape[0], w.shape[0], H_out, W_out), dtype=np.result_type(x, w))
    padded = pad(x, padding)
    for f in range(w.shape[0]):
        channels = _channels(f, w.shape, groups)
        for i, j, rows, columns in _windows(x.shape, w.shape[2:], stride, padding, dilation):
            y[:, f, i, j] = np.sum(w[f] * padded[:, channels, rows, columns], axis=(1, 2, 3))
            if b is not None:
                y[:, f, i, j] += b[f]
    return y


def conv2d_input(
    dy: Array,
    w: Array,
    x_shape: tuple[int, ...],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> Array:
    """Add ``dx[n,c, i s + p d, j s + q d] += dy[n,f,i,j] w[f,c,p,q]``."""
    dx = np.zeros(padded_shape(x_shape, padding), dtype=np.result_type(dy, w))
    for f in range(w.shape[0]):
        channels = _channels(f, w.shape, groups)
        for i, j, rows, columns in _windows(x_shape, w.shape[2:], stride, padding, dilation):
            dx[:, channels, rows, columns] += dy[:, f, i, j, None, None, None] * w[f]
    return crop(dx, padding)


def conv2d_weight(
    x: Array,
    dy: Array,
    w_shape: tuple[int, ...],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> Array:
    """Compute ``dw[f,c,p,q] = sum_{n,i,j} dy[n,f,i,j] x[n,c, i s + p d, j s + q d]``."""
    dw = np.zeros(w_shape, dtype=np.result_type(x, dy))
    padded = pad(x, padding)
    for f in range(w_shape[0]):
        channels = _channels(f, w_shape, groups)
        for i, j, rows, columns in _windows(x.shape, (w_shape[2], w_shape[3]), stride, padding, dilation):
            dw[f] += np.sum(dy[:, f, i, j, None, None, None] * padded[:, channels, rows, columns], axis=0)
    return dw


def max_pool2d(
    x: Array, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair
) -> tuple[Array, Array]:
    """Compute ``y[n,c,i,j] = max_{p,q} x[n,c, i s + p d, j s + q d]`` and the (p, q) of the first maximum.

    Only pixels of the image win, never the padding. Of a window with NaN the last NaN wins, as in PyTorch.
    """
    H_out, W_out = output_sizes(x.shape, kernel_size, stride, padding, dilation)
    y = np.zeros((*x.shape[:2], H_out, W_out), dtype=x.dtype)
    argmax = np.zeros(y.shape, dtype=np.int32)
    padded, inside = pad(x, padding, -np.inf), pad(np.ones_like(x.real), padding)
    taps = kernel_size[0] * kernel_size[1]
    for i, j, rows, columns in _windows(x.shape, kernel_size, stride, padding, dilation):
        window = padded[:, :, rows, columns].reshape(*x.shape[:2], taps)
        is_pixel = inside[:, :, rows, columns].reshape(*x.shape[:2], taps) == 1
        largest = window.real == window.real.max(axis=2, keepdims=True)
        is_nan = np.isnan(window)
        last_nan = taps - 1 - np.argmax(is_nan[:, :, ::-1], axis=2)
        winner = np.where(is_nan.any(axis=2), last_nan, np.argmax(largest & is_pixel, axis=2))
        argmax[:, :, i, j] = winner
        y[:, :, i, j] = np.take_along_axis(window, winner[:, :, None], axis=2)[:, :, 0]
    return y, argmax


def max_pool2d_input(
    dy: Array,
    argmax: Array,
    x_shape: tuple[int, ...],
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
) -> Array:
    """Add ``dx[n,c, i s + p d, j s + q d] += dy[n,c,i,j]`` for the winning (p, q)."""
    dx = np.zeros(padded_shape(x_shape, padding), dtype=dy.dtype)
    positions = np.arange(kernel_size[0] * kernel_size[1]).reshape(kernel_size)
    for i, j, rows, columns in _windows(x_shape, kernel_size, stride, padding, dilation):
        won = argmax[:, :, i, j, None, None] == positions  # (N, C, kH, kW)
        dx[:, :, rows, columns] += np.where(won, dy[:, :, i, j, None, None], 0)
    return crop(dx, padding)


def avg_pool2d(
    x: Array, kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair, counts: Counts | None
) -> Array:
    """Compute ``y[n,c,i,j] = sum_{p,q} x[n,c, i s + p d, j s + q d] / count[i,j]``."""
    out = output_sizes(x.shape, kernel_size, stride, padding, dilation)
    y = np.zeros((*x.shape[:2], *out), dtype=x.dtype)
    padded = pad(x, padding)
    for i, j, rows, columns in _windows(x.shape, kernel_size, stride, padding, dilation):
        y[:, :, i, j] = np.sum(padded[:, :, rows, columns], axis=(2, 3)) / _count(i, j, kernel_size, counts)
    return y


def avg_pool2d_input(
    dy: Array,
    x_shape: tuple[int, ...],
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    counts: Counts | None,
) -> Array:
    """Add ``dx[n,c, i s + p d, j s + q d] += dy[n,c,i,j] / count[i,j]``."""
    dx = np.zeros(padded_shape(x_shape, padding), dtype=dy.dtype)
    for i, j, rows, columns in _windows(x_shape, kernel_size, stride, padding, dilation):
        dx[:, :, rows, columns] += dy[:, :, i, j, None, None] / _count(i, j, kernel_size, counts)
    return crop(dx, padding)


def _count(i: int, j: int, kernel_size: Pair, counts: Counts | None) -> int:
    """Return the divisor of one window's mean."""
    return kernel_size[0] * kernel_size[1] if counts is None else counts[0][i] * counts[1][j]


def affine(x: np.ndarray, matrix: np.ndarray, fill: float | None) -> np.ndarray:
    """Interpolate between the four pixels around each place, along the rows first."""
    N, _, H, W = x.shape
    y, image, pixels = np.empty(x.shape, x.dtype), np.arange(N), sampling.bordered(x, fill)
    rows, columns = sampling.places(matrix, H, W)
    for i in range(H):
        for j in range(W):
            top, left = np.minimum(rows[:, i, j].astype(int), H), np.minimum(columns[:, i, j].astype(int), W)
            down = (rows[:, i, j] - top).astype(x.dtype)[:, None]
            right = (columns[:, i, j] - left).astype(x.dtype)[:, None]
            corner = [[pixels[image, :, top + p, left + q] for q in (0, 1)] for p in (0, 1)]
            upper = corner[0][0] + right * (corner[0][1] - corner[0][0])
            lower = corner[1][0] + right * (corner[1][1] - corner[1][0])
            y[:, :, i, j] = upper + down * (lower - upper)
    return y
