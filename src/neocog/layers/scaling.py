"""Define layers that scale: by learned factors, and by fixed numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neocog.initializers import Initializer
from neocog.layers.base import Array, Grads, Layer, Shape, as_dtype
from neocog.layers.merge import fitting, summed_to
from neocog.validation import float_dtype, generator, integer, number


class Scale(Layer):
    """Multiply by learned numbers.

    Forward: ``y = w x``, ``w`` repeated along the axes that it lacks or has of size 1.

    Backward: ``dx = w dy``; ``dw`` is ``dy x`` summed over the axes along which ``w`` was repeated.

    Parameters
    ----------
    shape : int or tuple of int
        Of ``w``: ``(C, 1, 1)`` is one factor a channel, ``F`` one a feature, ``()`` a single one.
    init : float or initializer, default 1
        Factors at the beginning.
    dtype : floating point type

    Attributes
    ----------
    params : ``weight`` of that shape

    Raises
    ------
    ValueError, TypeError
        On a size below 1, an ``init`` that is no number, or an ``x`` along which ``w`` cannot be repeated.

    Notes
    -----
    Shapes: (N, ...) -> the same.

    Source: H. Touvron et al., "Going deeper with image transformers", 2021, whose layer scale begins with
    factors of 1e-6, so that a residual block begins as the identity.

    Examples
    --------
    >>> import numpy as np
    >>> Scale((2, 1, 1), init=0.5)(np.ones((1, 2, 1, 3), np.float32))
    array([[[[0.5, 0.5, 0.5]],
    <BLANKLINE>
            [[0.5, 0.5, 0.5]]]], dtype=float32)
    """

    def __init__(
        self, shape: int | tuple[int, ...], init: float | Initializer = 1.0, *, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        sizes = shape if isinstance(shape, tuple | list) else (shape,)
        self.shape = tuple(integer("shape", size) for size in sizes)
        dtype = float_dtype(dtype)
        if callable(init):
            self._params["weight"] = init(self.shape, 1, 1, generator(0), dtype)
        else:
            self._params["weight"] = np.full(self.shape, number("init", init), dtype)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        self.output_shape(x.shape)
        weight = self._params["weight"]
        x = as_dtype(x, weight.dtype)
        return weight * x, x

    def backward(self, dy: Array, cache: Array, input_grad: bool = True) -> tuple[Array | None, Grads]:
        grads = {"weight": summed_to(dy * cache, self.shape)}
        return self._params["weight"] * dy if input_grad else None, grads

    def output_shape(self, input_shape: Shape) -> Shape:
        return fitting("Scale", self.shape, input_shape)

    def flops(self, input_shape: Shape) -> int:
        return math.prod(input_shape)


class Rescale(Layer):
    """Multiply by a fixed number, and add another; or by arrays of fixed numbers.

    Forward: ``y = a x + b``, arrays repeated along the axes that they lack or have of size 1.

    Backward: ``dx = a dy``.

    Parameters
    ----------
    scale : float or nested sequence of float, default 1
        ``a``.
    offset : float or nested sequence of float, default 0
        ``b``.
    dtype : floating point type
        Of the arrays; a single number is exact in any.

    Attributes
    ----------
    buffers : ``scale`` and ``offset`` where they are arrays, which nothing changes

    Raises
    ------
    ValueError, TypeError
        On numbers that are not finite, or an ``x`` along which an array cannot be repeated.

    See Also
    --------
    Scale : Learns its factors.
    Normalize : Shifts and divides each channel by the mean and the deviation of the data.

    Notes
    -----
    Shapes: (N, ...) -> the same.

    Source: the operators Mul and Add of ONNX by constants.

    Examples
    --------
    >>> import numpy as np
    >>> Rescale(2, offset=-1)(np.array([[0.0, 0.5, 1.0]]))
    array([[-1.,  0.,  1.]])
    >>> Rescale([1, 10])(np.array([[3.0, 3.0]]))
    array([[ 3., 30.]], dtype=float32)
    """

    def __init__(self, scale: Any = 1.0, offset: Any = 0.0, *, dtype: Any = "float32") -> None:
        super().__init__()
        self._numbers: dict[str, float] = {}
        for name, given in (("scale", scale), ("offset", offset)):
            if np.ndim(given) == 0:
                value = np.asarray(given).item()
                self._numbers[name] = number(name, value, -math.inf, math.inf, True, True)
                continue
            array = np.array(given)
            if array.dtype.kind not in "fiu" or not np.isfinite(array).all() or not array.size:
                raise ValueError(f"{name} must be a finite number, or an array of them, got {given!r}.")
            self._buffers[name] = array.astype(float_dtype(dtype))

    @property
    def scale(self) -> Any:
        """The factor, or the factors as nested tuples to six digits; the buffer has all."""
        return self._described("scale")

    @property
    def offset(self) -> Any:
        """The number added, or the numbers as nested tuples to six digits; the buffer has all."""
        return self._described("offset")

    def _described(self, name: str) -> Any:
        return self._numbers[name] if name in self._numbers else _rounded(self._buffers[name])

    def terms(self) -> tuple[Any, Any]:
        """Return scale and offset as they are computed with: each a number or an array."""
        scale, offset = ((self._numbers | self._buffers)[name] for name in ("scale", "offset"))
        return scale, offset

    def forward(self, x: Array, training: bool = False) -> tuple[Array, None]:
        self.output_shape(x.shape)
        for array in self._buffers.values():
            x = as_dtype(x, array.dtype)
        scale, offset = self.terms()
        return x * scale + offset, None

    def backward(self, dy: Array, cache: None, input_grad: bool = True) -> tuple[Array | None, Grads]:
        return dy * self.terms()[0] if input_grad else None, {}

    def output_shape(self, input_shape: Shape) -> Shape:
        for array in self._buffers.values():
            fitting("Rescale", array.shape, input_shape)
        return input_shape

    def flops(self, input_shape: Shape) -> int:
        return 2 * math.prod(input_shape)


def _rounded(array: Array) -> Any:
    """Return numbers to six digits, which are the same in float32 and float64, as nested tuples."""
    if array.ndim == 0:
        return float(f"{np.real(array).item():.6g}")
    return tuple(_rounded(part) for part in array)
