"""Lower means and sums along axes."""

from __future__ import annotations

import math

from neocog.compilation.emitter import Emitter, Lowering, lowers
from neocog.compilation.nodes import LayerNode, features
from neocog.kernels.fused import lowering
from neocog.kernels.fused.program import Maps
from neocog.layers import Mean, Sum


@lowers(Mean, Sum)
class Reduction(Lowering):
    """``y = sum of x / n``; n is 1 for a sum."""

    any_layout = True
    settings = ("axes", "keepdims")

    def flat(self, node: LayerNode, training: bool) -> tuple[bool, bool]:
        return False, True

    @staticmethod
    def _operand(node: LayerNode, maps: Maps) -> lowering.Operand:
        """Return the output, or its gradient, as an operand of the input's axes."""
        shape = node.input.array_shape
        over = node.layer.over(shape)
        kept = tuple(1 if axis in over else size for axis, size in enumerate(shape))
        C, H, W = features(kept, shape[0])
        if maps.channels_last:
            return lowering.operand(maps.origin, (shape[0], H, W), C)
        return lowering.operand(maps.origin, (C, H, W), shape[0])

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        y = self._operand(node, emit.maps(node.output))
        factor = 1 / node.layer.divisor(node.input.array_shape)
        lowering.reduce(emit.program, node.input.place, y, gain=factor)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        if not node.input.wanted:
            return
        share, factor = dy, 1 / node.layer.divisor(node.input.array_shape)
        if factor != 1:
            share = emit.program.maps(*dy.shape)
            bounds = {"low": -math.inf, "high": math.inf}
            emit.pointwise("clip", 2.0, x=dy, y=share, slope=factor, offset=0.0, **bounds)
        with emit.into(node.input) as dx:
            lowering.repeat(emit.program, self._operand(node, share), dx)
