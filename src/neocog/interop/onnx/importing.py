"""Import an ONNX model as a network."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from neocog.data.preprocessing import Preprocessing
from neocog.interop.nesting import assemble, needed
from neocog.interop.onnx.channels_last import turned
from neocog.interop.onnx.errors import OnnxImportError
from neocog.interop.onnx.graph_builder import GraphBuilder
from neocog.interop.onnx.import_node import Node, read
from neocog.interop.onnx.inputs import declared_sizes, of_open_sizes, two_sizes
from neocog.interop.onnx.model_file import initializers, read_model
from neocog.interop.onnx.naming import dotted_name, move_into_groups
from neocog.interop.onnx.symbolic import Known, Shapes, SymbolicValue
from neocog.interop.onnx.validation import check, leading_to, opset_of, refusing
from neocog.interop.patterns import channels_in_place
from neocog.layers import Container, Layer
from neocog.layers.outputs import OUTPUT_KINDS
from neocog.validation import RandomSource, generator, image_shape


def from_onnx(
    source: str | os.PathLike[str] | bytes | onnx.ModelProto,
    *,
    input_shape: tuple[int, int, int] | None = None,
    outputs: str | None = None,
    channels_first: bool = False,
    rng: RandomSource = None,
) -> Container:
    """Import an ONNX model as a network that can be run, explained and trained.

    Weights become parameters, named after their initializers. Nodes with the same weights share one layer.
    The batch size is free even if the model fixes it, unless its layers mix the images of a batch. A
    normalisation of the pixels is folded into the first convolution where that is exact, which it is without
    padding; other constants that are added or multiplied become parameters. Nothing in a file is executed.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
    input_shape : (channels, height, width), optional
        For a model whose image size is open.
    outputs : str, optional
        Name of the output to import, for a model with several; or of any other value computed in it, such as
        the logits before an ArgMax.
    channels_first : bool
        For a model that takes images (N, H, W, C), as those of TensorFlow do, and begins with a Transpose or
        a Reshape, or takes rows of pixels that it makes images of: True omits that node, so that the network
        takes (N, C, H, W). By default it is imported as it is, and the network's ``input_shape`` is None.
    rng : Generator, int or None
        Draws the masks of dropout layers.

    Returns
    -------
    Sequential or Graph
        A Sequential where the layers form a chain.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file.
    OnnxImportError
        If the model is malformed or truncated, has several outputs of which none is chosen, or data in a file
        outside its folder; or if arrays computed from its constants, its layers' weights, or a value for one
        image would take more than the budgets "folded", "weights" and "values" (:mod:`neocog.budgets`).
    UnsupportedOperatorError
        An OnnxImportError and a :class:`~neocog.errors.UnsupportedError`: if the model has an operator that
        no layer computes, or weights that are no floating point numbers.

    Notes
    -----
    Operators: those as which :func:`to_onnx` writes layers in any opset; Expand, Gather, GroupNormalization,
    Neg, ReduceMax, Split, Squeeze, Swish, Upsample where a layer computes what they do; sums, differences,
    products and extrema of computed values and constants; nodes as which exporters spell layers out. On
    constants and shapes also arithmetic, comparisons, logic, reductions, Cast, Constant, ConstantOfShape,
    Range, ScatterND, Shape, Size, Tile, Where. Images and rows, (N, C, H, W) and (N, C, L); opsets 1 to that
    of the installed ``onnx``. Half precision is read as float32.

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
    try:
        with refusing():
            return _network(model, folder, input_shape, outputs, channels_first, rng)
    except OnnxImportError as error:
        if not isinstance(source, str | os.PathLike) or str(source) in str(error):
            raise
        raise type(error)(f"{source}: {error}") from error


