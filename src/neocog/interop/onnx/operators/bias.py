"""The sum with a constant and the difference from one: Bias, or the bias of the layer before."""

from __future__ import annotations

import numpy as np

from neocog.interop.onnx.reader import Node, reads
from neocog.interop.onnx.values import Value
from neocog.interop.onnx.weights import per_channel, with_arrays
from neocog.interop.onnx.writer import Tensor, Writer, writes
from neocog.layers import BatchNorm1D, BatchNorm2D, Bias, Conv2D, Dense


@writes(Bias)
def write_bias(w: Writer, layer: Bias, x: Tensor) -> str:
    """An Add of a constant."""
    return w.node("Add", x, w.array(layer.params["bias"]))


@reads("Sub")
def read_difference(node: Node) -> Value:
    """Of a computed value and a constant."""
    if len(node.inputs) == 2 and isinstance(node.inputs[1], Value):
        node.fail("there is no layer for the difference of two computed values, or of a constant and one")
    return add_constant(node, node.value(0), -node.weights(1))


def add_constant(node: Node, x: Value, constant: np.ndarray) -> Value:
    """Add a constant: as the bias of the layer before, if that has none of its own, or by a layer."""
    biases = (k for k, source in enumerate(node.inputs) if getattr(source, "label", "").endswith(".bias"))
    place = next((node.learned_place(k) for k in biases), "")
    before = node.building.layers.get(x.node, (None,))[0]
    per_feature = None if x.shared else per_channel(before, x, constant)
    if per_feature is not None and per_feature.size != constant.size:
        per_feature = None  # one number for all is learned as one
    if place == node.place != x.node:
        per_feature = None  # a layer of this name has written its own bias
    if per_feature is not None and isinstance(before, Dense | Conv2D) and not before.bias:
        weight = before.params["weight"]
        biased = with_arrays(before, weight, node.building.copied(per_feature, weight.dtype))
        node.building.put(biased, x)
        node.building.note_pixels(x, x, offset=constant)
        return x
    own = isinstance(before, BatchNorm1D | BatchNorm2D) or id(before) in node.building.own_biases
    if per_feature is not None and before is not None and own:
        before.params["bias"] += per_feature.astype(before.dtype)  # no other layer has it
        return x
    bias = node.building.copied(constant)
    layer = Bias(constant.shape or (1,), dtype=constant.dtype)
    layer.params["bias"] = bias.reshape(layer.shape)
    if place:
        return node.apply(layer, x, place=place)
    y = node.apply(layer, x)
    node.building.note_pixels(x, y, offset=constant)
    return y
