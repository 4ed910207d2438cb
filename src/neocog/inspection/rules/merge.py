"""Sums of arrays of different shapes, and the bias."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neocog.inspection.rules.base import Index, Rule, Term, dy_at, parameter_at, product, x_at
from neocog.inspection.trace import LayerRecord


def _read(index: Index, shape: Index) -> Index:
    """Entry of an array of ``shape`` that is added to the output at ``index``."""
    own = index[len(index) - len(shape) :]
    return tuple(0 if size == 1 else k for k, size in zip(own, shape, strict=True))


def _readers(record: LayerRecord, index: Index, shape: Index) -> Iterator[Index]:
    """Yield the outputs to which the entry at ``index`` is added."""
    for place in np.ndindex(*record.y.shape):
        if _read(place, shape) == index:
            yield place


class AddRule(Rule):
    """A sum of inputs."""

    formula = "y = x_1 + x_2 + ..."
    gradients = {"x": "dx_k = dy, summed where x_k is repeated"}

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        return [product(x_at(record, _read(index, part.shape), slot)) for slot, part in enumerate(record.x)]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        shape = record.x[slot].shape
        if shape == record.y.shape:
            return [product(dy_at(record, index))]
        return [product(dy_at(record, place)) for place in _readers(record, index, shape)]


class BiasRule(Rule):
    """Learned numbers added."""

    formula = "y = x + b"
    gradients = {"x": "dx = dy", "bias": "db = sum of dy over the places where b was added"}

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        bias = parameter_at(record, "bias", _read(index, record.layer.params["bias"].shape))
        return [product(x_at(record, index)), product(bias, note="bias")]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        return [product(dy_at(record, index))]

    def parameter_gradient(self, record: LayerRecord, key: str, index: Index) -> list[Term]:
        return [
            product(dy_at(record, place)) for place in _readers(record, index, record.layer.params[key].shape)
        ]
