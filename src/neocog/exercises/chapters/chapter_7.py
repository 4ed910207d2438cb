"""Exercises of chapter 7: signals in depth."""

from __future__ import annotations

import numpy as np

from neocog.exercises.exercise import exercise
from neocog.exercises.judges import dense, normalization
from neocog.layers import BatchNorm1D, BatchNorm2D, Conv2D, LeakyReLU, Sequential

exercise(
    "7.1",
    1,
    "By He's rule, which standard deviation do the weights of Conv2D(2, 8, 3) begin with?",
    answer=lambda: float((2 / Conv2D(2, 8, 3).params["weight"][0].size) ** 0.5),
    hint="how many products does one output of this layer add?",
    solution="Each output adds 2 x 3 x 3 = 18 products, so the variance is 2 / 18 = 1 / 9. That there are "
    "8 filters does not matter to it.",
)


def gain() -> float:
    """Return ``E[z^2] / E[y^2]`` for ``y = LeakyReLU(z)`` of slope 1/2, z symmetric."""
    z = np.array([[4.0, 2.0, -2.0, -4.0]])
    return float((z**2).mean() / (LeakyReLU(0.5)(z) ** 2).mean())


exercise(
    "7.2",
    2,
    "A leaky ReLU gives $y = z$ for $z > 0$ and $y = z / 2$ otherwise. What must $n "
    "\\operatorname{Var}(w)$ be so that its layers neither lose nor gain?",
    answer=gain,
    hint="what becomes of the mean square of the negative half?",
    solution="$E[y^2] = \\frac12 E[z^2] + \\frac12 \\cdot \\frac14 E[z^2] = \\frac58 E[z^2]$, so "
    "$\\frac58\\, n \\operatorname{Var}(w) = 1$. With slope 0 it is He's 2, with slope 1, no ReLU at all, "
    "it is 1.",
)


def by_hand() -> np.ndarray:
    """Return dx of a batch norm for x = (0, 0, 3, 3)."""
    norm = BatchNorm1D(1, eps=1e-12, dtype="float64")
    norm.params["weight"][:] = 3
    _, cache = norm.forward(np.array([[0.0], [0], [3], [3]]), training=True)
    dx, _ = norm.backward(np.array([[1.0], [0], [0], [0]]), cache)
    return np.asarray(dx)[:, 0].round(9) + 0.0


exercise(
    "7.3",
    2,
    "A batch norm in training has one channel, $x = (0, 0, 3, 3)$, $\\gamma = 3$, and $\\varepsilon$ is so "
    "small that you can forget it. What is $dx$ for $dy = (1, 0, 0, 0)$?",
    answer=by_hand,
    hint="begin with x_hat; these four numbers are simple. Then take the two parts out of dy.",
    solution="The mean is 1.5 and $s = 1.5$, so $\\hat x = (-1, -1, 1, 1)$. The mean of $dy$ is "
    "$\\frac14$, that of $dy\\, \\hat x$ is $-\\frac14$: $dx = \\frac{3}{1.5} \\left((1, 0, 0, 0) - "
    "\\frac14 (1, 1, 1, 1) - \\frac14 (1, 1, -1, -1)\\right)$. The two large numbers get nothing: moving "
    "one of them shifts and stretches the batch by what leaves the first output as it is.",
)


def running_mean() -> float:
    """Return the running mean after three batches of mean 10."""
    norm = BatchNorm1D(1, dtype="float64")
    for _ in range(3):
        norm.forward(np.array([[9.0], [11.0]]), training=True)
    return float(norm.buffers["running_mean"][0])


exercise(
    "7.4",
    2,
    "A new batch norm of momentum 0.1 sees three batches, all of mean 10. What is its running mean then?",
    answer=running_mean,
    hint="what does it begin with, and how much of that is left after each batch?",
    solution="It begins at 0, and the start has the weight $0.9^3 = 0.729$ left: $10\\,(1 - 0.729)$. A "
    "network that is used after three batches normalises by numbers that are mostly made up.",
)


def bias_gradient() -> float:
    """Return the largest derivative of the bias of a convolution before a batch norm."""
    rng = np.random.default_rng(0)
    network = Sequential(Conv2D(1, 4, 3, rng=rng, dtype="float64"), BatchNorm2D(4, dtype="float64"))
    y, cache = network.forward(rng.normal(size=(2, 1, 6, 6)), training=True)
    _, grads = network.backward(rng.normal(size=y.shape), cache)
    return round(float(np.abs(grads["0.bias"]).max()), 9)


