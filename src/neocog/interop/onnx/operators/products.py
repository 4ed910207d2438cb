"""Read Mul and Div: products of computed values; by a constant, scale the layer before, or append one."""

from __future__ import annotations

import math

import numpy as np

from neocog.interop.onnx.graph_builder import GraphBuilder
from neocog.interop.onnx.import_node import Node, reads
from neocog.interop.onnx.operators.bias import repeated
from neocog.interop.onnx.operators.merge import joined
from neocog.interop.onnx.symbolic import Known, SymbolicValue
from neocog.interop.onnx.weights import per_channel, with_arrays
from neocog.layers import (
    AvgPool2D,
    BatchNorm1D,
    BatchNorm2D,
    Conv2D,
    Dense,
    GroupNorm,
    Layer,
    Multiply,
    Power,
    Rescale,
    Scale,
)


@reads("Mul", "Div")
def read_product(node: Node) -> SymbolicValue:
    """Read a product of computed values, or with a constant, folded into the layer before if possible."""
    if len(node.inputs) == 2 and all(isinstance(source, SymbolicValue) for source in node.inputs):
        if node.operator == "Mul":
            return joined(node, Multiply())
        x, divisor = (source for source in node.inputs if isinstance(source, SymbolicValue))
        return node.apply(Multiply(), x, node.apply(Power(-1), divisor))
    if node.operator == "Div" and isinstance(node.inputs[0], Known):
        y = node.elementwise(Power(-1), 1)
        return y if node.scalar(0, y.rank) == 1 else _product(node, y, node.weights(0), 0)
    swapped = node.operator == "Mul" and isinstance(node.inputs[0], Known)
    x, k = node.value(int(swapped)), int(not swapped)
    factor = node.weights(k)
    if node.operator == "Div":
        if not factor.all():
            node.fail("it divides by zero")
        factor = 1 / factor
    rank = factor.ndim
    y = _product(node, x, factor.reshape(()) if factor.size == 1 else factor, k)
    return y if rank <= x.rank else node.viewed(y, lambda s: (*[1] * (rank - x.rank), *s))


def _product(node: Node, x: SymbolicValue, factor: np.ndarray, k: int) -> SymbolicValue:
    """Multiply by a constant, the k-th input: scale the weights of the layer before, or append a layer.

    A number without axes is fixed, as in a program; any other array is learned, but for one named ``scale``.
    """
    x = repeated(node, x, factor.shape)
    label, rank = node.known(k).label, node.known(k).rank
    own = label.endswith(".weight") and node.learned_place(k) == node.place != x.node
    fixed = label.endswith((".scale", "/scale"))
    before = node.builder.layers.get(x.node, (None,))[0]
    scaled = None if x.shared or own or fixed else _scaled(node.builder, before, x, factor)
    if scaled is not None:
        node.builder.put(scaled, x)
        node.builder.note_pixels(x, x, scale=factor)
        return x
    if any(one not in (1, size) for one, size in zip(factor.shape[::-1], x.sizes[::-1], strict=False)) or (
        factor.ndim > x.rank
    ):
        node.unsupported(f"its factor of shape {factor.shape} would repeat an input of shape {x.sizes}")
    layer: Layer
    if factor.size == 1 and (fixed or rank == 0) and not label.endswith(".weight"):
        number = node.number(k)
        layer = Rescale(1 / number if node.operator == "Div" and k else number)
    elif fixed:
        layer = Rescale(node.builder.copied(factor), dtype=factor.dtype)
    else:
        layer = Scale(factor.shape, dtype=factor.dtype)
        layer.params["weight"] = node.builder.copied(factor)
    y = node.apply(layer, x, place=node.learned_place(k) if own else "")
    node.builder.note_pixels(x, y, scale=factor)
    if factor.size == 1:
        node.builder.multiples[y.node] = x, factor.item()
    return y


def _scaled(builder: GraphBuilder, layer: Layer | None, x: SymbolicValue, factor: np.ndarray) -> Layer | None:
    """Return a layer whose outputs ``x`` are scaled, None if that is not possible."""
    if isinstance(layer, AvgPool2D) and factor.size == 1 and layer.count_include_pad and not layer.ceil_mode:
        divided = layer.divisor_override or math.prod(layer.kernel_size)
        size = divided / factor.item() if factor.item() > 0 else 0
        divisor = round(size)
        config = layer.config() | {"divisor_override": divisor}
        return AvgPool2D(**config) if divisor and abs(size - divisor) < 1e-6 * divisor else None
    scale = per_channel(layer, x, factor)
    if layer is None or scale is None:
        return None
    builder.charge_weights(sum(array.size for array in layer.params.values()))
    if isinstance(layer, Dense | Conv2D):
        weight = layer.params["weight"]
        across = scale if isinstance(layer, Dense) else scale[:, None, None, None]
        bias = layer.params["bias"] * scale if layer.bias else None
        return with_arrays(layer, weight * across, bias)
    if isinstance(layer, BatchNorm1D | BatchNorm2D | GroupNorm):
        twin = type(layer)(**layer.config(), dtype=layer.dtype)
        twin.params.update({name: array * scale for name, array in layer.params.items()})
        twin.buffers.update(layer.buffers)
        return twin
    return None
