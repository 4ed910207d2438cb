"""Explain learned biases."""

from __future__ import annotations

from neocog.inspection.rules.base import Index, Rule, Term, dy_at, parameter_at, product, x_at
from neocog.inspection.rules.merge import places_of, repeated_from
from neocog.inspection.trace import LayerRecord
from neocog.layers import Bias


class BiasRule(Rule, of=Bias):
    """Terms of the addition of a learned array."""

    formula = "y = x + b"
    gradients = {"x": "dx = dy", "bias": "db = sum of dy over the places where b was added"}

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        bias = parameter_at(record, "bias", repeated_from(index, record.layer.params["bias"].shape))
        return [product(x_at(record, index)), product(bias, note="bias")]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        return [product(dy_at(record, index))]

    def parameter_gradient(self, record: LayerRecord, key: str, index: Index) -> list[Term]:
        shape = record.layer.params[key].shape
        return [product(dy_at(record, place)) for place in places_of(record, index, shape)]
