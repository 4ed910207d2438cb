"""Write and read activations."""

from __future__ import annotations

from neocog.interop.onnx.export_graph import OPERATORS, Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node, reads, reads_pattern
from neocog.interop.onnx.recording import record
from neocog.interop.onnx.symbolic import SymbolicValue
from neocog.layers import (
    GELU,
    Elementwise,
    Hardswish,
    Layer,
    LeakyReLU,
    PReLU,
    ReLU,
    ScaledTanh,
    Sigmoid,
    Tanh,
)


@writes(ReLU, operators="Relu")
@writes(Sigmoid, operators="Sigmoid")
@writes(Tanh, operators="Tanh")
@writes(Hardswish, operators="HardSwish")
def write_plain(w: Writer, layer: Layer, x: Tensor) -> str:
    """Write an activation that is one operator without attributes."""
    return w.node(OPERATORS[type(layer)], x)


@reads("Relu", "Sigmoid", "Tanh", "HardSwish")
def read_plain(node: Node) -> SymbolicValue:
    """Read an operator without attributes as an activation without arguments."""
    return node.elementwise(
        {"Relu": ReLU, "Sigmoid": Sigmoid, "Tanh": Tanh, "HardSwish": Hardswish}[node.operator]()
    )


@writes(LeakyReLU, operators="LeakyRelu")
def write_leaky(w: Writer, layer: LeakyReLU, x: Tensor) -> str:
    """Write LeakyRelu, whose alpha is the slope."""
    return w.node("LeakyRelu", x, alpha=layer.negative_slope)


@reads("LeakyRelu")
def read_leaky(node: Node) -> SymbolicValue:
    """Read LeakyRelu, whose alpha is the slope."""
    return node.elementwise(LeakyReLU(node.get("alpha", 0.01)))


@writes(PReLU, operators="PRelu or Unsqueeze, PRelu")
def write_prelu(w: Writer, layer: PReLU, x: Tensor) -> str:
    """Write PRelu; slopes of channels are lifted so that they broadcast over the pixels."""
    slope = w.array(layer.params["weight"])
    if layer.num_parameters > 1 and len(x.shape) > 2:
        slope = w.node("Unsqueeze", slope, w.integers("axes", range(1, len(x.shape) - 1)))
    return w.node("PRelu", x, slope)


@reads("PRelu")
def read_prelu(node: Node) -> SymbolicValue:
    """Read PRelu of one slope, or of one for each channel."""
    x, slope = node.value(), node.weights(1)
    sizes = slope.shape
    if node.opset < 7 and len(sizes) == 1 and x.rank > 2:
        sizes = (*sizes, *(1,) * (x.rank - 2))  # of channels, whatever the rank
    sizes = (1,) * (x.rank - len(sizes)) + sizes
    if slope.size > 1 and (x.rank < 2 or sizes != (1, x.sizes[1], *(1,) * (x.rank - 2))):
        node.unsupported(f"its slope must be one number, or one for each channel, got shape {slope.shape}")
    layer = PReLU(slope.size, dtype=slope.dtype)
    layer.params["weight"] = node.builder.copied(slope).reshape(slope.size)
    return node.apply(layer, x, place=node.learned_place())


@writes(GELU, operators="Gelu")
def write_gelu(w: Writer, layer: GELU, x: Tensor) -> str:
    """Write Gelu; the approximation has the same name in ONNX."""
    return w.node("Gelu", x, approximate=layer.approximate)


@reads("Gelu")
def read_gelu(node: Node) -> SymbolicValue:
    """Read Gelu; the approximation has the same name in ONNX."""
    return node.elementwise(GELU(node.get("approximate", "none")))


@writes(ScaledTanh, operators="Mul, Tanh, Mul")
def write_scaled_tanh(w: Writer, layer: ScaledTanh, x: Tensor) -> str:
    """Write ``a tanh(s x)`` as Mul, Tanh, Mul."""
    inside = w.node("Mul", x, w.number("slope", layer.slope))
    return w.node("Mul", w.node("Tanh", inside), w.number("amplitude", layer.amplitude))


@reads_pattern("Mul")
def read_scaled_tanh(node: Node) -> SymbolicValue | None:
    """Read ``Mul(Tanh(Mul(x, s)), a)`` with two numbers s and a as a ScaledTanh."""
    chain = node.follow("Tanh", "Mul")
    if chain is None or not isinstance(node.inputs[0], SymbolicValue):
        return None
    rank = node.value().rank
    slope, amplitude = node.scalar(1, rank), chain[1].scalar(1, rank)
    if slope is None or amplitude is None:
        return None
    return node.take(chain, node.elementwise(ScaledTanh(amplitude, slope)))


@writes(Elementwise, operators="by its function")
def write_elementwise(w: Writer, layer: Elementwise, x: Tensor) -> str:
    """Write the nodes that compute the layer's ``function``."""
    return record(w, layer.function, x.name, layer.settings)
