"""Explain radial basis functions."""

from __future__ import annotations

from neocog.inspection.rules.base import Factor, Index, Rule, Term, dy_at, product
from neocog.inspection.trace import LayerRecord
from neocog.layers import RadialBasis


class RadialBasisRule(Rule, of=RadialBasis):
    """Terms of a negative squared distance."""

    formula = "y[n,k] = -sum over i of (x[n,i] - c[k,i])^2"
    gradients = {"x": "dx[n,i] = sum over k of dy[n,k] 2 (c[k,i] - x[n,i])"}

    @staticmethod
    def _past(record: LayerRecord, k: int, i: int, x: float) -> float:
        return x - float(record.layer.buffers["centers"][k, i])

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        n, k = index
        terms = []
        for i in range(record.x.shape[1]):
            past = self._past(record, k, i, float(record.x[n, i]))
            terms.append(product(Factor("x-c", past, "x", (n, i)), Factor("-(x-c)", -past)))
        return terms

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        n, i = index
        x = float(record.x[index])
        return [
            product(dy_at(record, (n, k)), Factor("2(c-x)", -2 * self._past(record, k, i, x)))
            for k in range(record.y.shape[1])
        ]
