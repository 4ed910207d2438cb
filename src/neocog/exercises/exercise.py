"""Define the class of exercises, and the registry of all of them."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from neocog.validation import one_of

Judge: TypeAlias = "Callable[[Callable[..., Any], int | None], str]"
"""Runs a reader's function on inputs, of which many are drawn with the seed; returns what is wrong, or ""."""

ROUNDING = 1e-9
"""What is smaller than this in an answer is a rounding error, and shown as 0."""

EXERCISES: dict[str, Exercise] = {}


@dataclass(frozen=True)
class Exercise:
    """A question of the book.

    Attributes
    ----------
    name : str
        Chapter and number, such as "4.3".
    stars : int
        1: recall; 2: by hand, or derive; 3: write code; 4: open, a small study of its own.
    question : str
        In Markdown.
    solution : str
        The reasons, in Markdown. The answer itself is computed, and the program shown from its source.
    hint : str
    answer : function () -> number, tuple, array, bool or str, optional
        Compute the answer.
    program : function, optional
        A right program, for an exercise that asks for code.
    judge : function (function, seed) -> str, optional
        Judge a reader's program.
    """

    name: str
    stars: int
    question: str
    solution: str
    hint: str = ""
    answer: Callable[[], Any] | None = None
    program: Callable[..., Any] | None = None
    judge: Judge | None = None

    @property
    def chapter(self) -> int:
        """Number of its chapter."""
        return int(self.name.partition(".")[0])

    @property
    def number(self) -> int:
        """Number within the chapter."""
        return int(self.name.partition(".")[2])

    @property
    def kind(self) -> str:
        """What is asked for: "answer", "code" or "open"."""
        return "code" if self.judge else "answer" if self.answer else "open"

    @property
    def function(self) -> str:
        """The name of the function that is asked for, "" if none is: that of the judge."""
        return self.judge.__name__ if self.judge else ""

    def solve(self) -> str:
        """Return the whole solution in Markdown: the computed answer or the program, then the reasons."""
        if self.program is not None:
            source = textwrap.dedent(inspect.getsource(self.program)).strip()
            source = source.replace(f"def {self.program.__name__}(", f"def {self.function}(", 1)
            return f"```python\n{source}\n```\n\n{self.solution}".strip()
        return self.solution if self.answer is None else f"**{shown(self.answer())}.** {self.solution}"


def shown(answer: Any) -> str:
    """Write an answer as text."""
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    if isinstance(answer, float):
        return f"{answer if abs(answer) > ROUNDING else 0:.4g}"
    if hasattr(answer, "tolist"):
        kept = answer.dtype.kind != "f"
        return str((answer if kept else np.round(answer, 4) + 0.0).tolist())  # + 0.0 makes -0.0 positive
    if isinstance(answer, tuple | list):
        text = ", ".join(shown(part) for part in answer)
        return f"({text}{',' * (len(answer) == 1)})" if isinstance(answer, tuple) else f"[{text}]"
    return str(answer)


def exercise(
    name: str,
    stars: int,
    question: str,
    *,
    solution: str,
    hint: str = "",
    answer: Callable[[], Any] | None = None,
    program: Callable[..., Any] | None = None,
    judge: Judge | None = None,
) -> None:
    """Register an exercise; an ``answer`` makes it checkable, a ``program`` with its ``judge`` takes code."""
    assert name not in EXERCISES, f"two exercises are named {name}"
    assert (program is None) == (judge is None), f"{name} needs both a program and its judge, or neither"
    EXERCISES[name] = Exercise(name, stars, question, solution, hint, answer, program, judge)


def find_exercise(name: str) -> Exercise:
    """Return an exercise by its name; raise ValueError with all names if there is none."""
    return EXERCISES[one_of("name", name, EXERCISES)]
