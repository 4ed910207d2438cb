"""Define global pooling: summarise each whole map by its mean or its maximum."""

from __future__ import annotations

from typing import Any

from neocog.kernels.geometry import is_complex
from neocog.layers.base import WHOLE_IMAGE, Array, Field, Grads, Layer, Shape, images


class GlobalAvgPool2D(Layer):
    """Take the mean of each whole map.

    Forward: ``y[n,c] = sum_{i,j} x[n,c,i,j] / (H W)``.

    Backward: ``dx[n,c,i,j] = dy[n,c] / (H W)``.

    Raises
    ------
    ValueError
        If ``x`` is not of rank 4 or has no pixels.

    Notes
    -----
    Shapes: (N, C, H, W) -> (N, C).

    Source: M. Lin, Q. Chen, S. Yan, "Network in network", 2013.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalAvgPool2D()(np.array([[[[1.0, 2.0], [4.0, 3.0]]]]))
    array([[2.5]])
    """

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Any]:
        self.output_shape(x.shape)
        return x.__array_namespace__().mean(x, axis=(2, 3)), x.shape

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        xp = dy.__array_namespace__()
        share = dy / (cache[2] * cache[3])
        return xp.asarray(xp.broadcast_to(share[:, :, None, None], cache), copy=True), {}

    def output_shape(self, input_shape: Shape) -> Shape:
        N, C, H, W = images("GlobalAvgPool2D", input_shape)
        if not H * W:
            raise ValueError(f"GlobalAvgPool2D needs at least one pixel, got shape {tuple(input_shape)}.")
        return N, C

    def flops(self, input_shape: Shape) -> int:
        N, C, H, W = input_shape
        return N * C * H * W

    def receptive_field(self, field: Field) -> Field:
        return WHOLE_IMAGE


class GlobalMaxPool2D(Layer):
    """Keep the maximum of each whole map.

    Forward: ``y[n,c] = max_{i,j} x[n,c,i,j]``.

    Backward: ``dy[n,c]`` goes to the winner, the first maximum in row-major order on a tie; the last NaN of a
    map with any, whose ``y`` is NaN (as in PyTorch).

    Raises
    ------
    ValueError
        If ``x`` is not of rank 4 or has no pixels.

    Notes
    -----
    Shapes: (N, C, H, W) -> (N, C).

    Source: M. Oquab et al., "Is object localization for free?", 2015.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalMaxPool2D()(np.array([[[[1.0, 2.0], [4.0, 3.0]]]]))
    array([[4.]])
    """

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Any]:
        N, C = self.output_shape(x.shape)
        xp = x.__array_namespace__()
        x_shape, x = x.shape, xp.reshape(x, (N, C, x.shape[2] * x.shape[3]))
        argmax = xp.argmax(xp.real(x) if is_complex(x) else x, axis=2)
        is_nan = xp.isnan(x)
        if xp.any(is_nan):
            last = x.shape[2] - 1 - xp.argmax(xp.astype(xp.flip(is_nan, axis=2), xp.uint8), axis=2)
            argmax = xp.where(xp.any(is_nan, axis=2), last, argmax)
        won = argmax[:, :, None] == xp.arange(x.shape[2])
        return xp.sum(xp.where(won, x, xp.zeros_like(x)), axis=2), (won, x_shape)

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        won, x_shape = cache
        xp = dy.__array_namespace__()
        dx = xp.where(won, dy[:, :, None], xp.zeros_like(dy)[:, :, None])
        return xp.reshape(dx, x_shape), {}

    def output_shape(self, input_shape: Shape) -> Shape:
        N, C, H, W = images("GlobalMaxPool2D", input_shape)
        if not H * W:
            raise ValueError(f"GlobalMaxPool2D needs at least one pixel, got shape {tuple(input_shape)}.")
        return N, C

    def flops(self, input_shape: Shape) -> int:
        N, C, H, W = input_shape
        return N * C * H * W

    def receptive_field(self, field: Field) -> Field:
        return WHOLE_IMAGE
