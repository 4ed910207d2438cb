"""What flows through an ONNX graph while it is read: arrays known already, and values yet to be computed.

A graph is read with two sizes of the batch at once. A size that comes out the same for both is fixed; one
that differs depends on the batch. So shapes follow from the layers' own ``output_shape``, and the arithmetic
that exporters put around a reshape (Shape, Gather, Concat) is simply carried out, twice.
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
    """An array that is known before anything is computed, for each of the two batch sizes."""

    arrays: tuple[np.ndarray, np.ndarray]
    label: str = ""
    """Name of the initializer that it is or was made of."""
    origin: Any = None
    """Where it came from, for a reader that wants to know."""

    @classmethod
    def constant(cls, array: np.ndarray, label: str = "") -> Known:
        """Return what is the same for both."""
        return cls((array, array), label)

    @property
    def rank(self) -> int:
        """Number of axes."""
        return self.arrays[0].ndim

    @property
    def is_fixed(self) -> bool:
        """Whether it does not depend on the batch."""
        first, second = self.arrays
        return first is second or np.array_equal(first, second)


@dataclass(frozen=True)
class Value:
    """A value yet to be computed.

    ``held`` is its shape in the network, ``shape`` what ONNX has made of it since by Flatten, Reshape,
    Squeeze and the like; a layer for that is made only where one is needed.
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
        """Number of axes."""
        return len(self.shape[0])

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """The shape, None where it depends on the batch."""
        return tuple(a if a == b else None for a, b in zip(*self.shape, strict=True))

    def reshaped(self, shapes: tuple[Any, Any], view: str = "") -> Value:
        """The same numbers in another shape; ValueError if their count differs."""
        first, second = tuple(map(int, shapes[0])), tuple(map(int, shapes[1]))
        for before, after in zip(self.shape, (first, second), strict=True):
            if math.prod(before) != math.prod(after):
                raise ValueError(f"{before} cannot be reshaped into {after}")
        return replace(self, shape=(first, second), view=view or self.view)

    def viewed(self, shape: Callable[[Shape], Sequence[int]], view: str = "") -> Value:
        """The same numbers in the shape that a function makes of theirs."""
        return self.reshaped((tuple(shape(self.shape[0])), tuple(shape(self.shape[1]))), view)

    @property
    def is_squeezed(self) -> bool:
        """Whether only axes of size 1 came or went since it was held."""
        return all(
            [size for size in held if size != 1] == [size for size in shape if size != 1]
            for held, shape in zip(self.held, self.shape, strict=True)
        )

    def lifted(self) -> Value:
        """A row of numbers as an image of width 1: (N, C, L) -> (N, C, L, 1)."""
        return self.viewed(lambda s: (*s, 1))

    def lowered(self) -> Value:
        """Undo :meth:`lifted`."""
        return self.viewed(lambda s: s[:-1])


def target(shapes: Shapes, held: Shapes) -> tuple[int, ...] | None:
    """Sizes for a Reshape layer: 0 copies the size there, -1 is inferred; None if that is not enough."""
    sizes: list[int] = []
    for axis, (a, b) in enumerate(zip(*shapes, strict=True)):
        if a == b:
            sizes.append(a)
        elif axis < len(held[0]) and (held[0][axis], held[1][axis]) == (a, b):
            sizes.append(0)
        else:
            sizes.append(-1)
    return None if sizes.count(-1) > 1 else tuple(sizes)
