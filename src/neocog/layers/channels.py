"""Define layers that take a part of the channels, or put them in another order."""

from __future__ import annotations

import sys

from neocog.layers.base import Array, Field, Grads, Layer, Shape
from neocog.validation import integer


class Slice(Layer):
    """Take the entries from ``start`` up to ``stop`` along an axis, every ``step``-th: some of the channels.

    Forward: ``y[n,k,...] = x[n, start + k step, ...]``, in the same way along another axis.

    Backward: ``dx[n, start + k step, ...] = dy[n,k,...]``, 0 elsewhere.

    Parameters
    ----------
    start : int
        The first entry; a negative one counts from the end.
    stop : int or None
        One past the last, cut to the size; None for the end.
    step : int
    axis : int
        1 for the channels; not the batch.

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, or an ``x`` without that axis or without an entry in the range.

    Notes
    -----
    Shapes: (N, C, H, W) -> (N, C', H, W), with C' the size of ``range(C)[start:stop:step]``.

    What a split into parts gives is a Slice for each part, all of the same input.

    Source: the slices of Python and NumPy.

    Examples
    --------
    >>> import numpy as np
    >>> Slice(1, 3)(np.array([[0.0, 1.0, 2.0, 3.0]]))
    array([[1., 2.]])
    """

    def __init__(self, start: int, stop: int | None = None, step: int = 1, axis: int = 1) -> None:
        super().__init__()
        self.start = integer("start", start, -sys.maxsize)
        self.stop = None if stop is None else integer("stop", stop, -sys.maxsize)
        self.step = integer("step", step)
        self.axis = integer("axis", axis)

    def places(self, input_shape: Shape) -> range:
        """Return the places along the axis that are taken."""
        if len(input_shape) > self.axis:
            places = range(input_shape[self.axis])[self.start : self.stop : self.step]
            if places:
                return places
        part = f"{self.start}:{'' if self.stop is None else self.stop}:{self.step}"
        raise ValueError(f"Slice finds no entry {part} along axis {self.axis} of shape {tuple(input_shape)}.")

    def _index(self, places: range) -> tuple[object, ...]:
        return *(slice(None),) * self.axis, slice(places.start, places.stop, places.step), ...

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Shape]:
        return x[self._index(self.places(x.shape))], x.shape

    def backward(self, dy: Array, cache: Shape, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        dx = dy.__array_namespace__().zeros(cache, dtype=dy.dtype)
        dx[self._index(self.places(cache))] = dy
        return dx, {}

    def output_shape(self, input_shape: Shape) -> Shape:
        axis, count = self.axis, len(self.places(input_shape))
        return *input_shape[:axis], count, *input_shape[axis + 1 :]

    def receptive_field(self, field: Field) -> Field:
        return field.through((1, 1), (self.step if self.axis == 2 else 1, self.step if self.axis == 3 else 1))


class ChannelShuffle(Layer):
    """Interleave the channels of several groups, so that what follows in groups sees all of them.

    Forward: ``y[n, k G + g] = x[n, g C/G + k]`` for group g of G and its channel k.

    Backward: the channels back in their order.

    Parameters
    ----------
    groups : int
        ``G``, of which the number of channels is a multiple.

    Raises
    ------
    ValueError, TypeError
        On a number of groups out of range, or an ``x`` whose channels do not form so many.

    Notes
    -----
    Shapes: (N, C, ...) with one further axis at least -> the same.

    Source: X. Zhang et al., "ShuffleNet: an extremely efficient convolutional neural network for mobile
    devices", 2017.

    Examples
    --------
    >>> import numpy as np
    >>> ChannelShuffle(2)(np.arange(6.0).reshape(1, 6, 1)).ravel()
    array([0., 3., 1., 4., 2., 5.])
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = integer("groups", groups)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, None]:
        self.output_shape(x.shape)
        return _interleaved(x, self.groups), None

    def backward(self, dy: Array, cache: None, input_grad: bool = True) -> tuple[Array | None, Grads]:
        return _interleaved(dy, dy.shape[1] // self.groups) if input_grad else None, {}

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) < 3 or input_shape[1] % self.groups:
            raise ValueError(
                f"ChannelShuffle needs maps of shape (N, C, ...) with C a multiple of {self.groups}, "
                f"got shape {tuple(input_shape)}."
            )
        return input_shape


def _interleaved(x: Array, groups: int) -> Array:
    """Return the first channels of all groups, then the second, and so on."""
    xp = x.__array_namespace__()
    N, C, *places = x.shape
    parts = xp.reshape(x, (N, groups, C // groups, *places))
    axes = (0, 2, 1, *range(3, parts.ndim))
    return xp.reshape(xp.permute_dims(parts, axes), x.shape)
