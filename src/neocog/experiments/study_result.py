"""Hold the result of a study: a table, a sentence, the data behind them, and their spread over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neocog.experiments.study import Outcome, Row, Study, listed
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
    rows: list[Row]
    finding: str
    data: dict[str, Any]
    repetitions: list[list[Row]]
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

    @property
    def over_seeds(self) -> str:
        """How much the measure varies over the seeds, in a sentence; empty for one seed."""
        if self.seeds == 1:
            return ""
        measure, label = self.study.measure, self.columns[0]
        parts = [
            f"{row[label]} {_short(cell[measure]['mean'])} ({_short(cell[measure]['min'])} to "
            f"{_short(cell[measure]['max'])})"
            for row, cell in zip(self.rows, self.spread, strict=True)
            if measure in cell
        ]
        if not parts:
            return ""
        return f"Over {self.seeds} seeds, mean and range of {_title(measure)}: {listed(parts)}."

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
        if self.seeds > 1:
            plain["spread"] = self.spread
            plain["over_seeds"] = self.over_seeds
            plain["repetitions"] = self.repetitions
            plain["findings"] = self.findings
        if data:
            plain["data"] = self.data
        result: dict[str, Any] = _plain(plain)
        return result

    def print(self) -> None:
        """Print question, table, finding and explanation."""
        from rich.console import Console

        Console(highlight=False).print(self)

    def _varying_columns(self) -> list[str]:
        """Return the columns to print: if there are more than five, only those that differ between rows."""
        if len(self.columns) <= 5:
            return self.columns
        values = {c: {repr((row.get(c), cells.get(c))) for row, cells in self._rows()} for c in self.columns}
        return [c for c in self.columns if c == self.columns[0] or len(values[c]) > 1]

    def _rows(self) -> list[tuple[Row, Any]]:
        return list(zip(self.rows, self.spread, strict=True))

    def __repr__(self) -> str:
        return f"Result({self.name}: {self.finding})"

    def __rich__(self) -> Group:
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        title = f"{self.name}: {self.question}"
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        columns = self._varying_columns()
        for i, column in enumerate(columns):
            numeric = any(_is_number(row.get(column)) for row in self.rows)
            table.add_column(_title(column), justify="right" if i and numeric else "left")
        for row, cells in zip(self.rows, self.spread, strict=True):
            table.add_row(
                *(
                    Text(
                        _range(cells[c], self.seeds) if self.seeds > 1 and c in cells else _short(row.get(c))
                    )
                    for c in columns
                )
            )
        texts = [Text(self.finding, "bold")]
        if self.seeds > 1:
            texts[0] = Text(f"With the textbook's seeds: {self.finding}", "bold")
            texts.append(Text(self.over_seeds))
        whose = "The textbook's answer: " if self.seeds > 1 else ""
        texts.append(Text(f"{whose}{self.answer} {self.explanation}"))
        return Group(table, *(text for text in texts if text.plain))


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


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


def _range(cell: Mapping[str, float], seeds: int) -> str:
    count = f" in {cell['count']:.0f} of {seeds}" if cell["count"] < seeds else ""
    if cell["min"] == cell["max"]:
        return _short(cell["mean"]) + count
    return f"{_short(cell['mean'])} ({_short(cell['min'])} to {_short(cell['max'])}){count}"


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
