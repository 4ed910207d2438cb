"""Lower padding with channels of zeros."""

from __future__ import annotations

from neocog.compilation.emitter import Emitter, Lowering, lowers
from neocog.compilation.nodes import LayerNode
from neocog.kernels.fused import lowering
from neocog.kernels.fused.program import Maps
from neocog.layers import PadChannels


@lowers(PadChannels)
class ChannelPadding(Lowering):
    """Appended channels: copy the channels, and clear those after them."""

    computes = False

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        x, y = node.input.place, emit.maps(node.output)
        emit.program.clear(y.channels(x.C, y.C - x.C))
        lowering.transfer(emit.program, x, y.channels(0, x.C))

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        if node.input.wanted:
            with emit.into(node.input) as dx:
                lowering.transfer(emit.program, dy.channels(0, dx.C), dx)
