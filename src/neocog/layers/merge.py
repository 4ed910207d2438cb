"""Define layers with several inputs: ``x`` is a tuple of arrays, ``input_shape`` a tuple of shapes."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

import numpy as np

from neocog.layers.base import Array, Field, Grads, Layer, Shape
from neocog.validation import integer


def _widest(fields: Any) -> Field:
    """Return the receptive field of a unit that sees through several paths."""
    sizes, jumps = zip(*((field.size, field.jump) for field in fields), strict=True)
    return Field(
        (max(s[0] for s in sizes), max(s[1] for s in sizes)),
        (max(j[0] for j in jumps), max(j[1] for j in jumps)),
    )


def broadcast_shape(layer: str, shapes: Any) -> Shape:
    """Return the shape to which arrays of these shapes are repeated; ValueError if there is none."""
    shapes = [tuple(shape) for shape in shapes]
    try:
        if not shapes:
            raise ValueError
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(f"{layer} needs inputs whose shapes broadcast, got {shapes}.") from None


def summed_to(dy: Array, shape: Shape) -> Array:
    """Sum over the axes along which an array of ``shape`` was repeated: the adjoint of broadcasting."""
    if tuple(dy.shape) == tuple(shape):
        return dy
    xp = dy.__array_namespace__()
    padded = (1,) * (dy.ndim - len(shape)) + tuple(shape)
    axes = tuple(k for k, (one, size) in enumerate(zip(padded, dy.shape, strict=True)) if one != size)
    return xp.reshape(xp.sum(dy, axis=axes, keepdims=True), shape)


class Add(Layer):
    """Sum arrays; where their shapes differ, those of size 1 are repeated, as NumPy broadcasts.

    Forward: ``y = x_1 + x_2 + ...``.

    Backward: ``dx_k = dy``, summed over the axes along which ``x_k`` was repeated.

    Raises
    ------
    ValueError
        If the shapes do not broadcast or there is no input.

    Notes
    -----
    Shapes: a tuple of shapes -> the shape they broadcast to.

    Source: K. He et al., "Deep residual learning for image recognition", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> Add()((np.array([1.0]), np.array([2.0])))
    array([3.])
    >>> Add()((np.array([[1.0], [2.0]]), np.array([10.0, 20.0])))
    array([[11., 21.],
           [12., 22.]])
    """

    several_inputs = True

    def forward(self, x: Any, training: bool = False) -> tuple[Array, list[Shape]]:
        shapes = [tuple(part.shape) for part in x]
        self.output_shape(shapes)
        return reduce(add, x), shapes

    def backward(self, dy: Array, cache: list[Shape], input_grad: bool = True) -> tuple[Any, Grads]:
        return tuple(summed_to(dy, shape) for shape in cache) if input_grad else None, {}

    def output_shape(self, input_shape: Any) -> Any:
        if input_shape and all(tuple(shape) == tuple(input_shape[0]) for shape in input_shape):
            return input_shape[0]
        return broadcast_shape("Add", input_shape)

    def flops(self, input_shape: Any) -> int:
        return (len(input_shape) - 1) * reduce(int.__mul__, self.output_shape(input_shape), 1)

    def receptive_field(self, field: Any) -> Field:
        return _widest(field)


class Concat(Layer):
    """Join arrays along one axis.

    Forward: ``y = [x_1, x_2, ...]`` along ``axis``.

    Backward: ``dy`` cut into its parts.

    Parameters
    ----------
    axis : int, default 1
        The channels; not the batch.

    Raises
    ------
    ValueError
        If the shapes differ on another axis or there is no input.

    Notes
    -----
    Shapes: (N, C_1, H, W), (N, C_2, H, W), ... -> (N, C_1 + C_2 + ..., H, W).

    Source: C. Szegedy et al., "Going deeper with convolutions", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> Concat()((np.zeros((1, 2)), np.ones((1, 1))))
    array([[0., 0., 1.]])
    """

    several_inputs = True

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = integer("axis", axis)

    def forward(self, x: Any, training: bool = False) -> tuple[Array, list[int]]:
        self.output_shape(tuple(part.shape for part in x))
        y = x[0].__array_namespace__().concat(tuple(x), axis=self.axis)
        return y, [part.shape[self.axis] for part in x]

    def backward(self, dy: Array, cache: list[int], input_grad: bool = True) -> tuple[Any, Grads]:
        if not input_grad:
            return None, {}
        parts, start = [], 0
        for size in cache:
            part = (slice(None),) * self.axis + (slice(start, start + size), ...)
            parts.append(dy[part])
            start += size
        return tuple(parts), {}

    def output_shape(self, input_shape: Any) -> Any:
        def others(shape: Any) -> list[int]:
            return [size for axis, size in enumerate(shape) if axis != self.axis]

        shapes = [tuple(shape) for shape in input_shape]
        if (
            not shapes
            or any(len(shape) <= self.axis for shape in shapes)
            or any(others(shape) != others(shapes[0]) for shape in shapes)
        ):
            raise ValueError(f"Concat needs shapes that differ only on axis {self.axis}, got {shapes}.")
        joined = list(shapes[0])
        joined[self.axis] = sum(shape[self.axis] for shape in shapes)
        return tuple(joined)

    def receptive_field(self, field: Any) -> Field:
        return _widest(field)
