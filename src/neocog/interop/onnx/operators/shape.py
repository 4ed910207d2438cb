"""Write and read Flatten, Reshape and Transpose; read Squeeze, Unsqueeze, Identity and Shape."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto

from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node, reads
from neocog.interop.onnx.model_file import float32_for_half
from neocog.interop.onnx.symbolic import Known, Shape, SymbolicValue
from neocog.layers import Flatten, Reshape, Transpose


@writes(Flatten, operators="Flatten")
def write_flatten(w: Writer, layer: Flatten, x: Tensor) -> str:
    """Write Flatten of all axes but the first."""
    return w.node("Flatten", x, axis=1)


@reads("Flatten")
def read_flatten(node: Node) -> SymbolicValue:
    """Read Flatten: join the axes before ``axis``, and those from it on."""
    x = node.value()
    axis = node.axis(1, x.rank, last=True)
    return node.viewed(x, lambda s: (math.prod(s[:axis]), math.prod(s[axis:])))


@writes(Reshape, operators="Reshape")
def write_reshape(w: Writer, layer: Reshape, x: Tensor) -> str:
    """Write Reshape; 0 and -1 mean the same in ONNX."""
    return w.node("Reshape", x, w.integers("shape", layer.shape))


@reads("Reshape")
def read_reshape(node: Node) -> SymbolicValue:
    """Read Reshape; target sizes may depend on the batch size."""
    x = node.value()
    known = Known.constant(np.array(node.get("shape"))) if node.opset < 5 else node.known(1)
    targets = [[int(size) for size in array.ravel()] for array in known.arrays]
    batch = tuple(sizes[0] if sizes else 1 for sizes in x.shape)
    if known.is_fixed and batch[0] != batch[1] and targets[1][:1] == [batch[0]]:
        targets[1][0] = batch[1]  # the batch of the exported model, written as a number
    keep_zeros = node.flag("allowzero")
    first, second = (
        _resolved(node, sizes, shape, keep_zeros) for sizes, shape in zip(targets, x.shape, strict=True)
    )
    return x.reshaped((first, second), node.place)


def _resolved(node: Node, sizes: list[int], shape: Shape, keep_zeros: bool) -> Shape:
    """Replace 0 by the input's size on that axis, and -1 by the size that is left."""
    resolved = list(sizes)
    for axis, size in enumerate(sizes):
        if size == 0 and not keep_zeros:
            if axis >= len(shape):
                node.fail(f"shape {sizes} copies axis {axis}, which an input of shape {shape} has not")
            resolved[axis] = shape[axis]
    if resolved.count(-1) > 1 or min(resolved, default=0) < -1:
        node.fail(f"shape must have sizes of 0 or more and one -1 at most, got {sizes}")
    if -1 in resolved:
        given = math.prod(size for size in resolved if size != -1)
        resolved[resolved.index(-1)] = math.prod(shape) // given if given else 0
    return tuple(resolved)


@reads("Squeeze")
def read_squeeze(node: Node) -> SymbolicValue:
    """Read Squeeze as a view without axes of size 1."""
    x = node.value()
    axes = node.integers("axes", 1)
    if axes is None:
        axes = [axis for axis, size in enumerate(x.sizes) if size == 1]
    gone = {axis + x.rank if axis < 0 else axis for axis in axes}
    if any(not 0 <= axis < x.rank or x.sizes[axis] != 1 for axis in gone):
        node.fail(f"axes must have size 1, got {axes} of shape {x.sizes}")
    return node.viewed(x, lambda s: [size for axis, size in enumerate(s) if axis not in gone])


@reads("Unsqueeze")
def read_unsqueeze(node: Node) -> SymbolicValue:
    """Read Unsqueeze as a view with further axes of size 1."""
    x = node.value()
    axes = node.integers("axes", 1, []) or []
    rank = x.rank + len(axes)
    new = {axis + rank if axis < 0 else axis for axis in axes}
    if len(new) < len(axes) or any(not 0 <= axis < rank for axis in new):
        node.fail(f"axes must be different and from {-rank} to {rank - 1}, got {axes}")

    def widened(shape: Shape) -> list[int]:
        sizes = iter(shape)
        return [1 if axis in new else next(sizes) for axis in range(rank)]

    return node.viewed(x, widened)


@reads("Identity")
def read_identity(node: Node) -> SymbolicValue:
    """Read Identity: return the input."""
    return node.value()


@reads("Cast")
def read_cast(node: Node) -> SymbolicValue:
    """Read Cast among types of floating point numbers, of which a network has one: return the input."""
    if float32_for_half(node.get("to")) not in (TensorProto.FLOAT, TensorProto.DOUBLE):
        node.unsupported("a network computes with floating point numbers alone")
    return node.value()


@reads("CastLike")
def read_cast_like(node: Node) -> SymbolicValue | Known:
    """Read CastLike of two values that are both floating point numbers: return the first."""
    like = node.inputs[1] if node.has(1) else None
    if isinstance(like, Known) and like.arrays[0].dtype.kind != "f":
        node.unsupported("a network computes with floating point numbers alone")
    if isinstance(node.inputs[0], Known):
        return Known.constant(node.array(0).astype(np.float32), node.inputs[0].label)
    return node.value()


@reads("Size")
def read_size(node: Node) -> Known:
    """Read Size: return the count of numbers as a constant."""
    first, second = (np.array(math.prod(sizes), np.int64) for sizes in node.value().shape)
    return Known((first, second))


@reads("Shape")
def read_shape(node: Node) -> Known:
    """Read Shape: return the sizes, from ``start`` to ``end``, as a constant."""
    x = node.value()
    part = slice(node.get("start", 0), node.get("end"))
    first, second = (np.array(sizes[part], np.int64) for sizes in x.shape)
    return Known((first, second))


@writes(Transpose, operators="Transpose")
def write_transpose(w: Writer, layer: Transpose, x: Tensor) -> str:
    """Write Transpose; the permutation is the same."""
    return w.node("Transpose", x, perm=layer.axes)


@reads("Transpose")
def read_transpose(node: Node) -> SymbolicValue:
    """Read Transpose as a layer, or as a view where only axes of size 1 move."""
    x = node.value()
    axes = node.get("perm", list(range(x.rank))[::-1])
    if sorted(axes) != list(range(x.rank)):
        node.fail(f"perm must be a permutation of 0..{x.rank - 1}, got {axes}")
    moving = [axis for axis in axes if x.sizes[axis] != 1]
    if moving == sorted(moving):
        return node.viewed(x, lambda s: [s[axis] for axis in axes])
    return node.apply(Transpose(tuple(axes)), x)


@reads("ArgMax", "TopK")
def read_choice(node: Node) -> SymbolicValue:
    """Refuse a choice among numbers, and say how to import what it chooses from."""
    node.unsupported(
        "it chooses among numbers, through which nothing is learned; "
        f"outputs={node.proto.input[0]!r} imports those that it chooses from"
    )
