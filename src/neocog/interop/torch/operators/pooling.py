"""Convert pooling: with any padding, of whole maps, and adaptive."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from neocog.interop.torch import modules
from neocog.interop.torch.graph_builder import TracedValue, UnsupportedError, known
from neocog.interop.torch.operators.arguments import size
from neocog.interop.torch.registry import Chain, imports, imports_module, register_layer
from neocog.layers import AvgPool2D, GlobalAvgPool2D, GlobalMaxPool2D, MaxPool2D, Reshape


def _fits_pytorch(layer: MaxPool2D | AvgPool2D) -> bool:
    """Return whether PyTorch's pooling allows the padding: up to half the undilated kernel, on all sides."""
    return layer.sides is not None and all(
        before == after and 2 * before <= k
        for (before, after), k in zip(layer.sides, layer.kernel_size, strict=True)
    )


@register_layer(MaxPool2D)
def _to_max_pool2d(layer: MaxPool2D) -> nn.MaxPool2d | modules.PaddedMaxPool2d:
    window = (layer.kernel_size, layer.stride)
    if not _fits_pytorch(layer):
        return modules.PaddedMaxPool2d(*window, layer.sides, layer.dilation, layer.ceil_mode)
    (top, _), (left, _) = layer.stated_sides((1, 1, 1, 1))
    return nn.MaxPool2d(*window, (top, left), layer.dilation, ceil_mode=layer.ceil_mode)


@imports(F.max_pool2d, torch.max_pool2d, nn.MaxPool2d)
def max_pool2d(
    x: TracedValue,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Chain:
    _without_indices(return_indices)
    return MaxPool2D(size(kernel_size), size(stride) or None, size(padding), size(dilation), ceil_mode)


@imports_module(modules.PaddedMaxPool2d)
def _from_padded_max_pool2d(module: modules.PaddedMaxPool2d, x: TracedValue) -> Chain:
    padding = module.sides or "same"
    return MaxPool2D(module.kernel_size, module.stride, padding, module.dilation, module.ceil_mode)


@register_layer(AvgPool2D)
def _to_avg_pool2d(layer: AvgPool2D) -> nn.AvgPool2d | modules.PaddedAvgPool2d:
    window = (layer.kernel_size, layer.stride)
    count: dict[str, Any] = {
        "count_include_pad": layer.count_include_pad,
        "divisor_override": layer.divisor_override,
    }
    if layer.dilation != (1, 1) or not _fits_pytorch(layer):
        return modules.PaddedAvgPool2d(*window, layer.sides, layer.dilation, layer.ceil_mode, **count)
    (top, _), (left, _) = layer.stated_sides((1, 1, 1, 1))
    return nn.AvgPool2d(*window, (top, left), layer.ceil_mode, **count)


@imports(F.avg_pool2d, nn.AvgPool2d)
def avg_pool2d(
    x: TracedValue,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Chain:
    window = (size(kernel_size), size(stride) or None, size(padding))
    return AvgPool2D(*window, count_include_pad, ceil_mode, divisor_override)


@imports_module(modules.PaddedAvgPool2d)
def _from_padded_avg_pool2d(module: modules.PaddedAvgPool2d, x: TracedValue) -> Chain:
    count = (module.count_include_pad, module.ceil_mode, module.divisor_override)
    return AvgPool2D(module.kernel_size, module.stride, module.sides or "same", *count, module.dilation)


@imports(F.adaptive_avg_pool2d, nn.AdaptiveAvgPool2d)
def adaptive_avg_pool2d(x: TracedValue, output_size: Any) -> Chain:
    return _adaptive(x, output_size, GlobalAvgPool2D, AvgPool2D)


@imports(F.adaptive_max_pool2d, nn.AdaptiveMaxPool2d)
def adaptive_max_pool2d(x: TracedValue, output_size: Any, return_indices: bool = False) -> Chain:
    _without_indices(return_indices)
    return _adaptive(x, output_size, GlobalMaxPool2D, MaxPool2D)


def _without_indices(return_indices: bool) -> None:
    if return_indices:
        raise UnsupportedError("return_indices=True has no counterpart; False is supported")


def _adaptive(
    x: TracedValue,
    output_size: Any,
    whole: type[GlobalAvgPool2D | GlobalMaxPool2D],
    pool: type[AvgPool2D | MaxPool2D],
) -> Chain:
    """Return the pooling with the windows of adaptive pooling, if they are of one size and distance."""
    if output_size in (1, (1, 1), [1, 1]):
        return whole(), Reshape((0, -1, 1, 1))
    *_, H, W = known(x, "an output_size other than 1")
    wanted = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    windows = []
    for length, asked in zip((H, W), wanted, strict=True):
        out = length if asked is None else asked
        starts = [i * length // out for i in range(out)]
        lengths = {-(-(i + 1) * length // out) - start for i, start in enumerate(starts)}
        steps = {after - start for start, after in pairwise(starts)}
        if len(lengths) != 1 or len(steps) > 1 or steps == {0}:
            raise UnsupportedError(
                f"output_size={output_size!r} of a {H}x{W} map takes windows of different sizes, or the same "
                "one again; sizes that divide those of the map are supported"
            )
        windows.append((lengths.pop(), steps.pop() if steps else length))
    (kH, sH), (kW, sW) = windows
    return () if (kH, kW, sH, sW) == (1, 1, 1, 1) else pool((kH, kW), (sH, sW))
