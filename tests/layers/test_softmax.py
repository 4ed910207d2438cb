import array_api_strict as strict
import numpy as np
import pytest
from torch.nn import functional as F

from neocog.layers import LogSoftmax, Softmax
from neocog.layers.base import Field
from neocog.layers.softmax import softmax

X = np.log([[1.0, 3.0, 4.0]])


def test_softmax_by_hand():
    y, cache = Softmax().forward(X)
    np.testing.assert_allclose(y, [[0.125, 0.375, 0.5]], rtol=1e-15)
    # sum dy y = 1 + 3 + 0 = 4: dx = y (dy - 4)
    dx, grads = Softmax().backward(np.array([[8.0, 8.0, 0.0]]), cache)
    np.testing.assert_allclose(dx, [[0.5, 1.5, -2.0]], rtol=1e-14)
    assert grads == {}


def test_log_softmax_by_hand():
    y, cache = LogSoftmax().forward(X)
    np.testing.assert_allclose(y, np.log([[0.125, 0.375, 0.5]]), rtol=1e-15)
    # sum dy = 8: dx = dy - 8 p
    dx, grads = LogSoftmax().backward(np.array([[1.0, 2.0, 5.0]]), cache)
    np.testing.assert_allclose(dx, [[0.0, -1.0, 1.0]], atol=1e-14)
    assert grads == {}


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (2, 3, 4, 5)])
def test_same_as_pytorch(shape, same_as_torch, normal):
    for axis in range(-len(shape), len(shape)):
        x = 4 * normal(*shape)
        same_as_torch(Softmax(axis), lambda _, x, axis=axis: F.softmax(x, axis), x)
        same_as_torch(LogSoftmax(axis), lambda _, x, axis=axis: F.log_softmax(x, axis), x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_numbers_do_not_overflow(dtype):
    x = np.array([[1e4, 0.0, -1e4], [-1e30, 1e30, 1e30]], dtype)
    np.testing.assert_array_equal(Softmax()(x), [[1, 0, 0], [0, 0.5, 0.5]])
    np.testing.assert_allclose(LogSoftmax()(x), [[0, -1e4, -2e4], [-2e30, -np.log(2), -np.log(2)]], rtol=1e-6)
    assert Softmax()(x).dtype == LogSoftmax()(x).dtype == dtype


def test_sizes():
    for layer in (Softmax(), LogSoftmax()):
        assert layer.output_shape((2, 3, 4)) == (2, 3, 4)
        assert layer.flops((2, 3)) == 24
        assert layer(np.zeros((0, 3))).shape == (0, 3)
    assert (repr(Softmax()), repr(LogSoftmax(-1))) == ("Softmax()", "LogSoftmax(axis=-1)")


@pytest.mark.parametrize(("axis", "size"), [(1, (3, 5)), (2, (np.inf, 5)), (-1, (3, np.inf)), (0, (3, 5))])
def test_a_share_sees_all_that_it_is_compared_with(axis, size):
    assert Softmax(axis).receptive_field(Field((3, 5), (2, 1))) == Field(size, (2, 1))


@pytest.mark.parametrize("make", [Softmax, LogSoftmax])
def test_bad_inputs(make):
    for axis, shape in ((2, (2, 3)), (-3, (2, 3)), (1, (2, 0))):
        with pytest.raises(ValueError, match=f"Softmax needs an x with numbers along axis {axis}, got"):
            make(axis).forward(np.zeros(shape))
    with pytest.raises(TypeError, match="axis must be an integer, got 1"):
        make(1.0)


def test_softmax_on_strict_arrays():
    """On arrays that allow nothing beyond the array API."""
    z = np.random.default_rng(0).normal(size=(3, 4))
    np.testing.assert_allclose(np.from_dlpack(softmax(strict.asarray(z))), softmax(z), rtol=1e-15)
