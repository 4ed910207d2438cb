"""Recognise images that are the same."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from neocog.data.split import Images

__all__ = ["count_common", "image_name"]


def image_name(images: Images, index: int, kind: str = "image") -> str:
    """Return the path of an image's file; of one in an array its number among its kind, as ``image 3``."""
    paths = getattr(images, "paths", None)
    return f"{kind} {index}" if paths is None else str(paths[index])


def count_common(images: Images, others: Images) -> int:
    """Count the images that are also among the others: the same file, or the same pixels.

    Pictures in files are compared by the bytes of the files if both are such, otherwise by their pixels.
    """
    both = hasattr(images, "paths") and hasattr(others, "paths")
    known = set(_digests(others, both))
    return sum(digest in known for digest in _digests(images, both))


def _digests(images: Images, of_files: bool) -> list[bytes]:
    if of_files:
        return [_file_digest(path) for path in images.paths]
    return [_pixel_digest(images[k]) for k in range(len(images))]


def _file_digest(path: Any) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _pixel_digest(image: Any) -> bytes:
    pixels = np.ascontiguousarray(image, np.float32)
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
