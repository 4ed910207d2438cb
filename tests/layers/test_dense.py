import numpy as np
import pytest
from torch.nn import functional as F

from neocog.layers import Dense
from neocog.layers.base import Field


def test_by_hand():
    # w = 1 2   b = 10 20    x = 1 1 / 2 0:   y = 4+10 6+20 / 2+10 4+20
    #     3 4
    dense = Dense(2, 2, dtype="float64")
    dense.params["weight"][...] = [[1, 2], [3, 4]]
    dense.params["bias"][...] = [10, 20]
    y, cache = dense.forward(np.array([[1.0, 1.0], [2.0, 0.0]]))
    assert y.tolist() == [[14.0, 26.0], [12.0, 24.0]]
    # dy = 1 0 / 0 2: dw = x^T dy = 1 4 / 1 0, db = 1 2, dx = dy w^T = 1 3 / 4 8
    dx, grads = dense.backward(np.array([[1.0, 0.0], [0.0, 2.0]]), cache)
    assert grads["weight"].tolist() == [[1.0, 4.0], [1.0, 0.0]]
    assert grads["bias"].tolist() == [1.0, 2.0]
    assert dx.tolist() == [[1.0, 3.0], [4.0, 8.0]]


@pytest.mark.parametrize("bias", [True, False])
def test_same_as_pytorch(bias, same_as_torch, normal):
    dense = Dense(5, 3, bias=bias, rng=0, dtype="float64")
    same_as_torch(dense, lambda p, x: F.linear(x, p["weight"].T, p.get("bias")), normal(4, 5))


def test_sizes():
    dense = Dense(27, 3)
    assert dense.parameter_count == 84
    assert dense.output_shape((5, 27)) == (5, 3)
    assert dense.flops((5, 27)) == 2 * 5 * 27 * 3
    assert dense.receptive_field(Field()).size == (np.inf, np.inf)


def test_initial_weights():
    dense = Dense(27, 3, rng=43, dtype="float64")
    expected = np.random.default_rng(43).normal(0, np.sqrt(2 / 27), (27, 3))
    assert np.array_equal(dense.params["weight"], expected)
    assert np.array_equal(Dense(27, 3, rng=43).params["weight"], expected.astype(np.float32))
    assert dense.params["bias"].tolist() == [0.0] * 3


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 1), ValueError, "in_features must be at least 1, got 0"),
        ((1, -1), ValueError, "out_features must be at least 1, got -1"),
        ((1.0, 1), TypeError, "in_features must be an integer, got 1.0"),
        ((1, True), TypeError, "out_features must be an integer, got True"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        Dense(*arguments)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros(3), ValueError, r"Dense needs inputs of shape \(N, 3\), got shape \(3,\)"),
        (np.zeros((2, 4)), ValueError, r"\(N, 3\), got shape \(2, 4\)"),
        (np.zeros((2, 3, 1, 1)), ValueError, r"\(N, 3\), got shape \(2, 3, 1, 1\)"),
        (np.zeros((2, 3), int), TypeError, "x must be a floating point array, got int64; .* x / 255"),
    ],
)
def test_bad_inputs(x, error, message):
    with pytest.raises(error, match=message):
        Dense(3, 2).forward(x)


def test_repr():
    assert repr(Dense(3, 2, rng=4)) == "Dense(3, 2)"
    assert repr(Dense(3, 2, bias=False)) == "Dense(3, 2, bias=False)"
