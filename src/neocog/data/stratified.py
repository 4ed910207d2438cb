"""Hold out images for validation: of every class, or label, the same fraction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neocog.data.split import Images, Split, checked_groups, checked_part
from neocog.deprecation import accepts_old_names
from neocog.validation import RandomSource, generator, number


class TooFewImagesError(ValueError):
    """Report that a class has too few images, or groups of images, for some of them to be held out."""


@accepts_old_names
def stratified_split(
    x: Images,
    y: Any,
    validation_fraction: float = 0.2,
    rng: RandomSource = 0,
    class_names: Sequence[str] | None = None,
    groups: Any = None,
) -> Split:
    """Hold out the same fraction of every class, drawn at random.

    With ``groups``, whole groups of images are drawn, and the fractions are approximate. So they are where
    images have several labels: those of each label, and of the images without any.

    Parameters
    ----------
    x : array (N, C, H, W), or lazy images
    y : integers (N,), or (N, labels) of 0 and 1
    validation_fraction : float in (0, 1)
    rng : Generator or int
    class_names : sequence of str, optional
    groups : integers (N,), optional
        Images of one group are all held out or none.

    Raises
    ------
    ValueError
        If the fraction is not in (0, 1).
    TooFewImagesError
        If a class has fewer than two images or groups: a ValueError.
    """
    from sklearn.model_selection import train_test_split

    number("validation_fraction", validation_fraction, 0, 1, True, True)
    x, y = checked_part("data", (x, y))
    if y.dtype.kind not in "iu":
        raise TypeError(f"y must be integers, got {y.dtype}.")
    if y.ndim == 1:
        found, counts = np.unique(y, return_counts=True)
    else:
        found, counts = np.flatnonzero(y.any(axis=0)), y.sum(axis=0)[y.any(axis=0)]
    if counts.min(initial=2) < 2:
        lonely = int(found[counts.argmin()])
        named = class_names is not None and 0 <= lonely < len(class_names)
        name = class_names[lonely] if named and class_names is not None else lonely
        raise TooFewImagesError(
            f"every class needs at least two images to hold one out, class {name!r} has one."
        )
    held_out = max(round(validation_fraction * len(y)), len(found))
    if len(y) - held_out < len(found):
        raise ValueError(
            f"validation_fraction must leave an image of each of the {len(found)} classes to train on, got "
            f"{validation_fraction} of {len(y)} images."
        )
    pick = getattr(x, "subset", x.__getitem__)  # lazy images stay in their files
    if groups is not None:
        groups = checked_groups(groups, len(y))
        is_out = _held_out_groups(y, groups, validation_fraction, generator(rng), class_names)
    elif y.ndim == 2:
        is_out = _held_out_of_labels(y, validation_fraction, generator(rng))
    if groups is not None or y.ndim == 2:
        train, validation = np.flatnonzero(~is_out), np.flatnonzero(is_out)
        parts = (pick(train), y[train]), (pick(validation), y[validation])
        return Split(*parts, class_names, groups=None if groups is None else groups[train])
    seed = int(generator(rng).integers(2**31))
    train, validation = train_test_split(np.arange(len(y)), test_size=held_out, stratify=y, random_state=seed)
    return Split((pick(train), y[train]), (pick(validation), y[validation]), class_names)


def _labels_and_none(y: np.ndarray) -> np.ndarray:
    """Return labels (N, K) with a column more, of the images without any; labels of fewer than two are 0."""
    has = np.column_stack([y > 0, ~y.any(axis=1)])
    common: np.ndarray = has & (has.sum(axis=0) > 1)
    return common


def _held_out_of_labels(y: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Return which images are held out: of each label about the fraction.

    The rarest label's images are divided first: each goes to the part that lacks more of them. Source: K.
    Sechidis, G. Tsoumakas, I. Vlahavas, "On the stratification of multi-label data", 2011.
    """
    has = _labels_and_none(y)
    counts = has.sum(axis=0)
    lacks = np.where(counts, np.maximum(fraction * counts, 1), 0)
    lacking = np.stack([counts - lacks, lacks])  # in training, and of those held out
    is_out = np.zeros(len(y), bool)
    left = np.array(has.any(axis=1))
    while left.any():
        remaining = has[left].sum(axis=0)
        k = int(np.where(remaining > 0, remaining, len(y) + 1).argmin())
        for n in rng.permutation(np.flatnonzero(left & has[:, k])):
            is_out[n] = lacking[1, k] > lacking[0, k]
            lacking[int(is_out[n]), has[n]] -= 1
            left[n] = False
    return is_out


def _held_out_groups(
    y: np.ndarray,
    groups: np.ndarray,
    fraction: float,
    rng: np.random.Generator,
    class_names: Sequence[str] | None,
) -> np.ndarray:
    """Return which images are held out: whole groups, about the fraction of each class, at least one."""
    group = np.unique(groups, return_inverse=True)[1]
    if y.ndim == 1:
        classes, labels = np.unique(y, return_inverse=True)
        counts = np.zeros((group.max() + 1, len(classes)))
        np.add.at(counts, (group, labels), 1)
    else:
        has = _labels_and_none(y)
        classes = np.flatnonzero(has.any(axis=0))
        counts = np.zeros((group.max() + 1, len(classes)))
        np.add.at(counts, group, has[:, classes])
    in_training = (counts > 0).sum(axis=0)  # groups of each class
    wanted, held = fraction * counts.sum(axis=0), np.zeros(len(classes))
    chosen = np.zeros(len(counts), bool)
    # Groups of the classes that have fewest come first, so that each class gets one before others fill up.
    rarest = [in_training[row > 0].min(initial=len(counts)) for row in counts]
    for k in sorted(rng.permutation(len(counts)), key=rarest.__getitem__):
        present = counts[k] > 0
        is_nearer = ((held + counts[k] - wanted) ** 2).sum() < ((held - wanted) ** 2).sum()
        if (is_nearer or (held[present] == 0).any()) and (in_training[present] > 1).all():
            chosen[k] = True
            held += counts[k]
            in_training = in_training - present
    if (held == 0).any():
        lonely = int(classes[held.argmin()])
        name = lonely if class_names is None else [*class_names, "no label"][lonely]
        raise TooFewImagesError(
            "every class needs images of at least two groups to hold one out and to train on another, class "
            f"{name!r} does not have them."
        )
    return chosen[group]
