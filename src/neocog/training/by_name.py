"""Make optimizers, schedules and augmentations by name, for the command line, sweeps and the estimators."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from neocog.data.augmentation import Affine, Compose, Flip, Shift
from neocog.data.batches import Augmentation
from neocog.optimizers import SGD, Adam, AdamW, NAdam, Optimizer, RMSProp
from neocog.schedules import Cosine, OneCycle, Polynomial, WarmRestarts
from neocog.validation import one_of

__all__ = [
    "AUGMENTATIONS",
    "OPTIMIZERS",
    "PLANNED_SCHEDULES",
    "SCHEDULES",
    "border_brightness",
    "make_augmentation",
    "make_optimizer",
    "make_schedule",
]

Rate: TypeAlias = float | Callable[[int], float]
BETA2 = 0.999


def _sgd(lr: Rate, momentum: float, **options: Any) -> Optimizer:
    return SGD(lr, momentum, **options)


def _nesterov(lr: Rate, momentum: float, **options: Any) -> Optimizer:
    return SGD(lr, momentum, nesterov=True, **options)


def _adam(lr: Rate, momentum: float, **options: Any) -> Optimizer:
    return Adam(lr, (momentum, BETA2), **options)


def _adamw(lr: Rate, momentum: float, **options: Any) -> Optimizer:
    return AdamW(lr, (momentum, BETA2), **options)


def _nadam(lr: Rate, momentum: float, **options: Any) -> Optimizer:
    return NAdam(lr, (momentum, BETA2), **options)


def _rmsprop(lr: Rate, momentum: float, **options: Any) -> Optimizer:
    return RMSProp(lr, momentum=momentum, **options)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": _sgd,
    "nesterov": _nesterov,
    "adam": _adam,
    "adamw": _adamw,
    "nadam": _nadam,
    "rmsprop": _rmsprop,
}
"""Functions (lr, momentum, weight_decay=, clip_norm=) -> Optimizer; Adam's momentum is its first beta."""

SCHEDULES: dict[str, Callable[[float, int], Rate]] = {
    "constant": lambda lr, steps: lr,
    "cosine": Cosine,
    "one-cycle": OneCycle,
    "polynomial": Polynomial,
    "warm-restarts": lambda lr, steps: WarmRestarts(lr, math.ceil(steps / 7), factor=2),
    "plateau": lambda lr, steps: lr,
}
"""Functions (lr, steps) -> a rate for a training of that many steps.

"warm-restarts" are three cycles, each twice as long as the one before; "plateau" is a constant rate, which
:class:`~neocog.training.ReduceLROnPlateau` lowers.
"""

PLANNED_SCHEDULES = tuple(name for name in SCHEDULES if name not in ("constant", "plateau"))
"""The schedules that depend on the number of steps in all, so that a training cannot be extended."""


def make_schedule(name: str, lr: float, steps: int) -> Rate:
    """Make a learning rate, or schedule of such, for a number of steps; ValueError if there is none.

    Examples
    --------
    >>> make_schedule("cosine", 0.1, 50)
    Cosine(lr=0.1, steps=50)
    """
    one_of("schedule", name, SCHEDULES)
    return SCHEDULES[name](lr, max(steps, 1))


def make_optimizer(
    name: str,
    lr: Rate,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
) -> Optimizer:
    """Make an optimizer.

    Parameters
    ----------
    name : str
        One of ``OPTIMIZERS``.
    lr : float or schedule
    momentum : float in [0, 1)
        Of Adam's kind, the first beta.
    weight_decay : float
    clip_norm : float, optional
        Default: gradients are not clipped.

    Raises
    ------
    ValueError, TypeError
        If there is no such optimizer, or a number is out of range.

    Examples
    --------
    >>> make_optimizer("adamw", 0.01, weight_decay=0.05)
    AdamW(lr=0.01, weight_decay=0.05)
    """
    one_of("optimizer", name, OPTIMIZERS)
    return OPTIMIZERS[name](lr, momentum, weight_decay=weight_decay, clip_norm=clip_norm)


def _affine(size: int, fill: float) -> Augmentation:
    return Affine(degrees=10, shift=size / 16, scale=0.1, shear=0.2, fill=fill)


def _shift(size: int, fill: float) -> Augmentation:
    return Shift(max(1, round(size / 16)), fill)


AUGMENTATIONS: dict[str, Callable[[int, float], Augmentation | None]] = {
    "none": lambda size, fill: None,
    "shift": _shift,
    "affine": _affine,
    "flip": lambda size, fill: Flip(),
    "flip-shift": lambda size, fill: Compose(Flip(), _shift(size, fill)),
    "flip-affine": lambda size, fill: Compose(Flip(), _affine(size, fill)),
    "flips": lambda size, fill: Compose(Flip(), Flip(axis="vertical")),
    "flips-shift": lambda size, fill: Compose(Flip(), Flip(axis="vertical"), _shift(size, fill)),
    "digits": lambda size, fill: Affine(degrees=10, shift=0.5, scale=0.1, shear=0.2),
}
"""Functions (size, fill) -> augmentation of images whose shorter side is ``size``, or None.

"shift" and "affine" move by up to a sixteenth of the size; "flip" mirrors left and right, "flips" also top
and bottom; "digits" is what the recipe "best" was made with: moves of half a pixel, and black borders.
"""


def make_augmentation(name: str, images: Any) -> Augmentation | None:
    """Make an augmentation for images (N, C, H, W); None if the name is "none".

    What enters at the border has the median brightness of the borders of the images.

    Raises
    ------
    ValueError
        If there is no such augmentation.

    Examples
    --------
    >>> make_augmentation("shift", np.ones((5, 1, 32, 48)))
    Shift(2, fill=1.0)
    """
    one_of("augment", name, AUGMENTATIONS)
    if name in ("none", "flip", "flips", "digits"):
        return AUGMENTATIONS[name](0, 0.0)
    return AUGMENTATIONS[name](min(images.shape[2:]), border_brightness(images))


def border_brightness(images: Any) -> float:
    """Return the median over the outermost pixels of up to 256 images, taken at equal distances.

    Examples
    --------
    >>> border_brightness(np.full((3, 1, 4, 4), 0.25))
    0.25
    """
    some = np.asarray(images[np.linspace(0, len(images) - 1, min(len(images), 256)).astype(int)], float)
    rows, columns = some[:, :, [0, -1]], some[:, :, :, [0, -1]]
    return float(np.median(np.concatenate([rows.ravel(), columns.ravel()])))
