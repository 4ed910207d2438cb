"""Update the parameters, as the optimizers do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neocog.kernels.fused.operation import operation, record
from neocog.kernels.fused.simd import size_of, view

__all__ = ["adam", "rmsprop", "sgd"]


@operation
def sgd(row: int, unit: int, scratch: int, zero: Any) -> None:
    """:class:`neocog.SGD`: x the weights, y their gradient, z the velocity (0: none); kind 1 is Nesterov's.

    Nothing moves unless the loss, at ``gate``, is finite.
    """
    p, like = record(row), zero[0]
    if not math.isfinite(view(p.gate, 1, np.float64(0))[0]):
        return
    size = size_of(like)
    first = unit * p.block
    count = min(p.C - first, p.block)
    w, g = view(p.x + first * size, count, like), view(p.y + first * size, count, like)
    zero = like * 0
    lr, momentum, decay = zero + p.lr, zero + p.momentum, zero + p.decay
    if p.z == 0:
        for i in range(count):
            w[i] -= lr * (g[i] + decay * w[i])
        return
    v = view(p.z + first * size, count, like)
    if p.kind:
        for i in range(count):
            step = lr * (g[i] + decay * w[i])
            v[i] = momentum * v[i] - step
            w[i] += momentum * v[i] - step
    else:
        for i in range(count):
            v[i] = momentum * v[i] - lr * (g[i] + decay * w[i])
            w[i] += v[i]


@operation
def adam(row: int, unit: int, scratch: int, zero: Any) -> None:
    """:class:`neocog.Adam`, or AdamW (kind 1): x the weights, y their gradient, z and ``init`` its moments.

    Nothing moves unless the loss, at ``gate``, is finite.
    """
    p, like = record(row), zero[0]
    if not math.isfinite(view(p.gate, 1, np.float64(0))[0]):
        return
    size = size_of(like)
    first = unit * p.block
    count = min(p.C - first, p.block)
    w, g = view(p.x + first * size, count, like), view(p.y + first * size, count, like)
    mean, square = view(p.z + first * size, count, like), view(p.init + first * size, count, like)
    zero = like * 0
    shrink = zero + (1 - p.lr * p.decay if p.kind else 1.0)
    decay = zero + (0.0 if p.kind else p.decay)
    a, b = zero + (1 - p.beta1), zero + p.beta2
    rate, spread, eps = zero + p.lr / p.correction1, zero + 1 / math.sqrt(p.correction2), zero + p.eps
    c = zero + (1 - p.beta2)
    for i in range(count):
        w[i] *= shrink
        gradient = g[i] + decay * w[i]
        mean[i] += a * (gradient - mean[i])
        square[i] = b * square[i] + c * (gradient * gradient)
        w[i] -= rate * mean[i] / (math.sqrt(square[i]) * spread + eps)


@operation
def rmsprop(row: int, unit: int, scratch: int, zero: Any) -> None:
    """:class:`neocog.RMSProp`: x the weights, y their gradient, z its mean square, ``init`` v (0: none).

    Nothing moves unless the loss, at ``gate``, is finite.
    """
    p, like = record(row), zero[0]
    if not math.isfinite(view(p.gate, 1, np.float64(0))[0]):
        return
    size = size_of(like)
    first = unit * p.block
    count = min(p.C - first, p.block)
    w, g = view(p.x + first * size, count, like), view(p.y + first * size, count, like)
    square = view(p.z + first * size, count, like)
    zero = like * 0
    lr, decay, momentum, eps = zero + p.lr, zero + p.decay, zero + p.momentum, zero + p.eps
    a, b = zero + p.alpha, zero + (1 - p.alpha)
    if p.init == 0:
        for i in range(count):
            gradient = g[i] + decay * w[i]
            square[i] = a * square[i] + b * (gradient * gradient)
            w[i] -= lr * (gradient / (math.sqrt(square[i]) + eps))
        return
    v = view(p.init + first * size, count, like)
    for i in range(count):
        gradient = g[i] + decay * w[i]
        square[i] = a * square[i] + b * (gradient * gradient)
        v[i] = momentum * v[i] + gradient / (math.sqrt(square[i]) + eps)
        w[i] -= lr * v[i]
