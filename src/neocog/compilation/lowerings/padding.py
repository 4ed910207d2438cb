"""Lower padding of maps, in every mode, and with channels of zeros."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from neocog.compilation.emitter import Emitter, Lowering, lowers
from neocog.compilation.nodes import LayerNode
from neocog.kernels.fused import lowering
from neocog.kernels.fused.program import Maps
from neocog.layers import Pad2D, PadChannels
from neocog.layers.padding import copied_from


@lowers(Pad2D)
class Padding(Lowering):
    """The constant everywhere, then the image inside; or rows and columns read where they are copied from."""

    any_layout = True
    computes = False
    settings = ("padding", "value", "mode")

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        program, x, y = emit.program, node.input.place, emit.maps(node.output)
        if node.layer.mode != "constant":
            lowering.resample(program, x, y, *_places(node.layer, x))
            return
        constant, own = np.array([node.layer.value], program.dtype), lowering.strides(y)
        lowering.copy(program, constant, (0, 0, 0, 0), y.origin, y.shape, own)
        lowering.copy(program, x.origin, lowering.strides(x), _inside(node.layer, y), x.shape, own)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        if not node.input.wanted:
            return
        program, own = emit.program, lowering.strides(dy)
        with emit.into(node.input) as dx:
            if node.layer.mode != "constant":
                lowering.resample_back(program, dy, dx, *_places(node.layer, dx))
                return
            lowering.copy(program, _inside(node.layer, dy), own, dx.origin, dx.shape, lowering.strides(dx))


def _inside(layer: Pad2D, y: Maps) -> Any:
    """Return the place of the image's first pixel in the padded maps."""
    (top, _), (left, _) = layer.padding
    return lowering.shifted(y.origin, top * y.row + left * y.N)


def _places(layer: Pad2D, x: Maps) -> Iterator[Any]:
    """Yield where the rows, and where the columns, are copied from: one pixel each."""
    for size, around in zip((x.H, x.W), layer.padding, strict=True):
        source = copied_from(size, around, layer.mode)
        yield source, source, (0.0,) * len(source)


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
