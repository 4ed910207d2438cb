"""Explain layers of several inputs: sums and concatenation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neocog.inspection.rules.base import Index, Rule, Term, dy_at, product, x_at
from neocog.inspection.trace import LayerRecord
from neocog.layers import Add, Concat


def repeated_from(index: Index, shape: Index) -> Index:
    """Return the index of the entry of an array of ``shape`` that is added to the output at ``index``."""
    own = index[len(index) - len(shape) :]
    return tuple(0 if size == 1 else k for k, size in zip(own, shape, strict=True))


def places_of(record: LayerRecord, index: Index, shape: Index) -> Iterator[Index]:
    """Yield the outputs to which the entry at ``index`` is added."""
    for place in np.ndindex(*record.y.shape):
        if repeated_from(place, shape) == index:
            yield place


class AddRule(Rule, of=Add):
    """Terms of a sum of inputs."""

    formula = "y = x_1 + x_2 + ..."
    gradients = {"x": "dx_k = dy, summed where x_k is repeated"}

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        return [
            product(x_at(record, repeated_from(index, part.shape), slot))
            for slot, part in enumerate(record.x)
        ]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        shape = record.x[slot].shape
        if shape == record.y.shape:
            return [product(dy_at(record, index))]
        return [product(dy_at(record, place)) for place in places_of(record, index, shape)]


class ConcatRule(Rule, of=Concat):
    """The term of a concatenation: the entry copied."""

    formula = "y = [x_1, x_2, ...]"
    gradients = {"x": "dx_k = its part of dy"}

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        axis = record.layer.axis  # type: ignore[attr-defined]
        place, slot = index[axis], 0
        while place >= record.x[slot].shape[axis]:
            place -= record.x[slot].shape[axis]
            slot += 1
        return [product(x_at(record, (*index[:axis], place, *index[axis + 1 :]), slot))]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        axis = record.layer.axis  # type: ignore[attr-defined]
        before = sum(part.shape[axis] for part in record.x[:slot])
        return [product(dy_at(record, (*index[:axis], index[axis] + before, *index[axis + 1 :])))]
