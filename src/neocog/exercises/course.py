"""Remember which exercises a reader has solved, and show how far that is.

What is solved is kept in a small JSON file in the folder where the platform keeps data of users. The
environment variable ``NEOCOG_PROGRESS`` names another file; with the value ``off`` nothing is read or
written, as when the book is built. A file that cannot be written costs nothing but the memory beyond this
session.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from neocog.atomic import atomic_write
from neocog.exercises import chapters
from neocog.exercises.exercise import EXERCISES, Exercise

VARIABLE = "NEOCOG_PROGRESS"
OFF = "off"

_in_session: dict[Path | None, list[str]] = {}


def progress_file() -> Path | None:
    """Return the file that remembers what is solved; None if ``NEOCOG_PROGRESS`` is ``off``."""
    named = os.environ.get(VARIABLE)
    if named:
        return None if named.casefold() == OFF else Path(named).expanduser()
    try:
        home = Path.home()
    except RuntimeError:  # a user without a home
        return None
    if sys.platform == "win32":
        folder = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        folder = home / "Library" / "Application Support"
    else:
        folder = os.environ.get("XDG_DATA_HOME") or home / ".local" / "share"
    return Path(folder) / "neocog" / "progress.json"


def solved() -> list[str]:
    """Return the names of the exercises that are solved, in the order in which they were."""
    path = progress_file()
    names = [*(_read(path) or []), *_in_session.get(path, [])]
    return [name for name in dict.fromkeys(names) if name in EXERCISES]


def _read(path: Path | None) -> list[str] | None:
    """Return the names in a file, [] if there is none, None if it is none of ours or cannot be read."""
    if path is None:
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError):
        return None
    names = content.get("solved") if isinstance(content, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return names


def remember(name: str) -> None:
    """Remember that an exercise is solved; where that is impossible, only until this session ends."""
    path = progress_file()
    session = _in_session.setdefault(path, [])
    if name not in session:
        session.append(name)
    if path is None:
        return
    known = _read(path)
    if known is None or set(session) <= set(known):
        return
    content = json.dumps({"solved": list(dict.fromkeys([*known, *session]))}, indent=1)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, content)


@dataclass(frozen=True)
class ChapterProgress:
    """How much of a chapter is solved; open questions, which nothing checks, are not counted.

    Attributes
    ----------
    number : int
    title : str
    solved, exercises : int
        How many are solved, of how many.
    stars, all_stars : int
        The stars of those that are solved, and of all.
    """

    number: int
    title: str
    solved: int
    exercises: int
    stars: int
    all_stars: int


@dataclass(frozen=True, repr=False)
class Progress:
    """What is solved, chapter by chapter: lines in a terminal, a table in a notebook.

    Attributes
    ----------
    chapters : tuple of ChapterProgress
    next : Exercise or None
        The first unsolved one after the last that was solved; None if all are.
    """

    chapters: tuple[ChapterProgress, ...]
    next: Exercise | None

    @property
    def solved(self) -> int:
        """How many exercises are solved."""
        return sum(chapter.solved for chapter in self.chapters)

    @property
    def exercises(self) -> int:
        """How many exercises there are."""
        return sum(chapter.exercises for chapter in self.chapters)

    def _summary(self, star: str) -> str:
        text = f"{self.solved} of {self.exercises} solved."
        if self.next is None:
            return text
        return f"{text} Next: {self.next.name} {star * self.next.stars} {self.next.question}"

    def __repr__(self) -> str:
        width = max((len(chapter.title) for chapter in self.chapters), default=0)
        lines = [
            f"{c.number:3}  {c.title:{width}}  {_bar(c)}  {c.solved:2} of {c.exercises:2}   "
            f"{c.stars:2} of {c.all_stars:2} stars"
            for c in self.chapters
        ]
        return "\n".join([*lines, "", self._summary("*")])

    def _repr_markdown_(self) -> str:
        rows = [
            f"| {c.number} | {c.title} | {c.solved} of {c.exercises} | {c.stars} of {c.all_stars} |"
            for c in self.chapters
        ]
        head = ["| chapter | | solved | stars |", "|---:|---|---:|---:|"]
        return "\n".join([*head, *rows]) + f"\n\n{self._summary('★')}"


def _bar(chapter: ChapterProgress, width: int = 10) -> str:
    full = chapter.solved * width // max(chapter.exercises, 1)
    return "■" * full + "□" * (width - full)


def progress() -> Progress:
    """Return what is solved of the exercises, chapter by chapter, and which one is next.

    An exercise is solved once :func:`~neocog.exercises.check` has said "Right". That is remembered from
    session to session in a file of the user's; the environment variable ``NEOCOG_PROGRESS`` names another
    file, and ``NEOCOG_PROGRESS=off`` remembers nothing.

    Examples
    --------
    >>> progress().chapters[1].title
    'what a convolution is'
    """
    done = solved()
    asked = sorted(
        (e for e in EXERCISES.values() if e.kind != "open"), key=lambda one: (one.chapter, one.number)
    )
    rows = []
    for number in sorted({one.chapter for one in asked}):
        here = [one for one in asked if one.chapter == number]
        right = [one for one in here if one.name in done]
        stars, all_stars = sum(one.stars for one in right), sum(one.stars for one in here)
        rows.append(ChapterProgress(number, _title(number), len(right), len(here), stars, all_stars))
    names = [one.name for one in asked]
    start = next((names.index(name) for name in reversed(done) if name in names), 0)
    coming = next((one for one in [*asked[start:], *asked[:start]] if one.name not in done), None)
    return Progress(tuple(rows), coming)


def _title(number: int) -> str:
    """Return what a chapter is about, from the docstring of its module."""
    text = getattr(chapters, f"chapter_{number}").__doc__ or ""
    return text.partition(": ")[2].strip().removesuffix(".")
