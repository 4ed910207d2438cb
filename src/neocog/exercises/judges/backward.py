"""Judge backward passes: compare with the derivative of the formula, measured by complex steps.

For each number of an input the derivative is ``Im sum(dy f(x + ih)) / h``. On larger sizes, where that would
take long, a backward pass of a linear map is judged by the adjoint identity ``sum(dy f(v)) = sum(dx v)`` for
random v.
No backward pass of neocog takes part.
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
from neocog.exercises.judges.forward import channels, convolutions, dense_arrays, logits, poolings


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


@judge("dense_backward(dy, x, w) -> dx[ni], dw[ik], db[k]")
def dense_backward(seed: int) -> Iterator[Case]:
    """Judge ``dense_backward(dy, x, w) -> (dx, dw, db)`` for ``y = x w + b``: x (N, I), w (I, K)."""
    for draw, x, w, b in dense_arrays(seed):
        dy = draw.normal(len(x), w.shape[1])
        dx, dw, db = complex_step(lambda x, w, b: x @ w + b, (x, w, b), dy)
        mistakes = {
            "db is the mean of dy: add up over the images": (None, None, db / len(x)),
            "dw is a mean over the images: add up, the loss divides": (None, dw / len(x), None),
        }
        if w.shape[0] == w.shape[1]:
            mistakes["dx is dy w: multiply by the transposed w"] = (dy @ w, None, None)
        yield draw.case((dy, x, w), dx, dw, db, mistakes=mistakes)


SHAPES = {"a row": (1, 6), "maps": (2, 3, 4, 4), "float32": (3, 5)}


def _elementwise(seed: int) -> Iterator[Draw]:
    """Yield draws whose sizes are a shape of one to four axes."""
    yield from draws(seed, SHAPES, _shape, "a drawn shape", 4)


def _shape(rng: np.random.Generator) -> tuple[Any, ...]:
    return tuple(rng.integers(1, 5, rng.integers(1, 5)))


@judge("relu_backward(dy, x) -> dx[ncij]")
def relu_backward(seed: int) -> Iterator[Case]:
    """Judge ``relu_backward(dy, x) -> dx`` of any shape; the slope at 0 is 0."""
    for draw in _elementwise(seed):
        x, dy = draw.distinct(*draw.sizes) + draw.dtype(0.125), draw.normal(*draw.sizes)
        dx = np.where(x > 0, dy, 0)
        mistakes = {
            "dx depends on the sign of dy: it is the sign of x that counts": np.maximum(dy, 0),
            "dx is dy everywhere: where x is negative, y does not depend on it": dy,
            "dx is the derivative alone: multiply by dy": (x > 0).astype(x.dtype),
            "dx is multiplied by y, not by the slope 1": dy * np.maximum(x, 0),
        }
        yield draw.case((dy, x), dx, mistakes=mistakes)
    half = {
        "the slope at 0 is 1/2: take 0": (np.full((1, 3), 0.5),),
        "the slope at 0 is 1: take 0": (np.ones((1, 3)),),
    }
    yield Case("x = 0", (np.ones((1, 3)), np.zeros((1, 3))), (np.zeros((1, 3)),), mistakes=half)


@judge("leaky_relu_backward(dy, x, slope) -> dx[ncij]")
def leaky_relu_backward(seed: int) -> Iterator[Case]:
    """Judge ``leaky_relu_backward(dy, x, slope) -> dx`` of any shape; no x is 0."""
    for draw in _elementwise(seed):
        slope = 0.1 if draw.seed is None else float(draw.rng.choice([0.01, 0.2, 0.3]))
        x, dy = draw.distinct(*draw.sizes) + draw.dtype(0.125), draw.normal(*draw.sizes)
        mistakes = {
            "where x is negative dx is 0: it is slope times dy": np.where(x > 0, dy, 0),
            "where x is negative dx is slope alone: multiply by dy": np.where(x > 0, dy, slope),
            "dx is the derivative alone: multiply by dy": np.where(x > 0, 1, slope),
            "the slope depends on the sign of dy: it is the sign of x that counts": np.where(
                dy > 0, dy, slope * dy
            ),
            "dx is multiplied by x: the slope alone counts": np.where(x > 0, dy, slope * x * dy),
        }
        (dx,) = complex_step(lambda x, slope=slope: np.where(x.real > 0, x, slope * x), (x,), dy)
        yield draw.case((dy, x, slope), dx, mistakes=mistakes)


@judge("sigmoid_backward(dy, y) -> dx[ncij]")
def sigmoid_backward(seed: int) -> Iterator[Case]:
    """Judge ``sigmoid_backward(dy, y) -> dx`` of any shape, from the output ``y = 1 / (1 + exp(-x))``."""

    def sigmoid(x: Array) -> Any:
        return 1 / (1 + np.exp(-x))

    for draw in _elementwise(seed):
        x, dy = draw.normal(*draw.sizes), draw.normal(*draw.sizes)
        y = sigmoid(x)
        again = sigmoid(y)
        mistakes = {
            "y is taken for x: it is the output already": dy * again * (1 - again),
            "dx is the derivative alone: multiply by dy": y * (1 - y),
            "the derivative is that of tanh, 1 - y^2": dy * (1 - y * y),
            "the factor y is missing": dy * (1 - y),
            "the factor 1 - y is missing": dy * y,
        }
        yield draw.case((dy, y), complex_step(sigmoid, (x,), dy)[0], mistakes=mistakes)


@judge("tanh_backward(dy, y) -> dx[ncij]")
def tanh_backward(seed: int) -> Iterator[Case]:
    """Judge ``tanh_backward(dy, y) -> dx`` of any shape, from the output ``y = tanh(x)``."""
    for draw in _elementwise(seed):
        x, dy = draw.normal(*draw.sizes), draw.normal(*draw.sizes)
        y = np.tanh(x)
        mistakes = {
            "y is taken for x: it is the output already": dy * (1 - np.tanh(y) ** 2),
            "dx is the derivative alone: multiply by dy": 1 - y * y,
            "the derivative is that of the sigmoid, y (1 - y)": dy * y * (1 - y),
            "y is not squared": dy * (1 - y),
        }
        yield draw.case((dy, y), complex_step(np.tanh, (x,), dy)[0], mistakes=mistakes)


@judge("softmax_backward(dy, p) -> dz[nk]")
def softmax_backward(seed: int) -> Iterator[Case]:
    """Judge ``softmax_backward(dy, p) -> dz``, from the probabilities p (N, K) of each row."""
    simple = {"one image": (1, 3), "several images": (4, 3), "float32": (3, 4)}
    label = "{0} images, {1} classes"
    for draw in draws(seed, simple, lambda rng: (rng.integers(1, 6), rng.integers(2, 6)), label):
        z, dy = draw.normal(*draw.sizes), draw.normal(*draw.sizes)
        p = formulas.softmax(z)
        mistakes = {
            "each p is differentiated by its own logit only: it depends on all logits of its row": dy
            * p
            * (1 - p),
            "the sum is over all images: each row has its own, axis=1, keepdims=True": p
            * (dy - (dy * p).sum()),
            "the sum is over the images: it must be over the classes, axis=1": p
            * (dy - (dy * p).sum(axis=0, keepdims=True)),
            "the mean of dy is subtracted: it must be the mean weighted by p, sum(dy p)": p
            * (dy - dy.mean(axis=1, keepdims=True)),
            "the factor p before the bracket is missing": dy - (dy * p).sum(axis=1, keepdims=True),
        }
        yield draw.case((dy, p), complex_step(formulas.softmax, (z,), dy)[0], mistakes=mistakes)


@judge("softmax_cross_entropy(z, t) -> loss[], dz[nk]")
def softmax_cross_entropy(seed: int) -> Iterator[Case]:
    """Judge ``softmax_cross_entropy(z, t) -> (loss, dz)``: the mean over the images, and its derivative."""
    for draw, z, t in logits(seed):

        def loss(z: Array, t: Array = t) -> Any:
            return formulas.cross_entropy(z, t)

        exact, n = z.astype(float), len(t)
        (dz,) = complex_step(loss, (exact,), 1.0)
        mistakes = {
            "the loss is a sum over the images: take the mean": (loss(exact) * n, None),
            "the sign of the loss is wrong": (-loss(exact), None),
            "dz is not divided by the number of images, but the loss is a mean": (None, dz * n),
            "dz is the probabilities: subtract 1 at the true class": (None, formulas.softmax(exact)),
        }
        yield draw.case((z, t), float(loss(exact)), dz, mistakes=mistakes)


@judge("max_pool_backward(dy, x, size) -> dx[ncuv]")
def max_pool_backward(seed: int) -> Iterator[Case]:
    """Judge ``max_pool_backward(dy, x, size) -> dx``; on a tie the first pixel, row by row, gets all.

    The windows do not overlap; pixels that no window reaches get 0.
    """
    for draw, x, size in poolings(seed):

        def forward(x: Array, size: int = size) -> Array:
            return formulas.largest(formulas.windows(x, size))

        dy = draw.normal(*forward(x).shape)
        mistakes = {
            "dy is shared by the whole window: all of it goes to the maximum": _spread(
                dy, x.shape, size, size**2
            ),
            "every pixel of a window gets dy: only the maximum does": _spread(dy, x.shape, size, 1),
        }
        yield draw.case((dy, x, size), complex_step(forward, (x,), dy)[0], mistakes=mistakes)
    rng = np.random.default_rng(seed)
    for label, x, drawn in (
        ("a tie", np.zeros((1, 1, 2, 2)), None),
        ("some ties", rng.integers(0, 3, (2, 2, 4, 6)).astype(float), seed),
    ):
        dy = np.full((1, 1, 1, 1), 3.0) if drawn is None else rng.normal(size=(2, 2, 2, 3))
        cut = formulas.windows(x, 2)
        won = cut == cut.max(axis=-1, keepdims=True)
        shares = {
            "each pixel of a tie gets all of dy: only the first does": won * 1.0,
            "the pixels of a tie share dy: the first gets all": won / won.sum(axis=-1, keepdims=True),
            "the last pixel of a tie gets dy: the first should": _last(won),
        }
        ties = {text: (_uncut(share * dy[..., None], x.shape),) for text, share in shares.items()}
        first = _uncut(_last(won[..., ::-1])[..., ::-1] * dy[..., None], x.shape)
        yield Case(label, (dy, x, 2), (first,), mistakes=ties, seed=drawn)


def _last(won: Array) -> Array:
    """Keep the last True of each window."""
    return np.asarray(won & (np.cumsum(won, axis=-1) == won.sum(axis=-1, keepdims=True)))


def _uncut(cut: Array, shape: tuple[int, ...]) -> Array:
    """Put windows of 2 x 2 back into maps."""
    N, C, rows, across, _ = cut.shape
    return cut.reshape(N, C, rows, across, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(shape)


def _spread(dy: Array, shape: tuple[int, ...], size: int, divisor: int) -> Array:
    """Give each pixel of a window ``dy / divisor``."""
    dx = np.zeros(shape)
    spread = np.kron(dy, np.ones((size, size))) / divisor
    dx[:, :, : spread.shape[2], : spread.shape[3]] = spread
    return dx


@judge("average_pool_backward(dy, x, size) -> dx[ncuv]")
def average_pool_backward(seed: int) -> Iterator[Case]:
    """Judge ``average_pool_backward(dy, x, size) -> dx``.

    The windows do not overlap; pixels that no window reaches get 0.
    """
    for draw, x, size in poolings(seed):

        def forward(x: Array, size: int = size) -> Array:
            return np.asarray(formulas.windows(x, size).mean(axis=-1))

        dy = draw.normal(*forward(x).shape)
        mistakes = {
            "every pixel of a window gets all of dy: divide by their number": _spread(dy, x.shape, size, 1),
            "dy is divided by the size of a window, not by the number of its pixels": _spread(
                dy, x.shape, size, size
            ),
        }
        yield draw.case((dy, x, size), complex_step(forward, (x,), dy)[0], mistakes=mistakes)


@judge("global_average_pool_backward(dy, x) -> dx[ncij]")
def global_average_pool_backward(seed: int) -> Iterator[Case]:
    """Judge ``global_average_pool_backward(dy, x) -> dx``: dy (N, C), x (N, C, H, W)."""
    simple = {
        "one map": (1, 1, 2, 3),
        "several maps": (2, 3, 4, 4),
        "float32": (2, 2, 3, 3),
    }
    label = "x ({0}, {1}, {2}, {3})"
    for draw in draws(seed, simple, lambda rng: tuple(rng.integers(1, 5, 4)), label, 4):
        x, dy = draw.normal(*draw.sizes), draw.normal(*draw.sizes[:2])
        (dx,) = complex_step(lambda x: x.mean(axis=(2, 3)), (x,), dy)
        H, W = x.shape[2:]
        mistakes = {
            "every pixel gets all of dy: divide by their number": dx * H * W,
            "dy is divided by the height only": dx * W,
            "dy is divided by all numbers of x: a mean is over one map": dx * H * W / x.size,
        }
        yield draw.case((dy, x), dx, mistakes=mistakes)


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


@judge("residual_backward(dy, dbranch) -> dx[ncij]")
def residual_backward(seed: int) -> Iterator[Case]:
    """Judge ``residual_backward(dy, dbranch) -> dx`` for ``y = x + f(x)``.

    ``dbranch`` is an array, what the backward pass of f makes of dy:
    ``dbranch[j] = sum_i dy[i] df[i]/dx[j]``.
    """
    for draw in _elementwise(seed):
        dy, dbranch = draw.normal(*draw.sizes), draw.normal(*draw.sizes)
        mistakes = {
            "dx is dbranch alone: the shortcut passes dy on, too": dbranch,
            "dx is dy alone: the branch passes on dbranch, too": dy,
            "dx is a product: what comes back on two ways is added": dy * dbranch,
            "dx is dy (1 + dbranch): dbranch holds dy already": dy * (1 + dbranch),
            "dx is a mean: what comes back on two ways is added": (dy + dbranch) / 2,
        }
        yield draw.case((dy, dbranch), dy + dbranch, mistakes=mistakes)


@judge("dropout_backward(dy, mask, p) -> dx[ncij]")
def dropout_backward(seed: int) -> Iterator[Case]:
    """Judge ``dropout_backward(dy, mask, p) -> dx`` for ``y = x mask / (1 - p)``.

    The mask of dy's shape and dtype holds 1 where x was kept and 0 where it was dropped, with probability p.
    """
    for draw in _elementwise(seed):
        p = 0.25 if draw.seed is None else float(draw.rng.choice([0.1, 0.2, 0.8]))
        dy = draw.normal(*draw.sizes)
        mask = (draw.rng.random(dy.shape) >= p).astype(dy.dtype)
        mask.flat[0] = 1
        mistakes = {
            "dx is not divided by 1 - p": dy * mask,
            "dx is divided by p: that is the part that is dropped": dy * mask / p,
            "dx is multiplied by 1 - p: y was divided by it": dy * mask * (1 - p),
            "what was dropped gets the gradient: the mask is 1 where x was kept": dy * (1 - mask) / (1 - p),
            "the mask is missing": dy / (1 - p),
        }
        yield draw.case((dy, mask, p), dy * mask / (1 - p), mistakes=mistakes)


@judge("batch_norm_backward(dy, x, gamma, eps) -> dx[nc], dgamma[c], dbeta[c]")
def batch_norm_backward(seed: int) -> Iterator[Case]:
    """Judge ``batch_norm_backward(dy, x, gamma, eps) -> (dx, dgamma, dbeta)`` in training: x (N, C)."""
    yield from _normalizations(seed, axis=0)


@judge("layer_norm_backward(dy, x, gamma, eps) -> dx[nk], dgamma[k], dbeta[k]")
def layer_norm_backward(seed: int) -> Iterator[Case]:
    """Judge ``layer_norm_backward(dy, x, gamma, eps) -> (dx, dgamma, dbeta)``: x (N, K), gamma (K,).

    Each row of x is normalised by its own mean and variance, which is divided by K.
    """
    yield from _normalizations(seed, axis=1)


def _normalizations(seed: int, axis: int) -> Iterator[Case]:
    for draw, x, gamma, beta, eps in channels(seed):
        label = draw.label
        if axis:  # many features and few images instead of many images and few channels
            x = np.ascontiguousarray(x.T)
            gamma, beta = draw.normal(x.shape[1]), draw.normal(x.shape[1])
            label = {"one channel": "one image", "several channels": "several images"}.get(label, label)
        dy = draw.normal(*x.shape)

        def forward(x: Array, gamma: Array, beta: Array, eps: float = eps) -> Array:
            return formulas.normalize(x, gamma, beta, eps, axis)

        dx, dgamma, dbeta = complex_step(forward, (x, gamma, beta), dy)
        s = np.sqrt(x.var(axis=axis, keepdims=True) + eps)
        x_hat = (x - x.mean(axis=axis, keepdims=True)) / s
        inner = dy * gamma

        def mean(a: Array) -> Array:
            return np.asarray(a.mean(axis=axis, keepdims=True))

        mistakes = {
            "dx takes mean and variance for constants: they depend on every x": (inner / s, None, None),
            "dx takes the variance for a constant: it depends on every x": (
                (inner - mean(inner)) / s,
                None,
                None,
            ),
            "dx takes the mean for a constant: it depends on every x": (
                (inner - x_hat * mean(inner * x_hat)) / s,
                None,
                None,
            ),
            "gamma is missing in dx": ((dy - mean(dy) - x_hat * mean(dy * x_hat)) / s, None, None),
            "dgamma is a sum of dy x: it must be that of dy x_hat": (None, (dy * x).sum(axis=0), None),
            "dgamma and dbeta are means: add up over the images": (None, dgamma / len(x), dbeta / len(x)),
        }
        if axis and x.shape[0] == x.shape[1]:
            mistakes["dgamma and dbeta are sums over the features: sum over the images, axis=0"] = (
                None,
                (dy * x_hat).sum(axis=1),
                dy.sum(axis=1),
            )
        case = draw.case((dy, x, gamma, eps), dx, dgamma, dbeta, mistakes=mistakes)
        yield dataclasses.replace(case, label=label)


@judge("col2im(columns, shape, kernel_size, stride, padding) -> x[ncuv]")
def col2im(seed: int) -> Iterator[Case]:
    """Judge ``col2im(columns, shape, kernel_size, stride, padding) -> x``, the adjoint of im2col.

    columns (N H_out W_out, C k k), ordered as in :func:`neocog.exercises.judges.forward.im2col`, and the
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


