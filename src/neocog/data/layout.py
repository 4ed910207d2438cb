"""Find the pictures of a folder, their classes, and the parts of a data set, in the ways people lay them out.

The class of a picture is the name of the folder at the top that it lies in, at any depth, or what a pattern
finds in its name. Folders named train, val, test and the like are the parts of a data set.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from neocog.data.parts import Part, part_of
from neocog.data.pictures import IMAGE_SUFFIXES
from neocog.representation import printable

__all__ = [
    "Layout",
    "check_classes",
    "find_pictures",
    "listed",
    "name_of",
    "pattern_finder",
    "pictures_in",
    "relative_to",
]

# Pictures that are not read: left out, they would be missed, unlike texts and tables.
_OTHER_PICTURES = (
    ".ai", ".arw", ".cr2", ".cr3", ".dcm", ".dng", ".eps", ".exr", ".hdr", ".ico", ".j2k", ".jp2", ".jxl",
    ".nef", ".orf", ".pcx", ".psd", ".raf", ".raw", ".rw2", ".svg", ".tga", ".xcf",
)  # fmt: skip
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_CLUTTER = ("thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "system volume information")
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz")

# Ways in which a file's name may hold its class; each is tried on all names.
_PATTERNS = (
    r"^(.+)[ ._-]\(?\d",  # cat.0.jpg, house_cat_001.png, cat (3).jpg
    r"^(\D+)\d",  # cat12.jpg
    r"^\d+[ ._-]+(.+)[.]",  # 0001_cat.jpg
    r"^([^ ._-]+)[ ._-]",  # cat_in_the_garden.jpg
    r"[ ._-]([^ ._-]+)[.]\w+$",  # photo-x1-cat.png
)
SHOWN = 20


@dataclass
class Layout:
    """Hold what was found in a folder.

    Parameters
    ----------
    parts : dict from part ("train", "tuning", "test") to pairs (file, class name)
        Only "train" if the folder is not divided.
    notes : list of str
        What was found and chosen, a sentence each.
    problems : list of (path, reason)
        What cannot be used.
    hint : str
        A sentence that may help with the problems.
    separator : str or None
        What stands between the labels of a picture that may have several; None if each has one.
    """

    parts: dict[Part, list[tuple[Path, str]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[tuple[Path, str]] = field(default_factory=list)
    hint: str = ""
    separator: str | None = None

    def labels(self, text: str) -> list[str]:
        """Return the labels that a picture's label names: itself, or several, each once."""
        if self.separator is None:
            return [text]
        parts = text.split(self.separator) if self.separator.strip() else text.split()
        return list(dict.fromkeys(part.strip() for part in parts if part.strip()))

    def names(self, part: Part) -> set[str]:
        """Return all labels of the pictures of a part."""
        return {name for _, text in self.parts[part] for name in self.labels(text)}


@dataclass
class _Folder:
    """Hold the content of one folder, sorted by name."""

    path: Path
    pictures: list[Path] = field(default_factory=list)
    folders: list[_Folder] = field(default_factory=list)
    is_empty: bool = True  # no picture at any depth

    @property
    def name(self) -> str:
        return name_of(self.path.name)

    @property
    def filled(self) -> list[_Folder]:
        """The folders in it that hold a picture, at any depth."""
        return [folder for folder in self.folders if not folder.is_empty]

    def every_picture(self) -> list[Path]:
        """Return the pictures at any depth, by path."""
        deeper = [picture for folder in self.folders for picture in folder.every_picture()]
        return sorted(self.pictures + deeper, key=lambda path: path.parts) if deeper else self.pictures


def name_of(text: str) -> str:
    r"""Return a name in one normal form (NFC), with bytes that are no UTF-8 written as escapes.

    Examples
    --------
    >>> name_of("cafe\u0301") == "caf\u00e9"
    True
    >>> name_of("caf\udce9")
    'caf\\xe9'
    """
    normal = unicodedata.normalize("NFC", text)
    return normal.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def listed(items: Iterable[object], most: int = SHOWN, separator: str = ", ") -> str:
    """Write items one after another, at most so many of them, as a terminal may show them.

    Examples
    --------
    >>> listed("abcd", 2)
    'a, b and 2 more'
    """
    texts = [printable(item) for item in items]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return separator.join(texts[:most]) + more


def relative_to(path: Path, root: Path) -> Path:
    """Return a path below ``root`` without it, another path as it is."""
    return path.relative_to(root) if path.is_relative_to(root) else path


