"""Decide what is drawn of a network: boxes, from top to bottom, and shortcuts beside them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from neocog.layers import (
    Add,
    BatchNorm1D,
    BatchNorm2D,
    Bias,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Dropout,
    Elementwise,
    Graph,
    GroupNorm,
    Layer,
    LayerNorm,
    LocalResponseNorm,
    LogSoftmax,
    PReLU,
    Sequential,
    Softmax,
    SparseConv2D,
)

FOLLOWERS = (
    Elementwise,
    PReLU,
    BatchNorm1D,
    BatchNorm2D,
    GroupNorm,
    LayerNorm,
    LocalResponseNorm,
    Bias,
    Dropout,
    Softmax,
    LogSoftmax,
)
"""Layers that may share the box of the layer before them."""
BLOCKS, STAGES = 2, 3  # coarseness: a block is one box; so are the blocks of a stage

Shape = tuple[int, ...]
Shortcut = tuple[str, str, list[str]]
"""The node whose value it carries, the node that reads it, and the nodes on it."""


@dataclass
class Arc:
    """A shortcut from below the box ``start`` (-1: from the input) to the box ``end``."""

    start: int
    end: int
    aside: Box | None = None
    """The layers on the shortcut."""


@dataclass
class Box:
    """One or several layers, drawn as a box."""

    names: list[str]
    kind: str
    layers: list[Layer]
    shape: Shape
    parameters: int
    more: list[str] = field(default_factory=list)
    """What else is in the box."""
    bypassed: bool = False
    """Whether there is a shortcut around this box alone."""
    aside: Box | None = None
    """The layers on that shortcut."""


class Plan:
    """The boxes and the arcs of a network with an input of some shape, which has the number of images first.

    At coarseness 1 some layers share the box of the layer before them. At 2 a block with a shortcut is one
    box, and so are equal boxes one after another; at 3 the blocks of a stage are one, whatever their strides.
    """

    def __init__(self, network: Layer, shape: Shape, coarseness: int) -> None:
        self.coarseness = coarseness
        self.boxes: list[Box] = []
        self.arcs: list[Arc] = []
        self._closed = -1  # the last box whose output a shortcut reads: no other layer may share it
        self._counted: set[int] = set()
        self._add("", network, shape)
        if coarseness >= BLOCKS and not self.arcs:
            self.boxes = _joined(self.boxes, coarseness == STAGES)

    @property
    def size(self) -> int:
        """How many boxes high it is, about: one with a shortcut around it takes the place of two."""
        return sum(1 + box.bypassed for box in self.boxes)

    def _add(self, name: str, layer: Layer, shape: Any) -> Any:
        """Add a layer with an input of this shape, and return the shape of its output."""
        if isinstance(layer, Sequential):
            for child, part in layer.children.items():
                shape = self._add(f"{name}.{child}" if name else child, part, shape)
            return shape
        made = layer.output_shape(shape)
        way = main_path(layer) if isinstance(layer, Graph) else None
        if isinstance(layer, Graph) and way is not None:
            nodes, shortcuts = way
            if shortcuts and name and self.coarseness >= BLOCKS:
                self._block(name, layer, nodes, shortcuts, shape)
            else:
                self._graph(name, layer, nodes, shortcuts, shape)
        elif self._shares(layer, made == shape):
            box = self.boxes[-1]
            box.layers.append(layer)
            box.more.append(_bare(layer))
            box.parameters += self._new_parameters([layer])
        else:
            self.boxes.append(self._box(name or type(layer).__name__, kind(layer), [layer], made))
        return made

    def _shares(self, layer: Layer, keeps_shape: bool) -> bool:
        """Tell whether a layer goes into the last box."""
        return (
            self.coarseness > 0
            and isinstance(layer, FOLLOWERS)
            and keeps_shape
            and len(self.boxes) - 1 > self._closed
        )

    def _box(self, name: str, words: str, layers: list[Layer], shape: Shape) -> Box:
        return Box([name], words, layers, tuple(shape[1:]), self._new_parameters(layers))

    def _new_parameters(self, layers: Iterable[Layer]) -> int:
        """Return how many parameters the layers have that no layer before has."""
        count = 0
        for array in (array for layer in layers for array in layer.params.values()):
            count += 0 if id(array) in self._counted else int(array.size)
            self._counted.add(id(array))
        return count

    def _graph(
        self, name: str, graph: Graph, nodes: list[str], shortcuts: list[Shortcut], shape: Shape
    ) -> None:
        """Add the boxes along a graph's main path, and its shortcuts as arcs."""
        values, shapes = _shapes(graph, shape)
        sources = {source for source, *_ in shortcuts}
        last = {graph.inputs[0]: len(self.boxes) - 1}
        for node in (graph.inputs[0], *nodes):
            if node in graph.children:
                self._add(f"{name}.{node}" if name else node, graph.children[node], values[node])
                last[node] = len(self.boxes) - 1
            if node in sources:
                self._closed = last[node]
            for source, target, chain in shortcuts:
                if target == node:
                    self.arcs.append(Arc(last[source], last[node], self._aside(graph, chain, shapes)))

    def _aside(self, graph: Graph, chain: list[str], shapes: dict[str, Shape]) -> Box | None:
        if not chain:
            return None
        leaves = [leaf for node in chain for _, leaf in graph.children[node].leaves()]
        return self._box(", ".join(chain), _contents(leaves), leaves, shapes[chain[-1]])

    def _block(
        self, name: str, graph: Graph, nodes: list[str], shortcuts: list[Shortcut], shape: Shape
    ) -> None:
        """Add a graph with shortcuts as one box; if it has only one, that is drawn around it."""
        _, shapes = _shapes(graph, shape)
        adds = all(isinstance(graph.children[target], Add) for _, target, _ in shortcuts)
        words = "residual block" if adds else type(graph).__name__
        leaves = [leaf for node in nodes for _, leaf in graph.children[node].leaves()]
        box = self._box(name, words, leaves, shapes[graph.output])
        box.layers, box.more = [graph], [_contents(leaves)]
        if len(shortcuts) == 1:
            box.bypassed, box.aside = True, self._aside(graph, shortcuts[0][2], shapes)
        else:
            box.parameters += self._new_parameters([graph])
        self.boxes.append(box)


