"""Normalise sets of numbers within each image."""

from __future__ import annotations

import math
from typing import Any

from neocog.initializers import ones, zeros
from neocog.layers.base import WHOLE_IMAGE, Array, Field, Grads, Layer, Shape, as_dtype
from neocog.validation import float_dtype, generator, integer, number


class _SampleNorm(Layer):
    """Normalise sets of numbers within each image, the same in training and inference.

    Subclasses say which numbers of ``x`` are a set, and along which axes the weights lie.
    """

    eps: float

    def _learn(self, shape: Shape, dtype: Any) -> None:
        arguments = (shape, 1, 1, generator(0), float_dtype(dtype))
        self._params.update(weight=ones(*arguments), bias=zeros(*arguments))

    def _sets(self, shape: Shape) -> Shape:
        """Return the shape (sets, numbers in a set) in which each set of ``x`` is a row."""
        raise NotImplementedError

    def _affine(self, shape: Shape) -> tuple[Shape, tuple[int, ...]]:
        """Return the shape in which weights go with ``x``, and the axes along which they are repeated."""
        raise NotImplementedError

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Any]:
        self.output_shape(x.shape)
        weight, bias = self._params["weight"], self._params["bias"]
        x = as_dtype(x, weight.dtype)
        xp = x.__array_namespace__()
        sets = xp.reshape(x, self._sets(x.shape))
        centred = sets - xp.mean(sets, axis=1, keepdims=True)
        inv_std = 1 / xp.sqrt(xp.mean(centred * centred, axis=1, keepdims=True) + self.eps)
        x_hat = xp.reshape(centred * inv_std, x.shape)
        lift, _ = self._affine(x.shape)
        return x_hat * xp.reshape(weight, lift) + xp.reshape(bias, lift), (x_hat, inv_std)

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Array | None, Grads]:
        x_hat, inv_std = cache
        xp = dy.__array_namespace__()
        weight = self._params["weight"]
        lift, repeated = self._affine(dy.shape)
        sums = {"weight": xp.sum(dy * x_hat, axis=repeated), "bias": xp.sum(dy, axis=repeated)}
        grads = {name: xp.reshape(each, weight.shape) for name, each in sums.items()}
        if not input_grad:
            return None, grads
        shape = self._sets(dy.shape)
        g, x_hat = xp.reshape(dy * xp.reshape(weight, lift), shape), xp.reshape(x_hat, shape)
        mean, slope = (xp.mean(each, axis=1, keepdims=True) for each in (g, g * x_hat))
        return xp.reshape(inv_std * (g - mean - x_hat * slope), dy.shape), grads

    def flops(self, input_shape: Shape) -> int:
        # The mean, the difference from it, its square and their mean, the scale, the product and the sum.
        return 7 * math.prod(input_shape)


