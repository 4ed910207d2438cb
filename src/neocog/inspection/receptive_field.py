"""Compute receptive fields: the pixels that a unit depends on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from neocog.inspection.arguments import find_layer, input_size
from neocog.kernels.geometry import output_size
from neocog.layers import (
    Add,
    AvgPool2D,
    ChannelShuffle,
    Concat,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    GroupNorm,
    Layer,
    LayerNorm,
    LogSoftmax,
    MaxPool2D,
    Pad2D,
    PadChannels,
    RadialBasis,
    Reshape,
    Slice,
    Softmax,
    SparseConv2D,
    Transpose,
    Upsample,
)
from neocog.layers.base import Array, Field
from neocog.layers.padding import copied_from
from neocog.validation import integer

__all__ = ["ReceptiveField", "unit_receptive_field"]

NOTHING = slice(0, 0)


@dataclass(frozen=True)
class ReceptiveField:
    """The rectangle of the input that one unit depends on.

    Attributes
    ----------
    rows, columns : slice
        Inside the image, to cut it out: ``x[:, :, field.rows, field.columns]``.
    unclipped_rows, unclipped_columns : (int, int)
        First and one past the last, as if the image had no borders; may be negative, so they are no slices.
    """

    rows: slice
    columns: slice
    unclipped_rows: tuple[int, int]
    unclipped_columns: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, as if the image had no borders."""
        (top, bottom), (left, right) = self.unclipped_rows, self.unclipped_columns
        return bottom - top, right - left


