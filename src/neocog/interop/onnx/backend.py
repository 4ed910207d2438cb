"""Implement ONNX's backend interface, which runs models and ONNX's own test suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.backend import base

from neocog.interop.onnx.errors import OnnxImportError
from neocog.interop.onnx.import_node import PATTERNS, READERS
from neocog.interop.onnx.importing import read_graph
from neocog.interop.onnx.model_file import tensor_array
from neocog.interop.onnx.symbolic import Known
from neocog.interop.onnx.validation import check, leading_to, opset_of, refusing
from neocog.layers import BatchNorm1D, Container, Layer, MaxPool2D

HALF = [
    np.dtype(helper.tensor_dtype_to_np_dtype(kind)) for kind in (TensorProto.FLOAT16, TensorProto.BFLOAT16)
]

# Inputs of an operator that become a layer's arrays and arguments, not its input.
PARAMETERS = {
    **dict.fromkeys(("BatchNormalization",), (1, 2, 3, 4)),
    **dict.fromkeys(("Clip", "Conv", "ConvTranspose", "Dropout", "Gemm"), (1, 2)),
    **dict.fromkeys(("GroupNormalization", "InstanceNormalization", "LayerNormalization"), (1, 2)),
    **dict.fromkeys(("Gather", "MatMul", "PRelu", "Reshape", "Split", "Squeeze", "Unsqueeze"), (1,)),
    **dict.fromkeys(
        (f"Reduce{each}" for each in ["L1", "L2", "Max", "Mean", "Min", "Sum", "SumSquare"]), (1,)
    ),
    "Upsample": (1,),
    **dict.fromkeys(("Pad", "Resize"), (1, 2, 3)),
    "Expand": (0, 1),
    "Slice": (1, 2, 3, 4),
}


def _parameters(node: onnx.NodeProto) -> list[str]:
    """Return the inputs that are no input of a layer: all, where no layer computes the operator."""
    folded = node.op_type not in READERS.keys() | PATTERNS.keys()
    places = range(len(node.input)) if folded else PARAMETERS.get(node.op_type, ())
    return [node.input[k] for k in places if k < len(node.input) and node.input[k]]


class BackendRep(base.BackendRep):
    """Run one model; made by :meth:`Backend.prepare`.

    Parameters
    ----------
    model : onnx.ModelProto

    Raises
    ------
    OnnxImportError
        If the model is malformed or holds operators that no layer computes.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        with refusing():
            check(model, [value.name for value in model.graph.output])
        self.model = model
        graph = model.graph
        for value in graph.input:
            if not value.type.HasField("tensor_type"):
                raise OnnxImportError(f"input {value.name!r} must be a tensor.")
        self.constants = {t.name: Known.constant(tensor_array(t), t.name) for t in graph.initializer}
        self.inputs = [value.name for value in graph.input]
        self.outputs = [value.name for value in graph.output]
        types = {value.name: value.type.tensor_type.elem_type for value in graph.output}
        self._types = {name: helper.tensor_dtype_to_np_dtype(kind) for name, kind in types.items() if kind}
        self._parameters = {name for node in graph.node for name in _parameters(node)}
        self._networks: dict[tuple[Any, ...], Layer | np.ndarray] = {}

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Compute the outputs.

        Weights that come as inputs are bound first, as if they were initializers.

        Parameters
        ----------
        inputs : sequence of arrays in the order of the graph's inputs, mapping by name, or one array

        Returns
        -------
        named tuple of arrays

        Raises
        ------
        OnnxImportError
            If a node cannot be read.
        ValueError
            If an input is missing or unknown.
        """
        given = self._named(inputs)
        given = {name: x.astype("float32") if x.dtype in HALF else x for name, x in given.items()}
        bound = {name: Known.constant(x, name) for name, x in given.items() if name in self._parameters}
        free = {name: x for name, x in given.items() if name not in bound}
        results = base.namedtupledict("Outputs", self.outputs)
        return results(*(self._typed(output, self._compute(output, bound, free)) for output in self.outputs))

    def _typed(self, output: str, y: np.ndarray) -> np.ndarray:
        """Return floating point numbers, in which a network computes, as the type that the graph states."""
        return y.astype(self._types.get(output, y.dtype)) if y.dtype.kind == "f" else y

    def _named(self, inputs: Any) -> dict[str, np.ndarray]:
        """Return the inputs by name; those that are also initializers may be left out."""
        wanted = [name for name in self.inputs if name not in self.constants]
        if isinstance(inputs, Mapping):
            given = {name: np.asarray(x) for name, x in inputs.items()}
        else:
            arrays = list(inputs) if isinstance(inputs, Sequence) else [inputs]
            names = wanted if len(arrays) <= len(wanted) else self.inputs
            given = {name: np.asarray(x) for name, x in zip(names, arrays, strict=True)}
        if not set(wanted) <= set(given) <= set(self.inputs):
            raise ValueError(f"inputs must be {self.inputs}, got {list(given)}.")
        return given

    def _compute(self, output: str, bound: Mapping[str, Known], free: Mapping[str, np.ndarray]) -> np.ndarray:
        """Run the network that leads to one output."""
        if output in free:
            return free[output]
        nodes = leading_to(self.model.graph, [output])
        if nodes and (nodes[-1].op_type, len(nodes[-1].output)) == ("BatchNormalization", 3):
            return self._training_step(nodes[-1], bound, free)[[*nodes[-1].output].index(output)]
        if (
            nodes
            and nodes[-1].op_type in ("Dropout", "LayerNormalization", "MaxPool")
            and output != nodes[-1].output[0]
        ):
            return self._second_output(nodes[-1], output, bound, free)
        read = {name for node in nodes for name in node.input} | {output}
        x = {name: array for name, array in free.items() if name in read}
        network = self._network(output, bound, x)
        if not isinstance(network, Layer):
            return network
        arrays = tuple(x.values())
        if any(array.dtype != bool for array in arrays):
            try:
                return _run(network, arrays)
            except TypeError:
                if any(array.dtype.kind not in "iu" for array in arrays):
                    raise
        # No layer computes with integers or booleans, but a maximum of them is the same among floats.
        return _run(network, tuple(array.astype("float64") for array in arrays)).astype(arrays[0].dtype)

    def _network(
        self, output: str, bound: Mapping[str, Known], x: Mapping[str, np.ndarray]
    ) -> Layer | np.ndarray:
        """Import the network for inputs of these shapes; cache it unless weights are among the inputs."""
        shapes = {name: (array.shape, array.shape) for name, array in x.items()}
        nodes, opset = leading_to(self.model.graph, [output]), opset_of(self.model)
        if bound:
            return read_graph(nodes, opset, {**self.constants, **bound}, shapes, output)
        key = (output, *shapes.items())
        if key not in self._networks:
            self._networks[key] = read_graph(nodes, opset, self.constants, shapes, output)
        return self._networks[key]

    def _training_step(
        self, node: onnx.NodeProto, bound: Mapping[str, Known], free: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, ...]:
        """Compute batch norm in training: the output, and the two running statistics after it.

        Both here and in ONNX the output is normalised by the variance of the batch, but ONNX's running
        variance is the mean of these, a layer's that of unbiased ones.
        """
        values = {**self.constants, **bound}
        scale, bias, mean, var = (values[name].arrays[0] for name in node.input[1:])
        x = self._compute(node.input[0], bound, free)
        attributes = {each.name: each.f for each in node.attribute}
        momentum = attributes.get("momentum", 0.9)
        layer = BatchNorm1D(len(scale), attributes.get("epsilon", 1e-5), dtype=x.dtype)
        layer.params.update(weight=scale, bias=bias)
        rows = np.moveaxis(x, 1, -1)
        y = layer.forward(rows.reshape(-1, len(scale)), training=True)[0].reshape(rows.shape)
        over = tuple(k for k in range(x.ndim) if k != 1)
        old, new = (mean, var), (x.mean(over), x.var(over))
        running = (momentum * a + (1 - momentum) * b for a, b in zip(old, new, strict=True))
        return np.moveaxis(y, -1, 1), *(array.astype(x.dtype) for array in running)

    def _second_output(
        self, node: onnx.NodeProto, output: str, bound: Mapping[str, Known], free: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """Compute the mask of Dropout in inference, MaxPool's indices, or a layer norm's statistics."""
        if node.op_type == "LayerNormalization":
            x, attributes = (
                self._compute(node.input[0], bound, free),
                {each.name: each for each in node.attribute},
            )
            axis = attributes["axis"].i if "axis" in attributes else -1
            eps = attributes["epsilon"].f if "epsilon" in attributes else 1e-5
            over = tuple(range(axis % x.ndim, x.ndim))
            mean, var = x.mean(over, keepdims=True), x.var(over, keepdims=True)
            return np.asarray(mean if output == node.output[1] else 1 / np.sqrt(var + eps))
        if node.op_type == "Dropout":
            return np.ones(self._compute(node.output[0], bound, free).shape, bool)
        network = self._network(node.output[0], bound, free)
        layers = list(network.leaves()) if isinstance(network, Container) else []
        if len(layers) != 1 or not isinstance(layers[0][1], MaxPool2D):
            raise OnnxImportError(
                f"output {output!r} of {node.op_type} cannot be computed: layers have one output."
            )
        column_major = any(a.name == "storage_order" and a.i for a in node.attribute)
        (x,) = free.values()
        return _places_of_maxima(layers[0][1], x, column_major)


def _of_one_node(names: Sequence[str], inputs: Any) -> dict[str, np.ndarray]:
    """Return a node's inputs by name, from a mapping, or from one array for each input or each name."""
    single = list(dict.fromkeys(names))
    if isinstance(inputs, Mapping):
        if set(inputs) != set(single):
            raise ValueError(f"inputs must be {single}, got {list(inputs)}.")
        return {name: np.asarray(inputs[name]) for name in single}
    arrays = [np.asarray(x) for x in inputs]
    if len(arrays) not in (len(names), len(single)):
        raise ValueError(f"inputs must be {single}, got {len(arrays)}.")
    given: dict[str, np.ndarray] = {}
    for name, x in zip(names if len(arrays) == len(names) else single, arrays, strict=True):
        if not np.array_equal(given.setdefault(name, x), x, equal_nan=x.dtype.kind == "f"):
            raise ValueError(f"input {name!r} must be one array, got two that differ.")
    return given


