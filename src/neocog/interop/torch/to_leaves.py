"""From each layer to its module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from torch import nn

from neocog.interop.torch import modules
from neocog.layers import (
    GELU,
    Add,
    AvgPool2D,
    BatchNorm1D,
    BatchNorm2D,
    Bias,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    Layer,
    LeakyReLU,
    LocalResponseNorm,
    LogSoftmax,
    MaxPool2D,
    Pad2D,
    PadChannels,
    RadialBasis,
    ReLU,
    Reshape,
    ScaledTanh,
    Sigmoid,
    Softmax,
    SparseConv2D,
    Tanh,
    Transpose,
)

MakeModule: TypeAlias = Callable[[Any], nn.Module]

MODULES: dict[type[Layer], MakeModule] = {}
"""How the module of each class of layers is made, without its weights."""


def register_layer(layer_class: type[Layer]) -> Callable[[MakeModule], MakeModule]:
    """Say how :func:`to_torch` makes the module of a class of layers.

    The function takes a layer and returns a module whose parameters and buffers have the names and shapes
    of the layer's; the numbers are copied afterwards.

    Parameters
    ----------
    layer_class : subclass of Layer

    Returns
    -------
    decorator of the function

    Examples
    --------
    >>> from torch import nn
    >>> from neocog import Layer
    >>> from neocog.interop.torch import to_torch
    >>> class Softsign(Layer):
    ...     def forward(self, x, training=False):
    ...         return x / (1 + abs(x)), x
    >>> @register_layer(Softsign)
    ... def softsign(layer):
    ...     return nn.Softsign()
    >>> to_torch(Softsign())
    Softsign()
    """

    def enter(make: MakeModule) -> MakeModule:
        MODULES[layer_class] = make
        return make

    return enter


@register_layer(Conv2D)
def _conv2d(layer: Conv2D) -> nn.Module:
    arguments = (layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride)
    rest: dict[str, Any] = {
        "dilation": layer.dilation,
        "groups": layer.groups,
        "bias": layer.bias,
        "device": "meta",
    }
    (top, bottom), (left, right) = layer._sides
    if top == bottom and left == right:
        padding = layer.padding if isinstance(layer.padding, str) else (top, left)
        return nn.Conv2d(*arguments, padding=padding, **rest)
    return modules.PaddedConv2d(*arguments, sides=layer._sides, **rest)


@register_layer(SparseConv2D)
def _sparse_conv2d(layer: SparseConv2D) -> nn.Module:
    return modules.SparseConv2d(
        layer.in_channels, layer.connections, layer.kernel_size, layer.stride, layer.padding
    )


@register_layer(Dense)
def _dense(layer: Dense) -> nn.Module:
    return nn.Linear(layer.in_features, layer.out_features, layer.bias, device="meta")


@register_layer(BatchNorm1D)
def _batch_norm1d(layer: BatchNorm1D) -> nn.Module:
    return nn.BatchNorm1d(layer.num_features, layer.eps, layer.momentum)


@register_layer(BatchNorm2D)
def _batch_norm2d(layer: BatchNorm2D) -> nn.Module:
    return nn.BatchNorm2d(layer.num_features, layer.eps, layer.momentum)


@register_layer(LocalResponseNorm)
def _local_response_norm(layer: LocalResponseNorm) -> nn.Module:
    return nn.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k)


def _fits_pytorch(layer: MaxPool2D | AvgPool2D) -> bool:
    """Whether PyTorch's pooling allows the padding: at most half the kernel, undilated, on all sides."""
    return all(
        before == after and 2 * before <= k
        for (before, after), k in zip(layer._sides, layer.kernel_size, strict=True)
    )


@register_layer(MaxPool2D)
def _max_pool2d(layer: MaxPool2D) -> nn.Module:
    window = (layer.kernel_size, layer.stride)
    if not _fits_pytorch(layer):
        return modules.PaddedMaxPool2d(*window, layer._sides, layer.dilation, layer.ceil_mode)
    (top, _), (left, _) = layer._sides
    return nn.MaxPool2d(*window, (top, left), layer.dilation, ceil_mode=layer.ceil_mode)


