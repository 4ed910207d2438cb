"""Work through the book's exercises: list them, check answers and programs, read solutions.

>>> from neocog import exercises
>>> exercises.check("1.2", 600)
Not yet: count the numbers that one filter has, all of them. (1.2)

An answer is compared with one that is computed at that moment, from the layers or by running a study; a
program is run, and compared with the formula. :func:`progress` shows what you have solved.
"""

from neocog.exercises import chapters
from neocog.exercises.chapter import Chapter, chapter
from neocog.exercises.checking import Verdict, check
from neocog.exercises.course import ChapterProgress, Progress, progress
from neocog.exercises.exercise import EXERCISES, Exercise, find_exercise

__all__ = [
    "Chapter",
    "ChapterProgress",
    "Exercise",
    "Progress",
    "Verdict",
    "chapter",
    "chapters",
    "check",
    "list_exercises",
    "progress",
    "solution",
]


def list_exercises() -> list[Exercise]:
    """Return all exercises, chapter by chapter."""
    return sorted(EXERCISES.values(), key=lambda one: (one.chapter, one.number))


def solution(name: str) -> str:
    """Return the solution of an exercise in Markdown; ValueError if there is no such exercise."""
    return find_exercise(name).solve()
