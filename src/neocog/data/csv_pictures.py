"""Read CSV files with a picture's file in each row, and its label."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from neocog.data.csv_rows import FILES, LABELS, NUMBERS, column_of, csv_rows, part_column, parts_of
from neocog.data.layout import Layout, listed, name_of
from neocog.data.parts import PART_NAMES, PART_TITLES, Part
from neocog.data.pictures import IMAGE_SUFFIXES
from neocog.representation import printable

__all__ = ["Columns", "picture_columns", "pictures_of_tables"]

SAMPLE = 20  # rows that are looked at to tell what is in which column
MOST_FOLDERS = 50  # sub-folders, at most, in which files are searched beside those with usual names
_IMAGE_FOLDERS = ("images", "image", "imgs", "img", "pictures", "photos", "data", "jpg", "jpeg", "png")
_MARKS = (";", "|", ",", " ")
"""What may stand between the labels of one picture."""
_LABELS_SHOWN = "label, class, target or category"


class Columns(NamedTuple):
    """Hold which columns of a table are which.

    Parameters
    ----------
    header : list of str
        The names of the columns; empty if the first row is none.
    file, label : int
    part : int or None
    """

    header: list[str]
    file: int
    label: int
    part: int | None


class _Row(NamedTuple):
    table: Path
    line: int
    cell: str
    label: str


class _Finder:
    """Find files by what a table says of them: beside it, in sub-folders, with or without a suffix."""

    def __init__(self, folder: Path, part: Part) -> None:
        inner = _folders_in(folder)
        usual = [*_IMAGE_FOLDERS, *PART_NAMES[part], *(f"{n}_images" for n in PART_NAMES[part])]
        first = [path for name in usual for path in inner if path.name.lower() == name]
        others = [path for path in inner if path not in first][:MOST_FOLDERS]
        beside = [path for path in _folders_in(folder.parent) if path.name.lower() in _IMAGE_FOLDERS]
        self.places = [folder, *first, *others, *(path for path in beside if path != folder)]
        self._names: dict[Path, dict[str, str]] = {}

    def find(self, cell: str) -> Path | None:
        """Return the file that a cell names; None if there is none."""
        for name in dict.fromkeys((cell, cell.replace("\\", "/"))):
            for place in self.places:
                path = place / name
                found = self._listing(path.parent).get(unicodedata.normalize("NFC", path.name))
                if found is not None:
                    return Path(os.path.normpath(path.with_name(found)))
        return None

    def _listing(self, folder: Path) -> dict[str, str]:
        """Return the names of a folder's files by their normal forms, of pictures also without the suffix."""
        if folder not in self._names:
            try:
                with os.scandir(folder) as entries:
                    names = sorted(entry.name for entry in entries if entry.is_file())
            except (OSError, ValueError):  # no such folder, or a name that none can have
                names = []
            listing: dict[str, str] = {}
            for name in names:
                stem, suffix = os.path.splitext(name)
                if suffix.lower() in IMAGE_SUFFIXES:
                    listing.setdefault(unicodedata.normalize("NFC", stem), name)
            self._names[folder] = listing | {unicodedata.normalize("NFC", name): name for name in names}
        return self._names[folder]


def picture_columns(table: Path) -> Columns | None:
    """Return which columns of a table are which; None if it names no files.

    It names files if a column holds names with the suffix of a picture; or if one is named as such columns
    are, and what it holds is found, or there are at most three columns.

    Raises
    ------
    ValueError
        If it names files, and which column holds the labels cannot be told.
    """
    sample = [row for _, row in itertools.islice(csv_rows(table), SAMPLE)]
    if not sample or len(sample[0]) < 2:
        return None
    first, rest = sample[0], sample[1:] or sample
    width = range(len(first))
    pictures = [k for k in width if 2 * sum(_is_picture(row[k]) for row in rest) >= len(rest)]
    header = [] if any(map(_is_picture, first)) else [cell.strip() for cell in first]
    file = column_of(FILES, header, but=[k for k in width if pictures and k not in pictures])
    if pictures and file is None:
        file = pictures[0]
    if file is None:
        return None
    if not pictures and len(first) > 3:
        finder = _Finder(table.parent, "train")
        if not any(finder.find(row[file].strip()) for row in rest):
            return None
    part = part_column(header)
    label = column_of(LABELS, header, but=(file, part))
    if label is None:
        others = [k for k in width if k not in (file, part)]
        if header and len(others) > 1:
            others = [k for k in others if column_of(NUMBERS, header[k : k + 1]) is None]
        if len(others) != 1:
            found = listed(header) if header else f"{len(first)} columns without names"
            raise ValueError(
                f"{printable(table)} names files, and must have one column of labels, named {_LABELS_SHOWN}; "
                f"got {found}."
            )
        label = others[0]
    return Columns(header, file, label, part)


