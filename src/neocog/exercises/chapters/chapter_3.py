"""Exercises of chapter 3: loss and descent."""

from __future__ import annotations

import math

import numpy as np

from neocog.exercises.exercise import exercise
from neocog.exercises.judges import classification, optimizers
from neocog.losses import SoftmaxCrossEntropy
from neocog.optimizers import SGD, Adam, Optimizer


def _loss(z: list[float], t: int) -> float:
    """Return the cross-entropy of one image."""
    return float(SoftmaxCrossEntropy()(np.array([z]), np.array([t]))[0])


def _walk(optimizer: Optimizer, slopes: list[float], w: float = 0.0) -> list[float]:
    """Return the weight before and after each step along given slopes."""
    params, path = {"w": np.array([w])}, [w]
    for slope in slopes:
        optimizer.step(params, {"w": np.array([slope])})
        path.append(float(params["w"][0]))
    return path


exercise(
    "3.1",
    1,
    "A network for ten digits has been training for an hour, and its loss is still what it was at the "
    "start. Which number do you expect to see?",
    answer=lambda: _loss([0.0] * 10, 3),
    hint="which probability does each class get if the network has learned nothing?",
    solution="Every class gets 1/10, and the loss is log 10, whatever the true classes are.",
)

exercise(
    "3.2",
    2,
    "By hand: the logits are (0, log 2, log 5), and class 1 (the middle one) is the true one. What is the "
    "loss?",
    answer=lambda: _loss([0.0, math.log(2), math.log(5)], 1),
    hint="the exponentials are whole numbers.",
    solution="The exponentials are 1, 2 and 5, their sum is 8, so the true class has the probability 2/8, "
    "and the loss is -log(1/4) = log 4.",
)

exercise(
    "3.3",
    2,
    "With squares behind a softmax of two classes the slope is $-4 p (1 - p)^2$. At which probability $p$ "
    "of the true class is it steepest?",
    answer=lambda: float(np.linspace(0, 1, 100_001)[_squares(np.linspace(0, 1, 100_001)).argmax()]),
    hint="where is the derivative of $p (1 - p)^2$ zero? Multiply it out first.",
    solution="$p (1 - p)^2 = p - 2 p^2 + p^3$ has the derivative $1 - 4 p + 3 p^2 = (1 - p)(1 - 3 p)$, which "
    "is zero at $p = 1/3$. So a network that is a little wrong learns fastest, and one that is very wrong "
    "hardly learns; cross-entropy pulls the harder the more wrong the network is.",
)


def _squares(p: np.ndarray) -> np.ndarray:
    """Return the size of the slope of the squares."""
    slope: np.ndarray = 4 * p * (1 - p) ** 2
    return slope


