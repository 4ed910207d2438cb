"""Select layers or parameters by their dotted names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

__all__ = ["FEATURES", "select"]

FEATURES = "features"
"""What stands for all that lies before the head, where nothing has this name."""


def select(patterns: str | Iterable[str], names: Sequence[str], head: str, what: str = "layer") -> list[str]:
    """Return the names that patterns select, in their order.

    A pattern is a name, the beginning of dotted names (``layer1`` of ``layer1.0.conv1``), or one of these
    with ``*``, ``?`` and ``[...]`` in it. ``features`` also stands for all names before those of the head,
    where nothing is called so.

    Parameters
    ----------
    patterns : str or iterable of str
    names : sequence of str
    head : str
        The name of the layer that is the head.
    what : str
        What the names are those of, for the error.

    Raises
    ------
    ValueError
        If a pattern selects nothing; the message lists near names.

    Examples
    --------
    >>> names = ["layer1.conv1", "layer1.bn1", "layer2.conv1", "fc"]
    >>> select("layer1", names, "fc"), select("*.conv?", names, "fc")
    (['layer1.conv1', 'layer1.bn1'], ['layer1.conv1', 'layer2.conv1'])
    >>> select("features", names, "fc")
    ['layer1.conv1', 'layer1.bn1', 'layer2.conv1']
    >>> select("layr1", names, "fc")
    Traceback (most recent call last):
    ValueError: no layer is named 'layr1'; near it are ...
    """
    chosen: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"names must be text, got {pattern!r}.")
        found = [name for name in names if _matches(pattern, name)]
        if not found and pattern == FEATURES:
            first = next((k for k, name in enumerate(names) if _matches(head, name)), 0)
            found = list(names[:first])
        if not found:
            known = list(dict.fromkeys(part for name in names for part in _beginnings(name)))
            near = difflib.get_close_matches(pattern, known, 3) or [part for part in known if "." not in part]
            verb, listed = ("is", "are")[len(near) > 1], ", ".join(map(repr, near[:8]))
            raise ValueError(
                f"no {what} is named {pattern!r}; near it {verb} {listed or 'none'}. Name a {what}, the "
                "beginning of dotted names or a pattern such as '*.conv1'."
            )
        chosen.update(found)
    return [name for name in names if name in chosen]


def _matches(pattern: str, name: str) -> bool:
    return any(part == pattern or fnmatchcase(part, pattern) for part in _beginnings(name))


def _beginnings(name: str) -> Iterator[str]:
    """Yield ``a``, ``a.b`` and ``a.b.c`` of ``a.b.c``."""
    parts = name.split(".")
    return (".".join(parts[: k + 1]) for k in range(len(parts)))
