"""Compute the same as the compiled functions with NumPy, for ``NUMBA_DISABLE_JIT=1``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neocog.kernels.fused.simd.emitter import DOT_ROWS, DOT_TAPS, ROW_TAPS, SQUARE, VECTOR_BYTES

__all__ = [
    "deinterleave",
    "dots",
    "dots_of_row",
    "exponential",
    "fetch_add",
    "hyperbolic_tangent",
    "interleave",
    "library",
    "log1p",
    "logistic",
    "normal_distribution",
    "number",
    "pair_tile",
    "pixel_tile",
    "read",
    "row_tile",
    "size_of",
    "transpose",
    "view",
    "winograd_input",
    "winograd_kernel",
    "winograd_kernel_back",
    "winograd_output",
    "winograd_output_back",
]

library = np


def view(address: int, count: int, like: Any) -> Any:
    kind = np.ctypeslib.as_ctypes_type(np.dtype(type(like)))
    return np.frombuffer((kind * max(int(count), 1)).from_address(int(address)), dtype=type(like))[:count]


def row_tile(rows, a, a_row, a_step, terms, K, x, y, y_row, init, init_row, bias, low, high, count, like):
    size = like.itemsize
    offsets, numbers = view(terms, 2 * K, np.int64(0)).reshape(-1, 2).T if K else ((), ())
    columns = np.array([view(x + o * size, count, like) for o in offsets], type(like)).reshape(K, count)
    for r in range(rows):
        start = view(init + r * init_row * size, count, like) if init else 0
        weights = [view(a + (r * a_row + k * a_step) * size, 1, like)[0] for k in numbers]
        sums = start + view(bias + r * size, 1, like) + np.array(weights, type(like)) @ columns
        view(y + r * y_row * size, count, like)[:] = np.clip(sums, low, high)


def pixel_tile(
    rows, depthwise, x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like
):
    size = like.itemsize
    weights = np.array([view(w + k * w_row * size, count, like) for k in range(K)]).reshape(K, count)
    for r in range(rows):
        pixel, taps = view(x_at + 8 * r, 1, np.int64(0))[0], view(offset, K, np.int64(0))
        each = [view(x + (pixel + tap) * size, count if depthwise else 1, like) for tap in taps]
        sums = view(bias, count, like) + (np.array(each).reshape(K, -1) * weights).sum(axis=0)
        if init:
            sums = sums + view(init + view(init_at + 8 * r, 1, np.int64(0))[0] * size, count, like)
        place = y + view(y_at + 8 * r, 1, np.int64(0))[0] * size
        view(place, count, like)[:] = np.clip(sums, low, high)


def _pairs(address: int, count: int) -> Any:
    """Return numbers of float32 that are two of bfloat16 each as an array (count, 2)."""
    halves = view(address, count, np.float32(0)).view(np.uint16).reshape(count, 2)
    return (halves.astype(np.uint32) << 16).view(np.float32)


def pair_tile(
    rows, depthwise, x, x_at, offset, K, w, w_row, bias, y, y_at, init, init_at, low, high, count, like
):
    weights = np.array([_pairs(w + 4 * k * w_row, count) for k in range(K)]).reshape(K, count, 2)
    for r in range(rows):
        pixel, taps = view(x_at + 8 * r, 1, np.int64(0))[0], view(offset, K, np.int64(0))
        each = np.array([_pairs(x + 4 * (pixel + tap), 1) for tap in taps]).reshape(K, 1, 2)
        sums = view(bias, count, like) + (each * weights).sum(axis=(0, 2))
        if init:
            sums = sums + view(init + 4 * view(init_at + 8 * r, 1, np.int64(0))[0], count, like)
        place = y + 4 * view(y_at + 8 * r, 1, np.int64(0))[0]
        view(place, count, like)[:] = np.clip(sums, low, high)


def _dots(shape):
    def dots(dy, dy_offset, dy_row, x, offset, x_row, rows, count, out, like):
        size = like.itemsize
        result = view(out, shape[0] * shape[1], like).reshape(shape)
        result[:] = 0
        down, taps = view(dy_offset, shape[0], np.int64(0)), view(offset, shape[1], np.int64(0))
        for i in range(rows):
            a = [view(dy + (o + i * dy_row) * size, count, like) for o in down]
            b = [view(x + (o + i * x_row) * size, count, like) for o in taps]
            result += np.array(a) @ np.array(b).T

    return dots


dots, dots_of_row = _dots((DOT_ROWS, DOT_TAPS)), _dots((1, ROW_TAPS))


_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_OUTPUT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])


def _lanes(like: Any) -> int:
    """Return how many numbers a vector register holds."""
    return VECTOR_BYTES // np.dtype(type(like)).itemsize


def _gather(address: int, step: int, count: int, like: Any) -> Any:
    parts = [view(address + k * step * like.itemsize, _lanes(like), like) for k in range(count)]
    return np.array(parts)


def _scatter(values: Any, address: int, step: int, like: Any) -> None:
    for k, value in enumerate(values):
        view(address + k * step * like.itemsize, _lanes(like), like)[:] = value


_KERNEL = np.array(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]],
) / np.array(24)


def winograd_kernel(g, u, u_step, like):
    kernels = _gather(g, _lanes(like), 9, like).reshape(3, 3, -1)
    _scatter(np.einsum("ir,jk,rkn->ijn", _KERNEL, _KERNEL, kernels).reshape(36, -1), u, u_step, like)


def winograd_input(d, d_row, d_column, v, v_step, like):
    tiles = np.array([_gather(d + r * d_row * like.itemsize, d_column, 6, like) for r in range(6)])
    _scatter(np.einsum("ir,jk,rkn->ijn", _INPUT, _INPUT, tiles).reshape(36, -1), v, v_step, like)


def winograd_output(m, m_step, bias, low, high, o, o_row, o_column, like):
    tiles = _gather(m, m_step, 36, like).reshape(6, 6, -1)
    y = np.clip(np.einsum("ir,jk,rkn->ijn", _OUTPUT, _OUTPUT, tiles) + bias, low, high)
    for r in range(4):
        _scatter(y[r], o + r * o_row * like.itemsize, o_column, like)


def winograd_output_back(d, d_row, d_column, v, v_step, like):
    tiles = np.array([_gather(d + r * d_row * like.itemsize, d_column, 4, like) for r in range(4)])
    _scatter(np.einsum("ri,kj,rkn->ijn", _OUTPUT, _OUTPUT, tiles).reshape(36, -1), v, v_step, like)


def winograd_kernel_back(u, u_step, g, like):
    sums = _gather(u, u_step, 36, like).reshape(6, 6, -1)
    _scatter(np.einsum("ri,kj,rkn->ijn", _KERNEL, _KERNEL, sums).reshape(9, -1), g, _lanes(like), like)


def deinterleave(x, d, d_step, like):
    row = view(x, 4 * _lanes(like) + 4, like)
    _scatter([row[k : k + 4 * _lanes(like) - 3 : 4] for k in range(6)], d, d_step, like)


def interleave(o, o_step, y, count, like):
    count = min(int(count), 4 * _lanes(like))
    view(y, count, like)[:] = _gather(o, o_step, 4, like).T.ravel()[:count]


def to_winners(dy, pooled, winners, dx, row, column, count, like):
    counts = view(pooled, count, like) > 0 if pooled else True
    for k in range(4):
        won = (view(winners, count, np.uint8(0)) == k) & counts
        place = view(dx + (k // 2 * row + k % 2 * column) * like.itemsize, count, like)
        place[:] = np.where(won, view(dy, count, like), 0)


def transpose(x, x_row, y, y_row, like):
    size = like.itemsize
    square = np.array([view(x + k * x_row * size, SQUARE, like) for k in range(SQUARE)])
    for r in range(SQUARE):
        view(y + r * y_row * size, SQUARE, like)[:] = square[:, r]


def fetch_add(address: int, n: int) -> int:
    counter = view(address, 1, np.int64(0))
    before = int(counter[0])
    counter[0] += n
    return before


def number(value: float, like: Any) -> Any:
    return type(like)(value)


def size_of(like: Any) -> int:
    return int(like.itemsize)


def read(address: int) -> int:
    return int(view(address, 1, np.int64(0))[0])


def exponential(x: Any) -> Any:
    return np.exp(np.clip(np.float64(x), -700, 700))


def log1p(x: Any) -> Any:
    return np.log1p(np.float64(x))


def logistic(x: Any) -> Any:
    return 1 / (1 + exponential(-x))


def hyperbolic_tangent(x: Any) -> Any:
    return np.tanh(np.float64(x))


def normal_distribution(x: Any) -> Any:
    return 0.5 * math.erfc(-float(x) * 0.5**0.5)
