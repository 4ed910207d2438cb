"""Add, Sum and Concat."""

from __future__ import annotations

from dataclasses import replace

from neocog.interop.onnx.operators.bias import add_constant
from neocog.interop.onnx.reader import Node, reads
from neocog.interop.onnx.values import Known, Value
from neocog.interop.onnx.writer import Tensor, Writer, writes
from neocog.layers import Add, Concat


@writes(Add)
def write_add(w: Writer, layer: Add, x: tuple[Tensor, ...]) -> str:
    """Add takes two inputs, Sum any number."""
    return w.node("Add" if len(x) == 2 else "Sum", *x)


@reads("Add", "Sum")
def read_sum(node: Node) -> Value:
    """Of computed values by Add; a constant becomes a bias, the layer's before it where it has none yet."""
    for source in node.inputs:
        if source is None:
            node.fail("an input is missing")
    values = [source for source in node.inputs if isinstance(source, Value)]
    constants = [node.weights(k) for k, source in enumerate(node.inputs) if isinstance(source, Known)]
    y = values[0]
    if len(values) > 1:
        if len({(value.held, value.shape) for value in values}) == 1:
            y = replace(node.building.add(node.place, Add(), *values), shape=y.shape, view=y.view)
        else:
            y = node.apply(Add(), *values)
    for constant in constants:
        y = add_constant(node, y, constant)
    return y


@writes(Concat)
def write_concat(w: Writer, layer: Concat, x: tuple[Tensor, ...]) -> str:
    """The same axis."""
    return w.node("Concat", *x, axis=layer.axis)


@reads("Concat")
def read_concat(node: Node) -> Value:
    """Along the axis; along the first, the batch's, with an axis of size 1 put before it."""
    values = [node.value(k) for k in range(len(node.inputs))]
    axis = node.axis(1, values[0].rank)
    if len(values) == 1:
        return values[0]
    if axis:
        return node.apply(Concat(axis), *values)
    y = node.apply(Concat(1), *(x.viewed(lambda s: (1, *s)) for x in values))
    return node.viewed(y, lambda s: s[1:])
