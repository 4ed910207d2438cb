"""Explain means and sums along axes."""

from __future__ import annotations

from itertools import product as combinations
from math import prod

from neocog.inspection.rules.base import Factor, Index, Rule, Term, dy_at, product, x_at
from neocog.inspection.trace import LayerRecord
from neocog.layers import Mean, Sum


class ReductionRule(Rule, of=(Mean, Sum)):
    """Terms of a mean or a sum: the numbers along the axes, of a mean with equal shares."""

    def forward_formula(self, record: LayerRecord) -> str:
        """Return the formula of the mean or the sum, with its axes."""
        axes = ", ".join(map(str, self._over(record)))
        return f"y = {'the mean' if isinstance(record.layer, Mean) else 'the sum'} of x along axes {axes}"

    def gradient_formula(self, record: LayerRecord, key: str) -> str:
        """Return the formula of the gradient."""
        return "dx = dy / n" if isinstance(record.layer, Mean) else "dx = dy"

    @staticmethod
    def _over(record: LayerRecord) -> tuple[int, ...]:
        rank = record.x.ndim
        return tuple(sorted(axis % rank for axis in record.layer.axes))  # type: ignore[attr-defined]

    def _share(self, record: LayerRecord) -> tuple[Factor, ...]:
        if isinstance(record.layer, Sum):
            return ()
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
