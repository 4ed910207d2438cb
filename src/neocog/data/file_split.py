"""Make the split of a data set that is in files: of the parts that they name, or drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neocog.data.csv_rows import is_number
from neocog.data.parts import Part
from neocog.data.preprocessing import Preprocessing
from neocog.data.split import AnyPath, Images, Labels, Split
from neocog.data.stratified import TooFewImagesError, stratified_split
from neocog.validation import integer

FEWEST_VALUES, FEWEST_OF_VALUE = 20, 5
"""Classes that are numbers are values, perhaps, if they are so many and have fewer images each."""


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
