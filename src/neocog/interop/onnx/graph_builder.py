"""Build a network while an ONNX graph is read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx

from neocog.budgets import BudgetError, check_budget, limit, over_budget
from neocog.interop.nesting import Nodes, has_arrays
from neocog.interop.onnx.naming import DEEPEST, dotted_name
from neocog.interop.onnx.symbolic import Known, Shapes, SymbolicValue, target
from neocog.layers import Flatten, Layer, Reshape
from neocog.validation import RandomSource, generator


@dataclass(frozen=True)
class Pixels:
    """Represent ``scale x + offset`` of the network's input x, with one number for each channel."""

    x: SymbolicValue
    scale: np.ndarray
    offset: np.ndarray


def check_values(shapes: Shapes, subject: str) -> None:
    """Raise BudgetError if a value has more numbers for one image than the budget "values".

    Where the model leaves sizes open, those tried are larger than what it is made for; then 16 times as many.
    """
    first, second = (math.prod(shape[1:]) for shape in shapes)
    check_budget("values", first if first == second else min(first, second) // 16, subject)


def _per_channel(array: Any, channels: int) -> bool:
    shape = np.shape(array)
    return (1,) * (4 - len(shape)) + shape in ((1, 1, 1, 1), (1, channels, 1, 1))


class GraphBuilder:
    """Collect the layers of a network, and what is known about the values between them.

    Parameters
    ----------
    nodes : sequence of onnx.NodeProto
        The nodes between the inputs and the output.
    output : str
    opset : int
    values : mapping of str to SymbolicValue or Known
        The inputs and the initializers.
    rng : Generator, int or None
        Draws the masks of dropout layers.
    """

    def __init__(
        self,
        nodes: Sequence[onnx.NodeProto],
        output: str,
        opset: int,
        values: Mapping[str, SymbolicValue | Known],
        rng: RandomSource = None,
    ) -> None:
        self.opset, self.rng = opset, generator(rng)
        self.values = dict(values)
        self.layers: Nodes = {}
        self.uses = Counter([output, *(name for node in nodes for name in node.input)])
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in nodes:
            for name in dict.fromkeys(node.input):
                self.readers.setdefault(name, []).append(node)
        self.makers = {name: node for node in nodes for name in node.output}
        self.done: set[str] = set()
        self.placed: set[int] = set()
        # Reserved names: those of layers with weights.
        self.owners = {name.rpartition(".")[0] for name, value in values.items() if isinstance(value, Known)}
        # Scopes of node names, as PyTorch writes them, that contain further scopes.
        self.scopes = {
            "/".join(parts[:k])
            for parts in (node.name.strip("/").split("/") for node in nodes)
            for k in range(1, min(len(parts) - 1, DEEPEST))
        }
        self._names = {value.node for value in values.values() if isinstance(value, SymbolicValue)}
        self._parameters: dict[tuple[Any, ...], Layer] = {}
        self._reshaped: dict[tuple[str, Shapes], str] = {}
        self._inputs = frozenset(self._names)
        self.pixels: dict[str, Pixels] = {}
        self.multiples: dict[str, tuple[SymbolicValue, float]] = {}
        """Value and factor of each value that is the product of the two."""
        self.own_biases: set[int] = set()
        """Ids of the convolutions whose bias is not in the file."""
        in_file = sum(value.arrays[0].nbytes for value in values.values() if isinstance(value, Known))
        in_file += sum(a.ByteSize() for node in nodes if node.op_type == "Constant" for a in node.attribute)
        self._allowed = {
            "folded": limit("folded") + 4 * in_file,
            "weights": limit("weights") + in_file,  # up to four times as many, if they are float32
        }
        self._taken = dict.fromkeys(self._allowed, 0)

    def name(self, wanted: str) -> str:
        """Return an unused name for a layer, as close as possible to the wanted one."""
        base = dotted_name(wanted)
        name, number = base, 1
        while name in self._names:
            number += 1
            name = f"{base}_{number}"
        self._names.add(name)
        return name

    def charge(self, size: int) -> None:
        """Count bytes about to be allocated for computed constants; raise BudgetError beyond the limit."""
        self._charge("folded", size, "its result is too large: ")

    def charge_weights(self, count: int) -> None:
        """Count weights about to be allocated for layers; raise BudgetError beyond the limit."""
        self._charge("weights", count, "its weights are too many: ")

    def _charge(self, budget: str, asked: int, reason: str) -> None:
        self._taken[budget] += asked
        taken, allowed = self._taken[budget], self._allowed[budget]
        if taken > allowed:
            raise BudgetError(reason + over_budget(budget, taken, "the model", allowed))

    def check_weights(self, nodes: Sequence[onnx.NodeProto]) -> None:
        """Raise BudgetError if constants that these nodes read are too large to be copied into layers.

        All are known before the first is copied. Nodes that share one layer count once.
        """
        sizes: dict[tuple[Any, ...], int] = {}
        for node in nodes:
            known = [self.values[name] for name in node.input if isinstance(self.values.get(name), Known)]
            arrays = [value.arrays[0] for value in known if isinstance(value, Known)]
            attributes = sorted(each.SerializeToString(deterministic=True) for each in node.attribute)
            sizes[node.op_type, *map(id, arrays), *attributes] = sum(array.size for array in arrays)
        self.check_count(sum(sizes.values()))

    def check_count(self, count: int) -> None:
        """Raise BudgetError if an array has more numbers than the layers may have weights."""
        allowed = self._allowed["weights"]
        if count > allowed:
            raise BudgetError(over_budget("weights", count, "the model", allowed))

    def copied(self, array: np.ndarray, dtype: Any = None) -> np.ndarray:
        """Copy a constant, as a parameter that a layer can train."""
        self.charge_weights(array.size)
        return np.array(array, dtype, order="C")

    def note_pixels(self, x: SymbolicValue, y: SymbolicValue, scale: Any = 1.0, offset: Any = 0.0) -> None:
        """Record that ``y = scale x + offset``, if x is the network's input or a scaled form of it.

        y may be the node of x, whose layer has taken scale and offset into itself.
        """
        before = self.pixels.pop(x.node, None) if x.node == y.node else self.pixels.get(x.node)
        C = x.sizes[1] if x.rank == 4 and x.held == x.shape else None
        if C is None or not (_per_channel(scale, C) and _per_channel(offset, C)):
            return
        factor, term = (np.broadcast_to(np.ravel(each), C).astype("float64") for each in (scale, offset))
        if x.node in self._inputs:
            self.pixels[y.node] = Pixels(x, factor, term)
        elif before is not None and not x.shared:
            self.pixels[y.node] = Pixels(before.x, factor * before.scale, factor * before.offset + term)

    def add(self, wanted: str, layer: Layer, *sources: SymbolicValue) -> SymbolicValue:
        """Append a layer that reads values in the shapes in which the network holds them."""
        several = layer.several_inputs
        inputs: list[Any] = [
            tuple(x.held[k] for x in sources) if several else sources[0].held[k] for k in (0, 1)
        ]
        shapes = (tuple(layer.output_shape(inputs[0])), tuple(layer.output_shape(inputs[1])))
        check_values(shapes, f"its output, of shape {shapes[0]},")
        if wanted in self.owners and not has_arrays(layer):
            wanted = f"{wanted}_{type(layer).__name__.lower()}"
        self.placed.add(id(layer))
        name = self.name(wanted)
        self.layers[name] = (layer, *(x.node for x in sources))
        return SymbolicValue(name, shapes, shapes)

    def is_multiple(self, name: str, x: str, factor: float, rank: int) -> bool:
        """Return whether a value is computed as ``factor x`` or ``x / (1 / factor)``, with the rank of x."""
        maker = self.makers.get(name)
        if maker is None or maker.op_type not in ("Mul", "Div") or x not in maker.input:
            return False
        place = list(maker.input).index(x)
        other = self.values.get(maker.input[1 - place])
        if (
            not isinstance(other, Known)
            or not other.is_fixed
            or other.arrays[0].size != 1
            or other.rank > rank
        ):
            return False
        number = other.arrays[0].item()
        return number == factor if maker.op_type == "Mul" else place == 0 and number == 1 / factor

    def put(self, layer: Layer, x: SymbolicValue) -> None:
        """Replace the layer that computes a value, and keep its sources."""
        _, *sources = self.layers[x.node]
        self.layers[x.node] = (layer, *sources)
        self.multiples.pop(x.node, None)

    def settled(self, value: SymbolicValue) -> SymbolicValue:
        """Return a value that the network holds in its ONNX shape; append a Flatten or Reshape if needed."""
        if value.held == value.shape:
            return value
        key = (value.node, value.shape)
        if key not in self._reshaped:
            flat = tuple((held[0], math.prod(held[1:])) for held in value.held if held)
            layer: Layer
            if value.shape == flat:
                layer = Flatten()
            else:
                sizes = target(value.shape, value.held)
                if sizes is None:
                    raise ValueError(f"its shape {value.sizes} depends on the batch in several places")
                layer = Reshape(sizes)
            self._reshaped[key] = self.add(value.view or "reshape", layer, value).node
        return replace(value, node=self._reshaped[key], held=value.shape)

    def with_parameters(self, key: tuple[Any, ...], make: Callable[[], Layer]) -> Layer:
        """Return the layer with these arrays, made at the first call, so that weights stay shared."""
        if key not in self._parameters:
            self._parameters[key] = make()
        return self._parameters[key]
