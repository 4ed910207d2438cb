"""Lower pooling over whole maps."""

from __future__ import annotations

from typing import Any

from neocog.compilation.emitter import Emitter, Lowering, lowers
from neocog.compilation.lowerings.pooling import MaxPooling, PoolWindows
from neocog.compilation.nodes import LayerNode
from neocog.kernels.fused.program import Maps
from neocog.layers import GlobalAvgPool2D, GlobalMaxPool2D
from neocog.layers.base import Shape


@lowers(GlobalMaxPool2D)
class GlobalMaxPooling(MaxPooling):
    """Global max pooling: one window, as large as the map."""

    settings = ()

    def windows(self, layer: Any, x_shape: Shape) -> PoolWindows:
        return PoolWindows((x_shape[2], x_shape[3]))


@lowers(GlobalAvgPool2D)
class GlobalAveragePooling(Lowering):
    """The mean of each map."""

    any_layout = True

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        x, y = node.input.place, emit.maps(node.output)
        emit.program.add("plane_mean", x.C, _work(x), **_sizes(x), x=x, y=y)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        if node.input.wanted:
            with emit.into(node.input) as dx:
                emit.program.add("plane_mean_back", dx.C, _work(dx), **_sizes(dx), dy=dy, dx=dx)


def _sizes(maps: Maps) -> dict[str, Any]:
    return {"C": maps.C, "rows": maps.H, "W": maps.W, "N": maps.N}


def _work(maps: Maps) -> float:
    return 1.0 * maps.C * maps.H * maps.lanes
