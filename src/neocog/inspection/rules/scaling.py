"""Explain products with learned and with fixed numbers."""

from __future__ import annotations

from neocog.inspection.rules.base import Factor, Index, Rule, Term, dy_at, parameter_at, product, x_at
from neocog.inspection.rules.merge import places_of, repeated_from
from neocog.inspection.trace import LayerRecord
from neocog.layers import Rescale, Scale


class ScaleRule(Rule, of=Scale):
    """The one term of a product with a learned number."""

    formula = "y = w x"
    gradients = {"x": "dx = w dy", "weight": "dw = sum of dy x over the places where w was a factor"}

    @staticmethod
    def _weight(record: LayerRecord, index: Index) -> Factor:
        shape = record.layer.params["weight"].shape
        return parameter_at(record, "weight", repeated_from(index, shape))

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        return [product(x_at(record, index), self._weight(record, index))]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        return [product(dy_at(record, index), self._weight(record, index))]

    def parameter_gradient(self, record: LayerRecord, key: str, index: Index) -> list[Term]:
        shape = record.layer.params[key].shape
        return [
            product(dy_at(record, place), x_at(record, place)) for place in places_of(record, index, shape)
        ]


class RescaleRule(Rule, of=Rescale):
    """Terms of the product with a fixed number, and of the number added."""

    formula = "y = a x + b"
    gradients = {"x": "dx = a dy"}

    @staticmethod
    def _numbers(record: LayerRecord, index: Index) -> list[Factor]:
        """Return a and b as factors."""
        values = [
            term if isinstance(term, float) else float(term[repeated_from(index, term.shape)])
            for term in record.layer.terms()  # type: ignore[attr-defined]
        ]
        return [Factor(symbol, value) for symbol, value in zip("ab", values, strict=True)]

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        scale, offset = self._numbers(record, index)
        terms = [product(x_at(record, index), scale)]
        return [*terms, product(offset, note="offset")] if offset.value else terms

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        return [product(dy_at(record, index), self._numbers(record, index)[0])]