@dataclass(frozen=True)
class _Axis:
    """The pixels along one axis of the image that each position along that axis of a map depends on.

    ``seen`` is a bool array (positions, pixels), ``start`` and ``stop`` are its unclipped ends (positions,),
    ``jump`` the step between neighbours, by which they go on outside the map: in enlarged maps a fraction.
    """

    seen: Array
    start: Array
    stop: Array
    jump: int | Fraction

    def window(self, kernel: int, stride: int, padding: tuple[int, int], dilation: int = 1) -> _Axis:
        """Apply a window: position i depends on ``i s + p d - P`` of the input, p = 0..kernel-1."""
        size = len(self.start)
        first = np.arange(output_size(size, kernel, stride, padding, dilation)) * stride - padding[0]
        seen = np.zeros((len(first), self.seen.shape[1]), dtype=bool)
        for tap in range(kernel):
            place = first + tap * dilation
            inside = (place >= 0) & (place < size)
            seen[inside] |= self.seen[place[inside]]
        start = self._beyond(self.start, first)
        stop = self._beyond(self.stop, first + dilation * (kernel - 1))
        return _Axis(seen, start, stop, self.jump * stride)

    def transposed(
        self, kernel: int, stride: int, padding: tuple[int, int], dilation: int, count: int
    ) -> _Axis:
        """Apply a transposed window: u depends on each place i with a tap p where ``i s + p d - P = u``."""
        place = np.arange(count) + padding[0] - np.arange(kernel)[:, None] * dilation  # i s, tap by tap
        source = np.ma.masked_where(place % stride != 0, place // stride)
        inside = ~np.ma.getmaskarray(source) & (source.data >= 0) & (source.data < len(self.start))
        seen = np.zeros((count, self.seen.shape[1]), dtype=bool)
        for own, reached in zip(source.data, inside, strict=True):
            seen[reached] |= self.seen[own[reached]]
        first, last = source.min(axis=0).filled(0), source.max(axis=0).filled(0)
        start, stop = self._beyond(self.start, first), self._beyond(self.stop, last)
        none = np.ma.getmaskarray(source).all(axis=0)  # no tap reaches these: they see nothing
        return _Axis(seen, start, np.where(none, start, stop), self.jump / Fraction(stride))

    def between(self, first: Array, second: Array) -> _Axis:
        """Let position i depend on two: ``first[i]`` and ``second[i]``."""
        jump = self.jump * Fraction(len(self.start), len(first))
        return replace(_either([self.take(first), self.take(second)]), jump=jump)

    def _beyond(self, ends: Array, place: Array) -> Array:
        nearest = place.clip(0, len(ends) - 1)
        return ends[nearest] + (place - nearest) * self.jump

    def take(self, place: Array, step: int = 1) -> _Axis:
        """Select positions by index, each ``step`` after the one before."""
        return _Axis(self.seen[place], self.start[place], self.stop[place], self.jump * step)

    def together(self, count: int) -> _Axis:
        """Return ``count`` positions, each of which depends on all that these depend on."""
        seen = np.broadcast_to(self.seen.any(axis=0), (count, self.seen.shape[1]))
        start, stop = np.full(count, self.start.min()), np.full(count, self.stop.max())
        return _Axis(seen, start, stop, self.jump)


def _either(axes: Sequence[_Axis]) -> _Axis:
    """Unite several axes position by position; an axis of one position is repeated."""
    size = max(len(axis.start) for axis in axes)
    axes = [axis if len(axis.start) == size else axis.take(np.zeros(size, int)) for axis in axes]
    return _Axis(
        np.logical_or.reduce([axis.seen for axis in axes]),
        np.min([axis.start for axis in axes], axis=0),
        np.max([axis.stop for axis in axes], axis=0),
        max(axis.jump for axis in axes),
    )


def _joined(axes: Sequence[_Axis]) -> _Axis:
    """Concatenate the positions of several axes."""
    return _Axis(
        np.concatenate([axis.seen for axis in axes]),
        np.concatenate([axis.start for axis in axes]),
        np.concatenate([axis.stop for axis in axes]),
        max(axis.jump for axis in axes),
    )


@dataclass(frozen=True)
class _View:
    """The pixels that the units of maps (shape (1, C, H, W)) or features (shape (1, F)) depend on."""

    rows: _Axis
    columns: _Axis
    shape: tuple[int, ...]


def unit_receptive_field(
    network: Layer,
    layer: str,
    position: int | tuple[int, int],
    input_shape: tuple[int, int, int] | None = None,
) -> ReceptiveField:
    """Compute the receptive field of a unit from kernels, strides, paddings and dilations.

    Position i of a window sees positions ``i s - P .. i s - P + d (k - 1)`` of the map before it, and so on
    down to the image.

    Parameters
    ----------
    network : Layer
    layer : str
        Dotted name.
    position : (row, column) in the layer's maps, or an int in a layer of features
    input_shape : (C, H, W), default the network's own

    Returns
    -------
    ReceptiveField
        The smallest rectangle around all it sees in any channel; a dilated kernel, or a stride larger than
        the kernel, leaves gaps inside. Both slices are empty for a unit that sees padding only.

    Raises
    ------
    TypeError, ValueError
        If there is no such layer or position, the shape does not fit, or a layer's geometry is not known.

    Notes
    -----
    Source: V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016.

    Examples
    --------
    >>> from neocog.models import tiny_cnn
    >>> unit_receptive_field(tiny_cnn(), "pool1", (0, 1)).columns  # a 2x2 window of 3x3 kernels
    slice(2, 6, None)
    """
    view = _views(network, layer, input_size(network, input_shape))
    row, column = _units(view, layer, position)
    rows, columns = _hull(view.rows.seen[row]), _hull(view.columns.seen[column])
    if rows == NOTHING or columns == NOTHING:
        rows = columns = NOTHING
    return ReceptiveField(
        rows,
        columns,
        (math.floor(view.rows.start[row]), math.ceil(view.rows.stop[row])),
        (math.floor(view.columns.start[column]), math.ceil(view.columns.stop[column])),
    )


def _views(network: Layer, layer: str, input_shape: tuple[int, int, int]) -> _View:
    """Propagate the view of the pixels through the network up to a layer."""
    find_layer(network, layer)
    found: list[_View] = []

    def visit(name: str, leaf: Layer, view: Any) -> Any:
        seen = _after(leaf, view)
        if name == layer:
            found.append(seen)
        return seen

    rows, columns = (
        _Axis(np.eye(size, dtype=bool), np.arange(size), np.arange(size) + 1, 1) for size in input_shape[1:]
    )
    network.walk(visit, _View(rows, columns, (1, *input_shape)))
    return found[0]


def _after(layer: Layer, view: Any) -> _View:
    """Return the view of a layer's outputs, given that of its inputs (a tuple of views for several)."""
    if isinstance(layer, Add | Concat):
        return _merged(layer, view)
    shape = tuple(layer.output_shape(view.shape))
    rows, columns = view.rows, view.columns
    if isinstance(layer, Conv2D | SparseConv2D | MaxPool2D | AvgPool2D):
        dilation = (1, 1) if isinstance(layer, SparseConv2D) else layer.dilation
        padding = layer.sides if isinstance(layer, SparseConv2D) else layer.window_sides(view.shape)
        geometry = zip(layer.kernel_size, layer.stride, padding, dilation, strict=True)
        rows, columns = (axis.window(*sizes) for axis, sizes in zip((rows, columns), geometry, strict=True))
    elif isinstance(layer, ConvTranspose2D):
        own = zip(layer.kernel_size, layer.stride, layer.sides, layer.dilation, shape[2:], strict=True)
        rows, columns = (axis.transposed(*sizes) for axis, sizes in zip((rows, columns), own, strict=True))
    elif isinstance(layer, Upsample):
        rows, columns = (
            axis.between(np.array(first), np.where(share, second, first))
            for axis, (first, second, share) in zip((rows, columns), layer.places(view.shape), strict=True)
        )
    elif isinstance(layer, Pad2D):
        rows, columns = (
            axis.window(1, 1, sides)
            if layer.mode == "constant"
            else axis.take(np.array(copied_from(len(axis.start), sides, layer.mode)))
            for axis, sides in zip((rows, columns), layer.padding, strict=True)
        )
    elif isinstance(layer, GlobalAvgPool2D | GlobalMaxPool2D | Dense | RadialBasis):
        rows, columns = rows.together(shape[1]), columns.together(shape[1])
    elif isinstance(layer, GroupNorm):
        if len(shape) == 2:
            groups = np.arange(shape[1]).reshape(layer.num_groups, -1)
            rows, columns = (
                _joined([axis.take(group).together(len(group)) for group in groups])
                for axis in (rows, columns)
            )
        else:  # the means are those of whole maps
            rows, columns = (axis.together(len(axis.start)) for axis in (rows, columns))
    elif isinstance(layer, LayerNorm):
        first, end = layer.span(len(shape))
        if len(shape) == 2 or first <= 2 < end:
            rows = rows.together(len(rows.start))
        if len(shape) == 2 or first <= 3 < end:
            columns = columns.together(len(columns.start))
    elif isinstance(layer, Slice):
        place = np.array(layer.places(view.shape))
        if len(shape) == 2 or layer.axis == 2:
            rows = rows.take(place, layer.step)
        if len(shape) == 2 or layer.axis == 3:
            columns = columns.take(place, layer.step)
    elif isinstance(layer, Softmax | LogSoftmax):
        axis_of_maps = layer.axis % len(shape)
        if len(shape) == 2 and axis_of_maps == 1:
            rows, columns = rows.together(shape[1]), columns.together(shape[1])
        elif axis_of_maps == 2:
            rows = rows.together(shape[2])
        elif axis_of_maps == 3:
            columns = columns.together(shape[3])
    elif isinstance(layer, Flatten | Reshape) and len(shape) == 2 and shape[0] == 1:
        if len(view.shape) == 4:
            place = np.indices(view.shape[1:]).reshape(3, -1)  # channel, row, column of each feature
            rows, columns = rows.take(place[1]), columns.take(place[2])
    elif isinstance(layer, PadChannels | ChannelShuffle):
        return _View(rows, columns, shape)  # every channel of a map sees the same
    elif (
        shape != tuple(view.shape)
        or layer.receptive_field(Field()) != Field()
        or (isinstance(layer, Transpose) and list(layer.axes) != sorted(layer.axes))
    ):
        raise TypeError(f"what a {type(layer).__name__} sees of its input is not known.")
    return _View(rows, columns, shape)


def _merged(layer: Add | Concat, views: Sequence[_View]) -> _View:
    shape = tuple(layer.output_shape(tuple(view.shape for view in views)))
    axis = layer.axis if isinstance(layer, Concat) else None
    features = axis == 1 and len(shape) == 2
    row: Callable[[Sequence[_Axis]], _Axis] = _joined if features or axis == 2 else _either
    column: Callable[[Sequence[_Axis]], _Axis] = _joined if features or axis == 3 else _either
    if any(len(view.shape) != len(shape) for view in views):
        raise TypeError(f"what a {type(layer).__name__} of maps and features sees is not known.")
    return _View(row([view.rows for view in views]), column([view.columns for view in views]), shape)


def _units(view: _View, layer: str, position: Any) -> tuple[int, int]:
    """Return the indices of a unit in the rows and the columns of a view."""
    sizes = view.shape[2:] if len(view.shape) == 4 else view.shape[1:]
    place = position if isinstance(position, tuple | list) else (position,)
    if len(place) != len(sizes):
        wanted = "(row, column)" if len(sizes) == 2 else "an integer"
        raise ValueError(f"position must be {wanted} in {layer!r}, got {position!r}.")
    place = tuple(integer("position", k, 0) for k in place)
    if any(k >= size for k, size in zip(place, sizes, strict=True)):
        raise ValueError(f"position must lie in {layer!r}, whose size is {tuple(sizes)}, got {position!r}.")
    return place[0], place[-1]


def _hull(seen: Array) -> slice:
    """Return the smallest slice that holds all pixels."""
    where = np.flatnonzero(seen)
    return slice(int(where[0]), int(where[-1]) + 1) if len(where) else NOTHING
