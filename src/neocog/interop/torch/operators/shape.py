"""Convert reshaping and transposition."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import nn

from neocog.interop.torch.graph_builder import (
    BATCH,
    MOVED_BATCH,
    TracedValue,
    UnsupportedError,
    check_batch_axis,
    known,
)
from neocog.interop.torch.operators.arguments import listed
from neocog.interop.torch.registry import Chain, imports, imports_module, register_layer
from neocog.layers import Flatten, Layer, Reshape, Transpose


@imports_module(nn.Identity)
def _from_identity(module: nn.Identity, x: TracedValue) -> Chain:
    return ()


@register_layer(Flatten)
def _to_flatten(layer: Flatten) -> nn.Flatten:
    return nn.Flatten()


@imports(torch.flatten, "flatten", nn.Flatten)
def flatten(x: TracedValue, start_dim: int = 0, end_dim: int = -1) -> Chain:
    if (start_dim, end_dim) == (1, -1):
        return Flatten()
    if start_dim < 1 or end_dim != -1:
        shape = known(x, f"start_dim={start_dim}, end_dim={end_dim}")
        start, end = start_dim % (len(shape) + 1), end_dim % (len(shape) + 1)
        if start == 0:
            raise UnsupportedError("start_dim=0 would join the images of a batch; start_dim=1 is supported")
        return reshaped((*shape[: start - 1], prod(shape[start - 1 : end]), *shape[end:]))
    return Reshape((0,) * start_dim + (-1,))


@imports(torch.reshape, "reshape", "view")
def reshape(x: TracedValue, *args: Any, shape: Any = (), size: Any = ()) -> Chain:
    sizes = [*(listed(args) or shape or size)]
    if not all(isinstance(size, int) for size in sizes) or not sizes:
        raise UnsupportedError(f"the shape {tuple(sizes)} has no counterpart; a shape of integers has")
    batch, *rest = sizes
    if x.shape is not None and batch == -1 and prod(rest) == prod(x.shape):
        batch = BATCH
    if any(size % BATCH == 0 for size in rest) or (batch != BATCH and (batch != -1 or x.shape is not None)):
        raise UnsupportedError(
            f"the shape {tuple('N' if size == BATCH else size for size in sizes)} does not keep the images "
            "of a batch apart; (N, ...) does, with N = x.size(0)"
        )
    if batch == -1:
        return Reshape((-1, *rest))
    check_batch_axis(x)
    return reshaped(tuple(rest))


def reshaped(rest: tuple[int, ...]) -> Layer:
    """Return a layer that reshapes to a shape without the batch; Flatten where that does the same."""
    return Flatten() if len(rest) == 1 else Reshape((0, *rest))


@imports(torch.squeeze, "squeeze")
def squeeze(x: TracedValue, dim: int | None = None) -> Chain:
    if not isinstance(dim, int):
        raise UnsupportedError("without a dim it would remove a batch axis of size 1; one dim is supported")
    shape = known(x, "squeeze")
    axis = dim % (len(shape) + 1) - 1
    if axis < 0:
        raise UnsupportedError("dim=0 is the batch; another dim is supported")
    return reshaped(shape[:axis] + shape[axis + 1 :]) if shape[axis] == 1 else ()


@imports(torch.permute, "permute")
def permute(x: TracedValue, *args: Any, dims: Any = ()) -> Chain:
    given = listed(args) or dims
    axes = tuple(axis % len(given) for axis in given)
    if axes and axes[0] != 0:  # unless the shape, which may be unknown, shows it
        raise UnsupportedError(MOVED_BATCH)
    return Transpose(axes)


@imports(torch.transpose, "transpose")
def transpose(x: TracedValue, dim0: int, dim1: int) -> Chain:
    axes = list(range(len(known(x, "transpose")) + 1))
    axes[dim0], axes[dim1] = axes[dim1], axes[dim0]
    return Transpose(tuple(axes))


@imports(torch.unsqueeze, "unsqueeze")
def unsqueeze(x: TracedValue, dim: int) -> Chain:
    shape = known(x, "unsqueeze")
    axis = dim if dim >= 0 else dim + len(shape) + 2
    if axis == 0:
        raise UnsupportedError("dim=0 is the batch; another dim is supported")
    return Reshape((0, *shape[: axis - 1], 1, *shape[axis - 1 :]))
