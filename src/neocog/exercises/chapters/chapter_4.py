"""Exercises of chapter 4: the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neocog.exercises.computing import affine, tiny
from neocog.exercises.exercise import exercise
from neocog.exercises.judges import classification, convolution, dense, elementwise, gradients, pooling
from neocog.layers import Conv2D, Dense, Layer, MaxPool2D
from neocog.losses import SoftmaxCrossEntropy


def _backward(layer: Layer, x: Any, dy: Any, weight: Any = None) -> dict[str, np.ndarray]:
    """Return "dx" and the gradients of a layer, of x and dy as nested lists."""
    layer = layer.astype("float64")
    if weight is not None:
        layer.params["weight"][...] = weight
    _, cache = layer.forward(np.array(x, float), training=True)
    dx, gradients = layer.backward(np.array(dy, float), cache)
    return {"dx": dx, **gradients}


exercise(
    "4.1",
    1,
    "`Conv2D(3, 8, 5)` has seen 16 colour images of 32 × 32. What is the shape of the gradient of its "
    "weight?",
    answer=lambda: Conv2D(3, 8, 5).params["weight"].shape,
    hint="what has the same shape as $dw$?",
    solution="That of the weight itself, (filters, channels, 5, 5). How many images there were, and how "
    "large, does not matter: $dw$ is a sum over all of them.",
)

exercise(
    "4.2",
    2,
    "By hand: $u = 2x$, $v = x + 1$, $L = u^2 v$, at $x = 3$. Draw the graph, go backward through it, and "
    "give $dL/dx$.",
    answer=lambda: round(((2 * (3 + 1e-30j)) ** 2 * (3 + 1e-30j + 1)).imag / 1e-30),
    hint="how many paths lead from $x$ to $L$?",
    solution="$u = 6$, $v = 4$, $\\partial L / \\partial u = 2 u v = 48$, $\\partial L / \\partial v = u^2 "
    "= 36$. The path through $u$ gives $48 \\cdot 2$, the one through $v$ gives $36 \\cdot 1$: together "
    "132.",
)

exercise(
    "4.3",
    2,
    "By hand: the logits of one image are (0, log 2, log 5), and class 1 (the middle one) is the true one. "
    "What is $dz$?",
    answer=lambda: SoftmaxCrossEntropy()(np.log([[1.0, 2.0, 5.0]]), np.array([1]))[1][0],
    hint="the probabilities are eighths.",
    solution="$p = (1/8, 2/8, 5/8)$; take 1 from the true class: $(1/8, -6/8, 5/8)$.",
)

exercise(
    "4.4",
    2,
    "Show from $p_{nk} - [k = t_n]$ that each row of the derivative of softmax and cross-entropy adds up "
    "to 0, and say what that means for the logits.",
    solution="$\\sum_k p_{nk} = 1$, and exactly one $k$ is $t_n$: $1 - 1 = 0$. The same number added to "
    "all logits changes no probability, so the loss does not change in that direction, and its slope "
    "there, which is the sum of the row, must be 0.",
)


def softmax_backward(dy: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return dz of ``p = softmax(z)``."""
    dz: np.ndarray = p * (dy - (dy * p).sum(axis=1, keepdims=True))
    return dz


exercise(
    "4.5",
    3,
    "A softmax in the middle of a network gets any `dy`, not only that of a cross-entropy. Derive $dz_k = "
    "\\sum_m dy_m\\, \\partial p_m / \\partial z_k$ and write `softmax_backward(dy, p)` for the "
    "probabilities `p` of shape (N, K).",
    program=softmax_backward,
    judge=classification.softmax_backward,
    solution="$\\partial p_m / \\partial z_k = p_m ([k = m] - p_k)$, so $dz_k = dy_k p_k - p_k \\sum_m "
    "dy_m p_m$. No matrix of derivatives is needed, only one sum a row.",
)

exercise(
    "4.6",
    2,
    "By hand: a dense layer has the weights $w$ = [[1, 2], [0, -1], [3, 1]] and gets $dy$ = (2, -1). What "
    "is $dx$?",
    answer=lambda: _backward(Dense(3, 2), [[0, 0, 0]], [[2, -1]], [[1, 2], [0, -1], [3, 1]])["dx"][0],
    hint="each input reaches both outputs.",
    solution="Each row of $w$ times $dy$: $2 - 2 = 0$, $0 + 1 = 1$, $6 - 1 = 5$.",
)


