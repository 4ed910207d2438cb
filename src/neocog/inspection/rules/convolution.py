"""Explain convolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.inspection.rules.base import Index, Rule, Term, dy_at, parameter_at, product, x_at
from neocog.inspection.trace import LayerRecord
from neocog.layers import Conv2D


class Conv2DRule(Rule, of=Conv2D):
    """Terms of a convolution: pixels of a window times weights."""

    formula = "y[n,f,i,j] = b[f] + sum over c,p,q of w[f,c,p,q] x[n,c,i s+p d-P,j s+q d-P]"
    gradients = {
        "x": "dx[n,c,u,v] = sum of dy[n,f,i,j] w[f,c,p,q] over the windows that saw the pixel",
        "weight": "dw[f,c,p,q] = sum over n,i,j of dy[n,f,i,j] x[n,c,i s+p d-P,j s+q d-P]",
        "bias": "db[f] = sum over n,i,j of dy[n,f,i,j]",
    }

    @staticmethod
    def _seen(record: LayerRecord, i: int, j: int, p: int, q: int) -> tuple[int, int]:
        """Return the pixel under tap (p, q) of the window at (i, j); it may lie in the padding."""
        layer: Any = record.layer
        (top, _), (left, _) = layer.window_sides(record.x.shape)
        return (
            i * layer.stride[0] + p * layer.dilation[0] - top,
            j * layer.stride[1] + q * layer.dilation[1] - left,
        )

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        layer: Any = record.layer
        n, f, i, j = index
        H, W = record.x.shape[2:]
        F, C, kH, kW = layer.params["weight"].shape
        first = f // (F // layer.groups) * C  # input channel that the group begins with
        terms = []
        for c, p, q in np.ndindex(C, kH, kW):
            u, v = self._seen(record, i, j, p, q)
            if 0 <= u < H and 0 <= v < W:
                x = x_at(record, (n, first + c, u, v))
                terms.append(product(x, parameter_at(record, "weight", (f, c, p, q))))
        if layer.bias:
            terms.append(product(parameter_at(record, "bias", (f,)), note="bias"))
        return terms

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        layer: Any = record.layer
        n, c, u, v = index
        F, C, kH, kW = layer.params["weight"].shape
        _, _, H_out, W_out = record.y.shape
        (top, _), (left, _) = layer.window_sides(record.x.shape)
        group, own = divmod(c, C)
        terms = []
        for p, q in np.ndindex(kH, kW):
            i, i_rest = divmod(u + top - p * layer.dilation[0], layer.stride[0])
            j, j_rest = divmod(v + left - q * layer.dilation[1], layer.stride[1])
            if i_rest or j_rest or not (0 <= i < H_out and 0 <= j < W_out):
                continue
            for f in range(group * (F // layer.groups), (group + 1) * (F // layer.groups)):
                terms.append(
                    product(dy_at(record, (n, f, i, j)), parameter_at(record, "weight", (f, own, p, q)))
                )
        return terms

    def parameter_gradient(self, record: LayerRecord, key: str, index: Index) -> list[Term]:
        layer: Any = record.layer
        N, F, H_out, W_out = record.y.shape
        positions = np.ndindex(N, H_out, W_out)
        if key == "bias":
            return [product(dy_at(record, (n, index[0], i, j))) for n, i, j in positions]
        f, c, p, q = index
        H, W = record.x.shape[2:]
        channel = f // (F // layer.groups) * layer.params["weight"].shape[1] + c
        terms = []
        for n, i, j in positions:
            u, v = self._seen(record, i, j, p, q)
            if 0 <= u < H and 0 <= v < W:
                terms.append(product(dy_at(record, (n, f, i, j)), x_at(record, (n, channel, u, v))))
        return terms
