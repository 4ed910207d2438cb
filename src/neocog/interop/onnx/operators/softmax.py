"""Write and read Softmax and LogSoftmax."""

from __future__ import annotations

import math

from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node, reads
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
