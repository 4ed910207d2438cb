"""Open sources of images by name, from one table that also makes the command line's help and messages.

A source is one entry of ``SOURCES``, and nothing else names it. Its loader may be defined here or elsewhere.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neocog.data.csv_file import load_csv, tables_in
from neocog.data.digits import digits
from neocog.data.folder import image_folder
from neocog.data.idx import load_idx
from neocog.data.lines import line_patterns
from neocog.data.npz import load_npz
from neocog.data.parts import part_of
from neocog.data.pictures import IMAGE_SUFFIXES
from neocog.data.preprocessing import Preprocessing
from neocog.data.split import Split
from neocog.representation import printable

__all__ = ["READING", "SOURCES", "Source", "open_source", "source_forms", "sources_help", "split_source"]

# Photos are scaled down to this size by default: these networks are for small images.
LARGEST_IMAGE = 64

_OF_TABLES = ("images", "file_column", "label_column")
READING = ("size", "channels", "fit", "label_pattern", "group_by", "skip_bad", *_OF_TABLES)
"""The options of how pictures are read that a user may choose; a run keeps them."""

_UNSET: dict[str, Any] = dict.fromkeys((*READING, "image_shape", "preprocessing", "class_names")) | {
    "skip_bad": False,
    "several_labels": False,
}
_MNIST = re.compile(r"train[-.]images[-.]idx3[-.]ubyte(\.gz)?$")


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
    fits : function (Path) -> bool, optional
        Whether what is at a path that exists can be loaded, so that it may be given without its kind.
    settings : dict
        Settings of a run that suit it; the others take the defaults of
        :class:`~neocog.settings.Settings`.
    """

    load: Callable[..., Split]
    help: str
    has_path: bool = False
    options: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    fits: Callable[[Path], bool] | None = None

    @property
    def recipe(self) -> str:
        """The recipe of a run: "standard" for images of the user's own, "plain" where ``settings`` suit."""
        return "standard" if self.has_path and not self.settings else "plain"


def _arrays(path: str, image_shape: Any, preprocessing: Preprocessing | None, **options: Any) -> Split:
    return load_npz(path, image_shape=preprocessing or image_shape, **options)


def _table(path: str, image_shape: Any, preprocessing: Preprocessing | None, **options: Any) -> Split:
    return load_csv(path, image_shape=preprocessing or image_shape, largest=LARGEST_IMAGE, **options)


def _photos(path: str, image_shape: Any, preprocessing: Preprocessing | None, **options: Any) -> Split:
    return image_folder(path, preprocessing or image_shape, largest=LARGEST_IMAGE, **options)


def _is_mnist(path: Path) -> bool:
    """Return whether a path is, or holds, MNIST's file of training images, also as torchvision has it."""
    if path.is_file():
        return _MNIST.search(path.name) is not None
    places = (path, path / "raw", *path.glob("*/raw"))
    return any(_MNIST.search(file.name) for place in places if place.is_dir() for file in place.iterdir())


def _is_table(path: Path) -> bool:
    """Return whether a path is a CSV file, or a folder that holds one of training images, and no classes."""
    if not path.is_dir():
        return path.suffix.lower() in (".csv", ".tsv")
    if "train" not in tables_in(path):
        return False
    entries = list(path.iterdir())
    trains = [entry for entry in entries if entry.is_dir() and part_of(entry.name) == "train"]
    return not any(inner.is_dir() for train in trains for inner in train.iterdir())


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
        options=(
            *(option for option in READING if option not in _OF_TABLES),
            *("image_shape", "preprocessing", "class_names", "validation_fraction"),
        ),
        fits=Path.is_dir,
    ),
    "npz": Source(
        _arrays,
        "a NumPy archive of images x and labels y",
        has_path=True,
        options=("image_shape", "preprocessing", "class_names", "validation_fraction", "several_labels"),
        fits=lambda path: path.is_file() and path.suffix.lower() == ".npz",
    ),
    "idx": Source(
        load_idx,
        "a folder of MNIST's files",
        has_path=True,
        options=("preprocessing", "class_names", "validation_fraction"),
        fits=_is_mnist,
    ),
    "csv": Source(
        _table,
        "a table of labels, and pictures' files or pixels",
        has_path=True,
        options=(
            *(option for option in READING if option != "label_pattern"),
            *("image_shape", "preprocessing", "class_names", "validation_fraction", "several_labels"),
        ),
        fits=_is_table,
    ),
}


