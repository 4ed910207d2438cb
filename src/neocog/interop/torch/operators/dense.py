"""Convert the dense layer, whose weight PyTorch transposes."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn import functional as F

from neocog.initializers import zeros
from neocog.interop.torch.graph_builder import Value
from neocog.interop.torch.operators.arguments import loaded, parameter
from neocog.interop.torch.registry import Chain, imports, imports_module, register_layer
from neocog.layers import Dense


@register_layer(Dense)
def _to_linear(layer: Dense) -> nn.Linear:
    return nn.Linear(layer.in_features, layer.out_features, layer.bias, device="meta")


@imports_module(nn.Linear)
def _from_linear(module: nn.Linear, x: Value) -> Chain:
    return Dense(module.in_features, module.out_features, module.bias is not None, init=zeros)


@imports(F.linear)
def linear(x: Value, weight: Any, bias: Any = None) -> Chain:
    weight = parameter("weight", weight)
    out_features, in_features = weight.shape
    return loaded(Dense(in_features, out_features, bias is not None, init=zeros), weight, bias)
