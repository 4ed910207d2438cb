"""MaxPool, AveragePool, GlobalMaxPool, GlobalAveragePool, ReduceMax, ReduceMean."""

from __future__ import annotations

import math

from neocog.interop.onnx.reader import Node, reads
from neocog.interop.onnx.values import Value
from neocog.interop.onnx.windows import pads, plain, read_windows
from neocog.interop.onnx.writer import Tensor, Writer, writes
from neocog.kernels.geometry import Padding
from neocog.layers import AvgPool2D, GlobalAvgPool2D, GlobalMaxPool2D, Layer, MaxPool2D, Transpose


def _sides(layer: MaxPool2D | AvgPool2D, x: Tensor) -> tuple[Padding, bool]:
    """The padding for these images, and whether ONNX's ``ceil_mode`` adds to it what the layer's does.

    A last window that would begin in the padding at the end is none, but ONNX's shape inference knows that
    from opset 22 only: where there would be one, the padding is as wide as the windows reach.
    """
    if not layer.ceil_mode:
        return layer._sides, False
    out = layer.output_shape(x.shape)[2:]
    reach = [d * (k - 1) + 1 for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    slack = [size + sum(sides) - r for size, sides, r in zip(x.shape[2:], layer._sides, reach, strict=True)]
    if out == tuple(-(-free // s) + 1 for free, s in zip(slack, layer.stride, strict=True)):
        return layer._sides, True
    first, second = (
        (a, b) if n == free // s + 1 else (a, end)
        for n, free, s, (a, b), (_, end) in zip(
            out, slack, layer.stride, layer._sides, layer._window_sides(x.shape), strict=True
        )
    )
    return (first, second), False


@writes(MaxPool2D)
def write_max_pool(w: Writer, layer: MaxPool2D, x: Tensor) -> str:
    """The padding is minus infinity in both."""
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


@writes(AvgPool2D)
def write_average_pool(w: Writer, layer: AvgPool2D, x: Tensor) -> str:
    """With a divisor of one's own: the mean over whole windows, times their size, by the divisor."""
    divisor = layer.divisor_override
    sides, ceil_mode = _sides(layer, x) if divisor is None else (layer._window_sides(x.shape), False)
    counted = layer.count_include_pad or divisor is not None
    over = [max(end - b, 0) for (_, end), (_, b) in zip(sides, layer._sides, strict=True)]
    if divisor is None and counted and any(over):
        # What runs over the end is padding that is not counted: the padding that is comes first.
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
        dilations=layer.dilation,
        ceil_mode=int(ceil_mode),
        count_include_pad=int(counted),
    )
    if divisor is None:
        return means
    return w.node("Mul", means, w.number("factor", math.prod(layer.kernel_size) / divisor))


@reads("MaxPool")
def read_max_pool(node: Node) -> Value:
    """Where the maxima were, the second output, is not computed; storage_order is about it alone."""
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
def read_average_pool(node: Node) -> Value:
    """ONNX does not count the padding unless told to."""
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


@writes(GlobalAvgPool2D)
def write_global_average(w: Writer, layer: GlobalAvgPool2D, x: Tensor) -> str:
    """ONNX keeps the axes: (N, C, 1, 1)."""
    return w.node("Flatten", w.node("GlobalAveragePool", x))


@writes(GlobalMaxPool2D)
def write_global_max(w: Writer, layer: GlobalMaxPool2D, x: Tensor) -> str:
    """ONNX keeps the axes: (N, C, 1, 1)."""
    return w.node("Flatten", w.node("GlobalMaxPool", x))


@reads("GlobalAveragePool", "GlobalMaxPool")
def read_global_pool(node: Node) -> Value:
    """(N, C, ...) -> (N, C, 1, ...)."""
    x = node.value()
    layer: Layer = GlobalAvgPool2D() if node.operator == "GlobalAveragePool" else GlobalMaxPool2D()
    if x.rank < 3:
        node.fail(f"it needs an input of shape (N, C, ...), got {x.sizes}")
    # Where the pixels are does not matter: any number of axes is an image of one row.
    image = x if x.rank == 4 else x.viewed(lambda s: (s[0], s[1], 1, math.prod(s[2:])))
    return node.viewed(node.apply(layer, image), lambda s: (s[0], s[1], *[1] * (x.rank - 2)))


@reads("ReduceMean", "ReduceMax")
def read_reduction(node: Node) -> Value:
    """Mean or maximum over any axes: over those of the pixels as it stands, else with the axes put there."""
    x = node.value()
    axes = node.integers("axes", 1, [])
    if not axes and node.flag("noop_with_empty_axes"):
        return x
    rank = x.rank
    over = sorted({axis + rank if axis < 0 else axis for axis in axes or range(rank)})
    if not over or over[0] < 0 or over[-1] >= rank:
        node.fail(f"axes must be from {-rank} to {rank - 1}, got {axes}")
    kept = [axis for axis in range(rank) if axis not in over]
    moved = x
    if [*kept, *over] != list(range(rank)):
        moved = node.apply(Transpose((*kept, *over)), x)
    if (rank, over) != (4, [2, 3]):
        moved = moved.viewed(lambda s: (*_two(s[: len(kept)]), 1, math.prod(s[len(kept) :])))
    layer: Layer = GlobalAvgPool2D() if node.operator == "ReduceMean" else GlobalMaxPool2D()
    y = node.apply(layer, moved)
    # The sizes that are kept are those of x, for each of the two batches.
    first, second = ([1 if k in over else size for k, size in enumerate(sizes)] for sizes in x.shape)
    if not node.flag("keepdims", 1):
        first, second = [first[k] for k in kept], [second[k] for k in kept]
    return y.reshaped((first, second), node.place)


def _two(sizes: tuple[int, ...]) -> tuple[int, int]:
    """Sizes of two axes in which these can be laid out, the first kept as it is the batch."""
    return (sizes[0], math.prod(sizes[1:])) if sizes else (1, 1)
