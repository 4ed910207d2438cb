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


def features(shape: Shape) -> tuple[int, int, int]:
    """Return (C, H, W), in which one image's part of an array lies in memory: (F, 1, 1) for features.

    Raises
    ------
    Uncompilable
        If arrays of this rank have no place in a program.
    """
    if len(shape) not in (2, 4):
        raise Uncompilable(f"arrays of rank {len(shape)}")
    C, H, W = (*shape[1:], 1, 1)[:3]
    return int(C), int(H), int(W)


@dataclass(eq=False)
class TensorNode:
    """What flows from layer to layer, and where it lies in memory.

    Attributes
    ----------
    array_shape : the shape of the array that the layers see, the batch included
    shape : (C, H, W), or (F, 1, 1) for features
    """

    array_shape: Shape
    shape: tuple[int, int, int]
    producer: LayerNode | None = None
    consumers: list[LayerNode] = field(default_factory=list)
    border: Border = NO_BORDER
    gradient_border: Border = NO_BORDER
    maps: Maps | None = None
    gradient: Maps | None = None
    wanted: bool = False  # whether anything before it needs its gradient

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
    memo: dict[str, Any] = field(default_factory=dict)

    @property
    def input(self) -> TensorNode:
        """Its only input."""
        return self.inputs[0]

    @property
    def floor(self) -> float:
        """The least output: 0 if a ReLU is done along with the layer."""
        return -float("inf") if self.relu is None else 0.0
