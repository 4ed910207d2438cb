"""Exercises of chapter 2: TinyCNN."""

from neocog.exercises.exercise import exercise
from neocog.models import tiny_cnn, tiny_mlp

exercise(
    "2.1",
    1,
    "How many parameters does an MLP 64 - 27 - 3 have?",
    answer=lambda: tiny_mlp(hidden=27).parameter_count,
    hint="both layers have biases.",
    solution="64 x 27 + 27 + 27 x 3 + 3, sixteen times those of TinyCNN. Both make 27 numbers of the image; "
    "the MLP has 64 weights for each of them, TinyCNN 9 for each map, used at all its positions: weight "
    "sharing.",
)

exercise(
    "2.2",
    1,
    "How many parameters does a fourth class add to TinyCNN?",
    answer=lambda: tiny_cnn(classes=4).parameter_count - tiny_cnn(classes=3).parameter_count,
    hint="a class is a column of the dense layer.",
    solution="27 weights and a bias. Often 10 is named: that counts one pooled map of 3 x 3 instead of "
    "three.",
)

exercise(
    "2.3",
    2,
    "How many pixels high is the receptive field of a number after TinyCNN's pooling?",
    answer=lambda: tiny_cnn().summary(show=False).rows[2].receptive_field[0],  # type: ignore[index]
    hint="two neighbouring windows of 3 overlap.",
    solution="A 2 x 2 window of numbers that see 3 pixels each, one pixel apart: 3 + 1 = 4.",
)
