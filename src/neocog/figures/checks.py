"""Check the arguments of figures; each message names the argument, the value and what is allowed."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neocog.validation import finite


def array(name: str, value: Any, *ranks: int) -> np.ndarray:
    """Return a finite array of numbers with one of the given ranks."""
    try:
        result = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} must be an array of numbers, got rows of different lengths.") from None
    if result.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be an array of real numbers, got {result.dtype}.")
    if ranks and result.ndim not in ranks:
        wanted = " or ".join(map(str, ranks))
        raise ValueError(f"{name} must have {wanted} dimensions, got shape {result.shape}.")
    if result.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {result.shape}.")
    finite(name, result)
    return result.astype(float) if result.dtype.kind == "b" or result.dtype == np.float16 else result


def images(name: str, value: Any) -> np.ndarray:
    """Return images as (N, C, H, W) with one channel or three; (N, H, W) is taken as one channel."""
    result = array(name, value, 3, 4)
    if result.ndim == 3:
        result = result[:, None]
    if result.shape[1] not in (1, 3):
        raise ValueError(f"{name} must have 1 or 3 channels to be drawn, got shape {result.shape}.")
    return result


def image(name: str, value: Any) -> np.ndarray:
    """Return one image as (C, H, W) with one channel or three; (H, W) is taken as one channel."""
    result = array(name, value, 2, 3)
    found: np.ndarray = images(name, result[None])[0]
    return found


def ink(chosen: bool | None, source: Any) -> bool:
    """Return whether 1 is drawn black: as chosen, else as the source of the images says, else True."""
    if chosen is not None:
        return chosen
    preprocessing = getattr(source, "preprocessing", None)
    return preprocessing is None or preprocessing.tone == "ink"


def labels(name: str, value: Any, count: int) -> np.ndarray:
    """Return integer labels of shape (count,)."""
    result = array(name, value, 1)
    if result.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, got {result.dtype}.")
    if len(result) != count:
        raise ValueError(f"{name} must be {count}, one an image or point, got {len(result)}.")
    if result.min() < 0:
        raise ValueError(f"{name} must be at least 0, got {result.min()}.")
    return result


def class_names(names: Sequence[str] | None, classes: int) -> list[str]:
    """Return a name for each class: those given, or "0", "1", ..."""
    if names is None:
        return [str(k) for k in range(classes)]
    if isinstance(names, str):
        raise TypeError(f"class_names must be a sequence of names, got the string {names!r}.")
    if len(names) < classes:
        raise ValueError(f"class_names must name all {classes} classes, got {list(names)}.")
    return [html.escape(str(name), quote=False) for name in names]  # Plotly would read tags in them


def shortened(name: str, letters: int) -> str:
    """Return an escaped name of at most so many letters, without its middle if it is longer.

    Examples
    --------
    >>> shortened("northern red-bellied woodpecker", 18)
    'northern …odpecker'
    """
    plain = html.unescape(name)
    if len(plain) <= letters:
        return name
    half = letters // 2
    return html.escape(f"{plain[:half]}…{plain[half + 1 - letters :]}", quote=False)


def mapping(name: str, value: Any, of: str) -> dict[Any, Any]:
    """Return a mapping as a dict; raise ValueError if it is empty."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict {of}, got {type(value).__name__}.")
    if not value:
        raise ValueError(f"{name} must not be empty; it is a dict {of}.")
    return dict(value)
