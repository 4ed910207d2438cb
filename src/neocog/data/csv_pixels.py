"""Make data sets of CSV files with an image in each row: its label and its pixels."""

from __future__ import annotations

import itertools
import math
import re
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from neocog.budgets import check_budget
from neocog.data.csv_rows import (
    LABELS,
    NUMBERS,
    column_of,
    csv_rows,
    is_header,
    is_number,
    part_column,
    parts_of,
)
from neocog.data.file_split import split_of_file
from neocog.data.layout import listed
from neocog.data.parts import Part
from neocog.data.pixels import BRIGHT, preprocessing_of
from neocog.data.preprocessing import Preprocessing
from neocog.data.split import AnyPath, Labels, Split
from neocog.validation import image_shape as checked_shape


class _Table(NamedTuple):
    """Hold the content of a file: for each image its label as text, its pixels, its line and its part."""

    path: Path
    header: list[str]
    label_column: int
    columns: list[int]  # those of pixels
    labels: list[str]
    pixels: np.ndarray
    lines: list[int]
    parts: list[Part] | None
    left_out: list[str]

    def refuse(self, n: int, column: int, reason: str) -> NoReturn:
        """Raise ValueError for a cell of image n."""
        raise ValueError(f"{self.path}, line {self.lines[n]}, column {column + 1}: {reason}")

    def of_part(self, part: Part) -> _Table:
        """Return the rows of a part."""
        chosen = [n for n, other in enumerate(self.parts or ()) if other == part]
        return self._replace(
            labels=[self.labels[n] for n in chosen],
            pixels=self.pixels[chosen],
            lines=[self.lines[n] for n in chosen],
        )


def pixel_tables(
    path: AnyPath,
    files: dict[Part, Path],
    validation_fraction: float,
    seed: int,
    image_shape: Sequence[int] | Preprocessing | None,
    class_names: Sequence[str] | None,
) -> Split:
    """Make a data set of files, one for each part, or of one that may say the part in a column."""
    train = _read(files["train"])
    notes: list[str] = []
    tables: dict[Part, _Table] = {"train": train}
    if train.parts is not None and len(files) == 1:
        tables = {part: train.of_part(part) for part in dict.fromkeys(train.parts)}
        if "train" not in tables:
            raise ValueError(f"{train.path} must hold images of the training part, got none.")
        train = tables["train"]
    for part, file in files.items():
        if part == "train":
            continue
        if _is_unlabelled(file, train):
            notes.append(f"{file} has no column of labels and is left out.")
            continue
        tables[part] = _read(file, train.label_column)
    known = image_shape if isinstance(image_shape, Preprocessing) else None
    if isinstance(image_shape, Preprocessing):
        image_shape = image_shape.image_shape
    shape = _shape_of(train, image_shape)
    names = _class_names(train, class_names)
    white, has_fractions = _white(train, known)
    found = {
        part: (_images(table, shape, white, has_fractions), _class_indices(table, names))
        for part, table in tables.items()
    }
    if train.left_out:
        notes.append(f"Left out, as no pixels: column {listed(map(repr, train.left_out))}.")
    if image_shape is None:
        notes.append(f"Rows of {math.prod(shape)} numbers are images of {shape} (C, H, W).")
    if white == 255:
        notes.append("Pixels are 0..255 and are divided by 255.")
    else:
        notes.append("Pixels are 0..1 and are taken as they are.")
    return split_of_file(
        path,
        found,
        names,
        validation_fraction,
        seed,
        notes=notes,
        preprocessing=preprocessing_of(found["train"][0], white),
        few_classes=class_names is not None,
    )


def _is_unlabelled(file: Path, train: _Table) -> bool:
    """Return whether a file has the training file's columns but for the label, as Kaggle's test parts."""
    _, first = next(csv_rows(file), (1, []))
    header = [name.strip() for name in first]
    label = train.header[train.label_column : train.label_column + 1]
    return bool(label) and header == [name for name in train.header if name not in label]


def _read(path: Path, label_column: int | None = None) -> _Table:
    """Read a file; without a header, the label is in ``label_column`` if given."""
    rows = csv_rows(path)
    line, first = next(rows, (1, []))
    if len(first) < 2:
        raise ValueError(f"{path}, line {line}: must have a label and pixels in columns, got {len(first)}.")
    header = [cell.strip() for cell in first] if is_header(first) else []
    part, others = None, []
    if (named := column_of(LABELS, header)) is not None:
        label_column = named
        part = part_column(header)
        others = [k for k in range(len(header)) if column_of(NUMBERS, header[k : k + 1]) is not None]
    elif label_column is None or label_column >= len(first):
        label_column = _find_label(path, bool(header))
    if not header:
        rows = itertools.chain([(line, first)], rows)
    columns = [k for k in range(len(first)) if k not in (label_column, part, *others)]
    if not columns:
        raise ValueError(f"{path} must have columns of pixels, or one of files, got {listed(header)}.")
    in_one_cell = len(columns) == 1 and bool(header)  # numbers with spaces between them, perhaps
    lines, labels, values, parts = [], [], array("f"), []
    for line, row in rows:
        lines.append(line)
        labels.append(row[label_column].strip())
        if part is not None:
            parts.append(row[part])
        row = [row[k] for k in columns]
        if in_one_cell:
            row = row[0].split() or row
            check_budget("columns", len(row), f"{path}, line {line},")
            columns = columns * len(row) if len(lines) == 1 else columns
            if len(row) != len(columns):
                raise ValueError(
                    f"{path}, line {line}, column {columns[0] + 1}: must hold {len(columns)} pixels as the "
                    f"first row, got {len(row)}."
                )
        try:
            if "_" in "".join(row):  # which float() allows
                raise ValueError
            values.extend(map(float, row))
        except ValueError:
            k = next(k for k, cell in enumerate(row) if not is_number(cell))
            raise ValueError(
                f"{path}, line {line}, column {columns[k] + 1}: must be a pixel, got {row[k]!r}; if the "
                "table names files, say where they lie by images (--images)."
            ) from None
    if not lines:
        raise ValueError(f"{path} must hold at least one image, got none.")
    pixels = np.frombuffer(values, np.float32).reshape(len(lines), -1)
    left_out = [header[k] for k in others]
    table = _Table(path, header, label_column, columns, labels, pixels, lines, None, left_out)
    if part is None:
        return table
    found = parts_of(header[part], parts)
    if isinstance(found, int):
        table.refuse(found, part, f"must be train, val or test, got {parts[found]!r}.")
    if found is None:
        return table._replace(left_out=[*left_out, header[part]])
    return table._replace(parts=found)


