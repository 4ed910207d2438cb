"""Exercises of chapter 4: the backward pass."""

from __future__ import annotations

import numpy as np

from neocog.exercises.computing import affine, tiny
from neocog.exercises.exercise import exercise
from neocog.exercises.judges import backward as judges
from neocog.layers import AvgPool2D, MaxPool2D

exercise(
    "4.1",
    2,
    "Is TinyCNN without its ReLU, with max pooling, an affine function of the image?",
    answer=lambda: affine(tiny(MaxPool2D(2))),
    hint="is a maximum of sums the sum of maxima?",
    solution="Max pooling is not linear: max(a + b, c + d) is not max(a, c) + max(b, d).",
)

exercise(
    "4.2",
    1,
    "And with average pooling in its place?",
    answer=lambda: affine(tiny(AvgPool2D(2))),
    hint="which of the remaining layers is not affine?",
    solution="Convolution, mean and dense layer are affine, and so is whatever is made of them.",
)


def dense_backward(dy: np.ndarray, x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return dx, dw, db of ``y = x w + b``."""
    return dy @ w.T, x.T @ dy, dy.sum(axis=0)


exercise(
    "4.3",
    3,
    "Write `dense_backward(dy, x, w)`, which returns `dx, dw, db` of $y = x w + b$ for `x` of shape (N, I) "
    "and `w` of shape (I, K).",
    program=dense_backward,
    judge=judges.dense_backward,
    solution="Look at the shapes: only these products have those of x, w and b.",
)


def relu_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return dx of ``y = max(x, 0)``."""
    return np.where(x > 0, dy, 0)


exercise(
    "4.4",
    3,
    "Write `relu_backward(dy, x)`, which returns `dx`. The derivative at 0 is taken to be 0.",
    program=relu_backward,
    judge=judges.relu_backward,
    solution="Where x was positive the layer was the identity; elsewhere it was constant.",
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
    "4.5",
    3,
    "Write `average_pool_backward(dy, x, size)` for windows of `size` × `size` pixels that do not overlap; "
    "`x` has the shape (N, C, H, W), and rows and columns that fill no window are left out.",
    program=average_pool_backward,
    judge=judges.average_pool_backward,
    solution="Each pixel of a window has the weight $1/k^2$ in its mean, so each gets $dy / k^2$.",
)


def max_pool_backward(dy: np.ndarray, x: np.ndarray, size: int) -> np.ndarray:
    """Give each dy to the pixel that won its window."""
    dx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(dy.shape):
        window = x[n, c, i * size : (i + 1) * size, j * size : (j + 1) * size]
        p, q = np.unravel_index(window.argmax(), window.shape)
        dx[n, c, i * size + p, j * size + q] += dy[n, c, i, j]
    return dx


exercise(
    "4.6",
    3,
    "Write `max_pool_backward(dy, x, size)`. On a tie the first pixel of the window, row by row, gets all.",
    program=max_pool_backward,
    judge=judges.max_pool_backward,
    solution="`argmax` returns the first of several equal numbers, so ties need no code of their own.",
)


def softmax_cross_entropy(z: np.ndarray, t: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean loss and its derivative ``(p - [k = t]) / N``."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    shifted = z - z.max(axis=1, keepdims=True)
    loss = np.mean(np.log(e.sum(axis=1)) - shifted[np.arange(len(t)), t])
    p[np.arange(len(t)), t] -= 1
    return loss, p / len(t)


exercise(
    "4.7",
    3,
    "Write `softmax_cross_entropy(z, t)`, which returns the mean loss over the images and its derivative "
    "`dz`; `z` has the shape (N, K), `t` holds the N true classes. Logits may be around 1000.",
    program=softmax_cross_entropy,
    judge=judges.softmax_cross_entropy,
    solution="Subtracting the largest logit changes no probability and keeps every exponential at most 1.",
)


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
    "4.8",
    3,
    "Write `conv2d_backward(dy, x, w, stride, padding)`, which returns `dx, dw, db`; begin with stride 1 and "
    "no padding, and check on the way.",
    program=conv2d_backward,
    judge=judges.conv2d_backward,
    solution="Forward, position (i, j) reads a window and multiplies it by w. Backward, the same position "
    "adds dy times the window to dw, and stamps dy times w on the window in dx.",
)


def batch_norm_backward(
    dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, eps: float
) -> tuple[np.ndarray, ...]:
    """Return dx, dgamma, dbeta of ``y = gamma x_hat + beta``."""
    centred = x - x.mean(axis=0)
    s = np.sqrt((centred**2).mean(axis=0) + eps)
    x_hat = centred / s
    dx = gamma / s * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0))
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


exercise(
    "4.9",
    3,
    "Write `batch_norm_backward(dy, x, gamma, eps)`, which returns `dx, dgamma, dbeta` for `x` of shape (N, "
    "C): each channel is normalised over the batch, with the variance divided by N.",
    program=batch_norm_backward,
    judge=judges.batch_norm_backward,
    solution="The mean and the variance depend on every x. What a shift or a stretch of the batch would do, "
    "the layer undoes: so both are taken out of dy.",
)

exercise(
    "4.10",
    2,
    "Show from $p_{nk} - [k = t_n]$ that each row of the derivative of softmax and cross-entropy adds up to "
    "0, and say what that means.",
    solution="$\\sum_k p_{nk} = 1$, and exactly one $k$ is $t_n$: $1 - 1 = 0$. What one logit gains the "
    "others lose: the same number added to all logits changes no probability, so the loss cannot depend on "
    "it.",
)
