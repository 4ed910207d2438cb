"""Describe how a picture becomes the input of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from neocog.validation import integer, one_of, pair

__all__ = ["DECODE_VERSION", "FITS", "TONES", "Preprocessing"]

DECODE_VERSION = 1
FITS = ("stretch", "crop", "pad")
TONES = ("white", "ink")
WHITES = (1, 255, 65535)


@dataclass(frozen=True)
class Preprocessing:
    """Hold how a picture becomes the input of a network; a model file keeps it.

    Parameters
    ----------
    channels : int
        1 (grey) or 3 (red, green, blue).
    size : (height, width)
    fit : {"stretch", "crop", "pad"}
        How a picture of other proportions gets the size: stretched; cut equally at both sides, then resized;
        or resized until it fits in, then surrounded by the median of its border.
    unit : {255, 1, 65535, None}
        The value of white in the source's numbers, by which they are divided; None if they are kept.
    tone : {"white", "ink"}
        What 1 means: white, as in photographs, or ink, as in the handwritten digits.
    version : int
        The version of the rules by which a file is decoded.

    Raises
    ------
    ValueError, TypeError
        If a value is not allowed.

    Examples
    --------
    >>> Preprocessing(3, (32, 32)).image_shape
    (3, 32, 32)
    """

    channels: int
    size: tuple[int, int]
    fit: str = "stretch"
    unit: int | None = 255
    tone: str = "white"
    version: int = DECODE_VERSION

    def __post_init__(self) -> None:
        if integer("channels", self.channels) not in (1, 3):
            raise ValueError(f"channels must be 1 (grey) or 3 (red, green, blue), got {self.channels}.")
        object.__setattr__(self, "size", pair("size", self.size))
        one_of("fit", self.fit, FITS)
        one_of("tone", self.tone, TONES)
        if self.unit is not None and integer("unit", self.unit) not in WHITES:
            raise ValueError(f"unit must be 1, 255, 65535 or None, got {self.unit}.")
        if integer("version", self.version) > DECODE_VERSION:
            raise ValueError(
                f"its images are decoded by the rules of version {self.version}, this neocog knows those up "
                f"to {DECODE_VERSION}: upgrade neocog."
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of an image: (channels, height, width)."""
        return (self.channels, *self.size)

    def to_dict(self) -> dict[str, Any]:
        """Return the values as plain data."""
        return asdict(self) | {"size": list(self.size)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make one from the values that :meth:`to_dict` returns.

        Raises
        ------
        ValueError, TypeError
            If a value is missing, unknown or not allowed.
        """
        expected = {field.name for field in fields(cls)}
        if not isinstance(values, Mapping) or set(values) != expected:
            allowed = ", ".join(sorted(expected))
            raise ValueError(f"preprocessing must have the values {allowed}, got {values!r}.")
        return cls(**values)