@register_layer(AvgPool2D)
def _avg_pool2d(layer: AvgPool2D) -> nn.Module:
    window = (layer.kernel_size, layer.stride)
    count: dict[str, Any] = {
        "count_include_pad": layer.count_include_pad,
        "divisor_override": layer.divisor_override,
    }
    if layer.dilation != (1, 1) or not _fits_pytorch(layer):
        return modules.PaddedAvgPool2d(*window, layer._sides, layer.dilation, layer.ceil_mode, **count)
    (top, _), (left, _) = layer._sides
    return nn.AvgPool2d(*window, (top, left), layer.ceil_mode, **count)


@register_layer(GlobalAvgPool2D)
def _global_avg_pool2d(layer: GlobalAvgPool2D) -> nn.Module:
    return modules.GlobalAvgPool2d()


@register_layer(GlobalMaxPool2D)
def _global_max_pool2d(layer: GlobalMaxPool2D) -> nn.Module:
    return modules.GlobalMaxPool2d()


@register_layer(RadialBasis)
def _radial_basis(layer: RadialBasis) -> nn.Module:
    return modules.RadialBasis(layer.in_features, layer.out_features)


@register_layer(ReLU)
def _relu(layer: ReLU) -> nn.Module:
    return nn.ReLU()


@register_layer(LeakyReLU)
def _leaky_relu(layer: LeakyReLU) -> nn.Module:
    return nn.LeakyReLU(layer.negative_slope)


@register_layer(Sigmoid)
def _sigmoid(layer: Sigmoid) -> nn.Module:
    return nn.Sigmoid()


@register_layer(Tanh)
def _tanh(layer: Tanh) -> nn.Module:
    return nn.Tanh()


@register_layer(ScaledTanh)
def _scaled_tanh(layer: ScaledTanh) -> nn.Module:
    return modules.ScaledTanh(layer.amplitude, layer.slope)


@register_layer(GELU)
def _gelu(layer: GELU) -> nn.Module:
    return nn.GELU(layer.approximate)


@register_layer(Softmax)
def _softmax(layer: Softmax) -> nn.Module:
    return nn.Softmax(layer.axis)


@register_layer(LogSoftmax)
def _log_softmax(layer: LogSoftmax) -> nn.Module:
    return nn.LogSoftmax(layer.axis)


@register_layer(Bias)
def _bias(layer: Bias) -> nn.Module:
    return modules.Bias(layer.shape)


@register_layer(Reshape)
def _reshape(layer: Reshape) -> nn.Module:
    return modules.Reshape(layer.shape)


@register_layer(Transpose)
def _transpose(layer: Transpose) -> nn.Module:
    return modules.Permute(layer.axes)


@register_layer(Dropout)
def _dropout(layer: Dropout) -> nn.Module:
    return nn.Dropout(layer.p)


@register_layer(Flatten)
def _flatten(layer: Flatten) -> nn.Module:
    return nn.Flatten()


@register_layer(Pad2D)
def _pad2d(layer: Pad2D) -> nn.Module:
    (top, bottom), (left, right) = layer.padding
    sides = (left, right, top, bottom)
    if layer.mode == "constant":
        return nn.ConstantPad2d(sides, layer.value)
    modes = {"reflect": nn.ReflectionPad2d, "replicate": nn.ReplicationPad2d, "circular": nn.CircularPad2d}
    return modes[layer.mode](sides)


@register_layer(PadChannels)
def _pad_channels(layer: PadChannels) -> nn.Module:
    return modules.PadChannels(layer.channels)


@register_layer(Add)
def _add(layer: Add) -> nn.Module:
    return modules.Add()


@register_layer(Concat)
def _concat(layer: Concat) -> nn.Module:
    return modules.Concat(layer.axis)
