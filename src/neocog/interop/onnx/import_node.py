"""Look up a node's inputs and attributes, and register how operators become layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NoReturn, TypeAlias, TypeVar

import numpy as np
import onnx
from onnx import helper

from neocog.interop.onnx.errors import OnnxImportError, UnsupportedOperatorError
from neocog.interop.onnx.graph_builder import GraphBuilder
from neocog.interop.onnx.model_file import tensor_array
from neocog.interop.onnx.symbolic import Known, Shape, SymbolicValue
from neocog.layers import Layer

# Operators whose attribute ``axis``, before opset 7, aligns the second operand with the first.
ARITHMETIC = {"Add", "Sub", "Mul", "Div"}


class Node:
    """One ONNX node, with its inputs looked up."""

    def __init__(self, proto: onnx.NodeProto, builder: GraphBuilder) -> None:
        self.proto, self.builder = proto, builder
        self.operator, self.opset = proto.op_type, builder.opset
        # None: omitted, or not read yet because an earlier node looks ahead.
        self.inputs = [builder.values.get(name) if name else None for name in proto.input]
        while self.inputs and self.inputs[-1] is None:
            self.inputs.pop()
        self._attributes = {attribute.name: attribute for attribute in proto.attribute}
        if self.opset < 7 and self.operator in ARITHMETIC and self.get("axis") is not None:
            self.inputs[1:] = [self._along(*self.inputs)] if len(self.inputs) == 2 else self.inputs[1:]

    def _along(
        self, x: SymbolicValue | Known | None, y: SymbolicValue | Known | None
    ) -> SymbolicValue | Known | None:
        """Align the second operand's axes with those of the first from ``axis`` on, as before opset 7."""
        if x is None or y is None or not self.flag("broadcast"):
            return y
        axis, free = self.axis(0, x.rank), x.rank - y.rank
        if axis > free:
            self.fail(f"axis must be from 0 to {free} for operands of {x.rank} and {y.rank} axes, got {axis}")
        ones = (1,) * (free - axis)
        if isinstance(y, SymbolicValue):
            return y.viewed(lambda s: (*s, *ones))
        first, second = (array.reshape((*array.shape, *ones)) for array in y.arrays)
        return replace(y, arrays=(first, first if y.arrays[0] is y.arrays[1] else second))

    @property
    def label(self) -> str:
        """Return the node's name and operator, for error messages."""
        name = self.proto.name or (self.proto.output[0] if self.proto.output else "")
        return f"node {name!r} ({self.operator})"

    @property
    def place(self) -> str:
        """Return the wanted name of a layer made of this node."""
        name = self.proto.name.strip("/")
        if "/" in name:  # PyTorch: /layer1/layer1.0/conv1/Conv; /layer1/layer1.0/Relu for the block's own
            scopes = name.split("/")
            if "/".join(scopes[:-1]) not in self.builder.scopes:
                scopes.pop()
            following = [*scopes[1:], ""]
            # In layer1/layer1.0 the second scope repeats the first.
            name = ".".join(a for a, b in zip(scopes, following, strict=True) if not b.startswith(f"{a}."))
        return name or next((output for output in self.proto.output if output), self.operator.lower())

    def fail(self, reason: str) -> NoReturn:
        """Raise OnnxImportError: this node is malformed."""
        raise OnnxImportError(f"{self.label}: {reason.rstrip('.')}.")

    def unsupported(self, reason: str) -> NoReturn:
        """Raise UnsupportedOperatorError: no layer computes what this node does."""
        raise UnsupportedOperatorError(f"{self.label}: {reason.rstrip('.')}.")

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute, text decoded, and floats in their shortest form: 0.1, not 0.10000000149."""
        if name not in self._attributes:
            return default
        attribute = self._attributes[name]
        if attribute.type == onnx.AttributeProto.TENSOR:
            return tensor_array(attribute.t)
        value = helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if isinstance(value, float):
            return shortest(value)
        return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value

    def flag(self, name: str, default: int = 0) -> bool:
        """Return an attribute that must be 0 or 1."""
        value = self.get(name, default)
        if value not in (0, 1):
            self.fail(f"{name} must be 0 or 1, got {value}")
        return bool(value)

    def has(self, k: int) -> bool:
        """Return whether there is a k-th input."""
        return k < len(self.inputs) and self.inputs[k] is not None

    def value(self, k: int = 0) -> SymbolicValue:
        """Return the k-th input, which must be computed from the network's input."""
        source = self.inputs[k] if self.has(k) else None
        if not isinstance(source, SymbolicValue):
            self.unsupported(f"its input {k} must be computed from the network's input, not be a constant")
        return source

    def known(self, k: int) -> Known:
        """Return the k-th input, which must be a constant."""
        source = self.inputs[k] if self.has(k) else None
        if not isinstance(source, Known):
            self.unsupported(f"its input {k} must be a constant")
        return source

    def array(self, k: int) -> np.ndarray:
        """Return the k-th input, which must be a constant that does not depend on the batch."""
        known = self.known(k)
        if not known.is_fixed:
            self.unsupported(f"its input {k} may not depend on the batch")
        return known.arrays[0]

    def weights(self, k: int) -> np.ndarray:
        """Return the k-th input, which must be a constant of floating point numbers; never write into it."""
        array = self.array(k)
        if array.dtype not in (np.float32, np.float64):
            self.unsupported(f"its input {k} must be float32 or float64 to be learned, got {array.dtype}")
        return array

    def number(self, k: int, default: float | None = None) -> float:
        """Return the k-th input, which must be a single number."""
        if not self.has(k) and default is not None:
            return default
        array = self.array(k)
        if array.size != 1:
            self.fail(f"its input {k} must be one number, got shape {array.shape}")
        number = array.reshape(()).item()
        return shortest(number) if array.dtype == np.float32 else number

    def integers(self, name: str, k: int, default: list[int] | None = None) -> list[int] | None:
        """Return integers that are an attribute in older opsets and the k-th input in newer ones."""
        if name in self._attributes:
            value: list[int] = self.get(name)
            return value
        return [int(size) for size in self.array(k).ravel()] if self.has(k) else default

    def axis(self, default: int, rank: int, last: bool = False) -> int:
        """Return the attribute ``axis``, counted from 0; ``rank`` itself is allowed if ``last``."""
        axis: int = self.get("axis", default)
        if not -rank <= axis < rank + last:
            self.fail(f"axis must be from {-rank} to {rank + last - 1}, got {axis}")
        return axis + rank if axis < 0 else axis

    def kept_axes(self, rank: int) -> list[int] | None:
        """Return the sorted axes of a reduction that keeps them with size 1, None for any other."""
        axes = self.integers("axes", 1, [])
        return sorted(axis % rank for axis in axes or []) if self.flag("keepdims", 1) else None

    def scalar(self, k: int, rank: int) -> float | None:
        """Return the k-th input if it is a constant of one number with at most ``rank`` axes, else None."""
        source = self.inputs[k] if self.has(k) else None
        if not isinstance(source, Known) or not source.is_fixed or source.arrays[0].size != 1:
            return None
        if source.rank > rank:
            return None
        return self.number(k)

    def identities(self, *places: int) -> list[int | None]:
        """Return ids of the arrays of these inputs, None where there is none, to recognise shared weights."""
        sources = [self.inputs[k] if self.has(k) else None for k in places]
        return [id(source.arrays[0]) if isinstance(source, Known) else None for source in sources]

    def learned_place(self, k: int = 1) -> str:
        """Return the name for a layer whose weights are the k-th input: ``conv1`` for ``conv1.weight``."""
        name = self.known(k).label
        stem, dot, kind = name.rpartition(".")
        if dot and stem and kind in ("weight", "bias"):
            return stem
        return (self.proto.name and self.place) or re.sub(r"[._]?(weight|kernel|w)$", "", name) or self.place

    def apply(self, layer: Layer, *sources: SymbolicValue, place: str = "") -> SymbolicValue:
        """Append a layer that reads values in the shape that ONNX gives them."""
        settled = [self.builder.settled(source) for source in sources]
        if not place or id(layer) in self.builder.placed:  # only its first node is named after its weights
            place = self.place
        return self.builder.add(place, layer, *settled)

    def viewed(self, x: SymbolicValue, shape: Callable[[Shape], Sequence[int]]) -> SymbolicValue:
        """Reshape a value by a function of its shape, without a layer, and name this node for it."""
        return x.viewed(shape, self.place)

    def elementwise(self, layer: Layer, k: int = 0, place: str = "") -> SymbolicValue:
        """Append an element-wise layer, which needs no Reshape where only axes of size 1 came or went."""
        x = self.value(k)
        if not x.is_squeezed:
            return self.apply(layer, x, place=place)
        y = self.builder.add(place or self.place, layer, x)
        return replace(y, shape=x.shape, view=x.view)

    def follow(self, *operators: str) -> list[Node] | None:
        """Return the next nodes if they have these operators, each the only reader of the one before."""
        chain: list[Node] = []
        proto = self.proto
        for operator in operators:
            output = proto.output[0]
            if self.builder.uses[output] != 1 or output not in self.builder.readers:
                return None
            (proto,) = self.builder.readers[output]
            if proto.op_type != operator:
                return None
            chain.append(Node(proto, self.builder))
        return chain

    def take(self, chain: list[Node], y: SymbolicValue) -> SymbolicValue:
        """Replace this node and those of the chain by the value ``y``."""
        for node in chain:
            self.builder.done.add(node.proto.output[0])
        last = chain[-1].proto.output[0]
        self.builder.values[last] = replace(y, shared=self.builder.uses[last] > 1)
        return y


