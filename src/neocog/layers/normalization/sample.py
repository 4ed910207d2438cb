"""Normalise sets of numbers within each image."""

from __future__ import annotations

import math
from typing import Any

from neocog.initializers import ones, zeros
from neocog.layers.base import WHOLE_IMAGE, Array, Field, Grads, Layer, Shape, as_dtype, images
from neocog.validation import float_dtype, generator, integer, number


class _SampleNorm(Layer):
    """Normalise sets of numbers within each image, the same in training and inference.

    Subclasses say which numbers of ``x`` are a set, and along which axes the weights lie; without weights,
    the normalised numbers are the output.
    """

    eps: float

    def _learn(self, shape: Shape, dtype: Any) -> None:
        arguments = (shape, 1, 1, generator(0), float_dtype(dtype))
        self._params.update(weight=ones(*arguments), bias=zeros(*arguments))

    def sets(self, shape: Shape) -> Shape:
        """Return the shape of three axes in which the numbers of a set lie along the second."""
        raise NotImplementedError

    def _affine(self, shape: Shape) -> tuple[Shape, tuple[int, ...]]:
        """Return the shape in which weights go with ``x``, and the axes along which they are repeated."""
        raise NotImplementedError

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Any]:
        self.output_shape(x.shape)
        x = as_dtype(x, self.dtype)
        xp = x.__array_namespace__()
        parts = xp.reshape(x, self.sets(x.shape))
        centred = parts - xp.mean(parts, axis=1, keepdims=True)
        inv_std = 1 / xp.sqrt(xp.mean(centred * centred, axis=1, keepdims=True) + self.eps)
        y = x_hat = xp.reshape(centred * inv_std, x.shape)
        if self._params:
            lift, _ = self._affine(x.shape)
            weight, bias = (xp.reshape(self._params[name], lift) for name in ("weight", "bias"))
            y = x_hat * weight + bias
        return y, (x_hat, inv_std)

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Array | None, Grads]:
        x_hat, inv_std = cache
        xp = dy.__array_namespace__()
        g, grads = dy, {}
        if self._params:
            weight = self._params["weight"]
            lift, repeated = self._affine(dy.shape)
            sums = {"weight": xp.sum(dy * x_hat, axis=repeated), "bias": xp.sum(dy, axis=repeated)}
            grads = {name: xp.reshape(each, weight.shape) for name, each in sums.items()}
            g = dy * xp.reshape(weight, lift)
        if not input_grad:
            return None, grads
        shape = self.sets(dy.shape)
        g, x_hat = xp.reshape(g, shape), xp.reshape(x_hat, shape)
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
        ``G``: 1 for one mean and variance an image, ``num_channels`` for one a map, as :class:`InstanceNorm`.
    num_channels : int
        ``C``, a multiple of ``num_groups``.
    eps : float
    affine : bool
        Whether to scale and shift; else ``y = x_hat``.
    dtype : floating point type

    Attributes
    ----------
    params : ``weight`` (C,) and ``bias`` (C,), if ``affine``

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
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.num_groups = integer("num_groups", num_groups)
        self.num_channels = integer("num_channels", num_channels)
        if self.num_channels % self.num_groups:
            raise ValueError(
                f"num_channels must be a multiple of num_groups {num_groups}, got {num_channels}."
            )
        self.eps = number("eps", eps, 0, exclusive_minimum=True)
        self.affine = bool(affine)
        if self.affine:
            self._learn((self.num_channels,), dtype)

    def sets(self, shape: Shape) -> Shape:
        N, C, *places = shape
        return N * self.num_groups, C // self.num_groups * math.prod(places), 1

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


