"""Convert scikit-learn's X to images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from neocog.data.pixels import channels_come_last, white_of
from neocog.layers.base import Shape
from neocog.validation import batch_hint, integer, unmasked

ImageShape = tuple[int, int, int]


def flattened(X: Any, shape: ImageShape | None = None) -> tuple[Any, Shape | None]:
    """Return ``X`` as rows of numbers, and the shape of an image, or None if ``X`` is a table.

    With ``shape``, that of the images in fit: ValueError if ``X`` holds others.
    """
    unmasked("X", X)
    if getattr(X, "shape", None) is None:  # lists, and objects that have only __array__
        X = np.asarray(X)
    if shape is not None:
        _check_shape(tuple(X.shape), shape)
    if len(X.shape) <= 2:  # scikit-learn must see data frames themselves, to read the columns' names
        return X, None
    X = check_array(X, allow_nd=True, ensure_all_finite=False, input_name="X")
    if X.ndim > 4:
        raise ValueError(f"X must be (N, C, H, W), (N, H, W) or (N, features), got shape {X.shape}.")
    return X.reshape(len(X), -1), X.shape[1:]


def _check_shape(got: Shape, shape: ImageShape) -> None:
    """Raise ValueError if ``got`` is neither the shape of images (N, *shape) nor that of a table.

    A table of one grey image is refused, too; other tables and single rows are left to scikit-learn.
    """
    if len(got) < 2 or got[1:] in {shape, (math.prod(shape),)} or (1, *got[1:]) == shape:
        return
    hint = batch_hint("X", got, shape)
    if hint or len(got) > 2:
        raise ValueError(
            f"X must hold images of shape {shape}, as they were in fit, got an X of shape {got}"
            f"{'; ' * bool(hint)}{hint}."
        )


def read_rows(estimator: Any, X: Any, y: Any = "no_validation", **checks: Any) -> Any:
    """Check rows of numbers as scikit-learn does, and return them in float32 or float64.

    uint8 is the type of pixels, 0..255, which become 0..1 in float32, unless those of fit are nothing but 0
    and 1: a mask, which is kept. float32 stays; all else becomes float64.

    Raises
    ------
    ValueError
        If scikit-learn refuses them; or if they are in another unit than those of fit.
    """
    checked = validate_data(estimator, X, y, **checks)
    X, *rest = checked if isinstance(checked, tuple) else (checked,)
    is_bytes = X.dtype == np.uint8
    if checks.get("reset", True):
        estimator._white = white_of(X) if is_bytes else None
    elif is_bytes and estimator._white is None:
        raise ValueError(
            "X must not be uint8, the type of pixels 0..255, as X in fit was not; pass X / 255, or "
            "X.astype(float) for the numbers as they are."
        )
    elif estimator._white is not None and (X.min() < 0 or X.max() > (estimator._white if is_bytes else 1)):
        known = (
            "pixels, as X in fit, or pixels divided by 255"
            if estimator._white > 1
            else "0 and 1, as X in fit"
        )
        raise ValueError(f"X must be uint8 {known}, got {X.dtype} from {X.min()} to {X.max()}.")
    if is_bytes:
        X = X.astype(np.float32) / estimator._white
    else:
        single = X.dtype.kind == "f" and X.dtype.itemsize == 4  # in either order of its bytes
        X = X.astype(np.float32 if single else np.float64, copy=False)
    return (X, *rest) if rest else X


def image_shape_of(given: Any, found: Shape | None, features: int) -> ImageShape:
    """Return (C, H, W) of the images.

    Parameters
    ----------
    given : the parameter ``image_shape``, or None
    found : shape of one image of X, if X was no table
    features : int
        Numbers in one image.

    Raises
    ------
    ValueError, TypeError
        If ``given`` is no shape, or not that of the images; or if the channels seem to come last.

    Examples
    --------
    >>> image_shape_of((8, 8), None, 64), image_shape_of(None, (3, 9, 9), 243), image_shape_of(None, None, 5)
    ((1, 8, 8), (3, 9, 9), (1, 1, 5))
    """
    if given is None:
        if found is None:
            return 1, 1, features
        if _channels_seem_last(found):
            raise ValueError(
                f"X must hold images (N, C, H, W), got images of shape {found}, whose channels seem to come "
                f"last; pass X.transpose(0, 3, 1, 2), or image_shape={found} if they are as they should be."
            )
        return with_channels(found)
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        raise ValueError(f"image_shape must be (C, H, W), (H, W) or None, got {given!r}.")
    shape = with_channels(tuple(integer("image_shape", size) for size in given))
    if found is not None and with_channels(found) != shape:
        raise ValueError(f"image_shape must be that of the images, got {given!r} for images {found}.")
    if math.prod(shape) != features:
        raise ValueError(
            f"image_shape must hold as many numbers as X has features, got {given!r}, which holds "
            f"{math.prod(shape)}, for {features} features."
        )
    if found is None and _channels_seem_last(shape):
        raise ValueError(
            f"image_shape must be (C, H, W), got {given!r}, in which the channels seem to come last; pass "
            f"X.reshape{(-1, *shape)}.transpose(0, 3, 1, 2) without image_shape, or X.reshape{(-1, *shape)} "
            "with it, if they are as they should be."
        )
    return shape


def _channels_seem_last(shape: Shape) -> bool:
    """Return whether the shape of an image that is not tiny looks like (H, W, C)."""
    return len(shape) == 3 and min(shape[:2]) > 4 and channels_come_last(shape) is True


def with_channels(shape: Shape) -> ImageShape:
    """Return (H, W) as (1, H, W), and (C, H, W) as it is."""
    C, H, W = shape if len(shape) == 3 else (1, *shape)
    return C, H, W
