"""Explain dropout."""

from __future__ import annotations

import numpy as np

from neocog.inspection.rules.base import Factor, Index, Rule, Term, dy_at, product, x_at
from neocog.inspection.trace import LayerRecord
from neocog.layers import Dropout, StochasticDepth


class DropoutRule(Rule, of=(Dropout, StochasticDepth)):
    """The term of dropout: the input times the mask."""

    formula = "y = x m / (1 - p) in training, x in inference"
    gradients = {"x": "dx = dy m / (1 - p) in training, dy in inference"}

    def _mask(self, record: LayerRecord, index: Index) -> list[Factor]:
        if record.cache is None:
            return []
        return [Factor("m/(1-p)", float(np.broadcast_to(record.cache, record.x.shape)[index]))]

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        return [product(x_at(record, index), *self._mask(record, index))]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        return [product(dy_at(record, index), *self._mask(record, index))]