def _find_label(path: Path, has_header: bool) -> int:
    """Return the column of the label, the first or the last, as :func:`load_csv` describes."""
    ends = [(row[0], row[-1], len(row) - 1) for _, row in itertools.islice(csv_rows(path), has_header, None)]
    if not ends:
        raise ValueError(f"{path} must hold at least one image, got none.")
    first, last, (end, *_) = zip(*ends, strict=True)
    texts = [not all(map(is_number, column)) for column in (first, last)]
    if texts[0] != texts[1]:
        return 0 if texts[0] else end
    for column, k in ((first, 0), (last, end)):
        if texts[0] or (len(set(column)) > 1 and all(float(cell).is_integer() for cell in column)):
            return k
    raise ValueError(
        f"{path} must have a column named label, or class indices or names in the first column or the last."
    )


def _class_names(table: _Table, class_names: Sequence[str] | None) -> list[str] | None:
    """Return the names of the classes, as given or sorted; None if the labels are numbers."""
    if all(map(is_number, table.labels)):
        return None
    return sorted(set(table.labels)) if class_names is None else list(class_names)


def _class_indices(table: _Table, names: list[str] | None) -> Labels:
    """Return the labels as integers: their indices among the names, or as they are."""
    indices = {} if names is None else {name: k for k, name in enumerate(names)}
    found = np.empty(len(table.labels), np.int64)
    for n, text in enumerate(table.labels):
        if names is not None and text in indices and text:
            found[n] = indices[text]
        elif names is None and is_number(text) and abs(float(text)) < 2**53 and float(text).is_integer():
            found[n] = int(float(text))
        else:
            allowed = "a class index 0, 1, 2 ..." if names is None else "the name of a class"
            table.refuse(n, table.label_column, f"the label must be {allowed}, got {text!r}.")
    return found


def _white(train: _Table, known: Preprocessing | None) -> tuple[int, bool]:
    """Return which number is white in the training images, and whether some are no whole numbers."""
    x = train.pixels
    if np.isnan(x).any():
        n, k = np.argwhere(np.isnan(x))[0].tolist()
        train.refuse(n, train.columns[k], "pixels must be numbers 0..1 or 0..255, got nan.")
    whole, high = bool((x == np.rint(x)).all()), x.max()
    if high > 1:
        return 255, not whole and bool(high >= BRIGHT)
    return (255 if whole and known is not None and known.unit == 255 else 1), not whole


def _images(table: _Table, shape: tuple[int, int, int], white: int, has_fractions: bool) -> np.ndarray:
    """Check the pixels and return them as images in 0..1."""
    x = table.pixels
    if x.shape[1] != math.prod(shape):
        raise ValueError(f"{table.path} must have {math.prod(shape)} columns of pixels, got {x.shape[1]}.")
    right = (x >= 0) & (x <= white)  # not so for NaN
    reason = "numbers 0..1 or whole numbers 0..255"
    if white == 255 and has_fractions:
        reason = "numbers 0..255"
    elif white == 255:
        right &= x == np.rint(x)
        reason = "whole numbers 0..255 where one is above 1"
    if not right.all():
        n, k = np.argwhere(~right)[0].tolist()
        table.refuse(n, table.columns[k], f"pixels must be {reason}, got {x[n, k]:g}.")
    images = x / np.float32(255) if white == 255 else x
    return images.reshape(-1, *shape)


def _shape_of(table: _Table, image_shape: Sequence[int] | None) -> tuple[int, int, int]:
    """Return the images' shape: as given, as the header says, or square."""
    count = table.pixels.shape[1]
    if image_shape is not None:
        return checked_shape(image_shape)
    names = [table.header[k] for k in table.columns] if table.header else []
    if names and (last := re.fullmatch(r"(\d+)x(\d+)", names[-1])):
        H, W = int(last[1]), int(last[2])
        if count == H * W and names == [f"{k // W + 1}x{k % W + 1}" for k in range(count)]:
            return 1, H, W
    side = math.isqrt(count)
    if side**2 != count:
        raise ValueError(
            f"{table.path} must have a square number of pixel columns, or a header that names them 1x1, "
            f"1x2 ... (row x column), got {count}."
        )
    return 1, side, side
