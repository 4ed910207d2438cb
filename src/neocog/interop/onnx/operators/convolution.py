"""Write Conv2D; read Conv as Conv2D or SparseConv2D."""

from __future__ import annotations

import numpy as np

from neocog.initializers import zeros
from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.graph_builder import Pixels
from neocog.interop.onnx.import_node import Node, reads
from neocog.interop.onnx.operators.sparse import sparse_convolution
from neocog.interop.onnx.symbolic import SymbolicValue
from neocog.interop.onnx.windows import WindowGeometry, pads, plain, read_windows
from neocog.layers import Conv2D, Layer


@writes(Conv2D, operators="Conv")
def write_convolution(w: Writer, layer: Conv2D, x: Tensor) -> str:
    """Write Conv; its weights have the same layout, (out, in / groups, kH, kW)."""
    return w.node(
        "Conv",
        x,
        *(w.array(array) for array in layer.params.values()),
        kernel_shape=layer.kernel_size,
        strides=layer.stride,
        pads=pads(layer.window_sides(x.shape)),
        dilations=layer.dilation,
        group=layer.groups,
    )


@reads("Conv")
def read_convolution(node: Node) -> SymbolicValue:
    """Read Conv of images, and of rows as images of width 1."""
    weight = node.weights(1)
    bias = node.weights(2) if node.has(2) else None
    if weight.ndim < 3:
        node.fail(f"its weights must have shape (out, in / group, kernel ...), got {weight.shape}")
    windows = read_windows(node, list(weight.shape[2:]))
    if windows.is_row:
        weight = weight[..., None]
    groups = node.get("group", 1)
    if bias is not None and bias.shape != weight.shape[:1]:
        node.fail(f"its bias must have shape {weight.shape[:1]}, got {bias.shape}")

    pixels = _pixels(node, windows, weight.shape[1] * groups)

    def make() -> Layer:
        sparse = sparse_convolution(node, windows, bias, groups)
        if sparse is not None:
            return sparse
        arrays = {"weight": node.builder.copied(weight)}
        if bias is not None:
            arrays["bias"] = node.builder.copied(bias, weight.dtype)
        if pixels is not None:
            arrays = _of_raw_pixels(pixels, groups, **arrays)
        layer = Conv2D(
            weight.shape[1] * groups,
            weight.shape[0],
            windows.kernel_size,
            windows.stride,
            plain(windows.padding),
            windows.dilation,
            groups,
            bias="bias" in arrays,
            init=zeros,
            dtype=weight.dtype,
        )
        layer.params.update(arrays)
        if bias is None and "bias" in arrays:
            node.builder.own_biases.add(id(layer))
        return layer

    x = windows.x if pixels is None else pixels.x
    geometry = (windows.stride, windows.padding, windows.dilation, groups, windows.is_row)
    key = ("Conv", *node.identities(1, 2), geometry, pixels and windows.x.node)
    layer = node.builder.with_parameters(key, make)
    return windows.result(node.apply(layer, x, place=node.learned_place()))


def _pixels(node: Node, windows: WindowGeometry, channels: int) -> Pixels | None:
    """Return the scaled pixels that are this node's input, if they can be folded into its weights.

    The padding must be 0: an offset would have to be added to zeros around the image, too.
    """
    x = windows.x
    pixels = node.builder.pixels.get(x.node)
    if pixels is None or x.shared or x.held != x.shape or windows.is_row or len(pixels.scale) != channels:
        return None
    if pixels.offset.any() and any(map(any, windows.padding)):
        return None
    return pixels if node.builder.uses[node.proto.input[1]] == 1 else None


def _of_raw_pixels(
    pixels: Pixels, groups: int, weight: np.ndarray, bias: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Fold a scale and an offset of each channel: ``W (s x + o) + b = (W s) x + (b + W o)``."""
    out, per_group = weight.shape[:2]
    channels = np.arange(out)[:, None] // (out // groups) * per_group + np.arange(per_group)
    scale, offset = pixels.scale[channels], pixels.offset[channels]
    moved = (weight.sum((2, 3), dtype="float64") * offset).sum(1)
    arrays = {"weight": (weight * scale[..., None, None]).astype(weight.dtype)}
    if bias is not None or moved.any():
        arrays["bias"] = (moved if bias is None else bias + moved).astype(weight.dtype)
    return arrays
