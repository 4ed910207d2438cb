"""Explain means and sums along axes."""

from __future__ import annotations

from itertools import product as combinations
from math import prod

from neocog.inspection.rules.base import Factor, Index, Rule, Term, dy_at, product, x_at
from neocog.inspection.trace import LayerRecord
from neocog.layers import Mean, Sum


class MeanRule(Rule, of=Mean):
    """Terms of a mean: the numbers along the axes, with equal shares."""

    formula = "y = the mean of x along the axes"
    gradients = {"x": "dx = dy / n, n being how many numbers a mean has"}

    @staticmethod
    def _over(record: LayerRecord) -> tuple[int, ...]:
        rank = record.x.ndim
        return tuple(sorted(axis % rank for axis in record.layer.axes))  # type: ignore[attr-defined]

    def _share(self, record: LayerRecord) -> tuple[Factor, ...]:
        return (Factor("1/n", 1 / prod(record.x.shape[axis] for axis in self._over(record))),)

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        over, rest = self._over(record), list(index)
        if record.layer.keepdims:  # type: ignore[attr-defined]
            rest = [k for axis, k in enumerate(index) if axis not in over]
        ranges = [range(size) if axis in over else (rest.pop(0),) for axis, size in enumerate(record.x.shape)]
        share = self._share(record)
        return [product(x_at(record, place), *share) for place in combinations(*ranges)]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        over = self._over(record)
        kept = record.layer.keepdims  # type: ignore[attr-defined]
        place = tuple(0 if axis in over else k for axis, k in enumerate(index) if kept or axis not in over)
        return [product(dy_at(record, place), *self._share(record))]


class SumRule(MeanRule, of=Sum):
    """Terms of a sum: the numbers along the axes."""

    formula = "y = the sum of x along the axes"
    gradients = {"x": "dx = dy"}

    def _share(self, record: LayerRecord) -> tuple[Factor, ...]:
        return ()