def _network(
    model: onnx.ModelProto,
    folder: Path | None,
    input_shape: tuple[int, ...] | None,
    outputs: str | None,
    channels_first: bool,
    rng: np.random.Generator,
) -> Container:
    graph = model.graph
    output = _chosen_output(graph, outputs)
    check(model, [output])
    arrays = initializers(graph, folder)
    constants = {name: Known.constant(array, name) for name, array in arrays.items()}
    nodes = leading_to(graph, [output])
    given = [value for value in graph.input if value.name not in constants]
    if outputs is not None:  # the others may be read for other outputs
        read = {name for node in nodes for name in node.input}
        given = [value for value in given if value.name in read]
    declared = {value.name: declared_sizes(value) for value in given}
    if input_shape is not None and len(declared) != 1:
        raise OnnxImportError(f"input_shape is for a model of one input, this one has {list(declared)}.")
    images = turned(nodes, *next(iter(declared.items())), constants) if len(declared) == 1 else None
    if channels_first:
        if images is None:
            raise OnnxImportError(
                "channels_first needs a model of one input that a Transpose by (0, 3, 1, 2), or a Reshape to "
                "(N, C, H, W) in which pixels keep their order, and nothing else, reads first; its inputs "
                f"{list(declared)} are read by {_readers(nodes, declared)}."
            )
        nodes, constants = images.nodes, constants | images.constants
        declared = dict.fromkeys(declared, images.sizes)
    if input_shape is not None:
        declared = {name: [sizes[0] if sizes else None, *input_shape] for name, sizes in declared.items()}
    for name, sizes in declared.items():
        if sizes is None:
            raise OnnxImportError(f"input {name!r} has no shape: pass input_shape=(channels, height, width).")

    def build(fixed_batch: bool) -> Layer | np.ndarray:
        return read_graph(nodes, opset_of(model), constants, two_sizes(declared, fixed_batch), output, rng)

    batch_is_open = any(sizes and sizes[0] is None for sizes in declared.values())
    as_it_stands = images is not None and not channels_first
    try:
        try:
            network = build(fixed_batch=False)
        except OnnxImportError:
            if batch_is_open:
                raise
            network = build(fixed_batch=True)
    except OnnxImportError as error:
        layout = "(H, W, C)" if as_it_stands else "(C, H, W)"
        raise type(error)(of_open_sizes(str(error), list(declared.values()), layout)) from error
    if not isinstance(network, Container):
        raise OnnxImportError("the model computes nothing from an input.")
    _describe(network, model, list(declared.values()), as_it_stands)
    return network


def _chosen_output(graph: onnx.GraphProto, wanted: str | None) -> str:
    """Return the name of the value to import: that which is wanted, else the only output."""
    names = [output.name for output in graph.output]
    if wanted is None and len(names) != 1:
        first = next(iter(names), "")
        raise OnnxImportError(
            f"the model has {len(names)} outputs, {names}, and a network has one: choose it, as in "
            f"outputs={first!r}, or on the command line as in model.onnx:{first}."
        )
    if wanted is not None and wanted not in {*names, *(name for node in graph.node for name in node.output)}:
        raise OnnxImportError(f"outputs must be one of {names}, or another value computed, got {wanted!r}.")
    return names[0] if wanted is None else wanted


def _readers(nodes: Sequence[onnx.NodeProto], names: Collection[str]) -> list[str]:
    return [node.op_type for node in nodes if not {*names}.isdisjoint(node.input)]


