"""Present one number and the terms that add up to it, as data and as a table."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from neocog.inspection.rules import Index
from neocog.representation import markup, show
from neocog.validation import one_of

if TYPE_CHECKING:
    from rich.table import Table

# How many roundings of its terms a sum may differ from the layer's result, computed in another order or by a
# fast algorithm; a wrong rule differs by more. Where digits cancel inside a factor (``1 - p`` of a softmax),
# some roundings of the numbers that it is computed from are added.
TERM_ROUNDINGS = 1000
FACTOR_ROUNDINGS = 10
ANSWERS = ("softmax", "sigmoid")
"""What the probabilities are called."""


@dataclass(frozen=True)
class Number:
    """The position of a number: an entry of an activation, of a parameter, or of a gradient.

    ``at`` is "input", a layer's dotted name (its output), a parameter's dotted name, "softmax" or
    "sigmoid" (the probabilities) or "loss". ``name`` is that of the class that an output belongs to.
    """

    of: str
    at: str
    index: Index
    name: str = field(default="", compare=False)

    def __str__(self) -> str:
        place = f"{self.at}[{','.join(map(str, self.index))}]" if self.index else self.at
        place += f" ({self.name})" if self.name else ""
        return f"d loss / d {place}" if self.of == "gradient" else place


@dataclass(frozen=True)
class Part:
    """A factor of a term: its value and, unless it is a constant, its position in the network."""

    symbol: str
    value: float
    number: Number | None

    @property
    def name(self) -> str:
        """The position of the number; with the symbol, if the factor is computed from it."""
        if self.number is None or self.symbol.startswith("-"):
            return self.symbol
        computed = self.symbol in ("loss", "x_hat") or (self.symbol == "p" and self.number.at not in ANSWERS)
        return f"{self.symbol}({self.number})" if computed else str(self.number)


@dataclass(frozen=True)
class Contribution:
    """One term of an :class:`Explanation`: its factors and its value, mostly their product."""

    parts: tuple[Part, ...]
    value: float
    note: str


class Explanation:
    """The terms that add up to one number of a network.

    Attributes
    ----------
    number : Number
    value : float
        What the network computed.
    layer : str
        The layer that computed it, as its repr; empty for an input or a parameter.
    formula : str
    terms : list of Contribution
        The largest first; their values add up to ``value``.
    total : float
    adds_up : bool
    """

    def __init__(
        self,
        explain: Callable[[Number], Explanation],
        number: Number,
        value: float,
        layer: str,
        formula: str,
        terms: list[Contribution],
        dtype: np.dtype[Any],
    ) -> None:
        self._explain, self._dtype = explain, dtype
        self.number, self.value, self.layer, self.formula = number, value, layer, formula
        self.terms = sorted(terms, key=lambda term: -abs(term.value))

    @property
    def total(self) -> float:
        """The sum of the terms."""
        return float(sum(term.value for term in self.terms))

    @property
    def adds_up(self) -> bool:
        """Whether the terms add up to the number, up to rounding.

        The difference may be 1000 roundings of the sum of the terms' magnitudes, and 10 of the largest
        product of the numbers in a term; a rounding is the machine epsilon of the network's dtype. An input
        or a parameter has no terms to add.
        """
        if not self.layer or self.value == self.total or (math.isnan(self.value) and math.isnan(self.total)):
            return True
        terms = sum(abs(term.value) for term in self.terms)
        products = (
            math.prod(abs(p.value) if p.number else max(abs(p.value), 1) for p in term.parts)
            for term in self.terms
        )
        roundings = TERM_ROUNDINGS * terms + FACTOR_ROUNDINGS * max(products, default=0.0)
        limits = np.finfo(self._dtype)  # below tiny, numbers have fewer digits
        return bool(abs(self.total - self.value) <= limits.eps * roundings + limits.tiny)

    @property
    def contradiction(self) -> str:
        """A message if the terms do not add up; empty if they do."""
        if self.adds_up:
            return ""
        return (
            f"the terms add up to {self.total:.9g}, the number is {self.value:.9g}: the rule for "
            f"{self.layer} contradicts what it computes"
        )

    def explain(self, k: int = 0, part: str | None = None) -> Explanation:
        """Explain a factor of the k-th term.

        Parameters
        ----------
        k : int
            0 is the largest term.
        part : str, optional
            Symbol of the factor to explain, such as "x", "w" or "dy"; default the first that is no constant.

        Raises
        ------
        IndexError
            If there is no such term.
        ValueError
            If the term has no such factor, or only constants.
        """
        if not -len(self.terms) <= k < len(self.terms):
            raise IndexError(f"k must be in 0..{len(self.terms) - 1}, got {k}.")
        leads = {p.symbol: p.number for p in self.terms[k].parts if p.number is not None}
        if not leads:
            raise ValueError(f"term {k} of {self.number} is a constant, which has no explanation.")
        symbol = next(iter(leads)) if part is None else one_of("part", part, leads)
        return self._explain(leads[symbol])

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        terms = []
        for term in self.terms:
            parts = [
                {
                    "symbol": p.symbol,
                    "value": p.value,
                    "of": p.number.of if p.number else None,
                    "at": p.number.at if p.number else None,
                    "index": list(p.number.index) if p.number else None,
                    **({"class": p.number.name} if p.number and p.number.name else {}),
                }
                for p in term.parts
            ]
            terms.append({"value": term.value, "parts": parts, "note": term.note})
        return {
            "of": self.number.of,
            "at": self.number.at,
            "index": list(self.number.index),
            **({"class": self.number.name} if self.number.name else {}),
            "value": self.value,
            "total": self.total,
            "adds_up": self.adds_up,
            "layer": self.layer,
            "formula": self.formula,
            "terms": terms,
        }

    def table(self, top: int = 12) -> Table:
        """Return the ``top`` largest terms as a Rich table; the rest in one row."""
        from rich.table import Table

        title = f"{markup(self.number)} = {self.value:.6g}"
        if self.layer:
            title += f"   {markup(self.layer)}\n{markup(self.formula, lines=True)}"
        table = Table(title=title, title_justify="left", show_footer=True, caption_justify="left")
        if not self.adds_up:
            table.caption = f"[red]{markup(self.contradiction)}[/]"
        table.add_column("#", justify="right")
        table.add_column("term", "sum", overflow="fold")
        table.add_column("numbers", overflow="fold")
        table.add_column("contributes", f"{self.total:.6g}", justify="right", no_wrap=True)
        for k, term in enumerate(self.terms[:top]):
            names = " x ".join(p.name for p in term.parts)
            numbers = " x ".join(f"{p.value:.4g}" for p in term.parts)
            note = f"  ({term.note})" if term.note else ""
            table.add_row(str(k), markup(names), numbers + markup(note), f"{term.value:.6g}")
        rest = self.terms[top:]
        if rest:
            table.add_row("", f"{len(rest)} smaller terms", "", f"{sum(t.value for t in rest):.6g}")
        return table

    def print(self, top: int = 12) -> None:
        """Print the largest terms."""
        show(self.table(top))

    def __rich__(self) -> Table:
        return self.table()

    def __repr__(self) -> str:
        contradiction = f"; {self.contradiction}" if not self.adds_up else ""
        return f"Explanation({self.number} = {self.value:.6g}, {len(self.terms)} terms{contradiction})"
