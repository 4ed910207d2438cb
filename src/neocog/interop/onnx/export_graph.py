"""Collect the nodes and initializers of an ONNX graph, and register the writers of the layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import onnx
from onnx import helper, numpy_helper

from neocog.errors import UnsupportedError
from neocog.layers import Elementwise, Layer
from neocog.layers.activation import DECLARED
from neocog.layers.base import computes_as

OPSET = 20
"""By default: the first with Gelu; ONNX Runtime 1.17 and everything since reads it."""


class NewerOpsetError(UnsupportedError):
    """A layer has an ONNX form, but not in the opset that is written."""

    def __init__(self, opset: int, form: str) -> None:
        super().__init__(f"{form} came with opset {opset}")
        self.opset = opset


class Tensor(NamedTuple):
    """A value in the ONNX graph: its name, and its shape for one image."""

    name: str
    shape: tuple[int, ...]


@dataclass
class Writer:
    """Collect nodes and initializers of the graph.

    Attributes
    ----------
    names : mapping of int to str
        The dotted name of each parameter and buffer of the network, by the array's id.
    dtype : floating point type of the file
    reserved : set of str
        Names of the inputs, the output and the arrays, which no other value may take.
    place : str
        Dotted name of the layer that is being written; its nodes and constants are named after it.
    opset : int
        Version of the operators.
    """

    names: Mapping[int, str]
    dtype: np.dtype[Any]
    opset: int = OPSET
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: dict[str, onnx.TensorProto] = field(default_factory=dict)
    reserved: frozenset[str] = frozenset({"output"})
    place: str = ""
    _taken: set[str] = field(default_factory=set)

    def node(self, operator: str, *inputs: Tensor | str, **attributes: Any) -> str:
        """Append a node; return the name of its output.

        The first node of a layer has the layer's name, others ``layer/operator``. Attributes that are None
        are omitted. Axes of a reduction are given as an input, also where the opset has them as an attribute.

        Raises
        ------
        NewerOpsetError
            If the opset has no such operator, or not with these attributes and inputs.
        """
        name, number = self.place, 1
        while name in self._taken:
            name = f"{self.place}/{operator.lower()}{number if number > 1 else ''}"
            number += 1
        self._taken.add(name)
        output = f"{name}/y" if name in self.reserved else name
        given = {key: value for key, value in attributes.items() if value is not None}
        sources = [source.name if isinstance(source, Tensor) else source for source in inputs]
        if operator.startswith("Reduce") and not _takes(operator, self.opset, len(sources), given):
            given["axes"] = numpy_helper.to_array(self.initializers[sources.pop()]).tolist()
        if not _takes(operator, self.opset, len(sources), given):
            newer = range(self.opset + 1, onnx.defs.onnx_opset_version() + 1)
            first = next((opset for opset in newer if _takes(operator, opset, len(sources), given)), None)
            form = f"{operator} with {', '.join(given)}" if given else operator
            self.require(first, form)
        self.nodes.append(helper.make_node(operator, sources, [output], name, **given))
        return output

    def require(self, opset: int | None, form: str) -> None:
        """Raise NewerOpsetError if a form came with a later opset than the one that is written."""
        if opset is None:
            raise UnsupportedError(f"ONNX has no {form}")
        if opset > self.opset:
            raise NewerOpsetError(opset, form)

    def array(self, array: Any) -> str:
        """Add one of the network's arrays as an initializer of its dotted name; return the name."""
        name = self.names[id(array)]
        if name not in self.initializers:
            content = np.ascontiguousarray(array, self.dtype)
            self.initializers[name] = numpy_helper.from_array(content, name)
        return name

    def number(self, suffix: str, value: float) -> str:
        """Add a number of the network's dtype as an initializer; return its name."""
        return self._constant(suffix, np.array(value, self.dtype))

    def integers(self, suffix: str, values: Any) -> str:
        """Add integers (a shape, axes, pads) as an initializer; return its name."""
        return self._constant(suffix, np.array(values, np.int64))

    def numbers(self, suffix: str, values: Any) -> str:
        """Add any other array of the network's dtype as an initializer; return its name."""
        return self._constant(suffix, np.ascontiguousarray(values, self.dtype))

    def floats(self, suffix: str, values: Any) -> str:
        """Add numbers that are float32 whatever the network's dtype as an initializer; return its name."""
        return self._constant(suffix, np.array(values, np.float32))

    def _constant(self, suffix: str, content: np.ndarray) -> str:
        name = f"{self.place}/{suffix}"
        self.initializers[name] = numpy_helper.from_array(content, name)
        return name


