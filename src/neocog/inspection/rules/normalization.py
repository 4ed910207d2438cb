"""Explain normalization."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from neocog.inspection.rules.base import Factor, Index, Rule, Term, dy_at, parameter_at, product, x_at
from neocog.inspection.trace import LayerRecord
from neocog.layers import (
    BatchNorm1D,
    BatchNorm2D,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
    Normalize,
)


class NormalizeRule(Rule, of=Normalize):
    """Terms of the normalization of a channel by fixed numbers."""

    formula = "y = (x - mean) / std"
    gradients = {"x": "dx = dy / std"}

    @staticmethod
    def _numbers(record: LayerRecord, index: Index) -> tuple[Factor, Factor]:
        mean, std = (float(record.layer.buffers[name][index[1]]) for name in ("mean", "std"))
        return Factor("-mean", -mean), Factor("1/std", 1 / std)

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        mean, scale = self._numbers(record, index)
        return [product(x_at(record, index), scale), product(mean, scale, note="mean of the data")]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        return [product(dy_at(record, index), self._numbers(record, index)[1])]


class BatchNormRule(Rule, of=(BatchNorm1D, BatchNorm2D)):
    """Terms of the normalization of a channel by its mean and standard deviation."""

    formula = "y = w (x - m) / sqrt(v + eps) + b"
    gradients = {
        "x": "dx_i = w / sqrt(v + eps) sum over j of ([i=j] - (1 + x_hat_i x_hat_j) / M) dy_j in training, "
        "w / sqrt(v + eps) dy_i in inference",
        "weight": "dw = sum of dy x_hat",
        "bias": "db = sum of dy",
    }

    def _numbers(self, record: LayerRecord, c: int) -> tuple[float, float, bool]:
        _, mean, inv_std, used_batch = record.cache
        return float(mean[c]), float(inv_std[c]), bool(used_batch)

    def _members(self, record: LayerRecord, c: int) -> Iterator[Index]:
        """Yield the indices that share a channel's statistics."""
        N, _, *space = record.x.shape
        for n, *place in np.ndindex(N, *space):
            yield (n, c, *place)

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        c = index[1]
        mean, inv_std, used_batch = self._numbers(record, c)
        w, scale = parameter_at(record, "weight", (c,)), Factor("1/std", inv_std)
        whose = "of the batch" if used_batch else "so far"
        return [
            product(x_at(record, index), w, scale),
            product(Factor("-mean", -mean), w, scale, note=f"mean {whose}"),
            product(parameter_at(record, "bias", (c,)), note="bias"),
        ]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        c = index[1]
        mean, inv_std, used_batch = self._numbers(record, c)
        w, scale = parameter_at(record, "weight", (c,)), Factor("1/std", inv_std)
        if not used_batch:
            return [product(dy_at(record, index), w, scale)]
        members = list(self._members(record, c))
        own = (float(record.x[index]) - mean) * inv_std
        terms = []
        for other in members:
            x_hat = (float(record.x[other]) - mean) * inv_std
            share = float(other == index) - (1 + own * x_hat) / len(members)
            terms.append(product(dy_at(record, other), Factor("share", share), w, scale))
        return terms

    def parameter_gradient(self, record: LayerRecord, key: str, index: Index) -> list[Term]:
        (c,) = index
        if key == "bias":
            return [product(dy_at(record, other)) for other in self._members(record, c)]
        mean, inv_std, _ = self._numbers(record, c)
        return [
            product(
                dy_at(record, other), Factor("x_hat", (float(record.x[other]) - mean) * inv_std, "x", other)
            )
            for other in self._members(record, c)
        ]


