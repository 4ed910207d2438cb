"""Convert functions that join tensors, repeat one to the shape of another, or return their input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from neocog.interop.torch.graph_builder import BATCH, TracedValue, UnsupportedError, known, values_in
from neocog.interop.torch.operators.arguments import axis_of, listed
from neocog.interop.torch.registry import Apply, combines
from neocog.layers import Concat, Reshape, Upsample


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
    """Repeat the one pixel of maps of 1 x 1 pixels to the size of others."""
    own = (BATCH, *known(x, "expand"))
    if len(sizes) == len(own):
        wanted = tuple(size if asked == -1 else asked for asked, size in zip(sizes, own, strict=True))
        if wanted == own:
            return x
        if len(own) == 4 and own[2:] == (1, 1) and wanted[:2] == own[:2]:
            return replace(apply("expand", Upsample(size=(wanted[2], wanted[3])), x), narrow=x)
    raise UnsupportedError(f"of shape {('N', *own[1:])} only single pixels are repeated, to maps of one size")
