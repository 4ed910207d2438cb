"""Check gradients: compare ``backward`` with derivatives measured on ``forward``.

Two independent measurements of a derivative, with no formula in common with ``backward``:

central differences
    ``(f(w + e) - f(w - e)) / 2 e``: works on any function, accurate to about 1e-9.
complex step
    ``Im f(w + i h) / h`` with ``h = 1e-30``: nothing is subtracted, so nothing cancels, and the derivative
    is exact to the last digit. Every layer runs on complex numbers for this.

An entry that fails is measured again layer by layer (:mod:`neocog.kinks`), where each unit on a kink (a ReLU
at 0, two equal numbers in a pooling window) may have any slope between those of its two sides: several units
on a kink at once are no error, and a wrong gradient is one all the same.

Source: W. Squire, G. Trapp, "Using complex variables to estimate derivatives of real functions", 1998.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from neocog.kinks import EPS, LayerDerivatives
from neocog.layers import Layer
from neocog.layers.base import Array, check_network, random_generators
from neocog.losses import Loss, SoftmaxCrossEntropy
from neocog.representation import markup, printable, show
from neocog.validation import RandomSource, check_images, generator, integer, number, one_of, unmasked

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["ArrayCheck", "GradientReport", "check_gradients"]

Index: TypeAlias = tuple[int, ...]

STEPS = {"complex": 1e-30, "central": 1e-5}
TOLERANCES = {"complex": 1e-13, "central": 1e-7}
# The error of a gradient that is zero by construction (a bias before a batch norm) is taken relative to this
# fraction of the largest gradient of all arrays, for this dz or one of other signs: its own size is rounding
# error only.
FLOOR = 1e-1
# An error up to so many units in the last place is rounding: dz is a difference of terms as large as dz is
# for other outputs (a probability, less 1), each of which is rounded.
ROUNDINGS = 4


@dataclass(frozen=True)
class ArrayCheck:
    """The result for one array: its worst entry, and the likely reason if it is wrong.

    ``relative_error`` is ``|analytic - numeric|`` of that entry over the array's largest gradient. ``kinks``
    counts the entries that were measured at a kink, ``checked`` all others.
    """

    name: str
    checked: int
    kinks: int
    relative_error: float
    index: Index
    analytic: float
    numeric: float
    passed: bool
    reason: str


@dataclass(frozen=True)
class GradientReport:
    """The result of :func:`check_gradients`, array by array.

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
        """True if every array passed."""
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
        show(self)

    def __rich__(self) -> Group:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        verdict = "[green]passed[/]" if self.passed else "[red]FAILED[/]"
        title = f"gradients by {self.method} {verdict}: worst {self.max_relative_error:.1e}, "
        table = Table(title=f"{title}allowed {self.tolerance:.0e}", title_justify="left")
        table.add_column("array", no_wrap=True)
        for column in ("checked", "kinks", "error", "worst entry", "backward", "measured"):
            table.add_column(column, justify="right")
        wrong = []
        for a in self.arrays:
            row = [markup(a.name), str(a.checked), str(a.kinks or ""), f"{a.relative_error:.1e}"]
            row += [",".join(map(str, a.index)), f"{a.analytic:.5g}", f"{a.numeric:.5g}"]
            table.add_row(*row, style=None if a.passed else "red")
            if not a.passed:
                place = f"{printable(a.name)}[{','.join(map(str, a.index))}]"
                values = f"backward {a.analytic:.15g}, measured {a.numeric:.15g}"
                wrong.append(Text(f"{place}: {values}\n  {printable(a.reason, lines=True)}", style="red"))
        return Group(table, *wrong)


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
        In float64; in float32 the check fails because of rounding, and says so.
    x, y : batch and targets
    loss : default SoftmaxCrossEntropy()
    method : {"complex", "central"}
    eps : float, optional
        The step; default 1e-30 (complex) or 1e-5 (central).
    tolerance : float, optional
        Largest relative error that passes; default 1e-13 (complex) or 1e-7 (central).
    training : bool
        Whether to check the network in training mode or in inference.
    max_entries : int, optional
        Most entries to check of each array, drawn with ``rng``; default all.

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
    one_of("method", method, STEPS)
    if eps is not None:
        number("eps", eps, 0, exclusive_minimum=True)
    if tolerance is not None:
        number("tolerance", tolerance, 0)
    if max_entries is not None:
        integer("max_entries", max_entries)
    loss = SoftmaxCrossEntropy() if loss is None else loss
    unmasked("y", y)
    return compare(
        check_network(network),
        check_images("x", x),
        lambda z: loss(z, y),
        method,
        step=eps,
        tolerance=tolerance,
        training=training,
        max_entries=max_entries,
        rng=rng,
    )


