"""Lower dropout, of single numbers and of whole branches."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from neocog.compilation.emitter import Emitter, lowers
from neocog.compilation.lowerings.shape import Reshaping
from neocog.compilation.nodes import LayerNode
from neocog.kernels.fused import lowering
from neocog.kernels.fused.program import Maps, Slot
from neocog.layers import Dropout, StochasticDepth


@lowers(Dropout, StochasticDepth)
class Dropping(Reshaping):
    """Multiplication by a mask that the layer's own generator draws before each run; nothing in inference."""

    any_layout = True
    settings: ClassVar[tuple[str, ...]] = ("p",)

    def flat(self, node: LayerNode, training: bool) -> tuple[bool, bool]:
        return True, not _drops(node)

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        if not _drops(node):
            node.output.maps, node.output.channels_last = node.input.place, node.input.channels_last
            return
        y = emit.maps(node.output)
        slot, layer, shape = node.memo.setdefault("slot", Slot()), node.layer, node.output.array_shape
        mask, node.memo["mask"] = self.mask(emit, y)

        def draw() -> None:
            kept = layer.rng.random(layer.mask_shape(shape)) >= layer.p
            emit.bind(slot, self.repeated((kept / (1 - layer.p)).astype(emit.program.dtype), mask))

        if not emit.again:  # else what was drawn is loaded once more
            emit.program.call(draw)
        lowering.load(emit.program, slot, mask)
        emit.pointwise("multiply", 1.0, x=node.input.place, **node.memo["mask"], z=y)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        if not _drops(node):
            super().backward(emit, node, dy)
        elif node.input.wanted:
            with emit.into(node.input) as dx:
                emit.pointwise("multiply", 1.0, x=dy, **node.memo["mask"], z=dx)

    def mask(self, emit: Emitter, y: Maps) -> tuple[Maps, dict[str, Any]]:
        """Reserve memory for the mask; return it, and the fields of the factor that it is."""
        mask = emit.program.maps(y.C, y.H, y.W, y.N)
        return mask, {"y": mask}

    def repeated(self, drawn: np.ndarray, mask: Maps) -> np.ndarray:
        """Return the numbers that were drawn as the array that the mask is loaded from."""
        return drawn


@lowers(StochasticDepth)
class BranchDropping(Dropping):
    """One factor an image: the mask is a single row, which all rows are multiplied by."""

    settings = ("p", "mode")

    def mask(self, emit: Emitter, y: Maps) -> tuple[Maps, dict[str, Any]]:
        row = emit.program.maps(1, 1, y.W, y.N)
        return row, {"y": row.origin, "y_plane": 0, "y_row": 0}

    def repeated(self, drawn: np.ndarray, mask: Maps) -> np.ndarray:
        return np.ascontiguousarray(np.broadcast_to(drawn.reshape(-1, 1), (mask.N, mask.W)))


def _drops(node: LayerNode) -> bool:
    return node.training and node.layer.p > 0
