"""Parse a grid, and list the points of a sweep: every combination of its values, with every seed."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from neocog.settings import OPTIONS, Settings, parse_filters, settings_for, shown
from neocog.validation import integer, one_of

Grid: TypeAlias = dict[str, list[Any]]

_PARSERS: dict[str, Callable[[str], Any]] = {
    name: option.parse for name, option in OPTIONS.items() if option.axis
}
_WITH_COMMAS = ("label_pattern", "group_by", "images", "file_column", "label_column")
"""Settings of which a comma may be a part."""
GRID_KEYS = tuple(_PARSERS)
"""The settings of a run that a grid may vary; the values of ``seed`` are the seeds of all its points."""
MOST_POINTS = 100_000


def parse_grid(texts: Iterable[str]) -> Grid:
    """Parse a grid as the command line writes it.

    Parameters
    ----------
    texts : iterable of str
        One ``KEY=VALUE,VALUE,...`` a key.

    Raises
    ------
    ValueError
        If a key is unknown or named twice, or a value is not of its kind.

    Examples
    --------
    >>> parse_grid(["lr=0.01,0.1", "filters=8,8-16"])
    {'lr': [0.01, 0.1], 'filters': [(8,), (8, 16)]}
    """
    grid: Grid = {}
    for text in texts:
        key, _, values = text.partition("=")
        key = key.strip().replace("-", "_")
        one_of("a grid's key", key, GRID_KEYS)
        if key in grid:
            raise ValueError(f"a grid must name each key once, got {key!r} twice.")
        apart = [values] if key in _WITH_COMMAS else values.split(",")
        grid[key] = [_parse(key, value.strip()) for value in apart]
    return grid


def _parse(key: str, text: str) -> Any:
    parser = _PARSERS[key]
    try:
        if not text:
            raise ValueError
        return parser(text)
    except (ValueError, KeyError) as error:
        if parser is parse_filters and text:
            raise
        kind = {int: "integers", float: "numbers", bool: "yes or no"}.get(OPTIONS[key].kind, "values")
        raise ValueError(f"{key} must be {kind} with commas between them, got {text!r}.") from error


def checked_grid(grid: Any) -> Grid:
    """Return a grid as lists of plain values.

    Raises
    ------
    TypeError, ValueError
        If a key is unknown, or its values are no list, none, or not all different.
    """
    if not isinstance(grid, Mapping):
        raise TypeError(f"grid must be a dict of setting to values, got {grid!r}.")
    checked: Grid = {}
    for key, values in grid.items():
        one_of("a grid's key", key, GRID_KEYS)
        if isinstance(values, np.ndarray):
            values = values.tolist()
        if not isinstance(values, Sequence) or isinstance(values, str):
            raise TypeError(f"grid[{key!r}] must be a list of values, got {values!r}.")
        _check_points(len(values))
        checked[key] = [_plain(key, value) for value in values]
        if not checked[key]:
            raise ValueError(f"grid[{key!r}] must hold at least one value, got none.")
        for k, value in enumerate(checked[key]):
            if value in checked[key][:k]:
                raise ValueError(f"grid[{key!r}] must hold different values, got {shown(value)} twice.")
    return checked


def _plain(key: str, value: Any) -> Any:
    """Return a value as JSON can hold it; a number of filters is one convolution."""
    if isinstance(value, np.generic):
        value = value.item()
    if key == "filters" and value is not None:
        value = tuple(value) if isinstance(value, list | tuple) else (value,)
    return value


def checked_seeds(seeds: Any) -> list[int]:
    """Return the seeds: 0 to K - 1 if their number K is given.

    Raises
    ------
    TypeError, ValueError
        If there are none, or they are negative, not integers or not all different.
    """
    if isinstance(seeds, np.ndarray):
        seeds = seeds.tolist()
    if isinstance(seeds, Sequence) and not isinstance(seeds, str):
        _check_points(len(seeds))
        found = [integer("seeds", seed, 0) for seed in seeds]
        if not found or len(set(found)) < len(found):
            raise ValueError(f"seeds must be at least one, and different, got {list(seeds)}.")
        return found
    count = integer("seeds", seeds)
    _check_points(count)
    return list(range(count))


def _check_points(count: int) -> None:
    if count > MOST_POINTS:
        raise ValueError(f"grid has {count} points; at most {MOST_POINTS}.")


def points(source: str, grid: Grid, seeds: Sequence[int]) -> list[Settings]:
    """Return the settings of every point; the last key varies fastest, and the seed faster still.

    Raises
    ------
    ValueError, TypeError
        If there are too many, or some are not allowed or do not go together; the message names the point.
    """
    _check_points(math.prod(map(len, grid.values())) * len(seeds))
    found = []
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        with at_point(chosen):
            found += [settings_for(source, **chosen, seed=seed) for seed in seeds]
    return found


@contextlib.contextmanager
def at_point(chosen: Mapping[str, Any]) -> Iterator[None]:
    """Name the point of the grid in the message of a ValueError or TypeError."""
    try:
        yield
    except (ValueError, TypeError) as error:
        if chosen:  # the same exception, which keeps its traceback
            error.args = (f"grid point {named(chosen)}: {error}",)
        raise


def named(values: Mapping[str, Any]) -> str:
    """Format settings as ``lr=0.1, filters=8-16``."""
    return ", ".join(f"{key}={shown(value)}" for key, value in values.items())
