"""Draw minibatches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from neocog.data.split import Images, Labels
from neocog.validation import RandomSource, generator, integer

Augmentation: TypeAlias = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def batches(
    x: Images,
    y: Labels,
    size: int,
    *,
    rng: RandomSource = None,
    augment: Augmentation | None = None,
) -> Iterator[tuple[Any, Any]]:
    """Iterate once over a data set in minibatches; the last one may be short.

    Parameters
    ----------
    x, y : images and labels of equal length
    size : int
    rng : Generator, int or None
        With a generator one ``permutation(n)`` is drawn at the start; without, the order is unchanged.
    augment : function (images, rng) -> images, optional
        Changes each batch; see :mod:`neocog.data.augmentation`.

    Raises
    ------
    ValueError
        If lengths differ, the size is below 1, or augmentation has no ``rng``.

    Examples
    --------
    >>> [len(t) for _, t in batches(np.zeros((5, 1, 8, 8)), np.zeros(5, int), 2)]
    [2, 2, 1]
    """
    integer("size", size)
    if len(x) != len(y):
        raise ValueError(f"x and y must have the same length, got {len(x)} and {len(y)}.")
    if augment is not None and rng is None:
        raise ValueError("augment needs rng.")
    return _walk(x, y, size, None if rng is None else generator(rng), augment)


def _walk(
    x: Images, y: Labels, size: int, rng: np.random.Generator | None, augment: Augmentation | None
) -> Iterator[tuple[Any, Any]]:
    order = None if rng is None else rng.permutation(len(x))
    some = [slice(start, start + size) for start in range(0, len(x), size)]
    chosen: list[Any] = some if order is None else [order[part] for part in some]
    # Lazy images are decoded ahead, while a batch is in use.
    read = x.batches(chosen) if hasattr(x, "batches") else (x[part] for part in chosen)
    for part, images in zip(chosen, read, strict=True):
        if augment is not None and rng is not None:
            images = augment(images, rng)
            shape = getattr(images, "shape", None)
            if shape is None or len(shape) != x.ndim or shape[0] != len(y[part]):
                raise ValueError(
                    f"augment must return the {len(y[part])} images that it was given, changed, got "
                    f"{type(images).__name__} of shape {shape}."
                )
        yield images, y[part]
