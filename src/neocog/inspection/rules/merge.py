"""Sums of arrays of different shapes, and the bias."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neocog.inspection.rules.base import Index, Rule, Term, dy_at, parameter_at, product, x_at
from neocog.inspection.trace import Step


def _read(index: Index, shape: Index) -> Index:
    """Entry of an array of ``shape`` that is added to the output at ``index``."""
    own = index[len(index) - len(shape) :]
    return tuple(0 if size == 1 else k for k, size in zip(own, shape, strict=True))


def _readers(step: Step, index: Index, shape: Index) -> Iterator[Index]:
    """Yield the outputs to which the entry at ``index`` is added."""
    for place in np.ndindex(*step.y.shape):
        if _read(place, shape) == index:
            yield place


class AddRule(Rule):
    """A sum of inputs."""

    formula = "y = x_1 + x_2 + ..."
    gradients = {"x": "dx_k = dy, summed where x_k is repeated"}

    def forward(self, step: Step, index: Index) -> list[Term]:
        return [product(x_at(step, _read(index, part.shape), slot)) for slot, part in enumerate(step.x)]

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        shape = step.x[slot].shape
        if shape == step.y.shape:
            return [product(dy_at(step, index))]
        return [product(dy_at(step, place)) for place in _readers(step, index, shape)]


class BiasRule(Rule):
    """Learned numbers added."""

    formula = "y = x + b"
    gradients = {"x": "dx = dy", "bias": "db = sum of dy over the places where b was added"}

    def forward(self, step: Step, index: Index) -> list[Term]:
        bias = parameter_at(step, "bias", _read(index, step.layer.params["bias"].shape))
        return [product(x_at(step, index)), product(bias, note="bias")]

    def input_gradient(self, step: Step, index: Index, slot: int) -> list[Term]:
        return [product(dy_at(step, index))]

    def parameter_gradient(self, step: Step, key: str, index: Index) -> list[Term]:
        return [product(dy_at(step, place)) for place in _readers(step, index, step.layer.params[key].shape)]
