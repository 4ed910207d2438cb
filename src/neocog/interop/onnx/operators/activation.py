"""Write and read activations."""

from __future__ import annotations

import math

import numpy as np

from neocog.interop.onnx.export_graph import OPERATORS, Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node, folds, reads, reads_pattern
from neocog.interop.onnx.recording import record
from neocog.interop.onnx.symbolic import SymbolicValue
from neocog.layers import (
    ELU,
    GELU,
    SELU,
    Abs,
    Clip,
    Elementwise,
    Exp,
    Hardsigmoid,
    Hardswish,
    Layer,
    LeakyReLU,
    Mish,
    Power,
    PReLU,
    ReLU,
    ScaledTanh,
    Sigmoid,
    SiLU,
    Softplus,
    Sqrt,
    Tanh,
)

FLOAT32_MAX = float(np.finfo(np.float32).max)
"""Exporters write it where there is no bound."""


@writes(ReLU, operators="Relu")
@writes(Sigmoid, operators="Sigmoid")
@writes(Tanh, operators="Tanh")
@writes(Exp, operators="Exp")
@writes(Sqrt, operators="Sqrt")
@writes(Abs, operators="Abs")
def write_plain(w: Writer, layer: Layer, x: Tensor) -> str:
    """Write an activation that is one operator without attributes."""
    return w.node(OPERATORS[type(layer)], x)


@writes(Hardswish, operators="HardSwish or HardSigmoid, Mul")
def write_hardswish(w: Writer, layer: Hardswish, x: Tensor) -> str:
    """Write HardSwish, which is ``x hardsigmoid(x)`` before opset 14."""
    if w.opset >= 14:
        return w.node("HardSwish", x)
    return w.node("Mul", x, w.node("HardSigmoid", x, alpha=1 / 6, beta=0.5))


@writes(Mish, operators="Mish or Softplus, Tanh, Mul")
def write_mish(w: Writer, layer: Mish, x: Tensor) -> str:
    """Write Mish, which is ``x tanh(softplus(x))`` before opset 18."""
    if w.opset >= 18:
        return w.node("Mish", x)
    return w.node("Mul", x, w.node("Tanh", w.node("Softplus", x)))


PLAIN: dict[str, type[Layer]] = {
    "Abs": Abs,
    "Exp": Exp,
    "HardSwish": Hardswish,
    "Mish": Mish,
    "Relu": ReLU,
    "Sigmoid": Sigmoid,
    "Softplus": Softplus,
    "Sqrt": Sqrt,
    "Tanh": Tanh,
}


@reads(*PLAIN)
def read_plain(node: Node) -> SymbolicValue:
    """Read an operator without attributes as an activation without arguments."""
    return node.elementwise(PLAIN[node.operator]())


@writes(Power, operators="Pow")
def write_power(w: Writer, layer: Power, x: Tensor) -> str:
    """Write Pow, whose exponent is an input."""
    return w.node("Pow", x, w.number("exponent", layer.exponent))


@reads("Reciprocal")
def read_reciprocal(node: Node) -> SymbolicValue:
    """Read Reciprocal, the power -1."""
    return node.elementwise(Power(-1))


@writes(Clip, operators="Clip")
def write_clip(w: Writer, layer: Clip, x: Tensor) -> str:
    """Write Clip, whose bounds are inputs; one that does not bound is left out."""
    bounds = {"low": layer.low, "high": layer.high}
    return w.node("Clip", x, *("" if v is None else w.number(name, v) for name, v in bounds.items()))


@reads("Clip")
def read_clip(node: Node) -> SymbolicValue:
    """Read Clip by two numbers."""
    return node.elementwise(Clip(*bounds(node)))


@folds("Clip")
def fold_clip(node: Node, x: np.ndarray, *_: np.ndarray) -> np.ndarray:
    """Fold Clip by two numbers."""
    low, high = bounds(node)
    node.builder.charge(x.nbytes)
    return np.asarray(np.clip(x, low, high), x.dtype)


def bounds(node: Node) -> list[float | None]:
    """Return the bounds of Clip, which were attributes before opset 11; None where there is none."""
    found: list[float | None] = []
    for k, name in enumerate(("min", "max"), 1):
        bound = node.get(name, math.inf) if node.opset < 11 else node.number(k) if node.has(k) else math.inf
        found.append(None if abs(bound) >= FLOAT32_MAX else float(bound))
    return found


@writes(SiLU, operators="Sigmoid, Mul")
def write_silu(w: Writer, layer: SiLU, x: Tensor) -> str:
    """Write ``x sigmoid(x)``; ONNX has an operator for it from opset 24 on only."""
    return w.node("Mul", x, w.node("Sigmoid", x))


@reads_pattern("Sigmoid")
def read_silu(node: Node) -> SymbolicValue | None:
    """Read ``Mul(x, Sigmoid(x))`` as SiLU."""
    chain = node.follow("Mul")
    name = node.proto.input[0]
    if chain is None or sorted(chain[0].proto.input) != sorted((name, node.proto.output[0])):
        return None
    return node.take(chain, node.elementwise(SiLU()))


