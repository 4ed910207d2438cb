"""Convert transposed convolution, with a different padding on each side too."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn import functional as F

from neocog.initializers import zeros
from neocog.interop.torch import modules
from neocog.interop.torch.graph_builder import TracedValue, UnsupportedError
from neocog.interop.torch.operators.arguments import loaded, parameter, size
from neocog.interop.torch.registry import Chain, imports, imports_module, register_layer
from neocog.layers import ConvTranspose2D


@register_layer(ConvTranspose2D)
def _to_conv_transpose2d(layer: ConvTranspose2D) -> nn.ConvTranspose2d:
    arguments = (layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride)
    rest: dict[str, Any] = {
        "output_padding": layer.output_padding,
        "groups": layer.groups,
        "bias": layer.bias,
        "dilation": layer.dilation,
        "device": "meta",
    }
    (top, bottom), (left, right) = layer.sides
    if top == bottom and left == right:
        return nn.ConvTranspose2d(*arguments, padding=(top, left), **rest)
    return modules.CroppedConvTranspose2d(*arguments, sides=layer.sides, **rest)


@imports_module(nn.ConvTranspose2d, modules.CroppedConvTranspose2d)
def _from_conv_transpose2d(module: Any, x: TracedValue) -> Chain:
    return ConvTranspose2D(
        module.in_channels,
        module.out_channels,
        module.kernel_size,
        module.stride,
        getattr(module, "sides", module.padding),
        _smaller_than_stride(module.output_padding, module.stride),
        module.groups,
        module.bias is not None,
        module.dilation,
        init=zeros,
    )


@imports(F.conv_transpose2d)
def conv_transpose2d(
    x: TracedValue,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Chain:
    weight = parameter("weight", weight)
    in_channels, per_group, kH, kW = weight.shape
    more = _smaller_than_stride(size(output_padding), size(stride))
    options = (size(stride), size(padding), more, groups, bias is not None, size(dilation))
    layer = ConvTranspose2D(in_channels, per_group * groups, (kH, kW), *options, init=zeros)
    return loaded(layer, weight, bias)


def _smaller_than_stride(output_padding: Any, stride: Any) -> Any:
    """Return the output padding; PyTorch allows it up to the dilation, too."""
    pairs = [(each, each) if isinstance(each, int) else each for each in (output_padding, stride)]
    if any(more >= s for more, s in zip(*pairs, strict=True)):
        raise UnsupportedError(
            f"output_padding={output_padding} has no counterpart; less than stride={stride} is supported"
        )
    return output_padding
