"""Lower Flatten and Reshape, which move no number, and Transpose, which moves all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neocog.compilation.emitter import Emitter, Lowering, Use, lowers
from neocog.compilation.lowerings.channels import Copies
from neocog.compilation.nodes import LayerNode, Uncompilable
from neocog.kernels.fused import lowering
from neocog.kernels.fused.program import Maps
from neocog.layers import Flatten, Reshape, Transpose
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


@lowers(Transpose)
class Permutation(Copies):
    """Axes in another order, that of the output's memory."""

    settings = ("axes",)

    def supports(self, layer: Any, input_shapes: Sequence[Shape], output_shape: Shape, use: Use) -> None:
        if layer.axes[0] != 0:
            raise Uncompilable("a transpose of the batch")

    def places(self, layer: Transpose, x: Maps) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        return 0, x.shape, lowering.strides(x)

    def target(self, layer: Transpose, y: Maps) -> tuple[int, ...]:
        steps = lowering.strides(y)
        places = {axis: steps[k - 1] for k, axis in enumerate(layer.axes) if k}
        return *(places.get(axis, 0) for axis in (1, 2, 3)), steps[3]
