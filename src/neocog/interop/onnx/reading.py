"""From an ONNX model to a network."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from neocog.interop.onnx.building import Building
from neocog.interop.onnx.checking import check, refusing
from neocog.interop.onnx.errors import OnnxImportError
from neocog.interop.onnx.files import read_model, tensor_array
from neocog.interop.onnx.nesting import assembled, at_home, dotted_name
from neocog.interop.onnx.reader import FOLDS, READERS, Node, fold
from neocog.interop.onnx.values import Known, Shapes, Value
from neocog.layers import Container, Layer
from neocog.validation import RandomSource, generator, image_shape

# Two sizes for each axis that the model leaves open: primes, so that no product comes out the same by chance.
SIZES = [(1009, 2003), (1013, 2011), (1019, 2017), (1021, 2027), (1031, 2029), (1033, 2039)]
MOST_PIXELS = 2**20  # along one axis of the input


def from_onnx(
    source: str | os.PathLike[str] | bytes | onnx.ModelProto,
    *,
    input_shape: tuple[int, int, int] | None = None,
    rng: RandomSource = None,
) -> Container:
    """Read an ONNX model as a network that can be run, explained and trained.

    Weights become parameters, named after their initializers. Where a layer stands at several nodes with the
    same weights it is one layer. The batch is free even if the model has it fixed, unless its layers mix the
    images of a batch. Nothing in a file is ever executed.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
    input_shape : (channels, height, width), optional
        For a model that leaves the size of its images open.
    rng : Generator, int or None
        Where the masks of dropout layers come from.

    Returns
    -------
    Sequential or Graph
        A Sequential where the layers form a chain.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file.
    OnnxImportError
        If the model is malformed or truncated, has an operator that no layer computes, weights that are not
        float32 or float64, several outputs, or data in a file outside its folder.

    Notes
    -----
    Operators: Add, AveragePool, BatchNormalization, Concat, Conv, Dropout, Flatten, Gelu, Gemm,
    GlobalAveragePool, GlobalMaxPool, Identity, LRN, LeakyRelu, LogSoftmax, MatMul, MaxPool, Pad, ReduceMean,
    Relu, Reshape, Sigmoid, Softmax, Squeeze, Sum, Tanh, Transpose, Unsqueeze; Sub, Mul and Div by constants;
    and on constants and shapes also Cast, Constant, ConstantOfShape, Gather, ScatterND, Shape, Slice. Images
    and rows, (N, C, H, W) and (N, C, L); opsets 1 to that of the installed ``onnx``.

    Examples
    --------
    >>> import neocog
    >>> from neocog.interop.onnx import to_onnx
    >>> network = neocog.models.digits_cnn(seed=0)
    >>> again = from_onnx(to_onnx(network))
    >>> list(again.params) == list(network.params)
    True
    """
    if input_shape is not None:
        input_shape = image_shape(input_shape)
    rng = generator(rng)
    model, folder = read_model(source)
    with refusing():
        return _network(model, folder, input_shape, rng)


def _network(
    model: onnx.ModelProto,
    folder: Path | None,
    input_shape: tuple[int, ...] | None,
    rng: np.random.Generator,
) -> Container:
    check(model)
    graph = model.graph
    constants = {
        tensor.name: Known.constant(tensor_array(tensor, folder), tensor.name) for tensor in graph.initializer
    }
    if len(graph.output) != 1:
        raise OnnxImportError(
            f"the model has {len(graph.output)} outputs, {[output.name for output in graph.output]}; a "
            "network has one."
        )
    declared = {value.name: _declared(value) for value in graph.input if value.name not in constants}
    if input_shape is not None:
        if len(declared) != 1:
            raise OnnxImportError(f"input_shape is for a model of one input, this one has {list(declared)}.")
        declared = {name: [sizes[0] if sizes else None, *input_shape] for name, sizes in declared.items()}
    for name, sizes in declared.items():
        if sizes is None:
            raise OnnxImportError(f"input {name!r} has no shape: pass input_shape=(channels, height, width).")

    def build(fixed_batch: bool) -> Layer | np.ndarray:
        return read_graph(model, constants, _two_sizes(declared, fixed_batch), graph.output[0].name, rng)

    try:
        network = build(fixed_batch=False)
    except OnnxImportError:
        if any(sizes and sizes[0] is None for sizes in declared.values()):
            raise
        network = build(fixed_batch=True)
    if not isinstance(network, Container):
        raise OnnxImportError("the model computes nothing from an input.")
    _describe(network, model, list(declared.values()))
    return network


def _declared(value: onnx.ValueInfoProto) -> list[int | None] | None:
    """Sizes of an input, None where they are open; None if there is no shape at all."""
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or tensor.elem_type not in (
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.DOUBLE,
    ):
        raise OnnxImportError(f"input {value.name!r} must be a float32 or float64 tensor.")
    if not tensor.HasField("shape"):
        return None
    return [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in tensor.shape.dim
    ]


def _two_sizes(declared: Mapping[str, Any], fixed_batch: bool) -> dict[str, Shapes]:
    """Two shapes of each input: those of two batches, and of two sizes for all that the model leaves open."""
    shapes: dict[str, Shapes] = {}
    for name, sizes in declared.items():
        if len(sizes) > len(SIZES) or max((size or 0 for size in sizes), default=0) > MOST_PIXELS:
            raise OnnxImportError(f"input {name!r} has shape {sizes}, beyond what a network is for.")
        first, second = [], []
        for axis, size in enumerate(sizes):
            a, b = (size, size) if size is not None else SIZES[axis]
            if axis == 0 and size is not None and not fixed_batch:
                b = SIZES[0][1]
            first.append(a)
            second.append(b)
        shapes[name] = (tuple(first), tuple(second))
    return shapes


def read_graph(
    model: onnx.ModelProto,
    constants: Mapping[str, Known],
    shapes: Mapping[str, Shapes],
    output: str,
    rng: RandomSource = None,
) -> Layer | np.ndarray:
    """Build the network that computes one output, or return the output if it is a constant.

    Parameters
    ----------
    model : onnx.ModelProto
        Checked.
    constants : mapping of str to Known
        What is given, as initializers are.
    shapes : mapping of str to pair of shapes
        Of every input that is not given.
    output : str
    rng : Generator, int or None
        Where the masks of dropout layers come from.

    Raises
    ------
    OnnxImportError
        If a node cannot be read.
    """
    (opset,) = {opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")}
    names = ["input"] if len(shapes) == 1 else [dotted_name(name).replace(".", "_") for name in shapes]
    values: dict[str, Value | Known] = dict(constants)
    nodes = needed(model.graph, output)
    uses = Counter([output, *(name for node in nodes for name in node.input)])
    for name, (onnx_name, shape) in zip(names, shapes.items(), strict=True):
        values[onnx_name] = Value(name, shape, shape, uses[onnx_name] > 1)
    building = Building(nodes, output, opset, values, rng)
    for proto in nodes:
        if proto.output[0] in building.done:
            continue
        _read(proto, building)
    result = building.values[output]
    if isinstance(result, Known):
        return result.arrays[0]
    try:
        result = building.settled(result)
    except ValueError as error:
        raise OnnxImportError(f"output {output!r}: {str(error).rstrip('.')}.") from error
    layers = _leading_to(building.layers, tuple(names), result.node)
    return assembled(*at_home(layers, result.node), tuple(names))


def needed(graph: onnx.GraphProto, output: str) -> list[onnx.NodeProto]:
    """Return the nodes that lead to an output, in the order of the graph."""
    makers = {name: node for node in graph.node for name in node.output if name}
    wanted, frontier = set(), [output]
    while frontier:
        node = makers.get(frontier.pop())
        if node is not None and node.output[0] not in wanted:
            wanted.add(node.output[0])
            frontier.extend(name for name in node.input if name)
    return [node for node in graph.node if node.output[0] in wanted]


def _read(proto: onnx.NodeProto, building: Building) -> None:
    """Turn one node into layers, or carry it out if all its inputs are constants."""
    node = Node(proto, building)
    for name in proto.input:
        if name and name not in building.values:
            node.fail(f"it reads {name!r}, a second output, which layers do not have")
    try:
        y: Value | Known
        if (
            all(source is None or isinstance(source, Known) for source in node.inputs)
            and proto.op_type in FOLDS
        ):
            y = fold(node)
        elif proto.op_type in READERS:
            y = READERS[proto.op_type](node)
        else:
            node.fail("there is a layer for it only where all its inputs are constants or shapes")
    except OnnxImportError:
        raise
    except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError) as error:
        node.fail(str(error) if isinstance(error, TypeError | ValueError) else repr(error))
    if isinstance(y, Value):
        y = replace(y, shared=y.shared or building.uses[proto.output[0]] > 1)
    building.values[proto.output[0]] = y


def _leading_to(
    layers: Mapping[str, tuple[Any, ...]], inputs: tuple[str, ...], output: str
) -> dict[str, tuple[Any, ...]]:
    """Return the layers that lead to the output; all inputs must."""
    wanted, frontier = set(), [output]
    while frontier:
        name = frontier.pop()
        if name not in wanted:
            wanted.add(name)
            frontier.extend(layers[name][1:] if name in layers else ())
    unread = [name for name in inputs if name not in wanted]
    if unread:
        raise OnnxImportError(f"the output does not depend on the inputs {unread}.")
    return {name: node for name, node in layers.items() if name in wanted}


def _describe(network: Container, model: onnx.ModelProto, declared: Iterable[Any]) -> None:
    """Give the network its input shape and class names, as far as the model tells them."""
    shapes = list(declared)
    if len(shapes) == 1 and len(shapes[0]) == 4 and None not in shapes[0][1:]:
        network.input_shape = tuple(shapes[0][1:])
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if "neocog.class_names" in metadata:
        try:
            names = json.loads(metadata["neocog.class_names"])
        except ValueError as error:
            raise OnnxImportError(f"neocog.class_names in the metadata is malformed: {error}.") from error
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise OnnxImportError(
                f"neocog.class_names in the metadata must be a list of names, got {names!r}."
            )
        network.class_names = tuple(names)
