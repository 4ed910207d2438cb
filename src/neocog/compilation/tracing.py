"""A network as a list of nodes in the order of computation, ready to be lowered."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from neocog.kernels.fused.lowering import counts_padding
from neocog.kernels.fused.program import NO_BORDER, Border, Maps
from neocog.kernels.geometry import NO_PADDING, Padding
from neocog.layers import (
    GELU,
    Add,
    AvgPool2D,
    BatchNorm1D,
    BatchNorm2D,
    Concat,
    Container,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    Graph,
    LeakyReLU,
    LogSoftmax,
    MaxPool2D,
    PadChannels,
    ReLU,
    Reshape,
    ScaledTanh,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
)
from neocog.layers.base import Layer, Shape

__all__ = [
    "LayerNode",
    "PoolWindows",
    "State",
    "TensorNode",
    "Uncompilable",
    "network_arrays",
    "trace",
    "windows_of",
]

COMPILED = (
    Add,
    AvgPool2D,
    BatchNorm1D,
    BatchNorm2D,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GELU,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    LeakyReLU,
    MaxPool2D,
    PadChannels,
    ReLU,
    Reshape,
    ScaledTanh,
    Sigmoid,
    Tanh,
)
"""Layers that have a compiled form."""


class Uncompilable(Exception):  # noqa: N818 - says what the network is, and is always caught
    """The network holds something that has no compiled form."""


def network_arrays(network: Layer) -> list[tuple[dict[str, Any], str, Any]]:
    """List all arrays of a network as (where it is kept, its name there, the array)."""
    leaves = {id(leaf): leaf for _, leaf in network.leaves()}.values()
    return [
        (owner, name, array)
        for leaf in leaves
        for owner in (leaf._params, leaf._buffers)
        for name, array in owner.items()
    ]


_POOLING = ("kernel_size", "stride", "dilation", "ceil_mode")
_SETTINGS = {
    AvgPool2D: (*_POOLING, "count_include_pad", "divisor_override"),
    BatchNorm1D: ("eps", "momentum"),
    BatchNorm2D: ("eps", "momentum"),
    Conv2D: ("stride", "dilation", "groups"),
    Dropout: ("p",),
    GELU: ("approximate",),
    LeakyReLU: ("negative_slope",),
    MaxPool2D: _POOLING,
    ScaledTanh: ("amplitude", "slope"),
}
_SETTINGS_OF = {layer: attrgetter(*names) for layer, names in _SETTINGS.items()}
"""What a user may change in a layer, and a program has taken over."""


class State:
    """What a network was when it was compiled: its layers, arrays and settings."""

    def __init__(self, network: Layer) -> None:
        self.network, self.dtype = network, network.dtype
        self._changes = Container.changes
        self._arrays = network_arrays(network)
        self._settings = [
            (leaf, settings, settings(leaf))
            for _, leaf in network.leaves()
            if (settings := _SETTINGS_OF.get(type(leaf)))
        ]

    def current(self) -> bool:
        """Whether the network is still that: no layer put in another's place, no array, no setting."""
        if Container.changes != self._changes:
            return False
        for owner, name, array in self._arrays:
            if owner.get(name) is not array:
                return False
        return all(settings(leaf) == values for leaf, settings, values in self._settings)


@dataclass(eq=False)
class TensorNode:
    """What flows from layer to layer, (C, H, W) or features (F, 1, 1), and where it lies in memory."""

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


@dataclass(eq=False)
class LayerNode:
    """A layer at its place."""

    name: str
    layer: Any
    inputs: list[TensorNode]
    output: TensorNode
    relu: LayerNode | None = None  # a ReLU that is done along with this layer
    fused: bool = False  # done along with the layer before it
    memo: dict[str, Any] = field(default_factory=dict)

    @property
    def input(self) -> TensorNode:
        """Its only input."""
        return self.inputs[0]


def _check_containers(network: Layer) -> None:
    """Raise Uncompilable if a container computes in a way of its own."""
    if isinstance(network, Container):
        if type(network).forward not in (Sequential.forward, Graph.forward):
            raise Uncompilable(f"{type(network).__name__} has a forward of its own")
        for layer in network.children.values():
            _check_containers(layer)


