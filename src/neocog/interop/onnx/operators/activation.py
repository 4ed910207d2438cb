"""Activations."""

from __future__ import annotations

from neocog.interop.onnx.reader import Node, reads, reads_pattern
from neocog.interop.onnx.values import Value
from neocog.interop.onnx.writer import Tensor, Writer, writes
from neocog.layers import GELU, Layer, LeakyReLU, ReLU, ScaledTanh, Sigmoid, Tanh


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


@reads_pattern("Mul")
def read_scaled_tanh(node: Node) -> Value | None:
    """``Mul(Tanh(Mul(x, s)), a)`` with two numbers, if these are the nodes."""
    chain = node.follow("Tanh", "Mul")
    if chain is None or not isinstance(node.inputs[0], Value):
        return None
    rank = node.value().rank
    slope, amplitude = node.scalar(1, rank), chain[1].scalar(1, rank)
    if slope is None or amplitude is None:
        return None
    return node.take(chain, node.elementwise(ScaledTanh(amplitude, slope)))
