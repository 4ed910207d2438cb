"""Define the class of studies, and the registry of all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from neocog.validation import one_of

TableRow: TypeAlias = dict[str, Any]
Summary: TypeAlias = Callable[[list[list[TableRow]]], str]
TEN = 10


@dataclass(frozen=True)
class Outcome:
    """Hold what a study's function returns.

    Attributes
    ----------
    rows : list of dict
        The table; the first column names the row.
    finding : str
        One sentence, computed from the rows.
    data : dict
        Histories and arrays for figures.
    """

    rows: list[TableRow]
    finding: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """A named question with its experiment.

    Attributes
    ----------
    name : str
    question, answer, explanation : str
        The answer is short; the explanation says why, where textbooks often go wrong.
    function : function (repetition=0, **parameters) -> Outcome
    measure : str
        The column that matters most, for the sentence about several seeds.
    exercise : bool
        Whether the textbook sets it as an exercise.
    random : bool
        Whether other seeds can change anything.
    seeds : int
        Number of repetitions by default.
    seconds : float
        About how long ten repetitions take, where they are too slow to be the default.
    summary : function (tables of all repetitions) -> str, optional
        Says what several seeds found, where a mean and range of ``measure`` would not.
    """

    name: str
    question: str
    answer: str
    explanation: str
    function: Callable[..., Outcome]
    measure: str
    exercise: bool
    random: bool
    seeds: int = TEN
    seconds: float = 0.0
    summary: Summary | None = None

    @property
    def theme(self) -> str:
        """Theme of the study: the name of its module."""
        return self.function.__module__.rpartition(".")[2]

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters and their defaults, the textbook's protocol."""
        found = inspect.signature(self.function).parameters
        return {name: p.default for name, p in found.items() if name != "repetition"}

    def settings(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return all parameters, some changed.

        Raises
        ------
        TypeError
            If the study has no such parameter.
        """
        defaults = self.parameters
        unknown = sorted(set(changes) - set(defaults))
        if unknown:
            allowed = ", ".join(defaults) or "none"
            raise TypeError(
                f"study {self.name!r} has no parameters {unknown}; its parameters are: {allowed}."
            )
        return defaults | dict(changes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        texts = ("name", "theme", "question", "answer", "explanation", "exercise", "random", "seeds")
        parameters = {k: list(v) if isinstance(v, tuple) else v for k, v in self.parameters.items()}
        return {name: getattr(self, name) for name in texts} | {"parameters": parameters}


STUDIES: dict[str, Study] = {}


def study(
    name: str,
    *,
    question: str,
    answer: str,
    explanation: str,
    measure: str = "val_accuracy",
    exercise: bool = False,
    random: bool = True,
    seeds: int = TEN,
    seconds: float = 0.0,
    summary: Summary | None = None,
) -> Callable[[Callable[..., Outcome]], Callable[..., Outcome]]:
    """Register a function as a study; the function itself is returned unchanged."""

    def enter(function: Callable[..., Outcome]) -> Callable[..., Outcome]:
        texts = (name, question, answer, explanation)
        count = seeds if random else 1
        STUDIES[name] = Study(*texts, function, measure, exercise, random, count, seconds, summary)
        return function

    return enter


def find_study(name: str) -> Study:
    """Return a study by its name; raise ValueError with all names if there is none."""
    return STUDIES[one_of("experiment", name, STUDIES)]


def percent(fraction: float | None) -> str:
    """Write a fraction as a percentage.

    Examples
    --------
    >>> percent(0.98888)
    '98.9 %'
    """
    return "no number" if fraction is None else f"{100 * fraction:.1f} %"


def listed(items: list[str]) -> str:
    """Join words as in a sentence.

    Examples
    --------
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
