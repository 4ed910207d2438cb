"""Write and read Add and Concat."""

from __future__ import annotations

from dataclasses import replace

from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node, reads
from neocog.interop.onnx.operators.bias import add_constant
from neocog.interop.onnx.symbolic import Known, Value
from neocog.layers import Add, Concat


@writes(Add, operators="Add or Sum")
def write_add(w: Writer, layer: Add, x: tuple[Tensor, ...]) -> str:
    """Write Add for two inputs, Sum for any other number."""
    return w.node("Add" if len(x) == 2 else "Sum", *x)


@reads("Add", "Sum")
def read_sum(node: Node) -> Value:
    """Read Add or Sum: computed values become an Add layer, constants biases."""
    for source in node.inputs:
        if source is None:
            node.fail("an input is missing")
    values = [source for source in node.inputs if isinstance(source, Value)]
    constants = [node.weights(k) for k, source in enumerate(node.inputs) if isinstance(source, Known)]
    y = values[0]
    if len(values) > 1:
        if len({(value.held, value.shape) for value in values}) == 1:
            y = replace(node.builder.add(node.place, Add(), *values), shape=y.shape, view=y.view)
        else:
            y = node.apply(Add(), *values)
    for constant in constants:
        y = add_constant(node, y, constant)
    return y


@writes(Concat, operators="Concat")
def write_concat(w: Writer, layer: Concat, x: tuple[Tensor, ...]) -> str:
    """Write Concat along the same axis."""
    return w.node("Concat", *x, axis=layer.axis)


@reads("Concat")
def read_concat(node: Node) -> Value:
    """Read Concat; for axis 0, the batch, a leading axis of size 1 is added first."""
    values = [node.value(k) for k in range(len(node.inputs))]
    axis = node.axis(1, values[0].rank)
    if len(values) == 1:
        return values[0]
    if axis:
        return node.apply(Concat(axis), *values)
    y = node.apply(Concat(1), *(x.viewed(lambda s: (1, *s)) for x in values))
    return node.viewed(y, lambda s: s[1:])
