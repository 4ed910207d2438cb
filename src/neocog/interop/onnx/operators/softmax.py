"""Softmax and LogSoftmax."""

from __future__ import annotations

import math

from neocog.interop.onnx.reader import Node, reads
from neocog.interop.onnx.values import Value
from neocog.interop.onnx.writer import Tensor, Writer, writes
from neocog.layers import LogSoftmax, Softmax


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
