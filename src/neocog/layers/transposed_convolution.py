"""Define the transposed convolution: the layer whose forward is a convolution's backward."""

from __future__ import annotations

from typing import Any

from neocog import kernels
from neocog.initializers import Initializer, he_normal, zeros
from neocog.kernels.geometry import one_a_direction
from neocog.layers.base import Array, Field, Grads, Layer, Shape, as_dtype, images
from neocog.validation import RandomSource, float_dtype, generator, integer, pair, sides


class ConvTranspose2D(Layer):
    """Add up a small kernel at every pixel, times the pixel: the adjoint of :class:`Conv2D`, which enlarges.

    Forward, with stride s, padding P, dilation d::

        y[n,f,u,v] = b[f] + sum of x[n,c,i,j] w[c,f,p,q] over all i s + p d - P = u, j s + q d - P = v

    It is the backward of the convolution with the same weights that makes images like ``x`` of images like
    ``y``.

    Backward: so ``dx`` is that convolution of ``dy``, and ``dw`` its gradient in the weights, with ``x`` and
    ``dy`` exchanged; ``db[f]`` sums ``dy`` over images and positions::

        dx[n,c,i,j] = sum_{f,p,q} w[c,f,p,q] dy[n, f, i s + p d - P, j s + q d - P]
        dw[c,f,p,q] = sum_{n,i,j} x[n,c,i,j] dy[n, f, i s + p d - P, j s + q d - P]

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int or (int, int)
    stride : int or (int, int)
        Distance between the kernels of neighbouring pixels.
    padding : int, (int, int) or ((int, int), (int, int))
        Rows and columns left out around the result: the same on all sides, (vertical, horizontal), or
        ((top, bottom), (left, right)).
    output_padding : int or (int, int)
        Further rows at the bottom and columns at the right, fewer than the stride: of the sizes that the
        convolution makes one of, this chooses.
    groups : int
        Split the channels into groups that do not see each other; must divide both channel counts.
    bias : bool
    dilation : int or (int, int)
        Distance between the taps of the kernel.
    init : initializer, default He normal with ``fan_in = in_channels / groups * kH * kW / s^2``
    rng : Generator, int or None
    dtype : floating point type

    Attributes
    ----------
    params : ``weight`` (in_channels, out_channels / groups, kH, kW) and ``bias`` (out_channels,)

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, a wrong rank or channel count, a padding that leaves nothing.

    See Also
    --------
    Upsample : Enlarges without weights.

    Notes
    -----
    Shapes: (N, C_in, H, W) -> (N, C_out, H_out, W_out) with
    ``H_out = (H - 1) s - 2 P + d (kH - 1) + 1 + output_padding``. The arguments stand in PyTorch's order.

    Source: M. Zeiler et al., "Deconvolutional networks", 2010; V. Dumoulin, F. Visin, "A guide to convolution
    arithmetic for deep learning", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> up = ConvTranspose2D(1, 1, 2, stride=2, bias=False)
    >>> up.params["weight"][...] = [[[[1, 2], [3, 4]]]]
    >>> up(np.array([[[[1.0, 10.0]]]]))[0, 0]
    array([[ 1.,  2., 10., 20.],
           [ 3.,  4., 30., 40.]], dtype=float32)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[Any, Any] = 0,
        output_padding: int | tuple[int, int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, int] = 1,
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
        self.sides = sides("padding", padding)
        self.padding = one_a_direction(self.sides)
        self.output_padding = pair("output_padding", output_padding, 0)
        self.groups = integer("groups", groups)
        self.bias = bool(bias)
        self.dilation = pair("dilation", dilation)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"groups must divide in_channels and out_channels, got groups={self.groups}, "
                f"in_channels={self.in_channels}, out_channels={self.out_channels}."
            )
        if any(more >= s for more, s in zip(self.output_padding, self.stride, strict=True)):
            raise ValueError(
                f"output_padding must be smaller than the stride {self.stride}, got {self.output_padding}."
            )
        kH, kW = self.kernel_size
        shape = (self.in_channels, self.out_channels // self.groups, kH, kW)
        apart = self.stride[0] * self.stride[1]
        fan_in = max(1, self.in_channels // self.groups * kH * kW // apart)
        dtype = float_dtype(dtype)
        rng = generator(rng)
        self._params["weight"] = init(shape, fan_in, shape[1] * kH * kW, rng, dtype)
        if self.bias:
            self._params["bias"] = zeros((self.out_channels,), 0, 0, rng, dtype)

    def _geometry(self) -> tuple[Any, ...]:
        """Return the arguments of the kernels."""
        return self.stride, self.sides, self.dilation, self.groups

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        y_shape, weight = self.output_shape(x.shape), self._params["weight"]
        x = as_dtype(x, weight.dtype)
        y = kernels.conv2d_input(x, weight, y_shape, *self._geometry())
        if self.bias:
            xp = y.__array_namespace__()
            y = y + xp.reshape(self._params["bias"], (-1, 1, 1))
        return y, x

    def backward(self, dy: Array, cache: Array, input_grad: bool = True) -> tuple[Array | None, Grads]:
        x, w = cache, self._params["weight"]
        grads = {"weight": kernels.conv2d_weight(dy, x, w.shape, *self._geometry())}
        if self.bias:
            grads["bias"] = dy.__array_namespace__().sum(dy, axis=(0, 2, 3))
        dx = kernels.conv2d(dy, w, None, *self._geometry()) if input_grad else None
        return dx, grads

    def output_shape(self, input_shape: Shape) -> Shape:
        N, _, H, W = images("ConvTranspose2D", input_shape, self.in_channels)
        geometry = (self.stride, self.sides, self.dilation, self.kernel_size, self.output_padding)
        out = tuple(
            (size - 1) * s - sum(cut) + d * (k - 1) + 1 + more
            for size, s, cut, d, k, more in zip((H, W), *geometry, strict=True)
        )
        if min(H, W, *out) < 1:
            raise ValueError(
                f"ConvTranspose2D's padding {self.padding!r} leaves nothing of what the kernel "
                f"{self.kernel_size} makes of the {H}x{W} image."
            )
        return N, self.out_channels, *out

    def flops(self, input_shape: Shape) -> int:
        N, _, H, W = images("ConvTranspose2D", input_shape, self.in_channels)
        return 2 * N * H * W * int(self._params["weight"].size)

    def receptive_field(self, field: Field) -> Field:
        """Return the largest field of an output: of the taps that reach it, the inputs first to last."""
        spans = []
        for k, s, d in zip(self.kernel_size, self.stride, self.dilation, strict=True):
            taps = [[p * d for p in range(k) if p * d % s == phase] for phase in range(s)]
            spans.append(max((own[-1] - own[0]) // s for own in taps if own))
        return field.through((spans[0] + 1, spans[1] + 1), (1, 1)).finer(self.stride)
