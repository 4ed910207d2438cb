"""Convert means and sums along axes; the mean of whole maps is global pooling."""

from __future__ import annotations

from typing import Any

import torch

from neocog.interop.torch.graph_builder import TracedValue, UnsupportedError
from neocog.interop.torch.registry import Chain, imports
from neocog.layers import GlobalAvgPool2D, Mean, Reshape, Sum


@imports(torch.mean, "mean")
def mean(x: TracedValue, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Chain:
    axes = _axes(dim, dtype)
    maps = x.shape is None or len(x.shape) == 3
    if maps and len(axes) == 2 and {axis % 4 for axis in axes} == {2, 3}:
        return (GlobalAvgPool2D(), Reshape((0, -1, 1, 1))) if keepdim else GlobalAvgPool2D()
    return Mean(axes, keepdim)


@imports(torch.sum, "sum")
def sum_(x: TracedValue, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Chain:
    return Sum(_axes(dim, dtype), keepdim)


def _axes(dim: Any, dtype: Any) -> tuple[int, ...]:
    """Return the axes of a reduction; raise UnsupportedError if one is the batch, or all are."""
    axes = dim if isinstance(dim, tuple | list) else () if dim is None else (dim,)
    if dtype is not None:
        raise UnsupportedError(f"dtype={dtype} has no counterpart; it keeps the type of its input")
    if not axes or 0 in axes:
        raise UnsupportedError(f"dim={dim!r} reduces the batch; dims other than 0 are supported")
    return tuple(axes)
