"""Judge normalizations, forward and backward."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from neocog.exercises.judges import formulas
from neocog.exercises.judges.comparing import Array, Case, judge
from neocog.exercises.judges.drawing import Draw, draws
from neocog.exercises.judges.formulas import complex_step


def channels(seed: int) -> Iterator[tuple[Draw, Array, Array, Array, float]]:
    """Yield draw, x (N, C), gamma (C,), beta (C,) and eps."""
    simple = {
        "one channel": (5, 1, 1e-5),
        "several channels": (5, 3, 1e-5),
        "a large eps": (5, 2, 0.5),
        "float32": (6, 3, 1e-3),
    }

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        return rng.integers(5, 10), rng.integers(1, 5), float(rng.choice([1e-3, 0.1, 1.0]))

    for draw in draws(seed, simple, sizes, "x ({0}, {1}), eps {2}"):
        n, c, eps = draw.sizes
        shift = draw.normal(c)
        yield draw, draw.normal(n, c) + shift, draw.normal(c), draw.normal(c), eps


@judge("batch_norm(x, gamma, beta, eps) -> y[nc]")
def batch_norm(seed: int) -> Iterator[Case]:
    """Judge ``batch_norm(x, gamma, beta, eps) -> y`` in training: x (N, C), gamma (C,), beta (C,).

    The variance of each channel over the batch is divided by N, and
    ``y = gamma (x - mean) / sqrt(var + eps) + beta``.
    """
    for draw, x, gamma, beta, eps in channels(seed):
        centred = x - x.mean(axis=0)
        var = x.var(axis=0)
        mistakes = {
            "the variance is divided by N - 1: in training it is divided by N": gamma
            * centred
            / np.sqrt(x.var(axis=0, ddof=1) + eps)
            + beta,
            "eps is added to the standard deviation: it belongs under the root": gamma
            * centred
            / (np.sqrt(var) + eps)
            + beta,
            "eps is missing": gamma * centred / np.sqrt(var) + beta,
            "it is divided by the variance: take its root": gamma * centred / (var + eps) + beta,
            "the mean is not subtracted": gamma * x / np.sqrt(var + eps) + beta,
            "gamma and beta are missing": centred / np.sqrt(var + eps),
            "mean and variance are those of an image, not of a channel: take axis=0": formulas.normalize(
                x, gamma, beta, eps, 1
            ),
            "mean and variance are those of all numbers together: take axis=0": gamma
            * (x - x.mean())
            / np.sqrt(x.var() + eps)
            + beta,
        }
        yield draw.case((x, gamma, beta, eps), formulas.normalize(x, gamma, beta, eps, 0), mistakes=mistakes)


@judge("batch_norm_running(running_mean, running_var, x, momentum) -> mean[c], var[c]")
def batch_norm_running(seed: int) -> Iterator[Case]:
    """Judge ``batch_norm_running(running_mean, running_var, x, momentum) -> (mean, var)``: x (N, C).

    ``new = (1 - momentum) old + momentum batch``, as in PyTorch; the batch's variance is divided by N - 1.
    """
    for draw, x, mean, root, _ in channels(seed):
        momentum = 0.1 if draw.seed is None else float(draw.rng.choice([0.01, 0.1, 0.3]))
        var = root**2 + draw.dtype(0.5)

        def mixed(old: Array, new: Array, m: float = momentum) -> Array:
            return np.asarray((1 - m) * old + m * new)

        m, v, biased = x.mean(axis=0), x.var(axis=0, ddof=1), x.var(axis=0)
        mistakes: dict[str, Any] = {
            "the variance of the batch is divided by N: divide by N - 1": (None, mixed(var, biased)),
            "old and new are exchanged: momentum is the weight of the batch": (mixed(m, mean), mixed(v, var)),
            "var is a standard deviation: keep the variance": (None, mixed(var, np.sqrt(v))),
            "the statistics are those of the batch alone": (m, v),
        }
        yield draw.case((mean, var, x, momentum), mixed(mean, m), mixed(var, v), mistakes=mistakes)


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
