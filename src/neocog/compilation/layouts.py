"""Choose for each value of a network for inference whether its channels lie outermost or innermost.

With the channels outermost, (C, H, W, N), vectors run along the pixels and the images: best for large maps
and many images, and Winograd's method needs it. With the channels innermost, (N, H, W, C), they run along the
filters, however small the maps are. Maps shrink on their way through a network, so one size divides it: from
there on the channels are innermost, except in a convolution that Winograd's method makes cheaper. It is the
size with the least cost, counted in vector operations; nothing is measured, so that the results of a network
never depend on the machine's mood.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from neocog.compilation.nodes import LayerNode, TensorNode

if TYPE_CHECKING:
    from neocog.compilation.emitter import Emitter

__all__ = ["choose_layouts"]

_MOVE = 1.5
"""Vector operations in the time of moving a number from one layout to the other."""


_Costs = dict[LayerNode, tuple[float, float]]
"""Of the convolutions, with the channels outermost and innermost."""


def choose_layouts(emit: Emitter, nodes: Sequence[LayerNode], end: TensorNode) -> None:
    """Set ``channels_last`` of all nodes and of their outputs."""
    nodes = [node for node in nodes if not node.fused]
    costs: _Costs = {}
    for node in nodes:
        if not node.reason and (cost := node.lowering.layout_costs(emit, node)):
            costs[node] = cost
    sizes = [0, *sorted({_pixels(node.output) for node in costs})]
    choices = [_innermost(nodes, costs, size) for size in sizes]
    innermost = min(choices, key=lambda choice: _total(emit, nodes, costs, choice, end))
    for node in nodes:
        node.channels_last = node.output.channels_last = node.output in innermost


def _pixels(value: TensorNode) -> int:
    _, H, W = value.shape
    return H * W


def _numbers(value: TensorNode) -> int:
    N, *_ = value.array_shape
    return N * value.shape[0] * _pixels(value)


def _innermost(nodes: Sequence[LayerNode], costs: _Costs, size: int) -> set[TensorNode]:
    """Return the values with the channels innermost if those of convolutions to ``size`` pixels have them so.

    Except for a convolution that is cheaper otherwise, although its input must be moved. The other layers
    follow their inputs where they can.
    """
    found: set[TensorNode] = set()
    for node in nodes:
        if node in costs:
            outermost, innermost = costs[node]
            moving = sum(_numbers(value) for value in node.inputs if value in found)
            chosen = _pixels(node.output) <= size and innermost <= outermost + _MOVE * moving
        else:
            chosen = node.lowering.any_layout and not node.reason and not found.isdisjoint(node.inputs)
        if chosen:
            found.add(node.output)
    return found


def _total(
    emit: Emitter, nodes: Sequence[LayerNode], costs: _Costs, innermost: set[TensorNode], end: TensorNode
) -> float:
    """Return the cost of the convolutions, and of moving the values that both layouts are needed of."""
    total, moved = 0.0, {end} & innermost
    for node in nodes:
        here = node.output in innermost
        total += costs[node][here] if node in costs else 0.0
        wanted = node.lowering.reads(emit, node, here)
        moved |= {v for v in node.inputs if wanted is not None and (v in innermost) != wanted}
    return total + _MOVE * sum(_numbers(value) for value in moved)
