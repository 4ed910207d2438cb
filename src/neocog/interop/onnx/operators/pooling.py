"""Write and read MaxPool and AveragePool."""

from __future__ import annotations

import math

from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node, reads
from neocog.interop.onnx.symbolic import SymbolicValue
from neocog.interop.onnx.windows import pads, plain, read_windows
from neocog.kernels.geometry import Padding
from neocog.layers import AvgPool2D, MaxPool2D


def _sides(layer: MaxPool2D | AvgPool2D, x: Tensor) -> tuple[Padding, bool]:
    """Return the padding for these images, and whether ONNX's ``ceil_mode`` is to be set.

    A last window that would begin in the end padding is dropped, but ONNX's shape inference does so only from
    opset 22 on: in that case the padding is widened to the reach of the windows, without ``ceil_mode``.
    """
    stated = layer.stated_sides(x.shape)
    if not layer.ceil_mode:
        return stated, False
    out = layer.output_shape(x.shape)[2:]
    reach = [d * (k - 1) + 1 for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    slack = [size + sum(sides) - r for size, sides, r in zip(x.shape[2:], stated, reach, strict=True)]
    if out == tuple(-(-free // s) + 1 for free, s in zip(slack, layer.stride, strict=True)):
        return stated, True
    first, second = (
        (a, b) if n == free // s + 1 else (a, end)
        for n, free, s, (a, b), (_, end) in zip(
            out, slack, layer.stride, stated, layer.window_sides(x.shape), strict=True
        )
    )
    return (first, second), False


@writes(MaxPool2D, operators="MaxPool")
def write_max_pool(w: Writer, layer: MaxPool2D, x: Tensor) -> str:
    """Write MaxPool, which pads with minus infinity, as the layer does."""
    sides, ceil_mode = _sides(layer, x)
    return w.node(
        "MaxPool",
        x,
        kernel_shape=layer.kernel_size,
        strides=layer.stride,
        pads=pads(sides),
        dilations=layer.dilation,
        ceil_mode=int(ceil_mode),
    )


@writes(AvgPool2D, operators="AveragePool or Pad, AveragePool or AveragePool, Mul")
def write_average_pool(w: Writer, layer: AvgPool2D, x: Tensor) -> str:
    """Write AveragePool; with ``divisor_override`` scale the full-window mean by window size / divisor."""
    divisor = layer.divisor_override
    sides, ceil_mode = _sides(layer, x) if divisor is None else (layer.window_sides(x.shape), False)
    counted = layer.count_include_pad or divisor is not None
    over = [max(end - b, 0) for (_, end), (_, b) in zip(sides, layer.stated_sides(x.shape), strict=True)]
    if divisor is None and counted and any(over):
        # Only the part beyond the layer's own padding is not counted, so the latter becomes a Pad before.
        (top, bottom), (left, right) = sides
        ends = [bottom - over[0], right - over[1]]
        x = Tensor(w.node("Pad", x, w.integers("pads", [0, 0, top, left, 0, 0, *ends])), ())
        sides, counted = ((0, over[0]), (0, over[1])), False
    means = w.node(
        "AveragePool",
        x,
        kernel_shape=layer.kernel_size,
        strides=layer.stride,
        pads=pads(sides),
        dilations=None if layer.dilation == (1, 1) else layer.dilation,
        ceil_mode=int(ceil_mode),
        count_include_pad=int(counted),
    )
    if divisor is None:
        return means
    return w.node("Mul", means, w.number("factor", math.prod(layer.kernel_size) / divisor))


@reads("MaxPool")
def read_max_pool(node: Node) -> SymbolicValue:
    """Read MaxPool; its second output, to which alone ``storage_order`` applies, is not computed."""
    windows = read_windows(node)
    layer = MaxPool2D(
        windows.kernel_size,
        windows.stride,
        plain(windows.padding),
        windows.dilation,
        ceil_mode=node.flag("ceil_mode"),
    )
    return windows.result(node.apply(layer, windows.x))


@reads("AveragePool")
def read_average_pool(node: Node) -> SymbolicValue:
    """Read AveragePool, which does not count the padding by default."""
    windows = read_windows(node)
    layer = AvgPool2D(
        windows.kernel_size,
        windows.stride,
        plain(windows.padding),
        count_include_pad=node.flag("count_include_pad"),
        ceil_mode=node.flag("ceil_mode"),
        dilation=windows.dilation,
    )
    return windows.result(node.apply(layer, windows.x))
