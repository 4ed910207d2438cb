"""Export a network as an ONNX model."""

from __future__ import annotations

import json
import os
import warnings
from importlib.metadata import version
from typing import Any

import numpy as np
import onnx
from onnx import helper

from neocog.atomic import atomic_write
from neocog.errors import UnsupportedError
from neocog.interop.onnx.export_graph import OPSET, NewerOpsetError, Tensor, Writer, writer_of
from neocog.layers import Container, Layer
from neocog.layers.outputs import count_outputs, kind_of
from neocog.validation import float_dtype, integer

OPSETS = (13, 22)
"""The first and the last that are written."""

LARGEST = 2**31 - 2**20
"""Bytes of arrays that fit one protobuf message, with room for the graph."""

# Operators that ONNX Runtime computes in float32 only.
FLOAT32_ONLY = {"AveragePool", "Conv", "ConvTranspose", "Gelu", "GlobalAveragePool", "GlobalMaxPool"} | {
    *("InstanceNormalization", "LRN", "LeakyRelu", "PRelu"),
    *("Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cosh", "Sinh", "Tan"),
}


def to_onnx(
    network: Layer,
    path: str | os.PathLike[str] | None = None,
    *,
    input_shape: Any = None,
    dtype: Any = None,
    opset: int = OPSET,
) -> onnx.ModelProto:
    """Export a network as an ONNX model, for inference in ONNX Runtime or any other runtime.

    Initializers have the network's dotted names, nodes those of the layers; the batch size is free. Dropout
    stays in the graph, where it does nothing in inference. Class names, input shape and what the outputs
    are become metadata.

    Parameters
    ----------
    network : Layer
    path : path, optional
        File to write atomically; ``.onnx`` is customary.
    input_shape : (channels, height, width), default the network's
        Shape of one input without the batch; a tuple of such shapes for a network of several inputs.
    dtype : {"float32", "float64"}, optional
        Default: the network's. A float64 network with layers that ONNX Runtime computes in float32 only
        (convolutions, average pooling, ...) is then written as float32, with a warning.
    opset : int
        Version of ONNX's operators, from 13 to 22, for runtimes and tools that are older than the default.
        What it has no operator for is written as several, such as GELU before 20.

    Returns
    -------
    onnx.ModelProto
        Checked by ``onnx.checker``, with the shapes of all values inferred.

    Raises
    ------
    ValueError
        If the input shape is unknown or does not fit, or the arrays need more than 2 GB, the limit of an ONNX
        file.
    neocog.errors.UnsupportedError
        If a layer has no ONNX form: one of your own, for which nothing is registered by
        ``neocog.interop.onnx.writes`` and which is no element-wise layer whose ``function`` can be written;
        or none in this opset, such as average pooling with dilation before 19.
    OSError
        If the file cannot be written.

    Notes
    -----
    Layers without an operator of their own (:class:`~neocog.layers.RadialBasis`,
    :class:`~neocog.layers.ScaledTanh`, ...) become several nodes. The IR version is the first with the opset.

    Examples
    --------
    >>> import neocog
    >>> model = to_onnx(neocog.models.digits_cnn(seed=0))
    >>> [node.op_type for node in model.graph.node][:3]
    ['Conv', 'Relu', 'MaxPool']
    """
    network, opset = network.original, integer("opset", opset)
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise ValueError(f"opset must be from {OPSETS[0]} to {OPSETS[1]}, got {opset}.")
    arrays = {**network.params, **network.buffers}
    kept = _dtype(network, dtype)
    size = sum(array.size for array in arrays.values()) * kept.itemsize
    if size > LARGEST:
        raise ValueError(
            f"the network's arrays take {size / 1e9:.1f} GB as {kept}; an ONNX file holds at most 2 GB."
        )
    names = {id(array): name for name, array in arrays.items()}
    inputs = _inputs(network, input_shape)
    reserved = frozenset({"output", *names.values(), *(x.name for x in inputs)})
    writer = Writer(names, kept, opset, reserved=reserved)
    output = _walk(network, writer, inputs)
    if kept == np.float64 and dtype is None:
        narrow = sorted(FLOAT32_ONLY & {node.op_type for node in writer.nodes})
        if narrow:
            warnings.warn(
                f"written as float32: ONNX Runtime computes {', '.join(narrow)} in no other type; "
                "dtype='float64' writes float64 all the same.",
                stacklevel=2,
            )
            writer = Writer(names, np.dtype("float32"), opset, reserved=reserved)
            output = _walk(network, writer, inputs)
    model = _model(network, writer, inputs, output)
    if path is not None:
        content = model.SerializeToString(deterministic=True)
        atomic_write(path, content)
    return model