@reads_pattern("Softplus")
def read_mish(node: Node) -> SymbolicValue | None:
    """Read ``Mul(x, Tanh(Softplus(x)))`` as Mish."""
    chain = node.follow("Tanh", "Mul")
    if chain is None or sorted(chain[1].proto.input) != sorted((node.proto.input[0], *chain[0].proto.output)):
        return None
    return node.take(chain, node.elementwise(Mish()))


@reads_pattern("HardSigmoid")
def read_hardswish(node: Node) -> SymbolicValue | None:
    """Read ``Mul(x, HardSigmoid(x))`` as Hardswish."""
    chain = node.follow("Mul")
    name, layer = node.proto.input[0], _hardsigmoid(node)
    if chain is None or sorted(chain[0].proto.input) != sorted((name, node.proto.output[0])):
        return None
    if (layer.slope, layer.offset) != (1 / 6, 0.5):
        return None
    return node.take(chain, node.elementwise(Hardswish()))


@reads("Swish")
def read_swish(node: Node) -> SymbolicValue:
    """Read Swish of the one slope 1 as SiLU."""
    if node.get("alpha", 1.0) != 1:
        node.unsupported(f"its alpha must be 1, got {node.get('alpha', 1.0)}")
    return node.elementwise(SiLU())


@writes(Hardsigmoid, operators="HardSigmoid")
def write_hardsigmoid(w: Writer, layer: Hardsigmoid, x: Tensor) -> str:
    """Write HardSigmoid, whose alpha is the slope, beta the offset."""
    return w.node("HardSigmoid", x, alpha=layer.slope, beta=layer.offset)


@reads("HardSigmoid")
def read_hardsigmoid(node: Node) -> SymbolicValue:
    """Read HardSigmoid, whose alpha is the slope, beta the offset."""
    return node.elementwise(_hardsigmoid(node))


def _hardsigmoid(node: Node) -> Hardsigmoid:
    """Make the layer of a HardSigmoid; a float32 of 1/6 is 1/6."""
    slope, offset = node.get("alpha", 0.2), node.get("beta", 0.5)
    return Hardsigmoid(1 / 6 if abs(slope - 1 / 6) < 1e-7 else slope, offset)


@writes(ELU, operators="Elu")
def write_elu(w: Writer, layer: ELU, x: Tensor) -> str:
    """Write Elu; alpha has the same name."""
    return w.node("Elu", x, alpha=layer.alpha)


@reads("Elu")
def read_elu(node: Node) -> SymbolicValue:
    """Read Elu; alpha has the same name."""
    return node.elementwise(ELU(node.get("alpha", 1.0)))


@writes(SELU, operators="Selu")
def write_selu(w: Writer, layer: SELU, x: Tensor) -> str:
    """Write Selu with its usual constants, which ONNX rounds to float32."""
    return w.node("Selu", x)


@reads("Selu")
def read_selu(node: Node) -> SymbolicValue:
    """Read Selu with its usual constants."""
    alpha, gamma = node.get("alpha", 1.67326319217681884765625), node.get("gamma", 1.05070102214813232421875)
    if abs(alpha - 1.67326324) > 1e-6 or abs(gamma - 1.05070099) > 1e-6:
        node.unsupported(f"alpha and gamma must be those of the paper, got {alpha} and {gamma}")
    return node.elementwise(SELU())


@writes(Softplus, operators="Softplus or Mul, Softplus, Div")
def write_softplus(w: Writer, layer: Softplus, x: Tensor) -> str:
    """Write Softplus of ``beta x``, divided by beta."""
    if layer.beta == 1:
        return w.node("Softplus", x)
    beta = w.number("beta", layer.beta)
    return w.node("Div", w.node("Softplus", w.node("Mul", x, beta)), beta)


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


@writes(GELU, operators="Gelu or Div, Erf, Add, Mul, Mul or Pow, Mul, Add, Mul, Tanh, Add, Mul, Mul")
def write_gelu(w: Writer, layer: GELU, x: Tensor) -> str:
    """Write Gelu; before opset 20 ``x (1 + erf(x / sqrt(2))) / 2``, or its approximation by tanh."""
    if w.opset >= 20:
        return w.node("Gelu", x, approximate=layer.approximate)
    if layer.approximate == "none":
        inner = w.node("Erf", w.node("Div", x, w.number("root", math.sqrt(2))))
    else:
        cube = w.node("Mul", w.node("Pow", x, w.number("three", 3)), w.number("part", 0.044715))
        inner = w.node("Add", x, cube)
        inner = w.node("Tanh", w.node("Mul", inner, w.number("slope", math.sqrt(2 / math.pi))))
    product = w.node("Mul", w.node("Add", inner, w.number("one", 1)), x)
    return w.node("Mul", product, w.number("half", 0.5))


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


@reads_pattern("Mul")
def read_softplus(node: Node) -> SymbolicValue | None:
    """Read ``Div(Softplus(Mul(x, b)), b)`` as a Softplus."""
    chain = node.follow("Softplus", "Div")
    if chain is None or not isinstance(node.inputs[0], SymbolicValue):
        return None
    rank = node.value().rank
    beta = node.scalar(1, rank)
    if beta is None or chain[1].scalar(1, rank) != beta:
        return None
    return node.take(chain, node.elementwise(Softplus(beta)))
