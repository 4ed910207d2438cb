"""Judge programs that measure gradients: central differences and complex steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from neocog.exercises.judges.comparing import Array, Case, judge
from neocog.exercises.judges.drawing import Draw, draws

CURVED = "f(x) = sum(50 x^2 + x)"


FUNCTIONS: dict[str, tuple[Callable[[Array], Any], Callable[[Array], Array]]] = {
    "f(x) = sum(3 x)": (lambda x: np.sum(3 * x), lambda x: np.full(x.shape, 3.0)),
    CURVED: (lambda x: np.sum(50 * x * x + x), lambda x: 100 * x + 1),
    "f(x) = sum(x^3)": (lambda x: np.sum(x**3), lambda x: 3 * x**2),
    "f(x) = exp(sum(x))": (lambda x: np.exp(np.sum(x)), lambda x: np.full(x.shape, np.exp(x.sum()))),
}


def _functions(seed: int) -> Iterator[tuple[Draw, Callable[[Array], Any], Array, Array]]:
    """Yield draw, f, x and the gradient at x."""
    simple: dict[str, tuple[int, ...]] = {name: (3,) for name in FUNCTIONS}  # noqa: C420
    simple["x of shape (2, 3)"] = (2, 3)
    names = list(FUNCTIONS)
    for draw in draws(
        seed, simple, lambda rng: tuple(rng.integers(1, 4, rng.integers(1, 4))), "a drawn shape", 4
    ):
        name = draw.label if draw.label in FUNCTIONS else names[1 + draw.rng.integers(3)]
        f, gradient = FUNCTIONS[name]
        x = draw.rng.uniform(0.3, 0.8, draw.sizes) * draw.rng.choice([-1.0, 1.0], draw.sizes)
        if f is FUNCTIONS[CURVED][0]:
            x /= 100  # where a one-sided difference shows, even with a small h
        draw = Draw(draw.label.replace(", float32", ""), draw.sizes, draw.rng, np.float64, draw.seed)
        yield draw, f, x, gradient(x)


@judge("numerical_gradient(f, x) -> gradient[ij]")
def numerical_gradient(seed: int) -> Iterator[Case]:
    """Judge ``numerical_gradient(f, x) -> gradient``: central differences of f (array) -> number.

    An error of two millionths is allowed: central differences with h of about 1e-4 to 1e-7 stay below it,
    one-sided ones do not.
    """
    for draw, f, x, right in _functions(seed):
        yield draw.case((f, x), np.zeros(x.shape), verify=_near("gradient", right, 2e-6, _CENTRAL))


_CENTRAL = (
    "more than rounding explains: take (f(x + h) - f(x - h)) / 2h for one number of x after the other, with "
    "h about 1e-5"
)


def _near(name: str, right: Array, tolerance: float, advice: str) -> Callable[[Array], str]:
    def verify(got: Array) -> str:
        error = np.abs(got - right)
        scale = float(np.abs(right).max())
        if np.all(error <= tolerance * scale):
            return ""
        index = tuple(int(i) for i in np.argwhere(~(error <= tolerance * scale))[0])
        if np.all(error <= 0.02 * scale):
            signed = got - right
            if (
                np.all(np.abs(signed - signed.mean()) <= 0.01 * abs(signed.mean()))
                and right.std() > 1e-3 * scale
            ):
                return (
                    f"{name} is too {'large' if signed.mean() > 0 else 'small'} by {abs(signed.mean()):.3g} "
                    f"everywhere, the error of a one-sided difference: {advice}"
                )
            return f"{name} has an error of {error.max():.3g}, {advice}"
        size = float((right * right).sum())
        factor = float((got * right).sum()) / size
        if abs(factor) > 1e-3 and np.all(np.abs(got - factor * right) <= 1e-4 * abs(factor) * scale):
            return f"{name} is {factor:.4g} times what it should be"
        place = f"[{', '.join(map(str, index))}]"
        return f"{name}{place} is {got[index]:.6g} instead of {right[index]:.6g}"

    return verify


@judge("complex_step_gradient(f, x) -> gradient[ij]")
def complex_step_gradient(seed: int) -> Iterator[Case]:
    """Judge ``complex_step_gradient(f, x) -> gradient``: ``Im f(x + ih) / h``, real, exact to rounding."""
    advice = "more than rounding explains: take Im f(x + ih) / h with h about 1e-30; nothing is subtracted"
    for draw, f, x, right in _functions(seed):
        yield draw.case((f, x), np.zeros(x.shape), verify=_near("gradient", right, 1e-13, advice))
