"""Explain convolution by a table of channel pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.inspection.rules.base import Index, Rule, Term, dy_at, parameter_at, product, x_at
from neocog.inspection.trace import LayerRecord
from neocog.layers import SparseConv2D


class SparseConv2DRule(Rule, of=SparseConv2D):
    """Terms of a convolution over the channel pairs of a table."""

    formula = "y[n,f,i,j] = b[f] + sum over the table's c, and p,q, of w[(f,c),p,q] x[n,c,i s+p-P,j s+q-P]"
    gradients = {
        "x": "dx[n,c,u,v] = sum of dy[n,f,i,j] w[(f,c),p,q] over the windows that saw the pixel",
        "weight": "dw[(f,c),p,q] = sum over n,i,j of dy[n,f,i,j] x[n,c,i s+p-P,j s+q-P]",
        "bias": "db[f] = sum over n,i,j of dy[n,f,i,j]",
    }

    @staticmethod
    def _seen(record: LayerRecord, i: int, j: int, p: int, q: int) -> tuple[int, int] | None:
        """Return the pixel under tap (p, q) of the window at (i, j); None in the padding."""
        layer: Any = record.layer
        u, v = i * layer.stride[0] + p - layer.padding[0], j * layer.stride[1] + q - layer.padding[1]
        H, W = record.x.shape[2:]
        return (u, v) if 0 <= u < H and 0 <= v < W else None

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        layer: Any = record.layer
        n, f, i, j = index
        terms = []
        for k, (to, c) in enumerate(layer.pairs):
            for p, q in np.ndindex(*layer.kernel_size) if to == f else ():
                if pixel := self._seen(record, i, j, p, q):
                    terms.append(
                        product(x_at(record, (n, c, *pixel)), parameter_at(record, "weight", (k, p, q)))
                    )
        return [*terms, product(parameter_at(record, "bias", (f,)), note="bias")]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        layer: Any = record.layer
        n, c, *pixel = index
        terms = []
        for i, j, p, q in np.ndindex(*record.y.shape[2:], *layer.kernel_size):
            if self._seen(record, i, j, p, q) == tuple(pixel):
                for k, (f, seen) in enumerate(layer.pairs):
                    if seen == c:
                        weight = parameter_at(record, "weight", (k, p, q))
                        terms.append(product(dy_at(record, (n, f, i, j)), weight))
        return terms

    def parameter_gradient(self, record: LayerRecord, key: str, index: Index) -> list[Term]:
        layer: Any = record.layer
        N, _, H_out, W_out = record.y.shape
        positions = np.ndindex(N, H_out, W_out)
        if key == "bias":
            return [product(dy_at(record, (n, index[0], i, j))) for n, i, j in positions]
        k, p, q = index
        f, c = layer.pairs[k]
        terms = []
        for n, i, j in positions:
            if pixel := self._seen(record, i, j, p, q):
                terms.append(product(dy_at(record, (n, f, i, j)), x_at(record, (n, c, *pixel))))
        return terms
