"""Read the rows of CSV files, and recognise columns by the names that people give them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from neocog.budgets import BudgetError, limit, over_budget
from neocog.data.parts import Part, part_of
from neocog.representation import printable

__all__ = [
    "FILES",
    "LABELS",
    "NUMBERS",
    "column_of",
    "csv_rows",
    "is_header",
    "is_number",
    "named_columns",
    "part_column",
    "parts_of",
    "truth",
]

DELIMITERS = ",;\t"
CELL = 32  # characters, at most, of a cell in a row as long as the budget allows

# The usual names of columns, without capitals and marks: the first of a list that there is counts.
LABELS = (
    "label", "classname", "labelname", "categoryname", "class", "category", "target", "labels", "classes",
    "species", "breed", "variety", "diagnosis", "emotion", "kind", "tag", "tags", "y",
)  # fmt: skip
FILES = (
    "filename", "filepath", "file", "path", "imagepath", "imagefile", "imagefilename", "imagename", "image",
    "imgpath", "imgname", "img", "imageid", "imgid", "fname", "picture", "photo", "name", "id", "uuid",
)  # fmt: skip
NUMBERS = ("", "unnamed0", "index", "id", "imageid", "rowid")
"""Columns that number the rows, as pandas writes one without a name."""

# Names that no class has, as the letter y may be one.
_HEADERS = ("label", "labels", "class", "target", "category")

# The parts of the data set by name; or whether a row is of the part.
_SPLITS = ("split", "part", "partition", "subset", "set", "usage", "phase", "dataset", "datasplit", "fold")
_IS_PART: dict[str, tuple[Part, Part]] = {
    "isvalid": ("tuning", "train"),
    "isval": ("tuning", "train"),
    "isvalidation": ("tuning", "train"),
    "valid": ("tuning", "train"),
    "validation": ("tuning", "train"),
    "istest": ("test", "train"),
    "test": ("test", "train"),
    "istrain": ("train", "test"),
    "istraining": ("train", "test"),
}
_TRUTH = {
    "true": True,
    "1": True,
    "1.0": True,
    "yes": True,
    "false": False,
    "0": False,
    "0.0": False,
    "no": False,
}

_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, all of one length, each with the number of its line.

    Raises
    ------
    ValueError
        If a row has more or fewer cells than the first, or the file is no CSV in UTF-8 (or in UTF-16, as
        Excel's "Unicode text" is); the message names the file and the line.
    BudgetError
        If a row has more columns than the budget "columns".
    """
    with path.open("rb") as file:
        encoding = "utf-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    with path.open(encoding=encoding, newline="") as stream:
        line = width = 0
        try:
            first = next((text for text in _lines(path, stream) if text.strip()), "")
            stream.seek(0)
            delimiter = max(DELIMITERS, key=first.count)
            if delimiter not in first and "|" in first:  # else it stands between labels
                delimiter = "|"
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
            raise ValueError(
                f"{path}, after line {line}: must be UTF-8 text, got 0x{byte:02x}; save it as CSV in UTF-8."
            ) from None
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


def is_number(text: str) -> bool:
    """Return whether a cell holds a number, as others than Python write it."""
    return _NUMBER.fullmatch(text.strip()) is not None


def is_header(row: Sequence[str]) -> bool:
    """Return whether the first row names the columns: one as a label's, or none in the middle is a number."""
    middle = row[1:-1]
    return column_of(_HEADERS, row) is not None or (bool(middle) and not any(map(is_number, middle)))


def column_of(names: Sequence[str], header: Sequence[str], but: Sequence[int | None] = ()) -> int | None:
    """Return the column with the first of some names, whatever its capitals and marks; None if there is none.

    Examples
    --------
    >>> column_of(LABELS, ["Image ID", "Class", "Label_Name"])
    2
    """
    plain = [_plain(name) for name in header]
    found = (k for name in names for k, other in enumerate(plain) if name == other and k not in but)
    return next(found, None)


def named_columns(
    table: Path, header: Sequence[str], option: str, names: str, most: int | None = None
) -> tuple[int, ...]:
    """Return the columns with names that a user gives, with commas between them, or one name with commas.

    Raises
    ------
    ValueError
        If there is no such column, two have the name, or there are more than ``most``.

    Examples
    --------
    >>> named_columns(Path("a.csv"), ["file", "cat", "dog"], "label_column", "cat,dog")
    (1, 2)
    """
    wanted = [names] if names in header else [name.strip() for name in names.split(",")]
    for name in wanted:
        if list(header).count(name) != 1 or (most is not None and len(wanted) > most):
            how = "one name" if most == 1 else "names, each once,"
            have = f"of its columns {', '.join(map(printable, header))}" if header else "and it has no header"
            raise ValueError(
                f"{option} must be {how} of a column of {printable(table)}, {have}; got {names!r}."
            )
    return tuple(list(header).index(name) for name in wanted)


def truth(cell: str) -> bool | None:
    """Return what a cell says that holds 0 or 1, yes or no, true or false; None of any other."""
    return _TRUTH.get(cell.strip().lower())


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def part_column(header: Sequence[str]) -> int | None:
    """Return the column that may say to which part of the data set a row belongs."""
    return column_of((*_SPLITS, *_IS_PART), header)


def parts_of(name: str, cells: Sequence[str]) -> list[Part] | int | None:
    """Read a column of parts.

    Returns
    -------
    list of parts
        The part of each row.
    int
        The first row whose cell is no part, where other cells are.
    None
        If the column is another: no cell is a part.

    Examples
    --------
    >>> parts_of("is_valid", ["False", "True"]), parts_of("Split", ["train", "TEST"])
    (['train', 'tuning'], ['train', 'test'])
    >>> parts_of("fold", ["1", "2"]), parts_of("set", ["train", "x"])
    (None, 1)
    """
    yes, no = _IS_PART.get(_plain(name), (None, None))
    found: list[Part | None] = []
    for cell in cells:
        true = truth(cell)
        found.append(part_of(cell) if true is None else yes if true else no)
    known = [part for part in found if part is not None]
    if not known:
        return None
    return known if len(known) == len(found) else found.index(None)
