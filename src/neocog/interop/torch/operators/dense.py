"""Convert the dense layer, whose weight PyTorch transposes, also where it is applied to each pixel."""

from __future__ import annotations

from math import prod
from typing import Any

from torch import nn
from torch.nn import functional as F

from neocog.initializers import zeros
from neocog.interop.torch.graph_builder import TracedValue, known
from neocog.interop.torch.operators.arguments import loaded, parameter
from neocog.interop.torch.registry import Chain, imports, imports_module, register_layer
from neocog.layers import Conv2D, Dense, Reshape, Transpose


@register_layer(Dense)
def _to_linear(layer: Dense) -> nn.Linear:
    return nn.Linear(layer.in_features, layer.out_features, layer.bias, device="meta")


@imports_module(nn.Linear)
def _from_linear(module: nn.Linear, x: TracedValue) -> Chain:
    return linear(x, module.weight, module.bias)


@imports(F.linear)
def linear(x: TracedValue, weight: Any, bias: Any = None) -> Chain:
    """Return a Dense, or for images (N, H, W, C) a 1 x 1 convolution between two transpositions.

    Other axes than these become those of an image first.
    """
    weight = parameter("weight", weight)
    out_features, in_features = weight.shape
    if x.rank in (None, 2):
        return loaded(Dense(in_features, out_features, bias is not None, init=zeros), weight, bias)
    layer = Conv2D(in_features, out_features, 1, bias=bias is not None, init=zeros)
    conv = loaded(layer, weight[:, :, None, None], bias)
    pixels = (Transpose((0, 3, 1, 2)), conv, Transpose((0, 2, 3, 1)))
    if x.rank == 4:
        return pixels
    *sizes, last = known(x, "a dense layer of several axes")
    return Reshape((0, 1, prod(sizes), last)), *pixels, Reshape((0, *sizes, out_features))
