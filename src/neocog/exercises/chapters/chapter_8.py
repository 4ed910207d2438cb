"""Exercises of chapter 8: the digits, and convolution as one matrix product."""

from __future__ import annotations

import numpy as np

from neocog.exercises.exercise import exercise
from neocog.exercises.judges import classification, convolution
from neocog.inspection import unit_receptive_field
from neocog.kernels import col2im, im2col
from neocog.layers import Conv2D, Dense, Sequential
from neocog.models import digits_cnn

exercise(
    "8.1",
    1,
    "How many multiplications does conv2 of this chapter's network take for one picture?",
    answer=lambda: digits_cnn()["conv2"].params["weight"].size * 4 * 4,
    hint="at how many positions is each of its weights used?",
    solution="16 x 8 x 9 = 1152 weights, each used at 4 x 4 positions. That is more than conv1, with 72 "
    "weights at 64 positions, and the dense layer together take: 4608 + 640.",
)


def three_convolutions() -> Sequential:
    """Build the network with a third convolution, 16 -> 32, before its head."""
    network = digits_cnn()
    parts = {name: network[name] for name in ("conv1", "relu1", "pool1", "conv2", "relu2", "pool2")}
    deeper = Sequential(
        **parts, conv3=Conv2D(16, 32, 3, padding=1), flatten=network["flatten"], dense=Dense(128, 10)
    )
    deeper.input_shape = (1, 8, 8)
    return deeper


exercise(
    "8.2",
    2,
    "After pool2 comes a third convolution of 32 filters, 3 x 3 with padding 1, and then the dense layer. "
    "How many parameters does the whole network have now?",
    answer=lambda: three_convolutions().parameter_count,
    hint="the head grows, too.",
    solution="80 + 1168 as before, $32\\,(16 \\cdot 9 + 1) = 4640$ for the new layer, and a head of $32 "
    "\\cdot 2 \\cdot 2 = 128$ inputs: 1290. Almost four times as many, for a kernel that on maps of 2 x 2 "
    "meets more padding than numbers; `experiments.run('digits-third-convolution')` finds little gain.",
)

exercise(
    "8.3",
    2,
    "How many rows does a number of that third convolution see, as if the picture had no borders?",
    answer=lambda: unit_receptive_field(three_convolutions(), "conv3", (0, 0)).size[0],
    hint="how far apart in the picture are two neighbours in pool2?",
    solution="Two poolings make neighbours of pool2 four pixels apart, so three of them see $10 + 2 \\cdot "
    "4$. The picture has 8 rows.",
)

exercise(
    "8.4",
    2,
    "A batch of 32 colour images of 32 x 32 goes through Conv2D(3, 16, 5). Which shape has the matrix that "
    "im2col makes, with windows as rows?",
    answer=lambda: im2col(np.zeros((32, 3, 32, 32), np.float32), 5).shape,
    hint="a row for each window of each image; how long is a window of three channels?",
    solution="$32 \\cdot 28 \\cdot 28$ windows of $3 \\cdot 5 \\cdot 5$ numbers: 1.9 million, 19 times the "
    "images. The number of filters is not in it.",
)

exercise(
    "8.5",
    2,
    "Suppose all 450 pictures were equally hard: each of ten networks misreads each of them with "
    "probability 0.054, independently. How many pictures, to the nearest whole number, would you expect "
    "*all* ten networks to read correctly?",
    answer=lambda: round(450 * (1 - 0.054) ** 10),
    hint="with which probability does one picture survive ten networks?",
    solution="$450 \\cdot 0.946^{10}$. In fact 339 are read correctly by all ten, and four are misread by "
    "eight or more, where you would expect none: errors gather on hard pictures.",
)

