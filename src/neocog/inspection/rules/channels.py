"""Explain layers that take a part of the channels, or put them in another order."""

from __future__ import annotations

from typing import Any

from neocog.inspection.rules.base import Index, Rule, Term, dy_at, product, x_at
from neocog.inspection.trace import LayerRecord
from neocog.layers import ChannelShuffle, Slice


class SliceRule(Rule, of=Slice):
    """The term of a slice: the entry that was taken."""

    formula = "y[n,k,...] = x[n, start + k step, ...]"
    gradients = {"x": "dx[n, start + k step, ...] = dy[n,k,...], 0 where nothing was taken"}

    @staticmethod
    def _taken(record: LayerRecord) -> range:
        layer: Any = record.layer
        return range(record.x.shape[layer.axis])[layer.start : layer.stop : layer.step]

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        axis = record.layer.axis  # type: ignore[attr-defined]
        return [product(x_at(record, (*index[:axis], self._taken(record)[index[axis]], *index[axis + 1 :])))]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        axis = record.layer.axis  # type: ignore[attr-defined]
        taken = self._taken(record)
        if index[axis] not in taken:
            return []
        return [product(dy_at(record, (*index[:axis], taken.index(index[axis]), *index[axis + 1 :])))]


class ChannelShuffleRule(Rule, of=ChannelShuffle):
    """The term of a shuffle: the same place in the channel that went there."""

    formula = "y[n, k G + g] = x[n, g C/G + k]"
    gradients = {"x": "dx[n, g C/G + k] = dy[n, k G + g]"}

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        n, c, *place = index
        groups = record.layer.groups  # type: ignore[attr-defined]
        k, g = divmod(c, groups)
        return [product(x_at(record, (n, g * (record.x.shape[1] // groups) + k, *place)))]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        n, c, *place = index
        groups = record.layer.groups  # type: ignore[attr-defined]
        g, k = divmod(c, record.x.shape[1] // groups)
        return [product(dy_at(record, (n, k * groups + g, *place)))]
