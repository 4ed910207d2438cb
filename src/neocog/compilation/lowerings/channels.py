"""Lower layers that take a part of the channels, or put them in another order."""

from __future__ import annotations

from typing import Any

from neocog.compilation.emitter import Emitter, Lowering, lowers
from neocog.compilation.nodes import LayerNode
from neocog.kernels.fused import lowering
from neocog.kernels.fused.program import Maps
from neocog.layers import ChannelShuffle, Slice


class Copies(Lowering):
    """Numbers that only move: copied with the strides of their places in the input, and back."""

    computes = False

    def places(self, layer: Any, x: Maps) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        """Return the element of x that comes first, and the sizes and strides of four axes of x."""
        raise NotImplementedError

    def target(self, layer: Any, y: Maps) -> tuple[int, ...]:
        """Return the strides of these axes in the output."""
        return lowering.strides(y)

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        x, y = node.input.place, emit.maps(node.output)
        first, shape, strides = self.places(node.layer, x)
        memory, begin = x.origin
        target = self.target(node.layer, y)
        lowering.copy(emit.program, (memory, begin + first), strides, y.origin, shape, target)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        value = node.input
        if not value.wanted:
            return
        is_first, dx = value.gradient is None, value.gradient or emit.gradient_maps(value)
        first, shape, strides = self.places(node.layer, dx)
        if is_first and node.output.shape != value.shape:
            emit.program.clear(dx)
        memory, begin = dx.origin
        source = self.target(node.layer, dy)
        lowering.copy(
            emit.program, dy.origin, source, (memory, begin + first), shape, strides, adding=not is_first
        )


@lowers(Slice)
class Slicing(Copies):
    """A part of an axis; neighbouring channels are a view of the input's memory."""

    any_layout = True
    settings = ("start", "stop", "step", "axis")

    def flat(self, node: LayerNode, training: bool) -> tuple[bool, bool]:
        return _is_view(node), _is_view(node)

    def places(self, layer: Slice, x: Maps) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        taken = layer.places(tuple(x.shape[axis] for axis in x.axes))
        shape, strides, k = list(x.shape), list(lowering.strides(x)), x.axes[layer.axis]
        first, shape[k], strides[k] = taken.start * strides[k], len(taken), taken.step * strides[k]
        return first, tuple(shape), tuple(strides)

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        if not _is_view(node) or node.channels_last:
            super().forward(emit, node)
            return
        x = node.input.place
        first = node.layer.places((x.N, x.C, x.H, x.W)).start
        node.output.maps = x.channels(first, node.output.shape[0])


def _is_view(node: LayerNode) -> bool:
    return bool(node.layer.axis == 1 and node.layer.step == 1)


@lowers(ChannelShuffle)
class Shuffling(Copies):
    """Channels in another order: the axis of channels is two, swapped."""

    any_layout = True
    settings = ("groups",)

    def places(self, layer: ChannelShuffle, x: Maps) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        each = x.C // layer.groups
        return 0, (layer.groups, each, x.H, x.lanes), (each * x.plane, x.plane, x.row, 1)

    def target(self, layer: ChannelShuffle, y: Maps) -> tuple[int, ...]:
        return y.plane, layer.groups * y.plane, y.row, 1

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        if not node.channels_last:
            super().forward(emit, node)
            return
        x, y, groups = node.input.place, emit.maps(node.output), node.layer.groups
        each = x.N // groups
        for g in range(groups):
            source, target = lowering.shifted(x.origin, g * each), lowering.shifted(y.origin, g)
            steps, spread = (x.plane, x.row, x.N, 1), (y.plane, y.row, y.N, groups)
            lowering.copy(emit.program, source, steps, target, (x.C, x.H, x.W, each), spread)
