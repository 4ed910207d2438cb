"""Write and read Slice, Split and Gather of channels, and the shuffle of channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node, reads, reads_pattern
from neocog.interop.onnx.symbolic import SymbolicValue
from neocog.layers import ChannelShuffle, Slice

END = np.iinfo(np.int64).max
"""Stands for the end of an axis of any size."""
FAR = np.iinfo(np.int32).max
"""From this on, exporters mean the end of an axis."""


@writes(Slice, operators="Slice")
def write_slice(w: Writer, layer: Slice, x: Tensor) -> str:
    """Write Slice of one axis."""
    numbers = {
        "starts": layer.start,
        "ends": END if layer.stop is None else layer.stop,
        "axes": layer.axis,
        "steps": layer.step,
    }
    return w.node("Slice", x, *(w.integers(name, [number]) for name, number in numbers.items()))


@reads("Slice")
def read_slice(node: Node) -> SymbolicValue:
    """Read Slice, one layer for each axis of which it takes a part; attributes before opset 10."""
    x = node.value()
    starts, ends = (node.integers(name, k) or [] for k, name in enumerate(("starts", "ends"), 1))
    axes = node.integers("axes", 3, list(range(len(starts)))) or []
    steps = node.integers("steps", 4, [1] * len(starts)) or []
    if not len(starts) == len(ends) == len(axes) == len(steps):
        node.fail(f"starts, ends, axes and steps must be as many, got {starts}, {ends}, {axes}, {steps}")
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        x = _part(node, x, axis, start, end, step)
    return x


def _part(node: Node, x: SymbolicValue, axis: int, start: int, end: int, step: int = 1) -> SymbolicValue:
    """Append the Slice of one axis, none where it takes all; before the batch, an axis of size 1 is added."""
    if not -x.rank <= axis < x.rank:
        node.fail(f"an axis must be from {-x.rank} to {x.rank - 1}, got {axis}")
    axis %= x.rank
    size = x.sizes[axis]
    if step < 1:
        node.unsupported(f"a step must be at least 1, got {step}: no layer turns an axis round")
    stop = None if end >= (FAR if size is None else size) else end
    if start == 0 and step == 1 and stop is None:
        return x
    part = (start, stop, step)
    if axis:
        return node.apply(Slice(*part, axis), x)
    y = node.apply(Slice(*part), x.viewed(lambda s: (1, *s)))
    return node.viewed(y, lambda s: s[1:])


@reads("Split")
def read_split(node: Node) -> tuple[SymbolicValue, ...]:
    """Read Split: a Slice for each part, of equal sizes unless it states them."""
    x, count = node.value(), len(node.proto.output)
    axis = node.axis(0, x.rank)
    size = x.sizes[axis]
    if size is None:
        node.unsupported("it splits a batch of any size; splits along other axes are read")
    each = -(-size // node.get("num_outputs", count))
    sizes = node.integers("split", 1, [min(each, size - k * each) for k in range(count)]) or []
    if len(sizes) != count or sum(sizes) != size or min(sizes) < 0:
        node.fail(f"split must be {count} sizes whose sum is {size}, got {sizes}")
    ends = np.cumsum(sizes).tolist()
    return tuple(_part(node, x, axis, end - part, end) for part, end in zip(sizes, ends, strict=True))


@reads("Gather")
def read_gather(node: Node) -> SymbolicValue:
    """Read Gather of entries in equal steps, or of a single one; of all in their order, as a Reshape."""
    x, known = node.value(), node.known(1)
    axis = node.axis(0, x.rank)
    both = [*zip(x.shape, known.arrays, strict=True)]
    if all(k.size == shape[axis] and (k.ravel() == np.arange(k.size)).all() for shape, k in both):
        first, second = ((*shape[:axis], *k.shape, *shape[axis + 1 :]) for shape, k in both)
        return x.reshaped((first, second), node.place)
    indices = node.array(1)
    size = x.sizes[axis]
    if size is None:
        node.unsupported("it takes some of a batch of any size; entries of other axes are read")
    if indices.dtype.kind not in "iu" or indices.ndim > 1 or not indices.size:
        node.unsupported(f"its indices must be one integer or a list of them, got {indices.tolist()}")
    places = [int(k) % size if -size <= k < size else int(k) for k in indices.ravel()]
    steps = set(np.diff(places).tolist()) or {1}
    step = steps.pop()
    if steps or step < 1 or not 0 <= places[0] <= places[-1] < size:
        node.unsupported(f"its indices must rise in equal steps below {size}, got {indices.tolist()}")
    y = _part(node, x, axis, places[0], places[-1] + 1, step)
    return y if indices.ndim else node.viewed(y, lambda s: (*s[:axis], *s[axis + 1 :]))


@writes(ChannelShuffle, operators="Reshape, Transpose, Reshape")
def write_channel_shuffle(w: Writer, layer: ChannelShuffle, x: Tensor) -> str:
    """Write the transposition of the channels as a matrix of groups."""
    _, C, *places = x.shape
    parts = w.integers("parts", (0, layer.groups, C // layer.groups, *places))
    perm = (0, 2, 1, *range(3, 3 + len(places)))
    turned = w.node("Transpose", w.node("Reshape", x, parts), perm=perm)
    return w.node("Reshape", turned, w.integers("maps", (0, C, *places)))


@reads_pattern("Transpose")
def read_channel_shuffle(node: Node) -> SymbolicValue | None:
    """Read the transposition of channels that a Reshape has split into groups."""
    x = node.value()
    axes: Sequence[int] = node.get("perm", [])
    held = x.held
    if list(axes) != [0, 2, 1, *range(3, x.rank)] or x.rank != len(held[0]) + 1 or x.rank < 4:
        return None
    fits = all(
        shape == (sizes[0], shape[1], sizes[1] // shape[1], *sizes[2:])
        for shape, sizes in zip(x.shape, held, strict=True)
    )
    groups = x.sizes[1]
    if not fits or groups is None:
        return None
    y = node.apply(ChannelShuffle(groups), replace(x, shape=held))
    return y.reshaped(tuple((s[0], s[2], s[1], *s[3:]) for s in x.shape), node.place)  # type: ignore[arg-type]