CURVED = "f(x) = sum(50 x^2 + x)"
FUNCTIONS: dict[str, tuple[Callable[[Array], Any], Callable[[Array], Array]]] = {
    "f(x) = sum(3 x)": (lambda x: np.sum(3 * x), lambda x: np.full(x.shape, 3.0)),
    CURVED: (lambda x: np.sum(50 * x * x + x), lambda x: 100 * x + 1),
    "f(x) = sum(x^3)": (lambda x: np.sum(x**3), lambda x: 3 * x**2),
    "f(x) = exp(sum(x))": (lambda x: np.exp(np.sum(x)), lambda x: np.full(x.shape, np.exp(x.sum()))),
}


def _functions(seed: int) -> Iterator[tuple[Draw, Callable[[Array], Any], Array, Array]]:
    """Yield draw, f, x and the gradient at x."""
    simple: dict[str, tuple[int, ...]] = {name: (3,) for name in FUNCTIONS}  # noqa: C420
    simple["x of shape (2, 3)"] = (2, 3)
    names = list(FUNCTIONS)
    for draw in draws(
        seed, simple, lambda rng: tuple(rng.integers(1, 4, rng.integers(1, 4))), "a drawn shape", 4
    ):
        name = draw.label if draw.label in FUNCTIONS else names[1 + draw.rng.integers(3)]
        f, gradient = FUNCTIONS[name]
        x = draw.rng.uniform(0.3, 0.8, draw.sizes) * draw.rng.choice([-1.0, 1.0], draw.sizes)
        if f is FUNCTIONS[CURVED][0]:
            x /= 100  # where a one-sided difference shows, even with a small h
        draw = Draw(draw.label.replace(", float32", ""), draw.sizes, draw.rng, np.float64, draw.seed)
        yield draw, f, x, gradient(x)


