"""Write SparseConv2D as a Conv whose kernels are scattered into zeros, and recognise it."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.initializers import zeros
from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node
from neocog.interop.onnx.windows import LARGEST, WindowGeometry, pads, plain
from neocog.layers import SparseConv2D


@writes(SparseConv2D, operators="ScatterND, Conv")
def write_sparse_convolution(w: Writer, layer: SparseConv2D, x: Tensor) -> str:
    """Write ScatterND of the kernels into a bank of zeros, and Conv with that bank."""
    bank = w.numbers("bank", np.zeros(layer._bank_shape))
    places = w.integers("connections", layer.pairs)
    weight = w.node("ScatterND", bank, places, w.array(layer.params["weight"]))
    geometry = {"kernel_shape": layer.kernel_size, "strides": layer.stride, "pads": pads(layer.sides)}
    return w.node("Conv", x, weight, w.array(layer.params["bias"]), **geometry)


def sparse_convolution(node: Node, windows: WindowGeometry, bias: Any, groups: int) -> SparseConv2D | None:
    """Return a SparseConv2D if the weights are kernels scattered into zeros, else None."""
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
    layer.params["weight"] = node.builder.copied(weight)
    layer.params["bias"] = node.builder.copied(bias, weight.dtype)
    return layer
