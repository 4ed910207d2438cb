"""Define padding: images with a border, maps with further channels."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from neocog.kernels.geometry import Padding, crop, pad
from neocog.layers.base import Array, Grads, Layer, Shape, images
from neocog.validation import integer, number, one_of, sides

MODES = ("constant", "reflect", "replicate", "circular")


class Pad2D(Layer):
    """Surround images with a constant, or with pixels of their own.

    Forward, in mode "constant"::

        y[n, c, i + top, j + left] = x[n,c,i,j],    value elsewhere

    else with the row and the column that the mode puts at each place::

        y[n, c, i + top, j + left] = x[n, c, r(i), r(j)]
        r(i) = i inside, and outside
            -i  or  2 (H - 1) - i     "reflect", a mirror on the border's own pixels
            0  or  H - 1              "replicate", the nearest pixel
            i + H  or  i - H          "circular", as if the image went round

    Backward: each ``dy`` goes to the pixel that it was copied from, where they add up; the crop back for
    constants.

    Parameters
    ----------
    padding : int, (int, int) or ((int, int), (int, int))
        The same on all sides, (vertical, horizontal), or ((top, bottom), (left, right)).
    value : float
        The constant.
    mode : {"constant", "reflect", "replicate", "circular"}

    Raises
    ------
    ValueError, TypeError
        On a negative padding, an unknown mode, a wrong rank, or an image too small to be continued: "reflect"
        needs more pixels than padding, "circular" as many, "replicate" one.

    Notes
    -----
    Shapes: (N, C, H, W) -> (N, C, top + H + bottom, left + W + right).

    Examples
    --------
    >>> import numpy as np
    >>> Pad2D(((0, 1), (1, 0)))(np.ones((1, 1, 1, 1)))
    array([[[[0., 1.],
             [0., 0.]]]])
    >>> Pad2D((0, 2), mode="reflect")(np.array([[[[1.0, 2.0, 3.0]]]]))
    array([[[[3., 2., 1., 2., 3., 2., 1.]]]])
    """

    def __init__(self, padding: int | tuple[Any, Any], value: float = 0.0, mode: str = "constant") -> None:
        super().__init__()
        self.padding: Padding = sides("padding", padding)
        self.value = number("value", value)
        self.mode = one_of("mode", mode, MODES)
        if self.value and self.mode != "constant":
            raise ValueError(f"value must be 0 in mode {self.mode!r}, which copies pixels, got {value!r}.")

    def _copied(self) -> tuple[int, ...]:
        """Return the axes along which pixels are copied."""
        return tuple(axis for axis in (2, 3) if self.mode != "constant" and any(self.padding[axis - 2]))

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Shape]:
        self.output_shape(x.shape)
        x_shape, xp = x.shape, x.__array_namespace__()
        if self.mode == "constant":
            return pad(x, self.padding, self.value), x_shape
        for axis in self._copied():
            places = xp.asarray(copied_from(x_shape[axis], self.padding[axis - 2], self.mode))
            x = xp.take(x, places, axis=axis)
        return x, x_shape

    def backward(self, dy: Array, cache: Shape, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        if self.mode == "constant":
            return crop(dy, self.padding), {}
        xp = dy.__array_namespace__()
        for axis in self._copied():
            size, before, along = cache[axis], self.padding[axis - 2][0], (slice(None),) * axis
            dx = xp.asarray(dy[(*along, slice(before, before + size), ...)], copy=True)
            for place, source in enumerate(copied_from(size, self.padding[axis - 2], self.mode)):
                if not before <= place < before + size:
                    dx[(*along, source, ...)] += dy[(*along, place, ...)]
            dy = dx
        return dy, {}

    def output_shape(self, input_shape: Shape) -> Shape:
        N, C, H, W = images("Pad2D", input_shape)
        for axis in self._copied():
            size, most = input_shape[axis], max(self.padding[axis - 2])
            if size < {"reflect": most + 1, "circular": most, "replicate": 1}[self.mode]:
                raise ValueError(
                    f"Pad2D in mode {self.mode!r} cannot continue the {H}x{W} image by the padding "
                    f"{self.padding}."
                )
        return N, C, H + sum(self.padding[0]), W + sum(self.padding[1])


@lru_cache(maxsize=1024)
def copied_from(size: int, padding: tuple[int, int], mode: str) -> tuple[int, ...]:
    """Return the pixel that each place of a padded axis is copied from."""
    places = range(-padding[0], size + padding[1])
    last = size - 1
    if mode == "reflect":
        return tuple(last - abs(last - abs(i)) for i in places)
    if mode == "replicate":
        return tuple(min(max(i, 0), last) for i in places)
    return tuple(i % size for i in places)


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

    Source: the shortcut without parameters of K. He et al., "Deep residual learning for image
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
