"""Exercises of chapter 3: the backward pass."""

from neocog.exercises.computing import affine, tiny
from neocog.exercises.exercise import exercise
from neocog.layers import AvgPool2D, MaxPool2D

exercise(
    "3.1",
    2,
    "Is TinyCNN without its ReLU, with max pooling, an affine function of the image?",
    answer=lambda: affine(tiny(MaxPool2D(2))),
    hint="is a maximum of sums the sum of maxima?",
    solution="Max pooling is not linear: max(a + b, c + d) is not max(a, c) + max(b, d).",
)

exercise(
    "3.2",
    1,
    "And with average pooling in its place?",
    answer=lambda: affine(tiny(AvgPool2D(2))),
    hint="which of the remaining layers is not affine?",
    solution="Convolution, mean and dense layer are affine, and so is whatever is made of them.",
)
