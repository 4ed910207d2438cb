"""Write and read Softmax and LogSoftmax."""

from __future__ import annotations

import math

from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node, reads, reads_pattern
from neocog.interop.onnx.symbolic import SymbolicValue
from neocog.layers import LogSoftmax, Softmax


@writes(Softmax, operators="Softmax")
@writes(LogSoftmax, operators="LogSoftmax")
def write_softmax(w: Writer, layer: Softmax | LogSoftmax, x: Tensor) -> str:
    """Write Softmax or LogSoftmax; ONNX takes the same axis."""
    return w.node(type(layer).__name__, x, axis=layer.axis)


@reads("Softmax", "LogSoftmax")
def read_softmax(node: Node) -> SymbolicValue:
    """Read Softmax or LogSoftmax along one axis; before opset 13 over all axes from ``axis`` on."""
    x = node.value()
    axis = node.axis(1 if node.opset < 13 else -1, x.rank)
    make = Softmax if node.operator == "Softmax" else LogSoftmax
    ones_after = all(size == 1 for size in x.sizes[axis + 1 :])
    if node.opset >= 13 and not ones_after:
        return node.apply(make(axis), x)
    # Join the axes from ``axis`` on; since opset 13 this only drops axes of size 1.
    laid_out = x.viewed(lambda s: (*s[:axis], math.prod(s[axis:])))
    return node.apply(make(axis), laid_out).reshaped(x.shape, node.place)


@reads_pattern("Exp", "ReduceMax")
def read_spelt_out_softmax(node: Node) -> SymbolicValue | None:
    """Read ``e / sum(e)`` of ``e = exp(x)`` or ``exp(x - max(x))``, and ``x - max(x) - log(sum(e))``."""
    x, taken = node.value(), []
    shifted, exponential = node.proto.input[0], node
    if node.operator == "ReduceMax":
        difference = node.follow("Sub")
        if difference is None or [*difference[0].proto.input] != [shifted, *node.proto.output]:
            return None
        (shifted,) = difference[0].proto.output
        readers = [proto for proto in node.builder.readers.get(shifted, []) if proto.op_type == "Exp"]
        if len(readers) != 1:
            return None
        exponential = Node(readers[0], node.builder)
        taken = [*difference, exponential]
    (powers,) = exponential.proto.output
    sums = [proto for proto in node.builder.readers.get(powers, []) if proto.op_type == "ReduceSum"]
    if len(sums) != 1:
        return None
    total = Node(sums[0], node.builder)
    axes = total.kept_axes(x.rank)
    if axes is None or len(axes) != 1 or (taken and node.kept_axes(x.rank) != axes):
        return None
    quotient, logarithm = total.follow("Div"), total.follow("Log", "Sub") if taken else None
    shifts, uses = (node.builder.uses[name] for name in (shifted, powers))
    if quotient and uses == 2 and (shifts == 1 or not taken):
        if [*quotient[0].proto.input] != [powers, *total.proto.output]:
            return None
        return node.take([*taken, total, *quotient], node.apply(Softmax(axes[0]), x))
    if logarithm and uses == 1 and shifts == 2:
        if [*logarithm[1].proto.input] != [shifted, *logarithm[0].proto.output]:
            return None
        return node.take([*taken, total, *logarithm], node.apply(LogSoftmax(axes[0]), x))
    return None
