"""Explain upsampling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neocog.inspection.rules.base import Factor, Index, Rule, Term, dy_at, product, x_at
from neocog.inspection.trace import LayerRecord
from neocog.layers import Upsample


class UpsampleRule(Rule, of=Upsample):
    """Terms of upsampling: the pixels around a place, in their shares."""

    formula = (
        "y[n,c,i,j] = sum over u,v of A[i,u] B[j,v] x[n,c,u,v], the shares of the pixels around the place"
    )
    gradients = {"x": "dx[n,c,u,v] = sum over i,j of A[i,u] B[j,v] dy[n,c,i,j]"}

    @staticmethod
    def _share(record: LayerRecord, axis: int, i: int, u: int) -> float:
        """Return the share of pixel u in output i along an axis."""
        layer: Any = record.layer
        size, out = record.x.shape[axis], record.y.shape[axis]
        step = size / out if layer.scale is None else 1 / layer.scale[axis - 2]
        if layer.mode == "nearest":
            place = i * size // out if layer.scale is None else math.floor(i / layer.scale[axis - 2])
            return float(min(place, size - 1) == u)
        place = (i + 0.5) * step - 0.5
        if layer.align_corners:
            place = i * (size - 1) / max(out - 1, 1)
        return max(0.0, 1.0 - abs(float(min(max(place, 0.0), size - 1)) - u))

    def _factor(self, record: LayerRecord, i: int, j: int, u: int, v: int) -> Factor:
        return Factor("share", self._share(record, 2, i, u) * self._share(record, 3, j, v))

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        n, c, i, j = index
        shares = ((u, v, self._factor(record, i, j, u, v)) for u, v in np.ndindex(*record.x.shape[2:]))
        return [product(x_at(record, (n, c, u, v)), share) for u, v, share in shares if share.value]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        n, c, u, v = index
        shares = ((i, j, self._factor(record, i, j, u, v)) for i, j in np.ndindex(*record.y.shape[2:]))
        return [product(dy_at(record, (n, c, i, j)), share) for i, j, share in shares if share.value]
