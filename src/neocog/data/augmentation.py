"""Augment images: small random changes that keep the class of an image.

Every step is a function ``(images, rng) -> images`` on a floating point batch (N, C, H, W); another rank is a
ValueError, another dtype a TypeError. It changes each image by its own draw from ``rng``, returns a new array
of the same shape and dtype, and never writes into its input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neocog.representation import constructor_call
from neocog.validation import RandomSource, generator, integer, number, one_of


class _Step:
    """Base of all steps: it checks the images, and its repr is the call of its constructor."""

    def __call__(self, images: Any, rng: RandomSource) -> np.ndarray:
        """Return the batch, changed; see the class."""
        images = np.asarray(images)
        if images.ndim != 4:
            raise ValueError(f"images must be (N, C, H, W), got shape {images.shape}.")
        if images.dtype.kind != "f":
            raise TypeError(
                f"images must be floating point, got {images.dtype}; for pixels 0..255 pass images / 255."
            )
        return self._change(images, generator(rng))

    def _change(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        raise NotImplementedError

    def __repr__(self) -> str:
        return constructor_call(self, vars(self))


class Shift(_Step):
    """Move each image by a random whole number of pixels, vertically and horizontally.

    Parameters
    ----------
    pixels : int
        Both moves are uniform in ``-pixels..pixels``.
    fill : float
        The brightness of the pixels that enter at the border.

    Raises
    ------
    ValueError, TypeError
        If ``pixels`` is negative or no integer, or ``fill`` is not finite.

    Notes
    -----
    Shapes: (N, C, H, W) -> (N, C, H, W).

    Examples
    --------
    >>> image = np.eye(3)[None, None]
    >>> Shift(1)(image, np.random.default_rng(0))[0, 0]
    array([[0., 1., 0.],
           [0., 0., 1.],
           [0., 0., 0.]])
    """

    def __init__(self, pixels: int, fill: float = 0.0) -> None:
        self.pixels = integer("pixels", pixels, 0)
        self.fill = _fill(fill)

    def _change(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return _random_windows(images, self.pixels, self.fill, rng)


class Crop(_Step):
    """Pad each image on all sides and crop a window of its old size at random.

    This is :class:`Shift` by up to ``padding`` pixels, under the name and argument it has in the papers.

    Parameters
    ----------
    padding : int
        Pixels added on each side; 4 is usual for 32 x 32 images.
    fill : float
        The brightness of the padding.

    Raises
    ------
    ValueError, TypeError
        As for :class:`Shift`.

    Notes
    -----
    Shapes: (N, C, H, W) -> (N, C, H, W).

    Source: K. He et al., "Deep residual learning for image recognition", 2015, section 4.2.
    """

    def __init__(self, padding: int, fill: float = 0.0) -> None:
        self.padding = integer("padding", padding, 0)
        self.fill = _fill(fill)

    def _change(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return _random_windows(images, self.padding, self.fill, rng)


class Flip(_Step):
    """Mirror each image with probability ``p``.

    Parameters
    ----------
    p : float in [0, 1]
    axis : {"horizontal", "vertical"}
        "horizontal" swaps left and right, "vertical" top and bottom.

    Raises
    ------
    ValueError, TypeError
        On an argument out of range.

    Notes
    -----
    Shapes: (N, C, H, W) -> (N, C, H, W). Not for digits or letters: a mirrored 2 is no 2.

    Source: A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep convolutional neural
    networks", 2012, section 4.1.

    Examples
    --------
    >>> Flip(p=1)(np.array([[[[1.0, 2.0, 3.0]]]]), rng=0)
    array([[[[3., 2., 1.]]]])
    """

    def __init__(self, p: float = 0.5, axis: str = "horizontal") -> None:
        self.p = number("p", p, 0, 1)
        self.axis = one_of("axis", axis, ("horizontal", "vertical"))

    def _change(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        mirrored = rng.random(len(images)) < self.p
        flipped = np.flip(images, 3 if self.axis == "horizontal" else 2)
        return np.where(mirrored[:, None, None, None], flipped, images)


class Affine(_Step):
    """Rotate, scale, shear and shift each image a little, with bilinear interpolation.

    Each image has its own angle a, zoom z, slant k and move (v, h). The pixel in row y and column x of the
    result, counted from the middle, shows what lay at::

        row    = (  y cos a + (x + k y) sin a) / z - v
        column = (- y sin a + (x + k y) cos a) / z - h

    Parameters
    ----------
    degrees : float, at least 0
        The angle, counter-clockwise, is uniform in ``-degrees..degrees``.
    shift : float, at least 0
        The moves down and to the right, in pixels, are uniform in ``-shift..shift``, fractions included.
    scale : float, at least 0
        The logarithm of the zoom is uniform in ``-log(1 + scale)..log(1 + scale)``.
    shear : float, at least 0
        The slant, in columns a row, is uniform in ``-shear..shear``.
    fill : float
        The brightness of the pixels that enter at the border.

    Raises
    ------
    ValueError, TypeError
        On an argument out of range.

    Notes
    -----
    Shapes: (N, C, H, W) -> (N, C, H, W).

    Source: P. Simard, D. Steinkraus, J. Platt, "Best practices for convolutional neural networks applied to
    visual document analysis", 2003, section 2.

    Examples
    --------
    >>> Affine(degrees=10, shift=0.5)
    Affine(degrees=10.0, shift=0.5)
    """

    def __init__(
        self,
        degrees: float = 0.0,
        shift: float = 0.0,
        scale: float = 0.0,
        shear: float = 0.0,
        fill: float = 0.0,
    ) -> None:
        self.degrees = number("degrees", degrees, 0, np.inf, exclusive_maximum=True)
        self.shift = number("shift", shift, 0, np.inf, exclusive_maximum=True)
        self.scale = number("scale", scale, 0, np.inf, exclusive_maximum=True)
        self.shear = number("shear", shear, 0, np.inf, exclusive_maximum=True)
        self.fill = _fill(fill)

    def _change(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        N, _, H, W = images.shape
        largest = [self.degrees, np.log1p(self.scale), self.shear, self.shift, self.shift]
        limits = np.array(largest)[:, None]
        degrees, log_zoom, slant, down, right = rng.uniform(-limits, limits, (5, N))
        angle, zoom = np.deg2rad(degrees), np.exp(log_zoom)
        cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
        # (row, column) = matrix (y, x, 1), for all images and pixels at once.
        middle_row, middle_column = (H - 1) / 2, (W - 1) / 2
        matrix = np.array(
            [[cos + slant * sin, sin, middle_row - down], [slant * cos - sin, cos, middle_column - right]]
        )  # (2, 3, N)
        y, x = np.indices((H, W)).reshape(2, H * W)
        pixels = np.stack([y - middle_row, x - middle_column, np.ones(H * W)])  # (3, H W)
        row, column = np.moveaxis(matrix, 2, 1) @ pixels  # each (N, H W)
        return _sample(images, row, column, self.fill)


class Noise(_Step):
    """Add normal noise to every pixel; nothing is clipped.

    Parameters
    ----------
    std : float, at least 0
        Standard deviation.

    Raises
    ------
    ValueError, TypeError
        On an argument out of range.

    Notes
    -----
    Shapes: (N, C, H, W) -> (N, C, H, W).

    Source: C. Bishop, "Training with noise is equivalent to Tikhonov regularization", 1995.
    """

    def __init__(self, std: float) -> None:
        self.std = number("std", std, 0, np.inf, exclusive_maximum=True)

    def _change(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        noisy: np.ndarray = images + rng.normal(0, self.std, images.shape).astype(images.dtype)
        return noisy


class Compose(_Step):
    """Apply several steps, one after another.

    Parameters
    ----------
    *steps : functions (images, rng) -> images

    Raises
    ------
    TypeError
        If a step cannot be called.

    Examples
    --------
    >>> Compose(Shift(1), Noise(0.05))
    Compose(Shift(1), Noise(0.05))
    """

    def __init__(self, *steps: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> None:
        for step in steps:
            if not callable(step):
                raise TypeError(f"steps must be functions (images, rng) -> images, got {step!r}.")
        self.steps = steps

    def _change(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        for step in self.steps:
            images = step(images, rng)
        return images

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.steps))})"


def _fill(value: float) -> float:
    return number("fill", value, exclusive_minimum=True, exclusive_maximum=True)


def _random_windows(images: np.ndarray, padding: int, fill: float, rng: np.random.Generator) -> np.ndarray:
    """Pad the images, and cut from each a window of the old size whose corner is drawn at random."""
    N, _, H, W = images.shape
    sides = (padding, padding)
    padded = np.pad(images, ((0, 0), (0, 0), sides, sides), constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (H, W), axis=(2, 3))  # (N, C, top, left, H, W)
    corners = rng.integers(0, 2 * padding, size=(N, 2), endpoint=True)
    return windows[np.arange(N), :, corners[:, 0], corners[:, 1]]  # (N, C, H, W), a copy


def _sample(images: np.ndarray, row: np.ndarray, column: np.ndarray, fill: float) -> np.ndarray:
    """Read each image between its pixels, at H W places, by bilinear interpolation: (N, C, H, W)."""
    N, C, H, W = images.shape
    # The images get a border one pixel wide. Places further out are moved onto it: it has the same
    # brightness.
    bordered = np.full((N * C, H + 2, W + 2), fill, images.dtype)
    bordered[:, 1:-1, 1:-1] = images.reshape(N * C, H, W)
    row, column = np.clip(row + 1, 0, H + 1), np.clip(column + 1, 0, W + 1)
    top, left = np.minimum(row.astype(int), H), np.minimum(column.astype(int), W)
    down = (row - top).astype(images.dtype)[:, None]  # (N, 1, H W), as right
    right = (column - left).astype(images.dtype)[:, None]

    start = np.arange(N * C).reshape(N, C, 1) * ((H + 2) * (W + 2))  # of each map among all pixels
    corner = start + (top * (W + 2) + left)[:, None]  # (N, C, H W)
    flat = bordered.reshape(-1)
    upper, lower = flat[corner], flat[corner + (W + 2)]
    upper += right * (flat[corner + 1] - upper)
    lower += right * (flat[corner + (W + 3)] - lower)
    upper += down * (lower - upper)
    result: np.ndarray = upper.reshape(images.shape)
    return result
