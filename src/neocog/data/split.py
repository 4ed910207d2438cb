"""Define the data of a task: its parts, checked against each other, and the names of its classes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any, TypeAlias

import numpy as np

from neocog.data.preprocessing import Preprocessing
from neocog.validation import finite, label_hint, unmasked

AnyPath: TypeAlias = str | PathLike[str]
Labels: TypeAlias = np.ndarray
Images: TypeAlias = Any
"""An array (N, C, H, W), or a lazy stand-in with ``shape``, ``dtype``, ``len`` and ``[indices]``."""

# With more classes, unnamed labels are more likely identifiers than class indices.
MOST_UNNAMED_CLASSES = 100_000

# How the fingerprint begins of data of which the files' contents count, not their names and sizes alone.
OF_CONTENT = "content:"


class Split:
    """Training and validation data of one task.

    Parameters
    ----------
    train, validation : (images, labels)
        Images (N, C, H, W), an array or :class:`~neocog.data.folder.LazyImages`; labels integers
        0..classes-1 of shape (N,), or 0 and 1 of shape (N, labels) where an image may have several, or float
        targets for a regression. ``validation`` may be None.
    class_names : sequence of str, optional
        Names of the classes, or labels. Default: "0", "1", ... as many as there are.
    tuning : (images, labels), optional
        A third part, neither trained on nor reported: it may choose the epoch, as a data set's own validation
        part does where it has a test part, too, which is ``validation`` here.
    notes : sequence of str
        What was found and chosen when the data were read, a sentence each, to be shown before training.
    preprocessing : Preprocessing, optional
        How the images were made of files; a network that is trained on them keeps it.
    groups : array (N,) of integers, optional
        The group of each training image. Images of one group, such as patches of one photograph, are to stay
        together where the training images are divided.
    few_classes : bool
        Allow training images of a single class, to measure a network on them.

    Attributes
    ----------
    train, validation : (images, labels)
        ``test`` is another name of ``validation``: the part held out.
    tuning : (images, labels) or None
    notes : tuple of str
    class_names : tuple of str
        Empty for a regression.
    named : bool
        Whether the class names were given.
    image_shape : (C, H, W)
    preprocessing : Preprocessing or None
    groups : array (N,) or None

    Raises
    ------
    ValueError, TypeError
        If a part is empty, its images and labels differ in number, labels are out of range, or all training
        images are of one class.

    Examples
    --------
    >>> split = Split((np.zeros((2, 1, 8, 8)), np.array([0, 1])), class_names=("cat", "dog"))
    >>> split
    Split(2 training, 0 validation images of shape (1, 8, 8), 2 classes: cat, dog)
    """

    def __init__(
        self,
        train: tuple[Images, Any],
        validation: tuple[Images, Any] | None = None,
        class_names: Sequence[str] | None = None,
        *,
        tuning: tuple[Images, Any] | None = None,
        notes: Sequence[str] = (),
        preprocessing: Preprocessing | None = None,
        groups: Any = None,
        few_classes: bool = False,
    ) -> None:
        self.train = checked_part("train", train)
        self.validation = None if validation is None else checked_part("validation", validation)
        self.tuning = None if tuning is None else checked_part("tuning", tuning)
        self.image_shape: tuple[int, ...] = tuple(self.train[0].shape[1:])
        for name, part in (("validation", self.validation), ("tuning", self.tuning)):
            if part and tuple(part[0].shape[1:]) != self.image_shape:
                raise ValueError(
                    f"{name} images must have the training images' shape {self.image_shape}, "
                    f"got {tuple(part[0].shape[1:])}."
                )
            if part and self.is_classification != (part[1].dtype.kind in "iu"):
                raise TypeError(
                    f"{name} labels must be of the training labels' kind, {self.train[1].dtype}, got "
                    f"{part[1].dtype}."
                )
            if part and self.is_classification and part[1].shape[1:] != self.train[1].shape[1:]:
                raise ValueError(
                    f"{name} labels must be like the training labels, of shape {self.train[1].shape}, got "
                    f"{part[1].shape}."
                )
        self.notes = tuple(notes)
        self.preprocessing: Preprocessing | None = preprocessing or getattr(
            self.train[0], "preprocessing", None
        )
        self.groups = None if groups is None else checked_groups(groups, len(self.train[1]))
        self.named = class_names is not None
        self.class_names: tuple[str, ...] = ()
        if self.is_classification:
            self._name_classes(class_names, 1 if few_classes else 2)

    @property
    def is_classification(self) -> bool:
        """Whether the targets are class labels."""
        return self.train[1].dtype.kind in "iu"

    @property
    def is_multilabel(self) -> bool:
        """Whether an image may have several labels, or none."""
        return self.is_classification and self.train[1].ndim == 2

    @property
    def test(self) -> tuple[Images, Labels] | None:
        """The held-out part, under the name used where it decides nothing (the digits' protocol)."""
        return self.validation

    @property
    def _parts(self) -> list[tuple[Images, Labels]]:
        """The parts there are, in the order in which the fingerprint reads them."""
        return [part for part in (self.train, self.validation, self.tuning) if part]

    def _name_classes(self, class_names: Sequence[str] | None, fewest: int) -> None:
        parts = self._parts
        if self.is_multilabel:
            names = [str(k) for k in range(self.train[1].shape[1])] if class_names is None else class_names
            self.class_names = tuple(str(name) for name in names)
            if len(set(self.class_names)) != self.train[1].shape[1] or len(names) != self.train[1].shape[1]:
                raise ValueError(
                    f"class_names must be {self.train[1].shape[1]} different names, one a label, got "
                    f"{list(self.class_names)}."
                )
            return
        classes = 1 + max(int(labels.max()) for _, labels in parts)
        lowest = min(int(labels.min()) for _, labels in parts)
        if lowest < 0:
            raise ValueError(f"labels must be at least 0, got {lowest}.")
        if class_names is None and classes > MOST_UNNAMED_CLASSES:
            raise ValueError(
                f"labels must be class indices 0, 1, 2 ..., got {classes - 1}; for more than "
                f"{MOST_UNNAMED_CLASSES} classes pass class_names."
            )
        names = [str(k) for k in range(classes)] if class_names is None else [str(n) for n in class_names]
        if len(set(names)) != len(names):
            raise ValueError(f"class_names must differ, got {names}.")
        if classes > len(names):
            raise ValueError(f"labels must be below {len(names)}, the number of classes, got {classes - 1}.")
        seen = np.unique(self.train[1])
        if len(seen) < fewest:
            raise ValueError(
                f"training images must be of at least two classes, got only {names[int(seen[0])]!r}."
            )
        self.class_names = tuple(names)

    def fingerprint(self) -> str:
        """Return a hash that identifies the data.

        It is that of the arrays' bytes; of images in files, that of the files' bytes.
        """
        digest, mark = hashlib.sha256(), ""
        for part in self._parts:
            for array in part:
                paths = getattr(array, "paths", None)
                if paths is None:
                    digest.update(np.ascontiguousarray(array).tobytes())
                    continue
                mark = OF_CONTENT
                for path in paths:
                    with open(path, "rb") as file:
                        digest.update(hashlib.file_digest(file, "sha256").digest())
        return mark + digest.hexdigest()

    def has_fingerprint(self, fingerprint: str) -> bool:
        """Return whether a fingerprint is that of these data, also one that an older neocog has taken.

        Older ones are, of images in files, those of the files' names and sizes.
        """
        lazy = any(hasattr(part[0], "paths") for part in self._parts)
        if lazy and not fingerprint.startswith(OF_CONTENT):
            return self._old_fingerprint() == fingerprint
        return self.fingerprint() == fingerprint

    def _old_fingerprint(self) -> str:
        digest = hashlib.sha256()
        for part in self._parts:
            for array in part:
                paths = getattr(array, "paths", None)
                if paths is None:
                    digest.update(np.ascontiguousarray(array).tobytes())
                else:
                    digest.update(repr([(path.name, path.stat().st_size) for path in paths]).encode())
        return digest.hexdigest()

    def __iter__(self) -> Iterator[tuple[Images, Labels] | None]:
        return iter((self.train, self.validation))

    def __repr__(self) -> str:
        held_out = len(self.validation[1]) if self.validation else 0
        tuning = f", {len(self.tuning[1])} tuning" if self.tuning else ""
        text = (
            f"Split({len(self.train[1])} training{tuning}, {held_out} validation images of shape "
            f"{self.image_shape}"
        )
        if not self.class_names:
            return text + ")"
        names = ", ".join(self.class_names[:10]) + (", ..." if len(self.class_names) > 10 else "")
        return f"{text}, {len(self.class_names)} classes: {names})"


def images_of_classes(y: np.ndarray, classes: int) -> np.ndarray:
    """Return how many images each class, or label, has.

    Examples
    --------
    >>> images_of_classes(np.array([0, 2, 2]), 3), images_of_classes(np.array([[1, 1], [0, 1]]), 2)
    (array([1, 0, 2]), array([1, 2]))
    """
    counts: np.ndarray = np.bincount(y, minlength=classes) if y.ndim == 1 else y.sum(axis=0)
    return counts


def checked_groups(groups: Any, count: int) -> np.ndarray:
    """Return the groups of so many images as int64, checked."""
    groups = np.atleast_1d(groups)
    if groups.shape != (count,) or groups.dtype.kind not in "iu":
        raise ValueError(
            f"groups must be an integer for each of the {count} images, got {groups.dtype} of shape "
            f"{groups.shape}."
        )
    checked: np.ndarray = groups.astype(np.int64)
    return checked


def checked_part(name: str, part: Any) -> tuple[Images, Labels]:
    """Return (images, labels), checked against each other."""
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise TypeError(f"{name} must be a pair (images, labels), got {type(part).__name__}.")
    images, labels = unmasked(f"{name} images", part[0]), np.asarray(unmasked(f"{name} labels", part[1]))
    if not hasattr(images, "shape"):
        images = np.asarray(images)
    if len(images.shape) < 2:
        raise ValueError(f"{name} images must be (N, C, H, W), got shape {tuple(images.shape)}.")
    if len(images) == 0:
        raise ValueError(f"{name} must hold at least one image, got none.")
    if labels.ndim == 0 or len(images) != len(labels):
        raise ValueError(
            f"{name} must have one label an image, got {len(images)} images and labels of shape "
            f"{labels.shape}."
        )
    several = labels.ndim == 2 and labels.dtype.kind in "iu" and labels.shape[1] > 1 and labels.max() <= 1
    if labels.dtype.kind in "iu" and labels.ndim != 1 and not (several and labels.min() >= 0):
        raise ValueError(
            f"{name} labels must be of shape (N,), or (N, labels) of 0 and 1, got {labels.shape}"
            f"{label_hint(labels)}."
        )
    if labels.dtype.kind not in "iuf":
        raise TypeError(f"{name} labels must be integers, got {labels.dtype}{label_hint(labels)}.")
    if labels.dtype.kind == "f":
        finite(f"{name} targets", labels)
    return images, labels
