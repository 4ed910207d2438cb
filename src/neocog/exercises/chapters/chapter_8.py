"""Exercises of chapter 8: the digits."""

from neocog import experiments
from neocog.exercises.exercise import exercise
from neocog.layers import Dense
from neocog.models import digits_cnn

exercise(
    "8.1",
    1,
    "How many of the 450 held-out digits does the ten-epoch network of seed 42 get wrong?",
    answer=lambda: len(experiments.run("digits", seeds=1).data["misclassified"]["index"]),
    hint="run it: neocog experiment digits.",
    solution="Look at them: `neocog experiment digits --out digits.html`. It is the best of ten seeds; the "
    "mean is 24 wrong.",
)

exercise(
    "8.2",
    1,
    "How many more parameters does a dense layer 64 -> 512 have than the first convolution?",
    answer=lambda: Dense(64, 512).parameter_count - digits_cnn()["conv1"].parameter_count,
    hint="33 280 for the one; count the other.",
    solution="33 280 - 80: the convolution uses its nine weights and a bias at every place.",
)
