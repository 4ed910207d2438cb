"""Judge parts of the networks between TinyCNN and ResNet-50."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neocog.exercises.judges.comparing import Case, judge


@judge("subsample(x, w, b) -> y[ncij]")
def subsample(seed: int) -> Iterator[Case]:
    """Judge ``subsample(x, w, b) -> y``: the sum of each 2 x 2 window, times w[c], plus b[c]."""
    rng = np.random.default_rng(seed)
    for label, shape in (
        ("one map", (1, 1, 4, 4)),
        ("several maps and images", (2, 3, 4, 6)),
        ("float32", (2, 2, 6, 4)),
    ):
        dtype = "float32" if label == "float32" else "float64"
        x, w, b = (rng.normal(size=size).astype(dtype) for size in (shape, shape[1], shape[1]))
        y = np.zeros((*shape[:2], shape[2] // 2, shape[3] // 2), dtype)
        for n, c, i, j in np.ndindex(y.shape):
            y[n, c, i, j] = w[c] * x[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].sum() + b[c]
        yield Case(label, (x, w, b), (y,), 1e-5 if dtype == "float32" else 1e-9, seed=seed)


@judge("shortcut(x, channels) -> y[ncij]")
def shortcut(seed: int) -> Iterator[Case]:
    """Judge ``shortcut(x, channels) -> y``: every second pixel, and maps of zeros up to ``channels``."""
    rng = np.random.default_rng(seed)
    for label, shape, channels in (
        ("one map that becomes two", (1, 1, 4, 4), 2),
        ("several images", (3, 2, 4, 6), 5),
        ("an odd height", (1, 2, 5, 4), 4),
        ("an odd width", (2, 2, 4, 7), 4),
        ("float32", (2, 2, 4, 4), 4),
    ):
        x = rng.normal(size=shape).astype("float32" if label == "float32" else "float64")
        y = np.zeros((shape[0], channels, (shape[2] + 1) // 2, (shape[3] + 1) // 2), x.dtype)
        for n, c, i, j in np.ndindex(shape[0], shape[1], *y.shape[2:]):
            y[n, c, i, j] = x[n, c, 2 * i, 2 * j]
        yield Case(label, (x, channels), (y,), seed=seed)


@judge("top_error(p, t, k) -> error[]")
def top_error(seed: int) -> Iterator[Case]:
    """Judge ``top_error(p, t, k) -> float``: the fraction of images whose class is not among the first k."""
    rng = np.random.default_rng(seed)
    for label, n, classes, k in (
        ("k = 1", 8, 4, 1),
        ("k = 5", 20, 12, 5),
        ("k = 2", 40, 8, 2),
        ("k = all classes", 5, 3, 3),
    ):
        p = np.stack([rng.permutation(classes) for _ in range(n)]) / classes
        t = rng.integers(0, classes, n)
        missed = sum((p[i] > p[i, t[i]]).sum() >= k for i in range(n))
        yield Case(label, (p, t, k), (np.asarray(missed / n),), seed=seed)
