"""Define the convolution with a table of connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neocog import kernels
from neocog.initializers import Initializer, he_normal, zeros
from neocog.kernels.geometry import Padding, output_sizes
from neocog.layers.base import Array, Field, Grads, Layer, Shape, as_dtype, images
from neocog.validation import RandomSource, float_dtype, generator, integer, pair


class SparseConv2D(Layer):
    """Convolve, for each output map, only the input maps that a table connects it with.

    Forward, with stride s, padding P, and a kernel of its own for each connection (f, c)::

        y[n,f,i,j] = b[f] + sum_{c in connections[f], p, q} w[(f,c),p,q] x[n, c, i s + p - P, j s + q - P]

    Backward: that of :class:`Conv2D`; there is no ``dw`` where there is no connection.

    Parameters
    ----------
    in_channels : int
    connections : sequence of sequences of int
        For each output map the input maps it sees.
    kernel_size : int or (int, int)
    stride : int or (int, int)
    padding : int or (int, int)
        Zeros around the image.
    init : initializer, default He normal with an output map's own ``fan_in``
    rng : Generator, int or None
    dtype : floating point type

    Attributes
    ----------
    params : ``weight`` (connections, kH, kW), in the order of the table, and ``bias`` (out_channels,)

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, a wrong rank or channel count, a kernel larger than the padded image.

    Notes
    -----
    Shapes: (N, C_in, H, W) -> (N, len(connections), H_out, W_out) with
    ``H_out = floor((H + 2 P - kH) / s) + 1``.

    Source: layer C3 of Y. LeCun et al., "Gradient-based learning applied to document recognition", 1998.

    Examples
    --------
    >>> import numpy as np
    >>> conv = SparseConv2D(3, [(0, 1), (2,)], 1)
    >>> conv.params["weight"][:, 0, 0] = [2, 3, 4]
    >>> conv(np.array([1.0, 10.0, 100.0]).reshape(1, 3, 1, 1)).ravel()  # 2 + 30, 400
    array([ 32., 400.], dtype=float32)
    """

    def __init__(
        self,
        in_channels: int,
        connections: Sequence[Sequence[int]],
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        *,
        init: Initializer = he_normal,
        rng: RandomSource = None,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.in_channels = integer("in_channels", in_channels)
        self.connections = tuple(tuple(integer("connections", c, 0) for c in seen) for seen in connections)
        for seen in self.connections or ((),):
            if not seen or len({*seen}) < len(seen) or max(seen) >= self.in_channels:
                raise ValueError(
                    f"connections must give each output map different input maps in 0..{in_channels - 1}, "
                    f"got {connections!r}."
                )
        self.kernel_size = pair("kernel_size", kernel_size)
        self.stride = pair("stride", stride)
        self.padding = v, h = pair("padding", padding, minimum=0)
        self.sides: Padding = ((v, v), (h, h))
        self.pairs = [(f, c) for f, seen in enumerate(self.connections) for c in seen]
        self._bank_shape = (len(self.connections), self.in_channels, *self.kernel_size)

        taps = self.kernel_size[0] * self.kernel_size[1]
        fan_out = len(self.pairs) * taps // self.in_channels
        dtype, rng = float_dtype(dtype), generator(rng)
        banks = [
            init((len(seen), *self.kernel_size), len(seen) * taps, fan_out, rng, dtype)
            for seen in self.connections
        ]
        self._params["weight"] = np.concatenate(banks)
        self._params["bias"] = zeros((len(banks),), 0, 0, rng, dtype)

    def _bank(self) -> Array:
        """Return the kernels in the layout of :class:`Conv2D`, with zeros where there is no connection."""
        weight = self._params["weight"]
        bank = weight.__array_namespace__().zeros(self._bank_shape, dtype=weight.dtype)
        for k, (f, c) in enumerate(self.pairs):
            bank[f, c, ...] = weight[k, ...]
        return bank

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        self.output_shape(x.shape)
        bias = self._params["bias"]
        x = as_dtype(x, bias.dtype)
        return kernels.conv2d(x, self._bank(), bias, self.stride, self.sides, (1, 1), 1), x

    def backward(self, dy: Array, cache: Array, input_grad: bool = True) -> tuple[Array | None, Grads]:
        xp, geometry = dy.__array_namespace__(), (self.stride, self.sides, (1, 1), 1)
        bank = kernels.conv2d_weight(cache, dy, self._bank_shape, *geometry)
        grads = {
            "weight": xp.stack([bank[f, c, ...] for f, c in self.pairs]),
            "bias": xp.sum(dy, axis=(0, 2, 3)),
        }
        dx = kernels.conv2d_input(dy, self._bank(), cache.shape, *geometry) if input_grad else None
        return dx, grads

    def output_shape(self, input_shape: Shape) -> Shape:
        N, _, H, W = images("SparseConv2D", input_shape, self.in_channels)
        out = output_sizes(input_shape, self.kernel_size, self.stride, self.sides)
        if min(out) < 1:
            raise ValueError(
                f"SparseConv2D's kernel {self.kernel_size} is larger than the {H}x{W} image with padding "
                f"{self.padding}."
            )
        return N, len(self.connections), *out

    def flops(self, input_shape: Shape) -> int:
        N, _, H, W = self.output_shape(input_shape)
        return 2 * N * H * W * int(self._params["weight"].size)

    def receptive_field(self, field: Field) -> Field:
        return field.through(self.kernel_size, self.stride)
