"""Convert slices of channels and of pixels, and splits, which are a slice for each part."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch

from neocog.interop.torch.graph_builder import TracedValue, UnsupportedError, known
from neocog.interop.torch.operators.shape import reshaped
from neocog.interop.torch.registry import Chain, imports
from neocog.layers import Layer, MaxPool2D, Slice


@imports(operator.getitem)
def getitem(x: TracedValue, index: Any) -> Chain:
    """Convert slices of any axis but the batch, and single entries; every second pixel is a pooling."""
    parts = list(index) if isinstance(index, tuple) else [index]
    rank = 4 if x.shape is None else 1 + len(x.shape)
    if any(part is Ellipsis for part in parts):
        at = next(k for k, part in enumerate(parts) if part is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (rank + 1 - len(parts))
    parts += [slice(None)] * (rank - len(parts))
    bounds = [(part.start, part.stop, part.step) for part in parts if isinstance(part, slice)]
    numbers = [part for part in parts if not isinstance(part, slice)] + [k for each in bounds for k in each]
    if len(parts) > rank or any(isinstance(k, bool) or not isinstance(k, int | None) for k in numbers):
        raise UnsupportedError("the index has no counterpart; slices and integers have")
    if parts[0] != slice(None):
        raise UnsupportedError("the index takes some images of the batch, which has no counterpart")
    if any(part is None for part in parts):
        raise UnsupportedError("the index adds an axis, which has no counterpart; reshape has")
    steps = [step or 1 for start, stop, step in bounds if not start and stop is None]
    if len(steps) == rank == 4 and steps[1] == 1:
        return MaxPool2D(1, (steps[2], steps[3])) if max(steps) > 1 else ()
    return _entries(x, {axis: part for axis, part in enumerate(parts) if part != slice(None)})


def _entries(x: TracedValue, parts: dict[int, slice | int]) -> Chain:
    """Return a Slice for each axis, and a Reshape without the axes of single entries."""
    layers: list[Layer] = []
    for axis, part in parts.items():
        if isinstance(part, slice):
            layers.append(Slice(part.start or 0, part.stop, part.step or 1, axis))
        else:
            layers.append(Slice(part, part + 1 or None, axis=axis))
    single = [axis for axis, part in parts.items() if not isinstance(part, slice)]
    if single:
        sizes = known(x, "taking a single entry")
        for layer in layers:
            assert isinstance(layer, Slice)
            sizes = layer.output_shape((1, *sizes))[1:]
        layers.append(reshaped(tuple(size for axis, size in enumerate(sizes, 1) if axis not in single)))
    return tuple(layers)


def _axis(x: TracedValue, dim: int) -> int:
    """Return an axis counted from the front; raise UnsupportedError for the batch."""
    axis = dim if dim >= 0 else dim + 1 + len(known(x, f"dim={dim}"))
    if axis == 0:
        raise UnsupportedError("dim=0 is the batch; another dim is supported")
    return axis


def _parts(x: TracedValue, axis: int, sizes: Sequence[int]) -> list[Chain]:
    """Return a Slice for each of several parts, which follow each other."""
    ends = [*accumulate(sizes, initial=0)]
    return [Slice(start, end, axis=axis) for start, end in pairwise(ends)]


@imports(torch.split, "split")
def split(x: TracedValue, split_size: Any, dim: int = 0) -> list[Chain]:
    axis = _axis(x, dim)
    if isinstance(split_size, int):
        size = known(x, "a split into parts of one size")[axis - 1]
        split_size = [min(split_size, size - start) for start in range(0, size, split_size)]
    return _parts(x, axis, split_size)


@imports(torch.split_with_sizes, "split_with_sizes")
def split_with_sizes(x: TracedValue, split_sizes: Any, dim: int = 0) -> list[Chain]:
    return split(x, [*split_sizes], dim)


@imports(torch.chunk, "chunk")
def chunk(x: TracedValue, chunks: int, dim: int = 0) -> list[Chain]:
    axis = _axis(x, dim)
    return split(x, -(-known(x, "chunk")[axis - 1] // chunks), axis)


@imports(torch.unbind, "unbind")
def unbind(x: TracedValue, dim: int = 0) -> list[Chain]:
    axis = _axis(x, dim)
    return [_entries(x, {axis: k}) for k in range(known(x, "unbind")[axis - 1])]


@imports(torch.select, "select")
def select(x: TracedValue, dim: int, index: int) -> Chain:
    return _entries(x, {_axis(x, dim): index})


@imports(torch.narrow, "narrow")
def narrow(x: TracedValue, dim: int, start: int, length: int) -> Chain:
    return Slice(start, start + length or None, axis=_axis(x, dim))
