"""Explain activations."""

from __future__ import annotations

import inspect
import re

import numpy as np

from neocog.inspection.rules.base import Factor, Index, Rule, Term, dy_at, parameter_at, product, x_at
from neocog.inspection.trace import LayerRecord
from neocog.layers import Elementwise, Layer, LeakyReLU, PReLU, ReLU


class ActivationRule(Rule, of=Elementwise):
    """Value and slope of a function of one number, a slope that must agree with differences of the function.

    Raises
    ------
    ValueError
        If the backward of the layer contradicts its forward.
    """

    gradients = {"x": "dx = dy f'(x)"}

    def holds_for(self, layer: Layer, kind: type[Layer]) -> bool:
        """Return whether the function is the same for every number (parameters may differ by channel)."""
        return not layer.params

    def forward_formula(self, record: LayerRecord) -> str:
        """Return the formula after "Forward:" in the docstring of the class that states the function."""
        for kind in type(record.layer).__mro__:
            if stated := re.search(r"Forward: ``(.*?)``", inspect.cleandoc(kind.__doc__ or ""), re.DOTALL):
                return stated[1]
            if "forward" in vars(kind) or "function" in vars(kind):
                break
        return "y = f(x)"

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        x = x_at(record, index)
        note = ""
        if isinstance(record.layer, ReLU | LeakyReLU):
            cut = "is cut off" if isinstance(record.layer, ReLU) else "is damped"
            note = "passes" if x.value > 0 else cut
        return [Term((x,), float(record.layer(self._alone(record, x))[0]), note)]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        x = self._alone(record, x_at(record, index))
        _, cache = record.layer.forward(x)
        slope = float(record.layer.backward(np.ones_like(x), cache)[0][0])
        _check_slope(record, float(x[0]), slope)
        return [product(dy_at(record, index), Factor("f'(x)", slope))]

    @staticmethod
    def _alone(record: LayerRecord, x: Factor) -> np.ndarray:
        """Return x as an array of one number in the layer's dtype, whose rounding the slope shares."""
        return np.array([x.value], record.x.dtype)


def _check_slope(record: LayerRecord, x: float, slope: float) -> None:
    """Raise ValueError if a slope by backward is not between the slopes of forward on both sides of x."""
    step = float(np.finfo(np.float64).eps) ** (1 / 3) * max(abs(x), 1)
    y = np.asarray(record.layer.forward(x + step * np.arange(-2.0, 3.0))[0])
    # Two one-sided slopes, for kinks, and the central one: where the function bends, its own is among them.
    one_sided = 3 * y[2] - 4 * y[1] + y[0], -3 * y[2] + 4 * y[3] - y[4]
    slopes = [float(difference) / (2 * step) for difference in (*one_sided, y[3] - y[1])]
    bend = float(y[3] - 2 * y[2] + y[1]) / step**2
    precision = float(np.finfo(record.x.dtype).eps)  # in which backward has rounded x and the slope
    allowed = 1e-7 * max(1.0, *map(abs, slopes)) + 10 * precision * (abs(x * bend) + 10 * abs(slope))
    if not min(slopes) - allowed <= slope <= max(slopes) + allowed:
        raise ValueError(
            f"the backward of layer {record.name!r} ({type(record.layer).__name__}) contradicts its forward: "
            f"the slope at {x:.10g} is {slope:.10g} by backward, {slopes[2]:.10g} by central differences."
        )


class LearnedSlopeRule(Rule, of=PReLU):
    """The number itself, or its product with the slope of its channel."""

    formula = "y = x if x > 0 else w[c] x"
    gradients = {
        "x": "dx = dy if x > 0 else w[c] dy",
        "weight": "dw[c] = sum of dy x over the x <= 0 of channel c",
    }

    @staticmethod
    def _factors(record: LayerRecord, index: Index) -> tuple[Factor, ...]:
        if record.x[index] > 0:
            return ()
        shared = len(record.layer.params["weight"]) == 1
        return (parameter_at(record, "weight", (0,) if shared else (index[1],)),)

    def forward(self, record: LayerRecord, index: Index) -> list[Term]:
        factors = self._factors(record, index)
        return [product(x_at(record, index), *factors, note="is damped" if factors else "passes")]

    def input_gradient(self, record: LayerRecord, index: Index, slot: int) -> list[Term]:
        return [product(dy_at(record, index), *self._factors(record, index))]

    def parameter_gradient(self, record: LayerRecord, key: str, index: Index) -> list[Term]:
        return [
            product(dy_at(record, place), x_at(record, place))
            for place in np.ndindex(*record.x.shape)
            if any(factor.index == index for factor in self._factors(record, place))
        ]
