"""Compute the losses and their gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neocog.kernels.fused.operation import operation
from neocog.kernels.fused.simd import size_of, view

__all__ = ["mean_squared_error", "softmax_cross_entropy"]


@operation(arrays="z dz loss targets sample_weight", integers="C N", numbers="smoothing")
def softmax_cross_entropy(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute the loss of :class:`neocog.SoftmaxCrossEntropy` and its gradient, in one unit.

    z are the logits (C, N), ``loss`` is one float64, ``targets`` are int64 (N,), ``sample_weight`` is float64
    (N,) and 1/N each without weights. The loss is NaN if a target is no class.
    """
    like = zero[0]
    size = size_of(like)
    N = p.N
    labels = view(p.targets, N, np.int64(0))
    weights = view(p.sample_weight, N, np.float64(0))
    total = 0.0
    for n in range(N):
        if labels[n] < 0 or labels[n] >= p.C:
            view(p.loss, 1, np.float64(0))[0] = np.nan
            return
        z = view(p.z + n * size, (p.C - 1) * N + 1, like)
        dz = view(p.dz + n * size, (p.C - 1) * N + 1, like)
        highest = z[0]
        for k in range(1, p.C):
            highest = max(highest, z[k * N])
        powers = like * 0
        shifted = like * 0
        for k in range(p.C):
            shifted += z[k * N] - highest
            dz[k * N] = math.exp(z[k * N] - highest)
            powers += dz[k * N]
        right = labels[n] * N
        loss = math.log(powers) - (z[right] - highest) * (1 - p.smoothing)
        if p.smoothing:
            loss -= shifted * (p.smoothing / p.C)
        total += loss * weights[n]
        share = weights[n] / powers
        for k in range(p.C):
            dz[k * N] = dz[k * N] * share - weights[n] * p.smoothing / p.C
        dz[right] -= weights[n] * (1 - p.smoothing)
    view(p.loss, 1, np.float64(0))[0] = total


@operation(arrays="z dz loss targets sample_weight", integers="C N")
def mean_squared_error(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute the loss of :class:`neocog.MeanSquaredError` and its gradient, in one unit.

    z are the outputs (C, N), ``loss`` is one float64, ``targets`` are (N, C), ``sample_weight`` is float64
    (N,) and 1/N each without weights.
    """
    like = zero[0]
    N, C = p.N, p.C
    z, dz, t = view(p.z, C * N, like), view(p.dz, C * N, like), view(p.targets, N * C, like)
    weights = view(p.sample_weight, N, np.float64(0))
    total = 0.0
    for n in range(N):
        share = weights[n] / C
        for k in range(C):
            difference = z[k * N + n] - t[n * C + k]
            total += share * difference * difference
            dz[k * N + n] = 2 * share * difference
    view(p.loss, 1, np.float64(0))[0] = total
