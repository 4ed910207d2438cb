"""Divide each number by how strongly the neighbouring channels answer."""

from __future__ import annotations

from typing import Any

from neocog.layers.base import Array, Grads, Layer, Shape, images
from neocog.validation import integer, number


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
