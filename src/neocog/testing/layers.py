"""Test the layer contract, for every layer of neocog and for your own."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from neocog.gradcheck.comparison import compare
from neocog.kernels import BACKENDS, missing_numba, use_kernels
from neocog.layers import Layer
from neocog.testing.common import Check, as_list, assert_same, each, random_dy, run_all

__all__ = ["check_layer"]


def check_layer(make_layer: Callable[[], Layer], x: Any, *, seed: int = 0, everywhere: bool = False) -> None:
    """Run the whole layer contract over one layer.

    Shapes and dtypes, gradients (complex step entry by entry, central differences along a random direction),
    linearity of ``backward``, the adjoint identity of linear layers, inputs left alone, any memory layout,
    batches of 0 and 1, agreement of all kernel backends, interleaved use, ``input_grad=False``, pickling,
    configuration and repr. Derivatives start from random ``dy``, never from ones: a batch norm whose backward
    returns zeros passes from ones.

    Parameters
    ----------
    make_layer : function () -> Layer
        Makes the layer, the same each time.
    x : float64 array, or a tuple of arrays for a layer of several inputs
        Small, two images or more, and not within 1e-4 of a kink.
    seed : int
        Draws the derivatives and directions.
    everywhere : bool
        Also check the layer's explanations, its compiled form between two layers that learn, inference by
        ``for_inference``, its model file, its PyTorch module and its ONNX model. Checks without a
        counterpart of the layer, or whose library is not installed, are skipped.

    Raises
    ------
    AssertionError
        Naming every part of the contract that is broken.

    Examples
    --------
    >>> from neocog.layers import Dense
    >>> check_layer(lambda: Dense(3, 2, rng=0), np.random.default_rng(0).normal(size=(4, 3)))
    """
    if not callable(make_layer) or isinstance(make_layer, Layer):
        raise TypeError(f"make_layer must be a function that makes the layer, got {make_layer!r}.")
    x = x if isinstance(x, tuple) else np.asarray(x)

    def arguments() -> tuple[Layer, Any, np.random.Generator]:
        # A stream of our own: with dy drawn like x, a transposed x^T dy would look right.
        return make_layer().astype("float64"), copy.deepcopy(x), np.random.default_rng([1980, seed])

    optional: tuple[Check, ...] = ()
    if everywhere:
        from neocog.testing.everywhere import EVERYWHERE as optional  # noqa: N811
    run_all(f"{make_layer()!r} breaks the layer contract", CONTRACT, arguments, optional)


def _run(layer: Layer, x: Any, dy: np.ndarray, training: bool = True) -> list[np.ndarray]:
    """Return y, dx and gradients of a fresh copy, so that dropout draws the same mask each time."""
    layer = copy.deepcopy(layer)
    y, cache = layer.forward(x, training=training)
    dx, grads = layer.backward(dy, cache)
    return [y, *as_list(dx), *(grads[name] for name in layer.params)]


def _shapes_and_dtypes(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    for dtype in (np.float32, np.float64):
        typed = layer.astype(dtype)
        inputs = tuple(part.astype(dtype) for part in x) if isinstance(x, tuple) else x.astype(dtype)
        y, cache = typed.forward(inputs, training=True)
        assert tuple(y.shape) == tuple(layer.output_shape(each(np.shape, x))), "output_shape is wrong"
        dx, grads = typed.backward(np.ones_like(y), cache)
        assert set(grads) == set(typed.params), "grads and params have different names"
        for array in [y, *as_list(dx), *grads.values()]:
            assert array.dtype == dtype, f"{np.dtype(dtype)} became {array.dtype}"
        for part, gradient in zip(as_list(inputs), as_list(dx), strict=True):
            assert part.shape == gradient.shape, "dx is not shaped like x"
        for name, array in typed.params.items():
            assert grads[name].shape == array.shape, f"the gradient of {name} is not shaped like it"


def _gradients(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    dy = random_dy(layer, x, rng)
    for training in (True, False):
        report = compare(layer, x, lambda z: ((z * dy).sum(), dy), "complex", training=training)
        for array in report.arrays:
            assert array.passed, f"training={training}: {array}"


def _directional_derivative(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    dy = random_dy(layer, x, rng)
    direction = [rng.normal(size=part.shape) for part in as_list(x)]
    direction_w = {name: rng.normal(size=array.shape) for name, array in layer.params.items()}

    def f(e: float) -> float:
        moved = copy.deepcopy(layer)
        for name, array in moved.params.items():
            array += e * direction_w[name]
        parts = [part + e * d for part, d in zip(as_list(x), direction, strict=True)]
        y = moved.forward(tuple(parts) if isinstance(x, tuple) else parts[0], training=True)[0]
        return float((y * dy).sum())

    results = _run(layer, x, dy)[1:]
    directions = [*direction, *direction_w.values()]
    analytic = sum((g * d).sum() for g, d in zip(results, directions, strict=True))
    size = sum(np.abs(g * d).sum() for g, d in zip(results, directions, strict=True))
    error = abs(analytic - (f(1e-5) - f(-1e-5)) / 2e-5) / size
    assert error < 1e-6, f"relative error {error:.1e} along a random direction"


def _backward_is_linear(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    one, two = random_dy(layer, x, rng), random_dy(layer, x, rng)
    first, second = _run(layer, x, one)[1:], _run(layer, x, two)[1:]
    mixed = _run(layer, x, 2 * one - 3 * two)[1:]
    size = max(np.abs(array).max(initial=0) for array in [*first, *second])
    for got, a, b in zip(mixed, first, second, strict=True):
        assert np.abs(got - (2 * a - 3 * b)).max(initial=0) <= 1e-13 * max(size, 1.0), "not linear in dy"


def _adjoint(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    """``<A x, dy> = <x, A* dy>`` if ``y = A x + c`` is affine, as forward itself shows."""
    if not all(part.size for part in as_list(x)):
        return
    for training in (True, False):
        dy = random_dy(layer, x, rng)
        parts = as_list(x)
        other = [rng.normal(size=part.shape) for part in parts]
        both = [a + b for a, b in zip(parts, other, strict=True)]
        inputs = ([np.zeros_like(part) for part in parts], parts, other, both)
        with np.errstate(divide="ignore", invalid="ignore"):  # these may be outside of a layer's domain
            ys = [_run(layer, tuple(v) if isinstance(x, tuple) else v[0], dy, training)[0] for v in inputs]
            ax, ao, ab = (y - ys[0] for y in ys[1:])
            linear = np.abs(ab - ax - ao).max() <= 1e-12 * np.abs(ab).max()
        if not linear:
            continue
        dx = _run(layer, x, dy, training)[1 : 1 + len(parts)]
        left = (ax * dy).sum()
        right = sum((a * d).sum() for a, d in zip(parts, dx, strict=True))
        size = np.abs(ax * dy).sum()
        assert abs(left - right) <= 1e-14 * max(size, 1.0), f"<Ax, dy> = {left}, <x, A*dy> = {right}"


def _leaves_its_inputs_alone(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    dy = random_dy(layer, x, rng)
    watched = [*as_list(x), dy, *layer.params.values()]
    before = [array.copy() for array in watched]
    for training in (True, False):
        _, cache = layer.forward(x, training=training)
        layer.backward(dy, cache)
        layer.backward(dy, cache)
    for array, kept in zip(watched, before, strict=True):
        assert np.array_equal(array, kept), "x, dy or a parameter was written into"


def _any_memory_layout(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    def scattered(a: np.ndarray) -> np.ndarray:
        return np.stack([a.T, a.T], axis=-1)[..., 0].T  # Fortran order with gaps

    dy = random_dy(layer, x, rng)
    got = _run(layer, each(scattered, x), scattered(dy))
    assert_same(got, _run(layer, x, dy), 1e-13, "non-contiguous input")


def _batches_of_none_and_one(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    for N in (0, 1):
        few = tuple(part[:N] for part in x) if isinstance(x, tuple) else x[:N]
        dy = random_dy(layer, few, rng)
        y, dx, *grads = _run(layer, few, dy, training=False)
        assert y.shape[0] == N, f"a batch of {N} became {y.shape[0]}"
        assert dx.shape[0] == N, f"dx of a batch of {N} has {dx.shape[0]}"
        if N == 0:
            assert not any(g.any() for g in grads if g.size), "an empty batch has a gradient"


def _kernels_agree(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    dy = random_dy(layer, x, rng)
    with use_kernels("reference"):
        expected = _run(layer, x, dy)
        _, reference_cache = copy.deepcopy(layer).forward(x, training=True)
    for name in BACKENDS:
        if name == "fused" and missing_numba():
            continue
        with use_kernels(name):
            assert_same(_run(layer, x, dy), expected, 1e-12, name)
            dx, _ = layer.backward(dy, reference_cache)
            crossed = f"forward by reference, backward by {name}"
            assert_same(as_list(dx), expected[1 : 1 + len(as_list(x))], 1e-12, crossed)


def _interleaved_use(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    dy = random_dy(layer, x, rng)
    expected = _run(layer, x, dy)[1:]
    mine = copy.deepcopy(layer)
    _, cache = mine.forward(x, training=True)
    mine.forward(each(lambda a: 2 * a + 1, x), training=True)
    dx, grads = mine.backward(dy, cache)
    got = [*as_list(dx), *(grads[name] for name in layer.params)]
    assert_same(got, expected, 0, "a second forward disturbed the first")


def _input_grad_is_optional(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    dy = random_dy(layer, x, rng)
    _, cache = layer.forward(x, training=True)
    _, grads = layer.backward(dy, cache)
    dx, same = layer.backward(dy, cache, input_grad=False)
    assert dx is None, "input_grad=False must return None for dx"
    assert set(same) == set(grads), "input_grad=False changes the names of the gradients"
    for name in grads:
        assert_same([same[name]], [grads[name]], 0, f"{name} without dx")


def _survives_pickling(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    dy = random_dy(layer, x, rng)
    twin = pickle.loads(pickle.dumps(layer))
    assert_same(_run(twin, x, dy), _run(layer, x, dy), 0, "after a pickle round trip")


def _describes_itself(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    rebuilt = type(layer).from_config(layer.config())
    assert repr(rebuilt) == repr(layer), f"{layer!r} rebuilt from its config is {rebuilt!r}"
    for name, parameter in inspect.signature(type(layer)).parameters.items():
        value = getattr(layer, name, None)
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and isinstance(value, str | int | float | tuple):
            assert getattr(rebuilt, name) == value, f"config forgets {name} = {value!r}"
    twin = rebuilt.astype("float64")
    twin.load(layer.params, layer.buffers)
    dy = random_dy(layer, x, rng)
    same = _run(twin, x, dy, training=False)
    assert_same(same, _run(layer, x, dy, training=False), 0, "rebuilt from its config")
    assert type(layer).__name__ in repr(layer)
    assert layer.flops(each(np.shape, x)) >= 0


CONTRACT: tuple[Check, ...] = (
    _shapes_and_dtypes,
    _gradients,
    _directional_derivative,
    _backward_is_linear,
    _adjoint,
    _leaves_its_inputs_alone,
    _any_memory_layout,
    _batches_of_none_and_one,
    _kernels_agree,
    _interleaved_use,
    _input_grad_is_optional,
    _survives_pickling,
    _describes_itself,
)
