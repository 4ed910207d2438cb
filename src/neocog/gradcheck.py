"""Proof of gradients: compare what ``backward`` says with what ``forward`` does.

Two independent measurements of a derivative, with no formula in common with ``backward``:

central differences
    ``(f(w + e) - f(w - e)) / 2 e``: works on any function, right to about 1e-9; near a kink (a ReLU at 0, two
    equal numbers in a pooling window) both sides differ, and the entry is skipped and counted.
complex step
    ``Im f(w + i h) / h`` with ``h = 1e-30``: nothing is subtracted, so nothing cancels, and the derivative
    comes out to the last digit. Every layer runs on complex numbers for this.

Source: W. Squire, G. Trapp, "Using complex variables to estimate derivatives of real functions", 1998.
"""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neocog.kernels import BACKENDS, use_kernels
from neocog.layers import Layer
from neocog.layers.base import Array
from neocog.losses import Loss, SoftmaxCrossEntropy
from neocog.validation import RandomSource, generator, number, one_of

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["ArrayCheck", "GradientReport", "check_gradients", "check_layer"]

_STEPS = {"complex": 1e-30, "central": 1e-5}
_TOLERANCES = {"complex": 1e-13, "central": 1e-7}
# A gradient that is zero by nature (a bias before a batch norm) is judged against this part of the largest
# gradient around, or its rounding errors would be compared with nothing.
_FLOOR = 1e-2


@dataclass(frozen=True)
class ArrayCheck:
    """The verdict on one array: its worst entry, and the likely reason if it is wrong.

    ``relative_error`` is ``|analytic - numeric|`` of that entry over the array's largest gradient.
    """

    name: str
    shape: tuple[int, ...]
    checked: int
    kinks: int
    relative_error: float
    index: tuple[int, ...]
    analytic: float
    numeric: float
    passed: bool
    reason: str


@dataclass(frozen=True)
class GradientReport:
    """What :func:`check_gradients` found, array by array.

    Attributes
    ----------
    method : str
    tolerance : float
    loss : float
    arrays : list of ArrayCheck
        One a parameter, and "input".
    """

    method: str
    tolerance: float
    loss: float
    arrays: list[ArrayCheck]

    @property
    def passed(self) -> bool:
        """Whether every array passed."""
        return all(array.passed for array in self.arrays)

    @property
    def max_relative_error(self) -> float:
        """The largest relative error of any array; NaN if one is not a number."""
        return float(np.max([array.relative_error for array in self.arrays]))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return asdict(self) | {"passed": self.passed, "max_relative_error": self.max_relative_error}

    def print(self) -> None:
        """Print the table."""
        from rich.console import Console

        Console().print(self)

    def __rich__(self) -> Table:
        from rich.table import Table

        verdict = "[green]passed[/]" if self.passed else "[red]FAILED[/]"
        title = f"gradients by {self.method} {verdict}: worst {self.max_relative_error:.1e}, "
        table = Table(title=f"{title}allowed {self.tolerance:.0e}", title_justify="left")
        table.add_column("array", no_wrap=True)
        for column in ("checked", "kinks", "error", "worst entry", "backward", "measured"):
            table.add_column(column, justify="right")
        failures = not self.passed
        if failures:
            table.add_column("likely reason", overflow="fold")
        for a in self.arrays:
            row = [a.name, str(a.checked), str(a.kinks or ""), f"{a.relative_error:.1e}"]
            row += [",".join(map(str, a.index)), f"{a.analytic:.6g}", f"{a.numeric:.6g}"]
            table.add_row(*row, *([a.reason] if failures else []), style=None if a.passed else "red")
        return table


