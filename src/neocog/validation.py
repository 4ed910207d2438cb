"""Check arguments; each message names the argument, the value passed and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, TypeAlias

import numpy as np

RandomSource: TypeAlias = "np.random.Generator | int | None"
"""A generator, a seed, or None for fresh entropy."""


def one_of(name: str, value: Any, allowed: Iterable[str]) -> Any:
    """Return ``value`` if it is among ``allowed``; else raise ValueError with the nearest spelling."""
    allowed = list(allowed)
    if value in allowed:
        return value
    near = difflib.get_close_matches(str(value), allowed, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}.{hint}")


def flag(name: str, value: Any) -> bool:
    """Return ``value`` if it is True or False; else raise TypeError."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}.")
    return bool(value)


def integer(name: str, value: Any, minimum: int = 1) -> int:
    """Return ``value`` as an int; raise TypeError if it is no integer, ValueError below ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}.")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}.")
    return int(value)


def number(
    name: str,
    value: Any,
    minimum: float = -np.inf,
    maximum: float = np.inf,
    exclusive_minimum: bool = False,
    exclusive_maximum: bool = False,
) -> float:
    """Return ``value`` as a float; raise TypeError if it is no number, ValueError if it is out of range."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}.")
    result = float(value)
    low = result > minimum if exclusive_minimum else result >= minimum
    high = result < maximum if exclusive_maximum else result <= maximum
    if not (low and high):
        opening, closing = "(" if exclusive_minimum else "[", ")" if exclusive_maximum else "]"
        raise ValueError(f"{name} must be in {opening}{minimum:g}, {maximum:g}{closing}, got {value!r}.")
    return result


def pair(name: str, value: Any, minimum: int = 1) -> tuple[int, int]:
    """Return an int or a pair of ints as ``(vertical, horizontal)``.

    Examples
    --------
    >>> pair("kernel_size", 3)
    (3, 3)
    >>> pair("stride", 0)
    Traceback (most recent call last):
    ...
    ValueError: stride must be at least 1, got 0.
    """
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise ValueError(f"{name} must be an integer or a pair of integers, got {value!r}.")
        return integer(name, value[0], minimum), integer(name, value[1], minimum)
    size = integer(name, value, minimum)
    return size, size


def sides(name: str, value: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return a padding, as an int, a pair or two pairs, as ``((top, bottom), (left, right))``.

    Examples
    --------
    >>> sides("padding", (1, 2))
    ((1, 1), (2, 2))
    >>> sides("padding", ((0, 1), (2, 3)))
    ((0, 1), (2, 3))
    """
    if isinstance(value, tuple | list) and any(isinstance(side, tuple | list) for side in value):
        if len(value) != 2:
            raise ValueError(f"{name} must be ((top, bottom), (left, right)), got {value!r}.")
        return pair(name, value[0], 0), pair(name, value[1], 0)
    v, h = pair(name, value, 0)
    return (v, v), (h, h)


def generator(rng: RandomSource) -> np.random.Generator:
    """Return ``rng`` itself if it is a Generator, else a Generator seeded with it.

    Raises
    ------
    TypeError
        If ``rng`` is neither a Generator, nor an integer, nor None.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    return np.random.default_rng(None if rng is None else integer("rng", rng, 0))


def float_dtype(dtype: Any) -> np.dtype[Any]:
    """Return ``dtype`` as a NumPy dtype; it must be floating or complex."""
    try:
        result: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype must be a floating point type, got {dtype!r}.") from None
    if result.kind not in "fc":
        raise TypeError(f"dtype must be a floating point type, got {result}.")
    return result


def image_shape(shape: Any) -> tuple[int, int, int]:
    """Return ``shape`` as ``(channels, height, width)``."""
    if not isinstance(shape, tuple | list) or len(shape) != 3:
        raise ValueError(f"image_shape must be (channels, height, width), got {shape!r}.")
    C, H, W = (integer("image_shape", size) for size in shape)
    return C, H, W


def batch_hint(name: str, shape: tuple[int, ...], image_shape: tuple[int, int, int]) -> str:
    """Say how an array of a shape becomes a batch (N, C, H, W) of images of ``image_shape``; "" if unknown.

    Examples
    --------
    >>> batch_hint("x", (3, 8, 9), (3, 8, 9))
    'this is one image: pass x[None]'
    >>> batch_hint("x", (5, 8, 9, 3), (3, 8, 9))
    'the channels come last: pass x.transpose(0, 3, 1, 2)'
    """
    C, H, W = image_shape
    whole = {(C, H, W): "[None]", (C * H * W,): f".reshape(1, {C}, {H}, {W})"}
    last = {}
    if C == 1:
        whole[H, W] = "[None, None]"
    if (H, W, C) != (C, H, W):
        last[H, W, C] = ".transpose(2, 0, 1)[None]"
    if shape in whole:
        return f"this is one image: pass {name}{whole[shape]}"
    if shape in last:
        return f"this is one image whose channels come last: pass {name}{last[shape]}"
    if shape[1:] in last:
        return f"the channels come last: pass {name}.transpose(0, 3, 1, 2)"
    if C == 1 and shape[1:] == (H, W):
        return f"the axis of the channels is missing: pass {name}[:, None]"
    return ""


def label_hint(labels: np.ndarray) -> str:
    """Say how labels of another shape or type become class indices (N,); "" if unknown.

    Examples
    --------
    >>> label_hint(np.eye(3))
    '; for one-hot labels pass y.argmax(axis=1)'
    """
    if labels.ndim == 2:
        column = labels.shape[1] == 1
        return "; pass y[:, 0]" if column else "; for one-hot labels pass y.argmax(axis=1)"
    if labels.dtype.kind in "UO":
        return "; for names pass np.unique(names, return_inverse=True)[1]"
    return "; pass y.astype(int)" if labels.dtype.kind in "fb" and labels.ndim == 1 else ""


def finite(name: str, x: Any) -> None:
    """Raise ValueError with the index of the first NaN or infinity, if the array holds one."""
    x = np.atleast_1d(x)
    step = max(1, (len(x) << 24) // max(x.nbytes, 1))  # 16 MB at a time: x may be mapped from a file
    for first in range(0, len(x), step):
        good = np.isfinite(x[first : first + step])
        if not good.all():
            inside = np.argwhere(~good)[0].tolist()
            index = (first + inside[0], *inside[1:])
            raise ValueError(f"{name} must be finite, got {x[index]} at index {index}.")


def unmasked(name: str, x: Any) -> Any:
    """Return ``x``; raise TypeError if it is a masked array, as nothing here would heed its mask.

    Examples
    --------
    >>> unmasked("y", np.ma.array([3, 4], mask=[True, False]))
    Traceback (most recent call last):
    ...
    TypeError: y must not be a masked array, whose mask would be ignored; fill it with y.filled(value), or
    leave out what is masked.
    """
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(
            f"{name} must not be a masked array, whose mask would be ignored; fill it with "
            f"{name.replace(' ', '_')}.filled(value), or leave out what is masked."
        )
    return x


def check_images(name: str, x: Any) -> Any:
    """Return images, or rows of features, checked to be floating point and finite.

    Other objects are converted to arrays, except lazy images, which stay in their files: their pixels are
    in 0..1 by construction.
    """
    if not hasattr(x, "subset"):
        x = np.asarray(unmasked(name, x))
    if x.dtype.kind not in "fc":
        raise TypeError(f"{name} must be floating point, got {x.dtype}; for pixels 0..255 pass x / 255.")
    if isinstance(x, np.ndarray):
        finite(name, x)
    return x
