"""Recognise nodes that are something else together: a shuffle of channels, work on channels moved last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from neocog.interop.nesting import Nodes, apart, needed, renamed
from neocog.layers import (
    ChannelShuffle,
    Dropout,
    Elementwise,
    Layer,
    LayerNorm,
    Reshape,
    Sequential,
    Transpose,
)
from neocog.layers.base import Shape


def merged(nodes: Nodes, output: str, shapes: Mapping[str, Shape | None]) -> tuple[Nodes, str]:
    """Replace nodes that are one layer only together; return all nodes and the output.

    Reshape, Transpose and Reshape that interleave groups of channels become a ChannelShuffle. A Transpose
    of the channels behind the other axes, and the one back, are omitted where what lies between can work on
    the channels where they are. ``shapes`` are those of the values, without the batch.
    """
    for name in [*nodes]:
        readers = _only_readers(nodes, output)
        if name not in nodes or not isinstance(nodes[name][0], Transpose):
            continue
        found = _shuffle(nodes, readers, name, shapes) or _in_place(nodes, readers, name)
        if found is not None:
            changed, end, now = found
            last = now if output == end else output
            if last in changed:  # else nothing would be left
                nodes, output = needed(changed, last), last
    return nodes, output


def _only_readers(nodes: Nodes, output: str) -> dict[str, str]:
    """Return, for each value that is read once, the node that reads it."""
    sources = [(source, name) for name, (_, *read) in nodes.items() for source in read]
    uses = Counter([output, *(source for source, _ in sources)])
    return {source: name for source, name in sources if uses[source] == 1}


def _shuffle(
    nodes: Nodes, readers: Mapping[str, str], name: str, shapes: Mapping[str, Shape | None]
) -> tuple[Nodes, str, str] | None:
    """Return the nodes with a ChannelShuffle for a Transpose, the name of what it replaces, and its own."""
    swap, before = nodes[name]
    after = readers.get(name)
    if after is None or readers.get(before) != name or before not in nodes:
        return None
    source, shape, parts = nodes[before][1], shapes.get(nodes[before][1]), shapes.get(before)
    reshapes = isinstance(nodes[before][0], Reshape) and isinstance(nodes[after][0], Reshape)
    if not reshapes or shape is None or parts is None or len(shape) < 2 or shapes.get(after) != shape:
        return None
    groups = parts[0]
    if parts != (groups, shape[0] // groups, *shape[1:]) or swap.axes != (0, 2, 1, *range(3, len(parts) + 1)):
        return None
    new = apart("channel_shuffle", nodes)
    return renamed(nodes | {after: (ChannelShuffle(groups), source)}, {after: new}), after, new


def _in_place(nodes: Nodes, readers: Mapping[str, str], name: str) -> tuple[Nodes, str, str] | None:
    """Return the nodes without a Transpose and the one back, the name of that, and what replaces it."""
    there, source = nodes[name]
    back = tuple(there.axes.index(axis) for axis in range(len(there.axes)))
    if there.axes != (0, *range(2, len(there.axes)), 1):
        return None
    changed: Nodes = {}
    end, now = readers.get(name), source
    while end is not None and len(nodes[end]) == 2:
        layer = nodes[end][0]
        if isinstance(layer, Transpose):
            if layer.axes != back:
                return None
            return (
                renamed({n: changed.get(n, node) for n, node in nodes.items() if n != end}, {end: now}),
                end,
                now,
            )
        twin = _on_channels(layer, there.axes, back)
        if twin is None or sum(layer is other for other, *_ in nodes.values()) > 1:
            return None
        changed[end] = (twin, now)
        end, now = readers.get(end), end
    return None


def _on_channels(layer: Any, there: Shape, back: Shape) -> Layer | None:
    """Return the layer that does on maps what a layer does with the channels last; None if there is none."""
    if isinstance(layer, Elementwise | Dropout):
        return layer
    if isinstance(layer, LayerNorm) and layer.axis is None and len(layer.normalized_shape) == 1:
        norm = LayerNorm(layer.normalized_shape, layer.eps, axis=1)
        norm.params.update(layer.params)
        return norm
    if not isinstance(layer, Sequential):
        return None
    # Its first layer moves the channels back, one of its last moves them behind the others again.
    children = [*layer.children.items()]
    while children and isinstance(children[-1][1], Elementwise | Dropout):
        children.pop()
    ends = [children[0][1], children[-1][1]] if len(children) > 1 else []
    if [end.axes for end in ends if isinstance(end, Transpose)] != [back, there]:
        return None
    return Sequential(**{name: child for name, child in layer.children.items() if child not in ends})