def check_gradients(
    network: Layer,
    x: Array,
    y: Array,
    *,
    loss: Loss | None = None,
    method: str = "complex",
    eps: float | None = None,
    tolerance: float | None = None,
    training: bool = True,
    max_entries: int | None = None,
    rng: RandomSource = 0,
) -> GradientReport:
    """Check the gradient of a loss in every parameter and in the input.

    The network is not changed: batch norm's statistics stay, dropout repeats one mask.

    Parameters
    ----------
    network : Layer
        In float64, or the check fails for float32's rounding (and says so).
    x, y : batch and targets
    loss : default SoftmaxCrossEntropy()
    method : {"complex", "central"}
    eps : float, optional
        The step; default 1e-30 (complex) or 1e-5 (central).
    tolerance : float, optional
        Largest relative error that passes; default 1e-13 (complex) or 1e-7 (central).
    training : bool
        Check the network as it trains, or as it infers.
    max_entries : int, optional
        Check only so many entries of each array, drawn with ``rng``; default all.

    Returns
    -------
    GradientReport

    Raises
    ------
    ValueError
        If the method is unknown, or the input does not fit the network.

    Examples
    --------
    >>> from neocog.models import tiny_cnn
    >>> x = np.random.default_rng(0).normal(size=(2, 1, 8, 8))
    >>> check_gradients(tiny_cnn(), x, np.array([0, 2])).passed
    True
    """
    one_of("method", method, _STEPS)
    step = _STEPS[method] if eps is None else number("eps", eps, 0, exclusive_minimum=True)
    allowed = _TOLERANCES[method] if tolerance is None else number("tolerance", tolerance, 0)
    loss = SoftmaxCrossEntropy() if loss is None else loss
    measured = _measure(network, x, lambda z: loss(z, y), method, step, training, max_entries, rng)

    gradients = [np.abs(m.analytic).max(initial=0) for m in measured.arrays]
    floor = _FLOOR * max(gradients, default=0.0)
    is_float32 = network.dtype == np.float32
    checks = [_judge(m, allowed, floor, is_float32) for m in measured.arrays]
    return GradientReport(method, allowed, float(measured.value), checks)


@dataclass
class _Entries:
    """Analytic and measured gradient of some entries of one array."""

    name: str
    shape: tuple[int, ...]
    indices: list[tuple[int, ...]]
    analytic: np.ndarray
    numeric: np.ndarray
    near_kink: Callable[[int, float], bool]


@dataclass
class _Measured:
    value: float
    arrays: list[_Entries]


def _measure(
    network: Layer,
    x: Any,
    loss: Callable[[Array], tuple[Any, Array]],
    method: str,
    step: float,
    training: bool,
    max_entries: int | None,
    rng: RandomSource,
) -> _Measured:
    """Run backward once, and forward once or twice for each entry."""
    rng = generator(rng)
    parts = [np.asarray(part) for part in x] if isinstance(x, tuple) else [np.asarray(x)]

    def joined(arrays: list[np.ndarray]) -> Any:
        return tuple(arrays) if isinstance(x, tuple) else arrays[0]

    analytic_twin = copy.deepcopy(network)
    z, cache = analytic_twin.forward(joined(parts), training=training)
    value, dz = loss(z)
    dx, analytic = analytic_twin.backward(dz, cache)
    names = ["input"] if not isinstance(x, tuple) else [f"input {k}" for k in range(len(parts))]
    analytic = analytic | dict(zip(names, dx if isinstance(x, tuple) else (dx,), strict=True))

    wide = np.complex128 if method == "complex" else np.float64
    twin = network.astype(wide)
    wide_parts = [part.astype(wide) for part in parts]
    generators = list({id(r): r for _, leaf in twin.leaves() if (r := getattr(leaf, "rng", None))}.values())
    states = [g.bit_generator.state for g in generators]

    def f() -> Any:
        for g, state in zip(generators, states, strict=True):
            g.bit_generator.state = state  # dropout must draw the same mask again
        return loss(twin.forward(joined(wide_parts), training=training)[0])[0]

    def shifted(array: np.ndarray, index: tuple[int, ...], by: complex) -> Any:
        kept = array[index]
        array[index] = kept + by
        result = f()
        array[index] = kept
        return result

    def derivative(array: np.ndarray, index: tuple[int, ...], h: float) -> float:
        if method == "complex":
            return float(shifted(array, index, 1j * h).imag / h)
        return float((shifted(array, index, h) - shifted(array, index, -h)) / (2 * h))

    def near_kink_test(array: np.ndarray, entries: list[tuple[int, ...]], wrong: np.ndarray) -> Any:
        def near_kink(k: int, difference: float) -> bool:
            if method == "complex":
                return False
            index, centre, h = entries[k], f(), step / 100
            forward = (shifted(array, index, step) - centre) / step
            backward = (centre - shifted(array, index, -step)) / step
            if abs(forward - backward) < difference:
                return False  # too smooth to explain the difference
            # Closer by, the truth is on both sides; or, on the kink itself, on one of them.
            sides = (
                (shifted(array, index, h) - centre) / h,
                (centre - shifted(array, index, -h)) / h,
                derivative(array, index, h),
            )
            return bool(min(abs(wrong[k] - side) for side in sides) < difference / 10)

        return near_kink

    measured = []
    targets = {**twin.params, **dict(zip(names, wide_parts, strict=True))}
    for name, array in targets.items():
        entries = _choose(array.shape, max_entries, rng)
        gradient = np.asarray(analytic[name])
        chosen = np.array([gradient[index] for index in entries], dtype=float)
        numeric = np.array([derivative(array, index, step) for index in entries], dtype=float)
        test = near_kink_test(array, entries, chosen)
        measured.append(_Entries(name, array.shape, entries, chosen, numeric, test))
    return _Measured(np.real(value), measured)


