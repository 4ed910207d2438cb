"""Pooling: summarise each window of a map by its maximum or its mean."""

from __future__ import annotations

from typing import Any

from neocog import kernels
from neocog.kernels.geometry import Padding, output_sizes
from neocog.layers.base import WHOLE_IMAGE, Array, Field, Grads, Layer, Shape, images
from neocog.validation import pair


class _Pool2D(Layer):
    """What max and average pooling share: the geometry of their windows."""

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.kernel_size = pair("kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else pair("stride", stride)
        self.padding = pair("padding", padding, minimum=0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(
                f"padding must be at most half the kernel_size {self.kernel_size}, got {self.padding}: "
                "a window may not lie wholly in the padding."
            )
        (v, h) = self.padding
        self._sides: Padding = ((v, v), (h, h))

    def config(self) -> dict[str, Any]:
        config = super().config()
        if self.stride == self.kernel_size:
            config["stride"] = None
        return config

    def output_shape(self, input_shape: Shape) -> Shape:
        name = type(self).__name__
        N, C, H, W = images(name, input_shape)
        out = output_sizes(input_shape, self.kernel_size, self.stride, self._sides)
        if min(out) < 1:
            raise ValueError(
                f"{name}'s window {self.kernel_size} is larger than the {H}x{W} image with padding "
                f"{self.padding}."
            )
        return N, C, *out

    def _check(self, x: Array) -> None:
        self.output_shape(x.shape)
        if getattr(x.dtype, "kind", "f") not in "fc":
            raise TypeError(f"{type(self).__name__} needs floating point images, got {x.dtype}.")

    def flops(self, input_shape: Shape) -> int:
        N, C, H, W = self.output_shape(input_shape)
        return N * C * H * W * self.kernel_size[0] * self.kernel_size[1]

    def receptive_field(self, field: Field) -> Field:
        return field.through(self.kernel_size, self.stride)


class MaxPool2D(_Pool2D):
    """Keep the maximum of each window.

    Forward: ``y[n,c,i,j] = max_{p,q} x[n, c, i s + p - P, j s + q - P]``; the padding is minus infinity.

    Backward: each ``dy`` goes to its window's winner, the first maximum in row-major order on a tie; windows
    that overlap add up.

    Parameters
    ----------
    kernel_size : int or (int, int)
    stride : int or (int, int), default ``kernel_size``
    padding : int or (int, int)
        At most half the kernel.

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, a wrong rank, or a window larger than the padded image.

    Notes
    -----
    Shapes: (N, C, H, W) -> (N, C, H_out, W_out) with ``H_out = floor((H + 2 P - kH) / s) + 1``.

    Source: M. Ranzato et al., "Unsupervised learning of invariant feature hierarchies", 2007.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[[[1.0, 2.0], [4.0, 3.0]]]])
    >>> MaxPool2D(2)(x)
    array([[[[4.]]]])
    """

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Any]:
        self._check(x)
        y, argmax = kernels.max_pool2d(x, self.kernel_size, self.stride, self._sides)
        return y, (argmax, x.shape)

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        argmax, x_shape = cache
        dx = kernels.max_pool2d_input(dy, argmax, x_shape, self.kernel_size, self.stride, self._sides)
        return dx, {}


class AvgPool2D(_Pool2D):
    """Take the mean of each window.

    Forward: ``y[n,c,i,j] = sum_{p,q} x[n, c, i s + p - P, j s + q - P] / count``; the padding is zero.

    Backward: each ``dy / count`` goes to every pixel of its window.

    Parameters
    ----------
    kernel_size : int or (int, int)
    stride : int or (int, int), default ``kernel_size``
    padding : int or (int, int)
        At most half the kernel.
    count_include_pad : bool, default True
        Whether ``count`` is the whole window or only its part inside the image.

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, a wrong rank, or a window larger than the padded image.

    Notes
    -----
    Shapes: (N, C, H, W) -> (N, C, H_out, W_out) with ``H_out = floor((H + 2 P - kH) / s) + 1``.

    Source: Y. LeCun et al., "Handwritten digit recognition with a back-propagation network", 1990.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[[[1.0, 2.0], [4.0, 3.0]]]])
    >>> AvgPool2D(2)(x)
    array([[[[2.5]]]])
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        self.count_include_pad = bool(count_include_pad)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Any]:
        self._check(x)
        y = kernels.avg_pool2d(x, self.kernel_size, self.stride, self._sides, self.count_include_pad)
        return y, x.shape

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        dx = kernels.avg_pool2d_input(
            dy, cache, self.kernel_size, self.stride, self._sides, self.count_include_pad
        )
        return dx, {}


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
