"""Record training: one row per epoch."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from neocog.atomic import atomic_write
from neocog.model_file import blaming, damaged, digest
from neocog.representation import counted

COLUMNS = (
    "epoch",
    "running_loss",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "lr",
    "seconds",
)


class History:
    """Table of training measures, one row per epoch; the first is the untrained network's.

    Columns: ``epoch``; ``running_loss``, the mean of the batch losses during the epoch; ``train_loss``,
    ``train_accuracy``, ``val_loss``, ``val_accuracy``, measured after the epoch; ``lr``, the learning rate of
    its last step; ``seconds`` of its training steps. Missing values are NaN.

    Attributes
    ----------
    rows : list of dict
    stopped : str
        Why training ended early; empty if it did not.

    Examples
    --------
    >>> history = History()
    >>> history.append(epoch=0, train_loss=1.1, train_accuracy=0.3)
    >>> history["train_loss"]
    [1.1]
    """

    def __init__(self, rows: list[dict[str, float]] | None = None, stopped: str = "") -> None:
        self.rows: list[dict[str, float]] = [] if rows is None else rows
        self.stopped = stopped

    def append(self, **values: float) -> None:
        """Add a row; columns not given are NaN."""
        unknown = set(values) - set(COLUMNS)
        if unknown:
            raise ValueError(f"columns must be among {COLUMNS}, got {sorted(unknown)}.")
        self.rows.append({column: values.get(column, math.nan) for column in COLUMNS})

    def __getitem__(self, column: str) -> list[float]:
        if column not in COLUMNS:
            raise KeyError(f"no column {column!r}; the columns are {', '.join(COLUMNS)}.")
        return [row[column] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Mapping[str, float]]:
        return iter(self.rows)

    @property
    def last(self) -> dict[str, float]:
        """The last row."""
        return self.rows[-1]

    def _blank(self, value: Any) -> list[dict[str, Any]]:
        return [{k: v if math.isfinite(v) else value for k, v in row.items()} for row in self.rows]

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a CSV file; missing values are empty cells."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._blank(""))
        atomic_write(path, text.getvalue())

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file ``{"sha256": ..., "stopped": ..., "rows": [...]}``; missing values are null."""
        data = {"stopped": self.stopped, "rows": self._blank(None)}
        atomic_write(path, json.dumps({"sha256": digest(data), **data}, indent=1) + "\n")

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> History:
        """Read a file written by :meth:`to_json`; raise ModelFileError if it is another, or damaged."""
        with blaming(path, "history"):
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            found = data.pop("sha256", None)  # files of earlier versions have none
            if set(data) != {"stopped", "rows"}:
                raise ValueError(f"it has the entries {sorted(data)}")
            if found is not None and found != digest(data):
                raise damaged(path, "what it says")
            rows = [{name: _number(row[name]) for name in COLUMNS} for row in data["rows"]]
            return cls(rows, str(data["stopped"]))

    def to_dataframe(self) -> Any:
        """Return a pandas DataFrame; raise ImportError if pandas is not installed."""
        try:
            import pandas as pd
        except ImportError:
            raise ImportError("History.to_dataframe needs pandas: pip install pandas.") from None
        return pd.DataFrame(self.rows, columns=list(COLUMNS))

    def __repr__(self) -> str:
        if not self.rows:
            return "History(empty)"
        last = self.last
        shown = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
        numbers = ", ".join(f"{k}={last[k]:.4g}" for k in shown if not math.isnan(last[k]))
        stopped = f", stopped: {self.stopped}" if self.stopped else ""
        return f"History({counted(int(last['epoch']), 'epoch')}, {numbers}{stopped})"


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return value
