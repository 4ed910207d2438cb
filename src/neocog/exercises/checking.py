"""Check a reader's answers and programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neocog.exercises.course import remember
from neocog.exercises.exercise import Exercise, find_exercise

TOLERANCE = 0.005
"""The largest error of an answer that is not a whole number ..."""
RELATIVE_TOLERANCE = 0.0005
"""... or, for a large one, the largest error relative to it: four digits suffice."""


@dataclass(frozen=True)
class Verdict:
    """The result of a check: whether the answer is right, and a message."""

    name: str
    right: bool
    message: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return f"{self.message} ({self.name})"


def check(name: str, answer: Any, *, seed: int | None = None) -> Verdict:
    """Check an answer, or a program; remember that the exercise is solved if it is right.

    :func:`~neocog.exercises.progress` shows what is solved, and says where that is kept.

    Parameters
    ----------
    name : str
        Chapter and number, such as "1.2".
    answer : int, float, bool, str, sequence, array or function
        Whole numbers and shapes must be exact, others right to 0.005 or to four digits; words may be in any
        case. Where
        code is asked for, your function: it is run on many inputs, and you are told where it goes wrong.
    seed : int, optional
        Of the inputs that are drawn to run a function on; the message of a fault says it, so that you can
        repeat the check. By default a new one each time.

    Raises
    ------
    ValueError
        If there is no such exercise, or it is an open question.
    TypeError
        If the exercise asks for code and this is not a function.
    """
    exercise = find_exercise(name)
    if exercise.judge is not None:
        return _judge(exercise, answer, seed)
    if exercise.answer is None:
        raise ValueError(f"exercise {name} is an open question; compare with exercises.solution({name!r}).")
    verdict = compare(name, answer, exercise.answer(), exercise.hint, exercise.solution)
    if verdict:
        remember(name)
    return verdict


def compare(name: str, answer: Any, expected: Any, hint: str, solution: str) -> Verdict:
    """Compare an answer with a computed one; the message is the solution if it is right, else the hint."""
    if _same(answer, expected):
        return Verdict(name, True, f"Right. {solution}")
    return Verdict(name, False, f"Not yet: {_wrong_kind(answer, expected)}{hint}")


def _judge(exercise: Exercise, program: Any, seed: int | None) -> Verdict:
    assert exercise.judge is not None
    if not callable(program):
        raise TypeError(
            f"exercise {exercise.name} asks for a function, got {program!r}. Pass its name alone, without "
            "calling it."
        )
    fault = exercise.judge(program, seed)
    if fault:
        return Verdict(exercise.name, False, f"Not yet: {fault}")
    remember(exercise.name)
    return Verdict(exercise.name, True, f"Right. {exercise.solution}".strip())


def _same(answer: Any, expected: Any) -> bool:
    if isinstance(expected, bool | np.bool_):
        word = {"yes": True, "true": True, "no": False, "false": False}.get(str(answer).strip().casefold())
        return word is not None and word == bool(expected)
    if isinstance(expected, str):
        return str(answer).strip().casefold() == expected.casefold()
    try:
        given, right = np.asarray(answer, float), np.asarray(expected, float)
    except (TypeError, ValueError):
        return False
    if given.shape != right.shape:
        return False
    exact = np.issubdtype(np.asarray(expected).dtype, np.integer)
    allowed = 0 if exact else np.maximum(TOLERANCE, RELATIVE_TOLERANCE * np.abs(right))
    return bool(np.all(np.abs(given - right) <= allowed))


def _wrong_kind(answer: Any, expected: Any) -> str:
    """Say what kind of answer is asked for if this is another kind; else return ""."""
    if isinstance(expected, bool | np.bool_):
        known = str(answer).strip().casefold() in ("yes", "true", "no", "false")
        return "" if known else "the answer is yes or no; "
    if isinstance(expected, str):
        return "" if isinstance(answer, str) else "the answer is a word; "
    shape = np.shape(expected)
    try:
        same = np.asarray(answer, float).shape == shape
    except (TypeError, ValueError):
        same = False
    if same:
        return ""
    kind = (
        f"{shape[0]} numbers" if len(shape) == 1 else f"numbers in {shape[0]} rows" if shape else "one number"
    )
    return f"the answer is {kind}; "
