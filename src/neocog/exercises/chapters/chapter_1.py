"""Exercises of chapter 1: what a convolution is."""

from __future__ import annotations

import numpy as np

from neocog.exercises.exercise import exercise
from neocog.exercises.judges import convolution
from neocog.layers import Conv2D

PICTURE = np.array([[2.0, 0, 1], [1, 3, 0], [0, 1, 2]])
KERNEL = np.array([[1.0, -1], [0, 2]])


def _response(kernel: np.ndarray, bias: float = 0.0) -> np.ndarray:
    """Return the response of a kernel to the picture of exercises 1.3 and 1.4."""
    layer = Conv2D(1, 1, 2, dtype="float64")
    layer.params["weight"][0, 0], layer.params["bias"][0] = kernel, bias
    return np.asarray(layer(PICTURE[None, None])[0, 0])


exercise(
    "1.1",
    1,
    "What is the shape of the output of Conv2D(3, 8, 5) for 16 colour images of 32 x 32?",
    answer=lambda: Conv2D(3, 8, 5).output_shape((16, 3, 32, 32)),
    hint="four numbers: images, channels, height, width. Where can a kernel of 5 start?",
    solution="16 images, 8 filters, and 32 - 5 + 1 = 28 positions each way.",
)

exercise(
    "1.2",
    1,
    "How many parameters does the layer of 1.1 have?",
    answer=lambda: Conv2D(3, 8, 5).parameter_count,
    hint="count the numbers that one filter has, all of them.",
    solution="Each of the 8 filters has 3 x 5 x 5 weights and a bias: 8 (75 + 1) = 608. The size of the "
    "images does not matter.",
)

exercise(
    "1.3",
    2,
    "By hand: the picture is ((2, 0, 1), (1, 3, 0), (0, 1, 2)), the kernel ((1, -1), (0, 2)), the bias 1. "
    "What is the map? Answer as a tuple of rows.",
    answer=lambda: _response(KERNEL, 1.0),
    hint="the map has 2 x 2 numbers, and each is a sum of four products and the bias.",
    solution="The first number is 1 · 2 - 1 · 0 + 0 · 1 + 2 · 3 + 1 = 9, the next -1 · 1 + 2 · 0 + 1 = 0; in "
    "the second row 1 · 1 - 1 · 3 + 2 · 1 + 1 = 1 and 1 · 3 - 1 · 0 + 2 · 2 + 1 = 8.",
)

exercise(
    "1.4",
    2,
    "And what would the true convolution of mathematics give at the top left, with the same picture and "
    "kernel, and no bias?",
    answer=lambda: float(_response(KERNEL[::-1, ::-1])[0, 0]),
    hint="write down the kernel that then lies on the picture.",
    solution="The kernel turned by 180 degrees is ((2, 0), (-1, 1)): 2 · 2 + 0 · 0 - 1 · 1 + 1 · 3 = 6.",
)

exercise(
    "1.5",
    2,
    "Which padding keeps the size of an image under a 7 x 7 kernel with dilation 2 and stride 1?",
    answer=lambda: Conv2D(1, 1, 7, padding="same", dilation=2).window_sides((1, 1, 9, 9))[0][0],
    hint="set H_out = H in the formula.",
    solution="From H = H + 2P - d (k - 1) - 1 + 1 follows P = d (k - 1) / 2 = 6: the kernel reaches 6 pixels "
    "to each side of its middle.",
)


def _unread_rows() -> int:
    """Return how many rows of a 10 x 10 picture have no influence on a 3 x 3 convolution of stride 4."""
    layer = Conv2D(1, 1, 3, stride=4, bias=False, dtype="float64")
    layer.params["weight"][:] = 1
    pictures = np.eye(10)[:, None, :, None] * np.ones(10)  # in picture u, row u is ink
    return int((layer(pictures).sum(axis=(1, 2, 3)) == 0).sum())


exercise(
    "1.6",
    2,
    "A 3 x 3 convolution with stride 4 and no padding reads a picture of 10 x 10. How many of the picture's "
    "10 rows are never read?",
    answer=_unread_rows,
    hint="first find how many rows the map has, then list the rows that each of them reads.",
    solution="The map has floor(7 / 4) + 1 = 2 rows. They read the rows 0 to 2 and 4 to 6; 3, 7, 8 and 9 are "
    "left out, 3 because the stride is larger than the kernel, the others because of the rounding.",
)

exercise(
    "1.7",
    2,
    "A 3 x 3 convolution from 16 to 32 channels has 16 · 32 · 9 = 4608 weights. Replace it by a depthwise "
    "3 x 3 convolution of the 16 channels (one filter each), followed by a 1 x 1 convolution from 16 to 32. "
    "How many weights do the two have together, without biases?",
    answer=lambda: sum(
        layer.parameter_count
        for layer in (Conv2D(16, 16, 3, groups=16, bias=False), Conv2D(16, 32, 1, bias=False))
    ),
    hint="a filter of the depthwise layer reads one channel only.",
    solution="16 · 9 + 16 · 32 = 144 + 512 = 656, a seventh. The first looks around, the second mixes; the "
    "pair can do less than the full convolution, and often enough. Networks for telephones are made of such "
    "pairs.",
)


def receptive_field(layers: list[tuple[int, int]]) -> int:
    """Return how many pixels high the receptive field is behind the last layer."""
    size, jump = 1, 1
    for kernel, stride in layers:
        size += (kernel - 1) * jump
        jump *= stride
    return size


exercise(
    "1.8",
    3,
    "Write `receptive_field(layers)`, for a list of (kernel size, stride), the first layer first. For "
    "`[(3, 1), (3, 1)]` it must return 5. What is it for three layers (3, 2)? Compare with "
    "`network.summary()`.",
    program=receptive_field,
    judge=convolution.receptive_field,
    solution="A layer's own stride counts only for the layers behind it, so the jump is multiplied after it "
    "was used. For three layers (3, 2): 3, 7, 15. With stride 2 the field doubles with every layer, without "
    "it grows by 2 only.",
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
    "1.9",
    3,
    "Extend the eight lines of this chapter to `conv2d(x, w, b, stride, padding)`, for `x` of shape "
    "(N, C, H, W), `w` of shape (F, C, k, k) and `b` of shape (F,). Begin with stride 1 and no padding, and "
    "check on the way: the message says what is right already.",
    program=conv2d,
    judge=convolution.conv2d,
    solution="One loop for each index that the formula leaves free, n, f, i and j; the sum over c, p and q "
    "is one line. `np.pad` adds the zeros, and `np.zeros(..., x.dtype)` keeps the type of the input.",
)

exercise(
    "1.10",
    4,
    "Let `learn` of this chapter, with `rate=0.1`, find Sobel's kernel from a picture that is ink "
    "everywhere, and from the clean picture of a vertical line. The loss falls to zero each time. Which "
    "kernels does it find, from different seeds, and why not Sobel's? What must a picture have, so that the "
    "kernel is determined?",
    solution="On a picture of ones the response is the sum of the weights, whatever they are one by one. "
    "Sobel's sum to 0, so every kernel whose weights sum to 0 is perfect. Each step changes all nine weights "
    "by the same amount, so what is found is the first random kernel minus its mean. On a vertical line all "
    "rows are alike: only the sums of the kernel's three columns are determined, 4, 0 and -4. In general, "
    "nine windows of the picture, read as rows of nine numbers, must be linearly independent: none of them a "
    "weighted sum of the others. What the data do not determine, the beginning decides; a network's filters "
    "too are only as definite as its pictures force them to be.",
)
