"""Conv: Conv2D, and SparseConv2D whose kernels are scattered into a bank of zeros."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.initializers import zeros
from neocog.interop.onnx.reader import Node, reads
from neocog.interop.onnx.values import Value
from neocog.interop.onnx.windows import LARGEST, Windows, pads, plain, read_windows
from neocog.interop.onnx.writer import Tensor, Writer, writes
from neocog.layers import Conv2D, Layer, SparseConv2D


@writes(Conv2D)
def write_convolution(w: Writer, layer: Conv2D, x: Tensor) -> str:
    """Weights lie in memory alike: (out, in / groups, kH, kW)."""
    return w.node(
        "Conv",
        x,
        *(w.array(array) for array in layer.params.values()),
        kernel_shape=layer.kernel_size,
        strides=layer.stride,
        pads=pads(layer._sides),
        dilations=layer.dilation,
        group=layer.groups,
    )


@writes(SparseConv2D)
def write_sparse_convolution(w: Writer, layer: SparseConv2D, x: Tensor) -> str:
    """Scatter the kernels into a bank with zeros where there is no connection."""
    bank = w.numbers("bank", np.zeros(layer._bank_shape))
    places = w.integers("connections", layer._pairs)
    weight = w.node("ScatterND", bank, places, w.array(layer.params["weight"]))
    geometry = {"kernel_shape": layer.kernel_size, "strides": layer.stride, "pads": pads(layer._sides)}
    return w.node("Conv", x, weight, w.array(layer.params["bias"]), **geometry)


@reads("Conv")
def read_convolution(node: Node) -> Value:
    """Images, and rows as images of width 1."""
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

    def make() -> Layer:
        sparse = _sparse(node, windows, bias, groups)
        if sparse is not None:
            return sparse
        layer = Conv2D(
            weight.shape[1] * groups,
            weight.shape[0],
            windows.kernel_size,
            windows.stride,
            plain(windows.padding),
            windows.dilation,
            groups,
            bias=bias is not None,
            init=zeros,
            dtype=weight.dtype,
        )
        layer.params["weight"] = weight
        if bias is not None:
            layer.params["bias"] = bias.astype(weight.dtype)
        return layer

    geometry = (windows.stride, windows.padding, windows.dilation, groups, windows.is_row)
    layer = node.building.with_parameters(("Conv", *node.parameter_names(1, 2), geometry), make)
    return windows.result(node.apply(layer, windows.x, place=node.learned_place()))


def _sparse(node: Node, windows: Windows, bias: Any, groups: int) -> SparseConv2D | None:
    """The sparse layer, if these weights are kernels scattered into zeros, in the order of a table."""
    origin, padding = node.known(1).origin, plain(windows.padding)
    plainly = (
        groups == 1 and windows.dilation == (1, 1) and padding[0] in range(LARGEST) and not windows.is_row
    )
    if origin is None or bias is None or not plainly:
        return None
    bank, places, weight = origin
    filters, channels, *_ = bank.shape
    if bank.any() or places.ndim != 2 or places.shape[1] != 2 or places.min() < 0:
        return None
    pairs = places.tolist()
    connections = [[c for f, c in pairs if f == k] for k in range(filters)]
    if [[f, c] for f, seen in enumerate(connections) for c in seen] != pairs or not all(connections):
        return None
    layer = SparseConv2D(
        channels, connections, windows.kernel_size, windows.stride, padding, init=zeros, dtype=weight.dtype
    )
    layer.params["weight"], layer.params["bias"] = np.array(weight), bias.astype(weight.dtype)
    return layer
