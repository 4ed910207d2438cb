"""Every option of a layer under the compiled kernels: compiled, or run in a cut of the program; and right."""

import copy

import numpy as np
import pytest

import neocog
from neocog.compilation import uncompiled
from neocog.layers import (
    Add,
    AvgPool2D,
    Bias,
    Conv2D,
    Dense,
    Flatten,
    GlobalMaxPool2D,
    Graph,
    LogSoftmax,
    MaxPool2D,
    Pad2D,
    Reshape,
    Sequential,
    Softmax,
    Tanh,
    Transpose,
)
from neocog.losses import SoftmaxCrossEntropy
from neocog.optimizers import SGD
from neocog.training import make_step


def repeated():
    return Graph({"conv": (Conv2D(3, 1, 3, padding=1, rng=2), "input"), "sum": (Add(), "conv", "input")})


COMPILED = {
    "asymmetric convolution": lambda: Conv2D(3, 4, 3, padding=((2, 0), (0, 1)), rng=2),
    "asymmetric convolution, stride, groups": lambda: Conv2D(3, 3, 2, 2, ((0, 1), (3, 0)), 1, 3, rng=2),
    "max, padding deep": lambda: MaxPool2D(3, 2, 2),
    "max, padding on one side": lambda: MaxPool2D(3, 1, ((0, 2), (1, 0))),
    "max, rounded up": lambda: MaxPool2D(2, ceil_mode=True),
    "max, rounded up, padding": lambda: MaxPool2D(3, 2, ((1, 0), (2, 2)), ceil_mode=True),
    "mean, padding on one side": lambda: AvgPool2D(3, 1, ((0, 2), (1, 0))),
    "mean, inside": lambda: AvgPool2D(3, 2, ((0, 2), (1, 0)), False),
    "mean, rounded up": lambda: AvgPool2D(2, ceil_mode=True),
    "mean, rounded up, inside": lambda: AvgPool2D(3, 2, 2, False, True),
    "mean, rounded up to the same": lambda: AvgPool2D(3, 2, 1, True, True),
    "global max": GlobalMaxPool2D,
    "reshape of images": lambda: Reshape((0, 1, -1, 3)),
    "reshape to rank 3": lambda: Reshape((0, 3, -1)),
    "reshape to rows": lambda: Reshape((-1, 3 * 9 * 7)),
}
IN_A_CUT = {
    "max, dilation": lambda: MaxPool2D(2, 1, 1, dilation=(2, 1)),
    "max, dilation, stride as large": lambda: MaxPool2D(2, 2, dilation=2),
    "mean, dilation": lambda: AvgPool2D(2, 2, dilation=2),
    "mean, divisor": lambda: AvgPool2D(2, 1, divisor_override=3),
    "mean, rounded up, padding counted": lambda: AvgPool2D(3, 2, ((1, 0), (1, 0)), True, True),
    "pad": lambda: Pad2D(1),
    "pad, reflect": lambda: Pad2D(1, mode="reflect"),
    "softmax": Softmax,
    "log softmax": LogSoftmax,
    "bias": lambda: Bias((3, 1, 1)),
    "transpose": lambda: Transpose((0, 2, 3, 1)),
    "reshape of rank 5": lambda: Reshape((0, 3, 3, 3, 7)),
    "sum of shapes": repeated,
}
CASES = COMPILED | IN_A_CUT
SHAPE = (5, 3, 9, 7)


def network(name, dtype="float64"):
    middle = CASES[name]()
    features = int(np.prod(middle.output_shape(SHAPE)[1:]))
    return Sequential(
        Conv2D(3, 3, 3, padding=1, rng=0), Tanh(), middle, Flatten(), Dense(features, 4, rng=1)
    ).astype(dtype)


def images(n=5):
    return np.random.default_rng(0).normal(size=(n, *SHAPE[1:])), np.arange(n) % 4


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_what_is_compiled(name, training):
    """So that nobody believes an option to be fast that is not, or the other way round."""
    found = [layer for layer, _ in uncompiled(network(name), SHAPE, training)]
    if name == "reshape of rank 5":
        assert found == ["2", "3"]  # and back
    elif name == "sum of shapes":
        assert found == ["2.sum"]
    else:
        assert found == ([] if name in COMPILED else ["2"])


@pytest.mark.parametrize("n", [1, 5, 17])
@pytest.mark.parametrize("name", CASES)
def test_inference(name, n):
    made, (x, _) = network(name), images(n)
    with neocog.use_kernels("reference"):
        expected = made.forward(x)[0]
    with neocog.use_kernels("fused"):
        np.testing.assert_allclose(made(x), expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(made.forward(x)[0], expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(made.for_inference()(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [1, 5, 17])
@pytest.mark.parametrize("name", CASES)
def test_training(name, n):
    mine, (x, t) = network(name), images(n)
    twin, loss = copy.deepcopy(mine), SoftmaxCrossEntropy()
    ours, theirs = SGD(0.1, momentum=0.9), SGD(0.1, momentum=0.9)
    with neocog.use_kernels("fused"):
        step = make_step(mine, loss, ours)
        values = [step(x, t) for _ in range(3)]
    with neocog.use_kernels("reference"):
        for value in values:
            z, cache = twin.forward(x, training=True)
            expected, dz = loss(z, t)
            _, grads = twin.backward(dz, cache, input_grad=False)
            theirs.step(twin.params, grads)
            assert value == pytest.approx(expected, abs=1e-12)
    for key, array in twin.params.items():
        np.testing.assert_allclose(mine.params[key], array, rtol=0, atol=1e-12)


def test_a_sum_of_shapes_is_not_taken_for_one_of_equal_ones():
    """(N, C) and (N, C, 1, 1) lie in memory alike, but their sum is (N, C, N, C)."""
    graph = Graph(
        {
            "rows": (GlobalMaxPool2D(), "input"),
            "maps": (MaxPool2D((9, 7)), "input"),
            "sum": (Add(), "rows", "maps"),
        }
    )
    x = np.random.default_rng(0).normal(size=(3, 3, 9, 7))
    with neocog.use_kernels("fused"):
        y = graph(x)
    best = x.max(axis=(2, 3))
    np.testing.assert_array_equal(y, best + best[:, :, None, None])


@pytest.mark.parametrize("end", [Softmax(), Softmax(-1), LogSoftmax()], ids=repr)
def test_a_softmax_at_the_end_is_done_after_the_program(end):
    made = Sequential(Conv2D(3, 2, 3, rng=0, dtype="float64"), Tanh(), Flatten(), end)
    x, _ = images()
    assert [name for name, _ in uncompiled(made, SHAPE)] == ["3"]
    with neocog.use_kernels("reference"):
        expected = made.forward(x)[0]
    with neocog.use_kernels("fused"):
        np.testing.assert_allclose(made(x), expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(made.for_inference()(x), expected, rtol=0, atol=1e-14)


def test_a_softmax_that_something_follows():
    twice = Graph(
        {
            "conv": (Conv2D(3, 3, 1, rng=0, dtype="float64"), "input"),
            "softmax": (Softmax(), "conv"),
            "sum": (Add(), "softmax", "conv"),
        }
    )
    x, _ = images()
    for made, cuts in (
        (twice, ["softmax"]),
        (Sequential(twice, Softmax(), Softmax()), ["0.softmax", "1", "2"]),
    ):
        assert [name for name, _ in uncompiled(made, SHAPE)] == cuts
        np.testing.assert_allclose(made.for_inference()(x), made.forward(x)[0], rtol=0, atol=1e-14)
