"""Lower products with learned and with fixed numbers, and sums with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from neocog.compilation.emitter import Emitter, Lowering, Use, lowers
from neocog.compilation.nodes import LayerNode, TensorNode, Uncompilable, features
from neocog.kernels.fused import lowering
from neocog.kernels.fused.operations import broadcasting
from neocog.kernels.fused.program import Maps
from neocog.layers import Rescale, Scale
from neocog.layers.base import Shape


def array_operand(array: np.ndarray, value: TensorNode, place: Any = None) -> lowering.Operand:
    """Return an array, aligned with the last axes of an input, or what has its shape at a place."""
    shape = (1,) * (len(value.array_shape) - array.ndim) + array.shape
    operand = lowering.operand(array if place is None else place, features(shape, 1))
    return operand.channels_last if value.channels_last else operand


def check_repeatable(shape: Shape, input_shape: Shape) -> None:
    """Raise Uncompilable if an array has numbers of its own for each image of a batch."""
    if len(shape) == len(input_shape) and shape[0] != 1:
        raise Uncompilable("an array along the batch")


@lowers(Scale)
class Scaling(Lowering):
    """``y = w x``; ``dw`` is the sum of ``dy x``."""

    any_layout = True

    def supports(self, layer: Any, input_shapes: Sequence[Shape], output_shape: Shape, use: Use) -> None:
        check_repeatable(layer.shape, input_shapes[0])

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        weight = self._weight(node)
        lowering.combine(
            emit.program, broadcasting.MULTIPLY, node.input.place, weight, emit.maps(node.output)
        )

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        if node.learns:
            d_weight = self._weight(node, (emit.gradient(node, "weight"), 0))
            lowering.reduce(emit.program, dy, d_weight, node.input.place)
        if node.input.wanted:
            with emit.into(node.input) as dx:
                lowering.combine(emit.program, broadcasting.MULTIPLY, dy, self._weight(node), dx)

    @staticmethod
    def _weight(node: LayerNode, place: Any = None) -> lowering.Operand:
        return array_operand(node.layer.params["weight"], node.input, place)


@lowers(Rescale)
class Rescaling(Lowering):
    """``y = a x + b`` with fixed numbers or arrays."""

    any_layout = True

    def settings_of(self, layer_class: type[Any]) -> Callable[[Any], Any]:
        return lambda layer: tuple(each if isinstance(each, float) else id(each) for each in layer.terms())

    def supports(self, layer: Any, input_shapes: Sequence[Shape], output_shape: Shape, use: Use) -> None:
        for array in layer.buffers.values():
            check_repeatable(array.shape, input_shapes[0])

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        x, y = node.input.place, emit.maps(node.output)
        scale, offset = node.layer.terms()
        number = offset if isinstance(offset, float) else 0.0
        self._scaled(emit, node, x, y, scale, number)
        if not isinstance(offset, float):
            operand = array_operand(offset, node.input)
            lowering.combine(emit.program, broadcasting.ADD, y, operand, y)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        if node.input.wanted:
            with emit.into(node.input) as dx:
                self._scaled(emit, node, dy, dx, node.layer.terms()[0])

    @staticmethod
    def _scaled(emit: Emitter, node: LayerNode, x: Maps, y: Maps, scale: Any, offset: float = 0.0) -> None:
        """Write ``y = scale x``, and a number added."""
        if not isinstance(scale, float):
            operand = array_operand(scale, node.input)
            lowering.combine(emit.program, broadcasting.MULTIPLY, x, operand, y)
            x, scale = y, 1.0
            if not offset:
                return
        bounds = {"low": -math.inf, "high": math.inf}
        emit.pointwise("clip", 2.0, x=x, y=y, slope=scale, offset=offset, **bounds)
