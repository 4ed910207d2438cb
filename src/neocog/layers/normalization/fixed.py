"""Normalise channels by fixed numbers, those of the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from neocog.layers.base import Array, Grads, Layer, Shape, as_dtype
from neocog.validation import float_dtype, number

PART = 256
"""Images that are measured at once."""


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


def _rounded(array: Array) -> tuple[float, ...]:
    """Return numbers to six digits, which are the same in float32 and float64."""
    return tuple(float(f"{value:.6g}") for value in np.real(array))
