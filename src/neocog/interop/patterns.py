"""Recognise nodes that are something else together: shuffles, work on channels moved last, padding."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from neocog.interop.nesting import Nodes, apart, needed, renamed
from neocog.layers import (
    AvgPool2D,
    ChannelShuffle,
    Conv2D,
    Dropout,
    Elementwise,
    Layer,
    LayerNorm,
    MaxPool2D,
    Pad2D,
    Reshape,
    Sequential,
    Transpose,
)
from neocog.layers.base import Shape


def merged(
    nodes: Nodes, output: str, shapes: Mapping[str, Shape | None], children: Collection[str] = ()
) -> tuple[Nodes, str]:
    """Replace nodes that are one layer only together; return all nodes and the output.

    Reshape, Transpose and Reshape that interleave groups of channels become a ChannelShuffle. A Transpose
    of the channels behind the other axes, and the one back, are omitted where what lies between can work on
    the channels where they are. A padding that is no module of its own, whose names are ``children``, goes
    into the convolution or pooling after it. ``shapes`` are those of the values, without the batch.
    """
    for name in [*nodes]:
        readers = _only_readers(nodes, output)
        found = None
        if name in nodes and isinstance(nodes[name][0], Transpose):
            found = _shuffle(nodes, readers, name, shapes) or _in_place(nodes, readers, name)
        elif name in nodes and isinstance(nodes[name][0], Pad2D) and name.partition(".")[0] not in children:
            found = _padding(nodes, readers, name, shapes)
        nodes, output = _replaced(nodes, output, found)
    return nodes, output


def channels_in_place(nodes: Nodes, output: str) -> tuple[Nodes, str]:
    """Omit each Transpose of the channels behind the other axes, and the one back, where that can be."""
    for name in [*nodes]:
        if name in nodes and isinstance(nodes[name][0], Transpose):
            found = _in_place(nodes, _only_readers(nodes, output), name)
            nodes, output = _replaced(nodes, output, found)
    return nodes, output


def _replaced(nodes: Nodes, output: str, found: tuple[Nodes, str, str] | None) -> tuple[Nodes, str]:
    """Return the nodes that were found to be simpler, and their output, unless nothing would be left."""
    if found is not None:
        changed, end, now = found
        last = now if output == end else output
        if last in changed:
            return needed(changed, last), last
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


def _padding(
    nodes: Nodes, readers: Mapping[str, str], name: str, shapes: Mapping[str, Shape | None]
) -> tuple[Nodes, str, str] | None:
    """Return the nodes without a padding, its name, and what it pads; the layer after it pads."""
    (pad, source), after = nodes[name], readers.get(name)
    if after is None or sum(nodes[after][0] is other for other, *_ in nodes.values()) > 1:
        return None
    twin = _padded(nodes[after][0], pad, shapes.get(source))
    if twin is None:
        return None
    changed = {n: (twin, source) if n == after else node for n, node in nodes.items() if n != name}
    return changed, name, source


def _padded(layer: Layer, pad: Pad2D, shape: Shape | None) -> Layer | None:
    """Return the layer that does to images what a layer does to padded ones; None if there is none."""
    if not isinstance(layer, Conv2D | MaxPool2D | AvgPool2D) or layer.sides is None or pad.mode != "constant":
        return None
    if pad.value != (-math.inf if isinstance(layer, MaxPool2D) else 0):
        return None
    if not isinstance(layer, Conv2D) and (layer.ceil_mode or shape is None):
        return None  # where the windows end depends on what is image
    if isinstance(layer, AvgPool2D) and not layer.count_include_pad:
        return None
    (top, bottom), (left, right) = layer.sides
    (above, below), (before, behind) = pad.padding
    sides = (top + above, bottom + below), (left + before, right + behind)
    try:
        twin = layer.from_config(layer.config() | {"padding": sides})
        if shape is not None:
            twin.output_shape((1, *shape))
    except ValueError:  # a window would lie wholly in the padding
        return None
    twin.params.update(layer.params)
    return twin


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
