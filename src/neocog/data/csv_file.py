"""Load data sets from CSV files: one image a row, its label and its pixels."""

from __future__ import annotations

import csv
import itertools
import math
import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn, TextIO

import numpy as np

from neocog.budgets import BudgetError, limit, over_budget
from neocog.data.folder import HELD_OUT_FOLDERS
from neocog.data.split import AnyPath, Labels, Split, split_of_file
from neocog.validation import image_shape as checked_shape

LABEL = "label"
DELIMITERS = ",;\t"
CELL = 32  # characters, at most, of a cell in a row as long as the budget allows
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


def load_csv(
    path: AnyPath,
    validation_fraction: float = 0.2,
    seed: int = 0,
    *,
    image_shape: Sequence[int] | None = None,
) -> Split:
    """Load a data set from a CSV file: one image a row, a column for its label and one for each pixel.

    The label is in the column whose header is ``label``. Without one it is in the first column or the last:
    in the one that holds text; else in the first, or in the last if the first column's values are all equal
    or not whole (as those of a pixel in a corner). Labels are class indices 0, 1, 2 ..., or else names,
    which are sorted.

    Pixels are whole numbers 0..255, which are divided by 255, or numbers 0..1, which are kept; a file that
    holds nothing but 0 and 1 is kept. They are listed row by row, one channel after the other.

    If ``path`` is a folder, it holds ``train.csv``, and the held-out part is ``validation.csv``,
    ``valid.csv``, ``val.csv`` or ``test.csv`` (the first of them counts). Otherwise the same fraction of
    every class is held out.

    The file is UTF-8 text with commas, semicolons or tabs, with a header or without. Quotes, blank lines and
    a byte order mark are accepted.

    Parameters
    ----------
    path : str or path
    validation_fraction : float in [0, 1)
        With 0 nothing is held out.
    seed : int
        Draws the held-out images.
    image_shape : (channels, height, width), optional
        Default: that of the header, if it names the pixels 1x1, 1x2 ... (row x column); else one channel, as
        high as wide.

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
    file, held_out_file = _files(Path(path))
    train = _read(file)
    held_out = None if held_out_file is None else _read(held_out_file, train.label_column)
    shape = _shape_of(train, image_shape)
    names = _class_names(train)
    in_bytes = bool((train.pixels > 1).any())
    parts = [
        (_images(table, shape, in_bytes), _class_indices(table, names))
        for table in (train, held_out)
        if table is not None
    ]
    return split_of_file(path, parts[0], parts[1] if held_out else None, names, validation_fraction, seed)


class _Table(NamedTuple):
    """Hold the content of a file: for each image its label as text, its pixels and its line."""

    path: Path
    pixel_names: list[str]
    label_column: int
    labels: list[str]
    pixels: np.ndarray
    lines: list[int]

    def refuse(self, n: int, column: int, reason: str) -> NoReturn:
        """Raise ValueError for a cell of image n."""
        raise ValueError(f"{self.path}, line {self.lines[n]}, column {column + 1}: {reason}")


def _files(path: Path) -> tuple[Path, Path | None]:
    """Return the file to train on and the one that is held out, if there is one."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}.")
    if not path.is_dir():
        return path, None
    if not (path / "train.csv").is_file():
        raise FileNotFoundError(f"{path} must be a CSV file, or a folder that holds train.csv.")
    held_out = (path / f"{name}.csv" for name in HELD_OUT_FOLDERS)
    return path / "train.csv", next((file for file in held_out if file.is_file()), None)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, all of one length, each with the number of its line."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        line = width = 0
        try:
            first = next((text for text in _lines(path, stream) if text.strip()), "")
            stream.seek(0)
            delimiter = max(DELIMITERS, key=first.count)
            rows = csv.reader(_lines(path, stream), delimiter=delimiter, skipinitialspace=True, strict=True)
            for row in rows:
                line = rows.line_num
                if any(map(str.strip, row)):
                    width = width or len(row)
                    if len(row) != width:
                        raise ValueError(
                            f"{path}, line {line}: every row must have {width} columns as the first one, "
                            f"got {len(row)}."
                        )
                    yield line, row
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise ValueError(f"{path}, after line {line}: must be UTF-8 text, got 0x{byte:02x}.") from None
        except csv.Error as error:
            raise ValueError(f"{path}, line {line + 1}: must be CSV: {error}.") from None


def _lines(path: Path, stream: TextIO) -> Iterator[str]:
    """Yield the lines of a file, after checking that the next is not too long to be split."""
    most = limit("columns")
    number = 0
    while text := stream.readline(CELL * most):
        number += 1
        columns = 1 + max(map(text.count, DELIMITERS))
        if columns > most or len(text) == CELL * most:
            columns = max(columns, most + 1)
            raise BudgetError(over_budget("columns", columns, f"{path}, line {number},"))
        yield text


