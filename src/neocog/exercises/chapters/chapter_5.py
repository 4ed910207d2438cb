"""Exercises of chapter 5: training."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from neocog.data import batches
from neocog.exercises.exercise import exercise
from neocog.exercises.judges import elementwise
from neocog.exercises.judges import optimizers as judges
from neocog.optimizers import SGD, Adam, Optimizer
from neocog.schedules import Cosine


def _walk(optimizer: Optimizer, w: float, derivative: Callable[[int, float], float], steps: int) -> float:
    """Return where an optimizer takes a weight whose derivative in step k is ``derivative(k, w)``."""
    params = {"weight": np.array([float(w)])}
    for k in range(steps):
        optimizer.step(params, {"weight": np.array([derivative(k, float(params["weight"][0]))])})
    return float(params["weight"][0])


exercise(
    "5.1",
    1,
    "How many steps are 80 epochs on 180 images in batches of 32?",
    answer=lambda: 80 * sum(1 for _ in batches(np.zeros((180, 1, 1, 1)), np.zeros(180, int), 32)),
    hint="every image is used in every epoch.",
    solution="Five full batches and one of 20: 6 steps an epoch.",
)

exercise(
    "5.2",
    2,
    "A cosine schedule starts at 0.4 and takes 600 steps. What is the learning rate after 200 of them?",
    answer=lambda: Cosine(0.4, 600)(200),
    hint="how large is the cosine of a third of $\\pi$?",
    solution="$\\tfrac12 \\cdot 0.4\\,(1 + \\cos \\tfrac\\pi3) = 0.2 \\cdot 1.5$. A third of the steps is "
    "over, and only a quarter of the rate is gone: a cosine falls slowly at first and at last, and fastest "
    "in the middle.",
)

exercise(
    "5.3",
    2,
    "$L(w) = 2 w^2$, from $w = 1$, with learning rate 0.1 and momentum 0.5. Where is $w$ after three steps?",
    answer=lambda: _walk(SGD(0.1, momentum=0.5), 1, lambda k, w: 4 * w, 3),
    hint="dL/dw = 4 w; write down v and w after each step.",
    solution="$v = -0.4, -0.44, -0.284$ and $w = 0.6, 0.16, -0.124$: the velocity carries it past the "
    "minimum.",
)

exercise(
    "5.4",
    2,
    "Adam with learning rate 1, $\\beta_1 = 0.9$, $\\beta_2 = 0.999$ starts at $w = 0$; the derivative is "
    "0.5 in the first step and $-0.5$ in the second. Where is $w$ after both (ignore $\\varepsilon$)?",
    answer=lambda: _walk(Adam(1.0), 0, lambda k, w: 0.5 if k == 0 else -0.5, 2),
    hint="the root of the corrected mean square is 0.5 in both steps.",
    solution="First $-1$, the sign. Then $m = 0.9 \\cdot 0.05 - 0.05 = -0.005$, corrected by $1 - 0.9^2 = "
    "0.19$ to $-0.0263$; divided by 0.5, a step of $+0.0526$. The two derivatives nearly cancel in the "
    "mean, so Adam hardly moves back.",
)

exercise(
    "5.5",
    2,
    "A batch holds half of 180 images. How many times as large is its noise as that of a batch of 90 drawn "
    "*with* replacement, as in chapter 3? (A number below 1.)",
    answer=lambda: math.sqrt((180 - 90) / (180 - 1)),
    hint="only the second factor of the formula makes the difference, and the formula is that of a square.",
    solution="$\\sqrt{90 / 179}$, about $1/\\sqrt2$: what was drawn cannot be drawn again, so the batch has "
    "seen half of everything. For small batches of many images the factor is nearly 1, and both ways agree.",
)

exercise(
    "5.6",
    2,
    "A filter has the kernel [[1, -2], [0.5, -1]], and pixels lie between 0 and 1. What is the largest "
    "bias at which it is dead, whatever the image?",
    answer=lambda: -float(np.maximum([1, -2, 0.5, -1], 0).sum()),
    hint="which patch gives the largest z?",
    solution="Ink where the weight is positive, paper elsewhere, gives $z = 1 + 0.5 + b$, which must not "
    "be above 0. For a given data set a smaller push is enough: its images need not hold that patch.",
)


def cosine_schedule(step: int, steps: int, lr: float) -> float:
    """Return the learning rate, which falls from lr to 0."""
    return lr * (1 + math.cos(math.pi * step / steps)) / 2


exercise(
    "5.7",
    3,
    "Write `cosine_schedule(step, steps, lr)`, which returns the learning rate: `lr` at step 0, 0 at step "
    "`steps`. Try it in the loop of this chapter, in the place of 0.12.",
    program=cosine_schedule,
    judge=judges.cosine_schedule,
    solution="A schedule is a function of the number of steps, and the loop has to count them: "
    "`len(losses)` does so.",
)


def momentum(
    w: np.ndarray, dw: np.ndarray, v: np.ndarray, lr: float, momentum: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the new weight and the new velocity."""
    v = momentum * v - lr * dw
    return w + v, v


exercise(
    "5.8",
    3,
    "Write `momentum(w, dw, v, lr, momentum)`, which returns the new `w` and the new `v`, and changes none "
    "of its arguments.",
    program=momentum,
    judge=judges.momentum,
    solution="`v *= momentum` would be shorter, and would change the caller's array.",
)


def leaky_relu_backward(dy: np.ndarray, x: np.ndarray, slope: float) -> np.ndarray:
    """Return dx of ``y = x`` where x is positive, and ``y = slope x`` elsewhere."""
    return np.where(x > 0, dy, slope * dy)


exercise(
    "5.9",
    3,
    "A *leaky* ReLU lets a little through: $y = x$ for $x > 0$, and $y = a x$ with a small $a$ otherwise. "
    "Write `leaky_relu_backward(dy, x, slope)`, which returns `dx`; `slope` is $a$. Why can such a unit not "
    "die?",
    program=leaky_relu_backward,
    judge=elementwise.leaky_relu_backward,
    solution="Where x is negative, $a\\,dy$ still arrives, so the filter goes on learning and can come back. "
    "The price: its output is no longer sparse.",
)

exercise(
    "5.10",
    4,
    "Train TinyCNN on the line patterns with batches of 6, 18, 60 and 180, ten seeds each, at a rate of "
    "0.12. After how many epochs do all validation images come out right, and after how many *steps*? Then "
    "repeat it with a rate proportional to the batch size.",
    solution="At the same rate the number of steps hardly depends on the batch: about 123, 110, 100 and "
    "103 on average over ten seeds, that is 4, 11, 33 and 103 epochs. The noise costs almost nothing here, "
    "and a small batch is cheap. With rates of 0.04, 0.12 and 0.4 for 6, 18 and 60 images it is the epochs "
    "that agree: 10.4, 11.0 and 10.8. That rule ends where the rate is too large: with 180 images at 1.2 "
    "only four runs of ten arrive, the others lose their filters.",
)
