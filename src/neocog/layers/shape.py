"""Layers that move numbers and compute nothing."""

from __future__ import annotations

from typing import Any

from neocog.kernels.geometry import Padding, crop, pad
from neocog.layers.base import Array, Grads, Layer, Shape, images
from neocog.validation import integer, number, pair


class Flatten(Layer):
    """Lay each image out as one row, in C order: channel by channel, row by row.

    Forward: ``y[n, (c H + i) W + j] = x[n,c,i,j]``.

    Backward: the reshape back.

    Raises
    ------
    ValueError
        If ``x`` has no batch axis.

    Notes
    -----
    Shapes: (N, ...) -> (N, product of the rest).

    Examples
    --------
    >>> import numpy as np
    >>> Flatten()(np.zeros((5, 3, 2, 2))).shape
    (5, 12)
    """

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Shape]:
        return x.__array_namespace__().reshape(x, self.output_shape(x.shape)), x.shape

    def backward(self, dy: Array, cache: Shape, input_grad: bool = True) -> tuple[Array | None, Grads]:
        return dy.__array_namespace__().reshape(dy, cache) if input_grad else None, {}

    def output_shape(self, input_shape: Shape) -> Shape:
        if not input_shape:
            raise ValueError("Flatten needs a batch axis, got shape ().")
        features = 1
        for size in input_shape[1:]:
            features *= size
        return input_shape[0], features


class Pad2D(Layer):
    """Surround images with a constant.

    Forward: ``y[n, c, i + top, j + left] = x[n,c,i,j]``, ``value`` elsewhere.

    Backward: the crop back.

    Parameters
    ----------
    padding : int, (int, int) or ((int, int), (int, int))
        The same on all sides, (vertical, horizontal), or ((top, bottom), (left, right)).
    value : float

    Raises
    ------
    ValueError, TypeError
        On a negative padding or a wrong rank.

    Notes
    -----
    Shapes: (N, C, H, W) -> (N, C, top + H + bottom, left + W + right).

    Examples
    --------
    >>> import numpy as np
    >>> Pad2D(((0, 1), (1, 0)))(np.ones((1, 1, 1, 1)))
    array([[[[0., 1.],
             [0., 0.]]]])
    """

    def __init__(self, padding: int | tuple[Any, Any], value: float = 0.0) -> None:
        super().__init__()
        if isinstance(padding, tuple | list) and any(isinstance(side, tuple | list) for side in padding):
            if len(padding) != 2:
                raise ValueError(f"padding must be ((top, bottom), (left, right)), got {padding!r}.")
            self.padding: Padding = (pair("padding", padding[0], 0), pair("padding", padding[1], 0))
        else:
            v, h = pair("padding", padding, 0)
            self.padding = ((v, v), (h, h))
        self.value = number("value", value)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, None]:
        images("Pad2D", x.shape)
        return pad(x, self.padding, self.value), None

    def backward(self, dy: Array, cache: None, input_grad: bool = True) -> tuple[Array | None, Grads]:
        return crop(dy, self.padding) if input_grad else None, {}

    def output_shape(self, input_shape: Shape) -> Shape:
        N, C, H, W = images("Pad2D", input_shape)
        return N, C, H + sum(self.padding[0]), W + sum(self.padding[1])


class PadChannels(Layer):
    """Append maps of zeros.

    Forward: ``y[n,c,i,j] = x[n,c,i,j]`` for the channels of ``x``, 0 for those after them.

    Backward: ``dy`` without its last channels.

    Parameters
    ----------
    channels : int
        How many are appended.

    Raises
    ------
    ValueError, TypeError
        On a negative number of channels or a wrong rank.

    Notes
    -----
    Shapes: (N, C, H, W) -> (N, C + channels, H, W).

    Source: the way around without parameters of K. He et al., "Deep residual learning for image
    recognition", 2016, option A.

    Examples
    --------
    >>> import numpy as np
    >>> PadChannels(1)(np.ones((1, 1, 1, 2)))
    array([[[[1., 1.]],
            [[0., 0.]]]])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = integer("channels", channels, 0)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, int]:
        N, C, H, W = images("PadChannels", x.shape)
        xp = x.__array_namespace__()
        return xp.concat((x, xp.zeros((N, self.channels, H, W), dtype=x.dtype)), axis=1), C

    def backward(self, dy: Array, cache: int, input_grad: bool = True) -> tuple[Array | None, Grads]:
        return dy[:, :cache, :, :] if input_grad else None, {}

    def output_shape(self, input_shape: Shape) -> Shape:
        N, C, H, W = images("PadChannels", input_shape)
        return N, C + self.channels, H, W
