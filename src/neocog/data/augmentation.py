"""Augment images: small random changes that keep the class of an image.

Every step is a function ``(images, rng) -> images`` on a floating point batch (N, C, H, W); another rank is a
ValueError, another dtype a TypeError. It changes each image by its own draw from ``rng``, returns a new array
of the same shape and dtype, and never writes into its input.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

from neocog.kernels import affine
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
    fill : float or "edge"
        The brightness of the pixels that enter at the border; with "edge", that of the nearest pixel of the
        image, which suits photographs: no black frame is learned.

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

    def __init__(self, pixels: int, fill: float | str = 0.0) -> None:
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
    fill : float or "edge"
        The brightness of the padding; with "edge", that of the nearest pixel of the image.

    Raises
    ------
    ValueError, TypeError
        As for :class:`Shift`.

    Notes
    -----
    Shapes: (N, C, H, W) -> (N, C, H, W).

    Source: K. He et al., "Deep residual learning for image recognition", 2015, section 4.2.
    """

    def __init__(self, padding: int, fill: float | str = 0.0) -> None:
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
    fill : float or "edge"
        The brightness of the pixels that enter at the border; with "edge", that of the nearest pixel of the
        image, which suits photographs: no black frame is learned.

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
        fill: float | str = 0.0,
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
        matrix = np.array(
            [
                [cos + slant * sin, sin, (H - 1) / 2 - down],
                [slant * cos - sin, cos, (W - 1) / 2 - right],
            ]
        )  # (2, 3, N)
        return np.asarray(
            affine(images, np.moveaxis(matrix, 2, 0), None if isinstance(self.fill, str) else self.fill)
        )


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


class ColorJitter(_Step):
    """Change brightness, contrast and saturation of each image a little.

    Each image has its own factors b, c and s. With g, the mean of a pixel's channels, and m, the mean of the
    image, ``y = b (m + c (g - m + s (x - g)))``, multiplied out. Nothing is clipped.

    Parameters
    ----------
    brightness, contrast, saturation : float in [0, 1]
        The factors b, c, s are uniform in ``1 - brightness..1 + brightness``, and so on.

    Raises
    ------
    ValueError, TypeError
        On an argument out of range.

    Notes
    -----
    Shapes: (N, C, H, W) -> (N, C, H, W).

    Source: A. Howard, "Some improvements on deep convolutional neural network based image classification",
    2013, section 2.

    Examples
    --------
    >>> ColorJitter(brightness=0.2, contrast=0.2)
    ColorJitter(brightness=0.2, contrast=0.2)
    """

    def __init__(self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0) -> None:
        self.brightness = number("brightness", brightness, 0, 1)
        self.contrast = number("contrast", contrast, 0, 1)
        self.saturation = number("saturation", saturation, 0, 1)

    def _change(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        limits = np.array([self.brightness, self.contrast, self.saturation])[:, None]
        factors = 1 + rng.uniform(-limits, limits, (3, len(images)))
        b, c, s = factors.astype(images.dtype)[..., None, None, None]
        images = np.ascontiguousarray(images)  # the order of the sums is that of the memory
        g = images.mean(axis=1, keepdims=True)
        m = g.mean(axis=(2, 3), keepdims=True)
        changed: np.ndarray = b * c * s * images
        changed += b * c * (1 - s) * g + b * (1 - c) * m
        return changed


class Erase(_Step):
    """Cover a square of each image, whose middle is drawn at random ("cutout").

    Parameters
    ----------
    size : int
        Side of the square, in pixels; what lies outside of the image is not covered.
    p : float in [0, 1]
        The probability that an image gets a square.
    fill : float
        The brightness of the square.

    Raises
    ------
    ValueError, TypeError
        On an argument out of range.

    Notes
    -----
    Shapes: (N, C, H, W) -> (N, C, H, W).

    Source: T. DeVries, G. Taylor, "Improved regularization of convolutional neural networks with cutout",
    2017.

    Examples
    --------
    >>> Erase(2)(np.ones((1, 1, 3, 3)), rng=1)[0, 0]
    array([[1., 1., 1.],
           [1., 0., 0.],
           [1., 0., 0.]])
    """

    def __init__(self, size: int, p: float = 1.0, fill: float = 0.0) -> None:
        self.size = integer("size", size)
        self.p = number("p", p, 0, 1)
        self.fill = number("fill", fill, exclusive_minimum=True, exclusive_maximum=True)

    def _change(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        N, _, H, W = images.shape
        covered = rng.random((N, 1, 1)) < self.p
        for axis, length in ((1, H), (2, W)):
            first = rng.integers(0, length, (N, 1)) - self.size // 2
            inside = (np.arange(length) >= first) & (np.arange(length) < first + self.size)
            covered = covered & np.expand_dims(inside, 3 - axis)
        return np.where(covered[:, None], images.dtype.type(self.fill), images)


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


def _fill(value: Any) -> float | str:
    """Return a fill: a finite brightness, or "edge"."""
    if isinstance(value, str) and value == "edge":
        return value
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"fill must be a number or 'edge', got {value!r}.")
    return number("fill", value, exclusive_minimum=True, exclusive_maximum=True)


def _random_windows(
    images: np.ndarray, padding: int, fill: float | str, rng: np.random.Generator
) -> np.ndarray:
    """Pad the images, and cut from each a window of the old size whose corner is drawn at random."""
    N, _, H, W = images.shape
    sides = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    padded = np.pad(images, sides, "edge") if fill == "edge" else np.pad(images, sides, constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (H, W), axis=(2, 3))  # (N, C, top, left, H, W)
    corners = rng.integers(0, 2 * padding, size=(N, 2), endpoint=True)
    return windows[np.arange(N), :, corners[:, 0], corners[:, 1]]  # (N, C, H, W), a copy
