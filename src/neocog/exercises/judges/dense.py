"""Judge dense layers, forward and backward, and the weights that a layer begins with."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from neocog.exercises.judges.comparing import Array, Case, judge
from neocog.exercises.judges.drawing import Draw, draws
from neocog.exercises.judges.formulas import complex_step


def dense_arrays(seed: int) -> Iterator[tuple[Draw, Array, Array, Array]]:
    """Yield draw, x (N, I), w (I, K) and b (K,)."""
    simple = {
        "one image": (1, 3, 2),
        "several images": (4, 3, 2),
        "a square w": (2, 3, 3),
        "float32": (3, 4, 2),
    }
    label = "{0} images, {1} inputs, {2} outputs"
    for draw in draws(seed, simple, lambda rng: tuple(rng.integers(1, 7, 3)), label):
        n, i, o = draw.sizes
        yield draw, draw.normal(n, i), draw.normal(i, o), draw.normal(o)


@judge("dense(x, w, b) -> y[nk]")
def dense(seed: int) -> Iterator[Case]:
    """Judge ``dense(x, w, b) -> y``: x (N, I), w (I, K), b (K,) -> (N, K)."""
    for draw, x, w, b in dense_arrays(seed):
        mistakes: dict[str, Any] = {"the bias is not added": x @ w}
        if w.shape[0] == w.shape[1]:
            mistakes["w is transposed: its rows belong to the inputs"] = x @ w.T + b
        yield draw.case((x, w, b), x @ w + b, mistakes=mistakes)


@judge("dense_backward(dy, x, w) -> dx[ni], dw[ik], db[k]")
def dense_backward(seed: int) -> Iterator[Case]:
    """Judge ``dense_backward(dy, x, w) -> (dx, dw, db)`` for ``y = x w + b``: x (N, I), w (I, K)."""
    for draw, x, w, b in dense_arrays(seed):
        dy = draw.normal(len(x), w.shape[1])
        dx, dw, db = complex_step(lambda x, w, b: x @ w + b, (x, w, b), dy)
        mistakes = {
            "db is the mean of dy: add up over the images": (None, None, db / len(x)),
            "dw is a mean over the images: add up, the loss divides": (None, dw / len(x), None),
        }
        if w.shape[0] == w.shape[1]:
            mistakes["dx is dy w: multiply by the transposed w"] = (dy @ w, None, None)
        yield draw.case((dy, x, w), dx, dw, db, mistakes=mistakes)


@judge("he_normal(rng, shape) -> w[fcpq]")
def he_normal(seed: int) -> Iterator[Case]:
    """Judge ``he_normal(rng, shape) -> w``: normal numbers of standard deviation ``sqrt(2 / fan_in)``.

    A dense weight has the shape (in, out), so fan_in is the first size; a convolution's has (out, in, k, k),
    and fan_in is in k k. Judged by mean, standard deviation and kurtosis of some ten thousand numbers, within
    six standard errors; the same rng must give the same numbers.
    """
    shapes = {"a dense weight of (200, 80)": (200, 80), "a convolution's of (120, 16, 3, 3)": (120, 16, 3, 3)}

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        if rng.random() < 0.5:
            return int(rng.integers(100, 300)), int(rng.integers(100, 300))
        return int(rng.integers(60, 200)), int(rng.integers(20, 40)), 3, 3

    for draw in draws(seed, shapes, sizes, "a drawn shape", 2):
        shape, source = draw.sizes, int(draw.rng.integers(2**31))
        earlier: list[Array] = []

        def verify(w: Array, shape: tuple[int, ...] = shape, earlier: list[Array] = earlier) -> str:
            if earlier and not np.array_equal(w, earlier[0]):
                return "two generators of the same seed give other numbers: draw from rng only"
            earlier.append(w)
            return _he(np.asarray(w, float), shape)

        arguments = np.random.default_rng(source), shape
        label = draw.label if draw.seed is None else f"shape {shape}"
        case = draw.case(arguments, np.zeros(shape, np.int8), verify=verify)
        case = dataclasses.replace(case, label=label)
        yield from (case, case)


def _he(w: Array, shape: tuple[int, ...]) -> str:
    inputs, outputs = (shape[0], shape[1]) if len(shape) == 2 else (shape[1] * shape[2] * shape[3], shape[0])
    size, std, right = w.size, float(w.std()), math.sqrt(2 / inputs)
    if not np.isfinite(w).all():
        return "w holds NaN or infinities"
    if std == 0:
        return f"all numbers are {w.flat[0]:.6g}: draw them from rng"
    if abs(w.mean()) > 6 * std / math.sqrt(size):
        return f"the mean is {w.mean():.4g} instead of 0"
    if abs(std - right) > 6 * right / math.sqrt(2 * size):
        named = {
            "sqrt(1 / fan_in)": math.sqrt(1 / inputs),
            "2 / fan_in, the variance": 2 / inputs,
            "sqrt(2 / fan_out)": math.sqrt(2 / outputs),
            "sqrt(2 / (fan_in + fan_out))": math.sqrt(2 / (inputs + outputs)),
            "1, of numbers that are not scaled": 1.0,
        }
        if len(shape) == 4:
            named["sqrt(2 / in), without the k k pixels of the window"] = math.sqrt(2 / shape[1])
            named["sqrt(2 / (out k k))"] = math.sqrt(2 / (shape[0] * shape[2] * shape[3]))
            named["sqrt(2 / k)"] = math.sqrt(2 / shape[2])
        for text, value in named.items():
            if abs(std - value) < 6 * value / math.sqrt(2 * size):
                return f"the standard deviation is {std:.4g} instead of {right:.4g}: it is {text}"
        return f"the standard deviation is {std:.4g} instead of sqrt(2 / fan_in) = {right:.4g}"
    kurtosis = float((((w - w.mean()) / std) ** 4).mean())
    if abs(kurtosis - 3) > 6 * math.sqrt(24 / size):
        return "mean and standard deviation are right, but the numbers are not normally distributed"
    return ""