exercise(
    "8.6",
    2,
    "x is a picture of 5 x 5 ones. Its windows of 3 x 3 are written as rows by im2col and added back by "
    "col2im. What is the second row of the result?",
    answer=lambda: col2im(im2col(np.ones((1, 1, 5, 5)), 3), (1, 1, 5, 5), 3)[0, 0, 1],
    hint="how many windows contain a pixel of that row?",
    solution="Along one axis 1, 2, 3, 2 and 1 windows contain the five places; in the second row each of "
    "these counts twice. So col2im is not the inverse of im2col: it is its transpose, which adds.",
)


def windows_as_rows(x: np.ndarray, kernel_size: int, stride: int, padding: int) -> np.ndarray:
    """Copy the windows of x into the rows of a matrix."""
    k = kernel_size
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    N, C, H, W = padded.shape
    rows, across = (H - k) // stride + 1, (W - k) // stride + 1
    columns = np.empty((N, rows, across, C, k, k), x.dtype)
    for i in range(rows):
        for j in range(across):
            columns[:, i, j] = padded[:, :, i * stride : i * stride + k, j * stride : j * stride + k]
    return columns.reshape(N * rows * across, C * k * k)


exercise(
    "8.7",
    3,
    "Write `im2col(x, kernel_size, stride, padding)` with windows as rows, for any stride and padding.",
    program=windows_as_rows,
    judge=convolution.im2col,
    solution="Padding is done first, once. This version loops over the positions; the chapter's loops over "
    "the weights, which is faster, because a kernel has fewer weights than a picture has positions.",
)


def rows_added(
    columns: np.ndarray, shape: tuple[int, ...], kernel_size: int, stride: int, padding: int
) -> np.ndarray:
    """Add each row where im2col read it."""
    N, C, H, W = shape
    k = kernel_size
    x = np.zeros((N, C, H + 2 * padding, W + 2 * padding), columns.dtype)
    rows, across = (x.shape[2] - k) // stride + 1, (x.shape[3] - k) // stride + 1
    windows = columns.reshape(N, rows, across, C, k, k)
    for i in range(rows):
        for j in range(across):
            x[:, :, i * stride : i * stride + k, j * stride : j * stride + k] += windows[:, i, j]
    return x[:, :, padding : padding + H, padding : padding + W]


exercise(
    "8.8",
    3,
    "Write `col2im(columns, shape, kernel_size, stride, padding)`, its transpose: `columns` as im2col "
    "makes them, and the `shape` (N, C, H, W) of the images.",
    program=rows_added,
    judge=convolution.col2im,
    solution="The same loops, with `+=`. What was added to the padding belongs to no pixel and is cut off.",
)


def count_pairs(t: np.ndarray, p: np.ndarray, classes: int) -> np.ndarray:
    """Count how often each true class was given each answer."""
    matrix = np.zeros((classes, classes), int)
    for true, predicted in zip(t, p, strict=True):
        matrix[true, predicted] += 1
    return matrix


exercise(
    "8.9",
    3,
    "Write `confusion_matrix(t, p, classes)`: in row `a` and column `b` the number of pictures of class "
    "`a` that were read as `b`, from the true classes `t` and the predicted ones `p`.",
    program=count_pairs,
    judge=classification.confusion_matrix,
    solution="`matrix[t, p] += 1` without a loop counts every pair once only; `np.add.at(matrix, (t, p), "
    "1)` counts them all.",
)

exercise(
    "8.10",
    4,
    "How many training pictures does the network need? Train it with the steadier recipe on 50, 100, 200, "
    "400, 800 and 1347 of them, ten seeds each, with the same number of steps. Draw the test accuracy "
    "against the number with `figures.spread_curves`, and guess what 2700 would bring.",
    solution="Means of ten seeds: 78, 87, 92, 94.5, 96.4 and 97.2 % (so 22, 13, 8, 5.5, 3.6 and 2.8 % "
    "errors), with ranges from 11 points for 50 pictures down to 3 for 1347. Each doubling leaves about "
    "six tenths of the errors: for 2700 one would guess 2 %. Such a straight line on logarithmic axes "
    "cannot go on for ever, because some pictures cannot be read; and new pictures by the same 13 writers "
    "are no new writers.",
)