class LossFunction:
    """The loss as a function of a network's arrays and its input, to be differentiated numerically.

    ``arrays`` are those arrays, in the dtype that the method needs; :meth:`derivative` moves one entry.
    """

    def __init__(
        self,
        network: Layer,
        x: Any,
        loss: Callable[[Array], tuple[Any, Array]],
        method: str,
        training: bool,
    ) -> None:
        wide = np.complex128 if method == "complex" else np.float64
        self._network, self._loss, self._training = network.astype(wide), loss, training
        self._inputs = tuple(part.astype(wide) for part in x) if isinstance(x, tuple) else x.astype(wide)
        self._is_complex = method == "complex"
        inputs = self._inputs if isinstance(x, tuple) else (self._inputs,)
        self.arrays = {**self._network.trainable_params, **dict(zip(input_names(x), inputs, strict=True))}
        self._rngs = random_generators(self._network)
        self._states = [rng.bit_generator.state for rng in self._rngs]

    def _reset(self) -> None:
        """Put the random generators back: dropout must draw the same mask again."""
        for rng, state in zip(self._rngs, self._states, strict=True):
            rng.bit_generator.state = state

    def _outputs(self) -> Array:
        self._reset()
        return self._network.forward(self._inputs, training=self._training)[0]

    def __call__(self) -> Any:
        return self._loss(self._outputs())[0]

    @functools.cached_property
    def by_layers(self) -> LayerDerivatives:
        """The same derivatives, measured layer by layer."""
        arguments = self._network, self._inputs, self._loss, self._training
        return LayerDerivatives(*arguments, z=self._outputs(), reset=self._reset)

    def shifted(self, array: Array, index: Index, by: complex) -> Any:
        """Return the loss with one entry moved."""
        kept = array[index]
        array[index] = kept + by
        value = self()
        array[index] = kept
        return value

    def derivative(self, array: Array, index: Index, step: float) -> float:
        """Measure the derivative in one entry."""
        if self._is_complex:
            return float(self.shifted(array, index, 1j * step).imag / step)
        return float((self.shifted(array, index, step) - self.shifted(array, index, -step)) / (2 * step))

    def at_kink(
        self, name: str, index: Index, analytic: float, numeric: float, step: float, method: str
    ) -> tuple[float, bool]:
        """Measure again, layer by layer, a derivative on which a method and backward disagree.

        Returns
        -------
        derivative : float
            ``analytic`` itself if the rounding error of the loss explains the difference.
        is_kink : bool
            Whether a kink explains that the method was wrong.
        """
        array = self.arrays[name]
        direction = np.zeros_like(array)
        direction[index] = 1
        value, rounding, is_kink = self.by_layers.derivative(array, direction)
        if method == "central" and not is_kink:  # within the wider step?
            here = self()
            ahead = (self.shifted(array, index, step) - here) / step
            behind = (here - self.shifted(array, index, -step)) / step
            is_kink = bool(abs(ahead - behind) >= abs(analytic - numeric))
        return (analytic if abs(value - analytic) <= rounding else value), is_kink


