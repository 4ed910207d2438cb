"""Judge convolutions, forward and backward, and what is counted about them.

For each number of an input the derivative of the formula is ``Im sum(dy f(x + ih)) / h``. On larger sizes,
where that would take long, the backward pass of a linear map is judged by the adjoint identity
``sum(dy f(v)) = sum(dx v)`` for random v. No backward pass of neocog takes part.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from neocog.exercises.judges import formulas
from neocog.exercises.judges.comparing import Array, Case, judge
from neocog.exercises.judges.drawing import Draw, draws
from neocog.exercises.judges.formulas import complex_step

CONVOLUTIONS: dict[str, tuple[int, ...]] = {  # N, C, H, W, F, k, stride, padding
    "one image, one channel, one filter": (1, 1, 4, 4, 1, 2, 1, 0),
    "a wide image": (1, 1, 4, 6, 1, 3, 1, 0),
    "several channels and filters": (1, 2, 5, 4, 3, 2, 1, 0),
    "several images": (3, 2, 4, 5, 2, 3, 1, 0),
    "padding 1": (2, 2, 4, 5, 3, 3, 1, 1),
    "stride 2": (2, 2, 5, 7, 3, 3, 2, 0),
    "stride 2 that leaves a row over": (2, 1, 6, 6, 2, 3, 2, 0),
    "stride 2, padding 1": (2, 2, 6, 5, 3, 3, 2, 1),
    "float32": (2, 2, 5, 5, 3, 3, 1, 1),
}


def convolutions(seed: int, count: int = 6) -> Iterator[tuple[Draw, Array, Array, Array, int, int]]:
    """Yield draw, x, w, b, stride and padding, from the simplest on."""

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        k, stride, padding = rng.integers(1, 5), rng.integers(1, 4), rng.integers(0, 3)
        low = max(1, int(k - 2 * padding))
        H, W = rng.integers(low, low + 5, 2)
        return rng.integers(1, 4), rng.integers(1, 4), H, W, rng.integers(1, 4), k, stride, padding

    label = "x ({0}, {1}, {2}, {3}), {4} filters of {5} x {5}, stride {6}, padding {7}"
    for draw in draws(seed, CONVOLUTIONS, sizes, label, count):
        N, C, H, W, F, k, stride, padding = draw.sizes
        yield draw, draw.normal(N, C, H, W), draw.normal(F, C, k, k), draw.normal(F), stride, padding


@judge("cross_correlate(x, w) -> y[ij]")
def cross_correlate(seed: int) -> Iterator[Case]:
    """Judge ``cross_correlate(x, w) -> y``: x (H, W), w (k, k) -> (H - k + 1, W - k + 1)."""
    simple = {
        "a 3 x 3 image and a 2 x 2 kernel": (3, 3, 2),
        "a wide image": (4, 6, 3),
        "a kernel of one number": (3, 2, 1),
        "a kernel as large as the image": (3, 3, 3),
    }

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        k = rng.integers(1, 5)
        return (*rng.integers(k, k + 6, 2), k)

    for draw in draws(seed, simple, sizes, "x ({0}, {1}), w ({2}, {2})"):
        H, W, k = draw.sizes
        x, w = draw.normal(H, W), draw.normal(k, k)

        def correlated(w: Array, x: Array = x) -> Array:
            return np.asarray(formulas.convolve(x[None, None], w[None, None], None)[0, 0])

        mistakes = {
            "y is that of a convolution with the kernel turned by 180 degrees: do not turn w": correlated(
                w[::-1, ::-1]
            ),
            "w is transposed: p counts its rows, as i counts those of x": correlated(w.T),
        }
        yield draw.case((x, w), correlated(w), mistakes=mistakes)


@judge("conv2d(x, w, b, stride, padding) -> y[nfij]")
def conv2d(seed: int) -> Iterator[Case]:
    """Judge ``conv2d(x, w, b, stride, padding) -> y``: x (N, C, H, W), w (F, C, k, k), b (F,)."""
    for draw, x, w, b, stride, padding in convolutions(seed):
        without = formulas.convolve(x, w, None, stride, padding)
        mistakes = {
            "the bias is not added": without,
            "the kernel is turned by 180 degrees": formulas.convolve(
                x, w[..., ::-1, ::-1], b, stride, padding
            ),
            "the kernel is transposed": formulas.convolve(x, np.swapaxes(w, 2, 3), b, stride, padding),
            "the bias is added once for each channel": without + x.shape[1] * b[:, None, None],
            "the bias is added once for each product": without + w[0].size * b[:, None, None],
        }
        yield draw.case((x, w, b, stride, padding), without + b[:, None, None], mistakes=mistakes)


@judge("conv2d_backward(dy, x, w, stride, padding) -> dx[ncuv], dw[fcpq], db[f]")
def conv2d_backward(seed: int) -> Iterator[Case]:
    """Judge ``conv2d_backward(dy, x, w, stride, padding) -> (dx, dw, db)``.

    x (N, C, H, W), w (F, C, k, k), dy (N, F, H_out, W_out).
    """
    for draw, x, w, b, stride, padding in convolutions(seed, 4):

        def forward(x: Array, w: Array, b: Array, stride: int = stride, padding: int = padding) -> Array:
            return formulas.convolve(x, w, b, stride, padding)

        dy = draw.normal(*forward(x, w, b).shape)
        dx, dw, db = complex_step(forward, (x, w, b), dy)

        def turned(x: Array = x, w: Array = w[..., ::-1, ::-1], b: Array = b) -> Array:
            return complex_step(lambda x: forward(x, w, b), (x,), dy)[0]  # noqa: B023

        mistakes = {
            "dx is that of the kernel turned by 180 degrees": (turned, None, None),
            "db is the mean of dy: add up over images and positions": (None, None, dy.mean(axis=(0, 2, 3))),
            "dx, dw and db are divided by the number of images: the loss does that": tuple(
                d / len(x) for d in (dx, dw, db)
            ),
        }
        yield draw.case((dy, x, w, stride, padding), dx, dw, db, mistakes=mistakes)
    rng = np.random.default_rng(seed)
    stride, padding = (int(v) for v in rng.integers(1, 4, 2))
    x, w = rng.normal(size=(3, 4, *rng.integers(9, 14, 2))), rng.normal(size=(5, 4, 3, 3))
    dy = rng.normal(size=formulas.convolve(x, w, None, stride, padding).shape)
    v, direction = rng.normal(size=x.shape), rng.normal(size=w.shape)
    maps = {
        "x": (v, lambda v: formulas.convolve(v, w, None, stride, padding)),
        "w": (direction, lambda v: formulas.convolve(x, v, None, stride, padding)),
        "b": (rng.normal(size=5), lambda v: v[:, None, None] + 0 * dy),
    }
    verify = _adjoint("the convolution", maps, dy)
    label = f"x {x.shape}, w {w.shape}, stride {stride}, padding {padding}"
    yield Case(label, (dy, x, w, stride, padding), (x, w, np.zeros(5)), verify=verify, seed=seed)


def _adjoint(
    what: str, maps: dict[str, tuple[Array, Callable[[Array], Array]]], dy: Array
) -> Callable[..., str]:
    """Return a check that each result is the adjoint of a linear map, applied to dy.

    ``maps`` holds, in the order of the results, the map of each input and a random v, by the input's name.
    """

    def verify(*results: Array) -> str:
        for (name, (v, function)), result in zip(maps.items(), results, strict=True):
            y = function(v)
            left, right = float(np.sum(dy * y)), float(np.sum(result * v))
            size = float(np.sqrt(np.sum((dy * y) ** 2) + np.sum((result * v) ** 2)))
            if not abs(left - right) <= 1e-7 * size:
                return (
                    f"d{name} is not the adjoint of {what}: for y computed from random {name}, sum(dy * y) = "
                    f"{left:.6g}, but sum(d{name} * {name}) = {right:.6g}"
                )
        return ""

    return verify


@judge("depthwise_conv2d_backward(dy, x, w) -> dx[ncuv], dw[cgpq]")
def depthwise_conv2d_backward(seed: int) -> Iterator[Case]:
    """Judge ``depthwise_conv2d_backward(dy, x, w) -> (dx, dw)``: each channel has a kernel of its own.

    x (N, C, H, W), w (C, 1, k, k), dy (N, C, H - k + 1, W - k + 1): stride 1, no padding, no bias.
    """
    simple = {
        "one image, one channel": (1, 1, 4, 4, 2),
        "several channels": (1, 3, 4, 5, 2),
        "several images": (3, 2, 5, 4, 3),
        "float32": (2, 3, 5, 5, 3),
    }

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        k = rng.integers(1, 4)
        return (*rng.integers(1, 4, 2), *rng.integers(k, k + 4, 2), k)

    for draw in draws(seed, simple, sizes, "x ({0}, {1}, {2}, {3}), kernels of {4} x {4}", 4):
        *shape, k = draw.sizes
        x, w = draw.normal(*shape), draw.normal(shape[1], 1, k, k)

        def turned(x: Array = x, w: Array = w[..., ::-1, ::-1]) -> Array:
            return complex_step(lambda x: formulas.convolve_depthwise(x, w), (x,), dy)[0]  # noqa: B023

        dy = draw.normal(*formulas.convolve_depthwise(x, w).shape)
        dx, dw = complex_step(formulas.convolve_depthwise, (x, w), dy)
        mistakes = {"dx is that of the kernels turned by 180 degrees": (turned, None)}
        yield draw.case((dy, x, w), dx, dw, mistakes=mistakes)


@judge("pad_backward(dy, padding) -> dx[ncuv]")
def pad_backward(seed: int) -> Iterator[Case]:
    """Judge ``pad_backward(dy, padding) -> dx``: dy (N, C, H + 2 padding, W + 2 padding) -> (N, C, H, W)."""
    simple = {
        "padding 1": (1, 1, 3, 3, 1),
        "padding 2": (2, 3, 3, 4, 2),
        "padding 0": (2, 2, 3, 3, 0),
        "float32": (2, 2, 3, 3, 1),
    }

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        return (*rng.integers(1, 5, 4), rng.integers(0, 4))

    for draw in draws(seed, simple, sizes, "x ({0}, {1}, {2}, {3}), padding {4}", 5):
        N, C, H, W, p = draw.sizes
        dy = draw.normal(N, C, H + 2 * p, W + 2 * p)
        yield draw.case((dy, p), dy[:, :, p : p + H, p : p + W].copy())


@judge("im2col(x, kernel_size, stride, padding) -> columns[rk]")
def im2col(seed: int) -> Iterator[Case]:
    """Judge ``im2col(x, kernel_size, stride, padding) -> columns``, whole numbers as the last three.

    x (N, C, H, W) -> (N H_out W_out, C k k): row ``(n H_out + i) W_out + j`` is the window at (i, j) of image
    n, channel by channel, row by row, as in :func:`neocog.kernels.im2col`.
    """
    for draw, x, w, _, stride, padding in convolutions(seed):
        k = w.shape[2]
        right = formulas.columns(x, k, stride, padding)
        windows = right.reshape(len(x), -1, x.shape[1], k * k)
        mistakes = {
            "the channels come last in a row: each row holds channel by channel": np.swapaxes(
                windows, 2, 3
            ).reshape(right.shape),
            "the rows are in another order: image by image, then position by position": np.swapaxes(
                windows, 0, 1
            ).reshape(right.shape),
        }
        yield draw.case((x, k, stride, padding), right, mistakes=mistakes)


@judge("col2im(columns, shape, kernel_size, stride, padding) -> x[ncuv]")
def col2im(seed: int) -> Iterator[Case]:
    """Judge ``col2im(columns, shape, kernel_size, stride, padding) -> x``, the adjoint of im2col.

    columns (N H_out W_out, C k k), ordered as in :func:`neocog.exercises.judges.convolution.im2col`, and the
    shape (N, C, H, W) -> x of that shape: each number is added where im2col read it.
    """
    for draw, x, w, _, stride, padding in convolutions(seed, 4):
        k = w.shape[2]

        def forward(x: Array, k: int = k, stride: int = stride, padding: int = padding) -> Array:
            return formulas.columns(x, k, stride, padding)

        dy = draw.normal(*forward(x).shape)
        (dx,) = complex_step(forward, (x,), dy)
        (counts,) = complex_step(forward, (x,), np.ones(dy.shape))
        mistakes = {
            "the numbers are averaged where windows overlap: add them": dx / np.maximum(counts, 1),
            "where windows overlap only the last one is kept: add them, with +=": _last_written(
                dy, x.shape, k, stride, padding
            ),
        }
        yield draw.case((dy, x.shape, k, stride, padding), dx, mistakes=mistakes)
    rng = np.random.default_rng(seed)
    k, stride, padding = (int(v) for v in rng.integers((2, 1, 0), (5, 3, 3)))
    shape = (3, 4, *(int(v) for v in rng.integers(8, 13, 2)))
    v = rng.normal(size=shape)
    cut = formulas.columns(v, k, stride, padding)
    columns = rng.normal(size=cut.shape)

    def verify(x: Array) -> str:
        left, right = float(np.sum(columns * cut)), float(np.sum(x * v))
        if abs(left - right) <= 1e-7 * float(np.sqrt(np.sum((columns * cut) ** 2))):
            return ""
        return (
            f"it is not the adjoint of im2col: for random v, sum(columns * im2col(v)) = {left:.6g}, but "
            f"sum(col2im(columns) * v) = {right:.6g}"
        )

    label = f"shape {shape}, kernels of {k} x {k}, stride {stride}, padding {padding}"
    yield Case(label, (columns, shape, k, stride, padding), (v,), verify=verify, seed=seed)


def _last_written(columns: Array, shape: tuple[int, ...], k: int, stride: int, padding: int) -> Array:
    N, C, H, W = shape
    x = np.zeros((N, C, H + 2 * padding, W + 2 * padding))
    rows = iter(columns)
    for n in range(N):
        for top in range(0, x.shape[2] - k + 1, stride):
            for left in range(0, x.shape[3] - k + 1, stride):
                x[n, :, top : top + k, left : left + k] = next(rows).reshape(C, k, k)
    return x[:, :, padding : padding + H, padding : padding + W]


@judge("output_size(n, k, stride, padding, dilation) -> size[]")
def output_size(seed: int) -> Iterator[Case]:
    """Judge ``output_size(n, k, stride, padding, dilation) -> int``."""
    simple = {
        "stride 1, no padding": (8, 3, 1, 0, 1),
        "padding 1": (8, 3, 1, 1, 1),
        "stride 2": (9, 3, 2, 0, 1),
        "stride 2 that leaves a pixel over": (8, 3, 2, 0, 1),
        "dilation 2": (8, 3, 1, 0, 2),
        "stride 2, padding 3, dilation 2": (32, 5, 2, 3, 2),
    }

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        k, padding, dilation = rng.integers(1, 6), rng.integers(0, 4), rng.integers(1, 4)
        low = max(1, int(dilation * (k - 1) + 1 - 2 * padding))
        return rng.integers(low, low + 40), k, rng.integers(1, 5), padding, dilation

    for draw in draws(seed, simple, sizes, "n = {0}, k = {1}, stride {2}, padding {3}, dilation {4}", 20):
        n, k, stride, padding, dilation = draw.sizes
        room = n + 2 * padding - dilation * (k - 1) - 1
        mistakes = {
            "the size is rounded up: a window must lie in the padded image, so round down": -(-room // stride)
            + 1,
            "the padding is counted on one side only": (room - padding) // stride + 1,
            "1 is added before the division: the first window comes on top of the steps": (room + 1)
            // stride,
            "the + 1 is missing: the first window comes on top of the steps": room // stride,
        }
        yield draw.case(draw.sizes, room // stride + 1, mistakes=mistakes)


@judge("receptive_field(layers) -> size[]")
def receptive_field(seed: int) -> Iterator[Case]:
    """Judge ``receptive_field(layers) -> int``: layers is a list of (kernel, stride), first layer first."""
    simple: dict[str, tuple[Any, ...]] = {
        "one convolution of 3": ((3, 1),),
        "two convolutions of 3": ((3, 1), (3, 1)),
        "a convolution and a pooling": ((3, 1), (2, 2)),
        "a stride, then a convolution": ((2, 2), (3, 1)),
        "three layers": ((3, 1), (2, 2), (5, 1)),
    }

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        return tuple((int(rng.integers(1, 6)), int(rng.integers(1, 4))) for _ in range(rng.integers(2, 6)))

    for draw in draws(seed, simple, sizes, "drawn layers", 8):
        layers = list(draw.sizes)
        size, jump, late = 1, 1, 1
        for kernel, stride in layers:
            size += (kernel - 1) * jump
            jump *= stride
            late += (kernel - 1) * jump
        mistakes = {
            "the strides are ignored: later pixels are as far apart as all strides before them say": 1
            + sum(k - 1 for k, _ in layers),
            "a layer's own stride is counted for its own kernel: it counts for the layers after it": late,
        }
        label = draw.label if draw.seed is None else f"layers {layers}"
        yield dataclasses.replace(draw.case((layers,), size, mistakes=mistakes), label=label)
