"""Lower upsampling."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.compilation.emitter import Emitter, Lowering, lowers, space
from neocog.compilation.nodes import LayerNode
from neocog.kernels.fused.program import Maps
from neocog.layers import Upsample


@lowers(Upsample)
class Upsampling(Lowering):
    """Rows and columns read at the places of two tables."""

    settings = ("scale", "mode", "align_corners")

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        x, y = node.input.place, emit.maps(node.output)
        fields = self._fields(emit, node, x, y)
        emit.program.add("upsample", y.C, 6.0 * y.C * y.H * y.lanes, x=x, y=y, **fields)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        if node.input.wanted:
            with emit.into(node.input) as dx:
                fields = self._fields(emit, node, dx, dy)
                emit.program.add(
                    "upsample_back", dy.C, 6.0 * dy.C * dy.H * dy.lanes, dy=dy, dx=dx, H=dx.H, **fields
                )

    @staticmethod
    def _fields(emit: Emitter, node: LayerNode, x: Maps, y: Maps) -> dict[str, Any]:
        """Return the fields of both operations; a thread needs room for one row of x."""
        program = emit.program
        program.scratch = max(program.scratch, x.lanes * program.size)
        (top, bottom, below), (left, right, beyond) = node.layer.places(node.input.array_shape)
        return space(y) | {
            "W": x.W,
            "N": x.N,
            "linear": int(node.layer.mode == "bilinear"),
            "down": program.table([*top, *bottom]),
            "across": program.table([*left, *right]),
            "down_share": np.array(below, program.dtype),
            "across_share": np.array(beyond, program.dtype),
        }