def source_forms(option: str | None = None) -> list[str]:
    """Return how each source is written, as ``npz:PATH``; with an option, of those that take it.

    Examples
    --------
    >>> source_forms("size")
    ['folder:PATH', 'csv:PATH']
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

    A source that is no entry of the table is a path, whose kind is recognised by what is there: ``./digits``
    is a folder, ``digits`` the built-in source. The path of a source that has none is "".

    Raises
    ------
    ValueError
        If there is no such source.
    """
    kind, colon, path = source.partition(":")
    if kind in SOURCES and bool(colon) == SOURCES[kind].has_path:
        if colon and not path:
            raise ValueError(f"source must name a path, as in {kind}:PATH, got {source!r}.")
        return kind, os.path.abspath(path) if path else ""
    if source and Path(source).exists():
        return _recognised(Path(source)), os.path.abspath(source)
    forms = dict(zip(SOURCES, source_forms(), strict=True))
    alike = [each for each in SOURCES if each == kind or SOURCES[each].has_path == bool(colon)]
    near = difflib.get_close_matches(kind, alike, n=1)  # nix is no misspelt idx:PATH
    named = forms[near[0]] if near else near_path(source)
    hint = f" Did you mean {named!r}?" if named else ""
    allowed = ", ".join(map(repr, forms.values()))
    raise ValueError(
        f"source must be the path of a folder or file that there is, or one of {allowed}, got "
        f"{source!r}.{hint}"
    )


def near_path(path: str) -> str:
    """Return the path beside a missing one whose name is most like its name; "" if none is."""
    folder, name = os.path.split(path.rstrip(os.sep))
    try:
        others = [other for other in os.listdir(folder or ".") if not other.startswith(".")]
    except OSError:
        return ""
    near = difflib.get_close_matches(name, others, n=1, cutoff=0.7)
    return os.path.join(folder, near[0]) if near else ""


def _recognised(path: Path) -> str:
    """Return the kind of source that is at a path: of several that fit, the last in the table."""
    fitting = [kind for kind, source in SOURCES.items() if source.fits is not None and source.fits(path)]
    if fitting:
        return fitting[-1]
    suffix, named = path.suffix.lower(), printable(path)
    if suffix in IMAGE_SUFFIXES:
        reason = "is one picture; name the folder that holds a folder of pictures for each class"
    elif suffix in (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"):
        reason = "is an archive; unpack it, and name the folder"
    elif suffix == ".npy":
        reason = "is a single array; save images x and labels y by numpy.savez"
    else:
        kinds = ", ".join(source_forms("validation_fraction"))
        reason = f"is neither a folder nor a file whose kind is known; name the kind: {kinds}"
    raise ValueError(f"source {named} {reason}.")


def open_source(source: str, *, validation_fraction: float = 0.2, **options: Any) -> Split:
    """Load the images of a source.

    An option that the source does not take is ignored.

    Parameters
    ----------
    source : str
        One of ``SOURCES``, such as "digits" or "folder:PATH", or a path, see :func:`split_source`.
    validation_fraction : float in [0, 1)
        The fraction held out of files that have no held-out part of their own.
    **options
        How pictures are read: ``image_shape`` or ``preprocessing``, as a trained network takes them; or, for
        a folder, the options of :func:`image_folder`: ``size`` (default at most 64 x 64), ``channels``,
        ``fit``, ``label_pattern``, ``group_by``, ``skip_bad``; for a table those of :func:`load_csv`, too:
        ``images``, ``file_column``, ``label_column``; ``class_names``, those of a trained network;
        ``several_labels``, whether an image of a table or archive may have several.

    Returns
    -------
    Split

    Raises
    ------
    ValueError, OSError
        If there is no such source, or its files are missing or malformed.
    TypeError
        If no source takes an option.
    """
    kind, path = split_source(source)
    known = {option for each in SOURCES.values() for option in each.options}
    unknown = set(options) - known
    if unknown:
        raise TypeError(f"open_source has no option {sorted(unknown)[0]!r}; there are {sorted(known)}.")
    given = _UNSET | options | {"validation_fraction": validation_fraction}
    taken = {option: given[option] for option in SOURCES[kind].options}
    split = SOURCES[kind].load(*([path] if path else []), **taken)
    if not path and Path(source).exists():
        built_in = f"{source} is built in; for the folder or file of this name pass ./{source}."
        split.notes = (built_in, *split.notes)
    return split