class GroupNorm(_SampleNorm):
    """Give each group of channels of each image mean 0 and variance 1, then scale and shift each channel.

    Forward, with the mean m and the (biased) variance v of the C / G channels and all positions of a group::

        x_hat = (x - m) / sqrt(v + eps),    y = w[c] x_hat + b[c]

    Backward, with g = w[c] dy, sums over the batch and all positions, means over a group::

        dw[c] = sum dy x_hat,    db[c] = sum dy
        dx = (g - mean(g) - x_hat mean(g x_hat)) / sqrt(v + eps)

    Parameters
    ----------
    num_groups : int
        ``G``: 1 for one mean and variance an image, ``num_channels`` for one a map (instance normalization).
    num_channels : int
        ``C``, a multiple of ``num_groups``.
    eps : float
    dtype : floating point type

    Attributes
    ----------
    params : ``weight`` (C,) and ``bias`` (C,)

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, or an ``x`` of another number of channels.

    Notes
    -----
    Shapes: (N, C, ...) -> the same.

    It does not depend on the batch, so it serves where batches are small.

    Source: Y. Wu, K. He, "Group normalization", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> GroupNorm(2, 4, eps=1e-12, dtype="float64")(np.array([[1.0, 3.0, 5.0, 5.0]])).round(6)
    array([[-1.,  1.,  0.,  0.]])
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, *, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.num_groups = integer("num_groups", num_groups)
        self.num_channels = integer("num_channels", num_channels)
        if self.num_channels % self.num_groups:
            raise ValueError(
                f"num_channels must be a multiple of num_groups {num_groups}, got {num_channels}."
            )
        self.eps = number("eps", eps, 0, exclusive_minimum=True)
        self._learn((self.num_channels,), dtype)

    def _sets(self, shape: Shape) -> Shape:
        N, C, *places = shape
        return N * self.num_groups, C // self.num_groups * math.prod(places)

    def _affine(self, shape: Shape) -> tuple[Shape, tuple[int, ...]]:
        rank = len(shape)
        return (1, self.num_channels, *(1,) * (rank - 2)), (0, *range(2, rank))

    def output_shape(self, input_shape: Shape) -> Shape:
        C = self.num_channels
        if len(input_shape) < 2 or input_shape[1] != C:
            raise ValueError(
                f"GroupNorm needs inputs of shape (N, C, ...) with C = {C}, got shape {tuple(input_shape)}."
            )
        return input_shape

    def receptive_field(self, field: Field) -> Field:
        return WHOLE_IMAGE


class LayerNorm(_SampleNorm):
    """Give the numbers along the last axes mean 0 and variance 1, then scale and shift each.

    Forward, with the mean m and the (biased) variance v over the last axes, i a place along them::

        x_hat = (x - m) / sqrt(v + eps),    y = w[i] x_hat + b[i]

    Backward, with g = w[i] dy, sums over all other axes, means over the last axes::

        dw[i] = sum dy x_hat,    db[i] = sum dy
        dx = (g - mean(g) - x_hat mean(g x_hat)) / sqrt(v + eps)

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Sizes of the last axes; never the batch.
    eps : float
    dtype : floating point type

    Attributes
    ----------
    params : ``weight`` and ``bias``, both of the normalized shape

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, or an ``x`` whose last axes are of other sizes.

    Notes
    -----
    Shapes: ``(N, ..., *normalized_shape)`` -> the same.

    The channels of each pixel, as in ConvNeXt, are normalised between two transpositions:
    ``Transpose((0, 2, 3, 1)), LayerNorm(C, 1e-6), Transpose((0, 3, 1, 2))``.

    Source: J. Ba, J. Kiros, G. Hinton, "Layer normalization", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> LayerNorm(2, eps=1e-12, dtype="float64")(np.array([[1.0, 3.0], [5.0, 5.0]])).round(6)
    array([[-1.,  1.],
           [ 0.,  0.]])
    """

    def __init__(
        self, normalized_shape: int | tuple[int, ...], eps: float = 1e-5, *, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        sizes = normalized_shape if isinstance(normalized_shape, tuple | list) else (normalized_shape,)
        self.normalized_shape = tuple(integer("normalized_shape", size) for size in sizes)
        if not self.normalized_shape:
            raise ValueError("normalized_shape must have one size at least, got ().")
        self.eps = number("eps", eps, 0, exclusive_minimum=True)
        self._learn(self.normalized_shape, dtype)

    def _sets(self, shape: Shape) -> Shape:
        outer = len(shape) - len(self.normalized_shape)
        return math.prod(shape[:outer]), math.prod(shape[outer:])

    def _affine(self, shape: Shape) -> tuple[Shape, tuple[int, ...]]:
        outer = len(shape) - len(self.normalized_shape)
        return (*(1,) * outer, *self.normalized_shape), tuple(range(outer))

    def output_shape(self, input_shape: Shape) -> Shape:
        sizes = self.normalized_shape
        if len(input_shape) <= len(sizes) or tuple(input_shape[-len(sizes) :]) != sizes:
            raise ValueError(
                f"LayerNorm needs inputs of shape (N, ..., {', '.join(map(str, sizes))}), "
                f"got shape {tuple(input_shape)}."
            )
        return input_shape

    def receptive_field(self, field: Field) -> Field:
        return WHOLE_IMAGE