def shortest(value: float) -> float:
    """Return the shortest decimal number that a float32 stands for: 0.1 for 0.10000000149.

    Examples
    --------
    >>> shortest(0.10000000149011612)
    0.1
    """
    return float(str(np.float32(value)))


Value: TypeAlias = SymbolicValue | Known
ReadNode: TypeAlias = Callable[[Node], Value | tuple[Value, ...]]
ReadPattern: TypeAlias = Callable[[Node], SymbolicValue | None]
FoldNode: TypeAlias = Callable[..., np.ndarray | tuple[np.ndarray, ...]]
Reading = TypeVar("Reading", bound=ReadNode)
Pattern = TypeVar("Pattern", bound=ReadPattern)
Folding = TypeVar("Folding", bound=FoldNode)

READERS: dict[str, ReadNode] = {}
"""The function that reads each operator."""

PATTERNS: dict[str, list[ReadPattern]] = {}
"""Readers of several nodes as one layer, by the operator of the first node."""

FOLDS: dict[str, FoldNode] = {}
"""The function that computes each operator on constants: ``(node, *arrays) -> array``."""


def reads(*operators: str) -> Callable[[Reading], Reading]:
    """Register the function that reads an ONNX operator as layers.

    Parameters
    ----------
    *operators : str
        Operators of ONNX's own domain: those for which neocog has no layer, or to read one otherwise.

    Returns
    -------
    decorator
        For a function ``(node) -> value``, or a tuple of values for several outputs.
        ``node.get(name, default)`` is an attribute, ``node.value(k)`` the k-th input where it is computed,
        ``node.weights(k)`` where it is a constant.
        ``node.apply(layer, node.value())`` appends a layer and returns its output;
        ``node.elementwise(layer)`` does so for one that treats every number on its own.
        ``node.unsupported(reason)`` raises an error that names the node.

    See Also
    --------
    writes : The opposite direction.

    Examples
    --------
    With a layer ``Softplus`` of your own::

        @reads("Softplus")
        def read_softplus(node):
            return node.elementwise(Softplus())
    """

    def register(function: Reading) -> Reading:
        READERS.update(dict.fromkeys(operators, function))
        return function

    return register