def _check_options(layer: Layer, given: tuple[Shape, ...], shape: Shape) -> None:
    """Raise Uncompilable if a layer is used in a way that has no compiled form."""
    if isinstance(layer, Concat) and layer.axis != 1:
        raise Uncompilable("Concat along another axis than the channels")
    if isinstance(layer, Add) and any(tuple(part) != tuple(shape) for part in given):
        raise Uncompilable("a sum of arrays of different shapes")
    if isinstance(layer, Reshape) and shape[0] != given[0][0]:
        raise Uncompilable("a reshape of the batch")
    if isinstance(layer, MaxPool2D | AvgPool2D | GlobalMaxPool2D):
        windows_of(layer, given[0])


@dataclass(frozen=True)
class PoolWindows:
    """The windows of a pooling layer over images of one size."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = NO_PADDING
    counted: bool = True  # whether a mean counts the padding


def windows_of(layer: MaxPool2D | AvgPool2D | GlobalMaxPool2D, x_shape: Shape) -> PoolWindows:
    """Return the windows of a layer; raise Uncompilable if pooling them has no compiled form."""
    if isinstance(layer, GlobalMaxPool2D):
        windows = PoolWindows((x_shape[2], x_shape[3]))
    else:
        padding, counted = layer._window_sides(x_shape), True
        geometry = (layer.kernel_size, layer.stride, padding)
        if layer.dilation != (1, 1):
            raise Uncompilable("dilated pooling")
        if isinstance(layer, AvgPool2D):
            found = counts_padding(x_shape, *geometry, layer.dilation, layer._counts(x_shape))
            if found is None:
                raise Uncompilable("means over a divisor of their own")
            counted = found
        windows = PoolWindows(*geometry, counted)
    if not isinstance(layer, AvgPool2D) and windows.kernel[0] * windows.kernel[1] > 254:
        raise Uncompilable("a pooling window of more than 254 pixels")
    return windows


def _features(shape: Shape) -> tuple[int, int, int]:
    """Shape of one image's part of an array of rank 2 or 4."""
    if len(shape) == 4:
        return int(shape[1]), int(shape[2]), int(shape[3])
    if len(shape) == 2:
        return int(shape[1]), 1, 1
    raise Uncompilable(f"arrays of rank {len(shape)}")


def trace(
    network: Layer, input_shape: tuple[int, ...]
) -> tuple[TensorNode, list[LayerNode], TensorNode, Layer | None]:
    """Return input, nodes, output and what is left to do; Uncompilable if a layer has no compiled form.

    ``input_shape`` is (N, C, H, W). Left to do is a softmax at the very end, of a few numbers.
    """
    _check_containers(network)
    left: list[Layer] = []
    shapes: dict[int, Shape] = {}
    nodes: list[LayerNode] = []
    seen: set[int] = set()

    def visit(name: str, layer: Layer, value: Any) -> Any:
        inputs = list(value) if isinstance(value, tuple) else [value]
        if type(layer) in (Softmax, LogSoftmax) and not left:
            left.append(layer)
            return value
        if type(layer) not in COMPILED or left:
            raise Uncompilable(f"{type(layer).__name__} has no compiled form")
        if id(layer) in seen and layer.params:
            raise Uncompilable(f"layer {name!r} stands at several places")
        seen.add(id(layer))
        given: Any = tuple(shapes[id(v)] for v in inputs)
        shape = layer.output_shape(given if layer.several_inputs else given[0])
        _check_options(layer, given, shape)
        output = TensorNode(_features(shape))
        shapes[id(output)] = shape
        node = LayerNode(name, layer, inputs, output)
        output.producer = node
        for v in inputs:
            v.consumers.append(node)
        nodes.append(node)
        return output

    start = TensorNode(_features(input_shape))
    shapes[id(start)] = tuple(input_shape)
    end = network.walk(visit, start)
    if not nodes or not isinstance(end, TensorNode):
        raise Uncompilable("an empty network")
    if left and (end.consumers or end is start):
        raise Uncompilable("a softmax that is not the end of all")
    _fuse(nodes, end)
    return start, nodes, end, left[0] if left else None


def _fuse(nodes: list[LayerNode], end: TensorNode) -> None:
    """Let a ReLU be done by the layer before it, where nothing else reads what lies between."""
    for node in nodes:
        before = node.inputs[0].producer
        if (
            isinstance(node.layer, ReLU)
            and before is not None
            and isinstance(before.layer, Conv2D | Dense | BatchNorm2D | BatchNorm1D | Add)
            and (len(before.inputs) > 1 or not isinstance(before.layer, Add))
            and node.input.alone
            and before.relu is None
        ):
            before.relu = node
            node.fused = True
            between = node.output
            between.producer = before
            before.output = between
