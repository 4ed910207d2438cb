"""Define the nodes of a network that is compiled: the values between layers, and the layers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from neocog.errors import UnsupportedError
from neocog.kernels.fused.program import NO_BORDER, UNBOUNDED, Border, Bounds, Maps
from neocog.layers.base import Shape

__all__ = ["LayerNode", "TensorNode", "Uncompilable", "features", "wider"]


class Uncompilable(UnsupportedError):  # noqa: N818 - says what the network is, and is always caught
    """Raised where a network holds something that has no compiled form."""


def wider(a: Border, b: Border) -> Border:
    """Return the smallest border that covers both."""
    return max(a[0], b[0]), max(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def features(shape: Shape, N: int) -> tuple[int, int, int]:
    """Return (C, H, W), the layout in memory of one image's part of an array.

    (N, C, L) is stored as (C, L, 1), features (N, F) as (F, 1, 1), and a number an image, (N,), as (1, 1, 1).

    Raises
    ------
    Uncompilable
        If a program for N images cannot store such an array.
    """
    if not 1 <= len(shape) <= 4:
        raise Uncompilable(f"arrays of rank {len(shape)}")
    if shape[0] != N:
        raise Uncompilable("an array whose first axis is not the batch")
    C, H, W = (*shape[1:], 1, 1, 1)[:3]
    return int(C), int(H), int(W)


@dataclass(eq=False)
class TensorNode:
    """A value that is passed from layer to layer, and its place in memory.

    A value that a compiled layer writes or reads is laid out in the program's memory; one that a layer
    without a compiled form writes or reads is a NumPy array during a run. It may be both.

    Attributes
    ----------
    array_shape : the shape of the array that the layers take or return, the batch included
    shape : (C, H, W)
        One image's part in memory, see :func:`features`; all 0 if it is not laid out.
    laid_out : bool
        Whether it has maps.
    maps : Maps
        Its place in the layout in use, see :class:`~neocog.kernels.fused.program.Maps`.
    channels_last : bool
        Whether that, or what is planned before its memory is reserved, has the channels innermost.
    other : Maps or None
        A copy of it in the other layout.
    array, gradient_array
        The value and its gradient as arrays during a run, where Python reads them.
    """

    array_shape: Shape
    shape: tuple[int, int, int] = (0, 0, 0)
    producer: LayerNode | None = None
    consumers: list[LayerNode] = field(default_factory=list)
    laid_out: bool = False
    border: Border = NO_BORDER
    gradient_border: Border = NO_BORDER
    flat: bool = False  # whether nothing may lie between its planes
    maps: Maps | None = None
    channels_last: bool = False
    other: Maps | None = None
    gradient: Maps | None = None
    wanted: bool = False  # whether anything before it needs its gradient
    array: Any = None
    gradient_array: Any = None
    handed_out: bool = False  # whether the program writes ``array``

    @property
    def alone(self) -> bool:
        """Whether exactly one layer reads it."""
        return len(self.consumers) == 1

    @property
    def place(self) -> Maps:
        """Its maps, once their memory is reserved."""
        assert self.maps is not None
        return self.maps


@dataclass(eq=False)
class LayerNode:
    """A layer at one place in the network, and its lowering.

    Attributes
    ----------
    lowering : Lowering
        Of :mod:`~neocog.compilation.emitter`, which stands above and knows nodes.
    training : bool
        Whether the layer runs as in training: not where it is frozen, as a rule.
    learns : bool
        Whether its parameters, if any, need gradients.
    channels_last : bool
        Whether its inputs and its output have the channels innermost.
    """

    name: str
    layer: Any
    lowering: Any
    inputs: list[TensorNode]
    output: TensorNode
    clip: LayerNode | None = None  # a ReLU, or another clip, that is fused into this layer
    fused: bool = False  # into the layer before it
    training: bool = False
    learns: bool = True
    channels_last: bool = False
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
    def bounds(self) -> Bounds:
        """The least and the greatest output: 0 and infinity if a ReLU is fused into the layer."""
        if self.clip is None:
            return UNBOUNDED
        bounds: Bounds = self.clip.lowering.bounds(self.clip.layer)
        return bounds
