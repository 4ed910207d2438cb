"""Explain transposed convolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.inspection.rules.base import Index, Rule, Term, dy_at, parameter_at, product, x_at
from neocog.inspection.trace import LayerRecord
from neocog.layers import ConvTranspose2D


class ConvTranspose2DRule(Rule, of=ConvTranspose2D):
    """Terms of a transposed convolution: the pixels whose kernels reach a place, times the weights there."""

    formula = "y[n,f,u,v] = b[f] + sum of x[n,c,i,j] w[c,f,p,q] over all i s+p d-P = u, j s+q d-P = v"
    gradients = {
        "x": "dx[n,c,i,j] = sum over f,p,q of w[c,f,p,q] dy[n,f,i s+p d-P,j s+q d-P]",
        "weight": "dw[c,f,p,q] = sum over n,i,j of x[n,c,i,j] dy[n,f,i s+p d-P,j s+q d-P]",
        "bias": "db[f] = sum over n,u,v of dy[n,f,u,v]",
    }

    @staticmethod
    def _reached(record: LayerRecord, i: int, j: int, p: int, q: int) -> tuple[int, int] | None:
        """Return the place that tap (p, q) of the kernel at pixel (i, j) adds to; None if it is left out."""
        layer: Any = record.layer
        (top, _), (left, _) = layer.sides
        u = i * layer.stride[0] + p * layer.dilation[0] - top
        v = j * layer.stride[1] + q * layer.dilation[1] - left
        return (u, v) if 0 <= u < record.y.shape[2] and 0 <= v < record.y.shape[3] else None

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        layer: Any = record.layer
        n, f, u, v = index
        C, F = record.x.shape[1] // layer.groups, record.y.shape[1] // layer.groups
        group, own = divmod(f, F)
        terms = []
        for i, j, p, q in np.ndindex(*record.x.shape[2:], *layer.kernel_size):
            if self._reached(record, i, j, p, q) == (u, v):
                for c in range(group * C, (group + 1) * C):
                    weight = parameter_at(record, "weight", (c, own, p, q))
                    terms.append(product(x_at(record, (n, c, i, j)), weight))
        if layer.bias:
            terms.append(product(parameter_at(record, "bias", (f,)), note="bias"))
        return terms

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        layer: Any = record.layer
        n, c, i, j = index
        F = record.y.shape[1] // layer.groups
        group = c // (record.x.shape[1] // layer.groups)
        terms = []
        for p, q in np.ndindex(*layer.kernel_size):
            place = self._reached(record, i, j, p, q)
            if place is not None:
                for own in range(F):
                    weight = parameter_at(record, "weight", (c, own, p, q))
                    terms.append(product(dy_at(record, (n, group * F + own, *place)), weight))
        return terms

    def parameter_gradient(self, record: LayerRecord, key: str, index: Index) -> list[Term]:
        layer: Any = record.layer
        N, _, *sizes = record.x.shape
        if key == "bias":
            places = np.ndindex(N, *record.y.shape[2:])
            return [product(dy_at(record, (n, index[0], u, v))) for n, u, v in places]
        c, own, p, q = index
        f = c // (record.x.shape[1] // layer.groups) * (record.y.shape[1] // layer.groups) + own
        terms = []
        for n, i, j in np.ndindex(N, *sizes):
            place = self._reached(record, i, j, p, q)
            if place is not None:
                terms.append(product(x_at(record, (n, c, i, j)), dy_at(record, (n, f, *place))))
        return terms