def pattern_finder(option: str, pattern: str, root: Path) -> Callable[[Path], str | None]:
    """Return a function that finds what a pattern's group matches in a file's name, None where it does not.

    A pattern with a slash is searched in the path below ``root``, with slashes on every system; any other one
    in the name alone.

    Raises
    ------
    ValueError, TypeError
        If the pattern is no regular expression with one group.
    """
    if not isinstance(pattern, str):
        raise TypeError(f"{option} must be text, got {pattern!r}.")
    try:
        compiled = re.compile(pattern)
    except re.error as problem:
        raise ValueError(f"{option} must be a regular expression, got {pattern!r}: {problem}.") from None
    if compiled.groups != 1:
        raise ValueError(
            f"{option} must have one group in parentheses, as in '^(.+)_', got {pattern!r} with "
            f"{compiled.groups}."
        )

    def find(path: Path) -> str | None:
        text = relative_to(path, root).as_posix() if "/" in pattern else path.name
        found = compiled.search(unicodedata.normalize("NFC", text))
        return name_of(found[1]) if found and found[1] else None

    return find


def find_pictures(
    folder: Path, label_pattern: str | None = None, class_names: Sequence[str] | None = None
) -> Layout:
    """Find the pictures of a folder, the class of each, and the parts that the folder is divided into.

    Parameters
    ----------
    folder : Path
    label_pattern : str, optional
        A regular expression whose group is the class, see :func:`pattern_finder`.
    class_names : sequence of str, optional
        The classes that there may be; some may be missing. Default: those found, at least two.

    Raises
    ------
    ValueError
        If there are no classes, or no training part; the message names the folder and what to do.
    """
    layout, others = Layout(), list[Path]()
    root = _scan(folder, layout, others, ())
    find = None if label_pattern is None else pattern_finder("label_pattern", label_pattern, folder)
    start = _unwrapped(root, class_names or ())
    if start is not root:
        layout.notes.append(f"The pictures are those in {printable(start.path)}.")
    parts = _parts(start)
    for part, places in parts.items():
        found = [pair for place in places for pair in _labelled(*place, part, layout, find)]
        if found or part == "train":
            layout.parts[part] = sorted(found, key=lambda pair: pair[1])
    if set(parts) > {"train"}:
        inside = {path.relative_to(start.path).parts[0] for _, path in _places(parts)}
        if left := [inner.name for inner in start.filled if inner.path.name not in inside]:
            layout.notes.append(f"Left out, as they are no part of the data: {listed(left)}.")
        layout.problems += [(picture, "lies beside the folders of the parts") for picture in start.pictures]
    if not layout.parts["train"] and (find is not None or not layout.problems):
        raise ValueError(_no_classes(folder, parts["train"][0][1], find is not None, others))
    if others:
        names = listed((path.relative_to(folder) for path in others), 5)
        tables = [path for path in others if path.suffix.lower() in (".csv", ".tsv")]
        hint = f" {_use_table(tables[0])}" if len(tables) == 1 else ""
        layout.notes.append(f"Left out, as no pictures: {names}.{hint}")
    return layout


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures of a folder, at any depth, as they are found to train on; also what is bad."""
    layout = Layout()
    pictures = _scan(folder, layout, [], ()).every_picture()
    return [*pictures, *(path for path, _ in layout.problems)]


def _scan(folder: Path, layout: Layout, others: list[Path], above: tuple[str, ...]) -> _Folder:
    """Read a folder and those in it, without hidden files and systems' clutter."""
    found = _Folder(folder)
    above = (*above, os.path.realpath(folder))
    try:
        with os.scandir(folder) as entries:
            content = sorted(entries, key=lambda entry: entry.name)
    except OSError as problem:
        layout.problems.append((folder, f"cannot be read: {problem.strerror}"))
        return found
    for entry in content:
        path = folder / entry.name
        suffix = path.suffix.lower()
        if entry.name.startswith(".") or entry.name.lower() in _CLUTTER:
            continue
        if entry.is_dir():
            if os.path.realpath(path) not in above:  # a link to a folder that it lies in has no end
                found.folders.append(_scan(path, layout, others, above))
        elif suffix in IMAGE_SUFFIXES or _is_picture(entry, suffix):
            if entry.is_file():
                found.pictures.append(path)
            else:
                layout.problems.append((path, "is a link to nothing" if path.is_symlink() else "is no file"))
        elif suffix in _OTHER_PICTURES:
            layout.problems.append((path, "is a picture in a format that is not read; convert it to PNG"))
        else:
            others.append(path)
    found.is_empty = not found.pictures and all(inner.is_empty for inner in found.folders)
    return found


