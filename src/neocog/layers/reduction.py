"""Define reductions: the mean and the sum along axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from neocog.layers.base import Array, Field, Grads, Layer, Shape
from neocog.validation import integer


class _Reduction(Layer):
    """Base of both: the axes along which they reduce, and whether these stay with size 1."""

    _function: ClassVar[str]

    def __init__(self, axes: int | Sequence[int], keepdims: bool = False) -> None:
        super().__init__()
        given = axes if isinstance(axes, tuple | list) else (axes,)
        self.axes = tuple(integer("axes", axis, minimum=-64) for axis in given)  # the most that NumPy allows
        if not self.axes or 0 in self.axes:
            raise ValueError(f"axes must be some other than 0, the batch, got {axes!r}.")
        if not isinstance(keepdims, bool):
            raise TypeError(f"keepdims must be True or False, got {keepdims!r}.")
        self.keepdims = keepdims

    def over(self, input_shape: Shape) -> tuple[int, ...]:
        """Return the axes of an input of this shape, from 0 on and in order; ValueError if it lacks one."""
        rank = len(input_shape)
        axes = sorted({axis % rank for axis in self.axes if -rank < axis < rank}) if rank else []
        if len(axes) < len(self.axes):
            raise ValueError(
                f"{self!r} needs an x with these axes, each of them once, got shape {tuple(input_shape)}."
            )
        return tuple(axes)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Shape]:
        self.output_shape(x.shape)
        reduce = getattr(x.__array_namespace__(), self._function)
        return reduce(x, axis=self.over(x.shape), keepdims=self.keepdims), x.shape

    def backward(self, dy: Array, cache: Shape, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        xp, over = dy.__array_namespace__(), self.over(cache)
        kept = tuple(1 if axis in over else size for axis, size in enumerate(cache))
        share = xp.reshape(dy, kept) / self.divisor(cache)
        return xp.asarray(xp.broadcast_to(share, cache), copy=True), {}

    def divisor(self, input_shape: Shape) -> int:
        """Return the number by which the sum is divided."""
        return 1

    def output_shape(self, input_shape: Shape) -> Shape:
        over = self.over(input_shape)
        if self.keepdims:
            return tuple(1 if axis in over else size for axis, size in enumerate(input_shape))
        return tuple(size for axis, size in enumerate(input_shape) if axis not in over)

    def flops(self, input_shape: Shape) -> int:
        return math.prod(input_shape)

    def receptive_field(self, field: Field) -> Field:
        rows, columns = field.size
        whole = float("inf")
        return Field(
            (whole if {2, -2} & {*self.axes} else rows, whole if {3, -1} & {*self.axes} else columns),
            field.jump,
        )


class Mean(_Reduction):
    """Take the mean along axes.

    Forward: ``y = sum of x over the axes / n``, ``n`` being how many numbers a sum has.

    Backward: ``dx = dy / n``, repeated along the axes.

    Parameters
    ----------
    axes : int or sequence of int
        Axes other than 0, the batch; from the last one backwards, if negative.
    keepdims : bool, default False
        Whether the axes stay, with size 1: ``Mean((2, 3), keepdims=True)`` makes (N, C, 1, 1) of maps.

    Raises
    ------
    ValueError, TypeError
        If ``axes`` are no integers, or an ``x`` lacks one, or has none or 0 numbers along them.

    See Also
    --------
    GlobalAvgPool2D : The mean of whole maps, (N, C, H, W) -> (N, C).

    Notes
    -----
    Shapes: (N, ...) -> the same without the axes, or with size 1 there.

    Source: the operator ReduceMean of ONNX.

    Examples
    --------
    >>> import numpy as np
    >>> Mean(1)(np.array([[1.0, 2.0, 6.0]]))
    array([3.])
    """

    _function = "mean"

    def divisor(self, input_shape: Shape) -> int:
        return math.prod(input_shape[axis] for axis in self.over(input_shape))

    def output_shape(self, input_shape: Shape) -> Shape:
        if not self.divisor(input_shape):
            raise ValueError(f"{self!r} needs numbers along its axes, got shape {tuple(input_shape)}.")
        return super().output_shape(input_shape)


class Sum(_Reduction):
    """Sum along axes.

    Forward: ``y = sum of x over the axes``.

    Backward: ``dx = dy``, repeated along the axes.

    Parameters
    ----------
    axes : int or sequence of int
        Axes other than 0, the batch; from the last one backwards, if negative.
    keepdims : bool, default False
        Whether the axes stay, with size 1.

    Raises
    ------
    ValueError, TypeError
        If ``axes`` are no integers, or an ``x`` lacks one.

    Notes
    -----
    Shapes: (N, ...) -> the same without the axes, or with size 1 there.

    Source: the operator ReduceSum of ONNX.

    Examples
    --------
    >>> import numpy as np
    >>> Sum((1, 2), keepdims=True)(np.ones((1, 2, 3)))
    array([[[6.]]])
    """

    _function = "sum"
