"""Define upsampling: maps enlarged by copying pixels or by interpolating between them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

from neocog.layers.base import WHOLE_IMAGE, Array, Field, Grads, Layer, Shape, images
from neocog.validation import number, one_of, pair

MODES = ("nearest", "bilinear")
LARGEST = 10_000
"""A larger scale is taken for a mistake."""

Places: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], tuple[float, ...]]
"""For each place of an output's axis: the two pixels around it, and the share of the second."""


class Upsample(Layer):
    """Resize maps: each output is read at a place between the pixels.

    Forward, with a matrix for each axis, A of (H_out, H) and B of (W_out, W)::

        y[n,c,i,j] = sum_{u,v} A[i,u] B[j,v] x[n,c,u,v]

    A row of A holds one 1 in mode "nearest", and in mode "bilinear" the shares of the two pixels around the
    place r, none further than the border, with the step t from place to place, H / H_out or 1 / scale::

        A[i,u] = 1 where u = floor(i t)                             "nearest"
        A[i,u] = max(0, 1 - |r - u|),   r = (i + 1/2) t - 1/2       "bilinear"
                                        r = i (H - 1) / (H_out - 1) with ``align_corners``

    Backward: the adjoint, each ``dy`` in the same shares to the pixels that it was read from::

        dx[n,c,u,v] = sum_{i,j} A[i,u] B[j,v] dy[n,c,i,j]

    Parameters
    ----------
    scale : number or (number, number), optional
        Factors of height and width; sizes are rounded down.
    size : int or (int, int), optional
        Height and width of the result, instead of ``scale``.
    mode : {"nearest", "bilinear"}
    align_corners : bool
        Whether the corners of "bilinear" are the centers of the corner pixels, not their outer corners.

    Raises
    ------
    ValueError, TypeError
        Unless one of ``scale`` and ``size`` is given; on an argument out of range, a wrong rank, a scale that
        leaves nothing.

    See Also
    --------
    ConvTranspose2D : Enlarges with learned weights.

    Notes
    -----
    Shapes: (N, C, H, W) -> (N, C, H_out, W_out). Places are computed exactly; PyTorch takes ``floor(i t)`` in
    float32, which for few ratios, as of 3 to 123 pixels, is a pixel less.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[[[1.0, 3.0]]]])
    >>> Upsample(2)(x)[0, 0]
    array([[1., 1., 3., 3.],
           [1., 1., 3., 3.]])
    >>> Upsample(size=(1, 4), mode="bilinear")(x)[0, 0]
    array([[1. , 1.5, 2.5, 3. ]])
    """

    def __init__(
        self,
        scale: float | tuple[float, float] | None = None,
        size: int | tuple[int, int] | None = None,
        mode: str = "nearest",
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        if (scale is None) == (size is None):
            raise ValueError(f"give scale or size, one of the two, got scale={scale!r}, size={size!r}.")
        self.scale = None if scale is None else _factors(scale)
        self.size = None if size is None else pair("size", size)
        self.mode = one_of("mode", mode, MODES)
        self.align_corners = bool(align_corners)
        if self.align_corners and self.mode == "nearest":
            raise ValueError("align_corners must be False in mode 'nearest', which has no corners to align.")

    def places(self, x_shape: Shape) -> tuple[Places, Places]:
        """Return where the rows, and where the columns, of the output are read in maps of a shape."""
        out = self.output_shape(x_shape)[2:]
        rows, columns = (
            read_places(size, n, scale, self.mode, self.align_corners)
            for size, n, scale in zip(x_shape[2:], out, self.scale or (None, None), strict=True)
        )
        return rows, columns

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Shape]:
        x_shape, xp = x.shape, x.__array_namespace__()
        for axis, (first, second, share) in enumerate(self.places(x_shape), start=2):
            y = xp.take(x, xp.asarray(first), axis=axis)
            if self.mode == "bilinear":
                part = xp.reshape(xp.asarray(share, dtype=x.dtype), (-1, 1) if axis == 2 else (-1,))
                y = (1 - part) * y + part * xp.take(x, xp.asarray(second), axis=axis)
            x = y
        return x, x_shape

    def backward(self, dy: Array, cache: Shape, input_grad: bool = True) -> tuple[Array | None, Grads]:
        if not input_grad:
            return None, {}
        xp = dy.__array_namespace__()
        for axis, places in enumerate(self.places(cache), start=2):
            along = (slice(None),) * axis
            dx = xp.zeros((*dy.shape[:axis], cache[axis], *dy.shape[axis + 1 :]), dtype=dy.dtype)
            for i, (first, second, share) in enumerate(zip(*places, strict=True)):
                dx[(*along, first, ...)] += (1 - share) * dy[(*along, i, ...)]
                if share:
                    dx[(*along, second, ...)] += share * dy[(*along, i, ...)]
            dy = dx
        return dy, {}

    def output_shape(self, input_shape: Shape) -> Shape:
        N, C, H, W = images("Upsample", input_shape)
        v, h = self.scale or (1, 1)
        out = self.size or (int(H * v), int(W * h))
        if min(H, W, *out) < 1:
            raise ValueError(f"Upsample's scale {self.scale} leaves nothing of the {H}x{W} image.")
        return N, C, *out

    def flops(self, input_shape: Shape) -> int:
        """Count three for each number that is interpolated along an axis; a copy is none."""
        N, C, H, W = self.output_shape(input_shape)
        return 3 * N * C * H * (input_shape[3] + W) if self.mode == "bilinear" else 0

    def receptive_field(self, field: Field) -> Field:
        """Return the field; with ``size`` the distance of neighbours is not known, so at most the image."""
        if self.scale is None:
            return WHOLE_IMAGE
        seen = 2 if self.mode == "bilinear" else 1
        return field.through((seen, seen), (1, 1)).finer(self.scale)


def _factors(scale: Any) -> tuple[float, float]:
    """Return a number or a pair as two factors; whole ones as integers, as they are printed."""
    both = scale if isinstance(scale, tuple | list) and len(scale) == 2 else (scale, scale)
    v, h = (number("scale", factor, 0, LARGEST, exclusive_minimum=True) for factor in both)
    return (int(v) if v == int(v) else v), (int(h) if h == int(h) else h)


@lru_cache(maxsize=1024)
def read_places(size: int, out: int, scale: float | None, mode: str, align_corners: bool) -> Places:
    """Return the places that an axis of ``size`` pixels is read at, for ``out`` outputs."""
    if mode == "nearest":
        found = (i * size // out if scale is None else int(i / scale) for i in range(out))
        first = tuple(min(u, size - 1) for u in found)
        return first, first, (0.0,) * out
    step = size / out if scale is None else 1 / scale
    if align_corners:
        between = [i * ((size - 1) / (out - 1)) if out > 1 else 0.0 for i in range(out)]
    else:
        between = [max((i + 0.5) * step - 0.5, 0.0) for i in range(out)]
    first = tuple(min(int(r), size - 1) for r in between)
    second = tuple(min(u + 1, size - 1) for u in first)
    share = (min(r - u, 1.0) if u < v else 0.0 for r, u, v in zip(between, first, second, strict=True))
    return first, second, tuple(share)
