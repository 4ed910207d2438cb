"""Recognise the parts of a data set by the names that people give them."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["PART_NAMES", "PART_TITLES", "Part", "part_of"]

Part: TypeAlias = Literal["train", "tuning", "test"]

PART_NAMES: dict[Part, tuple[str, ...]] = {
    "train": ("train", "training", "trn", "tr"),
    "tuning": ("val", "valid", "validation", "validate", "dev", "publictest"),
    "test": (
        "test",
        "testing",
        "tst",
        "te",
        "heldout",
        "held-out",
        "held_out",
        "holdout",
        "hold-out",
        "eval",
        "privatetest",
    ),
}
"""The usual names: of training images, of those that may choose the epoch, and of those that are held out."""

PART_TITLES: dict[Part, str] = {"train": "training", "tuning": "validation", "test": "test"}
"""What the parts are called in messages."""


def part_of(name: str) -> Part | None:
    """Return the part of a data set that a name means, in capitals or not; None if it is none.

    Examples
    --------
    >>> part_of("Training"), part_of("val"), part_of("TEST"), part_of("cats")
    ('train', 'tuning', 'test', None)
    """
    name = name.strip().lower()
    return next((part for part, names in PART_NAMES.items() if name in names), None)
