"""An ONNX node as the readers of the operators see it, and the tables of these readers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NoReturn, TypeAlias, TypeVar

import numpy as np
import onnx
from onnx import helper

from neocog.interop.onnx.building import Building
from neocog.interop.onnx.errors import OnnxImportError
from neocog.interop.onnx.files import tensor_array
from neocog.interop.onnx.values import Known, Shape, Value
from neocog.layers import Layer

# Operators of two operands, which before opset 7 say by ``axis`` where the second lies along the first.
ARITHMETIC = {"Add", "Sub", "Mul", "Div"}


class Node:
    """One ONNX node, its inputs looked up."""

    def __init__(self, proto: onnx.NodeProto, building: Building) -> None:
        self.proto, self.building = proto, building
        self.operator, self.opset = proto.op_type, building.opset
        # None: left out, or not read yet when it is looked at from an earlier node.
        self.inputs = [building.values.get(name) if name else None for name in proto.input]
        while self.inputs and self.inputs[-1] is None:
            self.inputs.pop()
        self._attributes = {attribute.name: attribute for attribute in proto.attribute}
        if self.opset < 7 and self.operator in ARITHMETIC and self.get("axis") is not None:
            self.inputs[1:] = [self._along(*self.inputs)] if len(self.inputs) == 2 else self.inputs[1:]

    def _along(self, x: Value | Known | None, y: Value | Known | None) -> Value | Known | None:
        """The second operand with its axes below those of the first from ``axis`` on, as before opset 7."""
        if x is None or y is None or not self.flag("broadcast"):
            return y
        axis, free = self.axis(0, x.rank), x.rank - y.rank
        if axis > free:
            self.fail(f"axis must be from 0 to {free} for operands of {x.rank} and {y.rank} axes, got {axis}")
        ones = (1,) * (free - axis)
        if isinstance(y, Value):
            return y.viewed(lambda s: (*s, *ones))
        first, second = (array.reshape((*array.shape, *ones)) for array in y.arrays)
        return replace(y, arrays=(first, first if y.arrays[0] is y.arrays[1] else second))

    @property
    def label(self) -> str:
        """How error messages call it."""
        name = self.proto.name or (self.proto.output[0] if self.proto.output else "")
        return f"node {name!r} ({self.operator})"

    @property
    def place(self) -> str:
        """The name that a layer made of it should have."""
        name = self.proto.name.strip("/")
        if "/" in name:  # PyTorch: /layer1/layer1.0/conv1/Conv, and /layer1/layer1.0/Relu of the block itself
            scopes = name.split("/")
            if "/".join(scopes[:-1]) not in self.building.scopes:
                scopes.pop()
            following = [*scopes[1:], ""]
            # layer1/layer1.0 is one place: the first repeats itself in the second.
            name = ".".join(a for a, b in zip(scopes, following, strict=True) if not b.startswith(f"{a}."))
        return name or next((output for output in self.proto.output if output), self.operator.lower())

    def fail(self, reason: str) -> NoReturn:
        """Refuse the model because of this node."""
        raise OnnxImportError(f"{self.label}: {reason.rstrip('.')}.")

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, text decoded, floats in their shortest form: 0.1, not 0.10000000149."""
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
        """An attribute that is 0 or 1."""
        value = self.get(name, default)
        if value not in (0, 1):
            self.fail(f"{name} must be 0 or 1, got {value}")
        return bool(value)

    def has(self, k: int) -> bool:
        """Whether there is a k-th input."""
        return k < len(self.inputs) and self.inputs[k] is not None

    def value(self, k: int = 0) -> Value:
        """The k-th input, which must be computed from the network's input."""
        source = self.inputs[k] if self.has(k) else None
        if not isinstance(source, Value):
            self.fail(f"its input {k} must be computed from the network's input, not be a constant")
        return source

    def known(self, k: int) -> Known:
        """The k-th input, which must be a constant."""
        source = self.inputs[k] if self.has(k) else None
        if not isinstance(source, Known):
            self.fail(f"its input {k} must be a constant")
        return source

    def array(self, k: int) -> np.ndarray:
        """The k-th input, which must be a constant that does not depend on the batch."""
        known = self.known(k)
        if not known.is_fixed:
            self.fail(f"its input {k} may not depend on the batch")
        return known.arrays[0]

    def weights(self, k: int) -> np.ndarray:
        """The k-th input, which must be a constant of floating point numbers; not to be written into."""
        array = self.array(k)
        if array.dtype not in (np.float32, np.float64):
            self.fail(f"its input {k} must be float32 or float64 to be learned, got {array.dtype}")
        return array

    def number(self, k: int, default: float | None = None) -> float:
        """The k-th input, a single number."""
        if not self.has(k) and default is not None:
            return default
        array = self.array(k)
        if array.size != 1:
            self.fail(f"its input {k} must be one number, got shape {array.shape}")
        number = array.reshape(()).item()
        return shortest(number) if array.dtype == np.float32 else number

    def integers(self, name: str, k: int, default: list[int] | None = None) -> list[int] | None:
        """Integers that are an attribute in older opsets, the k-th input in newer ones."""
        if name in self._attributes:
            value: list[int] = self.get(name)
            return value
        return [int(size) for size in self.array(k).ravel()] if self.has(k) else default

    def axis(self, default: int, rank: int, last: bool = False) -> int:
        """The attribute ``axis`` as 0, 1, ...; up to ``rank`` itself if ``last``."""
        axis: int = self.get("axis", default)
        if not -rank <= axis < rank + last:
            self.fail(f"axis must be from {-rank} to {rank + last - 1}, got {axis}")
        return axis + rank if axis < 0 else axis

    def scalar(self, k: int, rank: int) -> float | None:
        """The k-th input if it is a constant of one number, of no more axes than ``rank``, else None."""
        source = self.inputs[k] if self.has(k) else None
        if not isinstance(source, Known) or not source.is_fixed or source.arrays[0].size != 1:
            return None
        if source.rank > rank:
            return None
        return self.number(k)

    def identities(self, *places: int) -> list[int | None]:
        """What tells these inputs from others, whatever their names: the arrays; None where there is none."""
        sources = [self.inputs[k] if self.has(k) else None for k in places]
        return [id(source.arrays[0]) if isinstance(source, Known) else None for source in sources]

    def learned_place(self, k: int = 1) -> str:
        """The name for a layer whose weights are the k-th input: ``conv1`` for ``conv1.weight``."""
        name = self.known(k).label
        stem, dot, kind = name.rpartition(".")
        if dot and stem and kind in ("weight", "bias"):
            return stem
        return (self.proto.name and self.place) or re.sub(r"[._]?(weight|kernel|w)$", "", name) or self.place

    def apply(self, layer: Layer, *sources: Value, place: str = "") -> Value:
        """Append a layer that reads values in the shape that ONNX gives them."""
        settled = [self.building.settled(source) for source in sources]
        if not place or id(layer) in self.building.placed:  # a shared layer has the name of its weights once
            place = self.place
        return self.building.add(place, layer, *settled)

    def viewed(self, x: Value, shape: Callable[[Shape], Sequence[int]]) -> Value:
        """The same numbers in the shape that a function makes of theirs, which is this node's doing."""
        return x.viewed(shape, self.place)

    def elementwise(self, layer: Layer, k: int = 0, place: str = "") -> Value:
        """Append a layer that treats every number on its own, whether axes of size 1 are there or not."""
        x = self.value(k)
        if not x.is_squeezed:
            return self.apply(layer, x, place=place)
        y = self.building.add(place or self.place, layer, x)
        return replace(y, shape=x.shape, view=x.view)

    def follow(self, *operators: str) -> list[Node] | None:
        """The nodes after this one if they are these operators, each the only reader of the one before."""
        chain: list[Node] = []
        proto = self.proto
        for operator in operators:
            output = proto.output[0]
            if self.building.uses[output] != 1 or output not in self.building.readers:
                return None
            proto = self.building.readers[output]
            if proto.op_type != operator:
                return None
            chain.append(Node(proto, self.building))
        return chain

    def take(self, chain: list[Node], y: Value) -> Value:
        """Let ``y`` be what this node and those after it compute."""
        for node in chain:
            self.building.done.add(node.proto.output[0])
        last = chain[-1].proto.output[0]
        self.building.values[last] = replace(y, shared=self.building.uses[last] > 1)
        return y


