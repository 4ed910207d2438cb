"""Judge forward passes, and what is counted about a network: compare with the formula."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from neocog.exercises.judges import formulas
from neocog.exercises.judges.comparing import Array, Case, judge
from neocog.exercises.judges.drawing import Draw, draws

IMAGES = "x ({0}, {1}, {2}, {3})"
CONVOLUTIONS: dict[str, tuple[int, ...]] = {  # N, C, H, W, F, k, stride, padding
    "one image, one channel, one filter": (1, 1, 4, 4, 1, 2, 1, 0),
    "a wide image": (1, 1, 4, 6, 1, 3, 1, 0),
    "several channels and filters": (1, 2, 5, 4, 3, 2, 1, 0),
    "several images": (3, 2, 4, 5, 2, 3, 1, 0),
    "padding 1": (2, 2, 4, 5, 3, 3, 1, 1),
    "stride 2": (2, 2, 5, 7, 3, 3, 2, 0),
    "stride 2 that leaves a row over": (2, 1, 6, 6, 2, 3, 2, 0),
    "stride 2, padding 1": (2, 2, 6, 5, 3, 3, 2, 1),
    "float32": (2, 2, 5, 5, 3, 3, 1, 1),
}
POOLINGS: dict[str, tuple[int, ...]] = {  # N, C, H, W, size
    "one map": (1, 1, 4, 4, 2),
    "several maps": (2, 3, 4, 6, 2),
    "windows of 3 x 3": (1, 2, 6, 6, 3),
    "a row that no window reaches": (1, 1, 5, 4, 2),
    "float32": (2, 2, 4, 5, 2),
}
ROWS = {
    "one image": (1, 3),
    "several images": (4, 3),
    "logits around 1000": (2, 4),
    "images with logits around 0 and 2000": (2, 3),
    "float32": (3, 4),
}


def convolutions(seed: int, count: int = 6) -> Iterator[tuple[Draw, Array, Array, Array, int, int]]:
    """Yield draw, x, w, b, stride and padding, from the simplest on."""

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        k, stride, padding = rng.integers(1, 5), rng.integers(1, 4), rng.integers(0, 3)
        low = max(1, int(k - 2 * padding))
        H, W = rng.integers(low, low + 5, 2)
        return rng.integers(1, 4), rng.integers(1, 4), H, W, rng.integers(1, 4), k, stride, padding

    label = f"{IMAGES}, {{4}} filters of {{5}} x {{5}}, stride {{6}}, padding {{7}}"
    for draw in draws(seed, CONVOLUTIONS, sizes, label, count):
        N, C, H, W, F, k, stride, padding = draw.sizes
        yield draw, draw.normal(N, C, H, W), draw.normal(F, C, k, k), draw.normal(F), stride, padding


def poolings(seed: int, count: int = 6) -> Iterator[tuple[Draw, Array, int]]:
    """Yield draw, x of which no two pixels are equal, and the size of the windows."""

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        size = rng.integers(1, 4)
        H, W = rng.integers(size, size + 6, 2)
        return rng.integers(1, 4), rng.integers(1, 4), H, W, size

    for draw in draws(seed, POOLINGS, sizes, f"{IMAGES}, windows of {{4}} x {{4}}", count):
        *shape, size = draw.sizes
        yield draw, draw.distinct(*shape), size


@judge("cross_correlate(x, w) -> y[ij]")
def cross_correlate(seed: int) -> Iterator[Case]:
    """Judge ``cross_correlate(x, w) -> y``: x (H, W), w (k, k) -> (H - k + 1, W - k + 1)."""
    simple = {
        "a 3 x 3 image and a 2 x 2 kernel": (3, 3, 2),
        "a wide image": (4, 6, 3),
        "a kernel of one number": (3, 2, 1),
        "a kernel as large as the image": (3, 3, 3),
    }

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        k = rng.integers(1, 5)
        return (*rng.integers(k, k + 6, 2), k)

    for draw in draws(seed, simple, sizes, "x ({0}, {1}), w ({2}, {2})"):
        H, W, k = draw.sizes
        x, w = draw.normal(H, W), draw.normal(k, k)

        def correlated(w: Array, x: Array = x) -> Array:
            return np.asarray(formulas.convolve(x[None, None], w[None, None], None)[0, 0])

        mistakes = {
            "y is that of a convolution with the kernel turned by 180 degrees: do not turn w": correlated(
                w[::-1, ::-1]
            ),
            "w is transposed: p counts its rows, as i counts those of x": correlated(w.T),
        }
        yield draw.case((x, w), correlated(w), mistakes=mistakes)


@judge("conv2d(x, w, b, stride, padding) -> y[nfij]")
def conv2d(seed: int) -> Iterator[Case]:
    """Judge ``conv2d(x, w, b, stride, padding) -> y``: x (N, C, H, W), w (F, C, k, k), b (F,)."""
    for draw, x, w, b, stride, padding in convolutions(seed):
        without = formulas.convolve(x, w, None, stride, padding)
        mistakes = {
            "the bias is not added": without,
            "the kernel is turned by 180 degrees": formulas.convolve(
                x, w[..., ::-1, ::-1], b, stride, padding
            ),
            "the kernel is transposed": formulas.convolve(x, np.swapaxes(w, 2, 3), b, stride, padding),
            "the bias is added once for each channel": without + x.shape[1] * b[:, None, None],
            "the bias is added once for each product": without + w[0].size * b[:, None, None],
        }
        yield draw.case((x, w, b, stride, padding), without + b[:, None, None], mistakes=mistakes)


@judge("output_size(n, k, stride, padding, dilation) -> size[]")
def output_size(seed: int) -> Iterator[Case]:
    """Judge ``output_size(n, k, stride, padding, dilation) -> int``."""
    simple = {
        "stride 1, no padding": (8, 3, 1, 0, 1),
        "padding 1": (8, 3, 1, 1, 1),
        "stride 2": (9, 3, 2, 0, 1),
        "stride 2 that leaves a pixel over": (8, 3, 2, 0, 1),
        "dilation 2": (8, 3, 1, 0, 2),
        "stride 2, padding 3, dilation 2": (32, 5, 2, 3, 2),
    }

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        k, padding, dilation = rng.integers(1, 6), rng.integers(0, 4), rng.integers(1, 4)
        low = max(1, int(dilation * (k - 1) + 1 - 2 * padding))
        return rng.integers(low, low + 40), k, rng.integers(1, 5), padding, dilation

    for draw in draws(seed, simple, sizes, "n = {0}, k = {1}, stride {2}, padding {3}, dilation {4}", 20):
        n, k, stride, padding, dilation = draw.sizes
        room = n + 2 * padding - dilation * (k - 1) - 1
        mistakes = {
            "the size is rounded up: a window must lie in the padded image, so round down": -(-room // stride)
            + 1,
            "the padding is counted on one side only": (room - padding) // stride + 1,
            "1 is added before the division: the first window comes on top of the steps": (room + 1)
            // stride,
            "the + 1 is missing: the first window comes on top of the steps": room // stride,
        }
        yield draw.case(draw.sizes, room // stride + 1, mistakes=mistakes)


@judge("relu(x) -> y[ncij]")
def relu(seed: int) -> Iterator[Case]:
    """Judge ``relu(x) -> y`` of any shape."""
    for draw in draws(
        seed, {"a row": (1, 6), "maps": (2, 3, 4, 4), "float32": (3, 5)}, _shape, "a drawn shape", 4
    ):
        x = draw.normal(*draw.sizes)
        mistakes = {
            "y is the absolute value: negative numbers must become 0": np.abs(x),
            "positive and negative numbers are exchanged": np.minimum(x, 0),
            "y is the derivative, 1 for positive numbers: return the numbers themselves": (x > 0).astype(
                x.dtype
            ),
        }
        yield draw.case((x,), np.maximum(x, 0), mistakes=mistakes)


def _shape(rng: np.random.Generator) -> tuple[Any, ...]:
    return tuple(rng.integers(1, 6, rng.integers(1, 5)))


@judge("dense(x, w, b) -> y[nk]")
def dense(seed: int) -> Iterator[Case]:
    """Judge ``dense(x, w, b) -> y``: x (N, I), w (I, K), b (K,) -> (N, K)."""
    for draw, x, w, b in dense_arrays(seed):
        mistakes: dict[str, Any] = {"the bias is not added": x @ w}
        if w.shape[0] == w.shape[1]:
            mistakes["w is transposed: its rows belong to the inputs"] = x @ w.T + b
        yield draw.case((x, w, b), x @ w + b, mistakes=mistakes)


def dense_arrays(seed: int) -> Iterator[tuple[Draw, Array, Array, Array]]:
    """Yield draw, x (N, I), w (I, K) and b (K,)."""
    simple = {
        "one image": (1, 3, 2),
        "several images": (4, 3, 2),
        "a square w": (2, 3, 3),
        "float32": (3, 4, 2),
    }
    label = "{0} images, {1} inputs, {2} outputs"
    for draw in draws(seed, simple, lambda rng: tuple(rng.integers(1, 7, 3)), label):
        n, i, o = draw.sizes
        yield draw, draw.normal(n, i), draw.normal(i, o), draw.normal(o)


@judge("max_pool(x, size) -> y[ncij]")
def max_pool(seed: int) -> Iterator[Case]:
    """Judge ``max_pool(x, size) -> y`` with windows that do not overlap; rows left over are left out."""
    for draw, x, size in poolings(seed):
        cut = formulas.windows(x, size)
        mistakes = {"y is the mean of the window": cut.mean(axis=-1), "y is the minimum": cut.min(axis=-1)}
        yield draw.case((x, size), cut.max(axis=-1), mistakes=mistakes)
        if draw.label == "one map":
            negative = -1 - np.abs(x)
            zero = "y is 0: a running maximum must not start at 0"
            cut = formulas.windows(negative, size)
            largest = cut.max(axis=-1)
            yield Case("negative numbers only", (negative, size), (largest,), mistakes={zero: (0 * largest,)})


@judge("average_pool(x, size) -> y[ncij]")
def average_pool(seed: int) -> Iterator[Case]:
    """Judge ``average_pool(x, size) -> y`` with windows that do not overlap; rows left over are left out."""
    for draw, x, size in poolings(seed):
        cut = formulas.windows(x, size)
        mistakes = {
            "y is the sum of the window: divide by the number of its pixels": cut.sum(axis=-1),
            "the sum is divided by the size of a window, not by the number of its pixels": cut.sum(axis=-1)
            / size,
            "y is the maximum of the window": cut.max(axis=-1),
        }
        yield draw.case((x, size), cut.mean(axis=-1), mistakes=mistakes)


def logits(seed: int, count: int = 6) -> Iterator[tuple[Draw, Array, Array]]:
    """Yield draw, logits (N, K) and classes (N,)."""
    label = "{0} images, {1} classes"
    for draw in draws(seed, ROWS, lambda rng: (rng.integers(1, 6), rng.integers(2, 6)), label, count):
        z = draw.normal(*draw.sizes) * draw.dtype(1000 if "1000" in draw.label else 1)
        if "2000" in draw.label:  # where it is not enough to subtract the largest logit of all images
            z[1] += 2000
        yield draw, z, draw.rng.integers(0, z.shape[1], len(z))


@judge("softmax(z) -> p[nk]")
def softmax(seed: int) -> Iterator[Case]:
    """Judge ``softmax(z) -> p``: logits (N, K), around 1000 too, to probabilities of each row."""
    for draw, z, _ in logits(seed):
        p, z = formulas.softmax(z.astype(float)), z
        small = z - z.max(axis=1, keepdims=True)
        mistakes = {
            "the columns add up to 1, not the rows: sum over the classes, axis=1": formulas.softmax(
                z, axis=0
            ),
            "all numbers together add up to 1: sum over each image's classes, axis=1, keepdims=True": np.exp(
                z - z.max()
            )
            / np.exp(z - z.max()).sum(),
            "p is the logarithm of the probabilities": small
            - np.log(np.exp(small).sum(axis=1, keepdims=True)),
        }
        yield draw.case((z,), p, mistakes=mistakes)


@judge("cross_entropy(p, t) -> loss[]")
def cross_entropy(seed: int) -> Iterator[Case]:
    """Judge ``cross_entropy(p, t) -> float``: the mean of ``-log p[n, t[n]]``; p (N, K), classes t (N,)."""
    simple = {"one image": (1, 3), "several images": (4, 3)}
    label = "{0} images, {1} classes"
    for draw in draws(seed, simple, lambda rng: (rng.integers(1, 6), rng.integers(2, 6)), label):
        n, classes = draw.sizes
        p = formulas.softmax(draw.normal(n, classes))
        t = draw.rng.integers(0, classes, n)
        picked = p[np.arange(n), t].astype(float)
        loss = -np.log(picked)
        mistakes = {
            "the losses are added up: take their mean over the images": loss.sum(),
            "the sign is wrong: the logarithm of a probability is negative, a loss is not": -loss.mean(),
            "the logarithm is to the base 2": loss.mean() / math.log(2),
            "the logarithm is to the base 10": loss.mean() / math.log(10),
            "it is the logarithm of the mean: take the mean of the logarithms": -np.log(picked.mean()),
            "the losses are divided by the number of classes, too": loss.mean() / classes,
        }
        yield draw.case((p, t), float(loss.mean()), mistakes=mistakes)


def channels(seed: int) -> Iterator[tuple[Draw, Array, Array, Array, float]]:
    """Yield draw, x (N, C), gamma (C,), beta (C,) and eps."""
    simple = {
        "one channel": (5, 1, 1e-5),
        "several channels": (5, 3, 1e-5),
        "a large eps": (5, 2, 0.5),
        "float32": (6, 3, 1e-3),
    }

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        return rng.integers(5, 10), rng.integers(1, 5), float(rng.choice([1e-3, 0.1, 1.0]))

    for draw in draws(seed, simple, sizes, "x ({0}, {1}), eps {2}"):
        n, c, eps = draw.sizes
        shift = draw.normal(c)
        yield draw, draw.normal(n, c) + shift, draw.normal(c), draw.normal(c), eps


@judge("batch_norm(x, gamma, beta, eps) -> y[nc]")
def batch_norm(seed: int) -> Iterator[Case]:
    """Judge ``batch_norm(x, gamma, beta, eps) -> y`` in training: x (N, C), gamma (C,), beta (C,).

    The variance of each channel over the batch is divided by N, and
    ``y = gamma (x - mean) / sqrt(var + eps) + beta``.
    """
    for draw, x, gamma, beta, eps in channels(seed):
        centred = x - x.mean(axis=0)
        var = x.var(axis=0)
        mistakes = {
            "the variance is divided by N - 1: in training it is divided by N": gamma
            * centred
            / np.sqrt(x.var(axis=0, ddof=1) + eps)
            + beta,
            "eps is added to the standard deviation: it belongs under the root": gamma
            * centred
            / (np.sqrt(var) + eps)
            + beta,
            "eps is missing": gamma * centred / np.sqrt(var) + beta,
            "it is divided by the variance: take its root": gamma * centred / (var + eps) + beta,
            "the mean is not subtracted": gamma * x / np.sqrt(var + eps) + beta,
            "gamma and beta are missing": centred / np.sqrt(var + eps),
            "mean and variance are those of an image, not of a channel: take axis=0": formulas.normalize(
                x, gamma, beta, eps, 1
            ),
            "mean and variance are those of all numbers together: take axis=0": gamma
            * (x - x.mean())
            / np.sqrt(x.var() + eps)
            + beta,
        }
        yield draw.case((x, gamma, beta, eps), formulas.normalize(x, gamma, beta, eps, 0), mistakes=mistakes)


@judge("batch_norm_running(running_mean, running_var, x, momentum) -> mean[c], var[c]")
def batch_norm_running(seed: int) -> Iterator[Case]:
    """Judge ``batch_norm_running(running_mean, running_var, x, momentum) -> (mean, var)``: x (N, C).

    ``new = (1 - momentum) old + momentum batch``, as in PyTorch; the batch's variance is divided by N - 1.
    """
    for draw, x, mean, root, _ in channels(seed):
        momentum = 0.1 if draw.seed is None else float(draw.rng.choice([0.01, 0.1, 0.3]))
        var = root**2 + draw.dtype(0.5)

        def mixed(old: Array, new: Array, m: float = momentum) -> Array:
            return np.asarray((1 - m) * old + m * new)

        m, v, biased = x.mean(axis=0), x.var(axis=0, ddof=1), x.var(axis=0)
        mistakes: dict[str, Any] = {
            "the variance of the batch is divided by N: divide by N - 1": (None, mixed(var, biased)),
            "old and new are exchanged: momentum is the weight of the batch": (mixed(m, mean), mixed(v, var)),
            "var is a standard deviation: keep the variance": (None, mixed(var, np.sqrt(v))),
            "the statistics are those of the batch alone": (m, v),
        }
        yield draw.case((mean, var, x, momentum), mixed(mean, m), mixed(var, v), mistakes=mistakes)


@judge("im2col(x, kernel_size, stride, padding) -> columns[rk]")
def im2col(seed: int) -> Iterator[Case]:
    """Judge ``im2col(x, kernel_size, stride, padding) -> columns``, whole numbers as the last three.

    x (N, C, H, W) -> (N H_out W_out, C k k): row ``(n H_out + i) W_out + j`` is the window at (i, j) of image
    n, channel by channel, row by row, as in :func:`neocog.kernels.im2col`.
    """
    for draw, x, w, _, stride, padding in convolutions(seed):
        k = w.shape[2]
        right = formulas.columns(x, k, stride, padding)
        windows = right.reshape(len(x), -1, x.shape[1], k * k)
        mistakes = {
            "the channels come last in a row: each row holds channel by channel": np.swapaxes(
                windows, 2, 3
            ).reshape(right.shape),
            "the rows are in another order: image by image, then position by position": np.swapaxes(
                windows, 0, 1
            ).reshape(right.shape),
        }
        yield draw.case((x, k, stride, padding), right, mistakes=mistakes)


@judge("one_hot(t, classes) -> y[nk]")
def one_hot(seed: int) -> Iterator[Case]:
    """Judge ``one_hot(t, classes) -> y``: classes (N,) -> (N, classes) of zeros and a one; any dtype."""
    for draw, t, _, classes in labels(seed):
        yield draw.case((t, classes), (t[:, None] == np.arange(classes)).astype(int))


def labels(seed: int) -> Iterator[tuple[Draw, Array, Array, int]]:
    """Yield draw, true and predicted classes (N,), and the number of classes."""
    simple = {"one image": (1, 3), "several images": (6, 3), "a class without images": (4, 7)}
    label = "{0} images, {1} classes"
    for draw in draws(seed, simple, lambda rng: (rng.integers(1, 12), rng.integers(2, 6)), label):
        n, classes = draw.sizes
        t = draw.rng.integers(0, classes, n)
        yield draw, t, np.where(draw.rng.random(n) < 0.5, t, draw.rng.integers(0, classes, n)), classes


@judge("accuracy(z, t) -> accuracy[]")
def accuracy(seed: int) -> Iterator[Case]:
    """Judge ``accuracy(z, t) -> float``: the fraction of rows of z (N, K) with their largest at t (N,)."""
    for draw, t, _, classes in labels(seed):
        z = draw.normal(len(t), classes)
        z[np.arange(len(t)), t] += 1
        hits = z.argmax(axis=1) == t
        mistakes = {
            "it is a number of images: divide by how many there are": hits.sum(),
            "it is a percentage: return a fraction of 1": 100 * hits.mean(),
            "it is the fraction of errors": 1 - hits.mean(),
        }
        yield draw.case((z, t), float(hits.mean()), mistakes=mistakes)


@judge("confusion_matrix(t, p, classes) -> matrix[tp]")
def confusion_matrix(seed: int) -> Iterator[Case]:
    """Judge ``confusion_matrix(t, p, classes) -> matrix``: the number of images by true and predicted class.

    t and p are arrays of classes (N,), true (rows) and predicted (columns).
    """
    for draw, t, p, classes in labels(seed):
        matrix = np.zeros((classes, classes), int)
        np.add.at(matrix, (t, p), 1)
        mistakes = {
            "rows and columns are exchanged: a row belongs to a true class": matrix.T,
            "each pair is counted once: matrix[t, p] += 1 adds one however often a pair occurs": np.minimum(
                matrix, 1
            ),
            "the rows are divided by their sums: count images": matrix
            / np.maximum(matrix.sum(axis=1, keepdims=True), 1),
        }
        yield draw.case((t, p, classes), matrix, mistakes=mistakes)


@judge("he_normal(rng, shape) -> w[fcpq]")
def he_normal(seed: int) -> Iterator[Case]:
    """Judge ``he_normal(rng, shape) -> w``: normal numbers of standard deviation ``sqrt(2 / fan_in)``.

    A dense weight has the shape (in, out), so fan_in is the first size; a convolution's has (out, in, k, k),
    and fan_in is in k k. Judged by mean, standard deviation and kurtosis of some ten thousand numbers, within
    six standard errors; the same rng must give the same numbers.
    """
    shapes = {"a dense weight of (200, 80)": (200, 80), "a convolution's of (120, 16, 3, 3)": (120, 16, 3, 3)}

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        if rng.random() < 0.5:
            return int(rng.integers(100, 300)), int(rng.integers(100, 300))
        return int(rng.integers(60, 200)), int(rng.integers(20, 40)), 3, 3

    for draw in draws(seed, shapes, sizes, "a drawn shape", 2):
        shape, source = draw.sizes, int(draw.rng.integers(2**31))
        earlier: list[Array] = []

        def verify(w: Array, shape: tuple[int, ...] = shape, earlier: list[Array] = earlier) -> str:
            if earlier and not np.array_equal(w, earlier[0]):
                return "two generators of the same seed give other numbers: draw from rng only"
            earlier.append(w)
            return _he(np.asarray(w, float), shape)

        arguments = np.random.default_rng(source), shape
        label = draw.label if draw.seed is None else f"shape {shape}"
        case = draw.case(arguments, np.zeros(shape, np.int8), verify=verify)
        case = dataclasses.replace(case, label=label)
        yield from (case, case)


def _he(w: Array, shape: tuple[int, ...]) -> str:
    inputs, outputs = (shape[0], shape[1]) if len(shape) == 2 else (shape[1] * shape[2] * shape[3], shape[0])
    size, std, right = w.size, float(w.std()), math.sqrt(2 / inputs)
    if not np.isfinite(w).all():
        return "w holds NaN or infinities"
    if std == 0:
        return f"all numbers are {w.flat[0]:.6g}: draw them from rng"
    if abs(w.mean()) > 6 * std / math.sqrt(size):
        return f"the mean is {w.mean():.4g} instead of 0"
    if abs(std - right) > 6 * right / math.sqrt(2 * size):
        named = {
            "sqrt(1 / fan_in)": math.sqrt(1 / inputs),
            "2 / fan_in, the variance": 2 / inputs,
            "sqrt(2 / fan_out)": math.sqrt(2 / outputs),
            "sqrt(2 / (fan_in + fan_out))": math.sqrt(2 / (inputs + outputs)),
            "1, of numbers that are not scaled": 1.0,
        }
        if len(shape) == 4:
            named["sqrt(2 / in), without the k k pixels of the window"] = math.sqrt(2 / shape[1])
            named["sqrt(2 / (out k k))"] = math.sqrt(2 / (shape[0] * shape[2] * shape[3]))
            named["sqrt(2 / k)"] = math.sqrt(2 / shape[2])
        for text, value in named.items():
            if abs(std - value) < 6 * value / math.sqrt(2 * size):
                return f"the standard deviation is {std:.4g} instead of {right:.4g}: it is {text}"
        return f"the standard deviation is {std:.4g} instead of sqrt(2 / fan_in) = {right:.4g}"
    kurtosis = float((((w - w.mean()) / std) ** 4).mean())
    if abs(kurtosis - 3) > 6 * math.sqrt(24 / size):
        return "mean and standard deviation are right, but the numbers are not normally distributed"
    return ""


@judge("receptive_field(layers) -> size[]")
def receptive_field(seed: int) -> Iterator[Case]:
    """Judge ``receptive_field(layers) -> int``: layers is a list of (kernel, stride), first layer first."""
    simple: dict[str, tuple[Any, ...]] = {
        "one convolution of 3": ((3, 1),),
        "two convolutions of 3": ((3, 1), (3, 1)),
        "a convolution and a pooling": ((3, 1), (2, 2)),
        "a stride, then a convolution": ((2, 2), (3, 1)),
        "three layers": ((3, 1), (2, 2), (5, 1)),
    }

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        return tuple((int(rng.integers(1, 6)), int(rng.integers(1, 4))) for _ in range(rng.integers(2, 6)))

    for draw in draws(seed, simple, sizes, "drawn layers", 8):
        layers = list(draw.sizes)
        size, jump, late = 1, 1, 1
        for kernel, stride in layers:
            size += (kernel - 1) * jump
            jump *= stride
            late += (kernel - 1) * jump
        mistakes = {
            "the strides are ignored: later pixels are as far apart as all strides before them say": 1
            + sum(k - 1 for k, _ in layers),
            "a layer's own stride is counted for its own kernel: it counts for the layers after it": late,
        }
        label = draw.label if draw.seed is None else f"layers {layers}"
        yield dataclasses.replace(draw.case((layers,), size, mistakes=mistakes), label=label)


@judge("wilson_interval(successes, n, z) -> low[], high[]")
def wilson_interval(seed: int) -> Iterator[Case]:
    """Judge ``wilson_interval(successes, n, z=1.96) -> (low, high)``, Wilson's interval of a fraction."""
    simple: dict[str, tuple[Any, ...]] = {
        "30 of 40": (30, 40, 1.96),
        "437 of 450": (437, 450, 1.96),
        "0 of 20": (0, 20, 1.96),
        "20 of 20": (20, 20, 1.96),
        "z = 1": (30, 40, 1.0),
    }

    def sizes(rng: np.random.Generator) -> tuple[Any, ...]:
        n = int(rng.integers(1, 500))
        return int(rng.integers(0, n + 1)), n, float(rng.choice([1.0, 1.645, 1.96, 2.576]))

    for draw in draws(seed, simple, sizes, "{0} of {1}, z = {2}", 8):
        s, n, z = draw.sizes
        p = s / n

        def interval(centre: float, half: float) -> tuple[float, float]:
            return centre - half, centre + half

        scale = 1 + z * z / n
        half = z / scale * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        low, high = interval((p + z * z / (2 * n)) / scale, half)
        mistakes = {
            "it is p +- z sqrt(p (1 - p) / n), Wald's interval": interval(p, z * math.sqrt(p * (1 - p) / n)),
            "the middle is p: Wilson's interval lies around (p + z^2 / 2n) / (1 + z^2 / n)": interval(
                p, half
            ),
            "the numbers are percentages: return fractions": (100 * low, 100 * high),
            "the numbers are counts of n: return fractions": (n * low, n * high),
        }
        arguments = (s, n) if z == 1.96 and draw.seed is None and s == 30 else (s, n, z)
        case = draw.case(arguments, low, high, mistakes=mistakes)
        yield dataclasses.replace(case, tolerance=1e-6)
