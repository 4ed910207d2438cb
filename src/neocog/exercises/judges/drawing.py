"""Draw the sizes and the numbers of cases: first fixed ones, from the simplest on, then random ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neocog.exercises.judges.comparing import Array, Case


@dataclass(frozen=True)
class Draw:
    """The sizes of a case, and where its numbers come from."""

    label: str
    sizes: tuple[Any, ...]
    rng: np.random.Generator
    dtype: Any
    seed: int | None

    def normal(self, *shape: int) -> Array:
        """Draw normal numbers."""
        return self.rng.normal(size=shape).astype(self.dtype)

    def distinct(self, *shape: int) -> Array:
        """Draw numbers of which no two are equal, about half of them negative."""
        count = int(np.prod(shape))
        return ((self.rng.permutation(count) - count // 2) / 4).reshape(shape).astype(self.dtype)

    def case(
        self,
        arguments: tuple[Any, ...],
        *expected: Any,
        mistakes: Mapping[str, Any] | None = None,
        verify: Callable[..., str] | None = None,
    ) -> Case:
        """Make the case; arrays that are expected get the dtype of the draw, unless they hold integers."""
        cast = tuple(
            e.astype(self.dtype) if isinstance(e, np.ndarray) and e.ndim and e.dtype.kind in "fc" else e
            for e in expected
        )
        tolerance = 1e-4 if self.dtype == np.float32 else 1e-8
        named = {
            text: wrong if isinstance(wrong, tuple) else (wrong,) for text, wrong in (mistakes or {}).items()
        }
        return Case(self.label, arguments, cast, tolerance, named, verify, self.seed, self.seed is None)


def draws(
    seed: int,
    simple: Mapping[str, tuple[Any, ...]],
    sizes: Callable[[np.random.Generator], tuple[Any, ...]],
    label: str,
    count: int = 6,
) -> Iterator[Draw]:
    """Yield the simple sizes by their labels, then random ones.

    Parameters
    ----------
    seed : int
    simple : mapping of str to tuple
        Sizes by the label of the case. Their numbers are the same each time, in float64, except under a label
        that holds "float32".
    sizes : function (rng) -> tuple
        Draw sizes.
    label : str
        Label of the random sizes, to be formatted with them.
    count : int
        How many are drawn; about a third of them are of float32.
    """
    fixed = np.random.default_rng(0)
    for name, values in simple.items():
        yield Draw(name, values, fixed, np.float32 if "float32" in name else np.float64, None)
    rng = np.random.default_rng(seed)
    for _ in range(count):
        values = tuple(v.item() if isinstance(v, np.generic) else v for v in sizes(rng))
        single = rng.random() < 1 / 3
        name = label.format(*values) + (", float32" if single else "")
        yield Draw(name, values, rng, np.float32 if single else np.float64, seed)
