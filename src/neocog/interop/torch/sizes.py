"""Answer what a forward asks of the sizes of a tensor, of which the batch size may be all that is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch

from neocog.interop.torch.graph_builder import BATCH, TracedValue, check_batch_axis, known


class _Sizes:
    """The shape of a tensor of which only the batch size is known."""

    def __init__(self, value: TracedValue) -> None:
        self._value = value

    def __getitem__(self, axis: int) -> int:
        if axis != 0:
            return cast(int, known(self._value, "a size")[cast(Any, axis)])
        check_batch_axis(self._value)
        return BATCH


def _sizes(x: TracedValue, dim: int | None = None) -> Any:
    sizes: Any = _Sizes(x) if x.shape is None else torch.Size((BATCH, *x.shape))
    return sizes if dim is None else sizes[dim]


def _axes(x: TracedValue) -> int:
    return len(known(x, "the number of axes")) + 1


MEASURES: dict[Any, Callable[..., Any]] = {
    "shape": _sizes,
    "size": _sizes,
    "dim": _axes,
    "ndim": _axes,
    "__len__": lambda x: _sizes(x, 0),
    "numel": lambda x: _sizes(x).numel(),
}
"""What tells the sizes of a tensor."""
