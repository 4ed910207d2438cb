"""Define layers with several inputs: ``x`` is a tuple of arrays, ``input_shape`` a tuple of shapes."""

from __future__ import annotations

import math
from functools import reduce
from operator import add, gt, lt, mul
from typing import Any, ClassVar

import numpy as np

from neocog.kernels.geometry import is_complex
from neocog.layers.base import WHOLE_IMAGE, Array, Field, Grads, Layer, Shape
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


def fitting(layer: str, shape: Shape, input_shape: Shape) -> Shape:
    """Return ``input_shape``; ValueError if an array of ``shape`` cannot be repeated along it."""
    padded = (1,) * (len(input_shape) - len(shape)) + tuple(shape)
    if len(padded) != len(input_shape) or any(
        own not in (1, size) for own, size in zip(padded, input_shape, strict=True)
    ):
        raise ValueError(f"{layer} of shape {tuple(shape)} does not fit an x of shape {tuple(input_shape)}.")
    return input_shape


class Broadcasting(Layer):
    """Base of the layers that compute each number from one of every input, repeated where they broadcast."""

    several_inputs = True

    def output_shape(self, input_shape: Any) -> Any:
        if input_shape and all(tuple(shape) == tuple(input_shape[0]) for shape in input_shape):
            return input_shape[0]
        return broadcast_shape(type(self).__name__, input_shape)

    def flops(self, input_shape: Any) -> int:
        return (len(input_shape) - 1) * reduce(int.__mul__, self.output_shape(input_shape), 1)

    def receptive_field(self, field: Any) -> Field:
        return _widest(field)


class Add(Broadcasting):
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

    def forward(self, x: Any, training: bool = False) -> tuple[Array, list[Shape]]:
        shapes = [tuple(part.shape) for part in x]
        self.output_shape(shapes)
        return reduce(add, x), shapes

    def backward(self, dy: Array, cache: list[Shape], input_grad: bool = True) -> tuple[Any, Grads]:
        return tuple(summed_to(dy, shape) for shape in cache) if input_grad else None, {}


class Multiply(Broadcasting):
    """Multiply arrays number by number; where their shapes differ, those of size 1 are repeated.

    Forward: ``y = x_1 x_2 ...``.

    Backward: ``dx_k = dy`` times all inputs but ``x_k``, summed over the axes along which ``x_k`` was
    repeated.

    Raises
    ------
    ValueError
        If the shapes do not broadcast or there is no input.

    Notes
    -----
    Shapes: a tuple of shapes -> the shape they broadcast to; squeeze and excitation multiplies (N, C, H, W)
    by (N, C, 1, 1), one gate a channel.

    Source: S. Hochreiter, J. Schmidhuber, "Long short-term memory", 1997, whose gates are such products;
    J. Hu, L. Shen, G. Sun, "Squeeze-and-excitation networks", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> Multiply()((np.array([[1.0, 2.0]]), np.array([[3.0], [10.0]])))
    array([[ 3.,  6.],
           [10., 20.]])
    """

    def forward(self, x: Any, training: bool = False) -> tuple[Array, tuple[Array, ...]]:
        self.output_shape([part.shape for part in x])
        return reduce(mul, x), tuple(x)

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Any, Grads]:
        if not input_grad:
            return None, {}
        products = (reduce(mul, cache[:k] + cache[k + 1 :], dy) for k in range(len(cache)))
        return tuple(summed_to(dx, x.shape) for dx, x in zip(products, cache, strict=True)), {}


