"""Hold the result of a study: a table, a sentence, the data behind them, and their spread over seeds."""

from __future__ import annotations

import html
import importlib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neocog.experiments.study import TEN, Outcome, Study, TableRow, listed, percent
from neocog.representation import show
from neocog.training import History

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True, repr=False)
class Result:
    """Hold the outcomes of all repetitions of a study.

    Attributes
    ----------
    study : Study
    parameters : dict
    rows : list of dict
        The table of repetition 0, which has the textbook's seeds.
    finding : str
        What it shows, in a sentence computed from ``rows``.
    data : dict
        Histories and arrays of repetition 0, for figures.
    repetitions : list of list of dict
        The table of every repetition.
    findings : list of str
        The sentence of every repetition.
    """

    study: Study
    parameters: dict[str, Any]
    rows: list[TableRow]
    finding: str
    data: dict[str, Any]
    repetitions: list[list[TableRow]]
    findings: list[str]

    @classmethod
    def of(cls, study: Study, parameters: dict[str, Any], outcomes: list[Outcome]) -> Result:
        """Combine the outcomes of all repetitions."""
        first = outcomes[0]
        tables, findings = [outcome.rows for outcome in outcomes], [outcome.finding for outcome in outcomes]
        return cls(study, parameters, first.rows, first.finding, first.data, tables, findings)

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.study.name

    @property
    def question(self) -> str:
        """The question of the study."""
        return self.study.question

    @property
    def answer(self) -> str:
        """The short answer."""
        return self.study.answer

    @property
    def explanation(self) -> str:
        """The reasons for the answer."""
        return self.study.explanation

    @property
    def seeds(self) -> int:
        """Number of repetitions."""
        return len(self.repetitions)

    @property
    def columns(self) -> list[str]:
        """Columns of the table; the first names the row."""
        return list(dict.fromkeys(column for row in self.rows for column in row))

    @property
    def shown_columns(self) -> list[str]:
        """Columns of the table but those whose values stand in the rows' names already."""
        first = self.columns[0]
        return [
            column
            for column in self.columns
            if column == first
            or any(str(row.get(column)) not in str(row[first]).split() for row in self.rows)
        ]

    @property
    def spread(self) -> list[dict[str, dict[str, float]]]:
        """``{column: {"mean", "min", "max", "std", "count"}}`` of each row over the seeds, for numbers.

        ``std`` divides by ``count``, the number of repetitions in which the cell was a number.
        """
        return [
            {
                column: _spread(numbers)
                for column in self.columns[1:]
                if (numbers := [t[i][column] for t in self.repetitions if _is_number(t[i].get(column))])
            }
            for i in range(len(self.rows))
        ]

    def values(self, column: str, by: str) -> dict[float, list[float]]:
        """Return the numbers of a column over the seeds, by those of another: ``{filters: [accuracies]}``.

        What :func:`neocog.figures.spread_curves` draws. Rows without a number are left out.
        """
        found: dict[float, list[float]] = {}
        for table in self.repetitions:
            for row in table:
                if _is_number(row.get(by)) and _is_number(row.get(column)):
                    found.setdefault(row[by], []).append(row[column])
        return found

    def varies(self, column: str) -> bool:
        """Return whether a column of numbers differs in every row."""
        numbers = [row.get(column) for row in self.rows]
        return all(map(_is_number, numbers)) and 2 < len(set(numbers)) == len(numbers)

    @property
    def over_seeds(self) -> str:
        """What the study's measure was over the seeds, in a sentence; empty for one seed.

        Of each row the mean and the range; of an accuracy also in how many runs it was perfect; and in how
        many runs a row was above the first one. A table of epochs is summarised by its last row.
        """
        measure, label = self.study.measure, self.columns[0]
        runs = [[table[i].get(measure) for table in self.repetitions] for i in range(len(self.rows))]
        if self.study.summary is not None and self.seeds > 1:
            return f"Over {self.seeds} seeds: {self.study.summary(self.repetitions)}"
        if self.seeds == 1 or not any(_is_number(value) for row in runs for value in row):
            return ""
        names = [str(row[label]) for row in self.rows]
        if label == "epoch":
            names, runs = [f"after epoch {names[-1]}"], runs[-1:]
        texts: dict[str, list[str]] = {}
        for i, values in enumerate(runs):
            if any(_is_number(value) for value in values):
                text = _summary(measure, values)
                compared = i > 0 and len(runs) <= 4 and label == "network"
                text += _above(names[0], runs[0], values) if compared else ""
                texts.setdefault(text, []).append(names[i])
        parts = [f"{_grouped(group)} {text}" for text, group in texts.items()]
        return f"Over {self.seeds} seeds, {measure_title(measure)}: {'; '.join(parts)}."

    @property
    def note(self) -> str:
        """What the default number of seeds leaves out, in a sentence; empty if nothing."""
        if self.seeds >= TEN or not self.study.seconds:
            return ""
        return (
            f"{self.seeds} seed{'s' * (self.seeds > 1)} of {TEN}: --seeds {TEN} takes about "
            f"{self.study.seconds:.0f} s."
        )

    @property
    def textbook(self) -> str:
        """The finding of the textbook's seed alone, in a sentence that says so; empty for one seed."""
        return f"The textbook's seed alone would have said: {self.finding}" if self.seeds > 1 else ""

    def cells(
        self, columns: list[str] | None = None, ranges: Collection[str] | None = None
    ) -> list[list[str]]:
        """Return the table as text: of several seeds the mean and range of each number.

        Parameters
        ----------
        columns : list of str, optional
            By default all.
        ranges : collection of str, optional
            The columns whose range is written; by default all.
        """
        columns = columns or self.columns
        return [
            [
                _mean_and_range(
                    [table[i].get(column) for table in self.repetitions], ranges is None or column in ranges
                )
                for column in columns
            ]
            for i in range(len(self.rows))
        ]

    def to_dict(self, *, data: bool = True) -> dict[str, Any]:
        """Return plain data, ready for JSON; numbers that are not finite become None."""
        plain = {
            "name": self.name,
            "question": self.question,
            "parameters": self.parameters,
            "seeds": self.seeds,
            "columns": self.columns,
            "rows": self.rows,
            "finding": self.finding,
            "answer": self.answer,
            "explanation": self.explanation,
        }
        if self.note:
            plain["note"] = self.note
        if self.seeds > 1:
            plain["textbook"] = self.textbook
            plain["spread"] = self.spread
            plain["over_seeds"] = self.over_seeds
            plain["repetitions"] = self.repetitions
            plain["findings"] = self.findings
        if data:
            plain["data"] = self.data
        result: dict[str, Any] = _plain(plain)
        return result

    def print(self) -> None:
        """Print question, table, finding and explanation; in a notebook as HTML."""
        from rich.console import Console

        if Console().is_jupyter:
            importlib.import_module("IPython.display").display(self)
        else:
            show(self, highlight=False)

    def _varying_columns(self) -> list[str]:
        """Return the columns to print: if there are many, only those that differ and are not of training."""
        if len(self.columns) <= 5:
            return self.shown_columns
        values = {c: {repr((row.get(c), cells.get(c))) for row, cells in self._rows()} for c in self.columns}
        varying = [c for c in self.shown_columns if c == self.columns[0] or len(values[c]) > 1]
        return varying if len(varying) <= 6 else [c for c in varying if not c.startswith("train_")]

    def _rows(self) -> list[tuple[TableRow, Any]]:
        return list(zip(self.rows, self.spread, strict=True))

    def __repr__(self) -> str:
        return f"Result({self.name}: {self.finding})"

    def _told(self) -> list[str]:
        """Return the paragraphs below the table, the finding first."""
        texts = [self.over_seeds or self.finding, self.note, self.textbook if self.over_seeds else ""]
        return [text for text in (*texts, f"{self.answer} {self.explanation}") if text.strip()]

    def _table(self) -> tuple[list[str], list[bool], list[list[str]]]:
        """Return the titles of the columns to print, which of them are numbers, and the rows."""
        columns = self._varying_columns()
        numeric = [i > 0 and any(_is_number(row.get(c)) for row in self.rows) for i, c in enumerate(columns)]
        return [_title(c) for c in columns], numeric, self.cells(columns, {self.study.measure})

    def __rich__(self) -> Group:
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title=f"{self.name}: {self.question}",
            title_justify="left",
            box=SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
        )
        titles, numeric, rows = self._table()
        for title, right in zip(titles, numeric, strict=True):
            table.add_column(title, justify="right" if right else "left")
        for cells in rows:
            table.add_row(*map(Text, cells))
        first, *others = self._told()
        below = [part for text in others for part in (Text(), Text(text))]
        return Group(table, Text(first, "bold"), *below)

    def _repr_html_(self) -> str:
        titles, numeric, rows = self._table()

        def line(tag: str, cells: list[str]) -> str:
            sides = ("right" if right else "left" for right in numeric)
            style = "padding: .2em .6em; white-space: nowrap; text-align:"
            return "".join(
                f'<{tag} style="{style} {side}">{html.escape(cell)}</{tag}>'
                for side, cell in zip(sides, cells, strict=True)
            )

        body = "".join(f"<tr>{line('td', cells)}</tr>" for cells in rows)
        first, *others = map(html.escape, self._told())
        return (
            f"<p><i>{html.escape(f'{self.name}: {self.question}')}</i></p>"
            f'<div style="overflow-x: auto"><table><thead><tr>{line("th", titles)}</tr></thead>'
            f"<tbody>{body}</tbody></table></div><p><b>{first}</b></p>"
            + "".join(f"<p>{text}</p>" for text in others)
        )


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


