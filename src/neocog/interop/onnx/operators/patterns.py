"""Read several nodes as one layer: GELU, Hardswish and Hardsigmoid as they are written in older opsets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import TypeAlias

from neocog.interop.onnx.import_node import Node, reads, reads_pattern
from neocog.interop.onnx.operators.activation import bounds
from neocog.interop.onnx.symbolic import SymbolicValue
from neocog.layers import GELU, Hardsigmoid, Hardswish, Layer, Multiply, Power, Sqrt

# Nodes that are one layer: each node's operator, and its operand other than the result of the node before:
# "x", "x / 2", a number, "0 to 6" for the bounds of a Clip, or None.
Steps: TypeAlias = list[tuple[str, str | float | None]]
ROOTS: list[Steps] = [[("Div", math.sqrt(2))], [("Mul", math.sqrt(0.5))]]
CUBES: list[Steps] = [[("Mul", "x"), ("Mul", "x")], [("Pow", 3.0)]]
ERF: Steps = [("Erf", None), ("Add", 1.0)]
TANH: Steps = [("Mul", 0.044715), ("Add", "x"), ("Mul", math.sqrt(2 / math.pi)), ("Tanh", None), ("Add", 1.0)]
HALVES: list[Steps] = [[("Mul", "x"), ("Mul", 0.5)], [("Mul", 0.5), ("Mul", "x")], [("Mul", "x / 2")]]
RELU6: Steps = [("Add", 3.0), ("Clip", "0 to 6")]
SIXTHS: list[Steps] = [[("Div", 6.0)], [("Mul", 1 / 6)]]
SPELT_OUT: list[tuple[Callable[[], Layer], Steps]] = [
    *((partial(GELU, "none"), first + ERF + last) for first, last in product(ROOTS, HALVES)),
    *((partial(GELU, "tanh"), first + TANH + last) for first, last in product(CUBES, HALVES)),
    *((Hardswish, [*RELU6, ("Mul", "x"), *last]) for last in SIXTHS),
    *((Hardswish, [*RELU6, *last, ("Mul", "x")]) for last in SIXTHS),
    *((Hardsigmoid, RELU6 + last) for last in SIXTHS),
]


@reads_pattern("Add", "Div", "Mul", "Pow")
def read_spelt_out(node: Node) -> SymbolicValue | None:
    """Read an activation of which each node is applied to the one before and a number, or x, or nothing."""
    k = next((k for k, source in enumerate(node.inputs) if isinstance(source, SymbolicValue)), None)
    if k is None:
        return None
    x, rank = node.proto.input[k], node.value(k).rank
    for layer, steps in SPELT_OUT:
        if node.operator == steps[0][0]:
            chain = node.follow(*(operator for operator, _ in steps[1:]))
            if chain and _applied(x, rank, [node, *chain], [operand for _, operand in steps]):
                return node.take(chain, node.elementwise(layer(), k, chain[-1].place))
    return None


def _applied(x: str, rank: int, chain: Sequence[Node], operands: Sequence[str | float | None]) -> bool:
    """Return whether nodes, each applied to the one before and the first to x, have these other operands."""
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
        elif wanted == "0 to 6":
            if bounds(node) != [0, 6]:
                return False
        elif wanted == "x / 2":
            if not node.builder.is_multiple(others[0], x, 0.5, rank):
                return False
        elif others != [x] * (wanted is not None):
            return False
        before = node.proto.output[0]
    return True


@reads("Pow")
def read_power(node: Node) -> SymbolicValue:
    """Read the square as a product, the square root as such, and powers with another fixed exponent."""
    exponent = node.scalar(1, node.value().rank)
    if not exponent:
        node.unsupported("its exponent must be one number other than 0")
    if exponent == 2:
        return node.apply(Multiply(), node.value(), node.value())
    return node.elementwise(Sqrt() if exponent == 0.5 else Power(exponent))


@reads("Erf")
def read_part(node: Node) -> SymbolicValue:
    """Refuse a node that is not part of a known pattern."""
    node.unsupported("it is read only among the nodes that a GELU is written as")