def _dtype(network: Layer, dtype: Any) -> np.dtype[Any]:
    chosen = float_dtype(dtype if dtype is not None else network.dtype or "float32")
    if chosen not in (np.float32, np.float64):
        raise TypeError(f"dtype must be float32 or float64, got {chosen}.")
    return chosen


def _inputs(network: Layer, input_shape: Any) -> tuple[Tensor, ...]:
    """Return the name of each input, and its shape for one image."""
    if input_shape is None:
        input_shape = getattr(network, "input_shape", None)
    if input_shape is None:
        raise ValueError(
            "input_shape is not known to this network: pass it, as in (channels, height, width)."
        )
    several = network.several_inputs
    shapes = tuple(input_shape) if several else (input_shape,)
    names = tuple(getattr(network, "inputs", ())) if several else ("input",)
    if several and not names:
        names = tuple(f"input{k}" for k in range(len(shapes)))
    if len(shapes) != len(names) or not all(isinstance(shape, tuple | list) for shape in shapes):
        wanted = f"one shape for each of the inputs {names}" if several else "(channels, height, width)"
        raise ValueError(f"input_shape must be {wanted}, got {input_shape!r}.")
    sizes = [tuple(integer("input_shape", size) for size in shape) for shape in shapes]
    return tuple(Tensor(name, (1, *shape)) for name, shape in zip(names, sizes, strict=True))


def _walk(network: Layer, writer: Writer, inputs: tuple[Tensor, ...]) -> Tensor:
    """Write every layer in the order of computation; return the output."""

    def visit(name: str, layer: Layer, value: Any) -> Tensor:
        write, kind = writer_of(type(layer)), type(layer).__name__
        writer.place = name or kind.lower()
        try:
            if write is None:
                raise UnsupportedError("nothing says how to write it")
            output = write(writer, layer, value)
        except NewerOpsetError as error:
            raise UnsupportedError(
                f"layer {name!r} is a {kind}, which has no form in opset {writer.opset}: {error}; pass "
                f"opset={error.opset} or more."
            ) from error
        except UnsupportedError as error:
            raise UnsupportedError(
                f"layer {name!r} is a {kind}, which has no ONNX form ({error}): register a function that "
                f"writes it, by @neocog.interop.onnx.writes({kind})."
            ) from error
        shape: Any = tuple(part.shape for part in value) if layer.several_inputs else value.shape
        return Tensor(output, tuple(layer.output_shape(shape)))

    shapes: Any = tuple(part.shape for part in inputs)
    network.output_shape(shapes if network.several_inputs else shapes[0])  # ValueError where it does not fit
    output: Tensor = network.walk(visit, inputs if network.several_inputs else inputs[0])
    if output in inputs:  # an empty network
        writer.place = "identity"
        output = Tensor(writer.node("Identity", output), output.shape)
    return output


def _model(network: Layer, writer: Writer, inputs: tuple[Tensor, ...], output: Tensor) -> onnx.ModelProto:
    """Build the model, infer the shapes of its values and validate it."""
    element = helper.np_dtype_to_tensor_dtype(writer.dtype)
    renamed = {output.name: "output"}
    for node in writer.nodes:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
    read = {name for node in writer.nodes for name in node.input}
    graph = helper.make_graph(
        writer.nodes,
        "neocog",
        [helper.make_tensor_value_info(x.name, element, ["N", *x.shape[1:]]) for x in inputs],
        [helper.make_tensor_value_info("output", element, None)],
        [tensor for name, tensor in writer.initializers.items() if name in read],
    )
    opset = helper.make_opsetid("", writer.opset)
    model = helper.make_model(
        graph,
        producer_name="neocog",
        producer_version=version("neocog"),
        ir_version=helper.find_min_ir_version_for([opset]),
        opset_imports=[opset],
    )
    helper.set_model_props(model, _metadata(network, inputs))
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    onnx.checker.check_model(model, full_check=True)
    return model


def _metadata(network: Layer, inputs: tuple[Tensor, ...]) -> dict[str, str]:
    metadata = {}
    if isinstance(network, Container):
        if network.class_names is not None:
            metadata["neocog.class_names"] = json.dumps([str(name) for name in network.class_names])
        if network.class_weight is not None:
            metadata["neocog.class_weight"] = json.dumps([float(weight) for weight in network.class_weight])
        if len(inputs) == 1:
            metadata["neocog.output"] = kind_of(network, count_outputs(network, inputs[0].shape[1:]))
            metadata["neocog.input_shape"] = json.dumps(list(inputs[0].shape[1:]))
            if network.preprocessing is not None:
                metadata["neocog.image"] = json.dumps(network.preprocessing.to_dict())
    return metadata
