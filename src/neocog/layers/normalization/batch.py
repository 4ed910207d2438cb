"""Normalise each channel over a batch."""

from __future__ import annotations

import math
from typing import Any

from neocog.initializers import ones, zeros
from neocog.kernels.geometry import is_complex
from neocog.layers.base import Array, Grads, Layer, Shape, as_dtype
from neocog.validation import float_dtype, generator, integer, number


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
        return 3 * math.prod(input_shape)


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
