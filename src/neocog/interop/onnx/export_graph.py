"""The ONNX graph in the making, as the writers of the layers see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import onnx
from onnx import helper, numpy_helper

from neocog.layers import Layer


class Tensor(NamedTuple):
    """A value on its way through the graph: its name there, and its shape for one image."""

    name: str
    shape: tuple[int, ...]


@dataclass
class Writer:
    """Collects nodes and initializers.

    Attributes
    ----------
    names : mapping of int to str
        The dotted name of each parameter and buffer of the network, by the array's id.
    dtype : floating point type of the file
    reserved : set of str
        Names of the inputs, the output and the arrays, which no other value may take.
    place : str
        Dotted name of the layer that is being written; its nodes and constants are named after it.
    """

    names: Mapping[int, str]
    dtype: np.dtype[Any]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: dict[str, onnx.TensorProto] = field(default_factory=dict)
    reserved: frozenset[str] = frozenset({"output"})
    place: str = ""
    _taken: set[str] = field(default_factory=set)

    def node(self, operator: str, *inputs: Tensor | str, **attributes: Any) -> str:
        """Append a node; return the name of its output.

        The first node of a layer has the layer's name, others ``layer/operator``. Attributes that are None
        are left out.
        """
        name, number = self.place, 1
        while name in self._taken:
            name = f"{self.place}/{operator.lower()}{number if number > 1 else ''}"
            number += 1
        self._taken.add(name)
        output = f"{name}/y" if name in self.reserved else name
        given = {key: value for key, value in attributes.items() if value is not None}
        sources = [source.name if isinstance(source, Tensor) else source for source in inputs]
        self.nodes.append(helper.make_node(operator, sources, [output], name, **given))
        return output

    def array(self, array: Any) -> str:
        """Enter one of the network's arrays under its dotted name."""
        name = self.names[id(array)]
        if name not in self.initializers:
            content = np.ascontiguousarray(array, self.dtype)
            self.initializers[name] = numpy_helper.from_array(content, name)
        return name

    def number(self, suffix: str, value: float) -> str:
        """Enter a number of the network's dtype."""
        return self._constant(suffix, np.array(value, self.dtype))

    def integers(self, suffix: str, values: Any) -> str:
        """Enter integers: a shape, axes, pads."""
        return self._constant(suffix, np.array(values, np.int64))

    def numbers(self, suffix: str, values: Any) -> str:
        """Enter an array of the network's dtype that is not one of its own."""
        return self._constant(suffix, np.ascontiguousarray(values, self.dtype))

    def _constant(self, suffix: str, content: np.ndarray) -> str:
        name = f"{self.place}/{suffix}"
        self.initializers[name] = numpy_helper.from_array(content, name)
        return name


WriteLayer: TypeAlias = Callable[[Writer, Any, Any], str]
Function = TypeVar("Function", bound=WriteLayer)

WRITERS: dict[type[Layer], WriteLayer] = {}
"""How each layer becomes nodes."""


def writes(*layers: type[Layer]) -> Callable[[Function], Function]:
    """Register the function that writes a layer: ``(writer, layer, input) -> name of the output``.

    ``input`` is a :class:`Tensor`, or a tuple of them for a layer of several inputs.

    Examples
    --------
    >>> from neocog.layers import ReLU
    >>> class Soft(ReLU):
    ...     pass
    >>> @writes(Soft)
    ... def write_soft(writer, layer, x):
    ...     return writer.node("Softplus", x)
    """

    def register(function: Function) -> Function:
        for layer in layers:
            WRITERS[layer] = function
        return function

    return register
