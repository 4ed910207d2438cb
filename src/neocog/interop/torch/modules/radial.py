"""Define radial basis functions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RadialBasis(nn.Module):
    """Minus the squared distance to each of some fixed centers: (N, in) -> (N, out)."""

    centers: Tensor

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.register_buffer("centers", torch.zeros(out_features, in_features))

    def forward(self, x: Tensor) -> Tensor:
        return -((x[:, None, :] - self.centers) ** 2).sum(2)
