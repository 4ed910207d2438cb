"""Judge forward and backward passes of layers.

A forward pass is compared with the formula, as the ``reference`` kernels compute it. A backward pass is
compared with the derivative of that formula, measured by a complex step: for each number of an input,
``Im sum(dy f(x + ih)) / h``. No backward pass of neocog takes part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from neocog import kernels
from neocog.exercises.judges.comparing import Case, judge

Array = np.ndarray
STEP = 1e-30


def complex_step(function: Callable[..., Any], inputs: tuple[Array, ...], dy: Any) -> tuple[Array, ...]:
    """Return ``dL/dx`` of every input for ``L = sum(dy function(*inputs))``, in float64."""
    gradients = []
    for k, x in enumerate(inputs):
        gradient = np.empty(x.shape)
        for index in np.ndindex(x.shape):
            moved = [np.asarray(each, np.complex128) for each in inputs]
            moved[k] = moved[k].copy()
            moved[k][index] += 1j * STEP
            gradient[index] = np.sum(dy * function(*moved)).imag / STEP
        gradients.append(gradient)
    return tuple(gradients)


def _convolve(x: Array, w: Array, b: Array, stride: int, padding: int) -> Array:
    with kernels.use_kernels("reference"):
        return np.asarray(kernels.conv2d(x, w, b, (stride, stride), ((padding, padding), (padding, padding))))


def _convolutions() -> Iterator[tuple[str, tuple[Array, Array, Array], int, int, Any]]:
    """Yield label, (x, w, b), stride, padding and dtype, from the simplest on."""
    rng = np.random.default_rng(0)
    for label, shape, filters, k, stride, padding, dtype in (
        ("one image, one channel, one filter", (1, 1, 4, 4), 1, 2, 1, 0, np.float64),
        ("a wide image", (1, 1, 4, 6), 1, 3, 1, 0, np.float64),
        ("several channels and filters", (1, 2, 5, 4), 3, 2, 1, 0, np.float64),
        ("several images", (3, 2, 4, 5), 2, 3, 1, 0, np.float64),
        ("padding 1", (2, 2, 4, 5), 3, 3, 1, 1, np.float64),
        ("stride 2", (2, 2, 5, 7), 3, 3, 2, 0, np.float64),
        ("stride 2 that leaves a row over", (2, 1, 6, 6), 2, 3, 2, 0, np.float64),
        ("stride 2, padding 1", (2, 2, 6, 5), 3, 3, 2, 1, np.float64),
        ("float32", (2, 2, 5, 5), 3, 3, 1, 1, np.float32),
    ):
        x = rng.normal(size=shape).astype(dtype)
        w = rng.normal(size=(filters, shape[1], k, k)).astype(dtype)
        b = rng.normal(size=filters).astype(dtype)
        yield label, (x, w, b), stride, padding, dtype


def _tolerance(dtype: Any) -> float:
    return 1e-4 if dtype == np.float32 else 1e-9


def conv2d(program: Callable[..., Any]) -> str:
    """Judge ``conv2d(x, w, b, stride, padding) -> y``."""
    cases = [
        Case(label, (*arrays, s, p), (_convolve(*arrays, s, p).astype(dtype),), _tolerance(dtype))
        for label, arrays, s, p, dtype in _convolutions()
    ]
    return judge(program, cases, ("y",), ("nfij",))


def conv2d_backward(program: Callable[..., Any]) -> str:
    """Judge ``conv2d_backward(dy, x, w, stride, padding) -> (dx, dw, db)``."""
    cases = []
    for label, (x, w, b), s, p, dtype in _convolutions():
        dy = np.random.default_rng(1).normal(size=_convolve(x, w, b, s, p).shape).astype(dtype)

        def forward(x: Array, w: Array, b: Array, s: int = s, p: int = p) -> Array:
            return _convolve(x, w, b, s, p)

        expected = tuple(d.astype(dtype) for d in complex_step(forward, (x, w, b), dy))
        cases.append(Case(label, (dy, x, w, s, p), expected, _tolerance(dtype)))
    return judge(program, cases, ("dx", "dw", "db"), ("ncuv", "fcpq", "f"))


def dense_backward(program: Callable[..., Any]) -> str:
    """Judge ``dense_backward(dy, x, w) -> (dx, dw, db)`` for ``y = x w + b``, w of shape (in, out)."""
    rng, cases = np.random.default_rng(0), []
    for label, n, i, o in (("one image", 1, 3, 2), ("several images", 4, 3, 2), ("a square w", 2, 3, 3)):
        x, w, b, dy = (rng.normal(size=shape) for shape in ((n, i), (i, o), (o,), (n, o)))
        expected = complex_step(lambda x, w, b: x @ w + b, (x, w, b), dy)
        cases.append(Case(label, (dy, x, w), expected))
    return judge(program, cases, ("dx", "dw", "db"), ("ni", "ik", "k"))


def relu_backward(program: Callable[..., Any]) -> str:
    """Judge ``relu_backward(dy, x) -> dx``, whose slope at 0 is 0."""
    rng, cases = np.random.default_rng(0), []
    for label, shape in (("a row", (1, 6)), ("maps", (2, 3, 4, 4))):
        x, dy = rng.normal(size=shape), rng.normal(size=shape)
        cases.append(Case(label, (dy, x), complex_step(lambda x: np.where(x.real > 0, x, 0), (x,), dy)))
    zero = np.zeros((1, 3))
    cases.append(Case("x = 0", (np.ones((1, 3)), zero), (zero,)))
    return judge(program, cases, ("dx",), ("ncij",))


def max_pool_backward(program: Callable[..., Any]) -> str:
    """Judge ``max_pool_backward(dy, x, size) -> dx``; on a tie the first pixel, row by row, gets all."""

    def largest(windows: Array) -> Array:
        first = windows.real.argmax(axis=-1, keepdims=True)
        return np.asarray(np.take_along_axis(windows, first, axis=-1)[..., 0])

    first = np.array([[[[3.0, 0], [0, 0]]]])
    tie = Case("a tie", (np.full((1, 1, 1, 1), 3.0), np.zeros((1, 1, 2, 2)), 2), (first,))
    return judge(program, [*_poolings(largest), tie], ("dx",), ("ncuv",))


def average_pool_backward(program: Callable[..., Any]) -> str:
    """Judge ``average_pool_backward(dy, x, size) -> dx``."""
    return judge(program, _poolings(lambda windows: windows.mean(axis=-1)), ("dx",), ("ncuv",))


def _poolings(pool: Callable[[Array], Array]) -> list[Case]:
    """Return cases of a pooling, which makes one number of each window; no two pixels are equal."""
    rng, cases = np.random.default_rng(0), []
    for label, shape, size in (
        ("one map", (1, 1, 4, 4), 2),
        ("several maps", (2, 3, 4, 6), 2),
        ("windows of 3 x 3", (1, 2, 6, 6), 3),
        ("a row that no window reaches", (1, 1, 5, 4), 2),
    ):
        x = rng.permutation(int(np.prod(shape))).reshape(shape).astype(float)
        dy = rng.normal(size=(*shape[:2], shape[2] // size, shape[3] // size))

        def forward(x: Array, size: int = size) -> Array:
            return pool(_windows(x, size))

        cases.append(Case(label, (dy, x, size), complex_step(forward, (x,), dy)))
    return cases


def _windows(x: Array, size: int) -> Array:
    """Cut maps into windows that do not overlap: (N, C, H/size, W/size, size size)."""
    N, C, H, W = x.shape
    rows, columns = H // size, W // size
    cut = x[:, :, : rows * size, : columns * size].reshape(N, C, rows, size, columns, size)
    return np.asarray(cut.transpose(0, 1, 2, 4, 3, 5).reshape(N, C, rows, columns, size * size))


def batch_norm_backward(program: Callable[..., Any]) -> str:
    """Judge ``batch_norm_backward(dy, x, gamma, eps) -> (dx, dgamma, dbeta)`` over x of shape (N, C)."""
    rng, cases = np.random.default_rng(0), []
    for label, shape, eps in (
        ("one channel", (4, 1), 1e-5),
        ("several channels", (5, 3), 1e-5),
        ("a large eps", (5, 2), 0.5),
    ):
        x, dy = rng.normal(size=shape), rng.normal(size=shape)
        gamma, beta = rng.normal(size=shape[1]), rng.normal(size=shape[1])

        def forward(x: Array, gamma: Array, beta: Array, eps: float = eps) -> Array:
            centred = x - x.mean(axis=0)
            y = gamma * centred / np.sqrt((centred * centred).mean(axis=0) + eps) + beta
            return np.asarray(y)

        cases.append(Case(label, (dy, x, gamma, eps), complex_step(forward, (x, gamma, beta), dy)))
    return judge(program, cases, ("dx", "dgamma", "dbeta"), ("nc", "c", "c"))


def softmax_cross_entropy(program: Callable[..., Any]) -> str:
    """Judge ``softmax_cross_entropy(z, t) -> (loss, dz)``: the mean over the images, and its derivative."""

    def loss(z: Array, t: Array) -> Any:
        shifted = z - z.real.max(axis=1, keepdims=True)
        return (np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(t)), t]).mean()

    rng, cases = np.random.default_rng(0), []
    for label, n, classes, scale in (
        ("one image", 1, 3, 1.0),
        ("several images", 4, 3, 1.0),
        ("logits around 1000", 2, 4, 1000.0),
    ):
        z, t = rng.normal(size=(n, classes)) * scale, rng.integers(0, classes, n)

        def with_labels(z: Array, t: Array = t) -> Any:
            return loss(z, t)

        (dz,) = complex_step(with_labels, (z,), 1.0)
        cases.append(Case(label, (z, t), (np.asarray(loss(z, t)), dz)))
    return judge(program, cases, ("the loss", "dz"), ("", "nk"))
