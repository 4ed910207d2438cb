"""A network as a list of nodes in the order of computation, ready to be lowered."""

from __future__ import annotations

from typing import Any

from neocog.compilation.emitter import lowering_of
from neocog.compilation.nodes import LayerNode, TensorNode, Uncompilable, features
from neocog.layers import Container, Graph, LogSoftmax, Sequential, Softmax
from neocog.layers.base import Layer

__all__ = ["trace"]


def _check_containers(network: Layer) -> None:
    """Raise Uncompilable if a container computes in a way of its own."""
    if isinstance(network, Container):
        if type(network).forward not in (Sequential.forward, Graph.forward):
            raise Uncompilable(f"{type(network).__name__} has a forward of its own")
        for layer in network.children.values():
            _check_containers(layer)


def trace(
    network: Layer, input_shape: tuple[int, ...], training: bool
) -> tuple[TensorNode, list[LayerNode], TensorNode, Layer | None]:
    """Return input, nodes, output and what is left to do; Uncompilable if a layer has no compiled form.

    ``input_shape`` is (N, C, H, W). Left to do is a softmax at the very end, of a few numbers.
    """
    _check_containers(network)
    left: list[Layer] = []
    nodes: list[LayerNode] = []
    seen: set[int] = set()

    def visit(name: str, layer: Layer, value: Any) -> Any:
        inputs = list(value) if isinstance(value, tuple) else [value]
        if type(layer) in (Softmax, LogSoftmax) and not left:
            left.append(layer)
            return value
        lowering = lowering_of(type(layer))
        if lowering is None or left:
            raise Uncompilable(f"{type(layer).__name__} has no compiled form")
        if id(layer) in seen and layer.params:
            raise Uncompilable(f"layer {name!r} stands at several places")
        seen.add(id(layer))
        given: Any = tuple(v.array_shape for v in inputs)
        shape = layer.output_shape(given if layer.several_inputs else given[0])
        lowering.supports(layer, given, shape, training)
        output = TensorNode(shape, features(shape))
        node = LayerNode(name, layer, lowering, inputs, output)
        output.producer = node
        for v in inputs:
            v.consumers.append(node)
        nodes.append(node)
        return output

    start = TensorNode(tuple(input_shape), features(input_shape))
    end = network.walk(visit, start)
    if not nodes or not isinstance(end, TensorNode):
        raise Uncompilable("an empty network")
    if left and (end.consumers or end is start):
        raise Uncompilable("a softmax that is not the end of all")
    _fuse(nodes)
    return start, nodes, end, left[0] if left else None


def _fuse(nodes: list[LayerNode]) -> None:
    """Let a ReLU be done by the layer before it, where nothing else reads what lies between."""
    for node in nodes:
        before = node.input.producer
        if (
            node.lowering.is_relu
            and before is not None
            and before.lowering.takes_relu
            and node.input.alone
            and before.relu is None
        ):
            before.relu = node
            node.fused = True
            between = node.output
            between.producer = before
            before.output = between
