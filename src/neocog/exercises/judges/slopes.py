"""Judge programs that measure slopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neocog.exercises.judges.comparing import Case, judge


def slope(program: Callable[..., Any]) -> str:
    """Judge ``slope(f, x, h) -> (f(x + h) - f(x - h)) / 2 h``, for a number x."""
    functions: tuple[tuple[str, Callable[[float], float], float, float], ...] = (
        ("f(x) = 3 x and h = 0.5", lambda x: 3 * x, 2.0, 0.5),
        ("h = 0.25", lambda x: 3 * x, 2.0, 0.25),
        ("f(x) = 5, a constant", lambda x: 5.0, 1.0, 0.5),
        ("f(x) = x²", lambda x: x * x, 3.0, 0.5),
        ("f(x) = x³", lambda x: x**3, -1.0, 0.25),
    )
    cases = [
        Case(label, (f, x, h), (np.asarray((f(x + h) - f(x - h)) / (2 * h)),)) for label, f, x, h in functions
    ]
    return judge(program, cases, ("the slope",), ("",))
