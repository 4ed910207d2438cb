"""Compute the losses and their gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neocog.kernels.fused.operation import operation, record
from neocog.kernels.fused.simd import size_of, view

__all__ = ["mean_squared_error", "softmax_cross_entropy"]


@operation
def softmax_cross_entropy(row: int, unit: int, scratch: int, zero: Any) -> None:
    """The loss of :class:`neocog.SoftmaxCrossEntropy`, in one unit.

    x are the logits (C, N), z their gradient, y the loss (float64), ``targets`` int64, ``weights`` by how
    much each image counts, 1/N as a rule (float64); the loss is NaN if a target is no class.
    """
    p, like = record(row), zero[0]
    size = size_of(like)
    N = p.N
    labels = view(p.targets, N, np.int64(0))
    weights = view(p.weights, N, np.float64(0))
    total = 0.0
    for n in range(N):
        if labels[n] < 0 or labels[n] >= p.C:
            view(p.y, 1, np.float64(0))[0] = np.nan
            return
        x = view(p.x + n * size, (p.C - 1) * N + 1, like)
        z = view(p.z + n * size, (p.C - 1) * N + 1, like)
        highest = x[0]
        for k in range(1, p.C):
            highest = max(highest, x[k * N])
        powers = like * 0
        shifted = like * 0
        for k in range(p.C):
            shifted += x[k * N] - highest
            z[k * N] = math.exp(x[k * N] - highest)
            powers += z[k * N]
        right = labels[n] * N
        loss = math.log(powers) - (x[right] - highest) * (1 - p.smoothing)
        if p.smoothing:
            loss -= shifted * (p.smoothing / p.C)
        total += loss * weights[n]
        share = weights[n] / powers
        for k in range(p.C):
            z[k * N] = z[k * N] * share - weights[n] * p.smoothing / p.C
        z[right] -= weights[n] * (1 - p.smoothing)
    view(p.y, 1, np.float64(0))[0] = total


@operation
def mean_squared_error(row: int, unit: int, scratch: int, zero: Any) -> None:
    """The loss of :class:`neocog.MeanSquaredError`, in one unit.

    x are the outputs (C, N), z their gradient, y the loss (float64), ``targets`` (N, C), ``weights`` by how
    much each image counts, 1/N as a rule (float64).
    """
    p, like = record(row), zero[0]
    N, C = p.N, p.C
    x, z, t = view(p.x, C * N, like), view(p.z, C * N, like), view(p.targets, N * C, like)
    weights = view(p.weights, N, np.float64(0))
    total = 0.0
    for n in range(N):
        share = weights[n] / C
        for k in range(C):
            difference = x[k * N + n] - t[n * C + k]
            total += share * difference * difference
            z[k * N + n] = 2 * share * difference
    view(p.y, 1, np.float64(0))[0] = total
