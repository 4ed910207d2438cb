"""Functions of one number, softmax, and dropout."""

from __future__ import annotations

import math

import numpy as np

from neocog.inspection.rules.base import Factor, Index, Rule, Term, dy_at, product, x_at
from neocog.inspection.trace import Step
from neocog.layers import LeakyReLU, ReLU


class ActivationRule(Rule):
    """Any function of one number: its value, and its slope there."""

    def __init__(self, formula: str) -> None:
        self.formula = formula
        self.gradients = {"x": "dx = dy f'(x)"}

    def forward(self, step: Step, index: Index) -> list[Term]:
        x = x_at(step, index)
        note = ""
        if isinstance(step.layer, ReLU | LeakyReLU):
            note = "passes" if x.value > 0 else "is cut off" if isinstance(step.layer, ReLU) else "is damped"
        return [Term((x,), float(step.layer(np.array([x.value]))[0]), note)]

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        x = np.array([x_at(step, index).value])
        _, cache = step.layer.forward(x)
        slope = float(step.layer.backward(np.ones(1), cache)[0][0])
        return [product(dy_at(step, index), Factor("f'(x)", slope))]


def _along(step: Step, index: Index) -> tuple[list[Index], list[float]]:
    """List the entries that share a softmax, and the share of each."""
    axis = step.layer.axis % len(index)  # type: ignore[attr-defined]
    places = [(*index[:axis], k, *index[axis + 1 :]) for k in range(step.x.shape[axis])]
    largest = max(float(step.x[place]) for place in places)
    weights = [math.exp(float(step.x[place]) - largest) for place in places]
    return places, [weight / sum(weights) for weight in weights]


class SoftmaxRule(Rule):
    """Shares of a whole."""

    formula = "y_k = exp(x_k) / sum over j of exp(x_j): the share of each in that sum"
    gradients = {"x": "dx_k = sum over j of dy_j y_j ([j=k] - y_k)"}

    def forward(self, step: Step, index: Index) -> list[Term]:
        """Only the asked one's share is the answer; the others say what it shares with."""
        return [
            Term((x_at(step, place),), share if place == index else 0.0, f"share {share:.4g}")
            for place, share in zip(*_along(step, index), strict=True)
        ]

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        places, shares = _along(step, index)
        own = shares[places.index(index)]
        return [
            product(dy_at(step, place), Factor("slope", share * (float(place == index) - own)))
            for place, share in zip(places, shares, strict=True)
        ]


class LogSoftmaxRule(Rule):
    """The logarithm of shares."""

    formula = "y_k = x_k - log of sum over j of exp(x_j)"
    gradients = {"x": "dx_k = sum over j of dy_j ([j=k] - exp(y_k))"}

    def forward(self, step: Step, index: Index) -> list[Term]:
        """Take x_k, and the sum, whose members follow with their shares in it."""
        places, _ = _along(step, index)
        largest = max(float(step.x[place]) for place in places)
        total = sum(math.exp(float(step.x[place]) - largest) for place in places)
        whole = -largest - math.log(total)
        return [
            product(x_at(step, index)),
            product(Factor("-log sum", whole), note="the sum of all"),
            *(
                Term((x_at(step, place),), 0.0, f"share {share:.4g} of the sum")
                for place, share in zip(*_along(step, index), strict=True)
            ),
        ]

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        places, shares = _along(step, index)
        own = shares[places.index(index)]
        return [product(dy_at(step, place), Factor("slope", float(place == index) - own)) for place in places]


class DropoutRule(Rule):
    """A mask."""

    formula = "y = x m / (1 - p) in training, x in inference"
    gradients = {"x": "dx = dy m / (1 - p) in training, dy in inference"}

    def _mask(self, step: Step, index: Index) -> list[Factor]:
        return [] if step.cache is None else [Factor("m/(1-p)", float(step.cache[index]))]

    def forward(self, step: Step, index: Index) -> list[Term]:
        return [product(x_at(step, index), *self._mask(step, index))]

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        return [product(dy_at(step, index), *self._mask(step, index))]
