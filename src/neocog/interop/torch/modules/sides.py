"""Pad maps at their four sides."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor
from torch.nn import functional as F

from neocog.kernels.geometry import Padding

Shape: TypeAlias = tuple[int, ...]


def pad(x: Tensor, sides: Padding, value: float = 0.0) -> Tensor:
    """Pad the last two axes with a number."""
    (top, bottom), (left, right) = sides
    return F.pad(x, (left, right, top, bottom), value=value)


def one_map(x: Tensor) -> Shape:
    """Return the shape of one map of one image; the number of them may be a symbol in ``torch.export``."""
    return (1, 1, *x.shape[2:])
