"""Judge optimizers, schedules and the drawing of batches."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from neocog.exercises.judges.comparing import Array, Case, judge
from neocog.exercises.judges.drawing import Draw, draws


def _weights(seed: int) -> Iterator[tuple[Draw, Array, Array, float]]:
    """Yield draw, w, dw and lr."""
    simple = {"a vector": (3,), "a matrix": (2, 3), "float32": (4, 2)}
    for draw in draws(
        seed, simple, lambda rng: tuple(rng.integers(1, 5, rng.integers(1, 5))), "a drawn shape", 4
    ):
        lr = 0.1 if draw.seed is None else float(draw.rng.choice([0.01, 0.3, 1.0]))
        yield draw, draw.normal(*draw.sizes), draw.normal(*draw.sizes), lr


@judge("sgd(w, dw, lr) -> w[fcpq]")
def sgd(seed: int) -> Iterator[Case]:
    """Judge ``sgd(w, dw, lr) -> w``, a new array of any shape: ``w - lr dw``."""
    for draw, w, dw, lr in _weights(seed):
        mistakes = {
            "w climbs: subtract lr dw, the loss must fall": w + lr * dw,
            "the learning rate is missing": w - dw,
            "the change is returned, not the new w": -lr * dw,
            "w is multiplied by the step": w * (1 - lr * dw),
        }
        yield draw.case((w, dw, lr), w - lr * dw, mistakes=mistakes)


@judge("momentum(w, dw, v, lr, momentum) -> w[fcpq], v[fcpq]")
def momentum(seed: int) -> Iterator[Case]:
    """Judge ``momentum(w, dw, v, lr, momentum) -> (w, v)``, two new arrays.

    ``v <- momentum v - lr dw; w <- w + v``, with the velocity of :class:`neocog.optimizers.SGD`. With a
    constant lr the weights are those of PyTorch, whose velocity leaves -lr out: ``v <- momentum v + dw;
    w <- w - lr v``; a program that does so is told.
    """
    for draw, w, dw, lr in _weights(seed):
        v = draw.normal(*draw.sizes) * draw.dtype(0.5)
        m = 0.9 if draw.seed is None else float(draw.rng.choice([0.5, 0.8, 0.95]))
        new = m * v - lr * dw
        pytorch = m * v + dw
        averaged = m * v - (1 - m) * lr * dw
        mistakes = {
            "v is PyTorch's velocity, momentum v + dw: here v <- momentum v - lr dw, and w <- w + v": (
                w - lr * pytorch,
                pytorch,
            ),
            "v is the average momentum v - (1 - momentum) lr dw: leave out 1 - momentum": (
                w + averaged,
                averaged,
            ),
            "w moves by the old v: change v first": (w + v, new),
            "w climbs: v <- momentum v - lr dw": (w + m * v + lr * dw, m * v + lr * dw),
            "v is subtracted from w: it holds the minus already": (w - new, None),
            "w ignores the velocity": (w - lr * dw, None),
            "w makes Nesterov's step": (w + m * new - lr * dw, None),
        }
        yield draw.case((w, dw, v, lr, m), w + new, new, mistakes=mistakes)


@judge("adam(w, dw, m, s, t, lr, beta1, beta2, eps) -> w[fcpq], m[fcpq], s[fcpq]")
def adam(seed: int) -> Iterator[Case]:
    """Judge ``adam(w, dw, m, s, t, lr, beta1, beta2, eps) -> (w, m, s)``, three new arrays.

    ``m <- beta1 m + (1 - beta1) dw``, ``s <- beta2 s + (1 - beta2) dw^2`` and
    ``w <- w - lr (m / (1 - beta1^t)) / (sqrt(s / (1 - beta2^t)) + eps)``; t is 1 in the first step.
    """
    simple = {
        "the first step": (1, 3),
        "a matrix": (1, 2, 3),
        "the third step": (3, 2, 3),
        "a large eps": (2, 4),
        "float32": (2, 4, 2),
    }

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        return (rng.integers(1, 20), *rng.integers(1, 5, rng.integers(1, 4)))

    for draw in draws(seed, simple, sizes, "step t = {0}", 4):
        t, *shape = draw.sizes
        w, dw = draw.normal(*shape), draw.normal(*shape)
        first = t == 1
        m0 = draw.normal(*shape) * draw.dtype(0 if first else 0.5)
        s0 = (draw.normal(*shape) ** 2 + draw.dtype(0.1)) * draw.dtype(0 if first else 1)
        lr, beta1, beta2 = 0.01, 0.9, 0.99
        eps = 0.1 if draw.label == "a large eps" else 1e-8
        if draw.seed is not None:
            lr, beta1 = float(draw.rng.choice([0.1, 1.0])), float(draw.rng.choice([0.8, 0.95]))
            eps = float(draw.rng.choice([1e-8, 1e-3]))
        m, s = beta1 * m0 + (1 - beta1) * dw, beta2 * s0 + (1 - beta2) * dw**2

        def step(m: Array, s: Array, t: Any, inside: bool = False) -> Array:
            mean, square = m / (1 - beta1**t), s / (1 - beta2**t)  # noqa: B023
            root = np.sqrt(square + eps) if inside else np.sqrt(square) + eps  # noqa: B023
            return np.asarray(w - lr * mean / root)  # noqa: B023

        unsquared = beta2 * s0 + (1 - beta2) * dw
        mistakes: dict[str, Any] = {
            "w is not corrected for the start from zeros: divide m by 1 - beta1^t and s by 1 - beta2^t": (
                step(m, s, np.inf),
                None,
                None,
            ),
            "the powers are beta^(t + 1): t is 1 in the first step": (step(m, s, t + 1), None, None),
            "s is used without its root": (
                w - lr * (m / (1 - beta1**t)) / (s / (1 - beta2**t) + eps),
                None,
                None,
            ),
            "m and s are returned after the correction: keep those before it": (
                None,
                m / (1 - beta1**t),
                s / (1 - beta2**t),
            ),
            "dw is not squared in s": (None, None, unsquared),
            "beta1 and 1 - beta1 are exchanged in m": (None, (1 - beta1) * m0 + beta1 * dw, None),
            "beta2 and 1 - beta2 are exchanged in s": (None, None, (1 - beta2) * s0 + beta2 * dw**2),
            "w climbs: subtract": (2 * w - step(m, s, t), None, None),
        }
        if eps > 1e-6:
            mistakes["eps is added under the root: add it to the root"] = (
                step(m, s, t, inside=True),
                None,
                None,
            )
        yield draw.case((w, dw, m0, s0, t, lr, beta1, beta2, eps), step(m, s, t), m, s, mistakes=mistakes)


@judge("weight_decay(w, dw, lr, decay) -> w[fcpq]")
def weight_decay(seed: int) -> Iterator[Case]:
    """Judge ``weight_decay(w, dw, lr, decay) -> w``, one step of SGD on ``loss + decay / 2 sum(w^2)``.

    A new array, ``w - lr (dw + decay w)``.
    """
    for draw, w, dw, lr in _weights(seed):
        decay = 0.2 if draw.seed is None else float(draw.rng.choice([0.05, 0.3]))
        plain = w - lr * dw
        mistakes = {
            "the weights do not decay": plain,
            "the decay is not multiplied by the learning rate": plain - decay * w,
            "the weights grow: the decay is subtracted": plain + lr * decay * w,
            "the weights decay twice as fast: the derivative of decay / 2 w^2 is decay w": plain
            - 2 * lr * decay * w,
            "the decay is that of |w|, with its sign only": plain - lr * decay * np.sign(w),
            "the gradient is missing": w - lr * decay * w,
            "the weights decay after the step: decay w is the old w's": plain - lr * decay * plain,
        }
        yield draw.case((w, dw, lr, decay), w - lr * (dw + decay * w), mistakes=mistakes)


@judge("cosine_schedule(step, steps, lr) -> rate[]")
def cosine_schedule(seed: int) -> Iterator[Case]:
    """Judge ``cosine_schedule(step, steps, lr) -> float``: ``lr (1 + cos(pi step / steps)) / 2``.

    The step counts from 0 to steps.
    """
    simple: dict[str, tuple[Any, ...]] = {
        "the first step": (0, 10, 0.1),
        "half the steps": (5, 10, 0.1),
        "the end": (10, 10, 0.1),
        "a quarter of the steps": (3, 12, 0.4),
    }

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        steps = int(rng.integers(1, 100))
        return int(rng.integers(0, steps + 1)), steps, float(rng.choice([0.01, 0.3, 1.0]))

    for draw in draws(seed, simple, sizes, "step {0} of {1}, lr {2}", 8):
        step, steps, lr = draw.sizes
        angle = math.pi * step / steps
        mistakes = {
            "it is lr cos(...), which becomes negative: take lr (1 + cos(pi step / steps)) / 2": lr
            * math.cos(angle),
            "it falls on a straight line": lr * (1 - step / steps),
            "the half is missing": lr * (1 + math.cos(angle)),
            "it rises: at step 0 it must be lr": lr * (1 - math.cos(angle)) / 2,
            "it goes through a whole period: pi, not 2 pi": lr * (1 + math.cos(2 * angle)) / 2,
            "the angle is in degrees: NumPy and math count in radians": lr
            * (1 + math.cos(math.degrees(angle)))
            / 2,
        }
        right = lr * (1 + math.cos(angle)) / 2
        case = draw.case(draw.sizes, right, mistakes=mistakes)
        yield dataclasses.replace(case, tolerance=1e-9)


@judge("minibatches(n, batch_size, rng) -> batches[...]")
def minibatches(seed: int) -> Iterator[Case]:
    """Judge ``minibatches(n, batch_size, rng) -> list`` of arrays of indices.

    Each of 0 to n - 1 occurs once, in random order. All batches have batch_size indices, the last one what is
    left over. The same rng gives the same batches.
    """
    simple = {
        "10 images in batches of 5": (10, 5),
        "10 images in batches of 3": (10, 3),
        "fewer than a batch": (3, 8),
    }
    sizes = "{0} images in batches of {1}"
    for draw in draws(seed, simple, lambda rng: (rng.integers(1, 60), rng.integers(1, 12)), sizes, 5):
        n, size = draw.sizes
        source = int(draw.rng.integers(2**31))
        earlier: list[list[int]] = []

        def verify(batches: Any, n: int = n, size: int = size, earlier: list[list[int]] = earlier) -> str:
            return _batches(batches, n, size, earlier)

        case = draw.case((n, size, np.random.default_rng(source)), verify=verify)
        yield from (case, case)

    orders: list[list[int]] = []

    def shuffled(batches: Any) -> str:
        order = [int(i) for batch in batches for i in batch]
        orders.append(order)
        if order == list(range(100)):
            return "the indices are in order: shuffle them with rng"
        together = int((np.diff(order) == 1).sum())
        if together > 30:  # about one in a random order
            return f"{together} of 100 images come right after their neighbour: shuffle all of them"
        return (
            "each epoch has the same order: draw it from rng"
            if orders[0] == order and len(orders) > 1
            else ""
        )

    for k in range(2):
        yield Case("100 images", (100, 10, np.random.default_rng(seed + k)), verify=shuffled, seed=seed)


def _batches(batches: Any, n: int, size: int, earlier: list[list[int]]) -> str:
    if not isinstance(batches, list | tuple):
        return f"it returns a {type(batches).__name__} instead of a list of arrays of indices"
    try:
        arrays = [np.asarray(batch) for batch in batches]
    except (TypeError, ValueError):
        return "a batch is no array of indices"
    for k, batch in enumerate(arrays):
        if batch.ndim != 1 or (batch.size and batch.dtype.kind not in "iu"):
            return f"batch {k} is {batches[k]!r}, not a one-dimensional array of indices"
    wanted = [size] * (n // size) + [n % size] * (n % size > 0)
    lengths = [len(batch) for batch in arrays]
    indices = np.concatenate([*arrays, np.array([], int)]).astype(int)
    if n % size and lengths == wanted[:-1]:
        return "the last images are left out: make a smaller batch of them"
    if len(indices) and (indices.min() < 0 or indices.max() >= n):
        return f"index {indices.max()} is none of 0 to {n - 1}"
    counts = np.bincount(indices, minlength=n)
    if counts.max() > 1:
        again = int(counts.argmax())
        return f"index {again} occurs {counts[again]} times: draw without replacement"
    if counts.min() == 0:
        return f"index {int(counts.argmin())} is in no batch"
    if lengths != wanted:
        return f"the batches have {lengths} indices instead of {wanted}"
    order = [int(i) for i in indices]
    if earlier and earlier[0] != order:
        return "two generators of the same seed give other batches: draw from rng only"
    earlier.append(order)
    return ""
