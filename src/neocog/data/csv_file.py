"""Load data sets from CSV files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neocog.data.csv_pictures import picture_columns, pictures_of_tables
from neocog.data.csv_pixels import pixel_tables
from neocog.data.file_split import existing_folder
from neocog.data.folder import split_of_pictures
from neocog.data.parts import Part, part_of
from neocog.data.preprocessing import Preprocessing
from neocog.data.split import AnyPath, Split


def load_csv(
    path: AnyPath,
    validation_fraction: float = 0.2,
    seed: int = 0,
    *,
    image_shape: Sequence[int] | Preprocessing | None = None,
    largest: int | None = None,
    channels: int | None = None,
    size: int | None = None,
    fit: str | None = None,
    group_by: str | None = None,
    skip_bad: bool = False,
    class_names: Sequence[str] | None = None,
    several_labels: bool = False,
    images: AnyPath | None = None,
    file_column: str | None = None,
    label_column: str | None = None,
) -> Split:
    """Load a data set from a CSV file: one image a row, with a column for its label.

    The label is in the column whose header is ``label``, ``class``, ``target`` or another usual name. Or
    there is a column for each label, of 0 and 1: exactly one of a row is 1 then, unless ``several_labels``.

    The images are in files, which another column names: one with names as ``cat1.jpg``, or whose header is
    ``filename``, ``path``, ``image_id`` or another usual name, with or without the files' suffix. They lie
    beside the table, or in a folder there, first those with names as ``images`` and ``train``. They are read
    as those of :func:`image_folder`, and labels are names, which are sorted.

    Or there is a column for each pixel. Without a header the label is in the first column then, or the last:
    in the one that holds text; else in the first, or in the last if the first column's values are all equal
    or not whole (as those of a pixel in a corner). Labels are class indices 0, 1, 2 ..., or else names, which
    are sorted. A column that numbers the rows, as ``id`` or pandas' own, is left out. Pixels are whole
    numbers 0..255, which are divided by 255, or numbers 0..1, which are kept; a file that holds nothing but 0
    and 1 is kept. Where they are not whole, but go up to 128 at least, they are divided, too. They are listed
    row by row, one channel after the other; or all are in one column, with spaces between them.

    A column ``split``, ``is_valid`` or with another usual name may say to which part a row belongs: train,
    val or test, by any usual name. Or ``path`` is a folder with a file for each part: ``train.csv`` or
    ``mnist_train.csv``, and ``test.csv``, which is held out, or ``val.csv``, which is ``tuning`` beside a
    test part, and held out without. Otherwise the same fraction of every class is held out.

    The file is text in UTF-8 (or in UTF-16 with a byte order mark) with commas, semicolons, tabs or vertical
    bars, with a header or without. Quotes, blank lines and a byte order mark are accepted.

    Parameters
    ----------
    path : str or path
    validation_fraction : float in [0, 1)
        With 0 nothing is held out.
    seed : int
        Draws the held-out images.
    image_shape : (channels, height, width) or Preprocessing, optional
        Default: that of the header, if it names the pixels 1x1, 1x2 ... (row x column); else one channel, as
        high as wide.
    largest, channels, size, fit, group_by, skip_bad : optional
        How pictures in files are read, see :func:`image_folder`.
    class_names : sequence of str, optional
        The classes, of which the file may lack some. Default: those found.
    several_labels : bool
        Whether an image may have several labels, or none, as ``cat;dog``: separated by semicolons, bars or
        commas, or if there are none of these by spaces, or each in a row of its own. Where the training
        images of a table that names files do, labels are (N, labels) of 0 and 1.
    images : str or path, optional
        The folder that holds the files which a table names; they are searched nowhere else then.
    file_column, label_column : str, optional
        The columns of files and labels, where their names are no usual ones; several columns of labels, each
        of 0 and 1, with commas between them.

    Returns
    -------
    Split
        Images float32 in 0..1, (N, C, H, W): of files :class:`LazyImages`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a cell is no pixel or label, a row has more or fewer cells than the first, no column can be the
        label, or the pixels make no image; the message names the file, the line and the column. If files are
        missing or cannot be read, or a file has two labels; the message lists all.
    BudgetError
        If a row has more columns than the budget "columns" (:mod:`neocog.budgets`).
    """
    files = _files(Path(path))
    named = {"file_column": file_column, "label_column": label_column}
    folder = None if images is None else existing_folder(images)
    columns = picture_columns(files["train"], folder, **named)
    options: dict[str, Any] = {"channels": channels, "size": size, "fit": fit, "group_by": group_by}
    if columns is not None:
        return split_of_pictures(
            Path(path) if len(files) > 1 else files["train"],
            folder or files["train"].parent,
            pictures_of_tables(files, columns, several_labels, folder, **named),
            image_shape,
            validation_fraction,
            seed,
            largest=largest,
            skip_bad=skip_bad,
            class_names=class_names,
            **options,
        )
    options |= {"images": images, **named}
    if given := [name for name, value in options.items() if value is not None]:
        raise ValueError(f"{given[0]} is only for tables that name files of pictures; {path} holds pixels.")
    return pixel_tables(path, files, validation_fraction, seed, image_shape, class_names)


def _files(path: Path) -> dict[Part, Path]:
    """Return the file of each part."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}.")
    if not path.is_dir():
        return {"train": path}
    files = {}
    for part, some in tables_in(path).items():
        if len(some) > 1:
            names = " and ".join(file.name for file in some)
            raise ValueError(f"{path} must hold one file for each part, got {names}.")
        files[part] = some[0]
    if "train" not in files:
        raise FileNotFoundError(f"{path} must be a CSV file, or a folder that holds train.csv.")
    return {"train": files.pop("train"), **files}


def tables_in(folder: Path) -> dict[Part, list[Path]]:
    """Return the tables of each part in a folder: train.csv, or if there is none mnist_train.csv."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in (".csv", ".tsv"))
    found: dict[Part, list[Path]] = {}
    for part_of_file in (lambda file: part_of(file.stem), _part_in_name):
        some: dict[Part, list[Path]] = {}
        for file in files:
            if (part := part_of_file(file)) is not None:
                some.setdefault(part, []).append(file)
        found = some | found
    return found


def _part_in_name(file: Path) -> Part | None:
    """Return the part that a file's name begins or ends with.

    Examples
    --------
    >>> _part_in_name(Path("mnist_train.csv")), _part_in_name(Path("val-2.csv")), _part_in_name(Path("a.csv"))
    ('train', 'tuning', None)
    """
    words = re.split(r"[\W_]+", file.stem)
    return part_of(words[-1]) or part_of(words[0])
