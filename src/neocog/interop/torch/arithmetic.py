"""Convert sums, differences, products and extrema of tensors, parameters, buffers and numbers."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neocog.interop.torch.graph_builder import BATCH, TracedValue, UnsupportedError
from neocog.interop.torch.operators.arguments import is_learned
from neocog.interop.torch.registry import Apply, Loaded
from neocog.layers import Add, Bias, Layer, Maximum, Minimum, Multiply, Power, Rescale, Scale, Sqrt

ARITHMETIC: dict[Any, str] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), "add"),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, torch.subtract, "sub", "sub_"), "subtract"),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_"), "multiply"),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div, torch.divide), "divide"),
    **dict.fromkeys(("div", "div_", torch.true_divide), "divide"),
    **dict.fromkeys((operator.neg, torch.neg, torch.negative, "neg", "neg_"), "negative"),
    **dict.fromkeys((operator.pow, torch.pow, "pow", torch.square, "square"), "power"),
    **dict.fromkeys((torch.rsub, "rsub"), "subtract_from"),
    **dict.fromkeys((torch.reciprocal, "reciprocal"), "reciprocal"),
    **dict.fromkeys((torch.rsqrt, "rsqrt"), "reciprocal_root"),
    **dict.fromkeys((torch.addcmul, "addcmul", "addcmul_"), "add_product"),
    **dict.fromkeys((torch.maximum, "maximum", torch.max, "max"), "maximum"),
    **dict.fromkeys((torch.minimum, "minimum", torch.min, "min"), "minimum"),
}
"""The method of :class:`Arithmetic` by the function, or by the name of a tensor's method."""

IN_PLACE = {operator.iadd, operator.isub, operator.imul, operator.itruediv}
"""Functions that write into their first argument, besides the methods whose names end in ``_``."""


class Arithmetic:
    """Computes with operands of which one at least is a tensor of the network.

    A parameter becomes a layer that learns it (Bias, Scale), a buffer or a number a Rescale.
    """

    def __init__(self, apply: Apply) -> None:
        self._apply = apply

    def add(self, x: Any, other: Any, alpha: float = 1) -> TracedValue:
        """Convert ``x + other``."""
        if alpha != 1:
            raise UnsupportedError(f"alpha={alpha!r} has no counterpart; 1 is supported")
        if not isinstance(x, TracedValue):
            x, other = other, x
        if isinstance(other, TracedValue):
            return self._joined("add", Add(), x, other)
        if is_learned(other):
            return self._apply("bias", Loaded(Bias(tuple(other.shape)), {"bias": other}), x)
        return self._rescaled(x, offset=other)

    def multiply(self, x: Any, other: Any) -> TracedValue:
        """Convert ``x * other``."""
        if not isinstance(x, TracedValue):
            x, other = other, x
        if isinstance(other, TracedValue):
            return self._joined("mul", Multiply(), x, other)
        if is_learned(other):
            return self._apply("scale", Loaded(Scale(tuple(other.shape)), {"weight": other}), x)
        return self._rescaled(x, scale=other)

    def negative(self, x: Any) -> Any:
        """Convert ``-x``; a buffer or a number is computed."""
        return self._rescaled(x, scale=-1.0) if isinstance(x, TracedValue) else -x

    def subtract(self, x: Any, other: Any, alpha: float = 1) -> TracedValue:
        """Convert ``x - other``; a parameter is added to ``-x``, and the sum negated."""
        if is_learned(other):
            total: TracedValue = self.negative(self.add(self.negative(x), other, alpha))
            return total
        return self.add(x, self.negative(other), alpha)

    def subtract_from(self, x: Any, other: Any, alpha: float = 1) -> TracedValue:
        """Convert ``other - x``."""
        return self.subtract(other, x, alpha)

    def divide(self, x: Any, other: Any) -> TracedValue:
        """Convert ``x / other``; by what is computed it is a product with the reciprocal."""
        if isinstance(other, TracedValue):
            return self.multiply(x, self.power(other, -1))
        if is_learned(other):
            raise UnsupportedError(
                "dividing by a parameter has no counterpart; by a number, a buffer or a computed tensor has"
            )
        return self._rescaled(x, scale=1 / other)

    def power(self, x: Any, exponent: Any = 2) -> TracedValue:
        """Convert a power with a fixed exponent."""
        if not isinstance(x, TracedValue) or not isinstance(exponent, int | float) or exponent == 0:
            raise UnsupportedError("its exponent must be a number other than 0")
        if exponent == 2:
            return self._apply("square", Multiply(), x, x)
        if exponent == 0.5:
            return self._apply("sqrt", Sqrt(), x)
        if exponent == 1:
            return x
        return self._apply("power", Power(exponent), x)

    def reciprocal(self, x: Any) -> TracedValue:
        """Convert ``1 / x``."""
        return self.power(x, -1)

    def reciprocal_root(self, x: Any) -> TracedValue:
        """Convert ``1 / sqrt(x)``."""
        return self.power(x, -0.5)

    def add_product(self, x: Any, first: Any, second: Any, value: float = 1) -> TracedValue:
        """Convert ``x + value first second``."""
        product = self.multiply(first, second)
        return self.add(x, product if value == 1 else self._rescaled(product, scale=value))

    def maximum(self, x: Any, other: Any = None) -> TracedValue:
        """Convert the larger of two."""
        return self._extremum("maximum", Maximum(), x, other)

    def minimum(self, x: Any, other: Any = None) -> TracedValue:
        """Convert the smaller of two."""
        return self._extremum("minimum", Minimum(), x, other)

    def _extremum(self, name: str, layer: Maximum | Minimum, x: Any, other: Any) -> TracedValue:
        if not isinstance(x, TracedValue) or not isinstance(other, TracedValue):
            raise UnsupportedError(f"only the {name} of two tensors made of the input has a counterpart")
        return self._joined(name, layer, x, other)

    def _joined(self, name: str, layer: Layer, x: TracedValue, other: TracedValue) -> TracedValue:
        """Join two values; one that repeats another is that other, where the layer repeats it as well."""
        if x.shape == other.shape and x.narrow is not None:
            x = x.narrow
        elif x.shape == other.shape and other.narrow is not None:
            other = other.narrow
        return self._apply(name, layer, x, other)

    def _rescaled(self, x: TracedValue, **given: Any) -> TracedValue:
        """Multiply by ``scale``, or add ``offset``: a number or a buffer."""
        ((name, other),) = given.items()
        if isinstance(other, Tensor):
            if other.requires_grad:
                raise UnsupportedError(
                    "a tensor computed from parameters has no counterpart; a parameter has"
                )
            if other.ndim:
                zeros = np.zeros(tuple(other.shape)).tolist()
                return self._apply("rescale", Loaded(Rescale(**{name: zeros}), {name: other}), x)
            other = other.item()
        if not isinstance(other, int | float) or _counts_images(other):
            what = "the batch size" if isinstance(other, int | float) else repr(other)
            raise UnsupportedError(f"computing with {what} has no counterpart; with another number it has")
        if other == (name == "scale"):  # changes nothing: 0 is the start value of the built-in sum
            return x
        return self._apply("rescale", Rescale(**{name: float(other)}), x)


def _counts_images(number: float) -> bool:
    """Return whether a number is a multiple of the batch size's stand-in, or a fraction by it."""
    sizes = [abs(number), abs(1 / number)] if number else []
    return any(size >= BATCH - 0.5 and abs(size / BATCH - round(size / BATCH)) < 1e-9 for size in sizes)
