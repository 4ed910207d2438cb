"""Define normalization: by fixed numbers, over batches, in images, over neighbouring channels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from neocog.initializers import ones, zeros
from neocog.kernels.geometry import is_complex
from neocog.layers.base import WHOLE_IMAGE, Array, Field, Grads, Layer, Shape, as_dtype, images
from neocog.validation import float_dtype, generator, integer, number


class Normalize(Layer):
    """Subtract a fixed mean from each channel, and divide by a fixed standard deviation: those of the data.

    Forward: ``y[n,c] = (x[n,c] - mean[c]) / std[c]``. Backward: ``dx[n,c] = dy[n,c] / std[c]``.

    Parameters
    ----------
    mean, std : float or sequence of float, one a channel
        In the unit of ``x``; each ``std`` more than 0.
    dtype : floating point type

    Attributes
    ----------
    buffers : ``mean`` (C,) and ``std`` (C,), which nothing changes

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, as many ``mean`` as there are not ``std``, or an ``x`` of another number
        of channels.

    See Also
    --------
    normalize_for : Measure the numbers of some images.

    Notes
    -----
    Shapes: (N, C, ...) -> the same.

    It leads a network, which then takes images in the unit of their pixels wherever it is used. It is never
    folded into a convolution that pads with zeros: there a zero is the mean of the data, not a black pixel.

    Source: Y. LeCun, L. Bottou, G. Orr, K.-R. Müller, "Efficient backprop", 1998, section 4.3.

    Examples
    --------
    >>> import numpy as np
    >>> Normalize(mean=(1, 2), std=(1, 4))(np.array([[2.0, 4.0]], np.float32))
    array([[1. , 0.5]], dtype=float32)
    """

    def __init__(
        self, mean: float | Sequence[float], std: float | Sequence[float], *, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        for name, given in (("mean", mean), ("std", std)):
            values = [given] if np.ndim(given) == 0 else list(given)  # type: ignore[arg-type]
            least = 0 if name == "std" else -math.inf
            numbers = [number(name, value, least, math.inf, True, True) for value in values]
            self._buffers[name] = np.array(numbers, float_dtype(dtype))
        C = len(self._buffers["mean"])
        if not C or len(self._buffers["std"]) != C:
            raise ValueError(f"mean and std must hold one number a channel, got mean={mean!r}, std={std!r}.")
        if not self._buffers["std"].all():
            raise ValueError(f"std must be more than 0 in {self._buffers['std'].dtype}, got {std!r}.")

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean of each channel to six digits; the buffer has all."""
        return _rounded(self._buffers["mean"])

    @property
    def std(self) -> tuple[float, ...]:
        """The standard deviation of each channel to six digits; the buffer has all."""
        return _rounded(self._buffers["std"])

    def forward(self, x: Array, training: bool = False) -> tuple[Array, None]:
        self.output_shape(x.shape)
        mean, std = self._lifted(x)
        return (as_dtype(x, mean.dtype) - mean) / std, None

    def backward(self, dy: Array, cache: None, input_grad: bool = True) -> tuple[Array | None, Grads]:
        return dy / self._lifted(dy)[1] if input_grad else None, {}

    def _lifted(self, x: Array) -> tuple[Array, Array]:
        """Return mean and std in the shape in which they go with ``x``."""
        mean, std = self._buffers["mean"], self._buffers["std"]
        shape = (-1, *(1,) * (x.ndim - 2))
        xp = x.__array_namespace__()
        return xp.reshape(mean, shape), xp.reshape(std, shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        C = self._buffers["mean"].shape[0]
        if len(input_shape) < 2 or input_shape[1] != C:
            raise ValueError(
                f"Normalize needs inputs of shape (N, C, ...) with C = {C}, got shape {tuple(input_shape)}."
            )
        return input_shape

    def flops(self, input_shape: Shape) -> int:
        return 2 * math.prod(input_shape)


def normalize_for(x: Array, sample_weight: Array | None = None) -> Normalize:
    """Return the layer that gives each channel of some images mean 0 and variance 1.

    Parameters
    ----------
    x : (N, C, ...)
        The training images. A channel whose values are all equal keeps its scale: its ``std`` is 1.
    sample_weight : (N,), optional
        Weights of the images in mean and variance.

    Raises
    ------
    ValueError, TypeError
        If there is no image, or a number is not finite or not floating point.

    Examples
    --------
    >>> import numpy as np
    >>> normalize_for(np.array([[0.0], [4.0]], np.float32))
    Normalize((2.0,), (2.0,))
    """
    if x.ndim < 2 or not x.size:
        raise ValueError(f"x must be images of shape (N, C, ...), got shape {tuple(x.shape)}.")
    weights = np.ones(len(x)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    weights = weights / weights.sum()
    pixels = tuple(range(2, x.ndim))

    def average(function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Average a function over the images, some at a time: all in float64 may not fit memory."""
        total = np.zeros(x.shape[1])
        for first in range(0, len(x), PART):
            part = np.ascontiguousarray(x[first : first + PART], np.float64)  # the order of sums is one
            total += weights[first : first + PART] @ function(part).mean(axis=pixels)
        return total

    mean = average(lambda part: part)
    centre = mean.reshape(-1, *(1,) * len(pixels))
    variance = average(lambda part: np.square(part - centre))
    std = np.sqrt(variance)
    equal = std <= 1e-6 * abs(mean)  # up to rounding errors
    return Normalize(mean.tolist(), np.where(equal, 1.0, std).tolist(), dtype=x.dtype)


PART = 256
"""Images that are measured at once."""


def _rounded(array: Array) -> tuple[float, ...]:
    """Return numbers to six digits, which are the same in float32 and float64."""
    return tuple(float(f"{value:.6g}") for value in np.real(array))


class _BatchNorm(Layer):
    """Normalise each channel over the batch; subclasses define the axes."""

    _rank: int
    _layout: str

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, *, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.num_features = integer("num_features", num_features)
        self.eps = number("eps", eps, 0, exclusive_minimum=True)
        self.momentum = number("momentum", momentum, 0, 1)
        arguments = ((self.num_features,), 1, 1, generator(0), float_dtype(dtype))
        self._params.update(weight=ones(*arguments), bias=zeros(*arguments))
        self._buffers.update(running_mean=zeros(*arguments), running_var=ones(*arguments))
        # Statistics run over every axis but the channels'; per_channel lifts (C,) to the rank of x.
        self._axes = tuple(axis for axis in range(self._rank) if axis != 1)
        self._per_channel = (slice(None), *[None] * (self._rank - 2))

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Any]:
        self.output_shape(x.shape)
        weight, bias = self._params["weight"], self._params["bias"]
        x = as_dtype(x, weight.dtype)
        xp = x.__array_namespace__()
        lift = self._per_channel
        count = x.size // self.num_features
        use_batch = training and count > 0
        if use_batch:
            self.check_training_shape(x.shape)
            mean = xp.mean(x, axis=self._axes)
            centred = x - mean[lift]
            var = xp.mean(centred * centred, axis=self._axes)
            self._remember("running_mean", mean)
            self._remember("running_var", var * (count / (count - 1)))
        else:
            mean, var = self._buffers["running_mean"], self._buffers["running_var"]
            centred = x - mean[lift]
        inv_std = 1 / xp.sqrt(var + self.eps)
        y = centred * (weight * inv_std)[lift] + bias[lift]
        return y, (x, mean, inv_std, use_batch)

    def _remember(self, name: str, statistic: Array) -> None:
        """Update a running statistic: ``running = (1 - momentum) running + momentum batch``."""
        running = self._buffers[name]
        if is_complex(statistic) and not is_complex(running):
            statistic = statistic.__array_namespace__().real(statistic)
        running *= 1 - self.momentum
        running += self.momentum * statistic

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Array | None, Grads]:
        x, mean, inv_std, used_batch = cache
        xp = dy.__array_namespace__()
        lift = self._per_channel
        x_hat = (x - mean[lift]) * inv_std[lift]
        dw = xp.sum(dy * x_hat, axis=self._axes)
        db = xp.sum(dy, axis=self._axes)
        grads = {"weight": dw, "bias": db}
        if not input_grad:
            return None, grads
        scale = (self._params["weight"] * inv_std)[lift]
        if not used_batch:
            return dy * scale, grads
        count = x.size // self.num_features
        return scale * (dy - (db[lift] + x_hat * dw[lift]) / count), grads

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != self._rank or input_shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__} needs inputs of shape {self._layout} with C = {self.num_features}, "
                f"got shape {tuple(input_shape)}."
            )
        return input_shape

    def check_training_shape(self, input_shape: Shape) -> None:
        if math.prod(input_shape) == self.num_features:
            raise ValueError(
                f"{type(self).__name__} in training needs more than one value per channel, got shape "
                f"{tuple(input_shape)}; use larger batches."
            )

    def flops(self, input_shape: Shape) -> int:
        # As in inference: one subtraction, one product, one sum.
        size = 1
        for axis in input_shape:
            size *= axis
        return 3 * size


class BatchNorm2D(_BatchNorm):
    """Give each channel of the maps mean 0 and variance 1 over the batch, then scale and shift it.

    Forward, in training with the mean m and the (biased) variance v of the batch and all positions, in
    inference with the running ones::

        x_hat = (x - m) / sqrt(v + eps),    y = w x_hat + b

    Backward, sums and means over batch and positions::

        dw = sum dy x_hat,    db = sum dy
        dx = w / sqrt(v + eps) (dy - mean(dy) - x_hat mean(dy x_hat))     in training
        dx = w / sqrt(v + eps) dy                                         in inference

    Parameters
    ----------
    num_features : int
        Channels.
    eps : float
    momentum : float
        ``running = (1 - momentum) running + momentum batch``, PyTorch's sense; the running variance takes
        the unbiased variance of the batch.
    dtype : floating point type

    Attributes
    ----------
    params : ``weight`` (C,) and ``bias`` (C,)
    buffers : ``running_mean`` (C,) and ``running_var`` (C,), updated by a forward in training: a side effect

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, a wrong shape, or one value per channel in training.

    Notes
    -----
    Shapes: (N, C, H, W) -> the same.

    Source: S. Ioffe, C. Szegedy, "Batch normalization", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> y, _ = BatchNorm2D(1, eps=1e-12, dtype="float64").forward(np.array([[[[1.0, 3.0]]]]), training=True)
    >>> y.round(6)
    array([[[[-1.,  1.]]]])
    """

    _rank, _layout = 4, "(N, C, H, W)"


class BatchNorm1D(_BatchNorm):
    """Give each feature mean 0 and variance 1 over the batch, then scale and shift it.

    Forward, in training with the mean m and the (biased) variance v of the batch, in inference with the
    running ones::

        x_hat = (x - m) / sqrt(v + eps),    y = w x_hat + b

    Backward, sums and means over the batch::

        dw = sum dy x_hat,    db = sum dy
        dx = w / sqrt(v + eps) (dy - mean(dy) - x_hat mean(dy x_hat))     in training
        dx = w / sqrt(v + eps) dy                                         in inference

    Parameters
    ----------
    num_features : int
    eps : float
    momentum : float
        ``running = (1 - momentum) running + momentum batch``, PyTorch's sense; the running variance takes
        the unbiased variance of the batch.
    dtype : floating point type

    Attributes
    ----------
    params : ``weight`` (C,) and ``bias`` (C,)
    buffers : ``running_mean`` (C,) and ``running_var`` (C,), updated by a forward in training: a side effect

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, a wrong shape, or one value per feature in training.

    Notes
    -----
    Shapes: (N, C) -> the same.

    Source: S. Ioffe, C. Szegedy, "Batch normalization", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> y, _ = BatchNorm1D(1, eps=1e-12, dtype="float64").forward(np.array([[1.0], [3.0]]), training=True)
    >>> y.round(6)
    array([[-1.],
           [ 1.]])
    """

    _rank, _layout = 2, "(N, C)"


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


class LocalResponseNorm(Layer):
    """Divide each number by how strongly the neighbouring channels answer at its place.

    Forward, with the window W(c) of the ``size`` channels around c that there are::

        y_c = x_c / s_c^beta,    s_c = k + alpha / size sum_{j in W(c)} x_j^2

    Backward::

        dx_c = dy_c / s_c^beta - 2 alpha beta / size x_c sum_{j: c in W(j)} dy_j x_j / s_j^(beta + 1)

    Parameters
    ----------
    size : int
        Channels in a window: from ``c - size // 2`` to ``c + (size - 1) // 2``.
    alpha, beta : float
    k : float
        More than 0, so that nothing is divided by 0.

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, a wrong rank, or an ``x`` that is not floating point.

    Notes
    -----
    Shapes: (N, C, H, W) -> the same.

    ``alpha`` is divided by ``size``, as in PyTorch and ONNX; the paper's does without, its 1e-4 is 5e-4 here.

    Source: A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep convolutional neural
    networks", 2012, section 3.3.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([3.0, 4.0]).reshape(1, 2, 1, 1)
    >>> LocalResponseNorm(3, alpha=3.0, beta=0.5, k=11.0)(x).round(3).ravel()  # s = 11 + 9 + 16
    array([0.5  , 0.667])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = integer("size", size)
        self.alpha, self.beta = number("alpha", alpha, 0), number("beta", beta)
        self.k = number("k", k, 0, exclusive_minimum=True)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Any]:
        images("LocalResponseNorm", x.shape)
        if getattr(x.dtype, "kind", "f") not in "fc":  # squares of pixels 0..255 would not fit their bytes
            raise TypeError(f"LocalResponseNorm needs floating point images, got {x.dtype}.")
        squares = _channel_sums(x * x, self.size // 2, (self.size - 1) // 2)
        s = self.k + self.alpha / self.size * squares
        y = x * s**-self.beta
        return y, (x, y, s)

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        x, y, s = cache
        shares = _channel_sums(dy * y / s, (self.size - 1) // 2, self.size // 2)
        return dy * s**-self.beta - 2 * self.alpha * self.beta / self.size * x * shares, {}

    def output_shape(self, input_shape: Shape) -> Shape:
        return images("LocalResponseNorm", input_shape)

    def flops(self, input_shape: Shape) -> int:
        # A number's square and its window's sum, s from it, the power, the product.
        N, C, H, W = input_shape
        return (self.size + 4) * N * C * H * W


def _channel_sums(x: Array, before: int, after: int) -> Array:
    """Sum, at each channel c, the channels from ``c - before`` to ``c + after`` that there are."""
    C = x.shape[1]
    sums = x.__array_namespace__().asarray(x, copy=True)
    for k in range(1, min(before, C - 1) + 1):
        sums[:, k:, :, :] += x[:, : C - k, :, :]
    for k in range(1, min(after, C - 1) + 1):
        sums[:, : C - k, :, :] += x[:, k:, :, :]
    return sums
