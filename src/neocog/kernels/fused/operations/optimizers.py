"""Clip the gradients and update the parameters, as the optimizers do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neocog.kernels.fused.operation import operation
from neocog.kernels.fused.simd import size_of, view

__all__ = ["adam", "clip_gradient", "gradient_norm", "gradient_squares", "nadam", "rmsprop", "sgd"]


@operation(
    arrays="weight gradient velocity loss", integers="count block nesterov", numbers="lr momentum decay"
)
def sgd(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Update ``count`` weights as :class:`neocog.SGD` does; without ``velocity`` (0) there is no momentum.

    Nothing is changed unless the loss is finite.
    """
    like = zero[0]
    if not math.isfinite(view(p.loss, 1, np.float64(0))[0]):
        return
    size = size_of(like)
    first = unit * p.block
    count = min(p.count - first, p.block)
    w, g = view(p.weight + first * size, count, like), view(p.gradient + first * size, count, like)
    zero = like * 0
    lr, momentum, decay = zero + p.lr, zero + p.momentum, zero + p.decay
    if p.velocity == 0:
        for i in range(count):
            w[i] -= lr * (g[i] + decay * w[i])
        return
    v = view(p.velocity + first * size, count, like)
    if p.nesterov:
        for i in range(count):
            step = lr * (g[i] + decay * w[i])
            v[i] = momentum * v[i] - step
            w[i] += momentum * v[i] - step
    else:
        for i in range(count):
            v[i] = momentum * v[i] - lr * (g[i] + decay * w[i])
            w[i] += v[i]


@operation(
    arrays="weight gradient mean square loss",
    integers="count block decoupled",
    numbers="lr decay beta1 beta2 eps correction1 correction2",
)
def adam(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Update ``count`` weights as :class:`neocog.Adam` does, or AdamW if the decay is ``decoupled``.

    ``mean`` and ``square`` are the first and the second moment. Nothing is changed unless the loss is finite.
    """
    like = zero[0]
    if not math.isfinite(view(p.loss, 1, np.float64(0))[0]):
        return
    size = size_of(like)
    first = unit * p.block
    count = min(p.count - first, p.block)
    w, g = view(p.weight + first * size, count, like), view(p.gradient + first * size, count, like)
    mean, square = view(p.mean + first * size, count, like), view(p.square + first * size, count, like)
    zero = like * 0
    shrink = zero + (1 - p.lr * p.decay if p.decoupled else 1.0)
    decay = zero + (0.0 if p.decoupled else p.decay)
    a, b = zero + (1 - p.beta1), zero + p.beta2
    rate, spread, eps = zero + p.lr / p.correction1, zero + 1 / math.sqrt(p.correction2), zero + p.eps
    c = zero + (1 - p.beta2)
    for i in range(count):
        w[i] *= shrink
        gradient = g[i] + decay * w[i]
        mean[i] += a * (gradient - mean[i])
        square[i] = b * square[i] + c * (gradient * gradient)
        w[i] -= rate * mean[i] / (math.sqrt(square[i]) * spread + eps)


@operation(
    arrays="weight gradient mean square loss",
    integers="count block",
    numbers="lr decay beta1 beta2 eps correction2 of_gradient of_mean",
)
def nadam(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Update ``count`` weights as :class:`neocog.NAdam` does.

    A step is ``of_gradient`` times the gradient and ``of_mean`` times the first moment. Nothing is changed
    unless the loss is finite.
    """
    like = zero[0]
    if not math.isfinite(view(p.loss, 1, np.float64(0))[0]):
        return
    size = size_of(like)
    first = unit * p.block
    count = min(p.count - first, p.block)
    w, g = view(p.weight + first * size, count, like), view(p.gradient + first * size, count, like)
    mean, square = view(p.mean + first * size, count, like), view(p.square + first * size, count, like)
    zero = like * 0
    lr, decay, eps = zero + p.lr, zero + p.decay, zero + p.eps
    a, b, c = zero + (1 - p.beta1), zero + p.beta2, zero + (1 - p.beta2)
    of_gradient, of_mean, spread = zero + p.of_gradient, zero + p.of_mean, zero + 1 / math.sqrt(p.correction2)
    for i in range(count):
        gradient = g[i] + decay * w[i]
        mean[i] += a * (gradient - mean[i])
        square[i] = b * square[i] + c * (gradient * gradient)
        w[i] -= lr * (of_gradient * gradient + of_mean * mean[i]) / (math.sqrt(square[i]) * spread + eps)


@operation(
    arrays="weight gradient square velocity loss",
    integers="count block",
    numbers="lr momentum decay alpha eps",
)
def rmsprop(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Update ``count`` weights as :class:`neocog.RMSProp` does.

    ``square`` is the mean square of the gradients; without ``velocity`` (0) there is no momentum. Nothing is
    changed unless the loss is finite.
    """
    like = zero[0]
    if not math.isfinite(view(p.loss, 1, np.float64(0))[0]):
        return
    size = size_of(like)
    first = unit * p.block
    count = min(p.count - first, p.block)
    w, g = view(p.weight + first * size, count, like), view(p.gradient + first * size, count, like)
    square = view(p.square + first * size, count, like)
    zero = like * 0
    lr, decay, momentum, eps = zero + p.lr, zero + p.decay, zero + p.momentum, zero + p.eps
    a, b = zero + p.alpha, zero + (1 - p.alpha)
    if p.velocity == 0:
        for i in range(count):
            gradient = g[i] + decay * w[i]
            square[i] = a * square[i] + b * (gradient * gradient)
            w[i] -= lr * (gradient / (math.sqrt(square[i]) + eps))
        return
    v = view(p.velocity + first * size, count, like)
    for i in range(count):
        gradient = g[i] + decay * w[i]
        square[i] = a * square[i] + b * (gradient * gradient)
        v[i] = momentum * v[i] + gradient / (math.sqrt(square[i]) + eps)
        w[i] -= lr * v[i]


@operation(arrays="gradient squares", integers="count block part")
def gradient_squares(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Sum the squares of a block of a gradient into number ``part + unit`` of the float64 ``squares``."""
    like = zero[0]
    first = unit * p.block
    count = min(p.count - first, p.block)
    g = view(p.gradient + first * size_of(like), count, like)
    total = 0.0
    for i in range(count):
        total += np.float64(g[i]) * np.float64(g[i])
    view(p.squares, p.part + unit + 1, np.float64(0))[p.part + unit] = total


@operation(arrays="squares factor", integers="count", numbers="clip_norm eps")
def gradient_norm(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute the ``factor`` of clipping, one float64, from the ``count`` sums of squares, in one unit."""
    squares = view(p.squares, p.count, np.float64(0))
    total = 0.0
    for i in range(p.count):
        total += squares[i]
    view(p.factor, 1, np.float64(0))[0] = p.clip_norm / (math.sqrt(total) + p.eps)


@operation(arrays="gradient factor", integers="count block")
def clip_gradient(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Multiply a gradient by the ``factor``, unless it is 1 or more."""
    like = zero[0]
    factor = view(p.factor, 1, np.float64(0))[0]
    if not factor < 1:
        return
    first = unit * p.block
    count = min(p.count - first, p.block)
    g = view(p.gradient + first * size_of(like), count, like)
    scale = like * 0 + factor
    for i in range(count):
        g[i] *= scale
