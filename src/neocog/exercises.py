"""Check answers to the book's exercises.

>>> from neocog import exercises
>>> exercises.check("1.2", 600)
Not yet: think of the bias. (1.2)
>>> exercises.check("1.2", 608)
Right. Each of the 8 filters has 3 x 5 x 5 weights and a bias: 8 (75 + 1) = 608. (1.2)

No answer is stored here: each is computed when needed, from the layers or by running a study.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from neocog import experiments
from neocog.layers import AvgPool2D, Conv2D, Dense, Flatten, MaxPool2D, Sequential
from neocog.models import digits_cnn, tiny_cnn, tiny_mlp
from neocog.validation import one_of

__all__ = ["Exercise", "Verdict", "check", "list_exercises", "solution"]

TOLERANCE = 0.005
"""The largest error of an answer that is not a whole number."""


@dataclass(frozen=True)
class Exercise:
    """A question that can be answered by a number, a shape or a word."""

    name: str
    question: str
    solve: Callable[[], Any]
    hint: str
    explanation: str


@dataclass(frozen=True)
class Verdict:
    """The result of a check: whether the answer is right, and a message."""

    name: str
    right: bool
    message: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return f"{self.message} ({self.name})"


def list_exercises() -> list[Exercise]:
    """Return all exercises, chapter by chapter."""
    return list(_EXERCISES.values())


def check(name: str, answer: Any) -> Verdict:
    """Check an answer.

    Parameters
    ----------
    name : str
        Chapter and number, such as "1.2".
    answer : int, float, str or sequence of int
        Whole numbers and shapes must be exact, other numbers right to 0.005; words may be in any case.

    Raises
    ------
    ValueError
        If there is no such exercise.
    """
    exercise = _EXERCISES[one_of("name", name, _EXERCISES)]
    if _same(answer, exercise.solve()):
        return Verdict(name, True, f"Right. {exercise.explanation}")
    return Verdict(name, False, f"Not yet: {exercise.hint}")


def solution(name: str) -> str:
    """Return the answer and its explanation; ValueError if there is no such exercise."""
    exercise = _EXERCISES[one_of("name", name, _EXERCISES)]
    return f"{exercise.solve()}. {exercise.explanation}"


def _same(answer: Any, expected: Any) -> bool:
    if isinstance(expected, str):
        return str(answer).strip().casefold() == expected.casefold()
    try:
        given, right = np.asarray(answer, float), np.asarray(expected, float)
    except (TypeError, ValueError):
        return False
    if given.shape != right.shape:
        return False
    exact = np.issubdtype(np.asarray(expected).dtype, np.integer)
    return bool(np.abs(given - right).max(initial=0) <= (0 if exact else TOLERANCE))


def _row(study: str, network: str) -> dict[str, Any]:
    """Run a study with the textbook's seeds; return the row of one network."""
    rows = experiments.run(study).rows
    return next(row for row in rows if row["network"] == network)


def _affine(network: Sequential) -> str:
    """Return whether ``f(x + y) - f(0) = (f(x) - f(0)) + (f(y) - f(0))`` for random images."""
    x, y = np.random.default_rng(0).normal(size=(2, 1, 1, 8, 8))
    zero = network(np.zeros_like(x))
    difference = network(x + y) - network(x) - network(y) + zero
    return "yes" if np.abs(difference).max() < 1e-12 else "no"


def _tiny(pool: Any) -> Sequential:
    """Build TinyCNN without its ReLU, with another pooling."""
    network = tiny_cnn()
    return Sequential(network["conv1"], pool, Flatten(), network["dense"])