def measure_title(measure: str) -> str:
    """Name a measure in words.

    Examples
    --------
    >>> measure_title("val_loss")
    'validation loss'
    """
    if measure == "first_at_100":
        return "first epoch with 100 % validation accuracy"
    return measure.replace("val_", "validation ").replace("train_", "training ").replace("_", " ")


def _grouped(names: list[str]) -> str:
    return listed(names) if len(names) < 4 else f"{names[0]} to {names[-1]}"


def _is_share(measure: str) -> bool:
    return measure.endswith(("accuracy", "unchanged", "share", "zeros", "classes"))


def _summary(measure: str, values: list[Any]) -> str:
    """Write mean and range, and in how many runs there was a number, or a perfect one."""
    numbers = [value for value in values if _is_number(value)]
    share, runs = _is_share(measure), len(values)
    write = percent if share else _short
    text = percent(_spread(numbers)["mean"]) if share else _short_mean(numbers)
    if measure.endswith("accuracy") and numbers.count(1.0) == runs:
        return f"{text} in all runs"
    notes = []
    if min(numbers) < max(numbers):
        notes.append(f"{write(min(numbers)).removesuffix(' %')} to {write(max(numbers))}")
    if measure.endswith("accuracy") and 1.0 in numbers:
        notes.append(f"100 % in {numbers.count(1.0)} of {runs}")
    if len(numbers) < runs:
        missing = runs - len(numbers)
        notes.append(f"never in {missing}" if measure.startswith("first") else f"no number in {missing}")
    return f"{text} ({', '.join(notes)})" if notes else text


