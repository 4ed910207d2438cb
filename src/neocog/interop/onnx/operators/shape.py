"""What moves numbers and computes nothing: Flatten, Reshape, Transpose, Pad, Concat and the like."""

from __future__ import annotations

import math

import numpy as np

from neocog.interop.onnx.operators.dense import read_radial_basis
from neocog.interop.onnx.reader import Node, reads
from neocog.interop.onnx.values import Known, Shape, Value
from neocog.interop.onnx.writer import Tensor, Writer, writes
from neocog.layers import Concat, Flatten, Pad2D, PadChannels, Reshape, Transpose

# ONNX's name of each mode of Pad2D.
MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
MOST_PADDING = 2**20


@writes(Flatten)
def write_flatten(w: Writer, layer: Flatten, x: Tensor) -> str:
    """From the second axis on."""
    return w.node("Flatten", x, axis=1)


@reads("Flatten")
def read_flatten(node: Node) -> Value:
    """Into a matrix, the axes before ``axis`` its rows."""
    x = node.value()
    axis = node.axis(1, x.rank, last=True)
    return node.viewed(x, lambda s: (math.prod(s[:axis]), math.prod(s[axis:])))


@writes(Reshape)
def write_reshape(w: Writer, layer: Reshape, x: Tensor) -> str:
    """0 and -1 mean the same in both."""
    return w.node("Reshape", x, w.integers("shape", layer.shape))


@reads("Reshape")
def read_reshape(node: Node) -> Value:
    """To sizes that may depend on the batch."""
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
    """Replace 0 by the input's size at that place, and -1 by what is left."""
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
def read_squeeze(node: Node) -> Value:
    """Without axes of size 1."""
    x = node.value()
    axes = node.integers("axes", 1)
    if axes is None:
        axes = [axis for axis, size in enumerate(x.sizes) if size == 1]
    gone = {axis + x.rank if axis < 0 else axis for axis in axes}
    if any(not 0 <= axis < x.rank or x.sizes[axis] != 1 for axis in gone):
        node.fail(f"axes must have size 1, got {axes} of shape {x.sizes}")
    return node.viewed(x, lambda s: [size for axis, size in enumerate(s) if axis not in gone])


@reads("Unsqueeze")
def read_unsqueeze(node: Node) -> Value:
    """With new axes of size 1; or the first of the nodes of a RadialBasis."""
    whole = read_radial_basis(node)
    if whole is not None:
        return whole
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
def read_identity(node: Node) -> Value:
    """Nothing."""
    return node.value()


@reads("Shape")
def read_shape(node: Node) -> Known:
    """The sizes, which are known; from ``start`` to ``end`` if asked."""
    x = node.value()
    part = slice(node.get("start", 0), node.get("end"))
    first, second = (np.array(sizes[part], np.int64) for sizes in x.shape)
    return Known((first, second))


@writes(Transpose)
def write_transpose(w: Writer, layer: Transpose, x: Tensor) -> str:
    """The same permutation."""
    return w.node("Transpose", x, perm=layer.axes)


@reads("Transpose")
def read_transpose(node: Node) -> Value:
    """A layer, but where only axes of size 1 move."""
    x = node.value()
    axes = node.get("perm", list(range(x.rank))[::-1])
    if sorted(axes) != list(range(x.rank)):
        node.fail(f"perm must be a permutation of 0..{x.rank - 1}, got {axes}")
    moving = [axis for axis in axes if x.sizes[axis] != 1]
    if moving == sorted(moving):
        return node.viewed(x, lambda s: [s[axis] for axis in axes])
    return node.apply(Transpose(tuple(axes)), x)


@writes(Pad2D)
def write_pad(w: Writer, layer: Pad2D, x: Tensor) -> str:
    """The first two axes are not padded."""
    (top, bottom), (left, right) = layer.padding
    pads = w.integers("pads", [0, 0, top, left, 0, 0, bottom, right])
    return w.node("Pad", x, pads, w.number("value", layer.value), mode=MODES[layer.mode])


@writes(PadChannels)
def write_pad_channels(w: Writer, layer: PadChannels, x: Tensor) -> str:
    """Zeros after the last channel."""
    return w.node("Pad", x, w.integers("pads", [0, 0, 0, 0, 0, layer.channels, 0, 0]))


@reads("Pad")
def read_pad(node: Node) -> Value:
    """Around images and rows, or further channels of zeros."""
    x = node.value()
    mode = node.get("mode", "constant")
    names = {theirs: ours for ours, theirs in MODES.items()}
    if mode not in names:
        node.fail(f"mode must be one of {', '.join(names)}, got {mode!r}")
    sides, value = _pads(node, x.rank)
    if not any(map(any, sides)):
        return x
    if max(map(max, sides)) > MOST_PADDING or min(map(min, sides)) < 0:
        node.fail(f"pads must be from 0 to {MOST_PADDING}, got {sides}; there is no layer that crops")
    value = value if mode == "constant" else 0.0
    if x.rank == 4 and [k for k in range(4) if any(sides[k])] == [1] and not sides[1][0]:
        if value or mode != "constant":
            node.fail("further channels must be zeros")
        return node.apply(PadChannels(sides[1][1]), x)
    if x.rank not in (3, 4) or any(map(any, sides[:2])):
        node.fail(f"neocog pads images (N, C, H, W) on their sides, got pads {sides} of shape {x.sizes}")
    if x.rank == 3:
        return node.apply(Pad2D((sides[2], (0, 0)), value, names[mode]), x.lifted()).lowered()
    return node.apply(Pad2D((sides[2], sides[3]), value, names[mode]), x)


def _pads(node: Node, rank: int) -> tuple[list[tuple[int, int]], float]:
    """(before, after) of each axis, and the constant: attributes before opset 11, inputs since."""
    if node.opset < 11:
        pads, value = node.get("pads", node.get("paddings")), node.get("value", 0.0)
        axes: list[int] = list(range(rank))
    else:
        pads, value = [int(size) for size in node.array(1).ravel()], node.number(2, 0.0)
        axes = [int(axis) for axis in node.array(3).ravel()] if node.has(3) else list(range(rank))
    axes = [axis + rank if axis < 0 else axis for axis in axes]
    if (
        pads is None
        or len(pads) != 2 * len(axes)
        or len({*axes}) < len(axes)
        or not {*axes} <= {*range(rank)}
    ):
        node.fail(f"pads must be two integers for each of the axes {axes} of {rank}, got {pads}")
    sides = [(0, 0)] * rank
    for k, axis in enumerate(axes):
        sides[axis] = (pads[k], pads[k + len(axes)])
    return sides, value


@writes(Concat)
def write_concat(w: Writer, layer: Concat, x: tuple[Tensor, ...]) -> str:
    """The same axis."""
    return w.node("Concat", *x, axis=layer.axis)


@reads("Concat")
def read_concat(node: Node) -> Value:
    """Along the axis; along the first, the batch's, with an axis of size 1 put before it."""
    values = [node.value(k) for k in range(len(node.inputs))]
    axis = node.axis(1, values[0].rank)
    if len(values) == 1:
        return values[0]
    if axis:
        return node.apply(Concat(axis), *values)
    y = node.apply(Concat(1), *(x.viewed(lambda s: (1, *s)) for x in values))
    return node.viewed(y, lambda s: s[1:])
