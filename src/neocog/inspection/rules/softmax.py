"""Explain softmax and its logarithm."""

from __future__ import annotations

import math

from neocog.inspection.rules.base import Factor, Index, Rule, Term, dy_at, product, x_at
from neocog.inspection.trace import LayerRecord
from neocog.layers import LogSoftmax, Softmax


def _along(record: LayerRecord, index: Index) -> tuple[list[Index], list[float]]:
    """List the entries along the axis of the softmax, and the share of each."""
    axis = record.layer.axis % len(index)  # type: ignore[attr-defined]
    places = [(*index[:axis], k, *index[axis + 1 :]) for k in range(record.x.shape[axis])]
    largest = max(float(record.x[place]) for place in places)
    weights = [math.exp(float(record.x[place]) - largest) for place in places]
    return places, [weight / sum(weights) for weight in weights]


class SoftmaxRule(Rule, of=Softmax):
    """Terms of a softmax: the shares of its exponentials in their sum."""

    formula = "y_k = exp(x_k) / sum over j of exp(x_j): the share of each in that sum"
    gradients = {"x": "dx_k = sum over j of dy_j y_j ([j=k] - y_k)"}

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        """Return the share of each entry; only that of the entry at ``index`` has a value."""
        return [
            Term((x_at(record, place),), share if place == index else 0.0, f"share {share:.4g}")
            for place, share in zip(*_along(record, index), strict=True)
        ]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        places, shares = _along(record, index)
        own = shares[places.index(index)]
        return [
            product(dy_at(record, place), Factor("slope", share * (float(place == index) - own)))
            for place, share in zip(places, shares, strict=True)
        ]


class LogSoftmaxRule(Rule, of=LogSoftmax):
    """Terms of the logarithm of a softmax."""

    formula = "y_k = x_k - log of sum over j of exp(x_j)"
    gradients = {"x": "dx_k = sum over j of dy_j ([j=k] - exp(y_k))"}

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        """Return x_k, the logarithm of the sum, and the shares of its members, which have no value."""
        places, _ = _along(record, index)
        largest = max(float(record.x[place]) for place in places)
        total = sum(math.exp(float(record.x[place]) - largest) for place in places)
        whole = -largest - math.log(total)
        return [
            product(x_at(record, index)),
            product(Factor("-log sum", whole), note="the sum of all"),
            *(
                Term((x_at(record, place),), 0.0, f"share {share:.4g} of the sum")
                for place, share in zip(*_along(record, index), strict=True)
            ),
        ]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        places, shares = _along(record, index)
        own = shares[places.index(index)]
        return [
            product(dy_at(record, place), Factor("slope", float(place == index) - own)) for place in places
        ]
