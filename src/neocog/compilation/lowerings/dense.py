"""Lower dense layers."""

from __future__ import annotations

from neocog.compilation.emitter import Emitter, Lowering, lowers
from neocog.compilation.nodes import LayerNode
from neocog.kernels.fused import lowering
from neocog.kernels.fused.lowering.dense import FEW_IMAGES
from neocog.kernels.fused.program import Maps
from neocog.kernels.geometry import NO_PADDING
from neocog.layers import Dense

_SUMS_STORED = 3.0
"""Measured time of the sums of a few images as weights lie in a layer, over that of packed ones."""


@lowers(Dense)
class MatrixProduct(Lowering):
    """``y = x w + b``."""

    takes_clip = True
    any_layout = True

    def flat(self, node: LayerNode, training: bool) -> tuple[bool, bool]:
        return True, False

    def layout_costs(self, emit: Emitter, node: LayerNode) -> tuple[float, float] | None:
        # Packed, the weights are one stream of memory, and no sum is stored before its end.
        cost = self._convolution(emit, node).cost(True)
        return cost * (_SUMS_STORED if emit.N < FEW_IMAGES else 1), cost

    @staticmethod
    def _convolution(emit: Emitter, node: LayerNode) -> lowering.Convolution:
        """Return the layer as a convolution of maps of one pixel."""
        inputs, outputs = node.layer.params["weight"].shape
        shapes = (emit.N, inputs, 1, 1), (outputs, inputs, 1, 1)
        return lowering.Convolution(emit.program, *shapes, (1, 1), NO_PADDING, (1, 1), channels_last=True)

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        x, y, params = node.input.place, emit.maps(node.output), node.layer.params
        if node.channels_last:
            emit.move_out(node.layer)  # large: they are not to be in memory twice while they are packed
            weight = params["weight"].T[:, :, None, None]
            conv, bias = self._convolution(emit, node), params.get("bias")
            lowering.add_pixel_product(emit.program, conv, x, weight, bias, y, node.bounds)
            return
        lowering.dense(emit.program, x, params["weight"], params.get("bias"), y, node.bounds)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        if node.learns:
            lowering.dense_weight(emit.program, node.input.place, dy, emit.gradient(node, "weight"))
        emit.bias_backward(node, dy)
        if node.input.wanted:
            with emit.into(node.input) as dx:
                lowering.dense_input(emit.program, dy, node.layer.params["weight"], dx)
