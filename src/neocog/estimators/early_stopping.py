"""Split off the images that early stopping evaluates, and record the scores on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from sklearn.model_selection import train_test_split

from neocog.training.state import Callback, TrainingState


class Scores(Callback):
    """Record a score after each epoch; the first is the untrained network's."""

    def __init__(self, score: Callable[[TrainingState], float]) -> None:
        self.score = score
        self.values: list[float] = []

    def on_epoch(self, state: TrainingState) -> None:
        self.values.append(self.score(state))


def hold_out(
    t: np.ndarray, fraction: float, class_names: Sequence[str] | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split the indices of the images into those to train on and those to hold out.

    Parameters
    ----------
    t : (N,) class indices, or targets (N, outputs)
    fraction : float
        Fraction to hold out; at least as many images as there are classes, and at least two.
    class_names : sequence of str, or None for a regression
        With classes, of which an image has one, the split is stratified.
    seed : int

    Raises
    ------
    ValueError
        If there are too few images, of a class or in all.

    Examples
    --------
    >>> train, held_out = hold_out(np.repeat([0, 1], [6, 4]), 0.1, ("a", "b"), 0)
    >>> len(train), len(held_out)
    (8, 2)
    """
    least, classes = 2, None  # R^2 of one image is not defined
    if class_names is not None and t.ndim == 1:
        classes = t
        present, counts = np.unique(t, return_counts=True)
        least = len(present)
        if counts.min() < 2:
            raise ValueError(
                "early_stopping needs at least two images of each class, one to learn from and one to hold "
                f"out, got one of class {class_names[present[counts.argmin()]]!r}."
            )
    held_out = max(math.ceil(fraction * len(t)), least)
    if len(t) - held_out < least:
        raise ValueError(
            f"validation_fraction must leave at least {least} images to learn from, and {least} to hold out "
            f"for early_stopping, got {fraction} of n_samples = {len(t)}."
        )
    train, rest = train_test_split(np.arange(len(t)), test_size=held_out, stratify=classes, random_state=seed)
    return train, rest