def softmax_cross_entropy(z: np.ndarray, t: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean loss and its derivative ``(p - [k = t]) / N``."""
    rows = np.arange(len(t))
    shifted = z - z.max(axis=1, keepdims=True)
    sums = np.exp(shifted).sum(axis=1)
    loss = np.mean(np.log(sums) - shifted[rows, t])
    dz = np.exp(shifted) / sums[:, None]
    dz[rows, t] -= 1
    return loss, dz / len(t)


exercise(
    "3.4",
    3,
    "Write `softmax_cross_entropy(z, t)`, which returns the mean loss over the images and its derivative "
    "`dz`; `z` has the shape (N, K), `t` holds the N true classes. Logits may be around 1000.",
    program=softmax_cross_entropy,
    judge=classification.softmax_cross_entropy,
    solution="Subtracting the largest logit changes no probability and keeps every exponential at most 1. "
    "The loss is best computed as $\\log \\sum_j e^{z_j} - z_t$: a probability that is rounded to 0 would "
    "have no logarithm.",
)

exercise(
    "3.5",
    2,
    "Descend on $L = 3 w^2$ from $w = 1$ with a learning rate of 0.3. What is $w$ after two steps?",
    answer=lambda: _descend(0.3, 2),
    hint="what is the curvature, and by what does each step multiply $w$?",
    solution="The slope is $6 w$, so each step multiplies $w$ by $1 - 0.3 \\cdot 6 = -0.8$: 1, -0.8, 0.64. "
    "It jumps across the minimum and still arrives; from a rate of 1/3 on it would not.",
)


def _descend(lr: float, steps: int) -> float:
    """Return the weight after some steps of descent on ``3 w^2`` from 1."""
    optimizer, params = SGD(lr=lr), {"w": np.array([1.0])}
    for _ in range(steps):
        optimizer.step(params, {"w": 6 * params["w"]})
    return float(params["w"][0])


exercise(
    "3.6",
    2,
    "On a long slope the derivative is 0.5 everywhere. With a learning rate of 0.1 and a momentum of 0.8, "
    "how far does a weight finally move in one step?",
    answer=lambda: -float(np.diff(_walk(SGD(lr=0.1, momentum=0.8), [0.5] * 200))[-1]),
    hint="which velocity repeats itself? How far it goes is a distance, without a sign.",
    solution="$v = 0.8 v - 0.1 \\cdot 0.5$ gives $v = -0.05 / 0.2 = -0.25$, five times the plain step.",
)

exercise(
    "3.7",
    2,
    "A valley has curvatures from 4 to 100. Which momentum is the best one?",
    answer=lambda: _best_momentum(4.0, 100.0),
    hint="only the ratio of the curvatures matters. Does the formula give the momentum, or its root?",
    solution="$\\kappa = 25$, $\\sqrt\\kappa = 5$, $\\sqrt\\mu = (5 - 1) / (5 + 1) = 2/3$, $\\mu = 4/9$. "
    "The slowest direction loses a third at each step; without momentum it would lose one part in 13.",
)


def _best_momentum(low: float, high: float) -> float:
    """Return the momentum that makes a step of the best rate shrink the error most, of a fine grid."""
    lr = 4 / (low**0.5 + high**0.5) ** 2

    def factor(momentum: float) -> float:
        """Return the size of the largest solution of the recursion, over both curvatures."""
        return max(
            float(np.abs(np.roots([1, -(1 + momentum - lr * h), momentum])).max()) for h in (low, high)
        )

    return float(min(np.linspace(0, 1, 900, endpoint=False), key=factor))


exercise(
    "3.8",
    2,
    "Adam with a learning rate of 0.1 takes its very first step, on a weight of 1 whose derivative is -5. "
    "What is the weight after it?",
    answer=lambda: _walk(Adam(lr=0.1), [-5.0], 1.0)[-1],
    hint="what do the two corrections make of the running means after one step?",
    solution="$m = 0.1 g$ is divided by $1 - 0.9$, and $s = 0.001 g^2$ by $1 - 0.999$: the fraction is $g "
    "/ |g| = -1$, and the step is 0.1, however large the derivative is.",
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
    """Return the new weight and the two running means."""
    m = beta1 * m + (1 - beta1) * dw
    s = beta2 * s + (1 - beta2) * dw**2
    mean, square = m / (1 - beta1**t), s / (1 - beta2**t)
    return w - lr * mean / (np.sqrt(square) + eps), m, s


exercise(
    "3.9",
    3,
    "Write `adam(w, dw, m, s, t, lr, beta1, beta2, eps)`, one step of Adam, which returns the new `w, m, "
    "s` as new arrays. `t` counts the steps: 1 in the first one.",
    program=adam,
    judge=optimizers.adam,
    solution="The corrected means are used for the step and not kept: only `m` and `s` themselves go on.",
)


def minibatches(n: int, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut a random order of n images into batches."""
    order = rng.permutation(n)
    return [order[start : start + batch_size] for start in range(0, n, batch_size)]


exercise(
    "3.10",
    3,
    "Write `minibatches(n, batch_size, rng)`: a list of arrays of indices for one epoch. Each of the n "
    "images comes once, in an order drawn from `rng`; the last batch holds what is left over.",
    program=minibatches,
    judge=optimizers.minibatches,
    solution="A new order for each epoch, drawn from the given generator, so that a run can be repeated.",
)

exercise(
    "3.11",
    2,
    "The gradient of minibatches of 16 pictures is off by 0.8 of its length, typically. How many pictures "
    "must a minibatch have for 0.2?",
    answer=lambda: round(16 * (0.8 / 0.2) ** 2),
    hint="four times as exact.",
    solution="The error falls like $1 / \\sqrt B$: a quarter of the error takes sixteen times the "
    "pictures, 256.",
)

exercise(
    "3.12",
    4,
    "Turn the valley of this chapter by 45 degrees: $L = \\tfrac14 (a + b)^2 + 25 (a - b)^2$ has the same "
    "curvatures. Compare plain descent, momentum and Adam on both valleys. Which of the three notices the "
    "difference, and why?",
    solution="Plain descent and momentum take the same number of steps: they only use gradients, and a "
    "rotation of the valley (and of the start) rotates the whole path. Adam divides weight by weight. In "
    "the straight valley each weight has one curvature, and dividing by the size of its slopes removes the "
    "difference. In the turned valley both weights see both curvatures, their slopes are of the same size, "
    "and dividing gains nothing: with a rate of 0.01 it takes ten times as many steps.",
)
