"""Write Bias; read Add and Sub of a constant as a Bias, or as the bias of the layer before."""

from __future__ import annotations

import numpy as np

from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node, reads
from neocog.interop.onnx.symbolic import SymbolicValue
from neocog.interop.onnx.weights import per_channel, with_arrays
from neocog.layers import BatchNorm1D, BatchNorm2D, Bias, Conv2D, Dense, GroupNorm


@writes(Bias, operators="Add")
def write_bias(w: Writer, layer: Bias, x: Tensor) -> str:
    """Write Add of a constant."""
    return w.node("Add", x, w.array(layer.params["bias"]))


@reads("Sub")
def read_difference(node: Node) -> SymbolicValue:
    """Read Sub of a constant as the sum with its negative."""
    if len(node.inputs) == 2 and isinstance(node.inputs[1], SymbolicValue):
        node.unsupported("the difference of two computed values, or of a constant and one, has no layer")
    return add_constant(node, node.value(0), -node.weights(1))


def add_constant(node: Node, x: SymbolicValue, constant: np.ndarray) -> SymbolicValue:
    """Add a constant to the bias of the layer before, or by a Bias layer if that is not possible."""
    biases = (k for k, source in enumerate(node.inputs) if getattr(source, "label", "").endswith(".bias"))
    place = next((node.learned_place(k) for k in biases), "")
    before = node.builder.layers.get(x.node, (None,))[0]
    per_feature = None if x.shared else per_channel(before, x, constant)
    if per_feature is not None and per_feature.size != constant.size:
        per_feature = None  # a single number is learned as one parameter
    if place == node.place != x.node:
        per_feature = None  # the node has the name of a Bias of its own
    if per_feature is not None and isinstance(before, Dense | Conv2D) and not before.bias:
        weight = before.params["weight"]
        biased = with_arrays(before, weight, node.builder.copied(per_feature, weight.dtype))
        node.builder.put(biased, x)
        node.builder.note_pixels(x, x, offset=constant)
        return x
    own = isinstance(before, BatchNorm1D | BatchNorm2D | GroupNorm) or id(before) in node.builder.own_biases
    if per_feature is not None and before is not None and own:
        before.params["bias"] += per_feature.astype(before.dtype)  # shared with no other layer
        return x
    bias = node.builder.copied(constant)
    layer = Bias(constant.shape or (1,), dtype=constant.dtype)
    layer.params["bias"] = bias.reshape(layer.shape)
    if place:
        return node.apply(layer, x, place=place)
    y = node.apply(layer, x)
    node.builder.note_pixels(x, y, offset=constant)
    return y
