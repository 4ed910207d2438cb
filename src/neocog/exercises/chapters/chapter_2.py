"""Exercises of chapter 2: TinyCNN."""

from __future__ import annotations

import numpy as np

from neocog.exercises.exercise import exercise
from neocog.exercises.judges import classification, pooling
from neocog.layers import Conv2D, Dense, MaxPool2D, ReLU, Sequential, Softmax
from neocog.models import tiny_cnn


def _probabilities(*logits: float) -> tuple[float, ...]:
    return tuple(float(p) for p in Softmax()(np.array([logits]))[0])


exercise(
    "2.1",
    1,
    "How many parameters has an MLP of 64 inputs, two hidden layers of 16 and 8 units, and 3 outputs?",
    answer=lambda: Dense(64, 16).parameter_count + Dense(16, 8).parameter_count + Dense(8, 3).parameter_count,
    hint="every layer has a bias for each of its outputs.",
    solution="(64 x 16 + 16) + (16 x 8 + 8) + (8 x 3 + 3) = 1040 + 136 + 27. The first layer has most of "
    "them, because it reads the pixels.",
)

exercise(
    "2.2",
    1,
    "How many parameters does a fourth class add to TinyCNN?",
    answer=lambda: tiny_cnn(classes=4).parameter_count - tiny_cnn(classes=3).parameter_count,
    hint="a class is a column of the dense layer.",
    solution="27 weights and a bias. Often 10 is named: that counts one pooled map of 3 x 3 instead of "
    "three. No filter is added: a class is a combination of what the filters find.",
)


def _rectified_and_pooled() -> tuple[float, ...]:
    x = np.array([[[[-1.0, 2, 0, -3], [4, -5, 1, 1]]]])
    return tuple(float(y) for y in MaxPool2D(2)(ReLU()(x)).ravel())


exercise(
    "2.3",
    1,
    "A map has the rows (-1, 2, 0, -3) and (4, -5, 1, 1). Which two numbers are left after ReLU and 2 x 2 "
    "max pooling?",
    answer=_rectified_and_pooled,
    hint="the windows are the left and the right half.",
    solution="After ReLU the left half holds 0, 2, 4, 0 and the right one 0, 0, 1, 1. Pooling first and "
    "ReLU afterwards gives the same, always: both keep the order of numbers. It would be cheaper, too, a "
    "quarter of the comparisons.",
)

exercise(
    "2.4",
    2,
    "Behind TinyCNN's pooling comes a second 3 x 3 convolution. How many pixels high is the receptive field "
    "of one of its numbers?",
    answer=lambda: _field(Conv2D(1, 3, 3), ReLU(), MaxPool2D(2), Conv2D(3, 4, 3)),
    hint="a 2 x 2 pooling is a layer with k = 2 and s = 2.",
    solution="After the convolution r = 3, J = 1; after the pooling r = 3 + 1 = 4, J = 2; then "
    "r = 4 + 2 · 2 = 8: the whole picture. That convolution has a single position, as a dense layer has.",
)


def _field(*layers: Conv2D | ReLU | MaxPool2D) -> int:
    last = Sequential(*layers).summary((1, 1, 8, 8), show=False).rows[-1]
    return int(last.receptive_field[0])  # type: ignore[index]


def _two_units() -> tuple[float, ...]:
    hidden, out = (Dense(2, n, bias=False, dtype="float64") for n in (2, 1))
    hidden.params["weight"][:] = [[1, -1], [-1, 1]]
    out.params["weight"][:] = 1
    y = Sequential(hidden, ReLU(), out)(np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]))
    return tuple(float(value) for value in y[:, 0])


exercise(
    "2.5",
    2,
    "Another network with two hidden units and no biases: y = relu(a - b) + relu(b - a). What does it give "
    "for (a, b) = (0, 0), (0, 1), (1, 0) and (1, 1)? Answer with four numbers.",
    answer=_two_units,
    hint="at most one of the two units is not zero.",
    solution="That is |a - b|, and for zeros and ones XOR again. Many networks compute the same "
    "function; which of them training finds depends on where it begins.",
)

exercise(
    "2.6",
    2,
    "The logits are (0, ln 2, ln 5). What are the three probabilities?",
    answer=lambda: _probabilities(0, np.log(2), np.log(5)),
    hint="what is e to the power of ln 5?",
    solution="The exponentials are 1, 2 and 5, and their sum is 8: 1/8, 2/8 and 5/8.",
)

exercise(
    "2.7",
    2,
    "With two classes, by how much must the first logit exceed the second for a probability of 0.9?",
    answer=lambda: float(np.log(0.9) - np.log(0.1)),
    hint="p_0 / p_1 depends only on the difference of the logits.",
    solution="p_0 / p_1 = 0.9 / 0.1 = 9 = e^(z_0 - z_1), so the difference is ln 9 = 2.197. For 0.99 it is "
    "ln 99, about 4.6: being surer costs ever more.",
)


def softmax(z: np.ndarray) -> np.ndarray:
    """Return the probabilities of each row of logits."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


exercise(
    "2.8",
    3,
    "Write `softmax(z)` for a whole batch of logits, shape (N, K): each row becomes probabilities that add "
    "up to 1. Logits of 1000 must not disturb it.",
    program=softmax,
    judge=classification.softmax,
    solution="The largest logit and the sum are those of each row, `axis=1`; `keepdims=True` keeps their "
    "shape at (N, 1), so that they broadcast over the row's K numbers.",
)


def max_pool(x: np.ndarray, size: int) -> np.ndarray:
    """Return the largest number of each window."""
    N, C, H, W = x.shape
    y = np.zeros((N, C, H // size, W // size), x.dtype)
    for n, c, i, j in np.ndindex(y.shape):
        y[n, c, i, j] = x[n, c, i * size : (i + 1) * size, j * size : (j + 1) * size].max()
    return y


exercise(
    "2.9",
    3,
    "Write `max_pool(x, size)` for `x` of shape (N, C, H, W) and windows of size x size that do not "
    "overlap. Rows and columns that fill no window are left out.",
    program=max_pool,
    judge=pooling.max_pool,
    solution="`H // size` rounds down and so leaves the rest out. If you keep a running maximum, do "
    "not start it at 0: a window may hold negative numbers only.",
)

exercise(
    "2.10",
    4,
    "TinyCNN's dense layer reads fixed places. Put a `GlobalMaxPool2D` in the place of pooling and flatten, "
    "which leaves only the largest number of each map, and a `Dense(3, 3)` behind it. How many parameters "
    "are left? Train it on the sheets of this chapter, ten seeds. Where does it fail, and on which "
    "patterns must it fail?",
    solution="30 + 12 = 42 parameters. With seeds 0 to 9 (filters from the seed, dense layer from seed + 1) "
    "nine runs classify at least 99.5 % of the 600 test pictures correctly, because the largest number of a "
    "map does not depend on where it stood: now the network *is* invariant to shifts, by construction, as "
    "long as the line stays within the picture. One run gets two classes of three: with so few filters a bad "
    "beginning is not made good. And it must fail where the place is what matters: with one line in the "
    "upper and one in the lower half, it cannot say which is which. Build in what you know, and only what "
    "you know.",
)
