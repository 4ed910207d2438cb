"""Define the layer that adds learned numbers."""

from __future__ import annotations

from functools import reduce
from typing import Any

from neocog.initializers import zeros
from neocog.layers.base import Array, Grads, Layer, Shape, as_dtype
from neocog.layers.merge import fitting, summed_to
from neocog.validation import float_dtype, generator, integer


class Bias(Layer):
    """Add learned numbers.

    Forward: ``y = x + b``, ``b`` repeated along the axes that it lacks or has of size 1.

    Backward: ``dx = dy``; ``db`` is ``dy`` summed over the axes along which ``b`` was repeated.

    Parameters
    ----------
    shape : int or tuple of int
        Of ``b``: ``(C, 1, 1)`` is one number a channel, ``F`` one a feature.
    dtype : floating point type

    Attributes
    ----------
    params : ``bias`` of that shape, zeros at first

    Raises
    ------
    ValueError, TypeError
        On a size below 1, or an ``x`` along which ``b`` cannot be repeated.

    Notes
    -----
    Shapes: (N, ...) -> the same.

    Source: W. McCulloch, W. Pitts, "A logical calculus of the ideas immanent in nervous activity", 1943,
    whose thresholds they are.

    Examples
    --------
    >>> import numpy as np
    >>> bias = Bias((2, 1, 1))
    >>> bias.params["bias"][:, 0, 0] = [1, 2]
    >>> bias(np.zeros((1, 2, 1, 3), np.float32))
    array([[[[1., 1., 1.]],
    <BLANKLINE>
            [[2., 2., 2.]]]], dtype=float32)
    """

    def __init__(self, shape: int | tuple[int, ...], *, dtype: Any = "float32") -> None:
        super().__init__()
        sizes = shape if isinstance(shape, tuple | list) else (shape,)
        self.shape = tuple(integer("shape", size) for size in sizes)
        self._params["bias"] = zeros(self.shape, 1, 1, generator(0), float_dtype(dtype))

    def forward(self, x: Array, training: bool = False) -> tuple[Array, None]:
        self.output_shape(x.shape)
        bias = self._params["bias"]
        return as_dtype(x, bias.dtype) + bias, None

    def backward(self, dy: Array, cache: None, input_grad: bool = True) -> tuple[Array | None, Grads]:
        return dy if input_grad else None, {"bias": summed_to(dy, self.shape)}

    def output_shape(self, input_shape: Shape) -> Shape:
        return fitting("Bias", self.shape, input_shape)

    def flops(self, input_shape: Shape) -> int:
        return reduce(int.__mul__, input_shape, 1)
