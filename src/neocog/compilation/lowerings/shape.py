"""Lower layers that move no number: Flatten and Reshape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neocog.compilation.emitter import Emitter, Lowering, Use, lowers
from neocog.compilation.nodes import LayerNode, Uncompilable
from neocog.kernels.fused import lowering
from neocog.kernels.fused.program import Maps
from neocog.layers import Flatten, Reshape
from neocog.layers.base import Shape


@lowers(Flatten, Reshape)
class Reshaping(Lowering):
    """A view: the output shares the input's memory; the gradients share theirs if nothing else reads it."""

    computes = False

    def supports(self, layer: Any, input_shapes: Sequence[Shape], output_shape: Shape, use: Use) -> None:
        if output_shape[0] != input_shapes[0][0]:
            raise Uncompilable("a reshape of the batch")

    def flat(self, node: LayerNode, training: bool) -> tuple[bool, bool]:
        return True, True

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        node.output.maps = node.input.place.reshaped(*node.output.shape)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        value = node.input
        if not value.wanted:
            return
        if value.gradient is None and value.alone:
            value.gradient = dy.reshaped(*value.shape)
            return
        with emit.into(value) as dx:
            lowering.transfer(emit.program, dy.reshaped(*value.shape), dx)