def _takes(operator: str, opset: int, inputs: int, attributes: Mapping[str, Any]) -> bool:
    """Return whether an opset has an operator with so many inputs and these attributes."""
    if not onnx.defs.has(operator, opset):
        return False
    schema = onnx.defs.get_schema(operator, opset)
    return inputs <= schema.max_input and attributes.keys() <= schema.attributes.keys()


WriteLayer: TypeAlias = Callable[[Writer, Any, Any], str]
Function = TypeVar("Function", bound=WriteLayer)

WRITERS: dict[type[Layer], WriteLayer] = {}
"""The function that writes each class of layers."""

OPERATORS: dict[type[Layer], str] = {}
"""The operators of the nodes of each class, as text."""


def writes(*layers: type[Layer], operators: str | None = None) -> Callable[[Function], Function]:
    """Register the function that writes a layer as ONNX nodes.

    Parameters
    ----------
    *layers : Layer classes
        And their subclasses that compute as they do.
    operators : str, optional
        Names of the nodes' operators, as :func:`operator_of` returns them.

    Returns
    -------
    decorator
        For a function ``(writer, layer, x) -> name of the output``. ``x`` is the input, with a ``name`` and a
        ``shape`` of one image, ``(1, C, H, W)``; for a layer of several inputs a tuple of these.
        ``writer.node(operator, *inputs, **attributes)`` appends a node and returns the name of its output,
        ``writer.array(a)`` enters a parameter or a buffer, ``writer.number(name, value)``,
        ``writer.numbers(name, values)`` and ``writer.integers(name, values)`` enter constants; all return
        names to be used as inputs of nodes.

    See Also
    --------
    reads : The opposite direction.

    Notes
    -----
    A subclass of :class:`~neocog.layers.Elementwise` that states ``function`` needs no such function.

    Examples
    --------
    >>> import numpy as np
    >>> from neocog.interop.onnx import to_onnx
    >>> from neocog.layers import Elementwise, Layer
    >>> class PReLU(Layer):
    ...     def __init__(self, channels):
    ...         super().__init__()
    ...         self.channels = channels
    ...         self.params["slope"] = np.full((channels, 1, 1), 0.25, "float32")
    ...     def forward(self, x, training=False):
    ...         return np.where(x > 0, x, self.params["slope"] * x), x
    >>> @writes(PReLU, operators="PRelu")
    ... def write_prelu(writer, layer, x):
    ...     return writer.node("PRelu", x, writer.array(layer.params["slope"]))
    >>> [node.op_type for node in to_onnx(PReLU(3), input_shape=(3, 8, 8)).graph.node]
    ['PRelu']
    """

    def register(function: Function) -> Function:
        for layer in layers:
            WRITERS[layer] = function
            if operators is not None:
                OPERATORS[layer] = operators
        return function

    return register


def writer_of(layer: type[Layer]) -> WriteLayer | None:
    """Return the function that writes a layer, None if there is none."""
    base = _written_as(layer)
    return None if base is None else WRITERS[base]


def _written_as(layer: type[Layer]) -> type[Layer] | None:
    """Return the nearest base that can be written, if the layer's forward computes as that one's."""
    for base in layer.__mro__:
        if base in WRITERS:
            stated = DECLARED if base is Elementwise else frozenset()
            return base if computes_as(layer, base, stated | {"backward"}) else None
    return None


def operator_of(layer: type[Layer]) -> str | None:
    """Return the names of the ONNX operators as which a layer is written.

    Parameters
    ----------
    layer : Layer class

    Returns
    -------
    str or None
        Operators in the order of their nodes, with ``or`` between forms that depend on the layer's
        arguments; ``"by its function"`` for an element-wise layer of your own. None if a layer has no ONNX
        form, or its function was registered without ``operators``.

    Examples
    --------
    >>> from neocog import layers
    >>> operator_of(layers.LeakyReLU)
    'LeakyRelu'
    >>> operator_of(layers.ScaledTanh)
    'Mul, Tanh, Mul'
    """
    base = _written_as(layer)
    return None if base is None else OPERATORS.get(base)
