"""Read images between their pixels, with NumPy."""

from __future__ import annotations

import numpy as np

__all__ = ["affine", "bordered", "places"]

_TOGETHER = 1 << 15
"""Numbers of the images that are read together: their temporaries stay in the processor's cache."""


def affine(x: np.ndarray, matrix: np.ndarray, fill: float | None) -> np.ndarray:
    """Read whole images at once by flat places; see :func:`neocog.kernels.affine`."""
    N, C, H, W = x.shape
    y = np.empty(x.shape, x.dtype)
    step = max(1, _TOGETHER // max(1, C * H * W))
    for start in range(0, N, step):
        some = slice(start, start + step)
        y[some] = _sample(bordered(x[some], fill), *places(matrix[some], H, W))
    return y


def bordered(x: np.ndarray, fill: float | None) -> np.ndarray:
    """Add a border one pixel wide, of the brightness ``fill`` or, if None, of the pixel beside it."""
    sides = ((0, 0), (0, 0), (1, 1), (1, 1))
    return np.pad(x, sides, "edge") if fill is None else np.pad(x, sides, constant_values=fill)


def places(matrix: np.ndarray, H: int, W: int) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column (N, H, W) that each pixel is read at, counted in the image with its border.

    Places further out are moved onto the border: it has the same brightness.
    """
    down = np.arange(H)[:, None] - (H - 1) / 2
    right = np.arange(W) - (W - 1) / 2
    (a, b, c), (d, e, f) = matrix[..., None, None].transpose(1, 2, 0, 3, 4)  # each (N, 1, 1)
    row, column = a * down + c + b * right + 1, d * down + f + e * right + 1
    # fmax and fmin make a number of what is none: the place of a pixel moved by infinity.
    return np.fmin(np.fmax(row, 0), H + 1), np.fmin(np.fmax(column, 0), W + 1)


def _sample(x: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Interpolate between the four pixels around each place, along the rows first: (N, C, H, W)."""
    N, C, height, width = x.shape
    top, left = np.minimum(row.astype(int), height - 2), np.minimum(column.astype(int), width - 2)
    down, right = (row - top).astype(x.dtype)[:, None], (column - left).astype(x.dtype)[:, None]
    start = np.arange(N * C).reshape(N, C, 1, 1) * (height * width)  # of each map among all pixels
    corner = start + (top * width + left)[:, None]  # (N, C, H, W)
    flat = x.reshape(-1)
    upper, lower = flat[corner], flat[corner + width]
    upper += right * (flat[corner + 1] - upper)
    lower += right * (flat[corner + (width + 1)] - lower)
    y: np.ndarray = upper + down * (lower - upper)
    return y
