"""Make optimizers, schedules and augmentations by name, for the command line, sweeps and the estimators."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from neocog.data.augmentation import Affine, ColorJitter, Compose, Erase, Flip, Shift
from neocog.data.batches import Augmentation
from neocog.optimizers import SGD, Adam, AdamW, NAdam, Optimizer, RMSProp
from neocog.schedules import Cosine, OneCycle, Polynomial, WarmRestarts
from neocog.training.callbacks import ReduceLROnPlateau
from neocog.validation import number, one_of

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
"""Functions ``(lr, momentum, **options) -> Optimizer``; Adam's momentum is its first beta."""

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
    rates: Mapping[str, float] | None = None,
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
    rates : dict of str to float, optional
        Factors of the learning rate for groups of parameters, by the names of layers.

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
    number("momentum", momentum, 0, 1, False, True)  # under the name that Adam's kind does not know
    return OPTIMIZERS[name](lr, momentum, weight_decay=weight_decay, clip_norm=clip_norm, rates=rates)


AUGMENTATIONS: dict[str, Callable[[int], list[Augmentation]]] = {
    "none": lambda size: [],
    "flip": lambda size: [Flip()],
    "flips": lambda size: [Flip(), Flip(axis="vertical")],
    "shift": lambda size: [Shift(max(1, round(size / 16)), fill="edge")],
    "affine": lambda size: [Affine(degrees=10, shift=size / 16, scale=0.1, shear=0.2, fill="edge")],
    "colour": lambda size: [ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2)],
    "erase": lambda size: [Erase(max(1, size // 4), p=0.5)],
    "digits": lambda size: [Affine(degrees=10, shift=0.5, scale=0.1, shear=0.2)],
}
"""Functions of the shorter side of the images.

"flip" mirrors left and right, "flips" also top and bottom. "shift" and "affine" move by up to a sixteenth of
the side; what enters repeats the edge. "colour" changes brightness, contrast and saturation, "erase" covers a
square of every second image. "digits" is what the recipe "best" was made with: moves of half a pixel, black
borders.
"""


def make_augmentation(name: str, image_shape: Sequence[int]) -> Augmentation | None:
    """Make an augmentation for images of a shape (C, H, W); None if the name is "none".

    Parameters
    ----------
    name : str
        One of ``AUGMENTATIONS``, or several joined by "-", in this order.
    image_shape : (C, H, W)

    Raises
    ------
    ValueError
        If there is no such augmentation.

    Examples
    --------
    >>> make_augmentation("flip-shift", (1, 32, 48))
    Compose(Flip(), Shift(2, fill='edge'))
    """
    parts = name.split("-")
    if len(parts) > 1 and "none" in parts:
        raise ValueError(f"augment must be 'none' or others joined, got {name!r}.")
    steps = [
        step
        for part in parts
        for step in AUGMENTATIONS[one_of("augment", part, AUGMENTATIONS)](min(image_shape[1:]))
    ]
    return steps[0] if len(steps) == 1 else Compose(*steps) if steps else None
