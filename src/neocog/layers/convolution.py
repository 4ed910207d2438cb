"""Define the convolution layer."""

from __future__ import annotations

from typing import Any

from neocog import kernels
from neocog.initializers import Initializer, he_normal, zeros
from neocog.kernels.geometry import NO_PADDING, Padding, one_a_direction, output_sizes, same_paddings
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
        ((top, bottom), (left, right)). "same" makes ``H_out = ceil(H / s)``, an odd row or column at the
        bottom or right, as in TensorFlow (and in PyTorch, which has it for stride 1): with a larger stride it
        depends on the size of the image. "valid" is 0.
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
        self.sides: Padding | None
        """The padding as ((top, bottom), (left, right)); None if it depends on the image."""
        if isinstance(padding, str):
            self.padding = one_of("padding", padding, ("same", "valid"))
            self.sides = NO_PADDING if self.padding == "valid" else None
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

    def window_sides(self, x_shape: Shape) -> Padding:
        """Return the padding ((top, bottom), (left, right)) around images of a shape."""
        if self.sides is not None:
            return self.sides
        return same_paddings(tuple(x_shape), self.kernel_size, self.stride, self.dilation)

    def _geometry(self, x_shape: Shape) -> tuple[Any, ...]:
        """Return the arguments of the kernels."""
        return self.stride, self.window_sides(x_shape), self.dilation, self.groups

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        self.output_shape(x.shape)
        weight = self._params["weight"]
        x = as_dtype(x, weight.dtype)
        bias = self._params.get("bias")
        return kernels.conv2d(x, weight, bias, *self._geometry(x.shape)), x

    def backward(self, dy: Array, cache: Array, input_grad: bool = True) -> tuple[Array | None, Grads]:
        x, w = cache, self._params["weight"]
        geometry = self._geometry(x.shape)
        grads = {"weight": kernels.conv2d_weight(x, dy, w.shape, *geometry)}
        if self.bias:
            grads["bias"] = dy.__array_namespace__().sum(dy, axis=(0, 2, 3))
        dx = kernels.conv2d_input(dy, w, x.shape, *geometry) if input_grad else None
        return dx, grads

    def output_shape(self, input_shape: Shape) -> Shape:
        N, _, H, W = images("Conv2D", input_shape, self.in_channels)
        around = self.window_sides(input_shape)
        out = output_sizes(input_shape, self.kernel_size, self.stride, around, self.dilation)
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
