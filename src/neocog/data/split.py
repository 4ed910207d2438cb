"""Split a data set into training and validation images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from neocog.data.csv_rows import is_number
from neocog.data.parts import Part
from neocog.data.preprocessing import Preprocessing
from neocog.deprecation import accepts_old_names
from neocog.validation import RandomSource, finite, generator, integer, label_hint, number, unmasked

AnyPath: TypeAlias = str | PathLike[str]
Labels: TypeAlias = np.ndarray
Images: TypeAlias = Any
"""An array (N, C, H, W), or a lazy stand-in with ``shape``, ``dtype``, ``len`` and ``[indices]``."""


# With more classes, unnamed labels are more likely identifiers than class indices.
FEWEST_VALUES, FEWEST_OF_VALUE = 20, 5
"""Classes that are numbers are values, perhaps, if they are so many and have fewer images each."""
MOST_UNNAMED_CLASSES = 100_000

# How the fingerprint begins of data of which the files' contents count, not their names and sizes alone.
OF_CONTENT = "content:"


class TooFewImagesError(ValueError):
    """Report that a class has too few images, or groups of images, for some of them to be held out."""


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
        self.train = _checked_part("train", train)
        self.validation = None if validation is None else _checked_part("validation", validation)
        self.tuning = None if tuning is None else _checked_part("tuning", tuning)
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
        self.groups = None if groups is None else _checked_groups(groups, len(self.train[1]))
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


def _checked_groups(groups: Any, count: int) -> np.ndarray:
    groups = np.atleast_1d(groups)
    if groups.shape != (count,) or groups.dtype.kind not in "iu":
        raise ValueError(
            f"groups must be an integer for each of the {count} images, got {groups.dtype} of shape "
            f"{groups.shape}."
        )
    checked: np.ndarray = groups.astype(np.int64)
    return checked


def _checked_part(name: str, part: Any) -> tuple[Images, Labels]:
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
    x, y = _checked_part("data", (x, y))
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
        groups = _checked_groups(groups, len(y))
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


def split_of_file(
    path: AnyPath,
    parts: Mapping[Part, tuple[Images, Labels]],
    class_names: Sequence[str] | None,
    validation_fraction: float,
    seed: int,
    *,
    notes: Sequence[str] = (),
    preprocessing: Preprocessing | None = None,
    groups: Any = None,
    few_classes: bool = False,
) -> Split:
    """Make a split of the parts of a file, or draw the held-out one; errors name the file.

    A "tuning" part without a "test" part beside it is the held-out part.
    """
    integer("seed", seed, 0)
    train, held_out, tuning = parts["train"], parts.get("test"), parts.get("tuning")
    if held_out is None:
        held_out, tuning = tuning, None
    try:
        if held_out is None and validation_fraction != 0:
            split = stratified_split(*train, validation_fraction, seed, class_names, groups)
        else:
            split = Split(train, held_out, class_names, tuning=tuning, groups=groups, few_classes=few_classes)
    except TooFewImagesError as problem:
        raise TooFewImagesError(f"{path}: {problem}") from None
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from None
    split.notes = (*notes, *_note_of_values(split))
    split.preprocessing = preprocessing or split.preprocessing
    return split


def _note_of_values(split: Split) -> tuple[str, ...]:
    """Return a warning, alone in a tuple, if the classes look like the values of a regression."""
    names = split.class_names
    if len(names) < FEWEST_VALUES or not all(map(is_number, names)):
        return ()
    few = len(split.train[1]) < FEWEST_OF_VALUE * len(names)
    if not (few or any(float(name) % 1 for name in names)):
        return ()
    return (
        f"Warning: the labels are {len(names)} different numbers, each taken for a class of its own. Values, "
        "as ages, are learned by neocog.ConvNetRegressor, in Python.",
    )


def existing_folder(path: AnyPath) -> Path:
    """Return the path of a folder; FileNotFoundError or NotADirectoryError if it is none."""
    folder = Path(path)
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}.")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} must be a folder, got a file.")
    return folder
