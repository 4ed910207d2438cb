"""Exercises of chapter 5: training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from neocog.data import batches
from neocog.exercises.exercise import exercise
from neocog.exercises.judges import optimizers as judges
from neocog.losses import SoftmaxCrossEntropy
from neocog.optimizers import SGD, Adam, Optimizer


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
    1,
    "Your network has 1000 classes and has not been trained. Which loss should it have, roughly?",
    answer=lambda: float(SoftmaxCrossEntropy()(np.zeros((1, 1000)), np.zeros(1, int))[0]),
    hint="what is the probability of the right class, if it knows nothing?",
    solution="$-\\ln \\frac{1}{1000} = \\ln 1000$. A loss of 20 at the start would mean that the network "
    "is very sure of something it cannot know.",
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
    "In a very large data set, the noise of a batch of 20 is twice as long as the gradient. How many "
    "images must a batch have for noise a quarter as long as the gradient?",
    answer=lambda: 20 * 8**2,
    hint="by which factor must the noise shrink, and what does that cost?",
    solution="An eighth of the noise takes $8^2 = 64$ times the images: 64 times the arithmetic for one "
    "step. It is seldom worth it.",
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


def minibatches(n: int, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Shuffle the indices, and cut them into pieces."""
    order = rng.permutation(n)
    return [order[start : start + batch_size] for start in range(0, n, batch_size)]


exercise(
    "5.7",
    3,
    "Write `minibatches(n, batch_size, rng)`, which returns a list of arrays of indices: each of 0 to n - "
    "1 once, in an order drawn with `rng`. The last batch may be smaller.",
    program=minibatches,
    judge=judges.minibatches,
    solution="One permutation for the whole epoch. Drawing each batch anew would use some images twice and "
    "others not at all: about a third of them in an epoch.",
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


def adam(
    w: np.ndarray,
    dw: np.ndarray,
    m: np.ndarray,
    s: np.ndarray,
    t: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the new weight and both new means; t is 1 in the first step."""
    m = beta1 * m + (1 - beta1) * dw
    s = beta2 * s + (1 - beta2) * dw**2
    direction = (m / (1 - beta1**t)) / (np.sqrt(s / (1 - beta2**t)) + eps)
    return w - lr * direction, m, s


exercise(
    "5.9",
    3,
    "Write `adam(w, dw, m, s, t, lr, beta1, beta2, eps)`, which returns the new `w`, `m` and `s`; `t` is 1 "
    "in the first step.",
    program=adam,
    judge=judges.adam,
    solution="`m` and `s` are kept as they are, uncorrected; the correction is made for the step only. "
    "`eps` stands outside the root.",
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
