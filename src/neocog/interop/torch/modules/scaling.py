"""Define sums with, and products by, numbers that are learned or constant."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from neocog.interop.torch.modules.sides import Shape


class Bias(nn.Module):
    """Add a learned array."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape))

    @property
    def shape(self) -> Shape:
        """Return the shape of the learned array."""
        return tuple(self.bias.shape)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias

    def extra_repr(self) -> str:
        return f"{self.shape}"


class Scale(nn.Module):
    """Multiply by a learned array."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))

    @property
    def shape(self) -> Shape:
        """Return the shape of the learned array."""
        return tuple(self.weight.shape)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight

    def extra_repr(self) -> str:
        return f"{self.shape}"


class Rescale(nn.Module):
    """``scale x + offset`` with fixed numbers, or buffers."""

    scale: Any
    offset: Any

    def __init__(self, scale: Any, offset: Any) -> None:
        super().__init__()
        for name, value in (("scale", scale), ("offset", offset)):
            if isinstance(value, float):
                setattr(self, name, value)
            else:
                self.register_buffer(name, torch.tensor(value))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x * self.scale + self.offset
        return y

    def extra_repr(self) -> str:
        return f"scale={self.scale}, offset={self.offset}"