def read_graph(
    nodes: Sequence[onnx.NodeProto],
    opset: int,
    constants: Mapping[str, Known],
    shapes: Mapping[str, Shapes],
    output: str,
    rng: RandomSource = None,
) -> Layer | np.ndarray:
    """Build the network that computes one output, or return the output if it is a constant.

    Parameters
    ----------
    nodes : sequence of onnx.NodeProto
        Checked, each after those that it reads.
    opset : int
    constants : mapping of str to Known
        Values that are given, as initializers are.
    shapes : mapping of str to pair of shapes
        Of every input that is not given.
    output : str
    rng : Generator, int or None
        Draws the masks of dropout layers.

    Raises
    ------
    OnnxImportError
        If a node cannot be read.
    """
    names = ["input"] if len(shapes) == 1 else [dotted_name(name).replace(".", "_") for name in shapes]
    values: dict[str, SymbolicValue | Known] = dict(constants)
    fixed = {"", *constants}
    for node in nodes:
        if fixed.issuperset(node.input):
            fixed.update(node.output)
    # Constants first, because readers look ahead.
    nodes = sorted(nodes, key=lambda node: node.output[0] not in fixed)
    first_of_layers = sum(node.output[0] in fixed for node in nodes)
    uses = Counter([output, *(name for node in nodes for name in node.input)])
    for name, (onnx_name, shape) in zip(names, shapes.items(), strict=True):
        values[onnx_name] = SymbolicValue(name, shape, shape, uses[onnx_name] > 1)
    builder = GraphBuilder(nodes, output, opset, values, rng)
    for k, proto in enumerate(nodes):
        if k == first_of_layers:
            builder.check_weights(nodes[k:])
        if proto.output[0] not in builder.done:
            _read(proto, builder)
    if output not in builder.values:
        raise OnnxImportError(f"output {output!r} is a second output of its node, which no layer has.")
    result = builder.values[output]
    if isinstance(result, Known):
        return result.arrays[0]
    try:
        result = builder.settled(result)
    except ValueError as error:
        raise OnnxImportError(f"output {output!r}: {str(error).rstrip('.')}.") from error
    layers = needed(builder.layers, result.node)
    unread = {*names} - {result.node, *(source for _, *sources in layers.values() for source in sources)}
    if unread:
        raise OnnxImportError(f"the output does not depend on the inputs {sorted(unread)}.")
    layers, result_name = move_into_groups(*channels_in_place(layers, result.node))
    return assemble(layers, names, result_name)


def _read(proto: onnx.NodeProto, builder: GraphBuilder) -> None:
    """Convert one node to layers, or compute it if all its inputs are constants."""
    node = Node(proto, builder)
    for name in proto.input:
        if name and name not in builder.values:
            node.unsupported(f"it reads {name!r}, a second output, which no layer has")
    try:
        y = read(node)
    except OnnxImportError:
        raise
    except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError) as error:
        node.fail(str(error) if isinstance(error, TypeError | ValueError) else repr(error))
    for name, value in zip(proto.output, y if isinstance(y, tuple) else (y,), strict=False):
        if isinstance(value, SymbolicValue):
            value = replace(value, shared=value.shared or builder.uses[name] > 1)
        builder.values[name] = value


def _describe(network: Container, model: onnx.ModelProto, shapes: Sequence[Any], channels_last: bool) -> None:
    """Set what the model states: input shape, class names, preprocessing, what the outputs are."""
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    of_images = not channels_last or "neocog.input_shape" in metadata
    if of_images and len(shapes) == 1 and len(shapes[0]) == 4 and None not in shapes[0][1:]:
        network.input_shape = tuple(shapes[0][1:])
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
    if "neocog.class_weight" in metadata:
        try:
            weights = [float(weight) for weight in json.loads(metadata["neocog.class_weight"])]
        except (ValueError, TypeError) as error:
            raise OnnxImportError(f"neocog.class_weight in the metadata is malformed: {error}.") from error
        network.class_weight = tuple(weights)
    if "neocog.image" in metadata:
        try:
            image = Preprocessing.from_dict(json.loads(metadata["neocog.image"]))
        except (ValueError, TypeError) as error:
            raise OnnxImportError(f"neocog.image in the metadata is malformed: {error}") from error
        if image.image_shape == network.input_shape:
            network.preprocessing = image
    if (kind := metadata.get("neocog.output")) is not None:
        if kind not in OUTPUT_KINDS:
            allowed = ", ".join(OUTPUT_KINDS)
            raise OnnxImportError(f"neocog.output in the metadata must be one of {allowed}, got {kind!r}.")
        network.output_kind = kind
