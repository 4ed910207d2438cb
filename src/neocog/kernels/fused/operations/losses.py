"""Compute the losses and their gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neocog.kernels.fused.operation import operation
from neocog.kernels.fused.simd import size_of, view

__all__ = ["binary_cross_entropy", "mean_squared_error", "softmax_cross_entropy"]


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


@operation(arrays="z dz loss targets sample_weight pos_weight", integers="C N", numbers="smoothing")
def binary_cross_entropy(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute the loss of :class:`neocog.BinaryCrossEntropy` and its gradient, in one unit.

    z are the logits (C, N), ``loss`` is one float64, ``targets`` are (N, C), ``sample_weight`` is float64
    (N,) and 1/N each without weights, ``pos_weight`` float64 (C,). The loss is
    NaN if a target is not in 0..1.
    """
    like = zero[0]
    N, C = p.N, p.C
    z, dz, t = view(p.z, C * N, like), view(p.dz, C * N, like), view(p.targets, N * C, like)
    weights, positive = view(p.sample_weight, N, np.float64(0)), view(p.pos_weight, C, np.float64(0))
    total = 0.0
    for n in range(N):
        share = weights[n] / C
        for k in range(C):
            target = t[n * C + k]
            if not (0 <= target <= 1):
                view(p.loss, 1, np.float64(0))[0] = np.nan
                return
            q = target * (1 - p.smoothing) + p.smoothing / 2
            v = positive[k]
            logit = z[k * N + n]
            decay = math.exp(-abs(logit))
            softplus = math.log1p(decay) + max(-logit, 0)
            probability = (1 if logit >= 0 else decay) / (1 + decay)
            times = 1 + (v - 1) * q
            total += share * ((1 - q) * logit + times * softplus)
            dz[k * N + n] = share * (probability * times - v * q)
    view(p.loss, 1, np.float64(0))[0] = total
