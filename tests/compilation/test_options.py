"""Where a network looks like one that can be compiled and is not, and a softmax at its end."""

import numpy as np
import pytest

import neocog
from neocog.compilation import uncompiled
from neocog.layers import (
    Add,
    Conv2D,
    Flatten,
    GlobalMaxPool2D,
    Graph,
    LogSoftmax,
    MaxPool2D,
    Sequential,
    Softmax,
    Tanh,
)

SHAPE = (5, 3, 9, 7)


def images():
    return np.random.default_rng(0).normal(size=SHAPE)


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
    x = images()
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
    x = images()
    for made, cuts in (
        (twice, ["softmax"]),
        (Sequential(twice, Softmax(), Softmax()), ["0.softmax", "1", "2"]),
    ):
        assert [name for name, _ in uncompiled(made, SHAPE)] == cuts
        np.testing.assert_allclose(made.for_inference()(x), made.forward(x)[0], rtol=0, atol=1e-14)
