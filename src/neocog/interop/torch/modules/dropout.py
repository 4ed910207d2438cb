"""Define dropping of whole branches."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """Set all numbers of some images, or of the batch, to zero in training, as torchvision's does."""

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p, self.mode = p, mode

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        images = x.shape[0] if self.mode == "row" else 1
        kept = torch.full((images, *(1,) * (x.ndim - 1)), 1 - self.p, dtype=x.dtype, device=x.device)
        return x * (torch.bernoulli(kept) / (1 - self.p))

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode}"