def _read(path: Path, label_column: int | None = None) -> _Table:
    """Read a file; without a header, the label is in ``label_column`` if given."""
    rows = _rows(path)
    line, first = next(rows, (1, []))
    if len(first) < 2:
        raise ValueError(f"{path}, line {line}: must have a label and pixels in columns, got {len(first)}.")
    header = [cell.strip() for cell in first] if _is_header(first) else []
    lower = [name.lower() for name in header]
    if LABEL in lower:
        label_column = lower.index(LABEL)
    elif label_column is None or label_column >= len(first):
        label_column = _find_label(path, bool(header))
    if not header:
        rows = itertools.chain([(line, first)], rows)
    lines, labels, values = [], [], array("f")
    for line, row in rows:
        lines.append(line)
        labels.append(row.pop(label_column).strip())
        try:
            if "_" in "".join(row):  # which float() allows
                raise ValueError
            values.extend(map(float, row))
        except ValueError:
            k = next(k for k, cell in enumerate(row) if not _is_number(cell))
            column = k + (k >= label_column) + 1
            raise ValueError(
                f"{path}, line {line}, column {column}: must be a pixel, got {row[k]!r}."
            ) from None
    if not lines:
        raise ValueError(f"{path} must hold at least one image, got none.")
    pixels = np.frombuffer(values, np.float32).reshape(len(lines), -1)
    pixel_names = header[:label_column] + header[label_column + 1 :]
    return _Table(path, pixel_names, label_column, labels, pixels, lines)


def _is_header(row: list[str]) -> bool:
    """Return whether the first row names the columns: one is "label", or none in the middle is a number."""
    middle = row[1:-1]
    return LABEL in (cell.strip().lower() for cell in row) or (
        bool(middle) and not any(map(_is_number, middle))
    )


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text.strip()) is not None


def _find_label(path: Path, has_header: bool) -> int:
    """Return the column of the label, the first or the last, as :func:`load_csv` describes."""
    ends = [(row[0], row[-1], len(row) - 1) for _, row in itertools.islice(_rows(path), has_header, None)]
    if not ends:
        raise ValueError(f"{path} must hold at least one image, got none.")
    first, last, (end, *_) = zip(*ends, strict=True)
    texts = [not all(map(_is_number, column)) for column in (first, last)]
    if texts[0] != texts[1]:
        return 0 if texts[0] else end
    for column, k in ((first, 0), (last, end)):
        if texts[0] or (len(set(column)) > 1 and all(float(cell).is_integer() for cell in column)):
            return k
    raise ValueError(
        f"{path} must have a column named label, or class indices or names in the first column or the last."
    )


def _class_names(table: _Table) -> list[str] | None:
    """Return the sorted names of the classes; None if the labels are numbers."""
    if all(map(_is_number, table.labels)):
        return None
    return sorted(set(table.labels))


def _class_indices(table: _Table, names: list[str] | None) -> Labels:
    """Return the labels as integers: their indices among the names, or as they are."""
    indices = {} if names is None else {name: k for k, name in enumerate(names)}
    found = np.empty(len(table.labels), np.int64)
    for n, text in enumerate(table.labels):
        if names is not None and text in indices and text:
            found[n] = indices[text]
        elif names is None and _is_number(text) and abs(float(text)) < 2**53 and float(text).is_integer():
            found[n] = int(float(text))
        else:
            allowed = "a class index 0, 1, 2 ..." if names is None else "the name of a class"
            table.refuse(n, table.label_column, f"the label must be {allowed}, got {text!r}.")
    return found


def _images(table: _Table, shape: tuple[int, int, int], in_bytes: bool) -> np.ndarray:
    """Check the pixels and return them as images in 0..1; with ``in_bytes`` they are divided by 255."""
    x = table.pixels
    if x.shape[1] != math.prod(shape):
        raise ValueError(f"{table.path} must have {math.prod(shape)} columns of pixels, got {x.shape[1]}.")
    right = (x >= 0) & (x <= (255 if in_bytes else 1))  # not so for NaN
    reason = "numbers 0..1 or whole numbers 0..255"
    if in_bytes:
        right &= x == np.rint(x)
        reason = "whole numbers 0..255 where one is above 1"
    if not right.all():
        n, k = np.argwhere(~right)[0].tolist()
        column = k + (k >= table.label_column)
        table.refuse(n, column, f"pixels must be {reason}, got {x[n, k]:g}.")
    images = x / np.float32(255) if in_bytes else x
    return images.reshape(-1, *shape)


def _shape_of(table: _Table, image_shape: Sequence[int] | None) -> tuple[int, int, int]:
    """Return the images' shape: as given, as the header says, or square."""
    count = table.pixels.shape[1]
    if image_shape is not None:
        return checked_shape(image_shape)
    if table.pixel_names and (last := re.fullmatch(r"(\d+)x(\d+)", table.pixel_names[-1])):
        H, W = int(last[1]), int(last[2])
        if count == H * W and table.pixel_names == [f"{k // W + 1}x{k % W + 1}" for k in range(count)]:
            return 1, H, W
    side = math.isqrt(count)
    if side**2 != count:
        raise ValueError(
            f"{table.path} must have a square number of pixel columns, or a header that names them 1x1, "
            f"1x2 ... (row x column), got {count}."
        )
    return 1, side, side
