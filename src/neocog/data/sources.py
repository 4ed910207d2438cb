"""Open sources of images by name, from one table that also makes the command line's help and messages.

A source is one entry of ``SOURCES``, and nothing else names it. Its loader may be defined here or elsewhere.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from neocog.data.csv_file import load_csv
from neocog.data.digits import digits
from neocog.data.folder import image_folder
from neocog.data.idx import load_idx
from neocog.data.lines import line_patterns
from neocog.data.npz import load_npz
from neocog.data.preprocessing import Preprocessing
from neocog.data.split import Split

__all__ = ["SOURCES", "Source", "open_source", "source_forms", "sources_help", "split_source"]

# Photos are scaled down to this size by default: these networks are for small images.
LARGEST_IMAGE = 64


@dataclass(frozen=True)
class Source:
    """A way to get images.

    Parameters
    ----------
    load : function -> Split
        Called with the path, if the source has one, and the options that it takes, by keyword.
    help : str
        A description in a few words.
    has_path : bool
        Whether it is written ``KIND:PATH``.
    options : tuple of str
        The options of :func:`open_source` that ``load`` takes.
    settings : dict
        Settings of a run that suit it; the others take the defaults of
        :class:`~neocog.settings.Settings`.
    """

    load: Callable[..., Split]
    help: str
    has_path: bool = False
    options: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def recipe(self) -> str:
        """The recipe of a run: "standard" for images of the user's own, "plain" where ``settings`` suit."""
        return "standard" if self.has_path and not self.settings else "plain"


def _arrays(
    path: str,
    image_shape: tuple[int, int, int] | None,
    preprocessing: Preprocessing | None,
    validation_fraction: float,
) -> Split:
    return load_npz(path, validation_fraction, image_shape=preprocessing or image_shape)


def _table(path: str, image_shape: Any, preprocessing: Preprocessing | None, **options: Any) -> Split:
    return load_csv(path, image_shape=preprocessing or image_shape, largest=LARGEST_IMAGE, **options)


def _photos(
    path: str,
    size: int | None,
    image_shape: tuple[int, int, int] | None,
    preprocessing: Preprocessing | None,
    validation_fraction: float,
) -> Split:
    split = image_folder(
        path, preprocessing or image_shape, validation_fraction, largest=size or LARGEST_IMAGE
    )
    if size is not None and split.image_shape[1:] != (size, size):
        split = image_folder(path, (split.image_shape[0], size, size), validation_fraction)
    return split


# The textbook's networks and numbers for its line patterns (chapters 24 and 25).
_TEXTBOOK = {
    "network": "tiny-cnn",
    "epochs": 80,
    "lr": 0.12,
    "momentum": 0.0,
    "weight_decay": 0.0,
    "batch_size": 18,
}

SOURCES: dict[str, Source] = {
    "digits": Source(digits, "handwritten digits, 8 x 8"),
    "lines": Source(
        lambda: line_patterns("a"), "the textbook's line patterns", settings=_TEXTBOOK | {"seed": 42}
    ),
    "lines-b": Source(
        lambda: line_patterns("b"), "the same with other noise", settings=_TEXTBOOK | {"seed": 3}
    ),
    "folder": Source(
        _photos,
        "a folder with a sub-folder of pictures for each class",
        has_path=True,
        options=("size", "image_shape", "preprocessing", "validation_fraction"),
    ),
    "npz": Source(
        _arrays,
        "a NumPy archive of images x and labels y",
        has_path=True,
        options=("image_shape", "preprocessing", "validation_fraction"),
    ),
    "idx": Source(
        load_idx,
        "a folder of MNIST's files",
        has_path=True,
        options=("preprocessing", "validation_fraction"),
    ),
    "csv": Source(
        _table,
        "a table, in each row a label and the pixels of an image",
        has_path=True,
        options=("image_shape", "preprocessing", "validation_fraction"),
    ),
}


def source_forms(option: str | None = None) -> list[str]:
    """Return how each source is written, as ``npz:PATH``; with an option, of those that take it.

    Examples
    --------
    >>> source_forms("size")
    ['folder:PATH']
    """
    return [
        f"{kind}:PATH" if source.has_path else kind
        for kind, source in SOURCES.items()
        if option is None or option in source.options
    ]


def sources_help() -> str:
    """Describe all sources in a sentence."""
    forms = zip(source_forms(), SOURCES.values(), strict=True)
    return "; ".join(f"{form} ({source.help})" for form, source in forms) + "."


def split_source(source: str) -> tuple[str, str]:
    """Return a source's kind, a key of ``SOURCES``, and its path, absolute so that it is found from anywhere.

    The path of a source that has none is "".

    Raises
    ------
    ValueError
        If there is no such source.
    """
    kind, colon, path = source.partition(":")
    if kind not in SOURCES or bool(colon) != SOURCES[kind].has_path:
        forms = dict(zip(SOURCES, source_forms(), strict=True))
        near = difflib.get_close_matches(kind, SOURCES, n=1)
        hint = f" Did you mean {forms[near[0]]!r}?" if near else ""
        allowed = ", ".join(map(repr, forms.values()))
        raise ValueError(f"source must be one of {allowed}, got {source!r}.{hint}")
    if colon and not path:
        raise ValueError(f"source must name a path, as in {kind}:PATH, got {source!r}.")
    return kind, os.path.abspath(path) if path else ""


def open_source(
    source: str,
    *,
    size: int | None = None,
    image_shape: tuple[int, int, int] | None = None,
    preprocessing: Preprocessing | None = None,
    validation_fraction: float = 0.2,
) -> Split:
    """Load the images of a source.

    An option that the source does not take is ignored.

    Parameters
    ----------
    source : str
        One of ``SOURCES``, such as "digits" or "folder:PATH".
    size : int, optional
        Height and width of a folder's images; default those of the first picture, at most 64 x 64.
    image_shape : (channels, height, width), optional
        Shape of the images, as a trained network takes them.
    preprocessing : Preprocessing, optional
        How pictures become images, as a trained network takes them; without it chosen by the pictures.
    validation_fraction : float in [0, 1)
        The fraction held out of files that have no held-out part of their own.

    Returns
    -------
    Split

    Raises
    ------
    ValueError, OSError
        If there is no such source, or its files are missing or malformed.
    """
    kind, path = split_source(source)
    given = {
        "size": size,
        "image_shape": image_shape,
        "preprocessing": preprocessing,
        "validation_fraction": validation_fraction,
    }
    options = {option: given[option] for option in SOURCES[kind].options}
    return SOURCES[kind].load(*([path] if path else []), **options)
