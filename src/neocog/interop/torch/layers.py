"""Register the layers that map one to one to PyTorch, each a row that serves both directions.

Layers that need more than a row are in :mod:`neocog.interop.torch.operators`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from neocog.interop.torch import modules
from neocog.interop.torch.graph_builder import TracedValue
from neocog.interop.torch.registry import FUNCTIONS, Chain, imports_module, register_layer
from neocog.layers import (
    ELU,
    GELU,
    SELU,
    Add,
    Bias,
    ChannelShuffle,
    Concat,
    Dropout,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    Hardsigmoid,
    Hardswish,
    Layer,
    LeakyReLU,
    LocalResponseNorm,
    MatMul,
    Maximum,
    Mean,
    Minimum,
    Mish,
    Multiply,
    PadChannels,
    PReLU,
    RadialBasis,
    ReLU,
    Reshape,
    Scale,
    ScaledTanh,
    Sigmoid,
    SiLU,
    Slice,
    SparseConv2D,
    StochasticDepth,
    Sum,
    Tanh,
    Transpose,
)


def row(
    layer_class: type[Layer], module_class: type[nn.Module], *arguments: str, functions: Sequence[Any] = ()
) -> None:
    """Register that a class of layers and a class of modules are the same.

    ``arguments`` are the names of the constructors' arguments, ``"axis=dim"`` where PyTorch's name is
    another. ``functions`` are PyTorch's functions, and methods by their names, that do the same and take
    the arguments of the module's constructor after their input.
    """
    names = {ours: theirs or ours for ours, _, theirs in (name.partition("=") for name in arguments)}

    def to_module(layer: Layer) -> nn.Module:
        return module_class(**{theirs: getattr(layer, ours) for ours, theirs in names.items()})

    def from_module(module: nn.Module, x: TracedValue) -> Chain:
        return layer_class.from_config({ours: getattr(module, theirs) for ours, theirs in names.items()})

    def from_function(x: TracedValue, *args: Any, **kwargs: Any) -> Chain:
        return from_module(module_class(*args, **kwargs), x)

    to_module.__annotations__["return"] = module_class
    register_layer(layer_class)(to_module)
    imports_module(module_class)(from_module)
    FUNCTIONS.update(dict.fromkeys(functions, from_function))


row(ReLU, nn.ReLU, functions=(F.relu, torch.relu, torch.relu_, "relu", "relu_"))
row(LeakyReLU, nn.LeakyReLU, "negative_slope", functions=(F.leaky_relu, F.leaky_relu_))
row(PReLU, nn.PReLU, "num_parameters")
row(Hardswish, nn.Hardswish, functions=(F.hardswish,))
row(Hardsigmoid, modules.Hardsigmoid, "slope", "offset")
row(SiLU, nn.SiLU, functions=(F.silu,))
row(ELU, nn.ELU, "alpha", functions=(F.elu, F.elu_))
row(SELU, nn.SELU, functions=(F.selu, F.selu_, torch.selu, torch.selu_))
row(Mish, nn.Mish, functions=(F.mish,))
row(Sigmoid, nn.Sigmoid, functions=(F.sigmoid, torch.sigmoid, torch.sigmoid_, "sigmoid", "sigmoid_"))
row(Tanh, nn.Tanh, functions=(F.tanh, torch.tanh, torch.tanh_, "tanh", "tanh_"))
row(ScaledTanh, modules.ScaledTanh, "amplitude", "slope")
row(GELU, nn.GELU, "approximate", functions=(F.gelu,))

row(SparseConv2D, modules.SparseConv2d, "in_channels", "connections", "kernel_size", "stride", "padding")
row(RadialBasis, modules.RadialBasis, "in_features", "out_features")
row(Bias, modules.Bias, "shape")
row(Scale, modules.Scale, "shape")
row(Dropout, nn.Dropout, "p")
row(
    LocalResponseNorm,
    nn.LocalResponseNorm,
    *("size", "alpha", "beta", "k"),
    functions=(F.local_response_norm,),
)

row(GlobalAvgPool2D, modules.GlobalAvgPool2d)
row(GlobalMaxPool2D, modules.GlobalMaxPool2d)

row(Reshape, modules.Reshape, "shape")
row(Transpose, modules.Permute, "axes=dims")
row(Slice, modules.Slice, "start", "stop", "step", "axis=dim")
row(
    ChannelShuffle,
    nn.ChannelShuffle,
    "groups",
    functions=(F.channel_shuffle, torch.channel_shuffle),
)
row(StochasticDepth, modules.StochasticDepth, "p", "mode")
row(PadChannels, modules.PadChannels, "channels")
row(Add, modules.Add)
row(Multiply, modules.Multiply)
row(MatMul, modules.MatMul)
row(Maximum, modules.Maximum)
row(Minimum, modules.Minimum)
row(Mean, modules.Mean, "axes=dim", "keepdims=keepdim")
row(Sum, modules.Sum, "axes=dim", "keepdims=keepdim")
row(Concat, modules.Concat, "axis=dim")
