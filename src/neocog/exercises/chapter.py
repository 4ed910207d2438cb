"""Show the exercises of a chapter, solutions folded away."""

from __future__ import annotations

from dataclasses import dataclass

from neocog.exercises.exercise import EXERCISES, Exercise
from neocog.validation import one_of


@dataclass(frozen=True, repr=False)
class Chapter:
    """The exercises of a chapter: a list in a terminal, a page with folded solutions in a notebook."""

    number: int
    exercises: tuple[Exercise, ...]

    def __repr__(self) -> str:
        return "\n".join(f"{one.name} {'*' * one.stars} {one.question}" for one in self.exercises)

    def _repr_markdown_(self) -> str:
        return "\n\n".join(_entry(one) for one in self.exercises)


def _entry(one: Exercise) -> str:
    check = "" if one.kind == "open" else f' `exercises.check("{one.name}", ...)`'
    return (
        f"**{one.name}** {'★' * one.stars} {one.question}{check}\n\n"
        f"<details><summary>Solution of {one.name}</summary>\n\n{one.solve()}\n\n</details>"
    )


def chapter(number: int) -> Chapter:
    """Return the exercises of a chapter; ValueError if there is no such chapter.

    Examples
    --------
    >>> chapter(1).exercises[0].name
    '1.1'
    """
    one_of("number", str(number), map(str, sorted({one.chapter for one in EXERCISES.values()})))
    found = sorted((one for one in EXERCISES.values() if one.chapter == number), key=lambda one: one.number)
    return Chapter(number, tuple(found))
