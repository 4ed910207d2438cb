"""Make optimizers, schedules and augmentations by name, for the command line, sweeps and the estimators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from neocog.data.augmentation import Affine, Compose, Flip, Shift
from neocog.data.batches import Augmentation
from neocog.optimizers import SGD, Adam, AdamW, NAdam, Optimizer, RMSProp
from neocog.schedules import Cosine, OneCycle, Polynomial, WarmRestarts
from neocog.training.callbacks import ReduceLROnPlateau
from neocog.validation import one_of

__all__ = [
    "AUGMENTATIONS",
    "OPTIMIZERS",
    "PLANNED_SCHEDULES",
    "SCHEDULES",
    "make_augmentation",
    "make_optimizer",
    "make_schedule",
    "plateau",
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
    Cosine(lr=0.1, steps=50, final=0.0)
    """
    one_of("schedule", name, SCHEDULES)
    return SCHEDULES[name](lr, max(steps, 1))


def plateau(monitor: str) -> ReduceLROnPlateau:
    """Make the callback of "plateau": a fifth of the rate after more than four epochs without improvement."""
    return ReduceLROnPlateau(monitor, factor=0.2, patience=4)


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


def _affine(size: int) -> Augmentation:
    return Affine(degrees=10, shift=size / 16, scale=0.1, shear=0.2, fill="edge")


def _shift(size: int) -> Augmentation:
    return Shift(max(1, round(size / 16)), fill="edge")


AUGMENTATIONS: dict[str, Callable[[int], Augmentation | None]] = {
    "none": lambda size: None,
    "shift": _shift,
    "affine": _affine,
    "flip": lambda size: Flip(),
    "flip-shift": lambda size: Compose(Flip(), _shift(size)),
    "flip-affine": lambda size: Compose(Flip(), _affine(size)),
    "flips": lambda size: Compose(Flip(), Flip(axis="vertical")),
    "flips-shift": lambda size: Compose(Flip(), Flip(axis="vertical"), _shift(size)),
    "digits": lambda size: Affine(degrees=10, shift=0.5, scale=0.1, shear=0.2),
}
"""Functions of the shorter side of the images, which return an augmentation or None.

"shift" and "affine" move by up to a sixteenth of it; what enters repeats the edge. "flip" mirrors left and
right, "flips" also top and bottom. "digits" is what the recipe "best" was made with: moves of half a pixel,
black borders.
"""


def make_augmentation(name: str, image_shape: Sequence[int]) -> Augmentation | None:
    """Make an augmentation for images of a shape (C, H, W); None if the name is "none".

    Raises
    ------
    ValueError
        If there is no such augmentation.

    Examples
    --------
    >>> make_augmentation("shift", (1, 32, 48))
    Shift(2, fill='edge')
    """
    one_of("augment", name, AUGMENTATIONS)
    return AUGMENTATIONS[name](min(image_shape[1:]))
