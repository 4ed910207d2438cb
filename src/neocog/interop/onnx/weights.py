"""Make layers with given arrays, and express constants as one number for each output channel."""

from __future__ import annotations

import math

import numpy as np

from neocog.initializers import zeros
from neocog.interop.onnx.symbolic import SymbolicValue
from neocog.layers import Conv2D, ConvTranspose2D, Dense, Layer


def dense_with(weight: np.ndarray, bias: np.ndarray | None) -> Dense:
    """Make a Dense layer with these arrays, not copies."""
    ins, outs = weight.shape
    layer = Dense(ins, outs, bias is not None, init=zeros, dtype=weight.dtype)
    layer.params["weight"] = weight
    if bias is not None:
        layer.params["bias"] = bias
    return layer


def per_channel(layer: Layer | None, x: SymbolicValue, constant: np.ndarray) -> np.ndarray | None:
    """Return a constant as one number for each feature or channel of a layer's output, None if it is not."""
    axis = x.rank - 1 if isinstance(layer, Dense) else 1
    if layer is None or min(x.rank, len(x.held[0])) < 2 or constant.ndim > x.rank:
        return None
    # The axis must count the layer's outputs, even if the value was reshaped.
    for held, shape in zip(x.held, x.shape, strict=True):
        if held[1] != shape[axis] or (axis == 1 and held[0] != shape[0]):
            return None
    padded = (1,) * (x.rank - constant.ndim) + constant.shape
    features = x.shape[0][axis]
    if padded[axis] not in (1, features) or math.prod(padded) != padded[axis]:
        return None
    return np.broadcast_to(constant.ravel(), (features,))


def with_arrays(
    layer: Dense | Conv2D | ConvTranspose2D, weight: np.ndarray, bias: np.ndarray | None
) -> Layer:
    """Make a layer of the same arguments with these arrays, not copies."""
    if isinstance(layer, Dense):
        return dense_with(weight, bias)
    config = layer.config() | {"bias": bias is not None}
    conv = type(layer)(**config, init=zeros, dtype=weight.dtype)
    conv.params["weight"] = weight
    if bias is not None:
        conv.params["bias"] = bias
    return conv
