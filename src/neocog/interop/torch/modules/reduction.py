"""Define means and sums over axes."""

from __future__ import annotations

from torch import Tensor, nn

from neocog.interop.torch.modules.sides import Shape


class Mean(nn.Module):
    """Take the mean along axes."""

    def __init__(self, dim: Shape, keepdim: bool) -> None:
        super().__init__()
        self.dim, self.keepdim = dim, keepdim

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.dim, keepdim=self.keepdim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, keepdim={self.keepdim}"


class Sum(Mean):
    """Sum along axes."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(self.dim, keepdim=self.keepdim)