class MatMul(Layer):
    """Multiply the matrices of two arrays along their last two axes; axes before them broadcast.

    Forward: ``y[..., i, j] = sum over k of a[..., i, k] b[..., k, j]``.

    Backward: ``da = dy b^T``, ``db = a^T dy``, summed over the axes along which ``a`` or ``b`` was repeated.

    Raises
    ------
    ValueError
        If there are not two inputs of as many axes, three or more, or their sizes do not fit.

    See Also
    --------
    Dense : A product with one learned matrix.

    Notes
    -----
    Shapes: (N, ..., I, K), (N, ..., K, J) -> (N, ..., I, J).

    Source: Y. Cao et al., "GCNet: non-local networks meet squeeze-excitation networks and beyond", 2019,
    whose weighted mean over space it is; A. Vaswani et al., "Attention is all you need", 2017.

    Examples
    --------
    >>> import numpy as np
    >>> MatMul()((np.array([[[1.0, 2.0]]]), np.array([[[3.0, 0.0], [0.0, 10.0]]])))
    array([[[ 3., 20.]]])
    """

    several_inputs = True

    def forward(self, x: Any, training: bool = False) -> tuple[Array, Any]:
        self.output_shape([part.shape for part in x])
        a, b = x
        return a.__array_namespace__().matmul(a, b), (a, b)

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Any, Grads]:
        if not input_grad:
            return None, {}
        (a, b), xp = cache, dy.__array_namespace__()
        da = xp.matmul(dy, xp.matrix_transpose(b))
        db = xp.matmul(xp.matrix_transpose(a), dy)
        return (summed_to(da, a.shape), summed_to(db, b.shape)), {}

    def output_shape(self, input_shape: Any) -> Any:
        shapes = [tuple(shape) for shape in input_shape]
        ranks = {len(shape) for shape in shapes}
        if len(shapes) != 2 or len(ranks) != 1 or min(ranks) < 3 or shapes[0][-1] != shapes[1][-2]:
            raise ValueError(
                f"MatMul needs two inputs of shapes (N, ..., I, K) and (N, ..., K, J), got {shapes}."
            )
        return (
            *broadcast_shape("MatMul", [shape[:-2] for shape in shapes]),
            shapes[0][-2],
            shapes[1][-1],
        )

    def flops(self, input_shape: Any) -> int:
        return 2 * int(input_shape[0][-1] * math.prod(self.output_shape(input_shape)))

    def receptive_field(self, field: Any) -> Field:
        return WHOLE_IMAGE


class _Extremum(Broadcasting):
    """Base of both: ``_function`` picks the best of two numbers, and ``_loses`` tells which are not."""

    _function: ClassVar[str]
    _loses: ClassVar[Any]

    def forward(self, x: Any, training: bool = False) -> tuple[Array, Any]:
        self.output_shape([part.shape for part in x])
        xp = x[0].__array_namespace__()
        real = [xp.real(part) if is_complex(part) else part for part in x]
        y = reduce(getattr(xp, self._function), real)
        won = [~self._loses(part, y) for part in real]  # all, where a NaN won
        if any(map(is_complex, x)):
            for mask, part in zip(won, x, strict=True):
                y = xp.where(mask, part, y)
        return y, (won, [part.shape for part in x])

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Any, Grads]:
        if not input_grad:
            return None, {}
        xp = dy.__array_namespace__()
        won = [xp.astype(mask, dy.dtype) for mask in cache[0]]
        share = dy / reduce(add, won)
        return tuple(summed_to(share * mask, shape) for mask, shape in zip(won, cache[1], strict=True)), {}


class Maximum(_Extremum):
    """Keep the largest of several numbers; where shapes differ, those of size 1 are repeated.

    Forward: ``y = max(x_1, x_2, ...)``.

    Backward: ``dx_k = dy [x_k = y] / n``, ``n`` being how many inputs equal ``y``: on a tie they share, as in
    PyTorch; summed over the axes along which ``x_k`` was repeated.

    Raises
    ------
    ValueError
        If the shapes do not broadcast or there is no input.

    Notes
    -----
    Shapes: a tuple of shapes -> the shape they broadcast to.

    Source: I. Goodfellow et al., "Maxout networks", 2013.

    Examples
    --------
    >>> import numpy as np
    >>> Maximum()((np.array([1.0, 5.0]), np.array([2.0, 3.0])))
    array([2., 5.])
    """

    _function, _loses = "maximum", staticmethod(lt)


class Minimum(_Extremum):
    """Keep the smallest of several numbers; where shapes differ, those of size 1 are repeated.

    Forward: ``y = min(x_1, x_2, ...)``.

    Backward: ``dx_k = dy [x_k = y] / n``, ``n`` being how many inputs equal ``y``: on a tie they share, as in
    PyTorch; summed over the axes along which ``x_k`` was repeated.

    Raises
    ------
    ValueError
        If the shapes do not broadcast or there is no input.

    Notes
    -----
    Shapes: a tuple of shapes -> the shape they broadcast to.

    Source: I. Goodfellow et al., "Maxout networks", 2013, whose maximum it mirrors.

    Examples
    --------
    >>> import numpy as np
    >>> Minimum()((np.array([1.0, 5.0]), np.array([2.0, 3.0])))
    array([1., 3.])
    """

    _function, _loses = "minimum", staticmethod(gt)


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
