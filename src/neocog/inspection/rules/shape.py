"""Layers that move numbers: reshape, transpose, pad, concatenate."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.inspection.rules.base import Factor, Index, Rule, Term, dy_at, product, x_at
from neocog.inspection.trace import LayerRecord


class ReshapeRule(Rule):
    """Any layer that keeps the order of its numbers."""

    def __init__(self, formula: str, gradient: str) -> None:
        self.formula = formula
        self.gradients = {"x": gradient}

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        return [product(x_at(record, _same_place(index, record.y.shape, record.x.shape)))]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        return [product(dy_at(record, _same_place(index, record.x.shape, record.y.shape)))]


def _same_place(index: Index, shape: Index, other: Index) -> Index:
    """Where the number at ``index`` of one shape stands in another."""
    return tuple(map(int, np.unravel_index(np.ravel_multi_index(index, shape), other)))


class TransposeRule(Rule):
    """Axes in another order."""

    formula = "y = x, axis k of y being axis axes[k] of x"
    gradients = {"x": "dx = dy, the axes back in their order"}

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        axes = record.layer.axes  # type: ignore[attr-defined]
        return [product(x_at(record, tuple(index[axes.index(axis)] for axis in range(len(axes)))))]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        axes = record.layer.axes  # type: ignore[attr-defined]
        return [product(dy_at(record, tuple(index[axis] for axis in axes)))]


class Pad2DRule(Rule):
    """A border of constants or of copies."""

    formula = "y[n,c,i+top,j+left] = x[n,c,i,j], a constant or copies of pixels around it"
    gradients = {"x": "dx[n,c,u,v] = sum of dy over the places that the pixel was copied to"}

    @staticmethod
    def _source(record: LayerRecord, i: int, j: int) -> tuple[int, int] | None:
        """Pixel that the place (i, j) was copied from; None for a constant."""
        layer: Any = record.layer
        (top, _), (left, _) = layer.padding
        pixel = []
        for k, size in zip((i - top, j - left), record.x.shape[2:], strict=True):
            if not 0 <= k < size:
                if layer.mode == "constant":
                    return None
                edge = 0 if k < 0 else size - 1
                k = {"reflect": 2 * edge - k, "replicate": edge, "circular": k % size}[layer.mode]
            pixel.append(k)
        return pixel[0], pixel[1]

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        n, c, i, j = index
        pixel = self._source(record, i, j)
        if pixel is None:
            layer: Any = record.layer
            return [product(Factor("value", layer.value), note="padding")]
        return [product(x_at(record, (n, c, *pixel)))]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        n, c, u, v = index
        return [
            product(dy_at(record, (n, c, i, j)))
            for i, j in np.ndindex(*record.y.shape[2:])
            if self._source(record, i, j) == (u, v)
        ]


class PadChannelsRule(Rule):
    """Zeros after the channels."""

    formula = "y[n,c,i,j] = x[n,c,i,j], zeros in the channels after"
    gradients = {"x": "dx[n,c,i,j] = dy[n,c,i,j]"}

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        return [product(x_at(record, index))] if index[1] < record.x.shape[1] else []

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        return [product(dy_at(record, index))]


class ConcatRule(Rule):
    """Inputs side by side."""

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
