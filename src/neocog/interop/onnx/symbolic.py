"""Represent the values of an ONNX graph while it is read: constants, and values yet to be computed.

A graph is read for two batch sizes at once. A size that is the same for both is fixed; one that differs
depends on the batch. So shapes follow from the layers' own ``output_shape``, and the arithmetic that
exporters put around a reshape (Shape, Gather, Concat) is computed twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

Shape: TypeAlias = tuple[int, ...]
Shapes: TypeAlias = tuple[Shape, Shape]
"""A shape for each of the two batch sizes."""


@dataclass(frozen=True)
class Known:
    """A constant: an array for each of the two batch sizes."""

    arrays: tuple[np.ndarray, np.ndarray]
    label: str = ""
    """Name of the initializer that it was computed from."""
    origin: Any = None
    """The inputs of the ScatterND that computed it, to recognise SparseConv2D."""

    @classmethod
    def constant(cls, array: np.ndarray, label: str = "") -> Known:
        """Make a constant that is the same for both batch sizes."""
        return cls((array, array), label)

    @property
    def rank(self) -> int:
        """Return the number of axes."""
        return self.arrays[0].ndim

    @property
    def is_fixed(self) -> bool:
        """Return whether the array is the same for both batch sizes."""
        first, second = self.arrays
        return first is second or np.array_equal(first, second)


@dataclass(frozen=True)
class Value:
    """A value yet to be computed.

    ``held`` is its shape in the network, ``shape`` its shape in ONNX after Flatten, Reshape, Squeeze and the
    like, for which a layer is made only where one is needed.
    """

    node: str
    held: Shapes
    shape: Shapes
    shared: bool = False
    """Whether it, or what it is a view of, is read in several places."""
    view: str = ""
    """Name of the ONNX node that last reshaped it."""

    @property
    def rank(self) -> int:
        """Return the number of axes."""
        return len(self.shape[0])

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """Return the shape, None where it depends on the batch."""
        return tuple(a if a == b else None for a, b in zip(*self.shape, strict=True))

    def reshaped(self, shapes: tuple[Any, Any], view: str = "") -> Value:
        """Return the value with another shape; raise ValueError if the count of numbers differs."""
        first, second = tuple(map(int, shapes[0])), tuple(map(int, shapes[1]))
        for before, after in zip(self.shape, (first, second), strict=True):
            if math.prod(before) != math.prod(after):
                raise ValueError(f"{before} cannot be reshaped into {after}")
        return replace(self, shape=(first, second), view=view or self.view)

    def viewed(self, shape: Callable[[Shape], Sequence[int]], view: str = "") -> Value:
        """Return the value with the shape that a function makes of its own."""
        return self.reshaped((tuple(shape(self.shape[0])), tuple(shape(self.shape[1]))), view)

    @property
    def is_squeezed(self) -> bool:
        """Return whether the ONNX shape and the held shape differ only in axes of size 1."""
        return all(
            [size for size in held if size != 1] == [size for size in shape if size != 1]
            for held, shape in zip(self.held, self.shape, strict=True)
        )

    def lifted(self) -> Value:
        """Return a row of numbers as an image of width 1: (N, C, L) -> (N, C, L, 1)."""
        return self.viewed(lambda s: (*s, 1))

    def lowered(self) -> Value:
        """Undo :meth:`lifted`."""
        return self.viewed(lambda s: s[:-1])


def target(shapes: Shapes, held: Shapes) -> tuple[int, ...] | None:
    """Return sizes for a Reshape layer, with 0 to copy a size and -1 to infer one; None if impossible."""
    sizes: list[int] = []
    for axis, (a, b) in enumerate(zip(*shapes, strict=True)):
        if a == b:
            sizes.append(a)
        elif axis < len(held[0]) and (held[0][axis], held[1][axis]) == (a, b):
            sizes.append(0)
        else:
            sizes.append(-1)
    return None if sizes.count(-1) > 1 else tuple(sizes)
