"""Compute where windows lie: output sizes, padding, and the pixels of the image under each window."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

Array: TypeAlias = Any
"""An array of NumPy or of another library that implements the array API."""

Pair: TypeAlias = tuple[int, int]
Padding: TypeAlias = tuple[Pair, Pair]
"""``((top, bottom), (left, right))``."""

NO_PADDING: Padding = ((0, 0), (0, 0))

Counts: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""Divisors of the means: ``rows[i] columns[j]`` for the window at (i, j)."""


def one_a_direction(padding: Padding) -> Pair | Padding:
    """Write a padding as (vertical, horizontal) where both sides of each axis are equal."""
    (top, bottom), (left, right) = padding
    return (top, left) if top == bottom and left == right else padding


def is_complex(x: Array) -> bool:
    """Return whether an array is complex; ``kind`` is ten times faster than the array API's ``isdtype``."""
    kind = getattr(x.dtype, "kind", None)
    if kind is not None:
        return bool(kind == "c")
    return bool(x.__array_namespace__().isdtype(x.dtype, "complex floating"))


def output_size(size: int, kernel: int, stride: int = 1, padding: Pair = (0, 0), dilation: int = 1) -> int:
    """Count the positions of a window along one axis.

    ``floor((size + before + after - dilation (kernel - 1) - 1) / stride) + 1``

    Examples
    --------
    >>> output_size(8, kernel=3)
    6
    >>> output_size(224, kernel=7, stride=2, padding=(3, 3))
    112
    """
    return (size + padding[0] + padding[1] - dilation * (kernel - 1) - 1) // stride + 1


@lru_cache(maxsize=4096)  # called by every layer in every step
def output_sizes(
    x_shape: tuple[int, ...],
    kernel_size: Pair,
    stride: Pair,
    padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1),
) -> Pair:
    """Return height and width of a windowed operation's output (:func:`output_size` on both axes)."""
    return (
        output_size(x_shape[2], kernel_size[0], stride[0], padding[0], dilation[0]),
        output_size(x_shape[3], kernel_size[1], stride[1], padding[1], dilation[1]),
    )


def pad(x: Array, padding: Padding, value: float = 0.0) -> Array:
    """Surround the two last axes of ``x`` with ``value``; without padding return ``x`` itself."""
    if padding == NO_PADDING:
        return x
    (top, bottom), (left, right) = padding
    N, C, H, W = x.shape
    xp = x.__array_namespace__()
    shape = (N, C, H + top + bottom, W + left + right)
    padded = xp.full(shape, value, dtype=x.dtype) if value else xp.zeros(shape, dtype=x.dtype)
    padded[:, :, top : top + H, left : left + W] = x
    return padded


def crop(x: Array, padding: Padding) -> Array:
    """Remove the padding that :func:`pad` has added."""
    (top, bottom), (left, right) = padding
    return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]


def padded_shape(x_shape: tuple[int, ...], padding: Padding) -> tuple[int, ...]:
    """Return the shape of ``pad(x, padding)``."""
    N, C, H, W = x_shape
    return N, C, H + sum(padding[0]), W + sum(padding[1])


def ceil_padding(size: int, kernel: int, stride: int, padding: Pair, dilation: int = 1) -> Pair:
    """Enlarge the padding for a last window that reaches over the end, so that output sizes are rounded up.

    Such a window must begin in the image or in the padding before it, as in PyTorch's ``ceil_mode``.

    Examples
    --------
    >>> ceil_padding(6, kernel=3, stride=2, padding=(0, 0))  # windows at 0, 2 and 4
    (0, 1)
    """
    before, after = padding
    reach = dilation * (kernel - 1) + 1
    windows = -(-(size + before + after - reach) // stride) + 1
    if (windows - 1) * stride >= size + before:
        windows -= 1
    return before, max((windows - 1) * stride + reach - size - before, 0)


@lru_cache(maxsize=4096)
def ceil_paddings(
    x_shape: tuple[int, ...], kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair = (1, 1)
) -> Padding:
    """Apply :func:`ceil_padding` to both axes."""
    return (
        ceil_padding(x_shape[2], kernel_size[0], stride[0], padding[0], dilation[0]),
        ceil_padding(x_shape[3], kernel_size[1], stride[1], padding[1], dilation[1]),
    )


def same_padding(size: int, kernel: int, stride: int = 1, dilation: int = 1) -> Pair:
    """Return the padding with which ``ceil(size / stride)`` windows fit, an odd pixel after the image.

    Examples
    --------
    >>> same_padding(8, kernel=3, stride=2), same_padding(7, kernel=3, stride=2)
    ((0, 1), (1, 1))
    """
    total = max((-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2


@lru_cache(maxsize=4096)
def same_paddings(
    x_shape: tuple[int, ...], kernel_size: Pair, stride: Pair = (1, 1), dilation: Pair = (1, 1)
) -> Padding:
    """Apply :func:`same_padding` to both axes."""
    return (
        same_padding(x_shape[2], kernel_size[0], stride[0], dilation[0]),
        same_padding(x_shape[3], kernel_size[1], stride[1], dilation[1]),
    )


def window_count(
    size: int, kernel: int, stride: int, padding: Pair, dilation: int = 1, counted: Pair = (0, 0)
) -> tuple[int, ...]:
    """Count the pixels under each window along one axis: those inside the image, and ``counted`` padding.

    >>> window_count(4, kernel=3, stride=2, padding=(1, 1))
    (2, 3)
    >>> window_count(4, kernel=3, stride=2, padding=(1, 1), counted=(1, 1))
    (3, 3)
    """
    starts = (i * stride - padding[0] for i in range(output_size(size, kernel, stride, padding, dilation)))
    return tuple(
        sum(-counted[0] <= start + p * dilation < size + counted[1] for p in range(kernel))
        for start in starts
    )


@lru_cache(maxsize=4096)
def window_counts(
    x_shape: tuple[int, ...],
    kernel_size: Pair,
    stride: Pair,
    padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1),
    counted: Padding = NO_PADDING,
) -> Counts:
    """Apply :func:`window_count` to both axes."""
    (kH, kW), (s, t), (d, e) = kernel_size, stride, dilation
    return (
        window_count(x_shape[2], kH, s, padding[0], d, counted[0]),
        window_count(x_shape[3], kW, t, padding[1], e, counted[1]),
    )
