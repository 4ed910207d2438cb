"""Define the base class of rules, and the numbers that terms are made of."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from neocog.inspection.trace import LayerRecord
from neocog.layers import Elementwise, Layer
from neocog.layers.base import computes_as

Index: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Factor:
    """A number in a term, and its position.

    ``kind`` is "x" (an entry of the layer's input, number ``slot``), "dy" (of the gradient at its output), a
    parameter's name, or "" for a constant of the formula.
    """

    symbol: str
    value: float
    kind: str = ""
    index: Index = ()
    slot: int = 0


@dataclass(frozen=True)
class Term:
    """A product of factors, and its contribution to the sum."""

    factors: tuple[Factor, ...]
    value: float
    note: str = ""


class Rule:
    """List the terms that the outputs and gradients of a layer are sums of.

    A subclass names its layers, ``class MyRule(Rule, of=MyLayer)`` or ``of=(MyLayer, MyOther)``, and is
    registered by that. It states the formulas and three methods; one that no layer of its kind needs (the
    gradient of a parameter where there is none) may be left out. A rule is written from the layer's formula
    and calls none of the layer's code, so that terms that add up prove the layer right.

    A rule holds for those subclasses of its layers, too, whose ``forward`` computes the same.

    Attributes
    ----------
    formula : str
        Of the output.
    gradients : mapping of str to str
        Formulas of the gradients in "x" and in each parameter.
    registered : dict of type to Rule
        The rules by the class of their layer.

    Examples
    --------
    >>> import numpy as np
    >>> from neocog import Sequential
    >>> from neocog.inspection import explain
    >>> class Double(Layer):
    ...     def forward(self, x, training=False):
    ...         return 2 * x, None
    ...     def backward(self, dy, cache, input_grad=True):
    ...         return 2 * dy, {}
    >>> class DoubleRule(Rule, of=Double):
    ...     formula = "y = 2 x"
    ...     gradients = {"x": "dx = 2 dy"}
    ...     def forward(self, record, index):
    ...         return [product(Factor("2", 2.0), x_at(record, index))]
    ...     def input_gradient(self, record, index, slot):
    ...         return [product(Factor("2", 2.0), dy_at(record, index))]
    >>> answer = explain(Sequential(double=Double()), np.array([[3.0]]), "double", (0, 0))
    >>> answer.formula, [[part.name for part in term.parts] for term in answer.terms]
    ('y = 2 x', [['2', 'input[0,0]']])
    """

    registered: ClassVar[dict[type[Layer], Rule]] = {}

    formula: str
    gradients: Mapping[str, str]

    def __init_subclass__(cls, of: type[Layer] | tuple[type[Layer], ...] = ()) -> None:
        super().__init_subclass__()
        for kind in of if isinstance(of, tuple) else (of,):
            Rule.registered[kind] = cls()

    def holds_for(self, layer: Layer, kind: type[Layer]) -> bool:
        """Return whether the rule, registered for ``kind``, describes a layer of a subclass."""
        return computes_as(type(layer), kind, {"backward"})

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        """Return the terms of ``y[index]``."""
        raise NotImplementedError

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        """Return the terms of ``dx[index]``, dx being the gradient in input number ``slot``."""
        raise NotImplementedError

    def parameter_gradient(self, record: LayerRecord, key: str, index: Index) -> list[Term]:
        """Return the terms of the gradient of parameter ``key`` at ``index``."""
        raise NotImplementedError

    def forward_formula(self, record: LayerRecord) -> str:
        """Return the formula of the output, which may depend on the layer."""
        return self.formula

    def gradient_formula(self, record: LayerRecord, key: str) -> str:
        """Return the formula of the gradient in "x" or in a parameter."""
        return self.gradients[key]


def rule_for(layer: Layer) -> Rule:
    """Return the rule that holds for a layer: of its class, or of the nearest base that it computes as."""
    return next(
        rule
        for kind in type(layer).__mro__
        if (rule := Rule.registered.get(kind)) is not None and rule.holds_for(layer, kind)
    )


def explained_by(layer_class: type[Layer]) -> str:
    """Return what explains a layer: "rule", its "function" with its slope, or its "Jacobian"."""
    for kind in layer_class.__mro__:
        if kind is Elementwise:
            return "function"
        if kind is not Layer and kind in Rule.registered and computes_as(layer_class, kind, {"backward"}):
            return "rule"
    return "Jacobian"


def formula_of(layer_class: type[Layer]) -> str:
    """Return the formula of a layer's output, as its rule or its docstring states it; "" if neither does."""
    rule = Rule.registered.get(layer_class)
    if explained_by(layer_class) == "rule" and hasattr(rule, "formula"):
        return Rule.registered[layer_class].formula
    stated = re.search(r"Forward: ``(.*?)``", inspect.cleandoc(layer_class.__doc__ or ""), re.DOTALL)
    return " ".join(stated[1].split()) if stated else ""


def x_at(record: LayerRecord, index: Index, slot: int = 0) -> Factor:
    """Return an entry of an input as a factor."""
    x = record.x[slot] if record.layer.several_inputs else record.x
    return Factor("x", float(x[index]), "x", index, slot)


def dy_at(record: LayerRecord, index: Index) -> Factor:
    """Return an entry of the gradient at the output as a factor."""
    assert record.dy is not None
    return Factor("dy", float(record.dy[index]), "dy", index)


def parameter_at(record: LayerRecord, key: str, index: Index) -> Factor:
    """Return an entry of a parameter as a factor."""
    return Factor(key[0], float(record.layer.params[key][index]), key, index)


def product(*factors: Factor, note: str = "") -> Term:
    """Multiply factors into a term."""
    value = 1.0
    for factor in factors:
        value *= factor.value
    return Term(factors, value, note)
