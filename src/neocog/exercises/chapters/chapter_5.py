"""Exercises of chapter 5: training."""

from neocog.exercises.computing import row
from neocog.exercises.exercise import exercise
from neocog.models import tiny_cnn

exercise(
    "5.1",
    1,
    "With momentum 0.9 and the textbook's seeds, after how many epochs are all validation images classified "
    "correctly for the first time?",
    answer=lambda: row("momentum", "momentum 0.9")["first_at_100"],
    hint="run it: neocog experiment momentum.",
    solution="Momentum adds up the steps that agree: three times fewer epochs than without. Over ten seeds "
    "it is 3.6 epochs on average against 11.0.",
)

exercise(
    "5.2",
    1,
    "With the textbook's seeds, how many of the three filters are dead at a learning rate of 1.0?",
    answer=lambda: row("learning-rates", "lr 1")["dead_units"],
    hint="run it: neocog experiment learning-rates.",
    solution="All: one step was too large, and no image makes them respond again. It is a matter of luck: in "
    "ten runs all three die in five, and the other five reach 100 %.",
)

exercise(
    "5.3",
    1,
    "With average pooling and no ReLU, what fraction of the validation images is classified correctly?",
    answer=lambda: row("average-pooling", "average pooling, no ReLU")["val_accuracy"],
    hint="are these images so hard?",
    solution="All of them: they can be separated by planes. An affine map is enough for such data.",
)

exercise(
    "5.4",
    2,
    "How many parameters does TinyCNN have with 5 x 5 kernels?",
    answer=lambda: tiny_cnn(kernel_size=5).parameter_count,
    hint="the maps get smaller, and so does the dense layer.",
    solution="78 in the convolution, but only 3 x 2 x 2 numbers after pooling: 39 in the dense layer.",
)
