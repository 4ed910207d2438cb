"""Define cutting and padding of channels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Slice(nn.Module):
    """Take the entries ``start:stop:step`` along an axis."""

    def __init__(self, start: int, stop: int | None, step: int = 1, dim: int = 1) -> None:
        super().__init__()
        self.start, self.stop, self.step, self.dim = start, stop, step, dim

    def forward(self, x: Tensor) -> Tensor:
        return x[(slice(None),) * self.dim + (slice(self.start, self.stop, self.step),)]

    def extra_repr(self) -> str:
        return f"{self.start}, {self.stop}, {self.step}, dim={self.dim}"


class PadChannels(nn.Module):
    """Append channels of zeros."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, 0, 0, self.channels))

    def extra_repr(self) -> str:
        return f"{self.channels}"