def _exercises() -> list[Exercise]:
    wide = Conv2D(3, 8, 5)
    return [
        Exercise(
            "1.1",
            "What is the shape of the output of Conv2D(3, 8, 5) for 16 colour images of 32 x 32?",
            lambda: wide.output_shape((16, 3, 32, 32)),
            "a kernel of 5 can start at 32 - 5 + 1 rows; the images stay 16.",
            "16 images, 8 filters, and 32 - 5 + 1 = 28 positions each way.",
        ),
        Exercise(
            "1.2",
            "How many parameters does it have?",
            lambda: wide.parameter_count,
            "think of the bias.",
            "Each of the 8 filters has 3 x 5 x 5 weights and a bias: 8 (75 + 1) = 608.",
        ),
        Exercise(
            "1.3",
            "Which padding keeps the size of an image under a 7 x 7 kernel with dilation 2 and stride 1?",
            lambda: Conv2D(1, 1, 7, padding="same", dilation=2).sides[0][0],
            "the kernel reaches over 2 (7 - 1) + 1 = 13 pixels.",
            "It reaches d (k - 1) / 2 = 6 pixels to each side.",
        ),
        Exercise(
            "2.1",
            "How many parameters does an MLP 64 - 27 - 3 have?",
            lambda: tiny_mlp(hidden=27).parameter_count,
            "both layers have biases.",
            "64 x 27 + 27 + 27 x 3 + 3: sixteen times those of TinyCNN, whose 27 pooled numbers it imitates.",
        ),
        Exercise(
            "2.2",
            "How many parameters does a fourth class add to TinyCNN?",
            lambda: tiny_cnn(classes=4).parameter_count - tiny_cnn(classes=3).parameter_count,
            "a class is a column of the dense layer.",
            "27 weights and a bias. Often 10 is named: that counts one pooled map of 3 x 3 instead of three.",
        ),
        Exercise(
            "2.3",
            "How many pixels high is the receptive field of a number after TinyCNN's pooling?",
            lambda: tiny_cnn().summary(show=False).rows[2].receptive_field[0],  # type: ignore[index]
            "two neighbouring windows of 3 overlap.",
            "A 2 x 2 window of numbers that see 3 pixels each, one pixel apart: 3 + 1 = 4.",
        ),
        Exercise(
            "3.1",
            "Is TinyCNN without its ReLU, with max pooling, an affine function of the image? (yes or no)",
            lambda: _affine(_tiny(MaxPool2D(2))),
            "is a maximum of sums the sum of maxima?",
            "Max pooling is not linear: max(a + b, c + d) is not max(a, c) + max(b, d).",
        ),
        Exercise(
            "3.2",
            "And with average pooling in its place?",
            lambda: _affine(_tiny(AvgPool2D(2))),
            "which of the remaining layers is not affine?",
            "Convolution, mean and dense layer are affine, and so is whatever is made of them.",
        ),
        Exercise(
            "4.1",
            "With momentum 0.9, after how many epochs are all validation images classified correctly for the "
            "first time?",
            lambda: _row("momentum", "momentum 0.9")["first_at_100"],
            "run it: neocog experiment momentum.",
            "Momentum adds up the steps that agree: here three times fewer epochs than without.",
        ),
        Exercise(
            "4.2",
            "How many of the three filters are dead at a learning rate of 1.0?",
            lambda: _row("learning-rates", "lr 1")["dead_units"],
            "run it: neocog experiment learning-rates.",
            "All: one step was too large, and no image makes them answer again.",
        ),
        Exercise(
            "5.1",
            "With average pooling and no ReLU, what fraction of the validation images is classified "
            "correctly?",
            lambda: _row("average-pooling", "average pooling, no ReLU")["val_accuracy"],
            "are these images so hard?",
            "All of them: they can be separated by planes. An affine map is enough for such data.",
        ),
        Exercise(
            "5.2",
            "How many parameters does TinyCNN have with 5 x 5 kernels?",
            lambda: tiny_cnn(kernel_size=5).parameter_count,
            "the maps get smaller, and so does the dense layer.",
            "78 in the convolution, but only 3 x 2 x 2 numbers after pooling: 39 in the dense layer.",
        ),
        Exercise(
            "6.1",
            "How many of the 450 held-out digits does the ten-epoch network get wrong?",
            lambda: len(experiments.run("digits").data["misclassified"]["index"]),
            "run it: neocog experiment digits.",
            "Four of them are eights; look at them: neocog experiment digits --out digits.html.",
        ),
        Exercise(
            "6.2",
            "How many more parameters does a dense layer 64 -> 512 have than the first convolution?",
            lambda: Dense(64, 512).parameter_count - digits_cnn()["conv1"].parameter_count,
            "33 280 for the one; count the other.",
            "33 280 - 80: the convolution uses its nine weights and a bias at every place.",
        ),
    ]


_EXERCISES = {exercise.name: exercise for exercise in _exercises()}
