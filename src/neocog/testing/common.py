"""Share helpers among the checks: inputs of one array or several, comparisons, reports of failures."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from neocog.errors import UnsupportedError
from neocog.gradcheck.comparison import FLOOR
from neocog.kernels import use_kernels
from neocog.layers import Layer
from neocog.optimizers import Optimizer
from neocog.training import make_step

Check = Callable[..., None]

TOLERANCE = 1e-11  # of float64 sums in another order, relative to the largest number


def run_all(
    title: str,
    checks: Iterable[Check],
    arguments: Callable[[], tuple[Any, ...]],
    optional: Iterable[Check] = (),
) -> None:
    """Run every check on fresh arguments; raise one AssertionError that names all that fail.

    An optional check that raises UnsupportedError does not apply.
    """
    optional = tuple(optional)
    failures = []
    for check in (*checks, *optional):
        try:
            check(*arguments())
        except Exception as error:
            if not (check in optional and isinstance(error, UnsupportedError)):
                failures.append(f"{check.__name__.strip('_')}: {type(error).__name__}: {error}")
    if failures:
        raise AssertionError(f"{title}:\n  " + "\n  ".join(failures))


def refusal(
    what: str, errors: tuple[type[Exception], ...], function: Callable[..., Any], *arguments: Any
) -> str:
    """Return the message of the error that a call raises; AssertionError if it raises none."""
    try:
        function(*arguments)
    except errors as error:
        return str(error)
    raise AssertionError(f"{what} must be refused with a {' or '.join(e.__name__ for e in errors)}")


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
    floor = FLOOR * max((np.abs(array).max(initial=0) for array in expected), default=0.0)
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape, f"{what}: shape {one.shape}, expected {other.shape}"
        scale = max(np.abs(other).max(initial=0), floor) or 1.0
        error = np.abs(one - other).max(initial=0) / scale
        assert error <= tolerance, f"{what}: relative error {error:.1e}, allowed {tolerance:.0e}"


def same_training(
    network: Layer, loss: Any, optimizer: Optimizer, batches: Iterable[tuple[Any, ...]]
) -> None:
    """Train copies of a network by the fused kernels and by the layers themselves; compare every step.

    ``batches`` holds (x, t) or (x, t, weight); losses, parameters, buffers and the optimizer's memory agree.
    """
    (mine, ours), (twin, theirs) = (copy.deepcopy((network, optimizer)) for _ in range(2))
    with use_kernels("fused"):
        step = make_step(mine, loss, ours)
    for k, (x, t, *weight) in enumerate(batches):
        with use_kernels("fused"):
            value = step(x, t, *weight)
        with use_kernels("reference"):
            z, cache = twin.forward(x, training=True)
            expected, dz = loss(z, t, *weight)
            _, grads = twin.backward(dz, cache, input_grad=False)
            theirs.step(twin.params, grads)
        assert abs(value - expected) <= TOLERANCE * max(1.0, abs(expected)), (
            f"step {k}, {len(x)} images: the loss is {value} compiled, {expected} by the layers"
        )
        got = [mine.params, mine.buffers, *ours.state.values()]
        for arrays, wanted in zip(got, [twin.params, twin.buffers, *theirs.state.values()], strict=True):
            for name in wanted:
                error = np.abs(arrays[name] - wanted[name]).max(initial=0)
                assert error <= TOLERANCE * max(1.0, np.abs(wanted[name]).max(initial=0)), (
                    f"step {k}, {len(x)} images: {name} is off by {error:.1e} compiled"
                )
    assert ours.steps == theirs.steps, f"{ours.steps} steps are counted compiled, not {theirs.steps}"
