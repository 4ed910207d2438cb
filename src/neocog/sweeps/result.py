"""Rank the settings of a sweep by their mean over the seeds, and show them."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neocog.representation import markup, show
from neocog.settings import shown, train_command
from neocog.sweeps.grid import named
from neocog.sweeps.worker import Failure, PointRow

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Candidate:
    """Summarise one setting of the grid over its seeds, measured after the last epoch.

    Attributes
    ----------
    values : dict
        The values of the grid.
    seeds : int
        How many were trained.
    diverged : int
        How many of them ended with a loss that is not finite; the numbers below are of the others.
    val_accuracy, val_accuracy_std, val_loss, train_accuracy, seconds : float
        Means; the standard deviation divides by the number of seeds. NaN if all diverged.
    parameters : int
    """

    values: dict[str, Any]
    seeds: int
    diverged: int
    val_accuracy: float
    val_accuracy_std: float
    val_loss: float
    train_accuracy: float
    seconds: float
    parameters: int

    @classmethod
    def of(cls, rows: Sequence[PointRow], keys: Sequence[str]) -> Candidate:
        """Average the rows of one setting."""
        trained = [row for row in rows if not row["error"]]

        def mean(name: str) -> float:
            return float(np.mean([row[name] for row in trained])) if trained else math.nan

        return cls(
            values={key: rows[0][key] for key in keys},
            seeds=len(rows),
            diverged=len(rows) - len(trained),
            val_accuracy=mean("val_accuracy"),
            val_accuracy_std=float(np.std([r["val_accuracy"] for r in trained])) if trained else math.nan,
            val_loss=mean("val_loss"),
            train_accuracy=mean("train_accuracy"),
            seconds=mean("seconds"),
            parameters=rows[0]["parameters"],
        )

    @property
    def score(self) -> float:
        """The accuracy that ranks; rounded, as the order in which seeds are added must not decide."""
        return round(self.val_accuracy, 12)

    def __str__(self) -> str:
        name = named(self.values) or "the one setting"
        spread = f" ± {self.val_accuracy_std:.3f}" if self.seeds - self.diverged > 1 else ""
        return f"{name}: validation accuracy {self.val_accuracy:.3f}{spread}"


@dataclass(frozen=True, repr=False)
class Sweep:
    """Hold the results of a sweep, finished or not.

    Attributes
    ----------
    header : dict
        ``source``, ``grid``, ``seeds``, ``validation_fraction``, ``data`` (a fingerprint), ``images`` (how
        many to train on and to choose by), ``versions``.
    rows : list of dict
        One a point: ``point``; the settings of its run, the seed among them; ``epoch``, ``parameters``,
        ``train_loss``, ``train_accuracy``, ``val_loss``, ``val_accuracy``, all after the last epoch;
        ``best_val_accuracy`` and ``best_epoch``; ``seconds``, ``worker`` (host and process); ``stopped`` and
        ``error`` of a point that diverged, whose numbers are None.
    failures : list of Failure
        Points that could not be trained; they are not in the file and will be tried again.
    stopped : str
        "interrupted", or another reason why it ended early; else empty.
    path : Path or None
        The file.
    """

    header: dict[str, Any]
    rows: list[PointRow]
    failures: list[Failure]
    stopped: str = ""
    path: Path | None = None

    @property
    def source(self) -> str:
        """The source of the images."""
        return str(self.header["source"])

    @property
    def keys(self) -> list[str]:
        """The settings that the grid names."""
        return list(self.header["grid"])

    @property
    def total(self) -> int:
        """Number of points, those not yet done included."""
        return len(self.header["seeds"]) * math.prod(map(len, self.header["grid"].values()))

    @property
    def candidates(self) -> list[Candidate]:
        """The settings of the grid, the best first.

        Ranked by the mean validation accuracy over the seeds; of equal ones, first the lower mean validation
        loss, then the fewer parameters, then the order of the grid. Settings of which seeds diverged, or are
        missing, come after the others.
        """
        return [candidate for candidate, _ in self._ranked()]

    def _ranked(self) -> list[tuple[Candidate, list[PointRow]]]:
        seeds = len(self.header["seeds"])
        groups: dict[int, list[PointRow]] = {}
        for row in self.rows:
            groups.setdefault(row["point"] // seeds, []).append(row)
        found = [(Candidate.of(rows, self.keys), rows) for _, rows in sorted(groups.items())]

        def order(group: tuple[Candidate, list[PointRow]]) -> tuple[bool, float, float, int]:
            candidate, _ = group
            if candidate.diverged == candidate.seeds:
                return True, math.inf, math.inf, 0
            partial = candidate.diverged > 0 or candidate.seeds < seeds
            return partial, -candidate.score, candidate.val_loss, candidate.parameters

        return sorted(found, key=order)

    @property
    def best(self) -> Candidate | None:
        """The best setting; None if nothing was trained, or all diverged."""
        first = next(iter(self.candidates), None)
        return None if first is None or first.diverged == first.seeds else first

    @property
    def tied(self) -> list[Candidate]:
        """The settings whose accuracy is as high as that of the best, which is the first; alone, none."""
        best = self.best
        if best is None:
            return []
        whole = [c for c in self.candidates if (c.seeds, c.diverged) == (best.seeds, best.diverged)]
        found = [c for c in whole if c.score == best.score]
        return found if len(found) > 1 else []

    @property
    def choice(self) -> str:
        """How the best was chosen of several that are as accurate, in a sentence; empty if there is one."""
        if not self.tied:
            return ""
        best, second = self.tied[:2]
        rule = "first in the grid"
        if best.parameters != second.parameters:
            rule = "of fewer parameters"
        if best.val_loss != second.val_loss:
            rule = "of the lower validation loss"
        return (
            f"{len(self.tied)} settings are equally accurate, {best.val_accuracy:.4f}; of these the one "
            f"{rule} comes first."
        )

    @property
    def train_command(self) -> str:
        """The command that trains the best setting on all training images; empty if there is none."""
        return "" if self.best is None else train_command(self.source, self.best.values)

    def table(self, most: int = 20) -> Table:
        """Return the best settings as a Rich table."""
        from rich.table import Table

        candidates, seeds = self.candidates, len(self.header["seeds"])
        images = self.header["images"]
        same = {key: values[0] for key, values in self.header["grid"].items() if len(values) == 1}
        title = f"{len(self.rows)} of {self.total} points of {self.source}" + f"; {named(same)}" * bool(same)
        caption = f"{images['training']} images to train on, {images['validation']} to choose by"
        caption += f"\n{self.choice}" * bool(self.choice)
        table = Table(title=markup(title), caption=caption, title_justify="left", caption_justify="left")
        varied = [key for key in self.keys if key not in same]
        for key in varied:  # on a narrow terminal the names are folded, so that no measured number is cut
            width = max(len(shown(value)) for value in self.header["grid"][key])
            table.add_column(key, justify="right", overflow="fold", min_width=width)
        for column in ("val accuracy", "val loss", "seconds", "seeds"):
            table.add_column(column, justify="right", no_wrap=True)
        for k, candidate in enumerate(candidates[:most]):
            accuracy = f"{candidate.val_accuracy:.4f}"
            if candidate.seeds - candidate.diverged > 1:
                accuracy += f" ± {candidate.val_accuracy_std:.4f}"
            counted = f"{candidate.seeds}" + (f"/{seeds}" if candidate.seeds < seeds else "")
            loss = candidate.val_loss
            numbers = (accuracy, f"{loss:.4f}" if loss < 1e4 else f"{loss:.3g}")
            if candidate.diverged == candidate.seeds:
                numbers = ("diverged", "")
            elif candidate.diverged:
                counted += f", {candidate.diverged} diverged"
            seconds = "" if math.isnan(candidate.seconds) else f"{candidate.seconds:.3g}"
            cells = (*(markup(shown(candidate.values[key])) for key in varied), *numbers, seconds, counted)
            table.add_row(*cells, style="bold" if k == 0 and self.best else "")
        if len(candidates) > most:
            table.caption = f"... and {len(candidates) - most} more settings; {caption}"
        return table

    def figure(self) -> Any:
        """Draw the points as parallel coordinates, and the spread over seeds: a Plotly figure.

        Raises
        ------
        ValueError
            If no point has been trained yet.
        """
        from neocog.figures import sweep

        rows = [row for _, group in self._ranked() for row in group]
        return sweep(rows, self.keys, f"Sweep of {html.escape(self.source, quote=False)}")

    def print(self) -> None:
        """Print the table."""
        show(self.table(), highlight=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON but for NaN."""
        best = self.best
        return {
            **self.header,
            "file": None if self.path is None else str(self.path),
            "points": self.total,
            "done": len(self.rows),
            "stopped": self.stopped,
            "best": None if best is None else asdict(best),
            "tied": [asdict(candidate) for candidate in self.tied],
            "choice": self.choice,
            "train": self.train_command,
            "candidates": [asdict(candidate) for candidate in self.candidates],
            "failures": [asdict(failure) for failure in self.failures],
            "rows": self.rows,
        }

    def to_dataframe(self) -> Any:
        """Return the rows as a pandas DataFrame; ImportError if pandas is not installed."""
        try:
            import pandas as pd
        except ImportError:
            raise ImportError("Sweep.to_dataframe needs pandas: pip install pandas.") from None
        return pd.DataFrame(self.rows)

    def __repr__(self) -> str:
        best = "" if self.best is None else f", best {self.best}"
        stopped = f", {self.stopped}" if self.stopped else ""
        return f"Sweep({self.source}, {len(self.rows)} of {self.total} points{best}{stopped})"
