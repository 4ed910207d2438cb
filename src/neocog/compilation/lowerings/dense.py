"""Lower dense layers."""

from __future__ import annotations

from neocog.compilation.emitter import Emitter, Lowering, lowers
from neocog.compilation.nodes import LayerNode
from neocog.kernels.fused import lowering
from neocog.kernels.fused.program import Maps
from neocog.layers import Dense


@lowers(Dense)
class MatrixProduct(Lowering):
    """``y = x w + b``."""

    takes_clip = True

    def flat(self, node: LayerNode, training: bool) -> tuple[bool, bool]:
        return True, False

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        x, y, params = node.input.place, emit.maps(node.output), node.layer.params
        lowering.dense(emit.program, x, params["weight"], params.get("bias"), y, node.bounds)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        if node.learns:
            lowering.dense_weight(emit.program, node.input.place, dy, emit.gradient(node, "weight"))
        emit.bias_backward(node, dy)
        if node.input.wanted:
            with emit.into(node.input) as dx:
                lowering.dense_input(emit.program, dy, node.layer.params["weight"], dx)
