"""Write global pooling; read it, and reductions."""

from __future__ import annotations

import math

from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node, reads
from neocog.interop.onnx.symbolic import SymbolicValue
from neocog.layers import Abs, GlobalAvgPool2D, GlobalMaxPool2D, Layer, Mean, Multiply, Sqrt, Sum, Transpose


@writes(GlobalAvgPool2D, operators="GlobalAveragePool, Flatten")
def write_global_average(w: Writer, layer: GlobalAvgPool2D, x: Tensor) -> str:
    """Write GlobalAveragePool, whose result (N, C, 1, 1) is flattened."""
    return w.node("Flatten", w.node("GlobalAveragePool", x))


@writes(GlobalMaxPool2D, operators="GlobalMaxPool, Flatten")
def write_global_max(w: Writer, layer: GlobalMaxPool2D, x: Tensor) -> str:
    """Write GlobalMaxPool, whose result (N, C, 1, 1) is flattened."""
    return w.node("Flatten", w.node("GlobalMaxPool", x))


@reads("GlobalAveragePool", "GlobalMaxPool")
def read_global_pool(node: Node) -> SymbolicValue:
    """Read global pooling, (N, C, ...) -> (N, C, 1, ...)."""
    x = node.value()
    layer: Layer = GlobalAvgPool2D() if node.operator == "GlobalAveragePool" else GlobalMaxPool2D()
    if x.rank < 3:
        node.fail(f"it needs an input of shape (N, C, ...), got {x.sizes}")
    # The positions of the pixels do not matter: any number of axes can be one row of an image.
    image = x if x.rank == 4 else x.viewed(lambda s: (s[0], s[1], 1, math.prod(s[2:])))
    return node.viewed(node.apply(layer, image), lambda s: (s[0], s[1], *[1] * (x.rank - 2)))


@reads("ReduceMax", "ReduceMean", "ReduceSum")
def read_reduction(node: Node) -> SymbolicValue:
    """Read a mean or sum over axes other than the batch as a layer of these axes.

    A maximum, and a mean or sum over the batch, are global pooling, of what is transposed and reshaped.
    """
    return _reduced(node, node.value(), node.operator)


@reads("ReduceL1", "ReduceL2", "ReduceSumSquare")
def read_norm(node: Node) -> SymbolicValue:
    """Read a sum of absolute values or squares, or the root of one."""
    x = node.value()
    size = node.apply(Abs(), x) if node.operator == "ReduceL1" else node.apply(Multiply(), x, x)
    total = _reduced(node, size, "ReduceSum")
    return node.apply(Sqrt(), total) if node.operator == "ReduceL2" else total


def _reduced(node: Node, x: SymbolicValue, operator: str) -> SymbolicValue:
    axes = node.integers("axes", 1, [])
    if not axes and node.flag("noop_with_empty_axes"):
        return x
    rank = x.rank
    over = sorted({axis + rank if axis < 0 else axis for axis in axes or range(rank)})
    if not over or over[0] < 0 or over[-1] >= rank:
        node.fail(f"axes must be from {-rank} to {rank - 1}, got {axes}")
    keepdims, maps = node.flag("keepdims", 1), (rank, over) == (4, [2, 3])
    if operator != "ReduceMax" and over[0] > 0 and not (maps and operator == "ReduceMean"):
        layer: Layer = (Mean if operator == "ReduceMean" else Sum)(over, keepdims)
        return node.apply(layer, x)
    kept = [axis for axis in range(rank) if axis not in over]
    moved = x
    if [*kept, *over] != list(range(rank)):
        moved = node.apply(Transpose((*kept, *over)), x)
    if not maps:
        moved = moved.viewed(lambda s: (*_two(s[: len(kept)]), 1, math.prod(s[len(kept) :])))
    layer = GlobalMaxPool2D() if operator == "ReduceMax" else GlobalAvgPool2D()
    if operator == "ReduceSum":
        layer = Sum((2, 3))
    y = node.apply(layer, moved)
    # The kept sizes are those of x, for each of the two batch sizes.
    first, second = ([1 if k in over else size for k, size in enumerate(sizes)] for sizes in x.shape)
    if not keepdims:
        first, second = [first[k] for k in kept], [second[k] for k in kept]
    return y.reshaped((first, second), node.place)


def _two(sizes: tuple[int, ...]) -> tuple[int, int]:
    """Join sizes into two axes, of which the first, the batch, is kept."""
    return (sizes[0], math.prod(sizes[1:])) if sizes else (1, 1)
