"""The nodes of a network that is compiled: what flows between layers, and the layers at their places."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from neocog.errors import UnsupportedError
from neocog.kernels.fused.program import NO_BORDER, Border, Maps
from neocog.layers.base import Shape

if TYPE_CHECKING:
    from neocog.compilation.emitter import Lowering

__all__ = ["LayerNode", "TensorNode", "Uncompilable", "features", "wider"]


class Uncompilable(UnsupportedError):  # noqa: N818 - says what the network is, and is always caught
    """The network holds something that has no compiled form."""


def wider(a: Border, b: Border) -> Border:
    """Return the border that holds both."""
    return max(a[0], b[0]), max(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def features(shape: Shape, N: int) -> tuple[int, int, int]:
    """Return (C, H, W), in which one image's part of an array lies in memory.

    (N, C, L) lies there as (C, L, 1), and features (N, F) as (F, 1, 1).

    Raises
    ------
    Uncompilable
        If there is no place for such an array in a program for N images.
    """
    if not 2 <= len(shape) <= 4:
        raise Uncompilable(f"arrays of rank {len(shape)}")
    if shape[0] != N:
        raise Uncompilable("an array whose first axis is not the batch")
    C, H, W = (*shape[1:], 1, 1)[:3]
    return int(C), int(H), int(W)


@dataclass(eq=False)
class TensorNode:
    """What flows from layer to layer, and where it lies.

    A value that a compiled layer writes or reads is laid out in the program's memory; one that a layer
    without a compiled form writes or reads is an array of Python's, for the time of a run. It may be both.

    Attributes
    ----------
    array_shape : the shape of the array that the layers see, the batch included
    shape : (C, H, W)
        One image's part in memory, see :func:`features`; all 0 if it has no place there.
    laid_out : bool
        Whether it has maps.
    array, gradient_array
        It, and its gradient, in a run, where Python reads them.
    """

    array_shape: Shape
    shape: tuple[int, int, int] = (0, 0, 0)
    producer: LayerNode | None = None
    consumers: list[LayerNode] = field(default_factory=list)
    laid_out: bool = False
    border: Border = NO_BORDER
    gradient_border: Border = NO_BORDER
    maps: Maps | None = None
    gradient: Maps | None = None
    wanted: bool = False  # whether anything before it needs its gradient
    array: Any = None
    gradient_array: Any = None
    handed_out: bool = False  # whether the program writes ``array``

    @property
    def alone(self) -> bool:
        """Whether one layer only reads it."""
        return len(self.consumers) == 1

    @property
    def place(self) -> Maps:
        """Its maps, which have been reserved."""
        assert self.maps is not None
        return self.maps


@dataclass(eq=False)
class LayerNode:
    """A layer at its place, and how it is lowered."""

    name: str
    layer: Any
    lowering: Lowering
    inputs: list[TensorNode]
    output: TensorNode
    relu: LayerNode | None = None  # a ReLU that is done along with this layer
    fused: bool = False  # done along with the layer before it
    reason: str = ""  # why it has no compiled form
    memo: dict[str, Any] = field(default_factory=dict)

    @property
    def input(self) -> TensorNode:
        """Its only input."""
        return self.inputs[0]

    def stated_shape(self) -> Shape:
        """Return the shape of the output that the layer states."""
        given: Any = tuple(value.array_shape for value in self.inputs)
        return tuple(self.layer.output_shape(given if self.layer.several_inputs else given[0]))

    @property
    def floor(self) -> float:
        """The least output: 0 if a ReLU is done along with the layer."""
        return -float("inf") if self.relu is None else 0.0