def main_path(graph: Graph) -> tuple[list[str], list[Shortcut]] | None:
    """Return the longest path through a graph, and the shortcuts beside it; None if there is more than that.

    A shortcut leads from one node of the path to a later one, perhaps through a chain of others.
    """
    if graph.several_inputs:
        return None
    start = graph.inputs[0]
    length, before = {start: 0}, {}
    for node in graph.children:
        before[node] = max(graph.sources[node], key=lambda source: length[source])
        length[node] = length[before[node]] + 1
    path = [graph.output]
    while before[path[0]] != start:
        path.insert(0, before[path[0]])
    readers = {node: sum(node in sources for sources in graph.sources.values()) for node in graph.children}
    shortcuts: list[Shortcut] = []
    for target in path:
        others = list(graph.sources[target])
        others.remove(before[target])
        for source in others:
            chain: list[str] = []
            while source != start and source not in path:
                if len(graph.sources[source]) > 1 or readers[source] > 1:
                    return None
                chain.insert(0, source)
                source = graph.sources[source][0]
            shortcuts.append((source, target, chain))
    drawn = len(path) + sum(len(chain) for *_, chain in shortcuts)
    return (path, shortcuts) if drawn == len(graph.children) and not _crossed(path, shortcuts) else None


def _crossed(path: list[str], shortcuts: list[Shortcut]) -> bool:
    """Tell whether two shortcuts with layers of their own lie beside the same node."""
    spans = [
        range(path.index(source) + 1 if source in path else 0, path.index(target))
        for source, target, chain in shortcuts
        if chain
    ]
    return len({k for span in spans for k in span}) < sum(map(len, spans))


def _shapes(graph: Graph, shape: Shape) -> tuple[dict[str, Any], dict[str, Shape]]:
    """Return the shape that each node of a graph gets, and the one that it makes."""
    values: dict[str, Any] = {}
    shapes: dict[str, Shape] = {}

    def step(name: str, layer: Layer, value: Any) -> Any:
        values[name], shapes[name] = value, layer.output_shape(value)
        return shapes[name]

    graph.flow(step, shape)
    return values, shapes


def _joined(boxes: list[Box], stages: bool) -> list[Box]:
    """Join boxes that follow each other and are equal, or are blocks of one stage."""
    found: list[Box] = []
    for box in boxes:
        last = found[-1] if found else None
        if last and (_equal(last, box) or (stages and _of_one_stage(last, box))):
            if last.aside and len(last.names) == 1:
                last.aside.more.append("in the first block")
            last.names += box.names
            last.parameters += box.parameters
        else:
            found.append(box)
    return found


def _equal(one: Box, other: Box) -> bool:
    return one.shape == other.shape and repr(one.layers) == repr(other.layers)


def _of_one_stage(one: Box, other: Box) -> bool:
    stage = other.names[0].rpartition(".")[0]
    alike = one.bypassed and other.bypassed and one.more == other.more and one.shape == other.shape
    return alike and stage != "" and one.names[0].rpartition(".")[0] == stage


def kind(layer: Layer) -> str:
    """Return what a layer is: its class, and the sizes that matter.

    Examples
    --------
    >>> kind(Conv2D(1, 3, 5, stride=2)), kind(Dense(27, 3))
    ('Conv2D 5 × 5, stride 2', 'Dense 27 → 3')
    >>> kind(ConvTranspose2D(4, 2, 2, stride=2, groups=2))
    'ConvTranspose2D 2 × 2, stride 2, 2 groups'
    """
    words = " ".join(filter(None, (type(layer).__name__, _size(layer))))
    stride = getattr(layer, "stride", None)
    moves = isinstance(layer, Conv2D | ConvTranspose2D | SparseConv2D)
    usual = (1, 1) if moves else getattr(layer, "kernel_size", None)
    if stride is not None and stride != usual:
        words += f", stride {stride[0] if stride[0] == stride[1] else stride}"
    if isinstance(layer, Conv2D | ConvTranspose2D) and layer.groups > 1:
        words += f", {layer.groups} groups"
    leaves = len(list(layer.leaves()))
    return words if leaves == 1 else f"{words} of {leaves} layers"


def _size(layer: Layer) -> str:
    """Return the size of a layer's window, or the numbers of its features."""
    if isinstance(layer, Dense):
        return f"{layer.in_features} → {layer.out_features}"
    size = getattr(layer, "kernel_size", None)
    return "" if size is None else f"{size[0]} × {size[1]}"


def _contents(layers: list[Layer]) -> str:
    """Return the classes and sizes of the layers that are neither activations nor normalisations."""
    words: list[str] = []
    last = ""
    for layer in (layer for layer in layers if not isinstance(layer, (*FOLLOWERS, Add))):
        name, size = type(layer).__name__, _size(layer)
        words.append(size if size and name == last else f"{name} {size}".strip())
        last = name
    return ", ".join(words or map(_bare, layers))


def _bare(layer: Layer) -> str:
    return type(layer).__name__.removesuffix("1D").removesuffix("2D")
