"""Hold what a check of gradients has found, array by array, and print it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from neocog.representation import markup, printable, show

if TYPE_CHECKING:
    from rich.console import Group

Index: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class ArrayCheck:
    """The result for one array: its worst entry, and the likely reason if it is wrong.

    ``relative_error`` is ``|analytic - numeric|`` of that entry over the array's largest gradient. ``kinks``
    counts the entries that were measured at a kink, ``checked`` all others.
    """

    name: str
    checked: int
    kinks: int
    relative_error: float
    index: Index
    analytic: float
    numeric: float
    passed: bool
    reason: str


@dataclass(frozen=True)
class GradientReport:
    """The result of :func:`check_gradients`, array by array.

    Attributes
    ----------
    method : str
    tolerance : float
    loss : float
    arrays : list of ArrayCheck
        One a parameter, and "input".
    """

    method: str
    tolerance: float
    loss: float
    arrays: list[ArrayCheck]

    @property
    def passed(self) -> bool:
        """True if every array passed."""
        return all(array.passed for array in self.arrays)

    @property
    def max_relative_error(self) -> float:
        """The largest relative error of any array; NaN if one is not a number."""
        return float(np.max([array.relative_error for array in self.arrays]))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return asdict(self) | {"passed": self.passed, "max_relative_error": self.max_relative_error}

    def print(self) -> None:
        """Print the table."""
        show(self)

    def __rich__(self) -> Group:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        verdict = "[green]passed[/]" if self.passed else "[red]FAILED[/]"
        title = f"gradients by {self.method} {verdict}: worst {self.max_relative_error:.1e}, "
        table = Table(title=f"{title}allowed {self.tolerance:.0e}", title_justify="left")
        table.add_column("array", no_wrap=True)
        for column in ("checked", "kinks", "error", "worst entry", "backward", "measured"):
            table.add_column(column, justify="right")
        wrong = []
        for a in self.arrays:
            row = [markup(a.name), str(a.checked), str(a.kinks or ""), f"{a.relative_error:.1e}"]
            row += [",".join(map(str, a.index)), f"{a.analytic:.5g}", f"{a.numeric:.5g}"]
            table.add_row(*row, style=None if a.passed else "red")
            if not a.passed:
                place = f"{printable(a.name)}[{','.join(map(str, a.index))}]"
                values = f"backward {a.analytic:.15g}, measured {a.numeric:.15g}"
                wrong.append(Text(f"{place}: {values}\n  {printable(a.reason, lines=True)}", style="red"))
        return Group(table, *wrong)
