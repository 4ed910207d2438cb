"""Exercises of chapter 5: experiments."""

from neocog.exercises.computing import row
from neocog.exercises.exercise import exercise
from neocog.models import tiny_cnn

exercise(
    "5.1",
    1,
    "With average pooling and no ReLU, what fraction of the validation images is classified correctly?",
    answer=lambda: row("average-pooling", "average pooling, no ReLU")["val_accuracy"],
    hint="are these images so hard?",
    solution="All of them: they can be separated by planes. An affine map is enough for such data.",
)

exercise(
    "5.2",
    2,
    "How many parameters does TinyCNN have with 5 x 5 kernels?",
    answer=lambda: tiny_cnn(kernel_size=5).parameter_count,
    hint="the maps get smaller, and so does the dense layer.",
    solution="78 in the convolution, but only 3 x 2 x 2 numbers after pooling: 39 in the dense layer.",
)
