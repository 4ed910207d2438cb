"""Decide what numbers in an array mean: which is white, and which axis holds the channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neocog.data.parts import Part
from neocog.data.preprocessing import Preprocessing

__all__ = ["channels_come_last", "in_unit", "parts_in_unit", "preprocessing_of", "white_of"]

# Numbers up to this and at most 255 are those of bytes; up to less, as scikit-learn's digits, that is unsure.
BRIGHT = 128
# How far numbers in 0..1 may be outside after resampling.
MARGIN = 0.5
MOST_CHANNELS = 4


def white_of(x: np.ndarray) -> int | None:
    """Return the number that means white in training images; None if their range is another.

    It is 255 for uint8, unless these hold nothing but 0 and 1, which are masks. Other numbers are judged by
    their range: 1 for 0..1, 255 for those up to a number of at least 128, 65535 for uint16 above that.

    Examples
    --------
    >>> white_of(np.uint8([0, 9])), white_of(np.uint8([0, 1])), white_of(np.array([0, 0.3]))
    (255, 1, 1)
    >>> white_of(np.array([0.0, 200])), white_of(np.array([0.0, 16])), white_of(np.uint16([0, 4095]))
    (255, None, 65535)
    """
    low, high = x.min(), x.max()
    if low < 0:
        return None
    if high <= 1:
        return 1
    if x.dtype == np.uint8 or BRIGHT <= high <= 255:
        return 255
    return 65535 if x.dtype == np.uint16 and high > 255 else None


def in_unit(name: str, x: np.ndarray, white: int | None, dtype: np.dtype | None = None) -> np.ndarray:
    """Return images in the unit of the training images, as floats.

    Parameters
    ----------
    name : str
        What holds them, for the message.
    x : array
    white : int or None
        What :func:`white_of` says of the training images.
    dtype : dtype, optional
        That of the training images: integers of the same dtype are in the same unit, whatever their values.

    Returns
    -------
    array
        Divided by ``white``; as they are if that is 1 or None. Integers become float32.

    Raises
    ------
    ValueError
        If the numbers seem to be in another unit.
    """
    low, high = x.min(), x.max()
    if white is not None:
        margin = MARGIN if white == 1 else 0
        fits = -margin <= low and high <= white + margin
        if fits and not (x.dtype == dtype and x.dtype.kind in "ui"):
            fits = white_of(x) in (white, None) or _is_mask(x)
        if not fits:
            raise ValueError(
                f"{name} must be in the unit of the training images, 0..{white}, got {x.dtype} from "
                f"{low:g} to {high:g}; bring all images to one unit."
            )
    kept = x.dtype.newbyteorder("=") if x.dtype.kind == "f" else np.dtype(np.float32)
    if white in (None, 1):
        return np.ascontiguousarray(x, dtype=kept)
    result: np.ndarray = np.divide(x, white, dtype=kept, order="C")
    return result


def parts_in_unit(
    images: dict[Part, np.ndarray], names: Mapping[Part, str], known: Preprocessing | None = None
) -> tuple[int | None, str]:
    """Bring the images of all parts to the unit of the training images, in place.

    Parameters
    ----------
    images : dict
        By part; those of "train" decide.
    names : dict
        What holds them, for messages.
    known : Preprocessing, optional
        That of a trained network: it decides the unit of integers that are all 0 or 1.

    Returns
    -------
    white : int or None
    note : str
        What was decided, in a sentence.

    Raises
    ------
    ValueError
        If the parts are in different units.
    """
    x = images["train"]
    low, high, dtype = x.min(), x.max(), x.dtype
    white = white_of(x)
    if white == 1 and known is not None and dtype.kind in "ui":
        white = known.unit
    for part in images:
        images[part] = in_unit(names[part], images[part], white, dtype)
    if white is None:
        note = f"Pixels are {low:g} to {high:g}, neither 0..1 nor 0..255, and are taken as they are."
    elif white > 1:
        note = f"Pixels are 0..{white} and are divided by {white}."
    elif dtype.kind in "ui":
        note = "Pixels are 0 and 1 only, a mask, and are taken as they are, not divided by 255."
    else:
        note = "Pixels are 0..1 and are taken as they are."
    return white, note


def preprocessing_of(images: np.ndarray, white: int | None) -> Preprocessing | None:
    """Return how a picture becomes an image like these (N, C, H, W); None if these are not grey or RGB."""
    _, C, H, W = images.shape
    return Preprocessing(C, (H, W), unit=white) if C in (1, 3) else None


def channels_come_last(shape: Sequence[int]) -> bool | None:
    """Return whether the shape of one image is (H, W, C), not (C, H, W); None if both may be.

    One and three channels are the usual numbers, then those up to four; with more, the two equal sides are
    height and width.

    Examples
    --------
    >>> [channels_come_last(shape) for shape in ((28, 28, 3), (1, 28, 28), (32, 32, 4), (64, 64, 13))]
    [True, False, True, True]
    >>> channels_come_last((28, 28, 28))
    """
    first, middle, last = shape
    if first in (1, 3) or last in (1, 3):
        return first not in (1, 3)
    few = first <= MOST_CHANNELS, last <= MOST_CHANNELS
    if few[0] != few[1]:
        return few[1]
    if first != last and middle in (first, last):
        return middle == first
    return None


def _is_mask(x: np.ndarray) -> bool:
    """Return whether an array holds nothing but 0 and 1."""
    return bool(((x == 0) | (x == 1)).all())