def _is_picture(entry: os.DirEntry[str], suffix: str) -> bool:
    """Return whether a file of another suffix begins as a picture does."""
    if suffix in _OTHER_PICTURES or not entry.is_file():
        return False
    try:
        with open(entry.path, "rb") as file:
            head = file.read(16)
    except OSError:
        return False
    return head.startswith(_SIGNATURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def _unwrapped(folder: _Folder, class_names: Sequence[str] = ()) -> _Folder:
    """Go down while a folder holds nothing but one folder, no class, that holds folders."""
    while not folder.pictures and len(folder.filled) == 1 and folder.filled[0].filled:
        if folder.filled[0].name in class_names:
            break
        folder = folder.filled[0]
    return folder


# A folder of pictures, and the class of all of them if that is known.
_Place: TypeAlias = tuple[str | None, _Folder]


def _parts(folder: _Folder) -> dict[Part, list[_Place]]:
    """Return the folders of each part of a data set; only "train" if the folder is not divided."""
    for part_in in (part_of, _part_in_words):
        found: dict[Part, list[_Place]] = {}
        for inner in folder.filled:
            if part := part_in(inner.name):
                found.setdefault(part, []).append((None, inner))
        classes = [{each.name for each in inner.filled} for places in found.values() for _, inner in places]
        certain = part_in is part_of or len(classes) == len(folder.filled)
        if len(found) > 1 and (certain or set.intersection(*classes)):  # the same in each
            return _checked_parts(folder, found)
    turned: dict[Part, list[_Place]] = {}  # first the class, then the part
    for each in folder.filled:
        for inner in each.filled:
            if part := part_of(inner.name):
                turned.setdefault(part, []).append((each.name, inner))
    inside = [{part_of(inner.name) for inner in each.filled} for each in folder.filled]
    divided = all(None not in names and "train" in names for names in inside)
    if len(turned) > 1 and divided and not any(each.pictures for each in [folder, *folder.filled]):
        return turned
    return {"train": [(None, folder)]}


def _checked_parts(folder: _Folder, parts: dict[Part, list[_Place]]) -> dict[Part, list[_Place]]:
    """Return the parts; raise ValueError if one occurs twice, or there is none to train on."""
    for places in parts.values():
        if len(places) > 1:
            names = " and ".join(repr(printable(inner.name)) for _, inner in places)
            raise ValueError(
                f"{printable(folder.path)}: {names} would be the same part of the data; keep one of them, or "
                "rename one."
            )
    if "train" not in parts:
        names = " and ".join(printable(inner.name) for inner in folder.filled)
        raise ValueError(
            f"{printable(folder.path)} holds {names}, but no part to train on: name one of them train."
        )
    return parts


def _part_in_words(name: str) -> Part | None:
    """Return the part that one of a name's words means, as in seg_train or test1."""
    parts = {part_of(word) for word in re.findall("[a-z]{3,}", name.lower())} - {None}
    return parts.pop() if len(parts) == 1 else None


def _labelled(
    class_name: str | None,
    folder: _Folder,
    part: Part,
    layout: Layout,
    find: Callable[[Path], str | None] | None,
) -> Iterator[tuple[Path, str]]:
    """Yield the pictures of a part with their classes, and note what was left out."""
    if find is not None:
        found = [(path, find(path)) for path in folder.every_picture()]
        if part != "train" and not any(label for _, label in found):
            layout.notes.append(
                f"Left out: {printable(folder.name)}, as label_pattern fits none of its {len(found)} files."
            )
            return
        unfit = "has no label in its name that label_pattern fits"
        layout.problems += [(path, unfit) for path, label in found if not label]
        yield from ((path, label) for path, label in found if label)
        return
    if class_name is not None:
        yield from ((path, class_name) for path in folder.every_picture())
        return
    inner = _unwrapped(folder)
    if not inner.filled:
        if part != "train":
            layout.notes.append(
                f"Left out: {printable(folder.name)}, as its {len(inner.pictures)} pictures lie in no class "
                "folder."
            )
        return
    yield from _by_folder(inner, layout)


def _by_folder(folder: _Folder, layout: Layout) -> Iterator[tuple[Path, str]]:
    """Yield the pictures of each class folder, at any depth."""
    deep = 0
    for each in folder.folders:
        pictures = each.every_picture()
        if not pictures:
            layout.problems.append((each.path, "is an empty folder, and every class must have an image"))
        deep += sum(picture.parent != each.path for picture in pictures)
        yield from ((picture, each.name) for picture in pictures)
    beside = "lies beside the class folders, and must lie in one of them"
    layout.problems += [(picture, beside) for picture in folder.pictures]
    twice = [name for name, count in Counter(each.name for each in folder.folders).items() if count > 1]
    if twice:
        layout.notes.append(
            f"Folders whose names differ in their Unicode form alone are one class: {listed(twice)}."
        )
    if deep:
        layout.notes.append(
            f"{deep} pictures lie in folders within their class folder and count for the class. (For the "
            "lowest folder as the class pass label_pattern '([^/]+)/[^/]+$'.)"
        )


def _places(parts: dict[Part, list[_Place]]) -> Iterator[tuple[Part, Path]]:
    yield from ((part, folder.path) for part, places in parts.items() for _, folder in places)


def check_classes(folder: Path, layout: Layout, class_names: Sequence[str] | None) -> None:
    """Raise ValueError if there are too few classes, or a part holds classes that are not trained on."""
    found = layout.names("train")
    if class_names is None and len(found) < 2:
        only = f"only {printable(next(iter(found)))!r}" if found else "none"
        hint = _pattern_hint([path.name for path, _ in layout.parts["train"]])
        tables = sorted(folder.glob("*.csv")) if folder.is_dir() and not hint else []
        hint = f" {_use_table(tables[0])}" if tables else hint
        raise ValueError(f"{printable(folder)} must hold images of at least two classes, got {only}.{hint}")
    known = found if class_names is None else set(class_names)
    for part in layout.parts:
        unknown = sorted(layout.names(part) - known)
        if unknown and class_names is not None:
            raise ValueError(
                f"{printable(folder)}: the classes must be among {listed(sorted(known))}, got also "
                f"{listed(unknown)}."
            )
        if unknown:
            raise ValueError(
                f"{printable(folder)}: every class must be in the training part, got only in the "
                f"{part.replace('tuning', 'validation')} part: {listed(unknown)}; the training part holds "
                f"{listed(sorted(known))}."
            )


def _no_classes(folder: Path, place: _Folder, has_pattern: bool, others: Sequence[Path]) -> str:
    """Say what to do with a folder that has no class folders."""
    named, pictures = printable(folder), place.every_picture()
    if has_pattern and pictures:
        first = printable(pictures[0].name)
        return f"{named}: label_pattern fits none of its {len(pictures)} pictures, such as {first}."
    if not pictures:
        archives = [path for path in others if path.suffix.lower() in _ARCHIVES]
        hint = f", but {printable(archives[0].name)}: unpack it first" if archives else ""
        return f"{named} must hold a folder of pictures for each of at least two classes, got none{hint}."
    text = f"{printable(place.path)} must hold a folder for each class, got {len(pictures)} pictures"
    tables = [path for path in others if path.suffix.lower() in (".csv", ".tsv")]
    if hint := _pattern_hint([path.name for path in pictures]):
        return f"{text} beside each other.{hint}"
    if tables:
        return f"{text}. {_use_table(tables[0])}"
    return f"{text}. Move them there, or pass label_pattern if their names hold the classes."


def _pattern_hint(names: Sequence[str]) -> str:
    """Say which pattern finds classes in files' names; nothing if none does."""
    guess = _guessed_pattern(names)
    if guess is None:
        return ""
    pattern, counts = guess
    classes = listed((f"{name} ({count})" for name, count in sorted(counts.items())), 5)
    return (
        f" If their names hold the classes, pass label_pattern: --label-pattern '{pattern}' gives {classes}."
    )


def _use_table(table: Path) -> str:
    return f"If {printable(table.name)} holds their labels, pass csv:{printable(table)}."


def _guessed_pattern(names: Sequence[str]) -> tuple[str, Counter[str]] | None:
    """Return the first usual pattern that finds a few classes in files' names, and how many are in each."""
    for pattern in _PATTERNS:
        found = [match[1] for name in names if (match := re.search(pattern, name))]
        counts = Counter(map(name_of, found))
        if len(found) >= 0.9 * len(names) and 2 <= len(counts) <= len(names) / 2 and min(counts.values()) > 1:
            return pattern, counts
    return None
