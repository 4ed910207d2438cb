"""Write and read layers of several inputs: sums, products, extrema, concatenation; write MatMul."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np

from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node, reads
from neocog.interop.onnx.operators.bias import add_constant
from neocog.interop.onnx.symbolic import Known, SymbolicValue
from neocog.layers import Add, Clip, Concat, Layer, MatMul, Maximum, Minimum, Multiply


@writes(Add, operators="Add or Sum")
def write_add(w: Writer, layer: Add, x: tuple[Tensor, ...]) -> str:
    """Write Add for two inputs, Sum for any other number."""
    return w.node("Add" if len(x) == 2 else "Sum", *x)


@reads("Add", "Sum")
def read_sum(node: Node) -> SymbolicValue:
    """Read Add or Sum: computed values become an Add layer, constants biases."""
    for source in node.inputs:
        if source is None:
            node.fail("an input is missing")
    values = [source for source in node.inputs if isinstance(source, SymbolicValue)]
    constants = [node.weights(k) for k, source in enumerate(node.inputs) if isinstance(source, Known)]
    y = values[0]
    if len(values) > 1:
        y = joined(node, Add())
    for constant in constants:
        y = add_constant(node, y, constant)
    return y


def joined(node: Node, layer: Layer) -> SymbolicValue:
    """Join the computed inputs by a layer, without a Reshape where all are reshaped alike."""
    values = [source for source in node.inputs if isinstance(source, SymbolicValue)]
    y = values[0]
    if len({(value.held, value.shape) for value in values}) > 1:
        return node.apply(layer, *values)
    return replace(node.builder.add(node.place, layer, *values), shape=y.shape, view=y.view)


@writes(Multiply, operators="Mul or Mul, Mul or Identity")
def write_multiply(w: Writer, layer: Multiply, x: tuple[Tensor, ...]) -> str:
    """Write Mul for two inputs, one after another for more."""
    names = [part.name for part in x]
    return reduce(lambda a, b: w.node("Mul", a, b), names) if len(x) > 1 else w.node("Identity", *x)


@writes(Maximum, operators="Max")
def write_maximum(w: Writer, layer: Maximum, x: tuple[Tensor, ...]) -> str:
    """Write Max."""
    return w.node("Max", *x)


@writes(Minimum, operators="Min")
def write_minimum(w: Writer, layer: Minimum, x: tuple[Tensor, ...]) -> str:
    """Write Min."""
    return w.node("Min", *x)


@reads("Max", "Min")
def read_extremum(node: Node) -> SymbolicValue:
    """Read Max or Min: of computed values as a layer, by a number as a Clip."""
    numbers = [node.number(k) for k, source in enumerate(node.inputs) if isinstance(source, Known)]
    largest = node.operator == "Max"
    values = [source for source in node.inputs if isinstance(source, SymbolicValue)]
    if len(values) + len(numbers) < len(node.inputs):
        node.fail("an input is missing")
    y = values[0] if len(values) == 1 else joined(node, Maximum() if largest else Minimum())
    if not numbers:
        return y
    bound = max(numbers) if largest else min(numbers)
    return node.apply(Clip(bound, None) if largest else Clip(None, bound), y)


@writes(Concat, operators="Concat")
def write_concat(w: Writer, layer: Concat, x: tuple[Tensor, ...]) -> str:
    """Write Concat along the same axis."""
    return w.node("Concat", *x, axis=layer.axis)


@reads("Concat")
def read_concat(node: Node) -> SymbolicValue:
    """Read Concat; for axis 0, the batch, a leading axis of size 1 is added first."""
    values = [node.value(k) for k in range(len(node.inputs))]
    axis = node.axis(1, values[0].rank)
    if len(values) == 1:
        return values[0]
    if axis:
        return node.apply(Concat(axis), *values)
    y = node.apply(Concat(1), *(x.viewed(lambda s: (1, *s)) for x in values))
    return node.viewed(y, lambda s: s[1:])


@reads("Expand")
def read_expand(node: Node) -> SymbolicValue:
    """Read Expand before arithmetic with a value of the whole shape, which broadcasts by itself."""
    x, wanted = node.value(), node.known(1)
    shapes = [np.broadcast_shapes(s, tuple(map(int, k))) for s, k in zip(x.shape, wanted.arrays, strict=True)]
    (name,) = node.proto.output
    for reader in node.builder.readers.get(name, []):
        values = [node.builder.values.get(source) for source in reader.input if source != name]
        whole = [value for value in values if isinstance(value, SymbolicValue) and [*value.shape] == shapes]
        if reader.op_type not in ("Add", "Div", "Max", "Min", "Mul", "Sub") or not whole:
            node.unsupported(f"only arithmetic with a computed value of its shape {shapes[0]} may read it")
    if node.builder.uses[name] > len(node.builder.readers.get(name, [])):
        node.unsupported("the output of a network may not be expanded")
    return x


@writes(MatMul, operators="MatMul")
def write_matmul(w: Writer, layer: MatMul, x: tuple[Tensor, ...]) -> str:
    """Write MatMul, which :mod:`~neocog.interop.onnx.operators.dense` reads."""
    return w.node("MatMul", *x)
