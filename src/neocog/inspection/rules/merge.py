"""Explain layers of several inputs: sums, products, extrema and concatenation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neocog.inspection.rules.base import Factor, Index, Rule, Term, dy_at, product, x_at
from neocog.inspection.trace import LayerRecord
from neocog.layers import Add, Concat, MatMul, Maximum, Minimum, Multiply


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


class MultiplyRule(Rule, of=Multiply):
    """The one term of a product: its factors are the inputs."""

    formula = "y = x_1 x_2 ..."
    gradients = {"x": "dx_k = dy times the other inputs, summed where x_k is repeated"}

    @staticmethod
    def _factors(record: LayerRecord, index: Index, without: int | None = None) -> list[Factor]:
        return [
            x_at(record, repeated_from(index, part.shape), slot)
            for slot, part in enumerate(record.x)
            if slot != without
        ]

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        return [product(*self._factors(record, index))]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        return [
            product(dy_at(record, place), *self._factors(record, place, without=slot))
            for place in places_of(record, index, record.x[slot].shape)
        ]


class MatMulRule(Rule, of=MatMul):
    """Terms of a product of matrices: one for each number that they share."""

    formula = "y[i,j] = sum of a[i,k] b[k,j]"
    gradients = {"x": "da = dy b^T, db = a^T dy, summed where one is repeated"}

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        *places, i, j = index
        a, b = (part.shape for part in record.x)
        return [
            product(
                x_at(record, (*repeated_from((*places,), a[:-2]), i, k), 0),
                x_at(record, (*repeated_from((*places,), b[:-2]), k, j), 1),
            )
            for k in range(a[-1])
        ]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        own, other = record.x[slot].shape, record.x[1 - slot].shape
        *_, rows, columns = record.y.shape
        terms = []
        for before in np.ndindex(*record.y.shape[:-2]):
            if repeated_from(before, own[:-2]) != index[:-2]:
                continue
            place = repeated_from(before, other[:-2])
            for m in range(rows if slot else columns):
                i, j = (m, index[-1]) if slot else (index[-2], m)
                factor = (*place, i, index[-2]) if slot else (*place, index[-1], j)
                terms.append(product(dy_at(record, (*before, i, j)), x_at(record, factor, 1 - slot)))
        return terms


class MaximumRule(Rule, of=Maximum):
    """The inputs, of which those that win count, with equal shares."""

    formula = "y = max(x_1, x_2, ...)"
    gradients = {"x": "dx_k = dy / n if x_k is y, n being how many are; summed where x_k is repeated"}

    @staticmethod
    def _inputs(record: LayerRecord, index: Index) -> tuple[list[Factor], list[bool]]:
        """Return the inputs of an output, and which of them win."""
        inputs = [x_at(record, repeated_from(index, part.shape), slot) for slot, part in enumerate(record.x)]
        best = (max if isinstance(record.layer, Maximum) else min)(x.value for x in inputs)
        return inputs, [x.value == best for x in inputs]

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        inputs, won = self._inputs(record, index)
        return [
            Term((x,), x.value / sum(won) if wins else 0.0, "winner" if wins else "loses")
            for x, wins in zip(inputs, won, strict=True)
        ]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        terms = []
        for place in places_of(record, index, record.x[slot].shape):
            _, won = self._inputs(record, place)
            if won[slot]:
                share = () if sum(won) == 1 else (Factor("1/n", 1 / sum(won)),)
                terms.append(product(dy_at(record, place), *share, note="won"))
        return terms


class MinimumRule(MaximumRule, of=Minimum):
    """The same, where the smallest wins."""

    formula = "y = min(x_1, x_2, ...)"


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
