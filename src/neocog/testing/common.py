"""What all checks share: inputs of one array or several, comparisons, and the list of what failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from neocog.gradcheck import FLOOR
from neocog.layers import Layer

Check = Callable[..., None]


def run_all(title: str, checks: Iterable[Check], arguments: Callable[[], tuple[Any, ...]]) -> None:
    """Run every check on fresh arguments; raise one AssertionError that names all that fail."""
    failures = []
    for check in checks:
        try:
            check(*arguments())
        except Exception as error:
            failures.append(f"{check.__name__.strip('_')}: {type(error).__name__}: {error}")
    if failures:
        raise AssertionError(f"{title}:\n  " + "\n  ".join(failures))


def as_list(x: Any) -> list[np.ndarray]:
    """List the inputs of a layer, of one or of several."""
    return list(x) if isinstance(x, tuple) else [x]


def each(function: Callable[[np.ndarray], Any], x: Any) -> Any:
    """Apply a function to each input of a layer."""
    return tuple(map(function, x)) if isinstance(x, tuple) else function(x)


def random_dy(layer: Layer, x: Any, rng: np.random.Generator) -> np.ndarray:
    """Draw a gradient shaped like the layer's output."""
    return rng.normal(size=layer.output_shape(each(np.shape, x)))


def assert_same(got: list[Any], expected: list[Any], tolerance: float, what: str) -> None:
    """Compare arrays pairwise, each relative to its largest number."""
    floor = FLOOR * max(np.abs(array).max(initial=0) for array in expected)
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape, f"{what}: shape {one.shape}, expected {other.shape}"
        scale = max(np.abs(other).max(initial=0), floor) or 1.0
        error = np.abs(one - other).max(initial=0) / scale
        assert error <= tolerance, f"{what}: relative error {error:.1e}, allowed {tolerance:.0e}"
