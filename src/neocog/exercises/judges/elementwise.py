"""Judge what treats each number on its own: activations, dropout and the sum of a shortcut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from neocog.exercises.judges.comparing import Array, Case, judge
from neocog.exercises.judges.drawing import Draw, draws
from neocog.exercises.judges.formulas import complex_step

SHAPES = {"a row": (1, 6), "maps": (2, 3, 4, 4), "float32": (3, 5)}


def _elementwise(seed: int) -> Iterator[Draw]:
    """Yield draws whose sizes are a shape of one to four axes."""

    def shape(rng: np.random.Generator) -> tuple[Any, ...]:
        return tuple(rng.integers(1, 5, rng.integers(1, 5)))

    yield from draws(seed, SHAPES, shape, "a drawn shape", 4)


@judge("relu(x) -> y[ncij]")
def relu(seed: int) -> Iterator[Case]:
    """Judge ``relu(x) -> y`` of any shape."""
    for draw in _elementwise(seed):
        x = draw.normal(*draw.sizes)
        mistakes = {
            "y is the absolute value: negative numbers must become 0": np.abs(x),
            "positive and negative numbers are exchanged": np.minimum(x, 0),
            "y is the derivative, 1 for positive numbers: return the numbers themselves": (x > 0).astype(
                x.dtype
            ),
        }
        yield draw.case((x,), np.maximum(x, 0), mistakes=mistakes)


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