class SampleNormRule(Rule):
    """Terms of the normalization of a set of numbers of one image; a subclass says which."""

    formula = "y = w (x - m) / sqrt(v + eps) + b"
    gradients = {
        "x": "dx_i = 1 / sqrt(v + eps) sum over j of ([i=j] - (1 + x_hat_i x_hat_j) / M) w_j dy_j",
        "weight": "dw = sum of dy x_hat",
        "bias": "db = sum of dy",
    }

    def _members(self, record: LayerRecord, index: Index) -> list[Index]:
        """Return the indices that share the statistics of one."""
        raise NotImplementedError

    def _place(self, record: LayerRecord, index: Index) -> Index:
        """Return the index of its weight and bias."""
        raise NotImplementedError

    def _weight(self, record: LayerRecord, index: Index) -> list[Factor]:
        """Return the weight of a number as the only factor; none if the layer learns none."""
        layer = record.layer
        return [parameter_at(record, "weight", self._place(record, index))] if layer.params else []

    def _numbers(self, record: LayerRecord, index: Index) -> tuple[float, float]:
        """Return the mean, and 1 by the standard deviation."""
        x = np.array([record.x[other] for other in self._members(record, index)], np.float64)
        eps = record.layer.eps  # type: ignore[attr-defined]
        return float(x.mean()), float((x.var() + eps) ** -0.5)

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        mean, inv_std = self._numbers(record, index)
        by = (*self._weight(record, index), Factor("1/std", inv_std))
        terms = [
            product(x_at(record, index), *by),
            product(Factor("-mean", -mean), *by, note="mean of the group"),
        ]
        if record.layer.params:
            terms.append(product(parameter_at(record, "bias", self._place(record, index)), note="bias"))
        return terms

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        mean, inv_std = self._numbers(record, index)
        members, scale = self._members(record, index), Factor("1/std", inv_std)
        own = (float(record.x[index]) - mean) * inv_std
        terms = []
        for other in members:
            x_hat = (float(record.x[other]) - mean) * inv_std
            share = float(other == index) - (1 + own * x_hat) / len(members)
            w = self._weight(record, other)
            terms.append(product(dy_at(record, other), Factor("share", share), *w, scale))
        return terms

    def parameter_gradient(self, record: LayerRecord, key: str, index: Index) -> list[Term]:
        terms = []
        for place in np.ndindex(*record.x.shape):
            if self._place(record, place) != index:
                continue
            if key == "bias":
                terms.append(product(dy_at(record, place)))
                continue
            mean, inv_std = self._numbers(record, place)
            x_hat = (float(record.x[place]) - mean) * inv_std
            terms.append(product(dy_at(record, place), Factor("x_hat", x_hat, "x", place)))
        return terms


class GroupNormRule(SampleNormRule, of=GroupNorm):
    """The set is some channels of an image."""

    def _members(self, record: LayerRecord, index: Index) -> list[Index]:
        layer: Any = record.layer
        n, c, *_ = index
        size = layer.num_channels // layer.num_groups
        first = c // size * size
        places = list(np.ndindex(*record.x.shape[2:]))
        return [(n, channel, *place) for channel in range(first, first + size) for place in places]

    def _place(self, record: LayerRecord, index: Index) -> Index:
        return (index[1],)


class InstanceNormRule(GroupNormRule, of=InstanceNorm):
    """The set is one channel of an image."""

    formula = f"{SampleNormRule.formula}, with w = 1 and b = 0 unless affine"


class LayerNormRule(SampleNormRule, of=LayerNorm):
    """The set is all numbers along the normalised axes, the last ones unless the layer names the first."""

    def _place(self, record: LayerRecord, index: Index) -> Index:
        first, end = self._span(record)
        return index[first:end]

    def _members(self, record: LayerRecord, index: Index) -> list[Index]:
        first, end = self._span(record)
        places = np.ndindex(*record.x.shape[first:end])
        return [(*index[:first], *place, *index[end:]) for place in places]

    @staticmethod
    def _span(record: LayerRecord) -> tuple[int, int]:
        layer: Any = record.layer
        count = len(layer.normalized_shape)
        first = record.x.ndim - count if layer.axis is None else layer.axis
        return first, first + count


class LocalResponseNormRule(Rule, of=LocalResponseNorm):
    """The term of a number divided by a power of its neighbourhood across channels."""

    formula = "y_c = x_c / s_c^beta, s_c = k + alpha/size sum over the channels j around c of x_j^2"
    gradients = {
        "x": "dx_c = sum over the windows j that hold c of "
        "([j=c] / s_j^beta - 2 alpha beta/size x_c x_j / s_j^(beta+1)) dy_j"
    }

    @staticmethod
    def _scale(record: LayerRecord, index: Index) -> float:
        layer: Any = record.layer
        n, c, i, j = index
        window = record.x[n, max(c - layer.size // 2, 0) : c + (layer.size - 1) // 2 + 1, i, j]
        return float(layer.k + layer.alpha / layer.size * sum(float(x) ** 2 for x in window))

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        beta = record.layer.beta  # type: ignore[attr-defined]
        return [product(x_at(record, index), Factor("1/s^beta", self._scale(record, index) ** -beta))]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        layer: Any = record.layer
        n, c, i, j = index
        first, last = max(c - (layer.size - 1) // 2, 0), min(c + layer.size // 2, record.x.shape[1] - 1)
        terms = []
        for other in range(first, last + 1):
            place = (n, other, i, j)
            s = self._scale(record, place)
            products = float(record.x[index]) * float(record.x[place])
            share = -2 * layer.alpha * layer.beta / layer.size * products * s ** (-layer.beta - 1)
            terms.append(
                product(dy_at(record, place), Factor("share", share + (other == c) * s**-layer.beta))
            )
        return terms
