import numpy as np
import pytest

from neocog.layers import Bias, Conv2D, GlobalAvgPool2D, Sequential
from neocog.losses import SoftmaxCrossEntropy
from neocog.optimizers import SGD


def test_by_hand():
    bias = Bias((2, 1, 1), dtype="float64")
    bias.params["bias"][...] = [[[10.0]], [[20.0]]]
    y, cache = bias.forward(np.array([[[[1.0, 2.0]], [[3.0, 4.0]]]]))
    assert y.tolist() == [[[[11.0, 12.0]], [[23.0, 24.0]]]]
    dx, grads = bias.backward(np.array([[[[1.0, 2.0]], [[3.0, 5.0]]]]), cache)
    assert dx.tolist() == [[[[1.0, 2.0]], [[3.0, 5.0]]]]
    assert grads["bias"].tolist() == [[[3.0]], [[8.0]]]


@pytest.mark.parametrize("shape", [(3, 1, 1), (1, 3, 4, 5), (5,), (4, 1), (), (1, 1, 1, 1)])
def test_same_as_pytorch(shape, same_as_torch, normal):
    bias = Bias(shape, dtype="float64")
    bias.params["bias"][...] = normal(*shape)
    same_as_torch(bias, lambda p, x: x + p["bias"], normal(2, 3, 4, 5))


def test_sizes_and_repr():
    assert Bias(3).shape == (3,)
    assert Bias(3).output_shape((5, 3)) == (5, 3)
    assert Bias((3, 1, 1)).flops((2, 3, 4, 5)) == 120
    assert Bias((3, 1, 1)).parameter_count == 3
    assert (repr(Bias(3)), repr(Bias((2, 2))), repr(Bias(()))) == ("Bias((3,))", "Bias((2, 2))", "Bias(())")
    assert Bias(2, dtype="float64").dtype == np.float64


def test_it_learns():
    """A convolution without a bias, and a Bias after it: the convolution with one."""
    x, t = np.random.default_rng(0).normal(size=(6, 1, 5, 5)), np.arange(6) % 2
    whole = Sequential(Conv2D(1, 2, 3, rng=0, dtype="float64"), GlobalAvgPool2D())
    bare = Conv2D(1, 2, 3, bias=False, rng=0, dtype="float64")
    parts = Sequential(bare, Bias((2, 1, 1), dtype="float64"), GlobalAvgPool2D())
    for network in (whole, parts):
        optimizer = SGD(0.5)
        for _ in range(3):
            z, cache = network.forward(x, training=True)
            _, grads = network.backward(SoftmaxCrossEntropy()(z, t)[1], cache, input_grad=False)
            optimizer.step(network.params, grads)
    np.testing.assert_allclose(parts.params["1.bias"].ravel(), whole.params["0.bias"], rtol=1e-12)
    assert whole.params["0.bias"].any()


@pytest.mark.parametrize(
    ("shape", "x_shape"),
    [((3, 1, 1), (2, 2, 4, 4)), ((3,), (2, 1)), ((2, 3), (3,)), ((4, 3), (2, 3))],
)
def test_x_must_fit(shape, x_shape):
    with pytest.raises(ValueError, match=r"Bias of shape \(.*\) does not fit an x of shape \("):
        Bias(shape).forward(np.zeros(x_shape))


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [((2, 0), ValueError, "shape must be at least 1, got 0"), ("3", TypeError, "shape must be an integer")],
)
def test_bad_arguments(shape, error, message):
    with pytest.raises(error, match=message):
        Bias(shape)


def test_pixels_must_be_floating_point():
    with pytest.raises(TypeError, match="x must be a floating point array, got int64"):
        Bias(2)(np.ones((1, 2), np.int64))
