"""Explain padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.inspection.rules.base import Factor, Index, Rule, Term, dy_at, product, x_at
from neocog.inspection.trace import LayerRecord
from neocog.layers import Pad2D, PadChannels


class Pad2DRule(Rule, of=Pad2D):
    """The term of padding: a constant or the pixel copied."""

    formula = "y[n,c,i+top,j+left] = x[n,c,i,j], a constant or copies of pixels around it"
    gradients = {"x": "dx[n,c,u,v] = sum of dy over the places that the pixel was copied to"}

    @staticmethod
    def _source(record: LayerRecord, i: int, j: int) -> tuple[int, int] | None:
        """Return the pixel that was copied to (i, j); None for a constant."""
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


class PadChannelsRule(Rule, of=PadChannels):
    """The term of padding by channels of zeros."""

    formula = "y[n,c,i,j] = x[n,c,i,j], zeros in the channels after"
    gradients = {"x": "dx[n,c,i,j] = dy[n,c,i,j]"}

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        return [product(x_at(record, index))] if index[1] < record.x.shape[1] else []

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        return [product(dy_at(record, index))]
