"""Explain layers that reshape or transpose and compute nothing."""

from __future__ import annotations

import numpy as np

from neocog.inspection.rules.base import Index, Rule, Term, dy_at, product, x_at
from neocog.inspection.trace import LayerRecord
from neocog.layers import Flatten, Reshape, Transpose


class ReshapeRule(Rule, of=Reshape):
    """The term of a reshape: the entry at the same position in C order."""

    formula = "y[k] = x[k], counted row by row"
    gradients = {"x": "dx[k] = dy[k], counted row by row"}

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        return [product(x_at(record, _same_place(index, record.y.shape, record.x.shape)))]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        return [product(dy_at(record, _same_place(index, record.x.shape, record.y.shape)))]


class FlattenRule(ReshapeRule, of=Flatten):
    """The term of flattening, with the formula for maps."""

    formula = "y[n, (c H + i) W + j] = x[n,c,i,j]"
    gradients = {"x": "dx[n,c,i,j] = dy[n, (c H + i) W + j]"}


def _same_place(index: Index, shape: Index, other: Index) -> Index:
    """Return the index in another shape of the number at ``index`` of one shape."""
    return tuple(map(int, np.unravel_index(np.ravel_multi_index(index, shape), other)))


class TransposeRule(Rule, of=Transpose):
    """The term of a transposition."""

    formula = "y = x, axis k of y being axis axes[k] of x"
    gradients = {"x": "dx = dy, the axes back in their order"}

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        axes = record.layer.axes  # type: ignore[attr-defined]
        return [product(x_at(record, tuple(index[axes.index(axis)] for axis in range(len(axes)))))]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        axes = record.layer.axes  # type: ignore[attr-defined]
        return [product(dy_at(record, tuple(index[axis] for axis in axes)))]