def shortest(value: float) -> float:
    """Return the number that was meant by a float32: 0.1 for 0.10000000149.

    Examples
    --------
    >>> shortest(0.10000000149011612)
    0.1
    """
    return float(str(np.float32(value)))


ReadNode: TypeAlias = Callable[[Node], Value | Known]
ReadPattern: TypeAlias = Callable[[Node], Value | None]
FoldNode: TypeAlias = Callable[..., np.ndarray]
Reading = TypeVar("Reading", bound=ReadNode)
Pattern = TypeVar("Pattern", bound=ReadPattern)
Folding = TypeVar("Folding", bound=FoldNode)

READERS: dict[str, ReadNode] = {}
"""How each operator becomes layers."""

PATTERNS: dict[str, list[ReadPattern]] = {}
"""Readers of several nodes as one layer, by the operator of the first node."""

FOLDS: dict[str, FoldNode] = {}
"""How each operator on constants is carried out: ``(node, *arrays) -> array``."""


def reads(*operators: str) -> Callable[[Reading], Reading]:
    """Register the function that reads an operator: ``(node) -> value``."""

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
    """Register the function that carries out an operator on constants."""

    def register(function: Folding) -> Folding:
        FOLDS.update(dict.fromkeys(operators, function))
        return function

    return register


def read(node: Node) -> Value | Known:
    """Carry a node out if all its inputs are constants, else turn it into layers."""
    constant = all(source is None or isinstance(source, Known) for source in node.inputs)
    if constant and node.operator in FOLDS:
        return fold(node)
    for pattern in PATTERNS.get(node.operator, []):
        if (y := pattern(node)) is not None:
            return y
    if node.operator not in READERS:
        node.fail("there is a layer for it only where all its inputs are constants or shapes")
    return READERS[node.operator](node)


def fold(node: Node) -> Known:
    """Carry a node out on constants, once for each batch size."""
    sources = [source for source in node.inputs if isinstance(source, Known)]
    label = sources[0].label if sources else ""

    def result(k: int) -> np.ndarray:
        return FOLDS[node.operator](node, *(s and s.arrays[k] for s in node.inputs))  # type: ignore[union-attr]

    if any(source.arrays[0] is not source.arrays[1] for source in sources):
        return Known((result(0), result(1)), label)
    origin = tuple(source.arrays[0] for source in sources) if node.operator == "ScatterND" else None
    if origin:
        label = sources[-1].label
    array = result(0)
    return Known((array, array), label, origin)
