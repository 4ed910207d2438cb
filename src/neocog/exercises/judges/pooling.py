"""Judge poolings, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from neocog.exercises.judges import formulas
from neocog.exercises.judges.comparing import Array, Case, judge
from neocog.exercises.judges.drawing import Draw, draws
from neocog.exercises.judges.formulas import complex_step

POOLINGS: dict[str, tuple[int, ...]] = {  # N, C, H, W, size
    "one map": (1, 1, 4, 4, 2),
    "several maps": (2, 3, 4, 6, 2),
    "windows of 3 x 3": (1, 2, 6, 6, 3),
    "a row that no window reaches": (1, 1, 5, 4, 2),
    "float32": (2, 2, 4, 5, 2),
}


def poolings(seed: int, count: int = 6) -> Iterator[tuple[Draw, Array, int]]:
    """Yield draw, x of which no two pixels are equal, and the size of the windows."""

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        size = rng.integers(1, 4)
        H, W = rng.integers(size, size + 6, 2)
        return rng.integers(1, 4), rng.integers(1, 4), H, W, size

    for draw in draws(seed, POOLINGS, sizes, "x ({0}, {1}, {2}, {3}), windows of {4} x {4}", count):
        *shape, size = draw.sizes
        yield draw, draw.distinct(*shape), size


@judge("max_pool(x, size) -> y[ncij]")
def max_pool(seed: int) -> Iterator[Case]:
    """Judge ``max_pool(x, size) -> y`` with windows that do not overlap; rows left over are left out."""
    for draw, x, size in poolings(seed):
        cut = formulas.windows(x, size)
        mistakes = {"y is the mean of the window": cut.mean(axis=-1), "y is the minimum": cut.min(axis=-1)}
        yield draw.case((x, size), cut.max(axis=-1), mistakes=mistakes)
        if draw.label == "one map":
            negative = -1 - np.abs(x)
            zero = "y is 0: a running maximum must not start at 0"
            cut = formulas.windows(negative, size)
            largest = cut.max(axis=-1)
            yield Case("negative numbers only", (negative, size), (largest,), mistakes={zero: (0 * largest,)})


@judge("max_pool_backward(dy, x, size) -> dx[ncuv]")
def max_pool_backward(seed: int) -> Iterator[Case]:
    """Judge ``max_pool_backward(dy, x, size) -> dx``; on a tie the first pixel, row by row, gets all.

    The windows do not overlap; pixels that no window reaches get 0.
    """
    for draw, x, size in poolings(seed):

        def forward(x: Array, size: int = size) -> Array:
            return formulas.largest(formulas.windows(x, size))

        dy = draw.normal(*forward(x).shape)
        mistakes = {
            "dy is shared by the whole window: all of it goes to the maximum": _spread(
                dy, x.shape, size, size**2
            ),
            "every pixel of a window gets dy: only the maximum does": _spread(dy, x.shape, size, 1),
        }
        yield draw.case((dy, x, size), complex_step(forward, (x,), dy)[0], mistakes=mistakes)
    rng = np.random.default_rng(seed)
    for label, x, drawn in (
        ("a tie", np.zeros((1, 1, 2, 2)), None),
        ("some ties", rng.integers(0, 3, (2, 2, 4, 6)).astype(float), seed),
    ):
        dy = np.full((1, 1, 1, 1), 3.0) if drawn is None else rng.normal(size=(2, 2, 2, 3))
        cut = formulas.windows(x, 2)
        won = cut == cut.max(axis=-1, keepdims=True)
        shares = {
            "each pixel of a tie gets all of dy: only the first does": won * 1.0,
            "the pixels of a tie share dy: the first gets all": won / won.sum(axis=-1, keepdims=True),
            "the last pixel of a tie gets dy: the first should": _last(won),
        }
        ties = {text: (_uncut(share * dy[..., None], x.shape),) for text, share in shares.items()}
        first = _uncut(_last(won[..., ::-1])[..., ::-1] * dy[..., None], x.shape)
        yield Case(label, (dy, x, 2), (first,), mistakes=ties, seed=drawn)


def _last(won: Array) -> Array:
    """Keep the last True of each window."""
    return np.asarray(won & (np.cumsum(won, axis=-1) == won.sum(axis=-1, keepdims=True)))


def _uncut(cut: Array, shape: tuple[int, ...]) -> Array:
    """Put windows of 2 x 2 back into maps."""
    N, C, rows, across, _ = cut.shape
    return cut.reshape(N, C, rows, across, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(shape)


@judge("average_pool(x, size) -> y[ncij]")
def average_pool(seed: int) -> Iterator[Case]:
    """Judge ``average_pool(x, size) -> y`` with windows that do not overlap; rows left over are left out."""
    for draw, x, size in poolings(seed):
        cut = formulas.windows(x, size)
        mistakes = {
            "y is the sum of the window: divide by the number of its pixels": cut.sum(axis=-1),
            "the sum is divided by the size of a window, not by the number of its pixels": cut.sum(axis=-1)
            / size,
            "y is the maximum of the window": cut.max(axis=-1),
        }
        yield draw.case((x, size), cut.mean(axis=-1), mistakes=mistakes)


@judge("average_pool_backward(dy, x, size) -> dx[ncuv]")
def average_pool_backward(seed: int) -> Iterator[Case]:
    """Judge ``average_pool_backward(dy, x, size) -> dx``.

    The windows do not overlap; pixels that no window reaches get 0.
    """
    for draw, x, size in poolings(seed):

        def forward(x: Array, size: int = size) -> Array:
            return np.asarray(formulas.windows(x, size).mean(axis=-1))

        dy = draw.normal(*forward(x).shape)
        mistakes = {
            "every pixel of a window gets all of dy: divide by their number": _spread(dy, x.shape, size, 1),
            "dy is divided by the size of a window, not by the number of its pixels": _spread(
                dy, x.shape, size, size
            ),
        }
        yield draw.case((dy, x, size), complex_step(forward, (x,), dy)[0], mistakes=mistakes)


def _spread(dy: Array, shape: tuple[int, ...], size: int, divisor: int) -> Array:
    """Give each pixel of a window ``dy / divisor``."""
    dx = np.zeros(shape)
    spread = np.kron(dy, np.ones((size, size))) / divisor
    dx[:, :, : spread.shape[2], : spread.shape[3]] = spread
    return dx


@judge("global_average_pool_backward(dy, x) -> dx[ncij]")
def global_average_pool_backward(seed: int) -> Iterator[Case]:
    """Judge ``global_average_pool_backward(dy, x) -> dx``: dy (N, C), x (N, C, H, W)."""
    simple = {
        "one map": (1, 1, 2, 3),
        "several maps": (2, 3, 4, 4),
        "float32": (2, 2, 3, 3),
    }
    label = "x ({0}, {1}, {2}, {3})"
    for draw in draws(seed, simple, lambda rng: tuple(rng.integers(1, 5, 4)), label, 4):
        x, dy = draw.normal(*draw.sizes), draw.normal(*draw.sizes[:2])
        (dx,) = complex_step(lambda x: x.mean(axis=(2, 3)), (x,), dy)
        H, W = x.shape[2:]
        mistakes = {
            "every pixel gets all of dy: divide by their number": dx * H * W,
            "dy is divided by the height only": dx * W,
            "dy is divided by all numbers of x: a mean is over one map": dx * H * W / x.size,
        }
        yield draw.case((dy, x), dx, mistakes=mistakes)
