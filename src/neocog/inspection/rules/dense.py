"""Explain fully connected layers."""

from __future__ import annotations

from neocog.inspection.rules.base import Index, Rule, Term, dy_at, parameter_at, product, x_at
from neocog.inspection.trace import LayerRecord
from neocog.layers import Dense


class DenseRule(Rule, of=Dense):
    """Terms of a fully connected layer: inputs times weights."""

    formula = "y[n,k] = b[k] + sum over i of x[n,i] w[i,k]"
    gradients = {
        "x": "dx[n,i] = sum over k of dy[n,k] w[i,k]",
        "weight": "dw[i,k] = sum over n of x[n,i] dy[n,k]",
        "bias": "db[k] = sum over n of dy[n,k]",
    }

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        n, k = index
        terms = [
            product(x_at(record, (n, i)), parameter_at(record, "weight", (i, k)))
            for i in range(record.x.shape[1])
        ]
        if "bias" in record.layer.params:
            terms.append(product(parameter_at(record, "bias", (k,)), note="bias"))
        return terms

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        n, i = index
        return [
            product(dy_at(record, (n, k)), parameter_at(record, "weight", (i, k)))
            for k in range(record.y.shape[1])
        ]

    def parameter_gradient(self, record: LayerRecord, key: str, index: Index) -> list[Term]:
        images = range(len(record.x))
        if key == "bias":
            return [product(dy_at(record, (n, index[0]))) for n in images]
        i, k = index
        return [product(dy_at(record, (n, k)), x_at(record, (n, i))) for n in images]
