"""Build a network while a module is traced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, cast

from torch.utils._pytree import tree_map_only

from neocog import errors
from neocog.interop.nesting import Nodes, assemble, needed
from neocog.interop.patterns import merged
from neocog.layers import (
    Dropout,
    Elementwise,
    Flatten,
    Graph,
    Layer,
    LayerNorm,
    MaxPool2D,
    Reshape,
    Slice,
    Transpose,
)
from neocog.layers.base import Shape

BATCH = 7919
"""Stands for the batch size where a module reads it: a prime that is no size of a map."""

MOVED_BATCH = "it moves the batch away from the first axis"


class UnsupportedError(errors.UnsupportedError):
    """Something in a PyTorch module has no counterpart in neocog, or a layer has none in PyTorch.

    Attributes
    ----------
    place : str or None
        The function or module, and the path to it.
    """

    place: str | None = None


class ConversionWarning(UserWarning):
    """What of a PyTorch module was not taken over, though the rest was."""


def with_location(error: Exception, place: str) -> UnsupportedError:
    """Return an UnsupportedError with the place in its message, unless the error has one already."""
    if isinstance(error, UnsupportedError) and error.place:
        return error
    result = UnsupportedError(f"{place}: {str(error).removesuffix('.')}.")
    result.place = place
    return result


@dataclass(eq=False)
class TracedValue:
    """A symbolic tensor: the node that computes it, and its shape without the batch if that is known.

    ``mixed`` says that its first axis may be another than the batch, as after ``view(-1, 4)`` of a tensor of
    unknown shape. ``narrow`` is the value that this one repeats along axes where that has size 1. ``rank`` is
    the number of axes with the batch, which may be known where the shape is not.
    """

    name: str
    shape: Shape | None
    base: TracedValue | None = None
    mixed: bool = False
    narrow: TracedValue | None = None
    rank: int | None = None

    @property
    def root(self) -> TracedValue:
        """Return the value whose memory this one shares."""
        return self if self.base is None else self.base.root


def known(value: TracedValue, why: str) -> Shape:
    """Return the shape of a value; raise UnsupportedError if it is unknown."""
    if value.shape is None:
        raise UnsupportedError(f"{why} needs the sizes of the maps: pass input_shape=(C, H, W)")
    return value.shape


def check_batch_axis(value: TracedValue) -> None:
    """Raise UnsupportedError if the first axis of a value may be another than the batch."""
    if value.mixed:
        known(value, "the batch, which may have been joined with other axes or moved,")


def values_in(argument: Any) -> list[TracedValue]:
    """List the values in an argument, which may be a list or a dict of them."""
    if isinstance(argument, Mapping):
        argument = list(argument.values())
    if isinstance(argument, tuple | list):
        return [value for part in argument for value in values_in(part)]
    return [argument] if isinstance(argument, TracedValue) else []


class Builder:
    """Collects the nodes of one container.

    ``reserved`` are the names of the module's children; other nodes get other names.
    """

    def __init__(self, inputs: Sequence[TracedValue], reserved: Iterable[str] = ()) -> None:
        self.inputs = list(inputs)
        self.nodes: Nodes = {}
        self.writes = False
        """Whether the module writes into an input."""
        self.overwritten: list[tuple[TracedValue, TracedValue | None]] = []
        """Values written into since this was last cleared, each with its new value if that has a name."""
        self._shapes = {value.name: value.shape for value in inputs}
        self._children = {*reserved}
        self._reserved = self._children | {value.name for value in inputs}

    def free(self, name: str, child: bool = False) -> str:
        """Return a name that no node has, the child's own at its first call."""
        if child and name not in self.nodes:
            return name
        names = (f"{name}_{k}" if k else name for k in count())
        return next(n for n in names if n not in self.nodes and n not in self._reserved)

    def add(self, name: str, layer: Layer, *values: TracedValue) -> TracedValue:
        """Apply a layer, at a new node."""
        if isinstance(layer, Flatten):  # the result is the same for the value before the reshape
            values = tuple(map(self._before_reshapes, values))
        self.nodes[name] = (layer, *(value.name for value in values))
        shared = values[0] if shares_memory(layer) else None
        shape = output_shape(layer, values)
        self._shapes[name] = shape
        mixed = shape is None and (not keeps_batch(layer) or any(value.mixed for value in values))
        return TracedValue(name, shape, shared, mixed, rank=_rank(layer, shape, values[0]))

    def is_child(self, name: str) -> bool:
        """Return whether a name is that of a child of the module, or within one."""
        return name.partition(".")[0] in self._children

    def splice(self, name: str, layer: Any, owner: str, outer: Sequence[TracedValue]) -> TracedValue:
        """Apply the layers of a container one by one, so that the arrays of one of them keep its name."""
        inputs = layer.inputs if isinstance(layer, Graph) else ("",)
        values, last = dict[str, TracedValue](zip(inputs, outer, strict=True)), inputs[0]
        for child, each in layer.children.items():
            sources = layer.sources[child] if isinstance(layer, Graph) else (last,)
            node = self.free(name, child=True) if child == owner else self.free(f"{name}_{child}")
            values[child] = self.add(node, each, *(values[source] for source in sources))
            last = child
        return values[layer.output if isinstance(layer, Graph) else last]

    def inline(self, name: str, inner: Builder, outer: Sequence[TracedValue], output: Any) -> Any:
        """Take over the nodes of a module that returns several values; return these in its form."""
        names = (f"{name}_{k}" if k else name for k in count())
        prefix = next(n for n in names if not any(f"{node}.".startswith(f"{n}.") for node in self.nodes))
        known = dict(zip((value.name for value in inner.inputs), outer, strict=True))
        renamed = {node: f"{prefix}.{node}" for node in inner.nodes}
        renamed |= {mine: value.name for mine, value in known.items()}
        for node, (layer, *sources) in inner.nodes.items():
            self.nodes[renamed[node]] = (layer, *(renamed[source] for source in sources))

        def outside(value: TracedValue) -> TracedValue:
            if value.name in known:
                return known[value.name]
            base = value.base and outside(value.base)
            return TracedValue(renamed[value.name], value.shape, base, value.mixed, rank=value.rank)

        return tree_map_only(TracedValue, outside, output)

    def _before_reshapes(self, value: TracedValue) -> TracedValue:
        while value.base is not None:
            layer, *_ = self.nodes.get(value.name, (None,))  # an input has no node
            if not isinstance(layer, Reshape) or not keeps_batch(layer):
                break
            value = value.base
        return value

    def overwrite(self, value: TracedValue, result: TracedValue | None = None) -> None:
        """Record that a module writes into a value, and the result if it has a name."""
        self.writes = self.writes or value.root in self.inputs
        self.overwritten.append((value, result))
        if result is not None and result is not value:
            result.base = value

    def used(self, output: TracedValue) -> set[str]:
        """Return the names of the nodes and inputs that lead to an output."""
        nodes = needed(self.nodes, output.name)
        return {*nodes}.union(*(sources for _, *sources in nodes.values()))

    def finish(self, output: TracedValue, chain: bool = True, merge: bool = True) -> Layer:
        """Return the container: a Sequential if the nodes are a chain, unless ``chain=False``.

        Where they are one function of the inputs, that layer itself. ``merge`` nodes that are one together.
        """
        nodes, end = needed(self.nodes, output.name), output.name
        if merge:
            nodes, end = merged(nodes, end, self._shapes, self._children)
        inputs = [value.name for value in self.inputs]
        unread = {*inputs}.difference(*(sources for _, *sources in nodes.values()))
        if unread:
            raise UnsupportedError(f"its inputs {sorted(unread)} do not lead to its output")
        ((name, (layer, *sources)), *others) = nodes.items()
        if not others and chain and sources == inputs and name.split(".")[0] not in self._children:
            return cast(Layer, layer)
        return assemble(nodes, inputs, end, chain)


