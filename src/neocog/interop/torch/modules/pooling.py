"""Define pooling with padding of four sides, and over whole maps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neocog.interop.torch.modules.sides import Shape, one_map, pad
from neocog.kernels.geometry import NO_PADDING, Padding, Pair, ceil_paddings, same_paddings, window_counts


class WindowPool2d(nn.Module):
    """Base of pooling with a padding that ``nn.MaxPool2d`` and ``nn.AvgPool2d`` refuse: uneven, or wide."""

    def __init__(
        self, kernel_size: Pair, stride: Pair, sides: Padding | None, dilation: Pair, ceil_mode: bool
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.sides = kernel_size, stride, sides
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def stated_sides(self, shape: Shape) -> Padding:
        """Return the padding, without what ``ceil_mode`` adds to it; None is TensorFlow's "same"."""
        return self.sides or same_paddings(shape, self.kernel_size, self.stride, self.dilation)

    def window_sides(self, shape: Shape) -> Padding:
        """Return the padding, with what ``ceil_mode`` adds to it."""
        stated = self.stated_sides(shape)
        if not self.ceil_mode:
            return stated
        return ceil_paddings(shape, self.kernel_size, self.stride, stated, self.dilation)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, sides={self.sides}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class PaddedMaxPool2d(WindowPool2d):
    """``nn.MaxPool2d`` with any padding."""

    def forward(self, x: Tensor) -> Tensor:
        x = pad(x, self.window_sides(one_map(x)), -torch.inf)
        return F.max_pool2d(x, self.kernel_size, self.stride, dilation=self.dilation)


class PaddedAvgPool2d(WindowPool2d):
    """``nn.AvgPool2d`` with any padding, and with dilation."""

    def __init__(self, *args: Any, count_include_pad: bool, divisor_override: int | None) -> None:
        super().__init__(*args)
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, x: Tensor) -> Tensor:
        sides = self.window_sides(one_map(x))
        C = x.shape[1]
        ones = x.new_ones(C, 1, *self.kernel_size)
        sums = F.conv2d(pad(x, sides), ones, stride=self.stride, dilation=self.dilation, groups=C)
        if self.divisor_override is not None:
            return sums / self.divisor_override
        counted = self.stated_sides(one_map(x)) if self.count_include_pad else NO_PADDING
        geometry = (self.kernel_size, self.stride, sides, self.dilation)
        rows, columns = window_counts(one_map(x), *geometry, counted=counted)
        return sums / (x.new_tensor(rows)[:, None] * x.new_tensor(columns))

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, count_include_pad={self.count_include_pad}, "
            f"divisor_override={self.divisor_override}"
        )


class GlobalAvgPool2d(nn.Module):
    """Average each map: (N, C, H, W) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class GlobalMaxPool2d(nn.Module):
    """Take the maximum of each map: (N, C, H, W) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_max_pool2d(x, 1).flatten(1)
