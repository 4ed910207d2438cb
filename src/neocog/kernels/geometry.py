"""Where windows lie: sizes, padding, and the number of real pixels under each window."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

Array: TypeAlias = Any
"""An array of NumPy or of another library that speaks the array API."""

Pair: TypeAlias = tuple[int, int]
Padding: TypeAlias = tuple[Pair, Pair]
"""``((top, bottom), (left, right))``."""

NO_PADDING: Padding = ((0, 0), (0, 0))


def is_complex(x: Array) -> bool:
    """Whether an array is of a complex dtype; a look at NumPy's ``kind`` is ten times faster than asking."""
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


@lru_cache(maxsize=4096)  # asked by every layer at every step
def output_sizes(
    x_shape: tuple[int, ...],
    kernel_size: Pair,
    stride: Pair,
    padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1),
) -> Pair:
    """Height and width of a windowed operation's output (:func:`output_size` on both axes)."""
    return (
        output_size(x_shape[2], kernel_size[0], stride[0], padding[0], dilation[0]),
        output_size(x_shape[3], kernel_size[1], stride[1], padding[1], dilation[1]),
    )


def pad(x: Array, padding: Padding, value: float = 0.0) -> Array:
    """Surround the two last axes of ``x`` with ``value``; no copy where there is nothing to add."""
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
    """Take off what :func:`pad` put on."""
    (top, bottom), (left, right) = padding
    return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]


def padded_shape(x_shape: tuple[int, ...], padding: Padding) -> tuple[int, ...]:
    """Shape of ``pad(x, padding)``."""
    N, C, H, W = x_shape
    return N, C, H + sum(padding[0]), W + sum(padding[1])


def window_counts(size: int, kernel: int, stride: int, padding: Pair) -> list[int]:
    """Count the pixels inside the image under each window along one axis, the padding left out.

    >>> window_counts(4, kernel=3, stride=2, padding=(1, 1))
    [2, 3]
    """
    starts = (i * stride - padding[0] for i in range(output_size(size, kernel, stride, padding)))
    return [min(start + kernel, size) - max(start, 0) for start in starts]
