"""Load data sets from CSV files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from neocog.data.csv_pixels import pixel_tables
from neocog.data.parts import Part, part_of
from neocog.data.preprocessing import Preprocessing
from neocog.data.split import AnyPath, Split


def load_csv(
    path: AnyPath,
    validation_fraction: float = 0.2,
    seed: int = 0,
    *,
    image_shape: Sequence[int] | Preprocessing | None = None,
    class_names: Sequence[str] | None = None,
) -> Split:
    """Load a data set from a CSV file: one image a row, a column for its label and one for each pixel.

    The label is in the column whose header is ``label``, ``class``, ``target`` or another usual name.
    Without one it is in the first column or the last: in the one that holds text; else in the first, or in
    the last if the first column's values are all equal or not whole (as those of a pixel in a corner). Labels
    are class indices 0, 1, 2 ..., or else names, which are sorted.

    Pixels are whole numbers 0..255, which are divided by 255, or numbers 0..1, which are kept; a file that
    holds nothing but 0 and 1 is kept. Where they are not whole, but go up to 128 at least, they are divided,
    too. They are listed row by row, one channel after the other. A column that numbers the rows, as ``id`` or
    pandas' own, is left out.

    A column ``split``, ``is_valid`` or with another usual name may say to which part a row belongs: train,
    val or test, by any usual name. Or ``path`` is a folder with a file for each part: ``train.csv`` or
    ``mnist_train.csv``, and ``test.csv``, which is held out, or ``val.csv``, which is ``tuning`` beside a
    test part, and held out without. Otherwise the same fraction of every class is held out.

    The file is UTF-8 text with commas, semicolons or tabs, with a header or without. Quotes, blank lines and
    a byte order mark are accepted.

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
    class_names : sequence of str, optional
        The classes, of which the file may lack some. Default: those found.

    Returns
    -------
    Split
        Images float32 in 0..1, (N, C, H, W).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a cell is no pixel or label, a row has more or fewer cells than the first, no column can be the
        label, or the pixels make no image; the message names the file, the line and the column.
    BudgetError
        If a row has more columns than the budget "columns" (:mod:`neocog.budgets`).
    """
    files = _files(Path(path))
    return pixel_tables(path, files, validation_fraction, seed, image_shape, class_names)


def _files(path: Path) -> dict[Part, Path]:
    """Return the file of each part."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}.")
    if not path.is_dir():
        return {"train": path}
    files: dict[Part, Path] = {}
    tables = sorted(path.glob("*.csv"))
    for part_of_file in (lambda file: part_of(file.stem), _part_in_name):  # train.csv, else mnist_train.csv
        found: dict[Part, list[Path]] = {}
        for file in tables:
            if (part := part_of_file(file)) is not None and part not in files:
                found.setdefault(part, []).append(file)
        for part, some in found.items():
            if len(some) > 1:
                names = " and ".join(file.name for file in some)
                raise ValueError(f"{path} must hold one file for each part, got {names}.")
            files[part] = some[0]
    if "train" not in files:
        raise FileNotFoundError(f"{path} must be a CSV file, or a folder that holds train.csv.")
    return files


def _part_in_name(file: Path) -> Part | None:
    """Return the part that a file's name begins or ends with.

    Examples
    --------
    >>> _part_in_name(Path("mnist_train.csv")), _part_in_name(Path("val-2.csv")), _part_in_name(Path("a.csv"))
    ('train', 'tuning', None)
    """
    words = re.split(r"[\W_]+", file.stem)
    return part_of(words[-1]) or part_of(words[0])
