"""Convert convolution, of maps and of lines, with PyTorch's padding modes and a padding on each side."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn import functional as F

from neocog.initializers import zeros
from neocog.interop.torch import modules
from neocog.interop.torch.graph_builder import TracedValue, UnsupportedError, known
from neocog.interop.torch.operators.arguments import loaded, parameter, size
from neocog.interop.torch.registry import Chain, Loaded, imports, imports_module, register_layer
from neocog.layers import Conv2D, Pad2D, Reshape


@register_layer(Conv2D)
def _to_conv2d(layer: Conv2D) -> nn.Conv2d:
    arguments = (layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride)
    rest: dict[str, Any] = {
        "dilation": layer.dilation,
        "groups": layer.groups,
        "bias": layer.bias,
        "device": "meta",
    }
    if layer.padding == "same" and layer.stride != (1, 1):
        return modules.PaddedConv2d(*arguments, sides=None, **rest)
    sides = (top, bottom), (left, right) = layer.window_sides((1, 1, 1, 1))  # of images of any size
    if top == bottom and left == right:
        padding = layer.padding if isinstance(layer.padding, str) else (top, left)
        return nn.Conv2d(*arguments, padding=padding, **rest)
    return modules.PaddedConv2d(*arguments, sides=sides, **rest)


@imports_module(nn.Conv2d)
def _from_conv2d(module: nn.Conv2d, x: TracedValue) -> Chain:
    arguments = _arguments(module)
    padding: Any = module.padding
    conv = Conv2D(**arguments, padding=padding)
    if module.padding_mode == "zeros":
        return conv
    return Pad2D(conv.window_sides((1, 1, 1, 1)), mode=module.padding_mode), Conv2D(**arguments)


@imports_module(modules.PaddedConv2d)
def _from_padded_conv2d(module: modules.PaddedConv2d, x: TracedValue) -> Chain:
    arguments = _arguments(module)
    same = Conv2D(**arguments, padding="same")
    if module.sides is None or (module.stride == (1, 1) and same.window_sides((1, 1, 1, 1)) == module.sides):
        return same
    return Conv2D(**arguments, padding=module.sides)


def _arguments(module: nn.Conv2d) -> dict[str, Any]:
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


@imports(F.conv2d)
def conv2d(
    x: TracedValue,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Chain:
    weight = parameter("weight", weight)
    out_channels, in_channels, kH, kW = weight.shape
    options = (size(stride), size(padding), size(dilation), groups, bias is not None)
    layer = Conv2D(in_channels * groups, out_channels, (kH, kW), *options, init=zeros)
    return loaded(layer, weight, bias)


@imports(F.conv1d, nn.Conv1d)
def conv1d(
    x: TracedValue,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> Chain:
    """Convert a convolution along a line, which is a map of one row."""
    if padding_mode != "zeros":
        raise UnsupportedError(f"padding_mode={padding_mode!r} has no counterpart; 'zeros' is supported")
    C, length = known(x, "a line")
    options = (
        (1, size(stride)),
        padding if isinstance(padding, str) else (0, size(padding)),
        (1, size(dilation)),
        groups,
    )
    row = conv2d(x, parameter("weight", weight)[:, :, None], bias, *options)
    assert isinstance(row, Loaded)
    (_, out, _, columns) = row.layer.output_shape((1, C, 1, length))
    return Reshape((0, C, 1, length)), row, Reshape((0, out, columns))