def output_shape(layer: Layer, values: Sequence[TracedValue]) -> Shape | None:
    """Return the shape of a layer's output, without the batch; None if an input's shape is unknown."""
    shapes = [(BATCH, *value.shape) for value in values if value.shape is not None]
    if len(shapes) < len(values):
        return None
    try:
        given: Any = tuple(shapes) if layer.several_inputs else shapes[0]
        batch, *rest = layer.output_shape(given)
    except ValueError as error:
        raise UnsupportedError(str(error).replace(f"({BATCH}, ", "(N, ")) from None
    if batch != BATCH:
        raise UnsupportedError(MOVED_BATCH)
    return tuple(rest)


def _rank(layer: Layer, shape: Shape | None, x: TracedValue) -> int | None:
    """Return the number of axes of a layer's output, as far as it is known."""
    if shape is not None:
        return len(shape) + 1
    if isinstance(layer, Transpose):
        return len(layer.axes)
    return x.rank if isinstance(layer, Elementwise | LayerNorm | Dropout) else None


def keeps_batch(layer: Layer) -> bool:
    """Return whether a layer keeps the position and the size of the first axis, for any shape."""
    return all(
        (not isinstance(leaf, Reshape) or leaf.shape[0] == 0)
        and (not isinstance(leaf, Transpose) or leaf.axes[0] == 0)
        for _, leaf in layer.leaves()
    )


def shares_memory(layer: Layer) -> bool:
    """Return whether PyTorch's counterpart may return a view of its input."""
    return all(
        isinstance(leaf, Flatten | Reshape | Transpose | Dropout | Slice)
        or (isinstance(leaf, MaxPool2D) and leaf.kernel_size == (1, 1))
        for _, leaf in layer.leaves()
    )
