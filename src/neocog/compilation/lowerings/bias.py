"""Lower the sum with learned numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neocog.compilation.emitter import Emitter, Lowering, Use, lowers
from neocog.compilation.lowerings.scaling import array_operand, check_repeatable
from neocog.compilation.nodes import LayerNode
from neocog.kernels.fused import lowering
from neocog.kernels.fused.operations import broadcasting
from neocog.kernels.fused.program import Maps
from neocog.layers import Bias
from neocog.layers.base import Shape


@lowers(Bias)
class Shifting(Lowering):
    """``y = x + b``; ``db`` is the sum of ``dy``."""

    any_layout = True

    def supports(self, layer: Any, input_shapes: Sequence[Shape], output_shape: Shape, use: Use) -> None:
        check_repeatable(layer.shape, input_shapes[0])

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        bias = array_operand(node.layer.params["bias"], node.input)
        lowering.combine(emit.program, broadcasting.ADD, node.input.place, bias, emit.maps(node.output))

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        if node.learns:
            place = emit.gradient(node, "bias"), 0
            bias = array_operand(node.layer.params["bias"], node.input, place)
            lowering.reduce(emit.program, dy, bias)
        if node.input.wanted:
            with emit.into(node.input) as dx:
                lowering.transfer(emit.program, dy, dx)
