"""Open the images of a run, and choose those that it trains on."""

from __future__ import annotations

from typing import Any

from neocog.data import Split, stratified_split
from neocog.data.sources import open_source
from neocog.data.stratified import TooFewImagesError
from neocog.settings import Settings


def open_images(settings: Settings, **how: Any) -> Split:
    """Open the source of the settings: all its training images, and its held-out ones.

    Where a class has a single image, and none can be held out, none is, and the notes of the split say so.

    ``how`` are more options of :func:`~neocog.data.sources.open_source`.
    """
    options = settings.reading | how
    try:
        return open_source(settings.source, validation_fraction=settings.held_out, **options)
    except TooFewImagesError as problem:
        data = open_source(settings.source, validation_fraction=0, **options)
        data.notes = (*data.notes, f"No image is held out, so that no accuracy can be reported: {problem}")
        return data


def training_split(settings: Settings, data: Split) -> Split:
    """Return the images that are trained on, and those that are measured after each epoch.

    With ``settings.validation`` the latter are that fraction of the training images, drawn by the seed and
    stratified, or the data's own third part; they may choose the epoch. Without, they are the held-out
    images, which choose nothing.

    Raises
    ------
    ValueError
        If a class has too few images to be divided.
    """
    if not settings.validation:
        return Split(data.train, data.validation, data.class_names, preprocessing=data.preprocessing)
    if data.tuning is not None:
        return Split(data.train, data.tuning, data.class_names, preprocessing=data.preprocessing)
    parts = stratified_split(*data.train, settings.validation, settings.seed, data.class_names, data.groups)
    return Split(parts.train, parts.validation, data.class_names, preprocessing=data.preprocessing)