def dense_backward(dy: np.ndarray, x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return dx, dw, db of ``y = x w + b``."""
    return dy @ w.T, x.T @ dy, dy.sum(axis=0)


exercise(
    "4.7",
    3,
    "Write `dense_backward(dy, x, w)`, which returns `dx, dw, db` of $y = x w + b$ for `x` of shape (N, I) "
    "and `w` of shape (I, K).",
    program=dense_backward,
    judge=dense.dense_backward,
    solution="Look at the shapes: only these products have those of x, w and b.",
)


def relu_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return dx of ``y = max(x, 0)``."""
    return np.where(x > 0, dy, 0)


exercise(
    "4.8",
    3,
    "Write `relu_backward(dy, x)`, which returns `dx`. The derivative at 0 is taken to be 0.",
    program=relu_backward,
    judge=elementwise.relu_backward,
    solution="Where x was positive the layer was the identity; elsewhere it was constant.",
)

exercise(
    "4.9",
    2,
    "By hand: `MaxPool2D(2, stride=1)` sees the picture [[1, 2, 0], [3, 5, 4], [0, 1, 2]] and gets $dy$ = "
    "[[1, -2], [4, 3]]. What is $dx$ at the pixel in the middle?",
    answer=lambda: int(_pooled()[1, 1]),
    hint="which windows does the 5 win?",
    solution="All four windows hold the middle pixel, and it wins them all: $1 - 2 + 4 + 3 = 6$. A program "
    "that writes `=` in place of `+=` returns 3, the last of them.",
)


def _pooled() -> np.ndarray:
    """Return the dx of the pooling to be worked out by hand."""
    picture, dy = [[1, 2, 0], [3, 5, 4], [0, 1, 2]], [[1, -2], [4, 3]]
    dx: np.ndarray = _backward(MaxPool2D(2, 1), [[picture]], [[dy]])["dx"][0, 0]
    return dx


def max_pool_backward(dy: np.ndarray, x: np.ndarray, size: int) -> np.ndarray:
    """Give each dy to the pixel that won its window."""
    dx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(dy.shape):
        window = x[n, c, i * size : (i + 1) * size, j * size : (j + 1) * size]
        p, q = np.unravel_index(window.argmax(), window.shape)
        dx[n, c, i * size + p, j * size + q] += dy[n, c, i, j]
    return dx


exercise(
    "4.10",
    3,
    "Write `max_pool_backward(dy, x, size)` for windows of `size` × `size` pixels that do not overlap; `x` "
    "has the shape (N, C, H, W), and rows and columns that fill no window are left out. On a tie the first "
    "pixel of the window, row by row, gets all.",
    program=max_pool_backward,
    judge=pooling.max_pool_backward,
    solution="`argmax` returns the first of several equal numbers, so ties need no code of their own.",
)


def average_pool_backward(dy: np.ndarray, x: np.ndarray, size: int) -> np.ndarray:
    """Share each dy among the pixels of its window."""
    dx = np.zeros_like(x)
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            window = dx[:, :, i * size : (i + 1) * size, j * size : (j + 1) * size]
            window += dy[:, :, i, j, None, None] / size**2
    return dx


exercise(
    "4.11",
    3,
    "Write `average_pool_backward(dy, x, size)` for the same windows.",
    program=average_pool_backward,
    judge=pooling.average_pool_backward,
    solution="Each pixel of a window has the weight $1/k^2$ in its mean, so each gets $dy / k^2$.",
)

PICTURE = [[1, 2, 0], [0, 1, 3], [2, 0, 1]]
KERNEL = [[2, 1], [0, -1]]
SLOPES = [[1, -1], [2, 0]]


def _convolution() -> dict[str, np.ndarray]:
    """Return the gradients of the convolution to be worked out by hand."""
    return _backward(Conv2D(1, 1, 2, bias=False), [[PICTURE]], [[SLOPES]], KERNEL)


exercise(
    "4.12",
    2,
    "By hand: a convolution without bias sees X = [[1, 2, 0], [0, 1, 3], [2, 0, 1]] and gets dY = [[1, "
    "-1], [2, 0]]. What is dK, the gradient of its 2 × 2 kernel?",
    answer=lambda: _convolution()["weight"][0, 0].astype(int),
    hint="three pixels for each weight, one for every number of dY that is not 0.",
    solution="$dK_{pq} = 1 X_{pq} - 1 X_{p,q+1} + 2 X_{p+1,q}$: $1 - 2 + 0$, $2 - 0 + 2$, $0 - 1 + 4$ and "
    "$1 - 3 + 0$.",
)

exercise(
    "4.13",
    2,
    "The same convolution has the kernel K = [[2, 1], [0, -1]]. What is dX?",
    answer=lambda: _convolution()["dx"][0, 0].astype(int),
    hint="three stamps.",
    solution="$1 K$ at the top left, $-1 K$ one column further, $2 K$ one row lower, added up. A check "
    "without repeating anything: $\\langle X, dX \\rangle = \\langle K, dK \\rangle = \\langle Y, dY "
    "\\rangle = 4$.",
)

exercise(
    "4.14",
    2,
    "A 3 × 3 kernel moves with stride 2 and without padding over a picture of 8 × 8. For how many of the "
    "64 pixels is $dx$ zero, whatever $dy$ and the kernel are?",
    answer=lambda: int((_with_stride() == 0).sum()),
    hint="which rows does the last window reach?",
    solution="The windows start at rows 0, 2 and 4, and the last one ends at row 6. Row 7 and column 7 "
    "have no path to the loss: 8 + 7 = 15 pixels.",
)


def _with_stride() -> np.ndarray:
    """Return the dx of a convolution with stride 2, of ones only."""
    ones = np.ones((1, 1, 3, 3))
    return _backward(Conv2D(1, 1, 3, stride=2), np.ones((1, 1, 8, 8)), ones, ones)["dx"]


def conv2d_backward(
    dy: np.ndarray, x: np.ndarray, w: np.ndarray, stride: int, padding: int
) -> tuple[np.ndarray, ...]:
    """Return dx, dw, db: stamp w on dx, add windows to dw."""
    k = w.shape[2]
    sides = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    padded = np.pad(x, sides)
    dx, dw = np.zeros_like(padded), np.zeros_like(w)
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            window = (..., slice(i * stride, i * stride + k), slice(j * stride, j * stride + k))
            dw += np.einsum("nf,ncpq->fcpq", dy[:, :, i, j], padded[window])
            dx[window] += np.einsum("nf,fcpq->ncpq", dy[:, :, i, j], w)
    H, W = x.shape[2:]
    return dx[:, :, padding : padding + H, padding : padding + W], dw, dy.sum(axis=(0, 2, 3))


exercise(
    "4.15",
    3,
    "Write `conv2d_backward(dy, x, w, stride, padding)`, which returns `dx, dw, db`; `w` has the shape (F, "
    "C, k, k). Begin with the program of this chapter, and check on the way.",
    program=conv2d_backward,
    judge=convolution.conv2d_backward,
    solution="The windows lie `stride` pixels apart on the padded picture; at the end the border is cut "
    "off dx.",
)


def depthwise_conv2d_backward(dy: np.ndarray, x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return dx and dw, every channel for itself."""
    k = w.shape[2]
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i, j in np.ndindex(dy.shape[2:]):
        here = dy[:, :, i, j, None, None]
        dw[:, 0] += (here * x[:, :, i : i + k, j : j + k]).sum(axis=0)
        dx[:, :, i : i + k, j : j + k] += here * w[:, 0]
    return dx, dw


exercise(
    "4.16",
    3,
    "In a depthwise convolution every channel has a kernel of its own and becomes one map: `w` has the "
    "shape (C, 1, k, k). Write `depthwise_conv2d_backward(dy, x, w)`, which returns `dx, dw`, for stride 1 "
    "and no padding.",
    program=depthwise_conv2d_backward,
    judge=convolution.depthwise_conv2d_backward,
    solution="The sums over $c$ and over $f$ are gone: as many groups as channels. What is left is a "
    "product for each channel.",
)

exercise(
    "4.17",
    2,
    "By hand: measure the derivative of $w^3$ at $w = 1$ with a step of 0.1, by central differences and by "
    "the complex step. Which two numbers do you get?",
    answer=lambda: (round((1.1**3 - 0.9**3) / 0.2, 9), round(((1 + 0.1j) ** 3).imag / 0.1, 9)),
    hint="the formulas of both hold an error of a sixth of the third derivative.",
    solution="$L''' = 6$, so the errors are $\\pm \\tfrac16 \\cdot 0.01 \\cdot 6 = \\pm 0.01$: equally "
    "large, with opposite signs. The complex step wins only because its step can be made as small as you "
    "like.",
)


def complex_step_gradient(f: Callable[[np.ndarray], Any], x: np.ndarray) -> np.ndarray:
    """Return the derivative of f(x) with respect to every entry of x."""
    gradient, h = np.zeros(x.shape), 1e-30
    for index in np.ndindex(x.shape):
        moved = x.astype(complex)
        moved[index] += 1j * h
        gradient[index] = np.imag(f(moved)) / h
    return gradient


exercise(
    "4.18",
    3,
    "Write `complex_step_gradient(f, x)`: the derivative of `f(x)`, a number, with respect to every entry "
    "of the array `x`, exact to rounding.",
    program=complex_step_gradient,
    judge=gradients.complex_step_gradient,
    solution="`moved` must be a new array each time, or the imaginary parts of earlier entries stay in it.",
)

exercise(
    "4.19",
    2,
    "The adjoint identity needs a linear (or affine) layer. Take TinyCNN without its ReLU. Is it an affine "
    "function of the image?",
    answer=lambda: affine(tiny(MaxPool2D(2))),
    hint="is a maximum of sums the sum of maxima?",
    solution="Max pooling is not linear: max(a + b, c + d) is not max(a, c) + max(b, d). With average "
    "pooling in its place the network would be affine, since convolution, mean and dense layer are.",
)

exercise(
    "4.20",
    4,
    "Train TinyCNN with your own functions only: the loop of this chapter with `conv2d_backward`, "
    "`relu_backward`, `max_pool_backward`, `dense_backward` and `softmax_cross_entropy` of your own, and "
    "the descent of chapter 3. Compare its loss with that of `neocog.fit`, epoch by epoch, from the same "
    "weights and with the same batches. Then plant a bug that no shape gives away, and see how much the "
    "training suffers.",
    solution="From the same weights and batches the two losses agree to about the last digit, step after "
    "step: both add up the same products. The planted bug is the frightening part: most bugs leave a "
    "network that still learns something, and no error message ever appears. Only the check finds them.",
)