class InstanceNorm(GroupNorm):
    """Give each map of each image mean 0 and variance 1, then scale and shift each channel if ``affine``.

    Forward, with the mean m and the (biased) variance v over all positions of a map::

        x_hat = (x - m) / sqrt(v + eps),    y = w[c] x_hat + b[c]    or, unless affine,    y = x_hat

    Backward, with g = w[c] dy or g = dy, sums over the batch and all positions, means over a map::

        dw[c] = sum dy x_hat,    db[c] = sum dy
        dx = (g - mean(g) - x_hat mean(g x_hat)) / sqrt(v + eps)

    Parameters
    ----------
    num_features : int
        ``C``.
    eps : float
    affine : bool, default False
        Whether to scale and shift, as in PyTorch.
    dtype : floating point type

    Attributes
    ----------
    params : ``weight`` (C,) and ``bias`` (C,), if ``affine``

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, or an ``x`` that is not (N, C, H, W).

    Notes
    -----
    Shapes: (N, C, H, W) -> the same.

    Source: D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance normalization: the missing ingredient for fast
    stylization", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> InstanceNorm(2, eps=1e-12)(np.array([[[[1.0, 3.0]], [[5.0, 5.0]]]])).round(6)
    array([[[[-1.,  1.]],
    <BLANKLINE>
            [[ 0.,  0.]]]])
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, affine: bool = False, *, dtype: Any = "float32"
    ) -> None:
        self.num_features = integer("num_features", num_features)
        super().__init__(self.num_features, self.num_features, eps, affine, dtype=dtype)

    def output_shape(self, input_shape: Shape) -> Shape:
        return images("InstanceNorm", input_shape, self.num_features)


class LayerNorm(_SampleNorm):
    """Give the numbers along the last axes, or the channels, mean 0 and variance 1; scale and shift each.

    Forward, with the mean m and the (biased) variance v over the normalised axes, i a place along them::

        x_hat = (x - m) / sqrt(v + eps),    y = w[i] x_hat + b[i]

    Backward, with g = w[i] dy, sums over all other axes, means over the normalised axes::

        dw[i] = sum dy x_hat,    db[i] = sum dy
        dx = (g - mean(g) - x_hat mean(g x_hat)) / sqrt(v + eps)

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Sizes of the normalised axes, which follow each other; never the batch.
    eps : float
    axis : int or None
        First of the normalised axes: 1 for the channels of each pixel of maps (N, C, H, W), as in ConvNeXt.
        None: they are the last.
    dtype : floating point type

    Attributes
    ----------
    params : ``weight`` and ``bias``, both of the normalized shape

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, or an ``x`` whose normalised axes are of other sizes.

    Notes
    -----
    Shapes: ``(N, ..., *normalized_shape)``, or ``(N, *normalized_shape, ...)`` for ``axis=1`` -> the same.

    Source: J. Ba, J. Kiros, G. Hinton, "Layer normalization", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> LayerNorm(2, eps=1e-12, dtype="float64")(np.array([[1.0, 3.0], [5.0, 5.0]])).round(6)
    array([[-1.,  1.],
           [ 0.,  0.]])
    >>> LayerNorm(2, eps=1e-12, axis=1, dtype="float64")(np.array([[[1.0, 5.0], [3.0, 5.0]]])).round(6)
    array([[[-1.,  0.],
            [ 1.,  0.]]])
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        axis: int | None = None,
        *,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        sizes = normalized_shape if isinstance(normalized_shape, tuple | list) else (normalized_shape,)
        self.normalized_shape = tuple(integer("normalized_shape", size) for size in sizes)
        if not self.normalized_shape:
            raise ValueError("normalized_shape must have one size at least, got ().")
        self.eps = number("eps", eps, 0, exclusive_minimum=True)
        self.axis = None if axis is None else integer("axis", axis)
        self._learn(self.normalized_shape, dtype)

    def span(self, rank: int) -> tuple[int, int]:
        """Return the first of the normalised axes of an array of so many axes, and one past the last."""
        count = len(self.normalized_shape)
        first = rank - count if self.axis is None else self.axis
        return first, first + count

    def sets(self, shape: Shape) -> Shape:
        first, end = self.span(len(shape))
        return math.prod(shape[:first]), math.prod(shape[first:end]), math.prod(shape[end:])

    def _affine(self, shape: Shape) -> tuple[Shape, tuple[int, ...]]:
        rank = len(shape)
        first, end = self.span(rank)
        lift = (*(1,) * first, *self.normalized_shape, *(1,) * (rank - end))
        return lift, (*range(first), *range(end, rank))

    def output_shape(self, input_shape: Shape) -> Shape:
        first, end = self.span(len(input_shape))
        if first < 1 or tuple(input_shape[first:end]) != self.normalized_shape:
            sizes = [str(size) for size in self.normalized_shape]
            wanted = ["N", "...", *sizes] if self.axis is None else ["N", *["."] * (first - 1), *sizes, "..."]
            raise ValueError(
                f"LayerNorm needs inputs of shape ({', '.join(wanted)}), got shape {tuple(input_shape)}."
            )
        return input_shape

    def receptive_field(self, field: Field) -> Field:
        return field if self.axis == 1 and len(self.normalized_shape) == 1 else WHOLE_IMAGE
