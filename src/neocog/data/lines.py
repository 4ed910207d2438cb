"""Draw synthetic line patterns: small noisy images of a line, a diagonal, a dot or a cross.

Two protocols, each a fixed order of random draws, so that every run anywhere sees the same images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neocog.data.preprocessing import Preprocessing
from neocog.data.split import Split
from neocog.validation import integer, one_of

PATTERNS = (
    *("vertical", "horizontal", "diagonal", "dot", "cross"),
    *("antidiagonal", "saltire", "box", "corner", "tee", "bars", "rails"),
)


def base_pattern(name: str, size: int = 8) -> np.ndarray:
    """Draw the clean pattern of a class.

    Parameters
    ----------
    name : {"vertical", "horizontal", "diagonal", "dot", "cross"}, or one of the others of :data:`PATTERNS`
    size : int
        Height and width.

    Returns
    -------
    array (size, size), values 0..1

    Raises
    ------
    ValueError
        If the class is unknown or the size below 4.
    """
    one_of("class", name, PATTERNS)
    integer("size", size, 4)
    image = np.zeros((size, size))
    middle = slice(size // 2 - 1, size // 2 + 1)
    if name in ("vertical", "cross"):
        image[:, middle] = 1.0
    if name in ("horizontal", "cross"):
        image[middle, :] = 1.0
    if name == "diagonal":
        image = np.eye(size) + 0.35 * (np.eye(size, k=1) + np.eye(size, k=-1))
    if name in ("antidiagonal", "saltire"):
        image = np.fliplr(base_pattern("diagonal", size))
    if name == "saltire":
        image = image + base_pattern("diagonal", size)
    if name == "dot":
        image[middle, middle] = 1.0
    if name == "box":
        image[1:-1, 1:-1] = 1.0
        image[2:-2, 2:-2] = 0.0
    if name in ("corner", "tee"):
        image[1:3, 1:-1] = 1.0
        image[1:-1, middle if name == "tee" else slice(1, 3)] = 1.0
    if name in ("bars", "rails"):
        image[:, [1, 2, -3, -2]] = 1.0
    if name == "rails":
        image = image.T
    return np.clip(image, 0.0, 1.0)


def line_patterns(
    protocol: str = "b",
    classes: Sequence[str] = ("vertical", "horizontal", "diagonal"),
    seed: int = 7,
    size: int = 8,
    *,
    train_per_class: int = 60,
    val_per_class: int = 30,
) -> Split:
    """Make a data set of line patterns, float64 in 0..1, where 1 is ink and 0 is paper.

    Protocol "a" shifts by up to 2 pixels with wrap-around, adds noise of standard deviation 0.15, shuffles
    all images and splits them: a class has its numbers on average only. Protocol "b" shifts by up to 1 pixel
    and fills with zeros, scales the brightness by 0.85..1.15, adds noise of 0.12, and splits each class
    separately.

    Parameters
    ----------
    protocol : {"a", "b"}
    classes : sequence of str
        Two or more different names of :data:`PATTERNS`.
    seed : int
    size : int
        Height and width.
    train_per_class, val_per_class : int
        Images of each class to train on and to validate with. Other numbers draw other images.

    Raises
    ------
    ValueError
        On an unknown protocol or class, a class named twice, fewer than two classes, or a number out of
        range.

    Examples
    --------
    >>> line_patterns("b")
    Split(180 training, 90 validation images of shape (1, 8, 8), 3 classes: vertical, horizontal, diagonal)
    >>> len(line_patterns("b", train_per_class=5, val_per_class=2).train[0])
    15
    """
    one_of("protocol", protocol, ("a", "b"))
    if isinstance(classes, str):
        raise TypeError(f"classes must be a sequence of names, got the string {classes!r}.")
    for name in classes:
        one_of("class", name, PATTERNS)
    if len(set(classes)) != len(classes) or len(classes) < 2:
        raise ValueError(f"classes must be at least two different names, got {tuple(classes)}.")
    integer("seed", seed, 0)
    counts = integer("train_per_class", train_per_class), integer("val_per_class", val_per_class)
    make = _protocol_a if protocol == "a" else _protocol_b
    images = [base_pattern(name, size) for name in classes]
    (x, y), (x_val, y_val) = make(images, seed, *counts)
    preprocessing = Preprocessing(1, x.shape[1:], unit=None, tone="ink")
    return Split((x[:, None], y), (x_val[:, None], y_val), classes, preprocessing=preprocessing)


def _protocol_a(
    patterns: list[np.ndarray], seed: int, train: int, validation: int
) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    rng = np.random.default_rng(seed)
    images = []
    for pattern in patterns:
        for _ in range(train + validation):
            down, right = rng.integers(-2, 3), rng.integers(-2, 3)
            shifted = np.roll(pattern, (down, right), axis=(0, 1))
            images.append(np.clip(shifted + rng.normal(0, 0.15, pattern.shape), 0, 1))
    x = np.array(images)
    y = np.repeat(np.arange(len(patterns)), train + validation)
    order = rng.permutation(len(x))
    cut = train * len(patterns)
    return (x[order[:cut]], y[order[:cut]]), (x[order[cut:]], y[order[cut:]])


def _protocol_b(
    patterns: list[np.ndarray], seed: int, train: int, validation: int
) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    rng = np.random.default_rng(seed)
    images = []
    for pattern in patterns:
        for _ in range(train + validation):
            down, right = rng.integers(-1, 2, size=2)
            shifted = _shift(pattern, down, right) * rng.uniform(0.85, 1.15)
            images.append(np.clip(shifted + rng.normal(0, 0.12, pattern.shape), 0, 1))
    x = np.array(images)
    y = np.repeat(np.arange(len(patterns)), train + validation)

    rng = np.random.default_rng(seed + 99)
    first, second = [], []
    for k in range(len(patterns)):
        order = rng.permutation(np.flatnonzero(y == k))
        first.append(order[:train])
        second.append(order[train:])
    fit = rng.permutation(np.concatenate(first))
    held = rng.permutation(np.concatenate(second))
    return (x[fit], y[fit]), (x[held], y[held])


def _shift(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """Shift an image by at most one pixel in each direction, filling with zeros."""
    H, W = image.shape
    padded = np.pad(image, 1)
    return padded[1 - down : 1 - down + H, 1 - right : 1 - right + W]
