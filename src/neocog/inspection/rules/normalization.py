"""Normalization."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from neocog.inspection.rules.base import Factor, Index, Rule, Term, dy_at, parameter_at, product, x_at
from neocog.inspection.trace import Step


class BatchNormRule(Rule):
    """A channel by its mean and deviation."""

    formula = "y = w (x - m) / sqrt(v + eps) + b"
    gradients = {
        "x": "dx_i = w / sqrt(v + eps) sum over j of ([i=j] - (1 + x_hat_i x_hat_j) / M) dy_j in training, "
        "w / sqrt(v + eps) dy_i in inference",
        "weight": "dw = sum of dy x_hat",
        "bias": "db = sum of dy",
    }

    def _numbers(self, step: Step, c: int) -> tuple[float, float, bool]:
        _, mean, inv_std, used_batch = step.cache
        return float(mean[c]), float(inv_std[c]), bool(used_batch)

    def _members(self, step: Step, c: int) -> Iterator[Index]:
        """Yield the indices that share a channel's statistics."""
        N, _, *space = step.x.shape
        for n, *place in np.ndindex(N, *space):
            yield (n, c, *place)

    def forward(self, step: Step, index: Index) -> list[Term]:
        c = index[1]
        mean, inv_std, used_batch = self._numbers(step, c)
        w, scale = parameter_at(step, "weight", (c,)), Factor("1/std", inv_std)
        whose = "of the batch" if used_batch else "so far"
        return [
            product(x_at(step, index), w, scale),
            product(Factor("-mean", -mean), w, scale, note=f"mean {whose}"),
            product(parameter_at(step, "bias", (c,)), note="bias"),
        ]

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        c = index[1]
        mean, inv_std, used_batch = self._numbers(step, c)
        w, scale = parameter_at(step, "weight", (c,)), Factor("1/std", inv_std)
        if not used_batch:
            return [product(dy_at(step, index), w, scale)]
        members = list(self._members(step, c))
        own = (float(step.x[index]) - mean) * inv_std
        terms = []
        for other in members:
            x_hat = (float(step.x[other]) - mean) * inv_std
            share = float(other == index) - (1 + own * x_hat) / len(members)
            terms.append(product(dy_at(step, other), Factor("share", share), w, scale))
        return terms

    def parameter_gradient(self, step: Step, key: str, index: Index) -> list[Term]:
        (c,) = index
        if key == "bias":
            return [product(dy_at(step, other)) for other in self._members(step, c)]
        mean, inv_std, _ = self._numbers(step, c)
        return [
            product(dy_at(step, other), Factor("x_hat", (float(step.x[other]) - mean) * inv_std, "x", other))
            for other in self._members(step, c)
        ]


class LocalResponseNormRule(Rule):
    """A number by its neighbours in other channels."""

    formula = "y_c = x_c / s_c^beta, s_c = k + alpha/size sum over the channels j around c of x_j^2"
    gradients = {
        "x": "dx_c = sum over the windows j that hold c of "
        "([j=c] / s_j^beta - 2 alpha beta/size x_c x_j / s_j^(beta+1)) dy_j"
    }

    @staticmethod
    def _scale(step: Step, index: Index) -> float:
        layer: Any = step.layer
        n, c, i, j = index
        window = step.x[n, max(c - layer.size // 2, 0) : c + (layer.size - 1) // 2 + 1, i, j]
        return float(layer.k + layer.alpha / layer.size * sum(float(x) ** 2 for x in window))

    def forward(self, step: Step, index: Index) -> list[Term]:
        beta = step.layer.beta  # type: ignore[attr-defined]
        return [product(x_at(step, index), Factor("1/s^beta", self._scale(step, index) ** -beta))]

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        layer: Any = step.layer
        n, c, i, j = index
        first, last = max(c - (layer.size - 1) // 2, 0), min(c + layer.size // 2, step.x.shape[1] - 1)
        terms = []
        for other in range(first, last + 1):
            place = (n, other, i, j)
            s = self._scale(step, place)
            products = float(step.x[index]) * float(step.x[place])
            share = -2 * layer.alpha * layer.beta / layer.size * products * s ** (-layer.beta - 1)
            terms.append(product(dy_at(step, place), Factor("share", share + (other == c) * s**-layer.beta)))
        return terms
