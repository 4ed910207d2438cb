"""What lowerings are, where they register themselves, and what they write a program with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar, TypeVar

import numpy as np

from neocog.compilation.nodes import LayerNode, TensorNode
from neocog.kernels.fused import lowering
from neocog.kernels.fused.operations import activation
from neocog.kernels.fused.program import NO_BORDER, Maps, Memory, Program, Slot
from neocog.layers.base import Layer, Shape, computes_as

__all__ = ["Emitter", "Lowering", "Use", "lowering_of", "lowers", "place", "space"]


@dataclass(frozen=True)
class Use:
    """What a network is compiled for."""

    N: int
    training: bool
    dtype: np.dtype[Any]


class Lowering:
    """The compiled form of some layer classes: :meth:`forward` and :meth:`backward` write operations.

    A lowering registers itself by :func:`lowers`; it has no state. What its forward has to tell its backward
    goes into ``node.memo``.

    Attributes
    ----------
    settings : tuple of str
        Attributes of the layer that a program takes over: it is compiled anew when one of them changes.
    computes : bool
        Whether it does floating point work; reshaping alone is not worth a program.
    is_relu : bool
        Whether it may be done along with the layer before it.
    takes_relu : bool
        Whether it does the ReLU that follows along with its own work.
    undoes_relu : bool
        Whether its backward does that ReLU's backward, too.
    undoes_relu_before : bool
        Whether its backward does the backward of a ReLU just before it, too.
    overridable : frozenset of str
        What a subclass of the layer may override and be lowered like the layer all the same, beside what
        :func:`~neocog.layers.base.computes_as` allows.
    """

    settings: ClassVar[tuple[str, ...]] = ()
    computes: ClassVar[bool] = True
    is_relu: ClassVar[bool] = False
    takes_relu: ClassVar[bool] = False
    undoes_relu: ClassVar[bool] = False
    undoes_relu_before: ClassVar[bool] = False
    overridable: ClassVar[frozenset[str]] = frozenset()

    def supports(self, layer: Any, input_shapes: Sequence[Shape], output_shape: Shape, use: Use) -> None:
        """Raise Uncompilable if the layer, as it is set and for these shapes, has no compiled form."""

    def settings_of(self, layer_class: type[Layer]) -> Callable[[Any], Any] | None:
        """Return the function that reads a layer's settings; None if there are none."""
        return attrgetter(*self.settings) if self.settings else None

    def flat(self, node: LayerNode, training: bool) -> tuple[bool, bool]:
        """Say whether its inputs, and its output, must lie in memory without a border."""
        return False, False

    def plan(self, emit: Emitter, node: LayerNode) -> None:
        """Widen the borders of the node's input and of its output's gradient as the operations want them."""

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        """Write the operations that compute the node's output."""
        raise NotImplementedError

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        """Write the operations that compute the gradients of its parameters and of the inputs wanted."""
        raise NotImplementedError


_LOWERINGS: dict[type[Layer], Lowering] = {}
_Class = TypeVar("_Class", bound=type[Lowering])


def lowers(*layers: type[Layer]) -> Callable[[_Class], _Class]:
    """Register a class of lowerings as the compiled form of these layer classes."""

    def register(lowering_class: _Class) -> _Class:
        for layer in layers:
            _LOWERINGS[layer] = lowering_class()
        return lowering_class

    return register


def lowering_of(layer_class: type[Layer]) -> Lowering | None:
    """Return the compiled form of a layer class, or None if its layers run in Python.

    A subclass has the compiled form of its nearest base that has one, if it computes as that.
    """
    for base in layer_class.__mro__:
        if base in _LOWERINGS:
            found = _LOWERINGS[base]
            return found if computes_as(layer_class, base, found.overridable) else None
    return None


