"""Run a reader's program on cases and say where its results differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """One call of a reader's program, and what it must return.

    Attributes
    ----------
    label : str
        What is special about it, for the message: "stride 2, padding 1".
    arguments : tuple
    expected : tuple of array
        What must be returned, in order.
    tolerance : float
        Largest error relative to the largest expected number.
    """

    label: str
    arguments: tuple[Any, ...]
    expected: tuple[np.ndarray, ...]
    tolerance: float = 1e-6


def judge(
    program: Callable[..., Any], cases: Sequence[Case], results: Sequence[str], axes: Sequence[str]
) -> str:
    """Return where a program goes wrong, or "" if it does not.

    Parameters
    ----------
    program : function
    cases : sequence of Case
        From the simplest on.
    results : sequence of str
        Names of what it returns: ``("dx", "dw", "db")``.
    axes : sequence of str
        Names of the indices of each result, as letters: ``("ncuv", "fcpq", "f")``.
    """
    right: list[str] = []
    for case in cases:
        fault = _fault(program, case, results, axes)
        if fault:
            before = f"right for {'; '.join(dict.fromkeys(right))}, but " if right else ""
            return f"{before}with {case.label} {fault}"
        right.append(case.label)
    return ""


def _fault(program: Callable[..., Any], case: Case, results: Sequence[str], axes: Sequence[str]) -> str:
    arguments = tuple(a.copy() if isinstance(a, np.ndarray) else a for a in case.arguments)
    try:
        returned = program(*arguments)
    except Exception as problem:
        return f"it raises {type(problem).__name__}: {problem}"
    for before, now in zip(case.arguments, arguments, strict=True):
        if isinstance(before, np.ndarray) and not np.array_equal(before, now, equal_nan=True):
            return "it changes its input: compute into a new array"
    parts = tuple(returned) if isinstance(returned, tuple | list) else (returned,)
    if len(parts) != len(results):
        return f"it returns {len(parts)} results instead of {len(results)}: {', '.join(results)}"
    for name, letters, part, expected in zip(results, axes, parts, case.expected, strict=True):
        try:
            array = np.asarray(part)
            values = array.real.astype(np.float64)
        except (TypeError, ValueError):
            return f"{name} is {part!r}, not an array of numbers"
        if array.dtype != expected.dtype and expected.ndim:
            return f"{name} is {array.dtype} instead of {expected.dtype}: keep the type of the input"
        if values.shape != expected.shape:
            return f"{name} has shape {values.shape} instead of {expected.shape}"
        text = difference(name, letters, values, expected.astype(np.float64), case.tolerance)
        if text:
            return text
    return ""


def difference(name: str, letters: str, got: np.ndarray, expected: np.ndarray, tolerance: float) -> str:
    """Describe how an array differs from what is expected, or return "".

    A constant factor, a reversed or transposed array, and errors at one border only are named; otherwise the
    first wrong entry.
    """
    scale = float(np.abs(expected).max(initial=0)) or 1.0

    def close(a: np.ndarray, b: np.ndarray) -> bool:
        return a.shape == b.shape and bool(np.all(np.abs(a - b) <= tolerance * scale))

    if close(got, expected):
        return ""
    if np.isnan(got).any() and not np.isnan(expected).any():
        return f"{name} holds NaN"
    size = float((expected * expected).sum())
    factor = float((got * expected).sum()) / size if size else 0.0
    if abs(factor) > 1e-3 and close(got, factor * expected):
        return f"{name} is {factor:.4g} times what it should be"
    if not got.any():
        return f"{name} is zero everywhere"
    if got.ndim >= 2 and close(got[..., ::-1, ::-1], expected):
        return f"{name} is turned by 180 degrees"
    if got.ndim >= 2 and close(np.swapaxes(got, -1, -2), expected):
        return f"{name} is transposed"
    return _where(name, letters, got, expected, tolerance * scale)


def _where(name: str, letters: str, got: np.ndarray, expected: np.ndarray, error: float) -> str:
    wrong = ~(np.abs(got - expected) <= error)
    if not got.ndim:
        return f"{name} is {float(got):.6g} instead of {float(expected):.6g}"
    places = np.argwhere(wrong)
    fixed = []
    for axis, letter in enumerate(letters[: got.ndim]):
        values, length = np.unique(places[:, axis]), got.shape[axis]
        if length > 1 and len(values) < length:
            if len(values) == 1:
                fixed.append(f"{letter} = {values[0]}")
            elif 0 not in values:
                fixed.append(f"{letter} > 0")
    index = tuple(int(i) for i in places[0])
    first = (
        f"{name}[{', '.join(map(str, index))}] is {got[index]:.6g} instead of {expected[index]:.6g}; "
        f"{int(wrong.sum())} of {wrong.size} numbers are wrong"
    )
    return f"{first}, only at {' and '.join(fixed)}" if fixed else first
