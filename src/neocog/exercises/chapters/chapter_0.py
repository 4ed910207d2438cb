"""Exercises of chapter 0: arrays, sums, slopes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from neocog.exercises.exercise import exercise
from neocog.exercises.judges import slopes
from neocog.layers import Dense
from neocog.losses import MeanSquaredError

exercise(
    "0.1",
    1,
    "An array has the shape (2, 3, 4). What is the shape of its sum over `axis=1`?",
    answer=lambda: np.ones((2, 3, 4)).sum(axis=1).shape,
    hint="axes are counted from 0. Which of the three numbers belongs to axis 1?",
    solution="Axis 1 is the one of length 3; it is summed over and disappears.",
)

exercise(
    "0.2",
    1,
    "What is the shape of a batch of 32 colour pictures, each 28 pixels high and 20 wide?",
    answer=lambda: np.ones((32, 3, 28, 20)).shape,
    hint="how many channels has a colour picture, and which comes first, height or width?",
    solution="(N, C, H, W): 32 pictures, red, green and blue, 28 rows, 20 columns.",
)

exercise(
    "0.3",
    1,
    "How much is the double sum of (i + 2 j), for i from 0 to 2 and j from 0 to 1?",
    answer=lambda: int((np.arange(3)[:, None] + 2 * np.arange(2)).sum()),
    hint="write down all six numbers.",
    solution="For j = 0 they are 0, 1, 2, for j = 1 they are 2, 3, 4: 3 + 9 = 12. As an array, "
    "`(np.arange(3)[:, None] + 2 * np.arange(2)).sum()`: `[:, None]` gives the row a second axis and makes a "
    "column of it, and the shapes (3, 1) and (2,) broadcast to (3, 2).",
)

exercise(
    "0.4",
    1,
    "What is the shape of a + b, for a of shape (5, 1, 4) and b of shape (3, 1)?",
    answer=lambda: (np.ones((5, 1, 4)) + np.ones((3, 1))).shape,
    hint="write the two shapes under each other, aligned at the right.",
    solution="From the right: 4 and 1 give 4, 1 and 3 give 3, and 5 meets nothing: (5, 3, 4).",
)

exercise(
    "0.5",
    2,
    "What is the slope of f(x) = x^3 at x = 2? Nudge less and less, or work it out.",
    answer=lambda: (3 * np.float64(2.0) ** 2).item(),
    hint="to which number do the slopes come ever closer as h goes to 0? It is a whole one.",
    solution="((x + h)^3 - x^3) / h = 3 x^2 + 3 x h + h^2, which goes to 3 x^2 = 12.",
)


def _after_steps(steps: int, rate: float = 0.01) -> tuple[float, float]:
    """Return the loss of exercise 0.6 after some steps, and its slope in w before the last."""
    layer, loss, slope = Dense(1, 1, dtype="float64"), MeanSquaredError(), 0.0
    layer.params["weight"][:], layer.params["bias"][:] = 1, 2
    x, t = np.array([[4.0]]), np.array([[10.0]])
    y, cache = layer.forward(x, training=True)
    value, dy = loss(y, t)
    for _ in range(steps):
        _, grads = layer.backward(dy, cache)
        slope = float(grads["weight"][0, 0])
        for name, gradient in grads.items():
            layer.params[name] -= rate * gradient
        y, cache = layer.forward(x, training=True)
        value, dy = loss(y, t)
    return float(value), slope


exercise(
    "0.6",
    2,
    "The smallest network again, with other numbers: x = 4, w = 1, b = 2, t = 10. What is the slope of the "
    "loss L = (w x + b - t)^2 with respect to w?",
    answer=lambda: _after_steps(1)[1],
    hint="compute y first, then the slope of L with respect to y.",
    solution="y = 6, dy = 2 (6 - 10) = -8, and dw = dy · x = -32. It is negative: a larger w makes the loss "
    "smaller, as it must, because y is too small.",
)

exercise(
    "0.7",
    2,
    "Make one step in 0.6, for w and b, with the learning rate 0.01: w - 0.01 dw and b - 0.01 db. What is "
    "the loss then?",
    answer=lambda: _after_steps(1)[0],
    hint="db is dy times the slope of y with respect to b.",
    solution="w = 1 + 0.32 = 1.32 and b = 2 + 0.08 = 2.08, so y = 7.36 and L = 2.64^2 = 6.97. It was 16.",
)


def slope(f: Callable[[float], float], x: float, h: float) -> float:
    """Return how much f changes from x - h to x + h, divided by the distance."""
    return (f(x + h) - f(x - h)) / (2 * h)


exercise(
    "0.8",
    3,
    "Nudge to both sides: write `slope(f, x, h)`, which returns how much f changes from x - h to x + h, "
    "divided by how far apart these two are. A function can be passed to another like a number: inside, call "
    "`f(...)`. Try both kinds of slope on x^3 at x = 2, with h = 0.1. Which is closer to 12?",
    program=slope,
    judge=slopes.slope,
    solution="For x^3 at 2 it gives 12.01, where nudging to one side gives 12.61. Multiply out: to one side "
    "it is 12 + 6 h + h^2, to both sides 12 + h^2, because 6 h^2 occurs in (2 + h)^3 and in (2 - h)^3 and "
    "cancels. Chapter 4 checks every gradient of the library with such slopes.",
)
