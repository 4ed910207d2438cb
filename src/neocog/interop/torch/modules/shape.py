"""Define changes of shape."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neocog.interop.torch.modules.sides import Shape


class Reshape(nn.Module):
    """Reshape, the batch included; 0 copies a size, -1 is inferred."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(self.shape)]
        if self.shape[0] == 0 and -1 in self.shape:
            # Image by image, so that -1 is known even for a batch of none.
            return torch.unflatten(x.unsqueeze(-1).flatten(1), 1, sizes[1:])
        return x.reshape(sizes)

    def extra_repr(self) -> str:
        return f"{self.shape}"


class Permute(nn.Module):
    """Permute the axes."""

    def __init__(self, dims: Shape) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.dims)

    def extra_repr(self) -> str:
        return f"{self.dims}"
