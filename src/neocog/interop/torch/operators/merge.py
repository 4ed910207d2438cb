"""Convert functions that join tensors or multiply matrices, repeat a tensor, or return their input."""

from __future__ import annotations

import operator
from dataclasses import replace
from math import sqrt
from typing import Any

import torch
from torch.nn import functional as F

from neocog.interop.repetition import repetition
from neocog.interop.torch.graph_builder import BATCH, TracedValue, UnsupportedError, known, values_in
from neocog.interop.torch.operators.arguments import axis_of, listed
from neocog.interop.torch.registry import Apply, combines
from neocog.layers import Concat, MatMul, Rescale, Reshape, Softmax, Transpose


@combines(torch.cat, torch.concat, torch.concatenate)
def cat(apply: Apply, tensors: Any, dim: int = 0) -> TracedValue:
    values = _all_values(tensors)
    axis = axis_of(values[0], dim)
    if axis == 0:
        raise UnsupportedError("dim=0 would join batches; dim=1 is supported")
    return values[0] if len(values) == 1 else apply("cat", Concat(axis), *values)


@combines(torch.stack)
def stack(apply: Apply, tensors: Any, dim: int = 0) -> TracedValue:
    values = _all_values(tensors)
    shape = known(values[0], "stack")
    axis = dim if dim >= 0 else dim + len(shape) + 2
    if axis == 0:
        raise UnsupportedError("dim=0 would stack batches; dim=1 is supported")
    wider = Reshape((0, *shape[: axis - 1], 1, *shape[axis - 1 :]))
    return cat(apply, [apply("unsqueeze", wider, value) for value in values], axis)


def _all_values(tensors: Any) -> list[TracedValue]:
    values = values_in(tensors)
    if not values or len(values) < len(tensors):
        raise UnsupportedError("joining with anything but tensors of the network has no counterpart")
    return values


@combines("clone", torch.clone)
def clone(apply: Apply, input: TracedValue, memory_format: Any = None) -> TracedValue:  # noqa: A002
    return replace(input, base=None)


@combines("contiguous")
def contiguous(apply: Apply, input: TracedValue, memory_format: Any = None) -> TracedValue:  # noqa: A002
    return replace(input, base=input)


@combines("expand_as")
def expand_as(apply: Apply, input: TracedValue, other: TracedValue) -> TracedValue:  # noqa: A002
    return _repeated(apply, input, (BATCH, *known(other, "expand_as")))


@combines("expand")
def expand(apply: Apply, input: TracedValue, *args: Any, size: Any = ()) -> TracedValue:  # noqa: A002
    return _repeated(apply, input, (*(listed(args) or size),))


def _repeated(apply: Apply, x: TracedValue, sizes: tuple[int, ...]) -> TracedValue:
    """Repeat along axes of size 1."""
    own = (BATCH, *known(x, "expand"))
    wanted = tuple(size if asked == -1 else asked for asked, size in zip(sizes, own, strict=False))
    if len(sizes) != len(own) or any(size not in (1, asked) for asked, size in zip(wanted, own, strict=True)):
        raise UnsupportedError(f"an x of shape {('N', *own[1:])} cannot be repeated to {sizes}")
    layers = repetition(own[1:], wanted[1:])
    return replace(apply("expand", layers, x), narrow=x) if layers else x


@combines(torch.matmul, torch.bmm, operator.matmul, "matmul", "bmm")
def matmul(apply: Apply, input: TracedValue, other: Any) -> TracedValue:  # noqa: A002
    if not isinstance(input, TracedValue) or not isinstance(other, TracedValue):
        raise UnsupportedError("it needs two tensors made of the input; F.linear is supported for a weight")
    return apply("matmul", MatMul(), input, other)


@combines(F.scaled_dot_product_attention)
def attention(
    apply: Apply,
    query: TracedValue,
    key: TracedValue,
    value: TracedValue,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> TracedValue:
    """Convert ``softmax(q k^T scale) v``, without a mask, and without dropout in evaluation."""
    if attn_mask is not None or dropout_p or is_causal or enable_gqa:
        raise UnsupportedError("a mask, dropout, is_causal and enable_gqa have no counterpart")
    *before, _, width = (BATCH, *known(query, "attention"))
    swapped = (*range(len(before)), len(before) + 1, len(before))
    turned = apply("transpose", Transpose(swapped), key)
    scores = apply("matmul", MatMul(), query, turned)
    scores = apply("rescale", Rescale(1 / sqrt(width) if scale is None else scale), scores)
    return apply("matmul", MatMul(), apply("softmax", Softmax(-1), scores), value)
