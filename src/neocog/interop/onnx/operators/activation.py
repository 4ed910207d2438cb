"""The functions of one number, and Softmax."""

from __future__ import annotations

import math

from neocog.interop.onnx.reader import Node, reads
from neocog.interop.onnx.values import Value
from neocog.interop.onnx.writer import Tensor, Writer, writes
from neocog.layers import (
    GELU,
    Dropout,
    Layer,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    ScaledTanh,
    Sigmoid,
    Softmax,
    Tanh,
)


@writes(ReLU, Sigmoid, Tanh)
def write_plain(w: Writer, layer: Layer, x: Tensor) -> str:
    """One operator without attributes."""
    return w.node("Relu" if isinstance(layer, ReLU) else type(layer).__name__, x)


@reads("Relu", "Sigmoid", "Tanh")
def read_plain(node: Node) -> Value:
    """One layer without arguments."""
    return node.elementwise({"Relu": ReLU, "Sigmoid": Sigmoid, "Tanh": Tanh}[node.operator]())


@writes(LeakyReLU)
def write_leaky(w: Writer, layer: LeakyReLU, x: Tensor) -> str:
    """The slope is alpha."""
    return w.node("LeakyRelu", x, alpha=layer.negative_slope)


@reads("LeakyRelu")
def read_leaky(node: Node) -> Value:
    """The slope is alpha."""
    return node.elementwise(LeakyReLU(node.get("alpha", 0.01)))


@writes(GELU)
def write_gelu(w: Writer, layer: GELU, x: Tensor) -> str:
    """The same name for the approximation."""
    return w.node("Gelu", x, approximate=layer.approximate)


@reads("Gelu")
def read_gelu(node: Node) -> Value:
    """The same name for the approximation."""
    return node.elementwise(GELU(node.get("approximate", "none")))


@writes(ScaledTanh)
def write_scaled_tanh(w: Writer, layer: ScaledTanh, x: Tensor) -> str:
    """``a tanh(s x)``, operator by operator."""
    inside = w.node("Mul", x, w.number("slope", layer.slope))
    return w.node("Mul", w.node("Tanh", inside), w.number("amplitude", layer.amplitude))


def read_scaled_tanh(node: Node) -> Value | None:
    """``Mul(Tanh(Mul(x, s)), a)`` with two numbers, if these are the nodes."""
    chain = node.follow("Tanh", "Mul")
    if chain is None:
        return None
    slope, amplitude = node.scalar(1), chain[1].scalar(1)
    if slope is None or amplitude is None:
        return None
    return node.take(chain, node.elementwise(ScaledTanh(amplitude, slope)))


@writes(Softmax, LogSoftmax)
def write_softmax(w: Writer, layer: Softmax | LogSoftmax, x: Tensor) -> str:
    """One axis in both."""
    return w.node(type(layer).__name__, x, axis=layer.axis)


@reads("Softmax", "LogSoftmax")
def read_softmax(node: Node) -> Value:
    """Along one axis; before opset 13 over all axes from ``axis`` on."""
    x = node.value()
    axis = node.axis(1 if node.opset < 13 else -1, x.rank)
    make = Softmax if node.operator == "Softmax" else LogSoftmax
    ones_after = all(size == 1 for size in x.sizes[axis + 1 :])
    if node.opset >= 13 and not ones_after:
        return node.apply(make(axis), x)
    # What follows is laid out along one axis; if all that follows are axes of size 1, this drops them.
    laid_out = x.viewed(lambda s: (*s[:axis], math.prod(s[axis:])))
    return node.apply(make(axis), laid_out).reshaped(x.shape, node.place)


@writes(Dropout)
def write_dropout(w: Writer, layer: Dropout, x: Tensor) -> str:
    """Nothing happens in inference, but who reads the model can train it."""
    return w.node("Dropout", x, w.number("ratio", layer.p))


@reads("Dropout")
def read_dropout(node: Node) -> Value:
    """A layer that drops in training; the ratio is an attribute before opset 12."""
    if node.has(2) and bool(node.number(2)) and node.number(1, 0.5) > 0:
        node.fail("training_mode must be false; export the model for inference")
    if node.opset < 7 and not node.flag("is_test") and len([o for o in node.proto.output if o]) > 1:
        node.fail("is_test must be 1; export the model for inference")
    ratio = node.get("ratio") if node.get("ratio") is not None else node.number(1, 0.5)
    return node.elementwise(Dropout(ratio, rng=node.building.rng))
