"""From each of PyTorch's modules to its layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from torch import nn

from neocog.initializers import zeros
from neocog.interop.torch import functions, modules
from neocog.interop.torch.functions import Chain
from neocog.interop.torch.graph_builder import UnsupportedError, Value
from neocog.layers import (
    Add,
    AvgPool2D,
    BatchNorm1D,
    BatchNorm2D,
    Bias,
    Concat,
    Conv2D,
    Dense,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    Layer,
    LocalResponseNorm,
    MaxPool2D,
    Pad2D,
    PadChannels,
    RadialBasis,
    Reshape,
    ScaledTanh,
    Sigmoid,
    SparseConv2D,
    Tanh,
    Transpose,
)

MakeLayer: TypeAlias = Callable[[Any, Value], Chain]

LAYERS: dict[type[nn.Module], MakeLayer] = {}
"""How the layer, or the layers, of each class of modules are made, without their weights."""


def register_module(module_class: type[nn.Module]) -> Callable[[Callable[[Any], Layer]], Any]:
    """Say how :func:`from_torch` makes the layer of a class of modules.

    The function takes a module and returns a layer whose ``params`` and ``buffers`` have the names and
    shapes of the module's; the numbers are copied afterwards.

    Parameters
    ----------
    module_class : subclass of nn.Module

    Returns
    -------
    decorator of the function

    Examples
    --------
    >>> from torch import nn
    >>> from neocog import ScaledTanh
    >>> from neocog.interop.torch import from_torch
    >>> class LeCunTanh(nn.Module):
    ...     pass
    >>> @register_module(LeCunTanh)
    ... def lecun_tanh(module):
    ...     return ScaledTanh()
    >>> from_torch(LeCunTanh())
    ScaledTanh()
    """

    def enter(make: Callable[[Any], Layer]) -> Callable[[Any], Layer]:
        LAYERS[module_class] = lambda module, x: make(module)
        return make

    return enter


def _table(*module_classes: type[nn.Module]) -> Callable[[MakeLayer], MakeLayer]:
    def enter(make: MakeLayer) -> MakeLayer:
        LAYERS.update(dict.fromkeys(module_classes, make))
        return make

    return enter


def _conv_arguments(module: nn.Conv2d) -> dict[str, Any]:
    return {
        "in_channels": module.in_channels,
        "out_channels": module.out_channels,
        "kernel_size": module.kernel_size,
        "stride": module.stride,
        "dilation": module.dilation,
        "groups": module.groups,
        "bias": module.bias is not None,
        "init": zeros,
    }


@_table(nn.Conv2d)
def _conv2d(module: nn.Conv2d, x: Value) -> Chain:
    arguments = _conv_arguments(module)
    padding: Any = module.padding
    conv = Conv2D(**arguments, padding=padding)
    if module.padding_mode == "zeros":
        return conv
    return Pad2D(conv._sides, mode=module.padding_mode), Conv2D(**arguments)


@_table(modules.PaddedConv2d)
def _padded_conv2d(module: modules.PaddedConv2d, x: Value) -> Chain:
    arguments = _conv_arguments(module)
    if module.stride == (1, 1):
        same = Conv2D(**arguments, padding="same")
        if same._sides == module.sides:
            return same
    return Conv2D(**arguments, padding=module.sides)


@_table(modules.SparseConv2d)
def _sparse_conv2d(module: modules.SparseConv2d, x: Value) -> Chain:
    return SparseConv2D(
        module.in_channels, module.connections, module.kernel_size, module.stride, module.padding, init=zeros
    )


@_table(nn.Linear)
def _linear(module: nn.Linear, x: Value) -> Chain:
    return Dense(module.in_features, module.out_features, module.bias is not None, init=zeros)


@_table(nn.BatchNorm1d, nn.BatchNorm2d)
def _batch_norm(module: nn.BatchNorm1d | nn.BatchNorm2d, x: Value) -> Chain:
    if not module.affine:
        raise UnsupportedError("affine=False has no counterpart; affine=True is supported")
    if not module.track_running_stats or module.running_mean is None:
        raise UnsupportedError("track_running_stats=False has no counterpart; True is supported")
    if module.momentum is None:
        raise UnsupportedError("momentum=None, a cumulative mean, has no counterpart; a number is supported")
    layer = BatchNorm1D if isinstance(module, nn.BatchNorm1d) else BatchNorm2D
    return layer(module.num_features, module.eps, module.momentum)


@_table(nn.LocalResponseNorm)
def _local_response_norm(module: nn.LocalResponseNorm, x: Value) -> Chain:
    return LocalResponseNorm(module.size, module.alpha, module.beta, module.k)


@_table(nn.MaxPool2d)
def _max_pool2d(module: nn.MaxPool2d, x: Value) -> Chain:
    window = (module.kernel_size, module.stride, module.padding, module.dilation)
    return functions.max_pool2d(x, *window, module.ceil_mode, module.return_indices)


@_table(nn.AvgPool2d)
def _avg_pool2d(module: nn.AvgPool2d, x: Value) -> Chain:
    window = (module.kernel_size, module.stride, module.padding)
    return functions.avg_pool2d(
        x, *window, module.ceil_mode, module.count_include_pad, module.divisor_override
    )


@_table(modules.PaddedMaxPool2d)
def _padded_max_pool2d(module: modules.PaddedMaxPool2d, x: Value) -> Chain:
    return MaxPool2D(module.kernel_size, module.stride, module.sides, module.dilation, module.ceil_mode)


@_table(modules.PaddedAvgPool2d)
def _padded_avg_pool2d(module: modules.PaddedAvgPool2d, x: Value) -> Chain:
    return AvgPool2D(
        module.kernel_size,
        module.stride,
        module.sides,
        module.count_include_pad,
        module.ceil_mode,
        module.divisor_override,
        module.dilation,
    )


@_table(nn.AdaptiveAvgPool2d)
def _adaptive_avg_pool2d(module: nn.AdaptiveAvgPool2d, x: Value) -> Chain:
    return functions.adaptive_avg_pool2d(x, module.output_size)


@_table(nn.AdaptiveMaxPool2d)
def _adaptive_max_pool2d(module: nn.AdaptiveMaxPool2d, x: Value) -> Chain:
    return functions.adaptive_max_pool2d(x, module.output_size, module.return_indices)


@_table(nn.ReLU)
def _relu(module: nn.ReLU, x: Value) -> Chain:
    return functions.relu(x)


@_table(nn.LeakyReLU)
def _leaky_relu(module: nn.LeakyReLU, x: Value) -> Chain:
    return functions.leaky_relu(x, module.negative_slope)


@_table(nn.Sigmoid)
def _sigmoid(module: nn.Sigmoid, x: Value) -> Chain:
    return Sigmoid()


@_table(nn.Tanh)
def _tanh(module: nn.Tanh, x: Value) -> Chain:
    return Tanh()


@_table(nn.GELU)
def _gelu(module: nn.GELU, x: Value) -> Chain:
    return functions.gelu(x, module.approximate)


@_table(nn.Softmax)
def _softmax(module: nn.Softmax, x: Value) -> Chain:
    return functions.softmax(x, module.dim)


@_table(nn.LogSoftmax)
def _log_softmax(module: nn.LogSoftmax, x: Value) -> Chain:
    return functions.log_softmax(x, module.dim)


@_table(nn.Dropout)
def _dropout(module: nn.Dropout, x: Value) -> Chain:
    return functions.dropout(x, module.p, functions.IN_TRAINING)


@_table(nn.Flatten)
def _flatten(module: nn.Flatten, x: Value) -> Chain:
    return functions.flatten(x, module.start_dim, module.end_dim)


@_table(nn.ConstantPad2d, nn.ZeroPad2d)
def _constant_pad2d(module: nn.ConstantPad2d | nn.ZeroPad2d, x: Value) -> Chain:
    return functions.pad(x, module.padding, "constant", module.value)


@_table(nn.ReflectionPad2d)
def _reflection_pad2d(module: nn.ReflectionPad2d, x: Value) -> Chain:
    return functions.pad(x, module.padding, "reflect")


@_table(nn.ReplicationPad2d)
def _replication_pad2d(module: nn.ReplicationPad2d, x: Value) -> Chain:
    return functions.pad(x, module.padding, "replicate")


@_table(nn.CircularPad2d)
def _circular_pad2d(module: nn.CircularPad2d, x: Value) -> Chain:
    return functions.pad(x, module.padding, "circular")


@_table(nn.Identity)
def _identity(module: nn.Identity, x: Value) -> Chain:
    return ()


@_table(modules.Add)
def _add(module: modules.Add, x: Value) -> Chain:
    return Add()


@_table(modules.Concat)
def _concat(module: modules.Concat, x: Value) -> Chain:
    return Concat(module.dim)


@_table(modules.GlobalAvgPool2d)
def _global_avg_pool2d(module: modules.GlobalAvgPool2d, x: Value) -> Chain:
    return GlobalAvgPool2D()


@_table(modules.GlobalMaxPool2d)
def _global_max_pool2d(module: modules.GlobalMaxPool2d, x: Value) -> Chain:
    return GlobalMaxPool2D()


@_table(modules.Reshape)
def _reshape(module: modules.Reshape, x: Value) -> Chain:
    return Reshape(module.shape)


@_table(modules.Permute)
def _permute(module: modules.Permute, x: Value) -> Chain:
    return Transpose(module.dims)


@_table(modules.Bias)
def _bias(module: modules.Bias, x: Value) -> Chain:
    return Bias(tuple(module.bias.shape))


@_table(modules.PadChannels)
def _pad_channels(module: modules.PadChannels, x: Value) -> Chain:
    return PadChannels(module.channels)


@_table(modules.ScaledTanh)
def _scaled_tanh(module: modules.ScaledTanh, x: Value) -> Chain:
    return ScaledTanh(module.amplitude, module.slope)


@_table(modules.RadialBasis)
def _radial_basis(module: modules.RadialBasis, x: Value) -> Chain:
    out_features, in_features = module.centers.shape
    return RadialBasis(in_features, out_features)