def pictures_of_tables(tables: dict[Part, Path], columns: Columns, several_labels: bool = False) -> Layout:
    """Find the pictures that tables name, the label of each, and its part.

    Parameters
    ----------
    tables : dict
        The table of each part; if there is only one, a column of it may say the part of each row.
    columns : Columns
        Those of the training part's table.
    several_labels : bool
        Whether a picture may have several labels, or none.
    """
    layout = Layout()
    rows: dict[Part, list[_Row]] = {}
    for part, table in tables.items():
        if part != "train" and _is_unlabelled(table, columns):
            layout.notes.append(f"{printable(table.name)} has no column of labels and is left out.")
            continue
        found = columns if part == "train" else picture_columns(table)
        if found is None:
            raise ValueError(f"{printable(table)} must name files and labels as {tables['train'].name} does.")
        for row_part, row in _rows_of(table, found, part, layout, len(tables) == 1):
            rows.setdefault(row_part, []).append(row)
    if "train" not in rows:
        raise ValueError(f"{printable(tables['train'])} must hold images of the training part, got none.")
    unlabelled_parts = {part for part, some in rows.items() if not any(row.label for row in some)}
    if several_labels and _may_be_several(rows["train"]):
        layout.separator = _separator(row.label for row in rows["train"])
        what = {" ": "spaces"}.get(layout.separator, layout.separator)
        layout.notes.append(f"An image may have several labels; between them stand {what}.")
    elif not several_labels and any(mark in row.label for row in rows["train"] for mark in _MARKS[:2]):
        layout.notes.append("Labels hold ; or |, and count as one each; --loss bce takes them for several.")
    seen: dict[str, tuple[Part, _Row]] = {}  # by the real path, as links may name a file again
    more: dict[str, list[str]] = {}  # labels in further rows of a file
    unlabelled, repeated = 0, 0
    for part, some in rows.items():
        finder = _Finder(tables["train"].parent, part)
        places: dict[Path, None] = {}
        for row in some:
            where = f"{row.table.name}, " if len(tables) > 1 else ""
            path = finder.find(row.cell) if row.cell else None
            real = os.path.realpath(path) if path else ""
            if not row.label and part != "train" and (layout.separator is None or part in unlabelled_parts):
                unlabelled += 1
            elif path is None:
                named = row.table.parent / row.cell if row.cell else row.table
                reason = "is not there" if row.cell else "names no file"
                layout.problems.append((named, f"{reason} ({where}line {row.line})"))
                layout.hint = f"Looked in {listed(finder.places, 6)}."
            elif not row.label and layout.separator is None:
                layout.problems.append((path, f"has no label ({where}line {row.line})"))
            elif real in seen:
                other_part, other = seen[real]
                if layout.separator is not None and other_part == part:
                    more.setdefault(real, []).append(row.label)
                    continue
                if (other_part, other.label) == (part, row.label):
                    repeated += 1
                    continue
                lines = f"lines {other.line} and {row.line}"
                if row.table != other.table:
                    lines = f"{other.table.name}, line {other.line}, and {where}line {row.line}"
                differ = (
                    f"the labels {printable(other.label)} and {printable(row.label)}"
                    if other.label != row.label
                    else f"the parts {PART_TITLES[other_part]} and {PART_TITLES[part]}"
                )
                layout.problems.append((path, f"has {differ} ({lines})"))
            else:
                seen[real] = part, row
                places[path.parent] = None
                layout.parts.setdefault(part, []).append((path, row.label))
        if places and list(places) != [tables["train"].parent]:
            layout.notes.append(f"The {PART_TITLES[part]} pictures are in {listed(places, 3)}.")
    layout.parts.setdefault("train", [])
    if layout.separator and more:
        between = layout.separator
        for pairs in layout.parts.values():
            pairs[:] = [
                (path, between.join([label, *more.get(os.path.realpath(path), ())])) for path, label in pairs
            ]
    if repeated:
        layout.notes.append(f"Rows that name a file again: {repeated}, left out.")
    if unlabelled:
        layout.notes.append(f"Rows of other parts than training without a label: {unlabelled}, left out.")
    return layout


def _may_be_several(rows: Sequence[_Row]) -> bool:
    """Return whether rows name several labels of a file, or none."""
    of_file: dict[str, str] = {}
    return any(
        not row.label
        or any(mark in row.label for mark in _MARKS)
        or of_file.setdefault(row.cell, row.label) != row.label
        for row in rows
    )


def _separator(labels: Iterable[str]) -> str:
    """Return what stands between labels: the first of the marks that occurs in any; a semicolon if none does.

    Examples
    --------
    >>> _separator(["cat", "cat|dog"]), _separator(["haze primary", "clear"]), _separator(["cat", "dog"])
    ('|', ' ', ';')
    """
    found = set("".join(labels))
    return next((mark for mark in _MARKS if mark in found), _MARKS[0])


def _is_unlabelled(table: Path, train: Columns) -> bool:
    """Return whether a table has the training table's column of files, but not that of labels."""
    _, first = next(csv_rows(table), (1, []))
    header = [cell.strip() for cell in first]
    return (
        bool(train.header) and train.header[train.file] in header and train.header[train.label] not in header
    )


def _rows_of(
    table: Path, columns: Columns, part: Part, layout: Layout, may_divide: bool
) -> list[tuple[Part, _Row]]:
    """Return the rows of a table, each with its part."""
    rows = list(csv_rows(table))[1 if columns.header else 0 :]
    if not rows:
        raise ValueError(f"{printable(table)} must hold at least one image, got none.")
    found = [
        _Row(table, line, row[columns.file].strip(), name_of(row[columns.label].strip()))
        for line, row in rows
    ]
    if columns.part is None or not may_divide:
        return [(part, row) for row in found]
    name, cells = columns.header[columns.part], [row[columns.part] for _, row in rows]
    parts = parts_of(name, cells)
    if isinstance(parts, int):
        raise ValueError(
            f"{printable(table)}, line {found[parts].line}, column {columns.part + 1}: must be train, val or "
            f"test, got {cells[parts]!r}."
        )
    if parts is None:
        layout.notes.append(f"Column {printable(name)} names no parts (train, val, test): not used.")
        return [(part, row) for row in found]
    return list(zip(parts, found, strict=True))


def _folders_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def _is_picture(cell: str) -> bool:
    return os.path.splitext(cell.strip())[1].lower() in IMAGE_SUFFIXES
