"""Exercises of chapter 6: generalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from neocog.exercises.exercise import exercise
from neocog.exercises.judges import classification, optimizers, training
from neocog.layers import Dropout
from neocog.optimizers import SGD


def _recall(matrix: list[list[int]], k: int) -> float:
    return matrix[k][k] / sum(matrix[k])


exercise(
    "6.1",
    1,
    "A confusion matrix (rows true, columns predicted) is [[880, 20], [60, 40]]. What is the recall of the "
    "second class?",
    answer=lambda: _recall([[880, 20], [60, 40]], 1),
    hint="of how many images of the second class, how many were found?",
    solution="40 of the 100 in its row. The accuracy of 92 % hides it: always naming the first class has 90 "
    "%.",
)

exercise(
    "6.2",
    1,
    "You try 30 learning rates, take the one with the best accuracy on the 450 test images, and report that "
    "accuracy. Is it an honest estimate for new images?",
    answer=lambda: False,
    hint="which part made the decision?",
    solution="The test part made the choice, so it has become a validation part, and its best accuracy is "
    "too high on average. Choose on other images.",
)

exercise(
    "6.3",
    2,
    "How many test images does it take until $1.96 \\sqrt{p (1 - p) / n}$ is at most one percentage point, "
    "for $p = 0.95$?",
    answer=lambda: math.ceil(1.96**2 * 0.95 * 0.05 / 0.01**2),
    hint="solve for n and round up.",
    solution="$n \\ge 1.96^2 \\cdot 0.0475 / 0.0001 = 1824.8$. For a tenth of a point it is a hundred times "
    "as many.",
)


def _sign_test(b: int, c: int) -> float:
    tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1))
    return min(1.0, 2 * tail / float(2 ** (b + c)))


exercise(
    "6.4",
    2,
    "Two networks give different answers to 10 of 450 images. The first is right on 8 of these, the second "
    "on 2. How large is $P$?",
    answer=lambda: _sign_test(8, 2),
    hint="how many of the 1024 sequences of ten coins have at most two heads?",
    solution="$1 + 10 + 45 = 56$ of 1024, and as many with at most two tails: $P = 112 / 1024$. Eight to two "
    "may well be chance.",
)


def _faded() -> float:
    params, optimizer = {"weight": np.full((1, 1), 2.0)}, SGD(0.1, weight_decay=0.5)
    for _ in range(10):
        optimizer.step(params, {"weight": np.zeros((1, 1))})
    return float(params["weight"][0, 0])


exercise(
    "6.5",
    2,
    "A weight is 2, and the loss does not depend on it. How large is it after ten steps with learning rate "
    "0.1 and weight decay 0.5?",
    answer=_faded,
    hint="each step multiplies it by the same factor.",
    solution="$2\\,(1 - 0.1 \\cdot 0.5)^{10} = 2 \\cdot 0.95^{10}$.",
)


def _dropout_variance(x: float, p: float) -> float:
    """Return the variance of the two values of a dropout, 0 and ``x / (1 - p)``."""
    kept = float(Dropout(p, rng=0).forward(np.full(100, x), training=True)[0].max())
    return p * (0 - x) ** 2 + (1 - p) * (kept - x) ** 2


exercise(
    "6.6",
    2,
    "Dropout with $p = 0.25$ leaves the mean of $x = 3$ as it is. What is the variance of $y$?",
    answer=lambda: _dropout_variance(3.0, 0.25),
    hint="y has two values, and you know their probabilities.",
    solution="$y$ is 4 with probability 0.75 and 0 otherwise: $0.75 \\cdot (4 - 3)^2 + 0.25 \\cdot 3^2 = 3$. "
    "In general $x^2 p / (1 - p)$: noise in proportion to the number itself.",
)


def wilson_interval(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's interval, the roots of the parabola."""
    p, q = successes / n, z * z / n
    half = z * np.sqrt(p * (1 - p) / n + q / (4 * n))
    return (p + q / 2 - half) / (1 + q), (p + q / 2 + half) / (1 + q)


exercise(
    "6.7",
    3,
    "Write `wilson_interval(successes, n, z=1.96)`, which returns both ends as fractions.",
    program=wilson_interval,
    judge=classification.wilson_interval,
    solution="For 0 of n it begins at 0 and for n of n it ends at 1; it never leaves the numbers between.",
)


def weight_decay(w: np.ndarray, dw: np.ndarray, lr: float, decay: float) -> np.ndarray:
    """Shrink the weight, then step."""
    return (1 - lr * decay) * w - lr * dw


exercise(
    "6.8",
    3,
    "Write `weight_decay(w, dw, lr, decay)`: one step of gradient descent on $L + \\frac{\\lambda}{2} \\sum "
    "w^2$, where `dw` is the derivative of $L$ alone. It returns a new array.",
    program=weight_decay,
    judge=optimizers.weight_decay,
    solution="The derivative of $\\frac{\\lambda}{2} w^2$ is $\\lambda w$.",
)


def early_stopping(losses: Sequence[float], patience: int) -> tuple[int, int]:
    """Return the best epoch and the last one."""
    best = last = 0
    for epoch, loss in enumerate(losses):
        last = epoch
        if loss < losses[best]:
            best = epoch
        if epoch - best >= patience:
            break
    return best, last


exercise(
    "6.9",
    3,
    "`losses[k]` is the validation loss after epoch `k`. Write `early_stopping(losses, patience)`, which "
    "returns the epoch of the smallest loss and the epoch with which training ends: the first one that comes "
    "`patience` epochs after the best so far, or the last. On a tie the earlier epoch is the better one.",
    program=early_stopping,
    judge=training.early_stopping,
    solution="A loss that would have been smaller after the end is never seen: patience is a bet that "
    "nothing better comes.",
)

exercise(
    "6.10",
    4,
    "Let 0, 10, 20, 40 and 60 of the 100 labels of this chapter's experiment be wrong, ten draws each. How "
    "much does early stopping gain? And how much if the labels of the validation part are wrong as often as "
    "those of the training part, as they would be in practice?",
    solution="Mean test errors at the end and stopped early, with 16 and 32 filters: 10.7 and 11.0 %, 17.9 "
    "and 16.7, 25.7 and 22.1, 43.1 and 35.9, 60.3 and 53.5. The more there is not to learn, the better it is "
    "to stop. With a validation part as wrong as the training part, stopping early leaves 17.5, 23.8, 35.7 "
    "and 60.4 % for 10 to 60 wrong labels: it still helps on average, but not in every run, and no longer "
    "where most labels are wrong. Who judges must know better than who is taught.",
)