class Emitter:
    """Writes the operations of one network for one batch size into one program.

    Parameters
    ----------
    program : Program
    N : int
        Images in a batch.
    training : bool

    Attributes
    ----------
    gradients : list of (LayerNode, str, Memory)
        Where the gradients of the parameters lie.
    parameter_gradients : dict of (LayerNode, str) to array
        In a run, those of the layers that run in Python.
    """

    def __init__(self, program: Program, N: int, training: bool) -> None:
        self.program, self.N, self.training = program, N, training
        self.gradients: list[tuple[LayerNode, str, Memory]] = []
        self.parameter_gradients: dict[tuple[LayerNode, str], Any] = {}
        self.held: list[np.ndarray] = []

    def maps(self, value: TensorNode) -> Maps:
        """Reserve the memory of a value."""
        value.maps = self.program.maps(*value.shape, self.N, value.border, self.clean(value))
        return value.maps

    def clean(self, value: TensorNode) -> bool:
        """Whether the border of a value is read, by a convolution or its gradient, and must then be zero."""
        borders = (node.memo["conv"].input_border for node in value.consumers if "conv" in node.memo)
        return self.training or any(border != NO_BORDER for border in borders)

    def gradient(self, node: LayerNode, name: str) -> Memory:
        """Reserve memory for a parameter's gradient."""
        memory = self.program.memory(node.layer.params[name].size)
        self.gradients.append((node, name, memory))
        return memory

    def gradient_maps(self, value: TensorNode) -> Maps:
        """Reserve the memory of a value's gradient."""
        value.gradient = self.program.maps(*value.shape, self.N, value.gradient_border)
        return value.gradient

    @contextmanager
    def into(self, value: TensorNode) -> Iterator[Maps]:
        """Give the maps to write a gradient into; if there is one already, what was written is added."""
        if value.gradient is None:
            yield self.gradient_maps(value)
        else:
            part = self.program.maps(*value.shape, self.N)
            yield part
            lowering.transfer(self.program, part, value.gradient, adding=True)

    def bind(self, slot: Slot, array: np.ndarray) -> None:
        """Let a slot stand for this array, which is kept alive, until the end of the run."""
        self.held.append(array)
        self.program.bind(slot, array)

    def hand_out(self, value: TensorNode) -> None:
        """Let ``value.array`` be there for the calls after the next cut."""
        if value.producer is not None and not value.producer.reason and not value.handed_out:
            value.handed_out = True
            self._store(value.place, value, "array")

    def hand_out_gradient(self, value: TensorNode) -> None:
        """Let ``value.gradient_array`` be there for the calls after the next cut."""
        if value.gradient is not None:
            self._store(value.gradient, value, "gradient_array")

    def _store(self, maps: Maps, value: TensorNode, name: str) -> None:
        slot = Slot()

        def allocate() -> None:  # anew in each run: a layer may keep what it is given
            array = np.empty(value.array_shape, self.program.dtype)
            setattr(value, name, array)
            self.bind(slot, array)

        self.program.call(allocate)
        lowering.store(self.program, maps, slot)

    def take_in(self, value: TensorNode, maps: Maps, what: str) -> Callable[[Any], None]:
        """Fill maps from an array; return the function that takes it, a call of the same stretch.

        Raises
        ------
        ValueError, TypeError
            When called, if the array is not of the value's shape, or complex. ``what`` names it.
        """
        slot = Slot()

        def take(array: Any) -> None:
            array = np.asarray(array)
            if array.shape != tuple(value.array_shape):
                raise ValueError(f"{what} must have shape {tuple(value.array_shape)}, got {array.shape}.")
            if array.dtype.kind not in "fiub":
                raise TypeError(f"{what} must be real numbers, got {array.dtype}.")
            self.bind(slot, np.ascontiguousarray(array, self.program.dtype))

        lowering.load(self.program, slot, maps)
        return take

    def pointwise(self, operation: str, flops: float, **operands: Any) -> None:
        """Add an operation on each number of maps of one shape.

        Parameters
        ----------
        operation : str
        flops : float
            For one number, about.
        **operands : Maps, or the values of other fields of the operation
        """
        *_, last = (each for each in operands.values() if isinstance(each, Maps))
        fields: dict[str, Any] = {}
        for name, value in operands.items():
            fields |= place(name, value) if isinstance(value, Maps) else {name: value}
        self.program.add(operation, last.C, flops * last.C * last.H * last.lanes, **space(last), **fields)

    def sum(self, x: Maps, y: Maps, z: Maps, floor: float = -np.inf) -> None:
        """``z = max(floor, x + y)``."""
        self.pointwise("add", 2.0, x=x, y=y, z=z, floor=floor)

    def pooling_undoes_relu(self, node: LayerNode) -> bool:
        """Whether a node's ReLU is followed by max pooling alone, whose backward then does the ReLU's, too.

        A winner is above 0 just where the pooled output is, and that is the smaller array.
        """
        return node.output.alone and node.output.consumers[0].lowering.undoes_relu_before

    def relu_backward(self, dy: Maps, y: Maps) -> None:
        """Set dy to zero where the ReLU's output y is."""
        self.pointwise("activate_back", 2.0, saved=y, dy=dy, dx=dy, kind=activation.RELU)

    def bias_backward(self, node: LayerNode, dy: Maps) -> None:
        """Sum dy over all but the channels, if the node has a bias."""
        if "bias" in node.layer.params:
            self.pointwise("plane_sum", 1.0, dy=dy, d_bias=self.gradient(node, "bias"))


def place(name: str, maps: Maps) -> dict[str, Any]:
    """Fields that say where the operand ``name`` of an operation lies."""
    return {name: maps.origin, f"{name}_plane": maps.plane, f"{name}_row": maps.row}


def space(maps: Maps) -> dict[str, Any]:
    """Fields that say over how many channels, rows and lanes an operation runs."""
    return {"C": maps.C, "rows": maps.H, "lanes": maps.lanes}
