"""Read Mul and Div by a constant: scale the layer before, or append a convolution."""

from __future__ import annotations

import math

import numpy as np

from neocog.initializers import zeros
from neocog.interop.onnx.graph_builder import GraphBuilder
from neocog.interop.onnx.import_node import Node, reads
from neocog.interop.onnx.symbolic import Known, SymbolicValue
from neocog.interop.onnx.weights import per_channel, with_arrays
from neocog.layers import AvgPool2D, BatchNorm1D, BatchNorm2D, Conv2D, Dense, GroupNorm, Layer


@reads("Mul", "Div")
def read_product(node: Node) -> SymbolicValue:
    """Read Mul or Div by a constant, folded into the layer before if possible."""
    swapped = node.operator == "Mul" and isinstance(node.inputs[0], Known)
    if len(node.inputs) == 2 and not any(isinstance(source, Known) for source in node.inputs):
        kind = "products" if node.operator == "Mul" else "quotients"
        node.unsupported(f"{kind} of two computed values have no layer")
    x, factor = node.value(int(swapped)), node.weights(int(not swapped))
    if node.operator == "Div":
        if not factor.all():
            node.fail("it divides by zero")
        factor = 1 / factor
    rank = factor.ndim
    y = _product(node, x, factor.reshape(()) if factor.size == 1 else factor)
    return y if rank <= x.rank else node.viewed(y, lambda s: (*[1] * (rank - x.rank), *s))


def _product(node: Node, x: SymbolicValue, factor: np.ndarray) -> SymbolicValue:
    """Multiply by a constant: scale the weights of the layer before, or append a layer."""
    before = node.builder.layers.get(x.node, (None,))[0]
    scaled = None if x.shared else _scaled(node.builder, before, x, factor)
    if scaled is not None:
        node.builder.put(scaled, x)
        node.builder.note_pixels(x, x, scale=factor)
        return x
    C = x.sizes[1] if x.rank == 4 else None
    if C is None and x.rank and factor.size == 1:
        return _multiple(node, x, factor)
    if C is None or factor.ndim > 4 or math.prod(factor.shape) not in (1, C):
        node.unsupported(
            "there is a layer for it only where it scales channels of images or a layer's outputs"
        )
    if factor.size > 1 and (1,) * (4 - factor.ndim) + factor.shape != (1, C, 1, 1):
        node.unsupported(f"it must scale whole channels, got a factor of shape {factor.shape}")
    weight = node.builder.copied(np.broadcast_to(factor.ravel(), (C,))).reshape(C, 1, 1, 1)
    depthwise = Conv2D(C, C, 1, groups=C, bias=False, init=zeros, dtype=factor.dtype)
    depthwise.params["weight"] = weight
    y = node.apply(depthwise, x)
    node.builder.note_pixels(x, y, scale=factor)
    return y


def _multiple(node: Node, x: SymbolicValue, factor: np.ndarray) -> SymbolicValue:
    """Multiply a value of any shape by one learned number: a 1 x 1 convolution of one channel."""
    image = x.viewed(lambda s: (s[0], 1, 1, math.prod(s[1:])))
    product = Conv2D(1, 1, 1, bias=False, init=zeros, dtype=factor.dtype)
    product.params["weight"] = node.builder.copied(factor).reshape(1, 1, 1, 1)
    y = node.apply(product, image)
    node.builder.multiples[y.node] = x, factor.item()
    return y.reshaped(x.shape, node.place)


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
