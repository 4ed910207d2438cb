"""Lower dropout."""

from __future__ import annotations

from neocog.compilation.emitter import Emitter, lowers
from neocog.compilation.lowerings.shape import Reshaping
from neocog.compilation.nodes import LayerNode
from neocog.kernels.fused import lowering
from neocog.kernels.fused.program import Maps, Slot
from neocog.layers import Dropout


@lowers(Dropout)
class Dropping(Reshaping):
    """Multiplication by a mask that the layer's own generator draws before each run; nothing in inference."""

    settings = ("p",)

    def flat(self, node: LayerNode, training: bool) -> tuple[bool, bool]:
        return True, not _drops(node, training)

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        if not _drops(node, emit.training):
            super().forward(emit, node)
            return
        y = emit.maps(node.output)
        mask = node.memo["mask"] = emit.program.maps(*node.output.shape, emit.N)
        slot, layer, shape = Slot(), node.layer, node.output.array_shape

        def draw() -> None:
            kept = layer.rng.random(shape) >= layer.p
            emit.bind(slot, (kept / (1 - layer.p)).astype(emit.program.dtype))

        emit.program.call(draw)
        lowering.load(emit.program, slot, mask)
        emit.pointwise("multiply", 1.0, x=node.input.place, y=mask, z=y)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        if not _drops(node, emit.training):
            super().backward(emit, node, dy)
        elif node.input.wanted:
            with emit.into(node.input) as dx:
                emit.pointwise("multiply", 1.0, x=dy, y=node.memo["mask"], z=dx)


def _drops(node: LayerNode, training: bool) -> bool:
    return training and node.layer.p > 0
