"""Define the base class of lowerings, their registry, and the emitter that they write a program with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar, TypeVar

import numpy as np

from neocog.compilation.nodes import LayerNode, TensorNode
from neocog.kernels.fused import lowering
from neocog.kernels.fused.program import NO_BORDER, UNBOUNDED, Bounds, Maps, Memory, Program, Slot
from neocog.layers.base import Layer, Shape, computes_as

__all__ = ["Emitter", "Lowering", "Use", "lowering_of", "lowers", "space"]


@dataclass(frozen=True)
class Use:
    """The purpose that a network is compiled for."""

    N: int
    training: bool
    dtype: np.dtype[Any]


class Lowering:
    """The compiled form of some layer classes: :meth:`forward` and :meth:`backward` write operations.

    A lowering registers itself by :func:`lowers`; it has no state. What its forward passes to its backward
    is stored in ``node.memo``.

    Attributes
    ----------
    settings : tuple of str
        Attributes of the layer that a program is compiled with: it is compiled anew when one of them changes.
    computes : bool
        Whether it does floating point work; reshaping alone is not worth a program.
    takes_clip : bool
        Whether the ReLU or other clip that follows can be fused into its operation.
    undoes_clip : bool
        Whether its backward includes the backward of that.
    undoes_relu_before : bool
        Whether its backward includes the backward of a ReLU just before it.
    any_layout : bool
        Whether its forward takes inputs, and writes the output, with the channels innermost, too.
    overridable : frozenset of str
        Attributes that a subclass of the layer may override and still be lowered like the layer, besides
        those that :func:`~neocog.layers.base.computes_as` allows.
    """

    settings: ClassVar[tuple[str, ...]] = ()
    computes: ClassVar[bool] = True
    takes_clip: ClassVar[bool] = False
    undoes_clip: ClassVar[bool] = False
    undoes_relu_before: ClassVar[bool] = False
    any_layout: ClassVar[bool] = False
    overridable: ClassVar[frozenset[str]] = frozenset()

    def supports(self, layer: Any, input_shapes: Sequence[Shape], output_shape: Shape, use: Use) -> None:
        """Raise Uncompilable if the layer, with its settings and for these shapes, has no compiled form."""

    def settings_of(self, layer_class: type[Layer]) -> Callable[[Any], Any] | None:
        """Return the function that reads a layer's settings; None if there are none."""
        return attrgetter(*self.settings) if self.settings else None

    def bounds(self, layer: Any) -> Bounds | None:
        """Return the bounds of a layer that does nothing else, and may be fused into the one before it."""
        return None

    def flat(self, node: LayerNode, training: bool) -> tuple[bool, bool]:
        """Return whether the inputs, and whether the output, must lie in memory without a border."""
        return False, False

    def reads(self, emit: Emitter, node: LayerNode, channels_last: bool) -> bool | None:
        """Return the layout that the inputs must have if the output has this one; None for either."""
        return channels_last

    def layout_costs(self, emit: Emitter, node: LayerNode) -> tuple[float, float] | None:
        """Return the cost with the channels outermost, and innermost; None if the inputs decide."""
        return None

    def plan(self, emit: Emitter, node: LayerNode) -> None:
        """Widen the borders of the node's input and of its output's gradient as its operations require."""

    def without_input_gradient(self, emit: Emitter, node: LayerNode) -> None:
        """Narrow the border of the output's gradient where no input's gradient will be computed of it."""

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        """Write the operations that compute the node's output; a second time where ``emit.again``."""
        raise NotImplementedError

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        """Write the operations for the gradients of the parameters, and of the inputs that need one."""
        raise NotImplementedError


_LOWERINGS: dict[type[Layer], Lowering] = {}
_Class = TypeVar("_Class", bound=type[Lowering])


