"""List the layers of a network as nodes in the order of computation, ready to be lowered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from neocog.compilation.cut import CUT
from neocog.compilation.emitter import Lowering, Use, lowering_of
from neocog.compilation.nodes import LayerNode, TensorNode, Uncompilable, features
from neocog.layers import Container
from neocog.layers.base import Layer, Shape

__all__ = ["list_nodes"]


def _supported(layer: Layer, given: Sequence[Shape], shape: Shape, use: Use) -> Lowering:
    """Return the compiled form of a layer for these shapes; raise Uncompilable if it has none."""
    lowering = lowering_of(type(layer))
    if lowering is None:
        raise Uncompilable(f"{type(layer).__name__} has no compiled form")
    for each in (*given, shape):
        features(each, use.N)
    lowering.supports(layer, given, shape, use)
    return lowering


def list_nodes(
    network: Layer, input_shape: tuple[int, ...], use: Use
) -> tuple[TensorNode, list[LayerNode], TensorNode]:
    """Return the input value, the nodes in order, and the output value.

    ``input_shape`` is that of a batch. A layer without a compiled form becomes a cut.

    Raises
    ------
    Uncompilable
        If a layer with parameters occurs at several places.
    """
    nodes: list[LayerNode] = []
    seen: set[int] = set()
    unsure: list[str] = []  # layers that inherit ``output_shape``, which may be wrong for them

    def visit(name: str, layer: Layer, value: Any, frozen: bool | None = None) -> Any:
        if isinstance(layer, Container) and layer.runs_children:
            prefix, marks = f"{name}." if name else "", layer._frozen
            return layer.flow(lambda child, each, x: visit(prefix + child, each, x, marks.get(child)), value)
        inputs = list(value) if isinstance(value, tuple) else [value]
        if id(layer) in seen and layer.params:
            raise Uncompilable(f"layer {name!r} occurs at several places")
        seen.add(id(layer))
        given: Any = tuple(v.array_shape for v in inputs)
        try:
            shape = layer.output_shape(given if layer.several_inputs else given[0])
        except ValueError:
            if unsure:
                raise Uncompilable(f"layer {unsure[0]!r} does not state output_shape") from None
            raise
        reason, training = "", use.training and not frozen
        try:
            lowering = _supported(layer, given, shape, replace(use, training=training))
        except Uncompilable as error:
            lowering, reason = CUT, str(error)
            if type(layer).output_shape is Layer.output_shape:
                unsure.append(name)
        output = TensorNode(tuple(shape))
        node = output.producer = LayerNode(
            name, layer, lowering, inputs, output, reason=reason, training=training, learns=frozen is None
        )
        for v in inputs:
            v.consumers.append(node)
        nodes.append(node)
        return output

    start = TensorNode(tuple(input_shape))
    end = visit("", network, start)
    if not nodes or not isinstance(end, TensorNode):
        raise Uncompilable("an empty network")
    for node in nodes:
        if not node.reason:
            for v in (*node.inputs, node.output):
                v.laid_out, v.shape = True, features(v.array_shape, use.N)
    _fuse(nodes)
    return start, nodes, end


def _fuse(nodes: list[LayerNode]) -> None:
    """Fuse each ReLU or clip into the layer before it, where nothing else reads the value between them."""
    for node in nodes:
        before = node.input.producer
        if (
            node.lowering.bounds(node.layer)
            and before is not None
            and before.lowering.takes_clip
            and node.input.alone
            and before.clip is None
        ):
            before.clip = node
            node.fused = True
            between = node.output
            between.producer = before
            before.output = between
