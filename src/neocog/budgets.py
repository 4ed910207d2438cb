"""Limit what a file may ask for, before memory or time is spent on it.

Files are not trusted: one of a few bytes can ask for gigabytes. Each limit has a name, a default here, and
two ways to change it: the environment variable ``NEOCOG_BUDGET_NAME``, and :func:`budgets` in Python. What
is beyond "cached", the decoded pictures kept in memory, and "features" is not refused, but computed again at
each use.

>>> sorted(BUDGETS)
['cached', 'columns', 'data', 'features', 'folded', 'layers', 'pixels', 'scanned', 'values', 'weights']
>>> with budgets(pixels=100_000_000):
...     limit("pixels")
100000000
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neocog.validation import integer, one_of

__all__ = [
    "BUDGETS",
    "Budget",
    "BudgetError",
    "allowance",
    "allowed_by",
    "budgets",
    "charge",
    "charging",
    "check_budget",
    "limit",
    "over_budget",
]


class BudgetError(ValueError):
    """A file asks for more than its budget."""


@dataclass(frozen=True)
class Budget:
    """A limit.

    Parameters
    ----------
    default : int
    unit : str
    limits : str
        What is limited.
    """

    default: int
    unit: str
    limits: str


BUDGETS = {
    "cached": Budget(2**30, "bytes", "the decoded pictures of files that are kept in memory"),
    "data": Budget(
        2 * 2**30, "bytes", "the arrays made of an npz or IDX file; 16 times its length is always allowed"
    ),
    "features": Budget(
        2**30, "bytes", "the features of all images that are computed once, before a part that learns"
    ),
    "columns": Budget(2**22, "columns", "the cells in a row of a CSV file"),
    "pixels": Budget(2**26, "pixels", "the pixels of a picture"),
    "scanned": Budget(2**29, "pixels", "the pixels of a JPEG picture times its scans"),
    "layers": Budget(100_000, "layers", "the layers of a model file, and a size in it that no array has"),
    "values": Budget(
        2**26,
        "numbers",
        "what a layer of a model file makes of one image of the file's input shape",
    ),
    "weights": Budget(
        2**28,
        "weights",
        "the network that the settings of a run, a sweep or a command name, or that an ONNX file makes of "
        "constants, beyond those in it",
    ),
    "folded": Budget(
        2**26, "bytes", "the arrays computed from the constants of an ONNX file, beyond 4 times those in it"
    ),
}
"""The limits by name."""

RATIO = 16
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_chosen: dict[str, int] = {}
_allowance = threading.local()


def limit(name: str) -> int:
    """Return a limit: that of :func:`budgets`, else of the environment, else the default.

    Raises
    ------
    ValueError
        If there is no such limit, or the environment variable is no size such as 500000, 512M or 8GiB.
    """
    one_of("budget", name, BUDGETS)
    if name in _chosen:
        return _chosen[name]
    variable = _variable(name)
    text = os.environ.get(variable, "").strip()
    if not text:
        return BUDGETS[name].default
    found = re.fullmatch(r"([0-9]{1,15}) ?([KMGT]?)(i?B)?", text)
    if not found:
        raise ValueError(f"{variable} must be a size such as 500000, 512M or 8GiB, got {text!r}.")
    return int(found[1]) * _UNITS[found[2]]


@contextmanager
def budgets(**limits: int) -> Iterator[None]:
    """Change limits within a ``with`` block, in all threads.

    Parameters
    ----------
    **limits : int
        By the names in ``BUDGETS``.

    Raises
    ------
    ValueError, TypeError
        If there is no such limit, or it is no whole number of at least 0.
    """
    for name, value in limits.items():
        one_of("budget", name, BUDGETS)
        integer(name, value, 0)
    before = dict(_chosen)
    _chosen.update(limits)
    try:
        yield
    finally:
        _chosen.clear()
        _chosen.update(before)


def allowed_by(name: str, file: str | os.PathLike[str] | None = None) -> int:
    """Return a limit, but for a file at least ``RATIO`` times its length."""
    return max(limit(name), 0 if file is None else RATIO * Path(file).stat().st_size)


def check_budget(name: str, asked: int, subject: object, file: str | os.PathLike[str] | None = None) -> None:
    """Raise BudgetError if more is asked for than the limit.

    Parameters
    ----------
    name : str
        The limit.
    asked : int
    subject : object
        What asks for it, as the message begins: a path, or a part of a file.
    file : path, optional
        A file of which ``RATIO`` times the length is allowed in any case.
    """
    allowed = allowed_by(name, file)
    if asked > allowed:
        raise BudgetError(over_budget(name, asked, subject, allowed))


def over_budget(name: str, asked: int, subject: object, allowed: int | None = None) -> str:
    """Write the message: what asks for how much, what is allowed, and how to allow more."""
    allowed = limit(name) if allowed is None else allowed
    asked_for, most = (_size(size, BUDGETS[name].unit) for size in (asked, allowed))
    return (
        f"{subject} asks for {asked_for}, more than the {most} allowed; if you trust the file, {_more(name)}"
    )


def _more(name: str) -> str:
    """Say how to allow more."""
    return f"set the environment variable {_variable(name)}, or use neocog.budgets.budgets({name}=...)."


@contextmanager
def charging(name: str, subject: object) -> Iterator[None]:
    """Allow :func:`charge` as many numbers as the limit within a ``with`` block; BudgetError says of what."""
    most = limit(name)
    try:
        with allowance(most):
            yield
    except BudgetError as error:
        most_of_it = _size(most, BUDGETS[name].unit)
        raise BudgetError(f"{subject} asks for more than the {most_of_it} allowed; {_more(name)}") from error


@contextmanager
def allowance(numbers: int) -> Iterator[None]:
    """Let :func:`charge` allow so many numbers in all within a ``with`` block, in this thread."""
    before = getattr(_allowance, "left", None)
    _allowance.left = numbers
    try:
        yield
    finally:
        _allowance.left = before


def charge(numbers: int) -> None:
    """Count numbers about to be allocated; raise BudgetError beyond an :func:`allowance`."""
    left = getattr(_allowance, "left", None)
    if left is None:
        return
    if numbers > left:
        raise BudgetError(f"{numbers:,} numbers are more than the {left:,} allowed.")
    _allowance.left = left - numbers


def _variable(name: str) -> str:
    return f"NEOCOG_BUDGET_{name.upper()}"


def _size(count: int, unit: str) -> str:
    if unit == "bytes" and count >= 2**20:
        return f"{count / 2**20:,.0f} MiB" if count < 2**30 else f"{count / 2**30:,.1f} GiB"
    return f"{count:,} {unit}"
