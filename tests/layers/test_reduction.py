import numpy as np
import pytest

from neocog.layers import Mean, Sum
from neocog.layers.base import Field


def test_by_hand():
    x = np.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 9.0]]])
    y, cache = Mean(2).forward(x)
    assert y.tolist() == [[2.0, 6.0]]
    assert Mean(2).backward(np.array([[3.0, 6.0]]), cache)[0].tolist() == [[[1.0] * 3, [2.0] * 3]]
    y, cache = Sum((-1, 1), keepdims=True).forward(x)
    assert y.tolist() == [[[24.0]]]
    assert Sum((-1, 1), keepdims=True).backward(np.array([[[2.0]]]), cache)[0].tolist() == [[[2.0] * 3] * 2]


@pytest.mark.parametrize("axes", [1, (2, 3), (3, 1), -1, (-1, -2, -3), (1,)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_same_as_pytorch(axes, keepdims, same_as_torch, normal):
    x = normal(2, 3, 4, 5)
    same_as_torch(Mean(axes, keepdims), lambda _, x: x.mean(axes, keepdims), x)
    same_as_torch(Sum(axes, keepdims), lambda _, x: x.sum(axes, keepdims), x)


def test_sizes_and_repr():
    assert Mean((2, 3)).output_shape((2, 3, 4, 5)) == (2, 3)
    assert Sum(-3, True).output_shape((2, 3, 4, 5)) == (2, 1, 4, 5)
    assert Sum(1).output_shape((2, 0)) == (2,)
    assert Mean(1).flops((2, 3)) == 6
    assert (repr(Mean(1)), repr(Sum((2, 3), True))) == ("Mean((1,))", "Sum((2, 3), keepdims=True)")


def test_receptive_fields():
    field = Field((3, 5), (1, 2))
    whole = float("inf")
    assert Mean((2, 3), True).receptive_field(field).size == (whole, whole)
    assert Mean(1, True).receptive_field(field).size == (3, 5)
    assert Sum(-1, True).receptive_field(field).size == (3, whole)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: Mean(0), ValueError, "axes must be some other than 0, the batch, got 0"),
        (lambda: Sum(()), ValueError, r"axes must be some other than 0, the batch, got \(\)"),
        (lambda: Mean(1.5), TypeError, "axes must be an integer, got 1.5"),
        (lambda: Mean(1, 1), TypeError, "keepdims must be True or False, got 1"),
        (
            lambda: Mean(2)(np.ones((2, 3))),
            ValueError,
            "needs an x with these axes, each",
        ),
        (lambda: Sum((1, -1))(np.ones((2, 3))), ValueError, "each of them once"),
        (lambda: Sum(-2)(np.ones((2, 3))), ValueError, r"Sum\(\(-2,\)\) needs an x with these axes"),
        (lambda: Mean(1)(np.ones((2, 0))), ValueError, r"needs numbers along its axes, got shape \(2, 0\)"),
    ],
)
def test_errors(build, error, message):
    with pytest.raises(error, match=message):
        build()
