"""Define pooling: summarise each window of a map by its maximum or its mean."""

from __future__ import annotations

from typing import Any

from neocog import kernels
from neocog.kernels.geometry import (
    NO_PADDING,
    Counts,
    Padding,
    ceil_paddings,
    one_a_direction,
    output_sizes,
    same_paddings,
    window_counts,
)
from neocog.layers.base import Array, Field, Grads, Layer, Shape, images
from neocog.validation import integer, one_of, pair, sides


class _Pool2D(Layer):
    """Base of max and average pooling: the geometry of their windows."""

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None,
        padding: int | tuple[Any, Any] | str,
        dilation: int | tuple[int, int],
        ceil_mode: bool,
    ) -> None:
        super().__init__()
        self.kernel_size = pair("kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else pair("stride", stride)
        self.dilation = pair("dilation", dilation)
        self.ceil_mode = bool(ceil_mode)
        self.padding: Any
        self.sides: Padding | None
        """The padding as ((top, bottom), (left, right)); None if it depends on the image."""
        if isinstance(padding, str):
            self.padding = one_of("padding", padding, ("same", "valid"))
            self.sides = NO_PADDING if self.padding == "valid" else None
            return
        self.sides = (top, _), (left, _) = sides("padding", padding)
        self.padding = one_a_direction(self.sides)
        reach = tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel_size, strict=True))
        if top >= reach[0] or left >= reach[1]:
            raise ValueError(
                f"padding must be smaller than the window, which reaches over {reach}, got {self.padding}: "
                "no window may lie wholly in the padding."
            )

    def config(self) -> dict[str, Any]:
        config = super().config()
        if self.stride == self.kernel_size:
            config["stride"] = None
        return config

    def stated_sides(self, x_shape: Shape) -> Padding:
        """Return the padding around images of a shape, without what ``ceil_mode`` adds to it."""
        if self.sides is not None:
            return self.sides
        return same_paddings(tuple(x_shape), self.kernel_size, self.stride, self.dilation)

    def window_sides(self, x_shape: Shape) -> Padding:
        """Return the padding around images of a shape, with what ``ceil_mode`` adds to it."""
        stated = self.stated_sides(x_shape)
        if not self.ceil_mode:
            return stated
        return ceil_paddings(tuple(x_shape), self.kernel_size, self.stride, stated, self.dilation)

    def _geometry(self, x_shape: Shape) -> dict[str, Any]:
        """Return the keyword arguments of the kernels."""
        return {
            "kernel_size": self.kernel_size,
            "stride": self.stride,
            "padding": self.window_sides(x_shape),
            "dilation": self.dilation,
        }

    def output_shape(self, input_shape: Shape) -> Shape:
        name = type(self).__name__
        N, C, H, W = images(name, input_shape)
        padding = self.window_sides(input_shape)
        out = output_sizes(input_shape, self.kernel_size, self.stride, padding, self.dilation)
        dilated = "" if self.dilation == (1, 1) else f" with dilation {self.dilation}"
        if min(out) < 1:
            raise ValueError(
                f"{name}'s window {self.kernel_size}{dilated} is larger than the {H}x{W} image with padding "
                f"{self.padding}."
            )
        if padding != NO_PADDING:
            rows, columns = window_counts(tuple(input_shape), **self._geometry(input_shape))
            if min(*rows, *columns, 1) < 1:
                raise ValueError(
                    f"{name}'s window {self.kernel_size}{dilated} and stride {self.stride} would lie wholly "
                    f"in the padding {self.padding} of the {H}x{W} image at one place or more."
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
        return field.through(self.kernel_size, self.stride, self.dilation)


class MaxPool2D(_Pool2D):
    """Keep the maximum of each window.

    Forward, with stride s, padding P, dilation d::

        y[n,c,i,j] = max_{p,q} x[n, c, i s + p d - P, j s + q d - P]

    The padding is minus infinity.

    Backward: each ``dy`` goes to its window's winner, the first maximum in row-major order on a tie; windows
    that overlap add up. The winner is a pixel of the image, also where all are minus infinity; the last NaN
    of a window with any, whose ``y`` is NaN (as in PyTorch).

    Parameters
    ----------
    kernel_size : int or (int, int)
    stride : int or (int, int), default ``kernel_size``
    padding : int, (int, int), ((int, int), (int, int)), "same" or "valid"
        The same on all sides, (vertical, horizontal), or ((top, bottom), (left, right)). No window may lie
        wholly in it. "same" makes ``H_out = ceil(H / s)`` as in TensorFlow, an odd row or column at the
        bottom or right; "valid" is 0.
    dilation : int or (int, int)
        Distance between the pixels of a window.
    ceil_mode : bool, default False
        Whether a last window may run over the end of the padded image, if it begins before the padding
        there: ``H_out`` is rounded up, not down.

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, a wrong rank, a window larger than the padded image, or one wholly in
        the padding.

    Notes
    -----
    Shapes: (N, C, H, W) -> (N, C, H_out, W_out) with
    ``H_out = floor((H + 2 P - d (kH - 1) - 1) / s) + 1``.

    Source: M. Ranzato et al., "Unsupervised learning of invariant feature hierarchies", 2007.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[[[1.0, 2.0], [4.0, 3.0]]]])
    >>> MaxPool2D(2)(x)
    array([[[[4.]]]])
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[Any, Any] | str = 0,
        dilation: int | tuple[int, int] = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Any]:
        self._check(x)
        y, argmax = kernels.max_pool2d(x, **self._geometry(x.shape))
        return y, (argmax, x.shape)

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        argmax, x_shape = cache
        return kernels.max_pool2d_input(dy, argmax, x_shape, **self._geometry(x_shape)), {}


class AvgPool2D(_Pool2D):
    """Take the mean of each window.

    Forward, with stride s, padding P, dilation d::

        y[n,c,i,j] = sum_{p,q} x[n, c, i s + p d - P, j s + q d - P] / count[i,j]

    The padding is zero.

    Backward: each ``dy / count`` goes to every pixel of its window.

    Parameters
    ----------
    kernel_size : int or (int, int)
    stride : int or (int, int), default ``kernel_size``
    padding : int, (int, int), ((int, int), (int, int)), "same" or "valid"
        The same on all sides, (vertical, horizontal), or ((top, bottom), (left, right)). No window may lie
        wholly in it. "same" makes ``H_out = ceil(H / s)`` as in TensorFlow, an odd row or column at the
        bottom or right; "valid" is 0.
    count_include_pad : bool, default True
        Whether ``count`` is the window's part inside the padded image or inside the image alone, as in
        TensorFlow.
    ceil_mode : bool, default False
        Whether a last window may run over the end of the padded image, if it begins before the padding
        there: ``H_out`` is rounded up, not down. What runs over is never counted.
    divisor_override : int, optional
        The ``count`` of all windows.
    dilation : int or (int, int)
        Distance between the pixels of a window.

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, a wrong rank, a window larger than the padded image, or one wholly in
        the padding.

    Notes
    -----
    Shapes: (N, C, H, W) -> (N, C, H_out, W_out) with
    ``H_out = floor((H + 2 P - d (kH - 1) - 1) / s) + 1``.

    Source: Y. LeCun et al., "Handwritten digit recognition with a back-propagation network", 1990.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[[[1.0, 2.0], [4.0, 3.0]]]])
    >>> AvgPool2D(2)(x)
    array([[[[2.5]]]])
    >>> AvgPool2D(2, divisor_override=1)(x)
    array([[[[10.]]]])
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[Any, Any] | str = 0,
        count_include_pad: bool = True,
        ceil_mode: bool = False,
        divisor_override: int | None = None,
        dilation: int | tuple[int, int] = 1,
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode)
        self.count_include_pad = bool(count_include_pad)
        self.divisor_override = None
        if divisor_override is not None:
            self.divisor_override = integer("divisor_override", divisor_override, minimum=-(2**31))
            if self.divisor_override == 0:
                raise ValueError("divisor_override must not be 0.")

    def counts(self, x_shape: Shape) -> Counts | None:
        """Return the divisors of the windows over images of a shape; None if all windows count whole."""
        if self.divisor_override is not None:
            _, _, H, W = self.output_shape(x_shape)
            return (self.divisor_override,) * H, (1,) * W
        if self.count_include_pad and not self.ceil_mode:
            return None
        counted = self.stated_sides(x_shape) if self.count_include_pad else NO_PADDING
        rows, columns = window_counts(tuple(x_shape), **self._geometry(x_shape), counted=counted)
        whole = set(rows) == {self.kernel_size[0]} and set(columns) == {self.kernel_size[1]}
        return None if whole else (rows, columns)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Any]:
        self._check(x)
        return kernels.avg_pool2d(x, **self._geometry(x.shape), counts=self.counts(x.shape)), x.shape

    def backward(self, dy: Array, cache: Any, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        geometry = self._geometry(cache)
        return kernels.avg_pool2d_input(dy, cache, **geometry, counts=self.counts(cache)), {}
