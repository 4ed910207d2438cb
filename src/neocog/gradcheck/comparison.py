"""Compare the gradients of ``backward`` with measured ones, and say what may be wrong with them."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from neocog.gradcheck.measurement import STEPS, TOLERANCES, LossFunction, input_names
from neocog.gradcheck.report import ArrayCheck, GradientReport, Index
from neocog.kinks import EPS
from neocog.layers import Layer
from neocog.layers.base import Array, check_network
from neocog.losses import Loss, SoftmaxCrossEntropy
from neocog.validation import RandomSource, check_images, generator, integer, number, one_of, unmasked

# The error of a gradient that is zero by construction (a bias before a batch norm) is taken relative to this
# fraction of the largest gradient of all arrays, for this dz or one of other signs: its own size is rounding
# error only.
FLOOR = 1e-1
# An error up to so many units in the last place is rounding: dz is a difference of terms as large as dz is
# for other outputs (a probability, less 1), each of which is rounded.
ROUNDINGS = 4


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