def _run(network: Layer, x: tuple[np.ndarray, ...]) -> np.ndarray:
    return np.asarray(network(x if network.several_inputs else x[0]))


def _places_of_maxima(layer: MaxPool2D, x: np.ndarray, column_major: bool) -> np.ndarray:
    """Return the index of each window's maximum in the flattened ``x``, MaxPool's second output."""
    N, C, H, W = x.shape
    _, (taps, _) = layer.forward(x)
    (top, _), (left, _) = layer.window_sides(x.shape)
    rows, columns = np.divmod(taps.astype(np.int64), layer.kernel_size[1])
    i = np.arange(taps.shape[2])[:, None] * layer.stride[0] + rows * layer.dilation[0] - top
    j = np.arange(taps.shape[3]) * layer.stride[1] + columns * layer.dilation[1] - left
    planes = np.arange(N * C).reshape(N, C, 1, 1) * (H * W)
    places: np.ndarray = planes + (j * H + i if column_major else i * W + j)
    return places


class Backend(base.Backend):
    """Run ONNX models by neocog through ONNX's interface: ``prepare``, ``run_model``, ``run_node``.

    Examples
    --------
    >>> import neocog
    >>> model = neocog.interop.onnx.to_onnx(neocog.models.digits_cnn(seed=0))
    >>> (logits,) = Backend.run_model(model, [np.zeros((2, 1, 8, 8), np.float32)])
    >>> logits.shape
    (2, 10)
    """

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Return whether there are layers for all of a model's operators."""
        try:
            with refusing():
                check(model, [value.name for value in model.graph.output])
        except OnnxImportError:
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> BackendRep:
        """Validate a model and return it ready to run."""
        if not cls.supports_device(device):
            raise ValueError(f"device must be 'CPU', got {device!r}.")
        return BackendRep(model)

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Any = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Compute a single node; ``opset_version`` is that of its operator, by default the newest."""
        arrays = _of_one_node([name for name in node.input if name], inputs)
        given = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
            for name, x in arrays.items()
        ]
        results = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        for result in results:
            result.type.tensor_type.elem_type = given[0].type.tensor_type.elem_type if given else 1
        version = kwargs.get("opset_version", onnx.defs.onnx_opset_version())
        graph = helper.make_graph([node], "node", given, results)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)])
        return cls.run_model(model, arrays, device)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Return whether the device is the CPU."""
        return device.split(":")[0] == "CPU"