def _choose(
    shape: tuple[int, ...], max_entries: int | None, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    size = int(np.prod(shape))
    flat = np.arange(size)
    if max_entries is not None and max_entries < size:
        flat = np.sort(rng.choice(size, max_entries, replace=False))
    return [tuple(int(i) for i in np.unravel_index(k, shape)) for k in flat]


def _judge(entries: _Entries, tolerance: float, floor: float, is_float32: bool) -> ArrayCheck:
    """Find the worst entry of an array, and say what is probably the matter with it."""
    a, n = entries.analytic, entries.numeric
    scale = max(np.abs(a).max(initial=0), np.abs(n).max(initial=0), floor) or 1.0
    errors = np.abs(a - n) / scale
    errors[~np.isfinite(errors)] = np.inf

    kinks = [k for k in np.flatnonzero(errors > tolerance) if entries.near_kink(int(k), abs(a[k] - n[k]))]
    errors[kinks] = -1.0
    worst = int(errors.argmax()) if len(errors) else 0
    error = max(float(errors[worst]), 0.0) if len(errors) else 0.0
    all_kinks = len(errors) > 0 and len(kinks) == len(errors)
    passed = error <= tolerance and not all_kinks

    reason = ""
    if all_kinks:
        reason = "every entry lies within eps of a kink: move the input, or use method='complex'"
    elif not passed and is_float32 and error < 1e-3:
        reason = "float32 rounding: check network.astype('float64')"
    elif not passed:
        reason = _reason(np.delete(a, kinks), np.delete(n, kinks))
    return ArrayCheck(
        entries.name,
        tuple(entries.shape),
        len(a) - len(kinks),
        len(kinks),
        error,
        entries.indices[worst] if len(a) else (),
        float(a[worst]) if len(a) else 0.0,
        float(n[worst]) if len(a) else 0.0,
        passed,
        reason,
    )


def _reason(a: np.ndarray, n: np.ndarray) -> str:
    """Guess what is wrong with a formula from what it gave and what it should have given."""
    if not (np.isfinite(a).all() and np.isfinite(n).all()):
        return "a number is not finite"
    if not a.any():
        return "backward returns zeros"
    if not n.any():
        return "forward does not depend on this array, yet backward gives it a gradient"
    factor = float(a @ n / (n @ n))
    if np.abs(a - factor * n).max() < 1e-6 * np.abs(a).max():
        return f"a wrong formula: backward is {factor:.6g} times the measured gradient everywhere"
    if np.abs(np.sort(a) - np.sort(n)).max() < 1e-6 * np.abs(n).max():
        return "a wrong formula: the right numbers in the wrong places (transposed or flipped?)"
    wrong = np.abs(a - n) > 1e-6 * np.abs(n).max()
    return f"a wrong formula: {np.count_nonzero(wrong)} of {len(a)} entries differ"


# The layer contract


def check_layer(make_layer: Callable[[], Layer], x: Any, *, seed: int = 0) -> None:
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
        Of the derivatives and directions that are drawn.

    Raises
    ------
    AssertionError
        Naming every part of the contract that is broken.

    Examples
    --------
    >>> from neocog.layers import Dense
    >>> check_layer(lambda: Dense(3, 2, rng=0), np.random.default_rng(0).normal(size=(4, 3)))
    """
    failures = []
    for check in _CONTRACT:
        try:
            # A stream of our own: with dy drawn like x, a transposed x^T dy would look right.
            check(make_layer().astype("float64"), copy.deepcopy(x), np.random.default_rng([1980, seed]))
        except Exception as error:
            failures.append(f"{check.__name__.strip('_')}: {type(error).__name__}: {error}")
    if failures:
        raise AssertionError(f"{make_layer()!r} breaks the layer contract:\n  " + "\n  ".join(failures))


def _parts(x: Any) -> list[np.ndarray]:
    return list(x) if isinstance(x, tuple) else [x]


def _each(function: Callable[[np.ndarray], Any], x: Any) -> Any:
    return tuple(map(function, x)) if isinstance(x, tuple) else function(x)


def _run(layer: Layer, x: Any, dy: np.ndarray, training: bool = True) -> list[np.ndarray]:
    """Return y, dx and gradients of a fresh copy, so that dropout draws the same mask each time."""
    layer = copy.deepcopy(layer)
    y, cache = layer.forward(x, training=training)
    dx, grads = layer.backward(dy, cache)
    return [y, *_parts(dx), *(grads[name] for name in layer.params)]


def _random_dy(layer: Layer, x: Any, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=layer.output_shape(_each(np.shape, x)))


def _assert_same(got: list[Any], expected: list[Any], tolerance: float, what: str) -> None:
    """Compare arrays pairwise, each relative to its largest number."""
    floor = _FLOOR * max(np.abs(array).max(initial=0) for array in expected)
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape, f"{what}: shape {one.shape}, expected {other.shape}"
        scale = max(np.abs(other).max(initial=0), floor) or 1.0
        error = np.abs(one - other).max(initial=0) / scale
        assert error <= tolerance, f"{what}: relative error {error:.1e}, allowed {tolerance:.0e}"


def _shapes_and_dtypes(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    for dtype in (np.float32, np.float64):
        typed = layer.astype(dtype)
        inputs = tuple(part.astype(dtype) for part in x) if isinstance(x, tuple) else x.astype(dtype)
        y, cache = typed.forward(inputs, training=True)
        assert tuple(y.shape) == tuple(layer.output_shape(_each(np.shape, x))), "output_shape is wrong"
        dx, grads = typed.backward(np.ones_like(y), cache)
        assert set(grads) == set(typed.params), "grads and params have different names"
        for array in [y, *_parts(dx), *grads.values()]:
            assert array.dtype == dtype, f"{np.dtype(dtype)} became {array.dtype}"
        for part, gradient in zip(_parts(inputs), _parts(dx), strict=True):
            assert part.shape == gradient.shape, "dx is not shaped like x"
        for name, array in typed.params.items():
            assert grads[name].shape == array.shape, f"the gradient of {name} is not shaped like it"


def _gradients(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    dy = _random_dy(layer, x, rng)
    for training in (True, False):
        measured = _measure(
            layer, x, lambda z: ((z * dy).sum(), dy), "complex", _STEPS["complex"], training, None, rng
        )
        floor = _FLOOR * max(np.abs(m.analytic).max(initial=0) for m in measured.arrays)
        for m in measured.arrays:
            verdict = _judge(m, _TOLERANCES["complex"], floor, False)
            assert verdict.passed, f"training={training}: {verdict}"


def _directional_derivative(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    dy = _random_dy(layer, x, rng)
    direction = [rng.normal(size=part.shape) for part in _parts(x)]
    direction_w = {name: rng.normal(size=array.shape) for name, array in layer.params.items()}

    def f(e: float) -> float:
        moved = copy.deepcopy(layer)
        for name, array in moved.params.items():
            array += e * direction_w[name]
        parts = [part + e * d for part, d in zip(_parts(x), direction, strict=True)]
        y = moved.forward(tuple(parts) if isinstance(x, tuple) else parts[0], training=True)[0]
        return float((y * dy).sum())

    results = _run(layer, x, dy)[1:]
    directions = [*direction, *direction_w.values()]
    analytic = sum((g * d).sum() for g, d in zip(results, directions, strict=True))
    size = sum(np.abs(g * d).sum() for g, d in zip(results, directions, strict=True))
    error = abs(analytic - (f(1e-5) - f(-1e-5)) / 2e-5) / size
    assert error < 1e-6, f"relative error {error:.1e} along a random direction"


def _backward_is_linear(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    one, two = _random_dy(layer, x, rng), _random_dy(layer, x, rng)
    first, second = _run(layer, x, one)[1:], _run(layer, x, two)[1:]
    mixed = _run(layer, x, 2 * one - 3 * two)[1:]
    size = max(np.abs(array).max(initial=0) for array in [*first, *second])
    for got, a, b in zip(mixed, first, second, strict=True):
        assert np.abs(got - (2 * a - 3 * b)).max(initial=0) <= 1e-13 * max(size, 1.0), "not linear in dy"


def _adjoint(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    """``<A x, dy> = <x, A* dy>`` if ``y = A x + c`` is affine, which forward itself tells."""
    if not all(part.size for part in _parts(x)):
        return
    for training in (True, False):
        dy = _random_dy(layer, x, rng)
        parts = _parts(x)
        other = [rng.normal(size=part.shape) for part in parts]
        both = [a + b for a, b in zip(parts, other, strict=True)]
        inputs = ([np.zeros_like(part) for part in parts], parts, other, both)
        ys = [_run(layer, tuple(v) if isinstance(x, tuple) else v[0], dy, training)[0] for v in inputs]
        ax, ao, ab = (y - ys[0] for y in ys[1:])
        if np.abs(ab - ax - ao).max() > 1e-12 * np.abs(ab).max():
            continue  # not linear
        dx = _run(layer, x, dy, training)[1 : 1 + len(parts)]
        left = (ax * dy).sum()
        right = sum((a * d).sum() for a, d in zip(parts, dx, strict=True))
        size = np.abs(ax * dy).sum()
        assert abs(left - right) <= 1e-14 * max(size, 1.0), f"<Ax, dy> = {left}, <x, A*dy> = {right}"


def _leaves_its_inputs_alone(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    dy = _random_dy(layer, x, rng)
    watched = [*_parts(x), dy, *layer.params.values()]
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

    dy = _random_dy(layer, x, rng)
    got = _run(layer, _each(scattered, x), scattered(dy))
    _assert_same(got, _run(layer, x, dy), 1e-13, "non-contiguous input")


def _batches_of_none_and_one(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    for N in (0, 1):
        few = tuple(part[:N] for part in x) if isinstance(x, tuple) else x[:N]
        dy = _random_dy(layer, few, rng)
        y, dx, *grads = _run(layer, few, dy, training=False)
        assert y.shape[0] == N, f"a batch of {N} became {y.shape[0]}"
        assert dx.shape[0] == N, f"dx of a batch of {N} has {dx.shape[0]}"
        if N == 0:
            assert not any(g.any() for g in grads if g.size), "an empty batch has a gradient"


def _kernels_agree(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    dy = _random_dy(layer, x, rng)
    with use_kernels("reference"):
        expected = _run(layer, x, dy)
        _, reference_cache = copy.deepcopy(layer).forward(x, training=True)
    for name in BACKENDS:
        with use_kernels(name):
            _assert_same(_run(layer, x, dy), expected, 1e-12, name)
            dx, _ = layer.backward(dy, reference_cache)
            crossed = f"forward by reference, backward by {name}"
            _assert_same(_parts(dx), expected[1 : 1 + len(_parts(x))], 1e-12, crossed)


def _interleaved_use(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    dy = _random_dy(layer, x, rng)
    expected = _run(layer, x, dy)[1:]
    mine = copy.deepcopy(layer)
    _, cache = mine.forward(x, training=True)
    mine.forward(_each(lambda a: 2 * a + 1, x), training=True)
    dx, grads = mine.backward(dy, cache)
    got = [*_parts(dx), *(grads[name] for name in layer.params)]
    _assert_same(got, expected, 0, "a second forward disturbed the first")


def _input_grad_is_optional(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    dy = _random_dy(layer, x, rng)
    _, cache = layer.forward(x, training=True)
    _, grads = layer.backward(dy, cache)
    dx, same = layer.backward(dy, cache, input_grad=False)
    assert dx is None, "input_grad=False must return None for dx"
    assert set(same) == set(grads), "input_grad=False changes the names of the gradients"
    for name in grads:
        _assert_same([same[name]], [grads[name]], 0, f"{name} without dx")


def _survives_pickling(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    dy = _random_dy(layer, x, rng)
    twin = pickle.loads(pickle.dumps(layer))
    _assert_same(_run(twin, x, dy), _run(layer, x, dy), 0, "after a pickle round trip")


def _describes_itself(layer: Layer, x: Any, rng: np.random.Generator) -> None:
    rebuilt = type(layer).from_config(layer.config())
    assert repr(rebuilt) == repr(layer), f"{layer!r} rebuilt from its config is {rebuilt!r}"
    for name, parameter in inspect.signature(type(layer)).parameters.items():
        value = getattr(layer, name, None)
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and isinstance(value, str | int | float | tuple):
            assert getattr(rebuilt, name) == value, f"config forgets {name} = {value!r}"
    twin = rebuilt.astype("float64")
    twin.load(layer.params, layer.buffers)
    dy = _random_dy(layer, x, rng)
    same = _run(twin, x, dy, training=False)
    _assert_same(same, _run(layer, x, dy, training=False), 0, "rebuilt from its config")
    assert type(layer).__name__ in repr(layer)
    assert layer.flops(_each(np.shape, x)) >= 0


_CONTRACT: tuple[Callable[[Layer, Any, np.random.Generator], None], ...] = (
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
