"""Choose to suit the images what the settings of a run leave open, before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from neocog.data import Split, stratified_split
from neocog.data.split import images_of_classes
from neocog.data.stratified import TooFewImagesError
from neocog.models.by_name import build_network
from neocog.models.image_cnn import suited_filters
from neocog.representation import counted
from neocog.settings import VALIDATION, Settings, shown
from neocog.training.evaluation import EVALUATION_BATCH, estimated_seconds
from neocog.validation import image_shape

__all__ = ["LEAST_IMAGES", "outputs_for", "resolve"]

LEAST_IMAGES = 20
"""Training images that each class needs for some of them to choose the epoch."""
UNEVEN = 1.5
"""Times as many images as the smallest class has, from which on the largest one has too many."""
STEPS = 2000
"""Steps of training, as a rule."""
EPOCHS = (10, 100)
"""The fewest and the most epochs that are chosen."""
NEIGHBOURS = 600
"""Images among which nearest neighbours are looked for."""
AT_ONCE = 2**24
"""Numbers of images that are read at once to make them small."""


def resolve(settings: Settings, data: Split) -> tuple[Settings, list[str]]:
    """Choose what the settings leave open to suit the images.

    It depends on the training images and the settings alone: not on the clock, the machine or the held-out
    images.

    Parameters
    ----------
    settings : Settings
    data : Split

    Returns
    -------
    settings : Settings
        With nothing left open.
    reasons : list of str
        What was chosen, and why: a line each.

    Examples
    --------
    >>> from neocog.data import line_patterns
    >>> from neocog.settings import settings_for
    >>> settings, reasons = resolve(settings_for("lines", minutes=0.01), line_patterns("a"))
    >>> settings.minutes, settings.from_data
    (None, ())
    >>> len(reasons)
    1
    """
    reasons = []
    # The epochs come last: their number depends on the other choices.
    for name in sorted(settings.from_data, key=lambda name: (name == "epochs", name != "validation")):
        settings, reason = _CHOICES[name](settings, data)
        reasons.append(reason)
    if data.tuning is not None and "validation" not in settings.from_data:
        used = "choose the epoch" if settings.validation else "are not used: validation is 0"
        reasons.append(f"the data's own {len(data.tuning[1])} validation images {used}")
    return replace(settings, from_data=(), minutes=None), reasons


def outputs_for(settings: Settings, data: Split) -> int:
    """Return how many outputs a network needs: one for each class, or a single one for two of them.

    Raises
    ------
    ValueError
        If the loss does not fit the labels.
    """
    classes = len(data.class_names)
    if settings.loss != "bce" or data.is_multilabel:
        return classes
    if classes != 2:
        raise ValueError(
            "loss bce is for images with several labels, as a table names them (cat;dog), or for two "
            f"classes, got one label an image, of {classes} classes; leave it out."
        )
    return 1


def _counts(data: Split) -> np.ndarray:
    return images_of_classes(data.train[1], len(data.class_names))


def _validation(settings: Settings, data: Split) -> tuple[Settings, str]:
    counts = _counts(data)
    least = int(counts.argmin())
    images = int(counts[least])
    if data.tuning is None and images < LEAST_IMAGES:
        settings = replace(settings, validation=0.0, keep_best="none", early_stopping=0)
        return settings, (
            f"no validation images: class {data.class_names[least]!r} has {images} training "
            f"image{'s' * (images != 1)}, fewer than {LEAST_IMAGES}; all epochs are trained, and the last "
            "one is kept"
        )
    if data.tuning is None and data.groups is not None:
        try:
            stratified_split(*data.train, VALIDATION, settings.seed, data.class_names, data.groups)
        except TooFewImagesError as problem:
            settings = replace(settings, validation=0.0, keep_best="none", early_stopping=0)
            return settings, (
                f"no validation images: {problem} All epochs are trained, and the last one is kept"
            )
    if data.tuning is not None:
        return replace(settings, validation=VALIDATION), (
            "the data's own validation images choose the epoch; held-out images decide nothing"
        )
    return replace(settings, validation=VALIDATION), (
        f"{VALIDATION:.0%} of the training images choose the epoch; held-out images decide nothing"
    )


def _batch_size(settings: Settings, data: Split) -> tuple[Settings, str]:
    images = len(data.train[1])
    size = next(
        size for most, size in ((400, 16), (4000, 32), (20_000, 64), (math.inf, 128)) if images <= most
    )
    return replace(settings, batch_size=size), f"batches of {size} for {images} training images"


def _filters(settings: Settings, data: Split) -> tuple[Settings, str]:
    filters = suited_filters(image_shape(tuple(data.image_shape)))
    shape = " x ".join(map(str, data.image_shape))
    return replace(settings, filters=filters), (
        f"{settings.network} of {shown(filters)} channels for {shape} images"
    )


def _class_weight(settings: Settings, data: Split) -> tuple[Settings, str]:
    if data.is_multilabel:
        return replace(settings, class_weight="none"), (
            "no class weights, as an image may have several labels; balanced counts rare labels more"
        )
    counts = _counts(data)
    seen = counts[counts > 0]
    if seen.max() < UNEVEN * seen.min():
        return replace(settings, class_weight="none"), "no class weights: the classes are even"
    return replace(settings, class_weight="balanced"), (
        f"balanced class weights: classes have {seen.min()} to {seen.max()} training images; losses and "
        "accuracies while training count each class the same"
    )


def _augment(settings: Settings, data: Split) -> tuple[Settings, str]:
    images = small_images(data.train[0])
    labels = np.asarray(data.train[1])[_places(len(data.train[1]))]
    kept = neighbours_right(images, labels, images)
    sides = neighbours_right(images, labels, images[:, :, :, ::-1])
    both = neighbours_right(images, labels, images[:, :, ::-1])
    allowed = kept - 2 * math.sqrt(max(kept * (1 - kept), 0.01) / len(labels))
    if sides < allowed:
        return replace(settings, augment="affine"), (
            "random moves, rotations, scalings and shears, no mirroring, as mirrored images are less like "
            f"their class: of {sides:.0%} the most similar image is of the same class, unmirrored {kept:.0%}"
        )
    if both < allowed:
        return replace(settings, augment="flip-shift"), "random moves and mirroring, which keeps the classes"
    return replace(settings, augment="flips-shift"), (
        "random moves and mirroring, sideways and upside down, which keeps the classes"
    )


def _epochs(settings: Settings, data: Split) -> tuple[Settings, str]:
    images = len(data.train[1])
    if settings.minutes is not None:
        seconds = epoch_seconds(settings, data)
        epochs = max(1, int(60 * settings.minutes / seconds))
        return replace(settings, epochs=epochs), (
            f"{counted(epochs, 'epoch')}: {settings.minutes:g} minutes by an estimate of {seconds:.3g} s an "
            "epoch, from the network's floating point operations"
        )
    epochs = int(np.clip(round(STEPS * settings.batch_size / images), *EPOCHS))
    return replace(settings, epochs=epochs), f"{epochs} epochs for {images} training images"


_CHOICES: dict[str, Callable[[Settings, Split], tuple[Settings, str]]] = {
    "validation": _validation,
    "batch_size": _batch_size,
    "filters": _filters,
    "class_weight": _class_weight,
    "augment": _augment,
    "epochs": _epochs,
}


def epoch_seconds(settings: Settings, data: Split) -> float:
    """Estimate the seconds of an epoch, evaluation included, by a model of its FLOPs."""
    shape = data.image_shape
    outputs = outputs_for(settings, data)
    network = build_network(settings.network, outputs, shape, settings.seed, settings.filters)
    images = len(data.train[1])
    trained = images
    if settings.validation and data.tuning is None:
        trained -= round(settings.validation * images)
    seconds = estimated_seconds(network, (1, *shape), trained, settings.batch_size, training=True)
    return seconds + estimated_seconds(network, (1, *shape), images, EVALUATION_BATCH)


def _places(images: int) -> np.ndarray:
    return np.linspace(0, images - 1, min(images, NEIGHBOURS)).astype(int)


def small_images(images: Any, side: int = 16) -> np.ndarray:
    """Return up to ``NEIGHBOURS`` of the images, about ``side`` pixels high and wide: means of blocks.

    Examples
    --------
    >>> small_images(np.ones((3, 1, 40, 70))).shape
    (3, 1, 20, 17)
    """
    N, C, H, W = images.shape
    h, w = max(1, H // side), max(1, W // side)
    places, at_once = _places(N), max(1, AT_ONCE // (C * H * W))
    parts = []
    for start in range(0, len(places), at_once):
        part = np.asarray(images[places[start : start + at_once]], np.float32)[
            :, :, : H // h * h, : W // w * w
        ]
        parts.append(part.reshape(len(part), C, H // h, h, W // w, w).mean(axis=(3, 5)))
    return np.concatenate(parts)


def neighbours_right(images: np.ndarray, labels: np.ndarray, changed: np.ndarray) -> float:
    """Return how many changed images have a nearest neighbour of their class among the other images.

    Parameters
    ----------
    images : (N, C, H, W)
    labels : (N,), or (N, labels) of 0 and 1, all of which must be those of the neighbour
    changed : (N, C, H, W)

    Examples
    --------
    >>> x = np.array([0.0, 0.1, 5.0, 5.1]).reshape(4, 1, 1, 1)
    >>> neighbours_right(x, np.array([0, 0, 1, 1]), x)
    1.0
    >>> neighbours_right(x, np.array([0, 0, 1, 1]), 5 - x)
    0.0
    """
    known, asked = images.reshape(len(images), -1), changed.reshape(len(images), -1)
    distances = (known**2).sum(axis=1) - 2 * asked @ known.T
    np.fill_diagonal(distances, np.inf)
    same = labels[distances.argmin(axis=1)] == labels
    return float(same.reshape(len(same), -1).all(axis=1).mean())