exercise(
    "7.5",
    2,
    "A convolution *with* a bias is followed by a batch norm in training. What is the derivative of the "
    "loss with respect to that bias?",
    answer=bias_gradient,
    hint="what does the batch norm do to a constant that is added to a channel?",
    solution="The bias shifts its whole channel, and batch norm takes the mean away again, so it cannot "
    "change the loss. In the formula: $db = \\sum_i dx_i$ over the $dx$ of the batch norm, from which the "
    "mean has been taken out. That is why such convolutions have `bias=False`: $\\beta$ does the bias's "
    "work.",
)


def he_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw normal weights of variance ``2 / fan_in``."""
    fan_in = shape[0] if len(shape) == 2 else shape[1] * shape[2] * shape[3]
    return rng.normal(0, np.sqrt(2 / fan_in), shape)


exercise(
    "7.6",
    3,
    "Write `he_normal(rng, shape)`, which draws weights by He's rule: for a dense layer, `shape` (in, "
    "out), and for a convolution, `shape` (filters, channels, k, k). Draw from `rng` only.",
    program=he_normal,
    judge=dense.he_normal,
    solution="The fan-in is the number of products in a sum: `in` of a dense layer, channels times k times "
    "k of a convolution. The deviation is the root of the variance.",
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
    "7.7",
    3,
    "Write `batch_norm_backward(dy, x, gamma, eps)`, which returns `dx, dgamma, dbeta` for `x` of shape "
    "(N, C), as after a dense layer, in training. You get `x` and have to find the rest yourself.",
    program=batch_norm_backward,
    judge=normalization.batch_norm_backward,
    solution="The mean and the variance depend on every x. What a shift or a stretch of the batch could "
    "do, the layer undoes, so both are taken out of dy.",
)


def batch_norm_running(
    running_mean: np.ndarray, running_var: np.ndarray, x: np.ndarray, momentum: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the running statistics after one more batch."""
    mean = (1 - momentum) * running_mean + momentum * x.mean(axis=0)
    var = (1 - momentum) * running_var + momentum * x.var(axis=0, ddof=1)
    return mean, var


exercise(
    "7.8",
    3,
    "Write `batch_norm_running(running_mean, running_var, x, momentum)`, which returns both running "
    "statistics after the batch `x` of shape (N, C), by PyTorch's conventions. Return new arrays.",
    program=batch_norm_running,
    judge=normalization.batch_norm_running,
    solution="`momentum` is the weight of the new batch, and the variance to remember is divided by N - 1, "
    "which NumPy calls `ddof=1`.",
)


def layer_norm_backward(
    dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, eps: float
) -> tuple[np.ndarray, ...]:
    """Return dx, dgamma, dbeta of a layer norm."""
    centred = x - x.mean(axis=1, keepdims=True)
    s = np.sqrt((centred**2).mean(axis=1, keepdims=True) + eps)
    x_hat = centred / s
    g = gamma * dy
    dx = (g - g.mean(axis=1, keepdims=True) - x_hat * (g * x_hat).mean(axis=1, keepdims=True)) / s
    return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)


exercise(
    "7.9",
    3,
    "A layer norm normalises each *row* of `x` (N, K) by its own mean and variance (divided by K), and has "
    "one gamma and one beta for each of the K features. Write `layer_norm_backward(dy, x, gamma, eps)`, "
    "which returns `dx, dgamma, dbeta`.",
    program=layer_norm_backward,
    judge=normalization.layer_norm_backward,
    solution="The derivation is that of batch norm along the other axis, with one difference: gamma is no "
    "longer the same for all numbers that share a mean, so it cannot be taken out of the means. It is "
    "`gamma * dy` from which the two parts are removed. dgamma and dbeta still add up over the images.",
)


exercise(
    "7.10",
    4,
    "Without batch norm a shortcut makes signals explode. Let each block compute $y = (x + f(x)) / \\sqrt "
    "2$ instead. What does the derivation of this chapter predict? Measure $|dx| / |dy|$ through 20 and 40 "
    "layers, ten seeds, and compare.",
    solution="If $x$ and $f(x)$ were uncorrelated, $E[y^2] = \\frac12 (E[x^2] + E[f(x)^2]) = E[x^2]$: the "
    "size would stay. Measured with the layers of this chapter, $|dx| / |dy|$ is 1.6 (median; 0.5 to 10) "
    "for 20 layers and 17 (1 to 490) for 40, instead of 1,700 and 17 million. It still grows: the later "
    "blocks get sums of outputs of ReLUs, which are positive, so a unit is active more often if its "
    "weights are positive, and the two terms of $dx$ are no longer independent.",
)
