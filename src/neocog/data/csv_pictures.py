"""Read CSV files with a picture's file in each row, and its label."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from neocog.data.csv_rows import (
    FILES,
    LABELS,
    NUMBERS,
    column_of,
    csv_rows,
    is_number,
    named_columns,
    part_column,
    parts_of,
    truth,
)
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
_BETWEEN = "\0"
"""What stands between labels that are columns: a character that no name holds."""
_LABELS_SHOWN = "label, class, target or category"


class Columns(NamedTuple):
    """Hold which columns of a table are which.

    Parameters
    ----------
    header : list of str
        The names of the columns; empty if the first row is none.
    file : int
    labels : tuple of int
        The column that names the label; or several, one a label, which hold 0 and 1.
    part : int or None
    """

    header: list[str]
    file: int
    labels: tuple[int, ...]
    part: int | None


class _Row(NamedTuple):
    table: Path
    line: int
    cell: str
    label: str


class _Finder:
    """Find files by what a table says of them: beside it, in sub-folders, with or without a suffix."""

    _names: dict[Path, dict[str, str]]

    def __init__(self, folder: Path, part: Part, images: Path | None = None) -> None:
        if images is not None:  # there, and nowhere else
            self.places, self._names = [images, *_folders_in(images)], {}
            return
        inner = _folders_in(folder)
        usual = [*_IMAGE_FOLDERS, *PART_NAMES[part], *(f"{n}_images" for n in PART_NAMES[part])]
        first = [path for name in usual for path in inner if path.name.lower() == name]
        others = [path for path in inner if path not in first][:MOST_FOLDERS]
        beside = [path for path in _folders_in(folder.parent) if path.name.lower() in _IMAGE_FOLDERS]
        self.places = [folder, *first, *others, *(path for path in beside if path != folder)]
        self._names = {}

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


def picture_columns(
    table: Path,
    images: Path | None = None,
    file_column: str | None = None,
    label_column: str | None = None,
) -> Columns | None:
    """Return which columns of a table are which; None if it names no files.

    It names files if a column holds names with the suffix of a picture; or if one is named as such columns
    are, and what it holds is found, or there are at most three columns; or if files are found by what a
    column of texts holds. Its labels are in a column that is
    named as such are, or in the only other one; or each of the others is a label, and holds 0 and 1.

    Parameters
    ----------
    table : Path
    images : Path, optional
        The folder of the files. Default: where the table is.
    file_column, label_column : str, optional
        The names of these columns, where they are others; several of labels with commas between them.

    Raises
    ------
    ValueError
        If it has no columns of these names, or names files, and which column holds the labels cannot be told.
    """
    sample = [row for _, row in itertools.islice(csv_rows(table), SAMPLE)]
    if not sample or len(sample[0]) < 2:
        return None
    first, rest = sample[0], sample[1:] or sample
    width = range(len(first))
    pictures = [k for k in width if 2 * sum(_is_picture(row[k]) for row in rest) >= len(rest)]
    header = [] if any(map(_is_picture, first)) else [cell.strip() for cell in first]
    given = None if label_column is None else named_columns(table, header, "label_column", label_column)
    if file_column is not None:
        pictures = [*named_columns(table, header, "file_column", file_column, most=1)]
    pictures = [k for k in pictures if k not in (given or ())]
    but = [k for k in width if (pictures and k not in pictures) or k in (given or ())]
    file = column_of(FILES, header, but)
    if pictures and file is None:
        file = pictures[0]
    finder = _Finder(table.parent, "train", images)

    def found_in(k: int) -> int:
        return sum(finder.find(row[k].strip()) is not None for row in rest)

    if file is None or (not pictures and len(first) > 3 and not found_in(file)):
        no_file = (*(given or ()), column_of(LABELS, header))
        texts = [k for k in width if images is not None or not all(is_number(row[k]) for row in rest)]
        file = next((k for k in texts if k not in no_file and 2 * found_in(k) >= len(rest)), None)
    if file is None and (images is not None or given is not None):
        named = f": {listed(header)}" if header else ""
        raise ValueError(
            f"{printable(table)} must have a column that names files in {listed(finder.places, 6)}, got none "
            f"among its {len(first)} columns{named}; say which by file_column (--file-column)."
        )
    if file is None:
        return None
    part = part_column(header)
    if part in (given or ()):
        part = None
    label = column_of(LABELS, header, but=(file, part))
    labels = given or (None if label is None else (label,))
    if labels is None:
        others = [k for k in width if k not in (file, part)]
        if header and len(others) > 1:
            others = [k for k in others if column_of(NUMBERS, header[k : k + 1]) is None]
        if len(others) != 1 and not (header and _all_true_or_false(rest, others)):
            found = listed(header) if header else f"{len(first)} columns without names"
            raise ValueError(
                f"{printable(table)} names files, and must have one column of labels, named {_LABELS_SHOWN}, "
                f"or columns of 0 and 1, one a label; got {found}. Say which by label_column "
                "(--label-column)."
            )
        labels = tuple(others)
    return Columns(header, file, labels, part)


def _all_true_or_false(rows: Sequence[Sequence[str]], columns: Sequence[int]) -> bool:
    """Return whether some columns hold nothing but 0 and 1."""
    return bool(columns) and all(truth(row[k]) is not None for row in rows for k in columns)


def pictures_of_tables(
    tables: dict[Part, Path],
    columns: Columns,
    several_labels: bool = False,
    images: Path | None = None,
    **named: str | None,
) -> Layout:
    """Find the pictures that tables name, the label of each, and its part.

    Parameters
    ----------
    tables : dict
        The table of each part; if there is only one, a column of it may say the part of each row.
    columns : Columns
        Those of the training part's table.
    several_labels : bool
        Whether a picture may have several labels, or none.
    images : Path, optional
        The folder in which the files lie. Default: where the table is.
    **named
        The options of :func:`picture_columns`, for the tables of the other parts.
    """
    layout = Layout()
    rows: dict[Part, list[_Row]] = {}
    for part, table in tables.items():
        if part != "train" and _is_unlabelled(table, columns):
            layout.notes.append(f"{printable(table.name)} has no column of labels and is left out.")
            continue
        found = columns if part == "train" else picture_columns(table, images, **named)
        if found is None:
            raise ValueError(f"{printable(table)} must name files and labels as {tables['train'].name} does.")
        for row_part, row in _rows_of(table, found, part, layout, len(tables) == 1, several_labels):
            rows.setdefault(row_part, []).append(row)
    if "train" not in rows:
        raise ValueError(f"{printable(tables['train'])} must hold images of the training part, got none.")
    unlabelled_parts = {part for part, some in rows.items() if not any(row.label for row in some)}
    count = len(columns.labels)
    if several_labels and count > 1:
        layout.separator = _BETWEEN
        layout.notes.append(f"An image may have several of {count} labels: a column of 0 and 1 is one each.")
    elif several_labels and _may_be_several(rows["train"]):
        layout.separator = _separator(row.label for row in rows["train"])
        what = {" ": "spaces"}.get(layout.separator, layout.separator)
        layout.notes.append(f"An image may have several labels; between them stand {what}.")
    elif not several_labels and any(mark in row.label for row in rows["train"] for mark in _MARKS[:2]):
        layout.notes.append("Labels hold ; or |, and count as one each; --loss bce takes them for several.")
    seen: dict[str, tuple[Part, _Row]] = {}  # by the real path, as links may name a file again
    more: dict[str, list[str]] = {}  # labels in further rows of a file
    unlabelled, repeated = 0, 0
    for part, some in rows.items():
        finder = _Finder(tables["train"].parent, part, images)
        places: dict[Path, None] = {}
        for row in some:
            where = f"{row.table.name}, " if len(tables) > 1 else ""
            path = finder.find(row.cell) if row.cell else None
            real = os.path.realpath(path) if path else ""
            if not row.label and part != "train" and (layout.separator is None or part in unlabelled_parts):
                unlabelled += 1
            elif path is None:
                missing = (images or row.table.parent) / row.cell if row.cell else row.table
                reason = "is not there" if row.cell else "names no file"
                layout.problems.append((missing, f"{reason} ({where}line {row.line})"))
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
                    f"the labels {_shown(other.label)} and {_shown(row.label)}"
                    if other.label != row.label
                    else f"the parts {PART_TITLES[other_part]} and {PART_TITLES[part]}"
                )
                layout.problems.append((path, f"has {differ} ({lines})"))
            else:
                seen[real] = part, row
                places[path.parent] = None
                layout.parts.setdefault(part, []).append((path, row.label))
        if places and list(places) != [images or tables["train"].parent]:
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


def _shown(label: str) -> str:
    """Return a label as messages show it; several with semicolons between them."""
    return printable(label.replace(_BETWEEN, ";"))


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
        bool(train.header)
        and train.header[train.file] in header
        and not any(train.header[k] in header for k in train.labels)
    )


def _rows_of(
    table: Path, columns: Columns, part: Part, layout: Layout, may_divide: bool, several_labels: bool
) -> list[tuple[Part, _Row]]:
    """Return the rows of a table, each with its part."""
    rows = list(csv_rows(table))[1 if columns.header else 0 :]
    if not rows:
        raise ValueError(f"{printable(table)} must hold at least one image, got none.")
    found = [
        _Row(table, line, row[columns.file].strip(), _label_of(table, line, row, columns, several_labels))
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


def _label_of(table: Path, line: int, row: Sequence[str], columns: Columns, several_labels: bool) -> str:
    """Return the label of a row, or its labels."""
    if len(columns.labels) == 1:
        return name_of(row[columns.labels[0]].strip())
    applying = []
    for k in columns.labels:
        applies = truth(row[k])
        if applies is None:
            raise ValueError(
                f"{printable(table)}, line {line}, column {printable(columns.header[k])}: must be 0 or 1, as "
                f"several columns of labels are, got {row[k]!r}."
            )
        applying += [name_of(columns.header[k])] if applies else []
    if len(applying) != 1 and not several_labels:
        got = listed(applying) if applying else "none"
        raise ValueError(
            f"{printable(table)}, line {line}: one of the columns of labels must be 1, got {got}; --loss bce "
            "takes several, or none."
        )
    return _BETWEEN.join(applying)


def _folders_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def _is_picture(cell: str) -> bool:
    return os.path.splitext(cell.strip())[1].lower() in IMAGE_SUFFIXES
