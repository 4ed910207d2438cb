"""Define layers that give an array another shape and compute nothing."""

from __future__ import annotations

import math

from neocog.layers.base import Array, Grads, Layer, Shape
from neocog.validation import integer


class Flatten(Layer):
    """Reshape each image to one row, in C order: channel by channel, row by row.

    Forward: ``y[n, (c H + i) W + j] = x[n,c,i,j]``.

    Backward: the reshape back.

    Raises
    ------
    ValueError
        If ``x`` has no batch axis.

    Notes
    -----
    Shapes: (N, ...) -> (N, product of the rest).

    Examples
    --------
    >>> import numpy as np
    >>> Flatten()(np.zeros((5, 3, 2, 2))).shape
    (5, 12)
    """

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Shape]:
        return x.__array_namespace__().reshape(x, self.output_shape(x.shape)), x.shape

    def backward(self, dy: Array, cache: Shape, input_grad: bool = True) -> tuple[Array | None, Grads]:
        return dy.__array_namespace__().reshape(dy, cache) if input_grad else None, {}

    def output_shape(self, input_shape: Shape) -> Shape:
        if not input_shape:
            raise ValueError("Flatten needs a batch axis, got shape ().")
        features = 1
        for size in input_shape[1:]:
            features *= size
        return input_shape[0], features


class Reshape(Layer):
    """Give an array another shape; its numbers keep their order, that of C.

    Forward: ``y`` is ``x`` read row by row, written row by row into the new shape.

    Backward: the reshape back.

    Parameters
    ----------
    shape : tuple of int
        The whole shape, the batch included. 0 stands for the size that ``x`` has at that place, one -1 for
        what is left: ``(0, -1)`` does what Flatten does.

    Raises
    ------
    ValueError, TypeError
        On a size below -1 or a second -1, or an ``x`` whose numbers do not fill the shape.

    Notes
    -----
    Shapes: any -> ``shape``.

    Source: the operator Reshape of ONNX, whose 0 and -1 mean the same.

    Examples
    --------
    >>> import numpy as np
    >>> Reshape((0, -1, 2))(np.zeros((5, 3, 4))).shape
    (5, 6, 2)
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        if not isinstance(shape, tuple | list) or not shape:
            raise ValueError(f"shape must be a tuple of integers, got {shape!r}.")
        self.shape = tuple(integer("shape", size, -1) for size in shape)
        if self.shape.count(-1) > 1:
            raise ValueError(f"shape must have one -1 at most, got {self.shape}.")

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Shape]:
        return x.__array_namespace__().reshape(x, self.output_shape(x.shape)), x.shape

    def backward(self, dy: Array, cache: Shape, input_grad: bool = True) -> tuple[Array | None, Grads]:
        return dy.__array_namespace__().reshape(dy, cache) if input_grad else None, {}

    def output_shape(self, input_shape: Shape) -> Shape:
        copied = {axis for axis, size in enumerate(self.shape) if size == 0}
        if max(copied, default=-1) < len(input_shape):
            # The copied axes stand on both sides, so that -1 is known even for a batch of no images.
            left = math.prod(size for axis, size in enumerate(input_shape) if axis not in copied)
            given = math.prod(size for size in self.shape if size > 0)
            if left == given or (-1 in self.shape and left % given == 0):
                inferred = {0: input_shape, -1: [left // given] * len(self.shape)}
                return tuple(inferred[s][axis] if s < 1 else s for axis, s in enumerate(self.shape))
        raise ValueError(f"Reshape to {self.shape} does not fit an x of shape {tuple(input_shape)}.")


class Transpose(Layer):
    """Put the axes in another order.

    Forward: axis k of ``y`` is axis ``axes[k]`` of ``x``: ``(0, 2, 3, 1)`` makes (N, H, W, C) of
    (N, C, H, W).

    Backward: the axes back in their order.

    Parameters
    ----------
    axes : tuple of int
        A permutation of all axes, the batch included.

    Raises
    ------
    ValueError, TypeError
        If ``axes`` is no permutation of 0, 1, ..., or ``x`` has not as many axes.

    Notes
    -----
    Shapes: any -> its sizes in that order.

    Examples
    --------
    >>> import numpy as np
    >>> Transpose((0, 2, 3, 1))(np.zeros((1, 2, 3, 4))).shape
    (1, 3, 4, 2)
    """

    def __init__(self, axes: tuple[int, ...]) -> None:
        super().__init__()
        if not isinstance(axes, tuple | list) or not axes:
            raise ValueError(f"axes must be a tuple of integers, got {axes!r}.")
        self.axes = tuple(integer("axes", axis, 0) for axis in axes)
        if sorted(self.axes) != list(range(len(self.axes))):
            raise ValueError(f"axes must be a permutation of 0..{len(self.axes) - 1}, got {self.axes}.")

    def forward(self, x: Array, training: bool = False) -> tuple[Array, None]:
        self.output_shape(x.shape)
        return x.__array_namespace__().permute_dims(x, self.axes), None

    def backward(self, dy: Array, cache: None, input_grad: bool = True) -> tuple[Array | None, Grads]:
        back = tuple(self.axes.index(axis) for axis in range(len(self.axes)))
        return dy.__array_namespace__().permute_dims(dy, back) if input_grad else None, {}

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != len(self.axes):
            raise ValueError(f"Transpose by {self.axes} does not fit an x of shape {tuple(input_shape)}.")
        return tuple(input_shape[axis] for axis in self.axes)
