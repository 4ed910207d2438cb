"""Define layer normalization over an axis, and of a data set's channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class LayerNorm(nn.LayerNorm):
    """``nn.LayerNorm`` of axes that begin at ``axis``."""

    def __init__(self, *args: Any, axis: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        axes = tuple(range(self.axis, self.axis + len(self.normalized_shape)))
        last = tuple(range(-len(axes), 0))
        return super().forward(x.movedim(axes, last)).movedim(last, axes)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, axis={self.axis}"


class Normalize(nn.Module):
    """Subtract a fixed mean from each channel, and divide by a fixed standard deviation: (N, C, ...)."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1, *(1,) * (x.ndim - 2))
        return (x - self.mean.reshape(shape)) / self.std.reshape(shape)

    def extra_repr(self) -> str:
        return f"mean={self.mean.tolist()}, std={self.std.tolist()}"