def _above(first: str, reference: list[Any], values: list[Any]) -> str:
    """Count the runs in which a row is above the first row; a run that never got there is above all."""
    pairs = [
        tuple(value if _is_number(value) else math.inf for value in pair)
        for pair in zip(reference, values, strict=True)
    ]
    above, below = sum(b > a for a, b in pairs), sum(b < a for a, b in pairs)
    if not above and not below:
        return ""
    return f", above {first} in {above} and below in {below} of {len(values)}"


def _spread(numbers: list[float]) -> dict[str, float]:
    values = np.asarray(numbers, dtype=np.float64)
    return {
        # A mean of equal numbers may miss them by rounding.
        "mean": float(np.clip(values.mean(), values.min(), values.max())),
        "min": float(values.min()),
        "max": float(values.max()),
        "std": float(values.std()) if values.min() < values.max() else 0.0,
        "count": len(numbers),
    }


def _title(column: str) -> str:
    """Shorten a column's name to fit a terminal of 80 columns."""
    words = {"parameters": "param.", "train": "train.", "accuracy": "acc."}
    return " ".join(words.get(word, word) for word in column.replace("val_", "val._").split("_"))


def _short(value: Any) -> str:
    """Format a cell in few characters."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value.is_integer() and abs(value) >= 10:
            return f"{value:,.0f}"
        digits = 3 if value == 0 or abs(value) >= 0.01 else 4
        return f"{value:.{digits}f}" if value == 0 or abs(value) >= 0.0001 else f"{value:.1e}"
    return str(value)


def _mean_and_range(values: list[Any], ranged: bool) -> str:
    """Write a cell of several runs; words that are not the same in all of them vary."""
    numbers = [value for value in values if _is_number(value)]
    if not numbers and any(value != values[0] for value in values):
        return "varies"
    if not numbers or (len(numbers) == len(values) and min(numbers) == max(numbers)):
        return _short(values[0])
    text = _short_mean(numbers)
    if ranged and min(numbers) < max(numbers):
        text += f" ({_short(min(numbers))} to {_short(max(numbers))})"
    return text + (f" in {len(numbers)} of {len(values)}" if len(numbers) < len(values) else "")


def _short_mean(numbers: list[Any]) -> str:
    mean = _spread(numbers)["mean"]
    return f"{mean:,.1f}" if all(isinstance(number, int) for number in numbers) else _short(mean)


def _plain(value: Any) -> Any:
    """Convert arrays, histories, tuples and NumPy's numbers to JSON data."""
    if isinstance(value, History):
        # Without the seconds: a study's result is the same on every machine.
        rows = [{name: cell for name, cell in row.items() if name != "seconds"} for row in value]
        return {"stopped": value.stopped, "rows": _plain(rows)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
