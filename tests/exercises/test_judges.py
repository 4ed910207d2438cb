# ruff: noqa: E501 - a table, a wrong program a line
import inspect
import math

import numpy as np
import pytest

from neocog import exercises
from neocog.exercises.exercise import find_exercise
from neocog.exercises.judges import (
    classification,
    convolution,
    dense,
    elementwise,
    gradients,
    normalization,
    optimizers,
    pooling,
)

from . import programs as right

JUDGES = {
    name: judge
    for module in (
        classification,
        convolution,
        dense,
        elementwise,
        gradients,
        normalization,
        optimizers,
        pooling,
    )
    for name, judge in vars(module).items()
    if (getattr(judge, "__doc__", None) or "").startswith("Judge ``")
}


# What students write: the name of the judge, a part of its message, the program.
WRONG = [
    ("cross_correlate", "that of a convolution", lambda x, w: right.cross_correlate(x, w[::-1, ::-1])),
    ("cross_correlate", "w is transposed", lambda x, w: right.cross_correlate(x, w.T)),
    ("cross_correlate", "y has shape (3, 3) instead of (2, 2)", lambda x, w: np.zeros(x.shape)),
    ("conv2d", "the bias is not added", lambda x, w, b, s, p: right.conv2d(x, w, 0 * b, s, p)),
    ("conv2d", "the bias is added once for each channel", lambda x, w, b, s, p: right.conv2d(x, w, b * len(x[0]), s, p)),
    (
        "conv2d",
        "right for one image, one channel, one filter; a wide image; several channels and filters; several images, "
        "but with padding 1 y has shape",
        lambda x, w, b, s, p: right.conv2d(x, w, b, s, 0),
    ),
    ("conv2d", "but with stride 2 y has shape", lambda x, w, b, s, p: right.conv2d(x, w, b, 1, p)),
    ("conv2d", "the kernel is turned by 180", lambda x, w, b, s, p: right.conv2d(x, w[..., ::-1, ::-1], b, s, p)),
    ("conv2d", "instead of float32", lambda x, w, b, s, p: right.conv2d(x, w, b, s, p).astype("float64")),
    ("output_size", "padding 1 the padding is counted on one side", lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1),
    ("output_size", "rounded up", lambda n, k, s, p, d: -((-n - 2 * p + d * (k - 1) + 1) // s) + 1),
    ("output_size", "6.0, a float: divide with //", lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) / s + 1),
    ("output_size", "but with dilation 2 size is 6 instead of 4", lambda n, k, s, p, d: (n + 2 * p - k) // s + 1),
    ("output_size", "the + 1 is missing", lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s),
    ("relu", "absolute value", np.abs),
    ("relu", "exchanged", lambda x: np.minimum(x, 0)),
    ("relu", "y is the derivative", lambda x: (x > 0).astype(x.dtype)),
    ("dense", "the bias is not added", lambda x, w, b: x @ w),
    ("dense", "it raises ValueError", lambda x, w, b: x @ w.T + b),
    ("max_pool", "y is 0: a running maximum", lambda x, size: right.pool(x, size, lambda w: max(0, w.max()))),
    ("max_pool", "the mean of the window", right.average_pool),
    ("max_pool", "a row that no window reaches y has shape", lambda x, size: right.max_pool(np.pad(x, ((0, 0), (0, 0), (0, x.shape[2] % size), (0, 0))), size)),
    ("average_pool", "the sum of the window", lambda x, size: right.pool(x, size, np.sum)),
    ("average_pool", "by the size of a window", lambda x, size: right.pool(x, size, np.sum) / size),
    ("softmax", "axis=1", lambda z: np.exp(z) / np.exp(z).sum(axis=0)),
    ("softmax", "all numbers together", lambda z: np.exp(z) / np.exp(z).sum()),
    ("softmax", "but with images with logits around 0 and 2000 p[0, ", lambda z: np.exp(z - z.max()) / np.exp(z - z.max()).sum(axis=1, keepdims=True)),
    ("softmax", "but with logits around 1000 p[0, ", lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)),
    ("cross_entropy", "take their mean", lambda p, t: -np.log(p[np.arange(len(t)), t]).sum()),
    ("cross_entropy", "the sign is wrong", lambda p, t: np.log(p[np.arange(len(t)), t]).mean()),
    ("cross_entropy", "to the base 2", lambda p, t: -np.log2(p[np.arange(len(t)), t]).mean()),
    ("cross_entropy", "loss is an array of shape (1,) instead of one number", lambda p, t: -np.log(p[np.arange(len(t)), t])),
    ("batch_norm", "divided by N - 1", lambda x, g, b, e: g * (x - x.mean(0)) / np.sqrt(x.var(0, ddof=1) + e) + b),
    ("batch_norm", "belongs under the root", lambda x, g, b, e: g * (x - x.mean(0)) / (x.std(0) + e) + b),
    ("batch_norm", "not of a channel: take axis=0", lambda x, g, b, e: right.batch_norm(x.T, 1, 0, e).T * g + b),
    ("batch_norm", "take its root", lambda x, g, b, e: g * (x - x.mean(0)) / (x.var(0) + e) + b),
    ("batch_norm_running", "divide by N - 1", lambda m, v, x, a: ((1 - a) * m + a * x.mean(0), (1 - a) * v + a * x.var(0))),
    ("batch_norm_running", "exchanged", lambda m, v, x, a: right.batch_norm_running(m, v, x, 1 - a)),
    ("im2col", "the channels come last", lambda x, k, s, p: np.swapaxes(right.im2col(x, k, s, p).reshape(-1, x.shape[1], k * k), 1, 2).reshape(-1, x.shape[1] * k * k)),
    ("im2col", "its axes are in the wrong order", lambda x, k, s, p: right.im2col(x, k, s, p).T),
    ("one_hot", "y[0, ", lambda t, classes: np.eye(classes)[::-1][t]),
    ("one_hot", "but with a class without images y has shape", lambda t, classes: np.eye(max(t) + 1)[t] if len(t) == 4 else np.eye(classes)[t]),
    ("accuracy", "it is a number of images", lambda z, t: (z.argmax(1) == t).sum()),
    ("accuracy", "it is a percentage", lambda z, t: 100 * (z.argmax(1) == t).mean()),
    ("confusion_matrix", "rows and columns are exchanged", lambda t, p, k: right.confusion_matrix(p, t, k)),
    ("confusion_matrix", "however often a pair occurs", lambda t, p, k: np.minimum(right.confusion_matrix(t, p, k), 1)),
    ("he_normal", "it is sqrt(1 / fan_in)", lambda rng, shape: right.he_normal(rng, shape) / math.sqrt(2)),
    ("he_normal", "it is 2 / fan_in, the variance", lambda rng, shape: rng.normal(0, 2 / (shape[0] if len(shape) == 2 else math.prod(shape[1:])), shape)),
    ("he_normal", "without the k k pixels", lambda rng, shape: rng.normal(0, math.sqrt(2 / shape[len(shape) == 4]), shape)),
    ("he_normal", "not normally distributed", lambda rng, shape: rng.uniform(-1, 1, shape) * right.he_normal(rng, shape).std() * math.sqrt(3)),
    ("he_normal", "draw from rng only", lambda rng, shape: right.he_normal(np.random.default_rng(), shape)),
    ("he_normal", "the mean is", lambda rng, shape: np.abs(right.he_normal(rng, shape))),
    ("receptive_field", "the strides are ignored", lambda layers: 1 + sum(k - 1 for k, _ in layers)),
    ("receptive_field", "right for one convolution of 3", lambda layers: sum(k for k, _ in layers)),
    ("receptive_field", "it counts for the layers after it", lambda layers: 1 + sum((k - 1) * math.prod(s for _, s in layers[: i + 1]) for i, (k, _) in enumerate(layers))),
    ("wilson_interval", "Wald's interval", lambda s, n, z=1.96: (s / n - z * math.sqrt(s / n * (1 - s / n) / n), s / n + z * math.sqrt(s / n * (1 - s / n) / n))),
    ("wilson_interval", "but with z = 1 low is", lambda s, n, z=1.96: right.wilson_interval(s, n)),
    ("sigmoid_backward", "it is the output already", lambda dy, y: dy / (1 + np.exp(-y)) * (1 - 1 / (1 + np.exp(-y)))),
    ("sigmoid_backward", "multiply by dy", lambda dy, y: y * (1 - y)),
    ("tanh_backward", "y is not squared", lambda dy, y: dy * (1 - y)),
    ("tanh_backward", "it is the output already", lambda dy, y: dy * (1 - np.tanh(y) ** 2)),
    ("leaky_relu_backward", "where x is negative dx is 0", lambda dy, x, slope: dy * (x > 0)),
    ("leaky_relu_backward", "the sign of x that counts", lambda dy, x, slope: np.where(dy > 0, dy, slope * dy)),
    ("softmax_backward", "it depends on all logits", lambda dy, p: dy * p * (1 - p)),
    ("softmax_backward", "the sum is over all images", lambda dy, p: p * (dy - (dy * p).sum())),
    ("pad_backward", "but with padding 0 dx has shape", lambda dy, p: dy[:, :, p:-p, p:-p]),
    ("pad_backward", "dx has shape (1, 1, 5, 5) instead of (1, 1, 3, 3)", lambda dy, p: dy),
    ("global_average_pool_backward", "divide by their number", lambda dy, x: np.ones_like(x) * dy[:, :, None, None]),
    ("global_average_pool_backward", "by all numbers of x", lambda dy, x: np.ones_like(x) * dy[:, :, None, None] / x.size),
    ("depthwise_conv2d_backward", "turned by 180 degrees", lambda dy, x, w: (right.depthwise_conv2d_backward(dy, x, w[..., ::-1, ::-1])[0], right.depthwise_conv2d_backward(dy, x, w)[1])),
    ("depthwise_conv2d_backward", "but with several channels dw", lambda dy, x, w: (right.depthwise_conv2d_backward(dy, x, w)[0], right.depthwise_conv2d_backward(dy, x, w)[1][::-1].copy())),
    ("residual_backward", "the shortcut passes dy on", lambda dy, d: d),
    ("residual_backward", "is added", lambda dy, d: dy * d),
    ("residual_backward", "it changes its input dy", lambda dy, d: dy.__iadd__(d)),
    ("dropout_backward", "not divided by 1 - p", lambda dy, mask, p: dy * mask),
    ("dropout_backward", "the part that is dropped", lambda dy, mask, p: dy * mask / p),
    ("batch_norm_backward", "for constants: they depend", lambda dy, x, g, e: (g * dy / np.sqrt(x.var(0) + e), *right.batch_norm_backward(dy, x, g, e)[1:])),
    ("batch_norm_backward", "must be that of dy x_hat", lambda dy, x, g, e: (right.batch_norm_backward(dy, x, g, e)[0], (dy * x).sum(0), dy.sum(0))),
    ("batch_norm_backward", "gamma is missing", lambda dy, x, g, e: (right.batch_norm_backward(dy, x, np.ones_like(g), e)[0], *right.batch_norm_backward(dy, x, g, e)[1:])),
    ("layer_norm_backward", "dx takes", lambda dy, x, g, e: (g * dy / np.sqrt(x.var(1, keepdims=True) + e), *right.layer_norm_backward(dy, x, g, e)[1:])),
    ("layer_norm_backward", "dx", lambda dy, x, g, e: right.batch_norm_backward(dy, x, g, e)),
    ("conv2d_backward", "turned by 180 degrees", lambda dy, x, w, s, p: (right.conv2d_backward(dy, x, w[..., ::-1, ::-1], s, p)[0], *right.conv2d_backward(dy, x, w, s, p)[1:])),
    ("conv2d_backward", "db is the mean", lambda dy, x, w, s, p: (*right.conv2d_backward(dy, x, w, s, p)[:2], dy.mean(axis=(0, 2, 3)))),
    ("conv2d_backward", "divided by the number of images", lambda dy, x, w, s, p: tuple(d / len(x) for d in right.conv2d_backward(dy, x, w, s, p))),
    ("dense_backward", "db is the mean", lambda dy, x, w: (dy @ w.T, x.T @ dy, dy.mean(0))),
    ("dense_backward", "dw has shape (2, 3) instead of (3, 2): its axes", lambda dy, x, w: (dy @ w.T, dy.T @ x, dy.sum(0))),
    ("relu_backward", "the sign of dy", lambda dy, x: np.maximum(dy, 0)),
    ("relu_backward", "the slope at 0 is 1", lambda dy, x: dy * (x >= 0)),
    ("max_pool_backward", "each pixel of a tie gets all", lambda dy, x, size: tied(dy, x, size)),
    ("max_pool_backward", "shared by the whole window", right.average_pool_backward),
    ("average_pool_backward", "divide by their number", lambda dy, x, size: size**2 * right.average_pool_backward(dy, x, size)),
    ("average_pool_backward", "not by the number of its pixels", lambda dy, x, size: size * right.average_pool_backward(dy, x, size)),
    ("average_pool_backward", "but with a row that no window reaches dx has shape", lambda dy, x, size: np.kron(dy, np.ones((size, size))) / size**2),
    ("softmax_cross_entropy", "dz is not divided", lambda z, t: (right.softmax_cross_entropy(z, t)[0], right.softmax_cross_entropy(z, t)[1] * len(t))),
    ("softmax_cross_entropy", "take the mean", lambda z, t: (right.softmax_cross_entropy(z, t)[0] * len(t), right.softmax_cross_entropy(z, t)[1])),
    ("col2im", "with +=", lambda c, shape, k, s, p: overwritten(c, shape, k, s, p)),
    ("col2im", "are averaged", lambda c, shape, k, s, p: right.col2im(c, shape, k, s, p) / np.maximum(1, right.col2im(np.ones_like(c), shape, k, s, p))),
    ("col2im", "padding 1 x has shape", lambda c, shape, k, s, p: right.col2im(c, (*shape[:2], shape[2] + 2 * p, shape[3] + 2 * p), k, s, 0)),
    ("numerical_gradient", "error of a one-sided difference", lambda f, x: one_sided(f, x, 1e-5)),
    ("numerical_gradient", "more than rounding explains", lambda f, x: one_sided(f, x, 1e-14)),
    ("numerical_gradient", "gradient is 2 times", lambda f, x: 2 * right.numerical_gradient(f, x)),
    ("complex_step_gradient", "more than rounding explains", right.numerical_gradient),
    ("complex_step_gradient", "complex128 instead of float64", lambda f, x: right.complex_step_gradient(f, x) * (1 + 0j)),
    ("sgd", "w climbs", lambda w, dw, lr: w + lr * dw),
    ("sgd", "it changes its input w", lambda w, dw, lr: w.__isub__(lr * dw)),
    ("sgd", "the change is returned", lambda w, dw, lr: -lr * dw),
    ("momentum", "PyTorch's velocity", lambda w, dw, v, lr, m: (w - lr * (m * v + dw), m * v + dw)),
    ("momentum", "w moves by the old v", lambda w, dw, v, lr, m: (w + v, m * v - lr * dw)),
    ("momentum", "w makes Nesterov's step", lambda w, dw, v, lr, m: (w + m * (m * v - lr * dw) - lr * dw, m * v - lr * dw)),
    ("adam", "w is not corrected", lambda w, dw, m, s, t, lr, a, b, e: right.adam(w, dw, m, s, 10**9, lr, a, b, e)),
    ("adam", "t is 1 in the first step", lambda w, dw, m, s, t, lr, a, b, e: right.adam(w, dw, m, s, t + 1, lr, a, b, e)),
    ("adam", "keep those before it", lambda w, dw, m, s, t, lr, a, b, e: adam_corrected(w, dw, m, s, t, lr, a, b, e)),
    ("weight_decay", "not multiplied by the learning rate", lambda w, dw, lr, d: w - lr * dw - d * w),
    ("weight_decay", "the weights do not decay", lambda w, dw, lr, d: w - lr * dw),
    ("cosine_schedule", "becomes negative", lambda step, steps, lr: lr * math.cos(math.pi * step / steps)),
    ("cosine_schedule", "straight line", lambda step, steps, lr: lr * (1 - step / steps)),
    ("cosine_schedule", "radians", lambda step, steps, lr: lr * (1 + math.cos(180 * step / steps)) / 2),
    ("minibatches", "shuffle them", lambda n, size, rng: [np.arange(n)[k : k + size] for k in range(0, n, size)]),
    ("minibatches", "draw from rng only", lambda n, size, rng: right.minibatches(n, size, np.random.default_rng())),
    ("minibatches", "are left out", lambda n, size, rng: [b for b in right.minibatches(n, size, rng) if len(b) == size]),
    ("minibatches", "draw without replacement", lambda n, size, rng: np.array_split(rng.integers(0, n, n), range(size, n, size))),
    ("minibatches", "has the same order", lambda n, size, rng: right.minibatches(n, size, np.random.default_rng(0))),
    ("minibatches", "come right after their neighbour", lambda n, size, rng: np.split((np.arange(n) + rng.integers(n)) % n, range(size, n, size))),
]  # fmt: skip


def test_batches_may_be_a_tuple():
    """Of one batch, too, which is not taken for the result."""
    assert find_exercise("3.10").judge(lambda *given: tuple(right.minibatches(*given)), 0) == ""


def overwritten(c, shape, k, s, p):
    N, C, H, W = shape
    x = np.zeros((N, C, H + 2 * p, W + 2 * p), c.dtype)
    rows, across = (x.shape[2] - k) // s + 1, (x.shape[3] - k) // s + 1
    for row, (n, i, j) in zip(c, np.ndindex(N, rows, across), strict=True):
        x[n, :, i * s : i * s + k, j * s : j * s + k] = row.reshape(C, k, k)
    return x[:, :, p : p + H, p : p + W]


def tied(dy, x, size):
    dx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(dy.shape):
        window = (n, c, slice(i * size, (i + 1) * size), slice(j * size, (j + 1) * size))
        dx[window] = (x[window] == x[window].max()) * dy[n, c, i, j]
    return dx


def one_sided(f, x, h):
    gradient, before = np.zeros_like(x), f(x)
    for index in np.ndindex(x.shape):
        moved = x.copy()
        moved[index] += h
        gradient[index] = (f(moved) - before) / h
    return gradient


def adam_corrected(w, dw, m, s, t, lr, a, b, e):
    w, m, s = right.adam(w, dw, m, s, t, lr, a, b, e)
    return w, m / (1 - a**t), s / (1 - b**t)


# The judges of one chapter each, by the name of a solution's function.
OTHERS = [
    ("slope", "nudge to both", lambda f, x, h: (f(x + h) - f(x)) / h),
    ("slope", "put 2 * h in brackets", lambda f, x, h: (f(x + h) - f(x - h)) / 2 * h),
    ("subsample", "y is 0.25 times", lambda x, w, b: (of("subsample")(x, w, b) - b[:, None, None]) / 4 + b[:, None, None] / 4),
    ("subsample", "everywhere", lambda x, w, b: of("subsample")(x, w, 0 * b)),
    ("shortcut", "y has shape", lambda x, channels: x[:, :, ::2, ::2]),
    ("shortcut", "y[0, ", lambda x, channels: of("shortcut")(np.roll(x, 1, axis=2), channels)),
    ("shortcut", "but with float32", lambda x, channels: of("shortcut")(x.astype("float64"), channels)),
    ("top_error", "error is", lambda p, t, k: 1 - of("top_error")(p, t, k)),
    ("top_error", "right for k = 1, but with k = 5 (drawn with seed=", lambda p, t, k: of("top_error")(p, t, 1)),
    ("top_error", "but with k = 2", lambda p, t, k: of("top_error")(p, t, k if k in (1, 5) else 3)),
    ("winograd", "takes 6 multiplications", lambda d, g: (sum(d[k] * g[k] for k in range(3)), sum(d[k + 1] * g[k] for k in range(3)))),
    ("winograd", "y1 is", lambda d, g: (of("winograd")(d, g)[0], of("winograd")(d, g)[0])),
    ("offsets", "offsets is float64, and indices are whole numbers", lambda C, H, W, k: 1.0 * of("offsets")(C, H, W, k)),
    ("offsets", "but with a wide image offsets[", lambda C, H, W, k: of("offsets")(C, W, H, k)),
    ("offsets", "but with three channels offsets[", lambda C, H, W, k: np.tile(of("offsets")(1, H, W, k), C)),
    ("fold", "with one filter (drawn with seed=", lambda w, b, g, beta, m, v, e: of("fold")(w, b, g, beta, m, v**2, e)),
    ("fold", "b[0] is", lambda w, b, g, beta, m, v, e: (of("fold")(w, b, g, beta, m, v, e)[0], b + beta - m)),
    ("contributions", "terms has the wrong sign", lambda h, w, b, s, t: tuple(-part for part in of("contributions")(h, w, b, s, t))),
    ("contributions", "rest is", lambda h, w, b, s, t: (of("contributions")(h, w, b, s, t)[0], 0.0)),
    ("contributions", "but with two classes in the middle", lambda h, w, b, s, t: of("contributions")(h, w, b, -1, 0)),
    ("integrated_gradients", "shares is 2 times what it should be", lambda f, x, x0, n: (x - x0) * f(x)),
    ("integrated_gradients", "but with a baseline that is not zero (drawn", lambda f, x, x0, n: of("integrated_gradients")(f, x, 0 * x0, n)),
    ("integrated_gradients", "but with 7 steps (drawn", lambda f, x, x0, n: of("integrated_gradients")(f, x, x0, 50)),
    ("occlusion", "the wrong sign", lambda logit, x, patch: -of("occlusion")(logit, x, patch)),
    ("occlusion", "it changes its input x", lambda logit, x, patch: (x.fill(0), of("occlusion")(logit, x, patch))[1]),
    ("grad_cam", "heat[", lambda maps, gradients: (maps * gradients.mean(axis=(1, 2))[:, None, None]).sum(0)),
    ("grad_cam", "heat is 9 times", lambda maps, gradients: of("grad_cam")(maps, gradients * maps[0].size)),
    ("early_stopping", "may not lie after the end", lambda losses, patience: (int(np.argmin(losses)), of("early_stopping")(losses, patience)[1])),
    ("early_stopping", "an epoch late", lambda losses, patience: of("early_stopping")(losses, patience + 1)),
]  # fmt: skip


def other(name):
    return next(one for one in exercises.list_exercises() if one.function == name)


def of(name):
    return other(name).program


@pytest.mark.parametrize(
    ("name", "message", "program"), OTHERS, ids=[f"{name}: {m}" for name, m, _ in OTHERS]
)
def test_what_is_wrong_is_named_by_the_judges_of_one_chapter(name, message, program):
    for seed in range(3):
        assert message in other(name).judge(program, seed)


def test_every_judge_is_in_one_of_the_tables():
    tried = {name for name, _, _ in WRONG + OTHERS}
    assert {one.function for one in exercises.list_exercises() if one.kind == "code"} <= tried


@pytest.mark.parametrize("name", JUDGES)
@pytest.mark.parametrize("seed", range(3))
def test_a_right_program_is_right(name, seed):
    assert JUDGES[name](getattr(right, name), seed) == ""


@pytest.mark.parametrize(("name", "message", "program"), WRONG, ids=[f"{name}: {m}" for name, m, _ in WRONG])
def test_what_is_wrong_is_named(name, message, program):
    assert message in JUDGES[name](program)


def test_every_judge_is_tried_with_two_wrong_programs():
    tried = [name for name, _, _ in WRONG]
    assert all(tried.count(name) >= 2 for name in JUDGES)
    assert len(JUDGES) == 44


@pytest.mark.parametrize("name", JUDGES)
def test_a_program_that_returns_nothing_or_nonsense(name):
    arguments = len(inspect.signature(getattr(right, name)).parameters)
    names = ", ".join(f"a{k}" for k in range(arguments))
    for result in ("None", "'text'", "[1, 'a']", "{}", "()", "print", "float('nan')"):
        program = eval(f"lambda {names}: {result}")
        assert JUDGES[name](program), result


def test_winograd_in_arrays():
    before = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    kernel = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2
    after = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])
    for program in (
        lambda d, g: tuple(after @ ((kernel @ g) * (before @ d))),
        lambda d, g: tuple(
            after @ (np.append(d[:2] - d[2:], [d[1] + d[2], d[2] - d[1]])[[0, 2, 3, 1]] * (kernel @ g))
        ),
    ):
        assert other("winograd").judge(program, 0) == ""
