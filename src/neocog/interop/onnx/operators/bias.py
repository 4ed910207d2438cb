"""Write Bias; read Add and Sub of a constant as a Bias, or as the bias of the layer before."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node, reads, shortest
from neocog.interop.onnx.symbolic import Known, SymbolicValue
from neocog.interop.onnx.weights import per_channel, with_arrays
from neocog.interop.repetition import repetition
from neocog.layers import (
    Add,
    BatchNorm1D,
    BatchNorm2D,
    Bias,
    Conv2D,
    ConvTranspose2D,
    Dense,
    GroupNorm,
    Layer,
    Rescale,
)
from neocog.layers.base import Shape


@writes(Bias, operators="Add")
def write_bias(w: Writer, layer: Bias, x: Tensor) -> str:
    """Write Add of a constant."""
    return w.node("Add", x, w.array(layer.params["bias"]))


@reads("Sub")
def read_difference(node: Node) -> SymbolicValue:
    """Read a difference as the sum with the negative."""
    x, other = node.inputs if len(node.inputs) == 2 else (None, None)
    if not isinstance(other, SymbolicValue):
        return add_constant(node, node.value(0), -node.weights(1))
    if isinstance(x, SymbolicValue):
        return node.apply(Add(), x, node.apply(Rescale(-1.0), other))
    return add_constant(node, node.apply(Rescale(-1.0), other), node.weights(0))


@reads("Neg")
def read_negative(node: Node) -> SymbolicValue:
    """Read Neg as the product with -1."""
    return node.elementwise(Rescale(-1.0))


def add_constant(node: Node, x: SymbolicValue, constant: np.ndarray) -> SymbolicValue:
    """Add a constant to the bias of the layer before, or by a layer if that is not possible.

    A number without axes is fixed, as in a program, and so is an array named ``offset``; others are learned.
    """
    x = repeated(node, x, constant.shape)
    labels = [source.label for source in node.inputs if isinstance(source, Known)]
    offset = any(label.endswith((".offset", "/offset")) for label in labels)
    biases = (k for k, source in enumerate(node.inputs) if getattr(source, "label", "").endswith(".bias"))
    place = next((node.learned_place(k) for k in biases), "")
    before = node.builder.layers.get(x.node, (None,))[0]
    per_feature = None if x.shared else per_channel(before, x, constant)
    if per_feature is not None and per_feature.size != constant.size:
        per_feature = None  # a single number is learned as one parameter
    if offset or place == node.place != x.node:
        per_feature = None  # the node has the name of a layer of its own
    if per_feature is not None and isinstance(before, Dense | Conv2D | ConvTranspose2D) and not before.bias:
        weight = before.params["weight"]
        biased = with_arrays(before, weight, node.builder.copied(per_feature, weight.dtype))
        node.builder.put(biased, x)
        node.builder.note_pixels(x, x, offset=constant)
        return x
    own = isinstance(before, BatchNorm1D | BatchNorm2D | GroupNorm) or id(before) in node.builder.own_biases
    if per_feature is not None and before is not None and own:
        before.params["bias"] += per_feature.astype(before.dtype)  # shared with no other layer
        return x
    if offset or constant.ndim == 0:
        return _shifted(node, x, before, constant)
    bias = node.builder.copied(constant)
    layer = Bias(constant.shape or (1,), dtype=constant.dtype)
    layer.params["bias"] = bias.reshape(layer.shape)
    if place:
        return node.apply(layer, x, place=place)
    y = node.apply(layer, x)
    node.builder.note_pixels(x, y, offset=constant)
    return y


def repeated(node: Node, x: SymbolicValue, shape: tuple[int, ...]) -> SymbolicValue:
    """Repeat a value along axes of size 1 where a constant of a shape has more; not along the batch."""
    sizes = (1,) * (x.rank - len(shape)) + shape
    own = x.sizes[1:]
    if len(sizes) > x.rank or sizes[0] != 1 or None in own:
        return x
    pairs = [*zip(own, sizes[1:], strict=True)]
    if any(size != asked and 1 not in (size, asked) for size, asked in pairs):
        return x
    wanted = tuple(cast(int, size) if asked == 1 else asked for size, asked in pairs)
    for layer in repetition(cast(Shape, own), wanted):
        x = node.apply(layer, x)
    return x


def _shifted(node: Node, x: SymbolicValue, before: Layer | None, constant: np.ndarray) -> SymbolicValue:
    """Add a fixed constant, by the Rescale before if that adds nothing yet."""
    fixed: Any = shortest(constant.item()) if constant.ndim == 0 else node.builder.copied(constant)
    if isinstance(before, Rescale) and before.offset == 0.0 and not x.shared:
        layer = Rescale(before.terms()[0], fixed, dtype=constant.dtype)
        node.builder.put(layer, x)
        node.builder.note_pixels(x, x, offset=constant)
        return x
    y = node.apply(Rescale(offset=fixed, dtype=constant.dtype), x)
    node.builder.note_pixels(x, y, offset=constant)
    return y