def lowers(*layers: type[Layer]) -> Callable[[_Class], _Class]:
    """Register a class of lowerings as the compiled form of these layer classes.

    Parameters
    ----------
    *layers : Layer classes

    Returns
    -------
    decorator of a subclass of Lowering

    Examples
    --------
    >>> from neocog.layers import ReLU
    >>> class Clipped(ReLU):
    ...     pass
    >>> @lowers(Clipped)
    ... class ClippedLowering(Lowering):
    ...     settings = ()
    ...     def forward(self, emit, node):
    ...         x, y = node.input.place, emit.maps(node.output)
    ...         emit.pointwise("relu", 2.0, x=x, y=y)
    """

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


_OWN_REFERENCES = 2
"""What ``sys.getrefcount`` counts of an array that only a list holds: the list's reference, and its own."""


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
        The memory of each parameter's gradient.
    parameter_gradients : dict of (LayerNode, str) to array
        During a run, the gradients of the layers that run in Python.
    again : bool
        Whether forward passes of layers are written a second time, for a backward pass: they must compute
        the same numbers from memory reserved anew, and change nothing that a layer remembers.
    """

    def __init__(self, program: Program, N: int, training: bool) -> None:
        self.program, self.N, self.training = program, N, training
        self.gradients: list[tuple[LayerNode, str, Memory]] = []
        self.parameter_gradients: dict[tuple[LayerNode, str], Any] = {}
        self.held: list[np.ndarray] = []
        self.again = False

    def move_out(self, layer: Layer) -> None:
        """Move the weights of a layer that no operation reads out of memory, where weights never change."""

    def maps(self, value: TensorNode) -> Maps:
        """Reserve the memory of a value."""
        C, H, W = value.shape
        shape = (self.N, H, W, C) if value.channels_last else (C, H, W, self.N)
        value.maps = self.program.maps(
            *shape, value.border, self.clean(value), value.channels_last, spread=not value.flat
        )
        return value.maps

    def arrange(self, value: TensorNode, channels_last: bool) -> None:
        """Put a value into one of the two layouts; one that it was in before is kept."""
        if value.channels_last == channels_last:
            return
        here = value.place
        value.channels_last, value.maps, value.other = channels_last, value.other, here
        if value.maps is None:
            lowering.rearrange(self.program, here, self.maps(value))

    def clean(self, value: TensorNode) -> bool:
        """Return whether a convolution or its gradient reads a value's border, which must then be zero."""
        borders = (node.memo.get("border", NO_BORDER) for node in value.consumers)
        return self.training or any(border != NO_BORDER for border in borders)

    def gradient(self, node: LayerNode, name: str) -> Memory:
        """Reserve memory for a parameter's gradient, which nobody reads where the layer is frozen."""
        memory = self.program.memory(node.layer.params[name].size)
        if node.learns:
            self.gradients.append((node, name, memory))
        return memory

    def gradient_maps(self, value: TensorNode) -> Maps:
        """Reserve the memory of a value's gradient."""
        value.gradient = self.program.maps(*value.shape, self.N, value.gradient_border, spread=not value.flat)
        return value.gradient

    @contextmanager
    def into(self, value: TensorNode) -> Iterator[Maps]:
        """Yield the maps to write a gradient into; if there is a gradient already, they are added to it."""
        if value.gradient is None:
            yield self.gradient_maps(value)
        else:
            part = self.program.maps(*value.shape, self.N)
            yield part
            lowering.transfer(self.program, part, value.gradient, adding=True)

    def bind(self, slot: Slot, array: np.ndarray) -> None:
        """Bind an array to a slot and keep it alive until the end of the run."""
        self.held.append(array)
        self.program.bind(slot, array)

    def hand_out(self, value: TensorNode) -> None:
        """Store the value as ``value.array`` for the functions called after the next cut."""
        if value.producer is not None and not value.producer.reason and not value.handed_out:
            value.handed_out = True
            self.arrange(value, False)
            self._store(value.place, value, "array")

    def hand_out_gradient(self, value: TensorNode) -> None:
        """Store the gradient as ``value.gradient_array`` for the functions called after the next cut."""
        if value.gradient is not None:
            self._store(value.gradient, value, "gradient_array")

    def _store(self, maps: Maps, value: TensorNode, name: str) -> None:
        # Python sees the program's own layout, the batch last, as a view with the batch first: what NumPy
        # computes from it number by number has that layout, too, and nothing is transposed on the way.
        slot, (N, *others) = Slot(), value.array_shape
        batch_first = (len(others), *range(len(others)))

        kept: list[np.ndarray] = []

        def allocate() -> None:
            # A layer may keep its input: the array of the run before is taken again, while it is in the
            # cache, only if nobody but this list refers to it.
            if not kept or sys.getrefcount(kept[0]) > _OWN_REFERENCES:
                kept[:] = [np.empty((*others, N), self.program.dtype)]
                self.program.bind(slot, kept[0])
            setattr(value, name, kept[0].transpose(batch_first))

        self.program.call(allocate)
        lowering.transfer(self.program, maps, Maps(slot, *maps.shape))

    def take_in(self, value: TensorNode, maps: Maps, what: str) -> Callable[[Any], None]:
        """Load an array into maps; return the function to call with the array, before the same stretch.

        Raises
        ------
        ValueError, TypeError
            When called, if the array is not of the value's shape, or complex. ``what`` names it.
        """
        slot, batch_last = Slot(), (*range(1, len(value.array_shape)), 0)

        def take(array: Any) -> None:
            array = np.asarray(array)
            if array.shape != tuple(value.array_shape):
                raise ValueError(f"{what} must have shape {tuple(value.array_shape)}, got {array.shape}.")
            if array.dtype.kind not in "fiub":
                raise TypeError(f"{what} must be real numbers, got {array.dtype}.")
            self.bind(slot, np.ascontiguousarray(array.transpose(batch_last), self.program.dtype))

        lowering.transfer(self.program, Maps(slot, *maps.shape), maps)
        return take

    def pointwise(self, operation: str, flops: float, **operands: Any) -> None:
        """Add an operation on each number of maps that have one shape.

        Parameters
        ----------
        operation : str
        flops : float
            For one number, about.
        **operands : Maps, or the values of other fields of the operation
        """
        operands = {k: each.by_rows if isinstance(each, Maps) else each for k, each in operands.items()}
        *_, last = (each for each in operands.values() if isinstance(each, Maps))
        self.program.add(operation, last.C, flops * last.C * last.H * last.lanes, **space(last), **operands)

    def sum(self, x: Maps, y: Maps, z: Maps, bounds: Bounds = UNBOUNDED) -> None:
        """Add the operation ``z = x + y``, bounded."""
        self.pointwise("add", 2.0, x=x, y=y, z=z, low=bounds[0], high=bounds[1])

    def clip(self, maps: Maps, bounds: Bounds) -> None:
        """Bound maps in place."""
        if bounds != UNBOUNDED:
            low, high = bounds
            self.pointwise("clip", 2.0, x=maps, y=maps, slope=1.0, offset=0.0, low=low, high=high)

    def pooling_undoes_relu(self, node: LayerNode) -> bool:
        """Return whether only max pooling reads a node's ReLU: its backward then includes the ReLU's.

        A window's maximum is above 0 exactly where the pooled output is, which is the smaller array.
        """
        alone, relu = node.output.alone, node.bounds == (0, np.inf)
        return alone and relu and node.output.consumers[0].lowering.undoes_relu_before

    def clip_backward(self, dy: Maps, y: Maps, bounds: Bounds) -> None:
        """Set dy to zero where the output y is at a bound."""
        low, high = bounds
        self.pointwise("clip_back", 2.0, saved=y, dy=dy, dx=dy, slope=1.0, low=low, high=high)

    def bias_backward(self, node: LayerNode, dy: Maps) -> None:
        """Sum dy over all but the channels, if the node has a bias that learns."""
        if "bias" in node.layer.params and node.learns:
            self.pointwise("plane_sum", 1.0, dy=dy, d_bias=self.gradient(node, "bias"))


def space(maps: Maps) -> dict[str, Any]:
    """Return the fields that give the channels, rows and lanes that an operation runs over."""
    return {"C": maps.C, "rows": maps.H, "lanes": maps.lanes}
