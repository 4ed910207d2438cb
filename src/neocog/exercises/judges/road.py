"""Judge parts of the networks between TinyCNN and ResNet-50."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neocog.exercises.judges.comparing import Case, judge


def subsample(program: Callable[..., Any]) -> str:
    """Judge ``subsample(x, w, b) -> y``: the sum of each 2 x 2 window, times w[c], plus b[c]."""
    rng, cases = np.random.default_rng(), []
    for label, shape in (("one map", (1, 1, 4, 4)), ("several maps and images", (2, 3, 4, 6))):
        x, w, b = rng.normal(size=shape), rng.normal(size=shape[1]), rng.normal(size=shape[1])
        y = np.zeros((*shape[:2], shape[2] // 2, shape[3] // 2))
        for n, c, i, j in np.ndindex(y.shape):
            y[n, c, i, j] = w[c] * x[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].sum() + b[c]
        cases.append(Case(label, (x, w, b), (y,)))
    return judge(program, cases, ("y",), ("ncij",))


def shortcut(program: Callable[..., Any]) -> str:
    """Judge ``shortcut(x, channels) -> y``: every second pixel, and maps of zeros up to ``channels``."""
    rng, cases = np.random.default_rng(), []
    for label, shape, channels in (
        ("one map that becomes two", (1, 1, 4, 4), 2),
        ("several images", (3, 2, 4, 6), 5),
        ("an odd height", (1, 2, 5, 4), 4),
    ):
        x = rng.normal(size=shape)
        y = np.zeros((shape[0], channels, (shape[2] + 1) // 2, (shape[3] + 1) // 2))
        for n, c, i, j in np.ndindex(shape[0], shape[1], *y.shape[2:]):
            y[n, c, i, j] = x[n, c, 2 * i, 2 * j]
        cases.append(Case(label, (x, channels), (y,)))
    return judge(program, cases, ("y",), ("ncij",))


def top_error(program: Callable[..., Any]) -> str:
    """Judge ``top_error(p, t, k) -> float``: the fraction of images whose class is not among the first k."""
    rng, cases = np.random.default_rng(), []
    for label, n, classes, k in (("k = 1", 8, 4, 1), ("k = 5", 20, 12, 5), ("k = all classes", 5, 3, 3)):
        p = np.stack([rng.permutation(classes) for _ in range(n)]) / classes
        t = rng.integers(0, classes, n)
        missed = sum((p[i] > p[i, t[i]]).sum() >= k for i in range(n))
        cases.append(Case(label, (p, t, k), (np.asarray(missed / n),)))
    return judge(program, cases, ("the error",), ("",))
