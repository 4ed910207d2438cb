"""What a rule is, and the numbers that terms are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from neocog.inspection.trace import LayerRecord

Index: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Factor:
    """A number in a term, and where it stands.

    ``kind`` is "x" (an entry of the layer's input, number ``slot``), "dy" (of the gradient at its output), a
    parameter's name, or "" for a constant of the formula, which leads nowhere.
    """

    symbol: str
    value: float
    kind: str = ""
    index: Index = ()
    slot: int = 0


@dataclass(frozen=True)
class Term:
    """A product of factors, and what it contributes to the sum."""

    factors: tuple[Factor, ...]
    value: float
    note: str = ""


class Rule:
    """Terms of one kind of layer; the defaults suit a layer without parameters."""

    formula: str
    gradients: Mapping[str, str]
    """Formulas of the gradients in "x" and in each parameter."""

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        """Terms of ``y[index]``."""
        raise NotImplementedError

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        """Terms of ``dx[index]``, dx being the gradient in input number ``slot``."""
        raise NotImplementedError

    def parameter_gradient(self, record: LayerRecord, key: str, index: Index) -> list[Term]:
        """Terms of the gradient of parameter ``key`` at ``index``."""
        raise NotImplementedError


def x_at(record: LayerRecord, index: Index, slot: int = 0) -> Factor:
    """Take an entry of an input."""
    x = record.x[slot] if record.layer.several_inputs else record.x
    return Factor("x", float(x[index]), "x", index, slot)


def dy_at(record: LayerRecord, index: Index) -> Factor:
    """Take an entry of the gradient at the output."""
    assert record.dy is not None
    return Factor("dy", float(record.dy[index]), "dy", index)


def parameter_at(record: LayerRecord, key: str, index: Index) -> Factor:
    """Take an entry of a parameter."""
    return Factor(key[0], float(record.layer.params[key][index]), key, index)


def product(*factors: Factor, note: str = "") -> Term:
    """Multiply factors into a term."""
    value = 1.0
    for factor in factors:
        value *= factor.value
    return Term(factors, value, note)
