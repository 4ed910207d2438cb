"""Explain pooling of whole maps."""

from __future__ import annotations

import numpy as np

from neocog.inspection.rules.base import Factor, Index, Rule, Term, dy_at, product, x_at
from neocog.inspection.trace import LayerRecord
from neocog.layers import GlobalAvgPool2D, GlobalMaxPool2D


class GlobalAvgPool2DRule(Rule, of=GlobalAvgPool2D):
    """Terms of the mean over a map."""

    formula = "y[n,c] = the mean of x[n,c,.,.]"
    gradients = {"x": "dx[n,c,i,j] = dy[n,c] / (H W)"}

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        H, W = record.x.shape[2:]
        share = Factor("1/(H W)", 1 / (H * W))
        return [product(x_at(record, (*index, i, j)), share) for i, j in np.ndindex(H, W)]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        H, W = record.x.shape[2:]
        return [product(dy_at(record, index[:2]), Factor("1/(H W)", 1 / (H * W)))]


class GlobalMaxPool2DRule(Rule, of=GlobalMaxPool2D):
    """Terms of the maximum over a map."""

    formula = "y[n,c] = the largest x[n,c,.,.], the first on a tie"
    gradients = {"x": "dx[n,c,i,j] = dy[n,c] if the pixel won"}

    @staticmethod
    def _winner(record: LayerRecord, n: int, c: int) -> Index:
        return max(np.ndindex(*record.x.shape[2:]), key=lambda place: record.x[n, c][place])

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        n, c = index
        winner, terms = self._winner(record, n, c), []
        for place in np.ndindex(*record.x.shape[2:]):
            x, won = x_at(record, (n, c, *place)), place == winner
            terms.append(Term((x,), x.value if won else 0.0, "winner" if won else "loses"))
        return terms

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        n, c, i, j = index
        return [product(dy_at(record, (n, c)), note="won")] if self._winner(record, n, c) == (i, j) else []
