"""Write and read the messages between Python and the page: a header, and arrays behind it.

A message is a little-endian u32 n, n bytes of JSON, zeros up to a multiple of 4 bytes, then the arrays one
after another as little-endian float32. The header lists them: ``"arrays": [[name, shape], ...]``. The page's
own reader is ``web/messages.js``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["decode", "encode"]


def encode(header: Mapping[str, Any], arrays: Mapping[str, Any]) -> bytes:
    """Write a message.

    Parameters
    ----------
    header : mapping of str to plain data
        Without ``"arrays"``, which is added.
    arrays : mapping of str to array
        Written as float32.

    Raises
    ------
    TypeError, ValueError
        If the header is no plain data, or holds a NaN or an infinity.

    Examples
    --------
    >>> header, arrays = decode(encode({"kind": "frame"}, {"b": np.zeros(2)}))
    >>> header["arrays"], arrays["b"]
    ([['b', [2]]], array([0., 0.], dtype=float32))
    """
    with np.errstate(over="ignore"):  # beyond float32 a number is infinite
        blocks = {name: np.asarray(array, "<f4") for name, array in arrays.items()}
    listed = {"arrays": [[name, list(block.shape)] for name, block in blocks.items()]}
    text = json.dumps({**header, **listed}, allow_nan=False, separators=(",", ":")).encode()
    padded = text + bytes(-len(text) % 4)
    return b"".join(
        [len(text).to_bytes(4, "little"), padded, *(block.tobytes() for block in blocks.values())]
    )


def decode(message: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a message that :func:`encode`, or the page, has written.

    Raises
    ------
    ValueError
        If it is anything else, with what is wrong.
    """
    size = int.from_bytes(message[:4], "little")
    start = 4 + size + -size % 4
    if len(message) < 4 or len(message) < start:
        raise ValueError(f"a message must hold the header that it announces, got {len(message)} bytes.")
    try:
        header = json.loads(message[4 : 4 + size])
        listed = [(name, tuple(shape)) for name, shape in header["arrays"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError('a message must begin with JSON that lists its "arrays".') from None
    arrays: dict[str, np.ndarray] = {}
    for name, shape in listed:
        if not isinstance(name, str) or not all(type(k) is int and k >= 0 for k in shape):
            raise ValueError(f"an array must have a name and a shape, got {name!r} and {shape!r}.")
        stop = start + 4 * math.prod(shape)
        if stop > len(message):
            raise ValueError(f"array {name!r} of shape {shape} is longer than what is left of the message.")
        arrays[name] = np.frombuffer(message, "<f4", math.prod(shape), start).reshape(shape).copy()
        start = stop
    if start != len(message):
        raise ValueError(f"a message must end with its arrays, got {len(message) - start} bytes more.")
    return header, arrays
