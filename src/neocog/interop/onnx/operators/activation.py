"""The functions of one number, and Softmax."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import TypeAlias

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


# GELU as PyTorch writes it before opset 20, and as people do: each node's operator beside what it is applied
# to besides the result of the node before: "x", "x / 2", a number, or nothing.
Steps: TypeAlias = list[tuple[str, str | float | None]]
ROOTS: list[Steps] = [[("Div", math.sqrt(2))], [("Mul", math.sqrt(0.5))]]
CUBES: list[Steps] = [[("Mul", "x"), ("Mul", "x")], [("Pow", 3.0)]]
ERF: Steps = [("Erf", None), ("Add", 1.0)]
TANH: Steps = [("Mul", 0.044715), ("Add", "x"), ("Mul", math.sqrt(2 / math.pi)), ("Tanh", None), ("Add", 1.0)]
HALVES: list[Steps] = [[("Mul", "x"), ("Mul", 0.5)], [("Mul", 0.5), ("Mul", "x")], [("Mul", "x / 2")]]
SPELT_OUT = [
    *(("none", first + ERF + last) for first, last in product(ROOTS, HALVES)),
    *(("tanh", first + TANH + last) for first, last in product(CUBES, HALVES)),
]


def read_spelt_out_gelu(node: Node) -> Value | None:
    """``x (1 + erf(x / sqrt(2))) / 2``, or its approximation by tanh, if these are the nodes."""
    k = next((k for k, source in enumerate(node.inputs) if isinstance(source, Value)), None)
    if k is None:
        return None
    x, rank = node.proto.input[k], node.value(k).rank
    for approximate, steps in SPELT_OUT:
        if node.operator == steps[0][0]:
            chain = node.follow(*(operator for operator, _ in steps[1:]))
            if chain and _applied(x, rank, [node, *chain], [operand for _, operand in steps]):
                return node.take(chain, node.elementwise(GELU(approximate), k, chain[-1].place))
    return None


def _applied(x: str, rank: int, chain: Sequence[Node], operands: Sequence[str | float | None]) -> bool:
    """Whether nodes, each applied to the one before and the first to x, have these other operands."""
    before = x
    for node, wanted in zip(chain, operands, strict=True):
        others = list(node.proto.input)
        place = others.index(before)
        others.remove(before)
        if isinstance(wanted, float):
            number = node.scalar(1 - place, rank)
            if number is None or not math.isclose(number, wanted, rel_tol=1e-5):
                return False
            if place and node.operator in ("Div", "Pow"):
                return False
        elif wanted == "x / 2":
            if not node.building.is_multiple(others[0], x, 0.5, rank):
                return False
        elif others != [x] * (wanted is not None):
            return False
        before = node.proto.output[0]
    return True


@writes(ScaledTanh)
def write_scaled_tanh(w: Writer, layer: ScaledTanh, x: Tensor) -> str:
    """``a tanh(s x)``, operator by operator."""
    inside = w.node("Mul", x, w.number("slope", layer.slope))
    return w.node("Mul", w.node("Tanh", inside), w.number("amplitude", layer.amplitude))


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
