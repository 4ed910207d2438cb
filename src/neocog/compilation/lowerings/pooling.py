"""Lower pooling by windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from neocog.compilation.emitter import Emitter, Lowering, Use, lowers
from neocog.compilation.nodes import LayerNode, Uncompilable
from neocog.kernels.fused import lowering
from neocog.kernels.fused.program import Maps
from neocog.kernels.geometry import NO_PADDING, Padding, Pair
from neocog.layers import AvgPool2D, MaxPool2D
from neocog.layers.base import Shape

_MOST_TAPS = 255
"""Most pixels of a window of max pooling: the winner's number is kept in a byte, in which 255 means none."""


@dataclass(frozen=True)
class PoolWindows:
    """The windows of a pooling layer over images of one size."""

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = NO_PADDING
    counted: bool = True  # whether a mean counts the padding


class Pooling(Lowering):
    """The maximum, or the mean, of each window."""

    any_layout = True
    kind = ""
    settings: ClassVar[tuple[str, ...]] = ("kernel_size", "stride", "sides", "dilation", "ceil_mode")

    def windows(self, layer: Any, x_shape: Shape) -> PoolWindows:
        """Return the windows of a layer; raise Uncompilable if pooling them is not supported."""
        if layer.dilation != (1, 1):
            raise Uncompilable("dilated pooling")
        return PoolWindows(layer.kernel_size, layer.stride, layer.window_sides(x_shape))

    def supports(self, layer: Any, input_shapes: Sequence[Shape], output_shape: Shape, use: Use) -> None:
        self.windows(layer, input_shapes[0])

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        x, y = node.input.place, emit.maps(node.output)
        windows = node.memo["pooled"] = self.windows(node.layer, node.input.array_shape)
        if self.kind == "max" and emit.training:
            node.memo["index"] = emit.program.memory(y.C * y.H * y.lanes, size=1)
        lowering.pool(emit.program, self.kind, x, y, node.memo.get("index"), *_geometry(windows))

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        if not node.input.wanted:
            return
        before = node.input.producer
        relu = before is not None and before.clip is not None and emit.pooling_undoes_relu(before)
        index, where = node.memo.get("index"), node.output.place if relu else None
        with emit.into(node.input) as dx:
            geometry = _geometry(node.memo["pooled"])
            lowering.pool_back(emit.program, self.kind, dy, dx, index, *geometry, pooled=where)


def _geometry(windows: PoolWindows) -> tuple[Pair, Pair, Padding, bool]:
    return windows.kernel, windows.stride, windows.padding, windows.counted


@lowers(MaxPool2D)
class MaxPooling(Pooling):
    """Max pooling; the backward uses the winners' numbers and includes that of a ReLU just before."""

    kind = "max"
    undoes_relu_before = True

    def supports(self, layer: Any, input_shapes: Sequence[Shape], output_shape: Shape, use: Use) -> None:
        kernel = self.windows(layer, input_shapes[0]).kernel
        if kernel[0] * kernel[1] > _MOST_TAPS:
            raise Uncompilable(f"a pooling window of more than {_MOST_TAPS} pixels")


@lowers(AvgPool2D)
class AveragePooling(Pooling):
    """Average pooling over whole windows, or over their part in the image."""

    kind = "avg"
    settings = (*Pooling.settings, "count_include_pad", "divisor_override")

    def windows(self, layer: Any, x_shape: Shape) -> PoolWindows:
        windows = super().windows(layer, x_shape)
        geometry = (windows.kernel, windows.stride, windows.padding, layer.dilation)
        counted = lowering.counts_padding(x_shape, *geometry, layer.counts(x_shape))
        if counted is None:
            raise Uncompilable("means over a divisor of their own")
        return PoolWindows(windows.kernel, windows.stride, windows.padding, counted)
