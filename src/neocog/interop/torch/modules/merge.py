"""Define modules of several inputs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn


class Add(nn.Module):
    """Sum a tuple of tensors, broadcast."""

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        total = x[0]
        for part in x[1:]:
            total = total + part
        return total


class Multiply(nn.Module):
    """Multiply a tuple of tensors, broadcast."""

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        return reduce(torch.mul, x)


class MatMul(nn.Module):
    """Multiply two tensors as matrices."""

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        return torch.matmul(*x)


class Maximum(nn.Module):
    """Take the largest of a tuple of tensors, broadcast; equal ones have the same gradient."""

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        if len(x) == 2:
            return torch.maximum(*x)
        return torch.stack(torch.broadcast_tensors(*x)).amax(0)  # type: ignore[no-untyped-call]


class Minimum(nn.Module):
    """Take the smallest of a tuple of tensors, broadcast; equal ones have the same gradient."""

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        if len(x) == 2:
            return torch.minimum(*x)
        return torch.stack(torch.broadcast_tensors(*x)).amin(0)  # type: ignore[no-untyped-call]


class Concat(nn.Module):
    """Concatenate a tuple of tensors."""

    def __init__(self, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        return torch.cat(tuple(x), dim=self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
