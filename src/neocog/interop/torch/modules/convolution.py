"""Define convolutions with padding of four sides, transposed ones, and those with a table of connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neocog.interop.torch.modules.sides import one_map, pad
from neocog.kernels.geometry import Padding, Pair, same_paddings


class PaddedConv2d(nn.Conv2d):
    """``nn.Conv2d`` with another padding on each side; None is TensorFlow's "same"."""

    kernel_size: Pair
    stride: Pair
    dilation: Pair

    def __init__(self, *args: Any, sides: Padding | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sides = sides

    def forward(self, x: Tensor) -> Tensor:
        sides = self.sides or same_paddings(one_map(x), self.kernel_size, self.stride, self.dilation)
        return super().forward(pad(x, sides))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, sides={self.sides}"  # type: ignore[no-untyped-call]


class CroppedConvTranspose2d(nn.ConvTranspose2d):
    """``nn.ConvTranspose2d`` with another padding on each side."""

    def __init__(self, *args: Any, sides: Padding, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sides = sides

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return pad(super().forward(x, output_size), _negative(self.sides))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, sides={self.sides}"  # type: ignore[no-untyped-call]


def _negative(sides: Padding) -> Padding:
    """Return the padding that crops."""
    (top, bottom), (left, right) = sides
    return (-top, -bottom), (-left, -right)


class SparseConv2d(nn.Module):
    """A convolution with a kernel for each connection ``(f, c)`` of the output map f with the input map c."""

    def __init__(
        self,
        in_channels: int,
        connections: Sequence[Sequence[int]],
        kernel_size: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> None:
        super().__init__()
        self.in_channels, self.kernel_size = in_channels, kernel_size
        self.stride, self.padding = stride, padding
        self.connections = tuple(tuple(seen) for seen in connections)
        pairs = [(f, c) for f, seen in enumerate(self.connections) for c in seen]
        self._filters, self._channels = [f for f, _ in pairs], [c for _, c in pairs]
        self.weight = nn.Parameter(torch.zeros(len(pairs), *kernel_size))
        self.bias = nn.Parameter(torch.zeros(len(self.connections)))

    def forward(self, x: Tensor) -> Tensor:
        bank = self.weight.new_zeros(len(self.connections), self.in_channels, *self.kernel_size)
        bank[self._filters, self._channels] = self.weight
        return F.conv2d(x, bank, self.bias, self.stride, self.padding)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.connections}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}"
        )