def compare(
    network: Layer,
    x: Any,
    loss: Callable[[Array], tuple[Any, Array]],
    method: str,
    *,
    step: float | None = None,
    tolerance: float | None = None,
    training: bool = True,
    max_entries: int | None = None,
    rng: RandomSource = 0,
) -> GradientReport:
    """Compare ``backward`` with measured derivatives, for any loss ``z -> (value, dz)`` of the outputs.

    ``x`` is an array, or a tuple of arrays for a layer of several inputs; see :func:`check_gradients`.
    """
    step = STEPS[method] if step is None else step
    tolerance = TOLERANCES[method] if tolerance is None else tolerance
    rng = generator(rng)
    twin = copy.deepcopy(network)
    z, cache = twin.forward(x, training=training)
    value, dz = loss(z)
    dx, gradients = twin.backward(dz, cache)
    gradients = {**gradients, **dict(zip(input_names(x), dx if isinstance(x, tuple) else (dx,), strict=True))}

    measured = LossFunction(network, x, loss, method, training)

    @functools.cache
    def real() -> LossFunction:
        """Return the loss of real numbers, where differences can be taken."""
        return measured if method == "central" else LossFunction(network, x, loss, "central", training)

    shapes = {name: np.shape(gradient) for name, gradient in gradients.items() if gradient is not None}
    floor, rounding = _sizes(network, x, loss, training, z, dz, gradients)
    checks = []
    for name, array in measured.arrays.items():
        if shapes.get(name) != array.shape:
            got = f"one of shape {shapes[name]}, not {array.shape}" if name in shapes else "none"
            checks.append(_failure(name, f"backward must return a gradient for each array, here it is {got}"))
            continue
        indices = _choose(array.shape, max_entries, rng)
        analytic = np.array([gradients[name][index] for index in indices], dtype=float)
        numeric = np.array([measured.derivative(array, index, step) for index in indices], dtype=float)
        scale = max(np.abs(analytic).max(initial=0), np.abs(numeric).max(initial=0), floor) or 1.0
        allowed, kinks = tolerance * scale + rounding, []
        for k in np.flatnonzero(np.abs(analytic - numeric) > allowed):
            again, is_kink = real().at_kink(name, indices[k], analytic[k], numeric[k], step, method)
            near = allowed if method == "central" else max(allowed, TOLERANCES["central"] * scale)
            if is_kink and abs(analytic[k] - again) <= near:
                kinks.append(k)
                again = analytic[k]
            elif method == "complex":
                again = numeric[k]
            numeric[k] = again
        limits = scale, rounding, tolerance
        check = _verdict(name, indices, len(kinks), analytic, numeric, limits, network.dtype)
        if kinks and check.passed:
            places = [indices[k] for k in kinks]
            check = _together(check, real(), places, analytic[kinks], near)
        if method == "complex" and analytic.any() and not numeric.any():
            # A forward that takes np.abs or .real drops the imaginary part: try the other method.
            place = indices[int(np.abs(analytic).argmax())]
            slope = real().derivative(real().arrays[name], place, STEPS["central"])
            if slope:
                reason = "forward drops imaginary parts (np.abs, .real?): use method='central'"
                check = dataclasses.replace(check, reason=reason)
        checks.append(check)
    if not any(check.checked or not check.passed for check in checks):
        reason = "every entry lies within eps of a kink: move the input, or use method='complex'"
        checks = [
            dataclasses.replace(check, passed=False, reason=reason) if check.kinks else check
            for check in checks
        ]
    checks += [_failure(name, "not a parameter") for name in gradients if name not in measured.arrays]
    return GradientReport(method, tolerance, float(np.real(value)), checks)


def input_names(x: Any) -> list[str]:
    """Name the input, or the inputs, in a report."""
    return [f"input {k}" for k in range(len(x))] if isinstance(x, tuple) else ["input"]


