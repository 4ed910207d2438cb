"""Lower upsampling."""

from __future__ import annotations

from neocog.compilation.emitter import Emitter, Lowering, lowers
from neocog.compilation.nodes import LayerNode
from neocog.kernels.fused import lowering
from neocog.kernels.fused.program import Maps
from neocog.layers import Upsample


@lowers(Upsample)
class Upsampling(Lowering):
    """Rows and columns read at the layer's places."""

    any_layout = True
    settings = ("scale", "mode", "align_corners")

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        places = node.layer.places(node.input.array_shape)
        lowering.resample(emit.program, node.input.place, emit.maps(node.output), *places)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        if node.input.wanted:
            with emit.into(node.input) as dx:
                lowering.resample_back(emit.program, dy, dx, *node.layer.places(node.input.array_shape))
