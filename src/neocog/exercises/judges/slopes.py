"""Judge programs that measure slopes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from neocog.exercises.judges.comparing import Case, judge


@judge("slope(f, x, h) -> slope[]")
def slope(seed: int) -> Iterator[Case]:
    """Judge ``slope(f, x, h) -> (f(x + h) - f(x - h)) / 2 h``, for a number x."""
    functions: tuple[tuple[str, Callable[[float], float], float, float], ...] = (
        ("f(x) = 3 x and h = 0.5", lambda x: 3 * x, 2.0, 0.5),
        ("h = 0.25", lambda x: 3 * x, 2.0, 0.25),
        ("f(x) = 5, a constant", lambda x: 5.0, 1.0, 0.5),
        ("f(x) = x²", lambda x: x * x, 3.0, 0.5),
        ("f(x) = x³", lambda x: x**3, -1.0, 0.25),
    )
    for label, f, x, h in functions:
        change = f(x + h) - f(x - h)
        mistakes = {
            "it is the slope to one side: nudge to both": (f(x + h) - f(x)) / h,
            "it is divided by h: x - h and x + h are 2 h apart": change / h,
            "it is not divided by the distance 2 h": change,
            "it is multiplied by h: in Python a / 2 * h is (a / 2) * h, so put 2 * h in brackets": change
            / 2
            * h,
            "f(x + h) is subtracted from f(x - h)": -change / (2 * h),
        }
        named = {text: (value,) for text, value in mistakes.items()}
        yield Case(label, (f, x, h), (change / (2 * h),), mistakes=named)
