"""Summarize data before they are trained on: images, classes, and what was found and chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from neocog.data.layout import listed
from neocog.data.split import Split, images_of_classes

__all__ = ["DataSummary"]

_PARTS = {"train": "to train on", "tuning": "for validation", "validation": "held out"}


@dataclass(frozen=True)
class DataSummary:
    """Hold what there is to say of data before training.

    Attributes
    ----------
    images : dict from part to int
        How many images the parts "train", "tuning" and "validation" (which is held out) have; only the parts
        that there are.
    classes : dict from class name to dict from part to int
        How many of them are of each class; empty for a regression.
    image_shape : tuple of int
    notes : tuple of str
        What was found and chosen when the data were read, a sentence each.
    multilabel : bool
        Whether an image may have several labels, or none.

    Examples
    --------
    >>> from neocog.data import line_patterns
    >>> for line in DataSummary.of(line_patterns()).lines():
    ...     print(line)
    270 images of shape 1 x 8 x 8: 180 to train on, 90 held out.
    3 classes: vertical 60 + 30, horizontal 60 + 30, diagonal 60 + 30.
    """

    images: dict[str, int]
    classes: dict[str, dict[str, int]]
    image_shape: tuple[int, ...]
    notes: tuple[str, ...] = ()
    multilabel: bool = False

    @classmethod
    def of(cls, split: Split) -> Self:
        """Summarize a split."""
        labels = {name: part[1] for name in _PARTS if (part := getattr(split, name))}
        count = len(split.class_names)
        counts = {part: images_of_classes(y, count) for part, y in labels.items()} if count else {}
        return cls(
            {part: len(y) for part, y in labels.items()},
            {
                name: {part: int(n[k]) for part, n in counts.items()}
                for k, name in enumerate(split.class_names)
            },
            split.image_shape,
            split.notes,
            split.is_multilabel,
        )

    def lines(self) -> list[str]:
        """Return the summary as sentences, the notes last."""
        parts = ", ".join(f"{count} {_PARTS[part]}" for part, count in self.images.items())
        shape = " x ".join(map(str, self.image_shape))
        lines = [f"{sum(self.images.values())} images of shape {shape}: {parts}."]
        if self.classes:
            texts = [f"{name} {' + '.join(map(str, n.values()))}" for name, n in self.classes.items()]
            kind = "labels, of which an image may have several" if self.multilabel else "classes"
            lines.append(f"{len(texts)} {kind}: {listed(texts)}.")
        return [*lines, *self.notes]

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain data."""
        return {
            "images": self.images,
            "classes": self.classes,
            "image_shape": list(self.image_shape),
            "multilabel": self.multilabel,
            "notes": list(self.notes),
        }