def _choose(
    shape: tuple[int, ...], max_entries: int | None, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    size = int(np.prod(shape))
    flat = np.arange(size)
    if max_entries is not None and max_entries < size:
        flat = np.sort(rng.choice(size, max_entries, replace=False))
    return [tuple(int(i) for i in np.unravel_index(k, shape)) for k in flat]


def _sizes(
    network: Layer,
    x: Any,
    loss: Callable[[Array], tuple[Any, Array]],
    training: bool,
    z: Array,
    dz: Array,
    gradients: Any,
) -> tuple[float, float]:
    """Return the least size that errors are compared with, and the size of rounding errors.

    Both from the largest entry of a gradient: the first for this dz, and one of the same magnitudes and
    random signs, in which nothing cancels; the second for the terms of dz, as large as dz is for -z.
    """
    rng = np.random.default_rng(0)

    def largest(gradients: Any) -> float:
        sizes = [np.abs(each).max(initial=0) for each in gradients if each is not None]
        return float(max((size for size in sizes if np.isfinite(size)), default=0.0))

    def at(magnitudes: Array) -> float:
        twin = copy.deepcopy(network)
        _, cache = twin.forward(x, training=training)
        signs = rng.choice([-1, 1], magnitudes.shape).astype(magnitudes.dtype)
        dx, grads = twin.backward(signs * magnitudes, cache)
        return largest([*grads.values(), *(dx if isinstance(dx, tuple) else (dx,))])

    terms = np.abs(dz)
    with np.errstate(all="ignore"), contextlib.suppress(ArithmeticError, ValueError):  # a loss of positive z
        elsewhere = np.abs(loss(-z)[1])
        terms = np.where(np.isfinite(elsewhere), np.maximum(terms, elsewhere), terms)
    size = max(largest(gradients.values()), at(np.abs(dz)))
    return FLOOR * size, ROUNDINGS * EPS * max(size, at(terms))


def _verdict(
    name: str,
    indices: list[Index],
    kinks: int,
    analytic: np.ndarray,
    numeric: np.ndarray,
    limits: tuple[float, float, float],
    dtype: np.dtype[Any] | None,
) -> ArrayCheck:
    """Find the worst entry, and the likely reason of its error; limits are scale, rounding and tolerance."""
    scale, rounding, tolerance = limits
    difference = np.maximum(np.abs(analytic - numeric) - rounding, 0)
    errors = np.nan_to_num(difference / scale, nan=np.inf)
    error = float(errors.max(initial=0))
    passed = error <= tolerance
    worst = int(errors.argmax()) if len(errors) else 0
    reason = ""
    if not passed and dtype == np.float32 and error < 1e-3:
        reason = "float32 rounding: check network.astype('float64')"
    elif not passed:
        reason = _reason(analytic, numeric)
    return ArrayCheck(
        name,
        len(indices) - kinks,
        kinks,
        error,
        indices[worst] if indices else (),
        float(analytic[worst]) if indices else 0.0,
        float(numeric[worst]) if indices else 0.0,
        passed,
        reason,
    )


def _together(
    check: ArrayCheck,
    measured: LossFunction,
    indices: list[Index],
    analytic: np.ndarray,
    allowed: float,
) -> ArrayCheck:
    """Check the sum of the entries at kinks: each may have any of several slopes, but not all the largest."""
    array = measured.arrays[check.name]
    direction = np.zeros_like(array)
    direction[tuple(np.transpose(indices))] = 1
    claimed = float(analytic.sum())
    value, rounding, _ = measured.by_layers.derivative(array, direction)
    if abs(value - claimed) <= len(indices) * allowed + rounding:
        return check
    reason = (
        f"each of {len(indices)} entries at kinks is possible, but not all of them: moved together, backward "
        f"gives {claimed:.6g}, forward {value:.6g}; do equal numbers in a window all get the whole dy?"
    )
    error = abs(value - claimed) / max(abs(value), abs(claimed))
    return dataclasses.replace(check, passed=False, relative_error=error, reason=reason)


def _failure(name: str, reason: str) -> ArrayCheck:
    return ArrayCheck(name, 0, 0, float("inf"), (), float("nan"), float("nan"), False, reason)


def _reason(a: np.ndarray, n: np.ndarray) -> str:
    """Guess what is wrong with a formula from the analytic and the numeric gradients."""
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