@judge("numerical_gradient(f, x) -> gradient[ij]")
def numerical_gradient(seed: int) -> Iterator[Case]:
    """Judge ``numerical_gradient(f, x) -> gradient``: central differences of f (array) -> number.

    An error of two millionths is allowed: central differences with h of about 1e-4 to 1e-7 stay below it,
    one-sided ones do not.
    """
    for draw, f, x, right in _functions(seed):
        yield draw.case((f, x), np.zeros(x.shape), verify=_near("gradient", right, 2e-6, _CENTRAL))


_CENTRAL = (
    "more than rounding explains: take (f(x + h) - f(x - h)) / 2h for one number of x after the other, with "
    "h about 1e-5"
)


def _near(name: str, right: Array, tolerance: float, advice: str) -> Callable[[Array], str]:
    def verify(got: Array) -> str:
        error = np.abs(got - right)
        scale = float(np.abs(right).max())
        if np.all(error <= tolerance * scale):
            return ""
        index = tuple(int(i) for i in np.argwhere(~(error <= tolerance * scale))[0])
        if np.all(error <= 0.02 * scale):
            signed = got - right
            if (
                np.all(np.abs(signed - signed.mean()) <= 0.01 * abs(signed.mean()))
                and right.std() > 1e-3 * scale
            ):
                return (
                    f"{name} is too {'large' if signed.mean() > 0 else 'small'} by {abs(signed.mean()):.3g} "
                    f"everywhere, the error of a one-sided difference: {advice}"
                )
            return f"{name} has an error of {error.max():.3g}, {advice}"
        size = float((right * right).sum())
        factor = float((got * right).sum()) / size
        if abs(factor) > 1e-3 and np.all(np.abs(got - factor * right) <= 1e-4 * abs(factor) * scale):
            return f"{name} is {factor:.4g} times what it should be"
        place = f"[{', '.join(map(str, index))}]"
        return f"{name}{place} is {got[index]:.6g} instead of {right[index]:.6g}"

    return verify


@judge("complex_step_gradient(f, x) -> gradient[ij]")
def complex_step_gradient(seed: int) -> Iterator[Case]:
    """Judge ``complex_step_gradient(f, x) -> gradient``: ``Im f(x + ih) / h``, real, exact to rounding."""
    advice = "more than rounding explains: take Im f(x + ih) / h with h about 1e-30; nothing is subtracted"
    for draw, f, x, right in _functions(seed):
        yield draw.case((f, x), np.zeros(x.shape), verify=_near("gradient", right, 1e-13, advice))
