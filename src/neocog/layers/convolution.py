"""Define the convolution layer."""

from __future__ import annotations

from typing import Any

from neocog import kernels
from neocog.initializers import Initializer, he_normal, zeros
from neocog.kernels.geometry import Padding, one_a_direction, output_sizes
from neocog.layers.base import Array, Field, Grads, Layer, Shape, as_dtype, images
from neocog.validation import RandomSource, float_dtype, generator, integer, one_of, pair, sides


class Conv2D(Layer):
    """Slide a bank of small kernels over images (a cross-correlation: the kernel is not flipped).

    Forward, with stride s, padding P, dilation d::

        y[n,f,i,j] = b[f] + sum_{c,p,q} w[f,c,p,q] x[n, c, i s + p d - P, j s + q d - P]

    Backward: ``db[f]`` sums ``dy`` over images and positions; ``dw`` is the cross-correlation of ``x`` with
    ``dy``; ``dx`` is the full convolution of ``dy`` with the kernel::

        dw[f,c,p,q] = sum_{n,i,j} dy[n,f,i,j] x[n, c, i s + p d - P, j s + q d - P]
        dx[n,c,u,v] = sum of dy[n,f,i,j] w[f,c,p,q] over all i s + p d - P = u, j s + q d - P = v

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int or (int, int)
    stride : int or (int, int)
    padding : int, (int, int), ((int, int), (int, int)), "same" or "valid"
        Zeros around the image: the same on all sides, (vertical, horizontal), or
        ((top, bottom), (left, right)). "same" keeps its size (stride 1 only; an even kernel gets the odd row
        and column at the bottom and right, as in PyTorch), "valid" is 0.
    dilation : int or (int, int)
        Distance between the taps of the kernel.
    groups : int
        Split the channels into groups that do not see each other; must divide both channel counts.
    bias : bool
    init : initializer, default He normal with ``fan_in = in_channels / groups * kH * kW``
    rng : Generator, int or None
    dtype : floating point type

    Attributes
    ----------
    params : ``weight`` (out_channels, in_channels / groups, kH, kW) and ``bias`` (out_channels,)

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, a wrong rank or channel count, a kernel larger than the padded image.

    Notes
    -----
    Shapes: (N, C_in, H, W) -> (N, C_out, H_out, W_out) with
    ``H_out = floor((H + 2 P - d (kH - 1) - 1) / s) + 1``.

    Source: K. Fukushima, "Neocognitron", 1980; Y. LeCun et al., "Gradient-based learning applied to document
    recognition", 1998. Arithmetic: V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep
    learning", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> conv = Conv2D(1, 8, 3, padding=1, rng=0)
    >>> conv(np.zeros((2, 1, 8, 8), np.float32)).shape
    (2, 8, 8, 8)
    >>> conv
    Conv2D(1, 8, 3, padding=1)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[Any, Any] | str = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        init: Initializer = he_normal,
        rng: RandomSource = None,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.in_channels = integer("in_channels", in_channels)
        self.out_channels = integer("out_channels", out_channels)
        self.kernel_size = pair("kernel_size", kernel_size)
        self.stride = pair("stride", stride)
        self.dilation = pair("dilation", dilation)
        self.groups = integer("groups", groups)
        self.bias = bool(bias)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"groups must divide in_channels and out_channels, got groups={self.groups}, "
                f"in_channels={self.in_channels}, out_channels={self.out_channels}."
            )
        self.padding: Any
        if isinstance(padding, str):
            self.padding = one_of("padding", padding, ("same", "valid"))
            self.sides = self._named_padding()
        else:
            self.sides = sides("padding", padding)
            self.padding = one_a_direction(self.sides)

        kH, kW = self.kernel_size
        shape = (self.out_channels, self.in_channels // self.groups, kH, kW)
        fan_in, fan_out = shape[1] * kH * kW, self.out_channels // self.groups * kH * kW
        dtype = float_dtype(dtype)
        rng = generator(rng)
        self._params["weight"] = init(shape, fan_in, fan_out, rng, dtype)
        if self.bias:
            self._params["bias"] = zeros((self.out_channels,), 0, 0, rng, dtype)

    def _named_padding(self) -> Padding:
        """Translate "same" and "valid" into ((top, bottom), (left, right))."""
        if self.padding == "valid":
            return (0, 0), (0, 0)
        if self.stride != (1, 1):
            raise ValueError(f"padding='same' needs stride 1, got stride={self.stride}.")
        totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        return (totals[0] // 2, totals[0] - totals[0] // 2), (totals[1] // 2, totals[1] - totals[1] // 2)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        self.output_shape(x.shape)
        weight = self._params["weight"]
        x = as_dtype(x, weight.dtype)
        bias = self._params.get("bias")
        y = kernels.conv2d(x, weight, bias, self.stride, self.sides, self.dilation, self.groups)
        return y, x

    def backward(self, dy: Array, cache: Array, input_grad: bool = True) -> tuple[Array | None, Grads]:
        x, w = cache, self._params["weight"]
        geometry = (self.stride, self.sides, self.dilation, self.groups)
        grads = {"weight": kernels.conv2d_weight(x, dy, w.shape, *geometry)}
        if self.bias:
            grads["bias"] = dy.__array_namespace__().sum(dy, axis=(0, 2, 3))
        dx = kernels.conv2d_input(dy, w, x.shape, *geometry) if input_grad else None
        return dx, grads

    def output_shape(self, input_shape: Shape) -> Shape:
        N, _, H, W = images("Conv2D", input_shape, self.in_channels)
        out = output_sizes(input_shape, self.kernel_size, self.stride, self.sides, self.dilation)
        if min(out) < 1:
            raise ValueError(
                f"Conv2D's kernel {self.kernel_size} with dilation {self.dilation} is larger than the "
                f"{H}x{W} image with padding {self.padding!r}."
            )
        return N, self.out_channels, *out

    def flops(self, input_shape: Shape) -> int:
        N, _, H, W = self.output_shape(input_shape)
        return 2 * N * H * W * int(self._params["weight"].size)

    def receptive_field(self, field: Field) -> Field:
        return field.through(self.kernel_size, self.stride, self.dilation)
