"""Judge attribution methods, on networks whose attributions are known by a formula.

The network is a function of numbers here: ``gradient(x)`` returns the derivative of a logit, ``logit(x)`` the
logit itself, both for one image.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neocog.exercises.judges.comparing import Case, judge

Array = np.ndarray


@judge("contributions(h, w, b, s, t) -> terms[k], rest[]")
def contributions(seed: int) -> Iterator[Case]:
    """Judge ``contributions(h, w, b, s, t) -> (terms, rest)`` of the difference of two logits."""
    rng = np.random.default_rng(seed)
    for label, inputs, classes, s, t in (
        ("two classes", 3, 2, 1, 0),
        ("ten classes", 5, 10, 9, 0),
        ("two classes in the middle", 5, 10, 3, 7),
    ):
        h, w, b = rng.normal(size=inputs), rng.normal(size=(inputs, classes)), rng.normal(size=classes)
        terms = np.array([h[k] * w[k, s] - h[k] * w[k, t] for k in range(inputs)])
        yield Case(label, (h, w, b, s, t), (terms, np.asarray(b[s] - b[t])), seed=seed)


@judge("integrated_gradients(gradient, x, baseline, steps) -> shares[ij]")
def integrated_gradients(seed: int) -> Iterator[Case]:
    """Judge ``integrated_gradients(gradient, x, baseline, steps) -> shares`` for logits of degree 1 to 3.

    For ``z = sum_i c_i x_i^d`` the share of pixel i is ``c_i (x_i^d - x0_i^d)``.
    """
    rng = np.random.default_rng(seed)
    for label, degree, start in (
        ("a linear logit", 1, 0.0),
        ("a quadratic logit", 2, 0.0),
        ("a cubic logit", 3, 0.0),
        ("a baseline that is not zero", 2, 0.5),
    ):
        c, x = rng.normal(size=(2, 3)), rng.uniform(0.5, 1, size=(2, 3))
        baseline = np.full_like(x, start)

        def gradient(x: Array, c: Array = c, degree: int = degree) -> Array:
            return np.asarray(degree * c * x ** (degree - 1))

        shares = c * (x**degree - baseline**degree)
        yield Case(label, (gradient, x, baseline, 1000), (shares,), tolerance=5e-3, seed=seed)
    points: list[Array] = []

    def counted(x: Array) -> Array:
        points.append(x)
        return np.ones_like(x)

    def verify(shares: Array) -> str:
        asked = len(points)
        return "" if 5 <= asked <= 9 else f"it asks for {asked} gradients: {asked} points of the line, not 7"

    x = rng.uniform(0.5, 1, size=(2, 3))
    yield Case("7 steps", (counted, x, np.zeros_like(x), 7), (x,), verify=verify, seed=seed)


@judge("occlusion(logit, x, patch) -> losses[ij]")
def occlusion(seed: int) -> Iterator[Case]:
    """Judge ``occlusion(logit, x, patch) -> losses``: a patch of zeros at every position."""
    rng = np.random.default_rng(seed)
    for label, shape, patch in (
        ("one pixel at a time", (3, 3), 1),
        ("patches of 2", (4, 5), 2),
        ("patches of 3", (7, 5), 3),
    ):
        c, x = rng.normal(size=shape), rng.uniform(0.1, 1, size=shape)

        def logit(x: Array, c: Array = c) -> float:
            return float((c * x * x).sum())

        positions = (shape[0] - patch + 1, shape[1] - patch + 1)
        losses = np.array(
            [
                [(c * x * x)[i : i + patch, j : j + patch].sum() for j in range(positions[1])]
                for i in range(positions[0])
            ]
        )
        yield Case(label, (logit, x, patch), (losses,), seed=seed)


@judge("grad_cam(maps, gradients) -> heat[ij]")
def grad_cam(seed: int) -> Iterator[Case]:
    """Judge ``grad_cam(maps, gradients) -> heat`` of one image, arrays (F, H, W)."""
    rng = np.random.default_rng(seed)
    for label, shape in (("one map", (1, 3, 3)), ("several maps", (4, 3, 5))):
        maps, gradients = rng.normal(size=shape), rng.normal(size=shape)
        heat = np.zeros(shape[1:])
        for f in range(shape[0]):
            heat += gradients[f].sum() / (shape[1] * shape[2]) * maps[f]
        yield Case(label, (maps, gradients), (np.where(heat > 0, heat, 0.0),), seed=seed)
