"""Exercises of chapter 1: what a convolution is."""

from __future__ import annotations

import numpy as np

from neocog.exercises.exercise import exercise
from neocog.exercises.judges import layers as judges
from neocog.layers import Conv2D

exercise(
    "1.1",
    1,
    "What is the shape of the output of Conv2D(3, 8, 5) for 16 colour images of 32 x 32?",
    answer=lambda: Conv2D(3, 8, 5).output_shape((16, 3, 32, 32)),
    hint="a kernel of 5 can start at 32 - 5 + 1 rows; the images stay 16.",
    solution="16 images, 8 filters, and 32 - 5 + 1 = 28 positions each way.",
)

exercise(
    "1.2",
    1,
    "How many parameters does it have?",
    answer=lambda: Conv2D(3, 8, 5).parameter_count,
    hint="think of the bias.",
    solution="Each of the 8 filters has 3 x 5 x 5 weights and a bias: 8 (75 + 1) = 608.",
)

exercise(
    "1.3",
    2,
    "Which padding keeps the size of an image under a 7 x 7 kernel with dilation 2 and stride 1?",
    answer=lambda: Conv2D(1, 1, 7, padding="same", dilation=2).sides[0][0],
    hint="the kernel reaches over 2 (7 - 1) + 1 = 13 pixels.",
    solution="It reaches d (k - 1) / 2 = 6 pixels to each side.",
)


def conv2d(x: np.ndarray, w: np.ndarray, b: np.ndarray, stride: int, padding: int) -> np.ndarray:
    """Add the products of each window with each kernel."""
    N, _, H, W = x.shape
    F, k = w.shape[0], w.shape[2]
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    y = np.zeros((N, F, (H + 2 * padding - k) // stride + 1, (W + 2 * padding - k) // stride + 1), x.dtype)
    for n, f, i, j in np.ndindex(y.shape):
        window = padded[n, :, i * stride : i * stride + k, j * stride : j * stride + k]
        y[n, f, i, j] = b[f] + (w[f] * window).sum()
    return y


exercise(
    "1.4",
    3,
    "Write `conv2d(x, w, b, stride, padding)` from the formula, for `x` of shape (N, C, H, W) and `w` of "
    "shape (F, C, k, k). Begin with one image, one channel, stride 1 and no padding, and check on the way.",
    program=conv2d,
    judge=judges.conv2d,
    solution="One loop for each index that the formula leaves free; the sum over c, p and q is one line.",
)