def reads_pattern(*operators: str) -> Callable[[Pattern], Pattern]:
    """Register a function that reads several nodes as one layer: ``(first node) -> value``.

    ``operators`` are those of the first node. The function returns None where the nodes are others; then the
    next pattern is tried, and last the operator's own reader.
    """

    def register(function: Pattern) -> Pattern:
        for operator in operators:
            PATTERNS.setdefault(operator, []).append(function)
        return function

    return register


def folds(*operators: str) -> Callable[[Folding], Folding]:
    """Register the function that computes an operator on constants: ``(node, *arrays) -> array(s)``."""

    def register(function: Folding) -> Folding:
        FOLDS.update(dict.fromkeys(operators, function))
        return function

    return register


def read(node: Node) -> Value | tuple[Value, ...]:
    """Fold a node whose inputs are all constants; turn any other into layers."""
    constant = all(source is None or isinstance(source, Known) for source in node.inputs)
    if constant and node.operator in FOLDS:
        return fold(node)
    for pattern in PATTERNS.get(node.operator, []):
        if (y := pattern(node)) is not None:
            return y
    if node.operator not in READERS:
        node.unsupported("there is a layer for it only where all its inputs are constants or shapes")
    return READERS[node.operator](node)


def fold(node: Node) -> tuple[Known, ...]:
    """Compute a node on constants, once for each batch size."""
    sources = [source for source in node.inputs if isinstance(source, Known)]
    label = sources[0].label if sources else ""

    def results(k: int) -> tuple[np.ndarray, ...]:
        y = FOLDS[node.operator](node, *(s and s.arrays[k] for s in node.inputs))  # type: ignore[union-attr]
        return y if isinstance(y, tuple) else (y,)

    if any(source.arrays[0] is not source.arrays[1] for source in sources):
        return tuple(Known(arrays, label) for arrays in zip(results(0), results(1), strict=True))
    origin = tuple(source.arrays[0] for source in sources) if node.operator == "ScatterND" else None
    if origin:
        label = sources[-1].label
    return tuple(Known((array, array), label, origin) for array in results(0))
