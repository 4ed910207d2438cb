"""Run a reader's function on cases and say where its results differ from the right ones."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from neocog.exercises.judges.calling import Fault, Signature, call

Array: TypeAlias = np.ndarray


@dataclass(frozen=True)
class Case:
    """One call of a reader's function, and what it must return.

    Attributes
    ----------
    label : str
        What is special about it, for the message: "stride 2, padding 1".
    arguments : tuple
        An array or a random generator is passed as a copy.
    expected : tuple of array, float or int
        What must be returned, in order: the values, the shape and the dtype of an array, a whole number for
        an int.
    tolerance : float
        Largest error relative to the largest of all expected numbers.
    mistakes : mapping of str to tuple
        What a program that makes a common mistake returns, by the sentence that names the mistake; None for
        the results that it gets right, a function () -> array where much is to be computed.
    verify : function (*results) -> str, optional
        Look at results that are right in many ways; return what is wrong, or "". ``expected`` then may be
        empty; where it is not, only the shapes and dtypes of the results are compared with it.
    seed : int, optional
        Of the sizes and numbers, if they are drawn anew for each judgement.
    listed : bool
        Whether the message about a later case says that this one was right.
    indices : bool
        Whether the results are indices, which floats are not.
    """

    label: str
    arguments: tuple[Any, ...]
    expected: tuple[Any, ...] = ()
    tolerance: float = 1e-9
    mistakes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    verify: Callable[..., str] | None = None
    seed: int | None = None
    listed: bool = True
    indices: bool = False


CaseSource: TypeAlias = "Callable[[int], Iterator[Case]]"


def judge(signature: str) -> Callable[[CaseSource], Callable[..., str]]:
    """Turn a function (seed) that yields cases, the simplest first, into a judge.

    A judge is a function ``(program, seed=None) -> str`` that says where the program goes wrong, "" if
    nowhere; without a seed it draws one.

    Parameters
    ----------
    signature : str
        How the reader's function is called: ``"dense_backward(dy, x, w) -> dx[ni], dw[ik], db[k]"``, with the
        indices of each result as letters.
    """
    parsed = Signature.parse(signature)

    def decorate(cases: CaseSource) -> Callable[..., str]:
        @functools.wraps(cases)
        def judged(program: Callable[..., Any], seed: int | None = None) -> str:
            if seed is None:
                seed = int(np.random.default_rng().integers(1_000_000))
            right: list[str] = []
            for case in cases(seed):
                try:
                    _compare(call(program, parsed, case.arguments), parsed, case)
                except Fault as fault:
                    before = f"right for {'; '.join(dict.fromkeys(right))}, but " if right else ""
                    drawn = "" if case.seed is None else f" (drawn with seed={case.seed})"
                    return f"{before}with {case.label}{drawn} {fault}"
                if case.listed:
                    right.append(case.label)
            return ""

        del judged.__wrapped__  # its signature is its own
        return judged

    return decorate


def _compare(results: tuple[Any, ...], signature: Signature, case: Case) -> None:
    """Raise Fault if a result is not what is expected."""
    sizes = [float(np.abs(np.asarray(e, np.float64)).max(initial=0)) for e in case.expected]
    scale = max(sizes, default=0)
    scale = scale if scale > 1e-12 else 1.0
    for k, expected in enumerate(case.expected):
        name = signature.results[k]
        values = _checked(name, results[k], expected, case.indices)
        if case.verify is not None:
            continue
        right = np.asarray(expected, np.float64)
        if close(values, right, case.tolerance * scale):
            continue
        for sentence, wrong in case.mistakes.items():
            value = wrong[k]() if callable(wrong[k]) else wrong[k]
            if value is not None and close(values, np.asarray(value, np.float64), case.tolerance * scale):
                raise Fault(sentence)
        raise Fault(difference(name, signature.axes[k], values, right, case.tolerance * scale))
    if case.verify is not None:
        text = case.verify(*results)
        if text:
            raise Fault(text)


def _checked(name: str, result: Any, expected: Any, indices: bool) -> Array:
    """Return a result as an array of float64; raise Fault if its kind, shape or dtype is not the expected."""
    wanted = np.asarray(expected)
    if type(result).__module__.partition(".")[0] == "torch":
        raise Fault(f"{name} is a PyTorch tensor: return a NumPy array, {name}.numpy()")
    if wanted.ndim and isinstance(result, list | tuple):
        raise Fault(f"{name} is a {type(result).__name__}: return an array, np.array({name})")
    if result is None:
        raise Fault(f"{name} is None")
    try:
        array = np.asarray(result)
        values = array.real.astype(np.float64)
    except (TypeError, ValueError):
        raise Fault(
            f"{name} is {result!r}, not {'an array of numbers' if wanted.ndim else 'a number'}"
        ) from None
    if array.dtype.kind == "c" and wanted.dtype.kind != "c":
        raise Fault(f"{name} is {array.dtype} instead of {wanted.dtype}")
    if wanted.ndim and wanted.dtype.kind == "f" and array.dtype != wanted.dtype:
        raise Fault(
            f"{name} is {array.dtype} instead of {wanted.dtype}: keep the type of the input (a "
            "NumPy number such as np.sqrt(0.5) turns float32 into float64; `astype` turns it back)"
        )
    if indices and array.dtype.kind == "f":
        raise Fault(
            f"{name} is {array.dtype}, and indices are whole numbers: divide with //, or pass dtype=int"
        )
    if isinstance(expected, int) and array.dtype.kind == "f" and not array.ndim:
        whole = float(array).is_integer() and float(array) == expected
        if whole:
            raise Fault(f"{name} is {float(array)}, a float: divide with // to get a whole number")
        raise Fault(f"{name} is {float(array):.6g} instead of {expected}")
    if values.shape != wanted.shape:
        raise Fault(_shapes(name, values, wanted))
    return values


def _shapes(name: str, values: Array, wanted: Array) -> str:
    text = f"{name} has shape {values.shape} instead of {wanted.shape}"
    if not wanted.ndim:
        return f"{name} is an array of shape {values.shape} instead of one number"
    right = wanted.astype(np.float64)
    scale = float(np.abs(right).max(initial=0)) or 1.0
    if values.ndim == right.ndim:
        for order in itertools.permutations(range(values.ndim)):
            if close(np.transpose(values, order), right, 1e-4 * scale):
                return f"{text}: its axes are in the wrong order, {name}.transpose{order} would be right"
    return text


def close(a: Array, b: Array, error: float) -> bool:
    """Return whether two arrays have one shape and differ by at most an error."""
    return a.shape == b.shape and bool(np.all(np.abs(a - b) <= error))


def difference(name: str, letters: str, got: Array, expected: Array, error: float) -> str:
    """Describe how an array differs from the expected one of the same shape by more than an error.

    A constant factor or difference, a reversed or transposed array, and errors at a border only are named;
    otherwise the first wrong entry.
    """
    for what, holds in (("NaN", np.isnan), ("an infinity", np.isinf)):
        places = np.argwhere(holds(got) & ~holds(expected))
        if len(places) and got.ndim:
            return (
                f"{name}[{', '.join(map(str, places[0]))}] is {what}; {len(places)} of {got.size} numbers are"
            )
        if len(places):
            return f"{name} is {float(got)} instead of {float(expected):.6g}"
    if not got.any() and expected.any():
        return (
            f"{name} is 0 instead of {float(expected):.6g}" if not got.ndim else f"{name} is zero everywhere"
        )
    size = float((expected * expected).sum())
    factor = float((got * expected).sum()) / size if size else 0.0
    alone = np.count_nonzero(np.abs(expected) > error) < 2  # one number is some multiple of any other
    if abs(factor) > 1e-3 and (not alone or _is_simple(factor)):
        if close(got, -expected, error):
            return f"{name} has the wrong sign"
        if close(got, factor * expected, error * max(1.0, abs(factor))):
            return f"{name} is {factor:.4g} times what it should be"
    if got.size > 1 and close(got - expected, np.full(got.shape, (got - expected).mean()), error):
        more = (got - expected).mean()
        return f"{name} is too {'large' if more > 0 else 'small'} by {abs(more):.4g} everywhere"
    if got.ndim >= 2 and min(got.shape[-2:]) > 1 and close(got[..., ::-1, ::-1], expected, error):
        return f"{name} is turned by 180 degrees"
    if got.ndim >= 2 and close(np.swapaxes(got, -1, -2), expected, error):
        return f"{name} is transposed"
    return _where(name, letters, got, expected, error)


def _is_simple(factor: float) -> bool:
    """Return whether a factor, or its inverse, is a whole number of at most 64."""
    larger = factor if abs(factor) >= 1 else 1 / factor
    return abs(larger) <= 64 and abs(larger - round(larger)) < 1e-6


def _where(name: str, letters: str, got: Array, expected: Array, error: float) -> str:
    wrong = ~(np.abs(got - expected) <= error)
    if not got.ndim:
        return f"{name} is {float(got):.6g} instead of {float(expected):.6g}"
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    first = (
        f"{name}[{', '.join(map(str, index))}] is {got[index]:.6g} instead of {expected[index]:.6g}; "
        f"{int(wrong.sum())} of {wrong.size} numbers are wrong"
    )
    places = _common(letters, wrong)
    return f"{first}, only at {places}" if places else first


def _common(letters: str, wrong: Array) -> str:
    """Say what the indices of all wrong entries have in common: "u = 0 and f > 0", "the border", or ""."""
    fixed, places = [], np.argwhere(wrong)
    for axis, letter in enumerate(letters[: wrong.ndim]):
        values, length = np.unique(places[:, axis]), wrong.shape[axis]
        if length > 1 and len(values) < length:
            if len(values) == 1:
                fixed.append(f"{letter} = {values[0]}")
            elif 0 not in values:
                fixed.append(f"{letter} > 0")
            elif length - 1 not in values:
                fixed.append(f"{letter} < {length - 1}")
    if not fixed and wrong.ndim == 4 and min(wrong.shape[2:]) > 2 and not wrong[..., 1:-1, 1:-1].any():
        return "the border"
    return " and ".join(fixed)
