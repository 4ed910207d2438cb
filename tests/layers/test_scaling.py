import numpy as np
import pytest

from neocog.layers import Rescale, Scale


def test_scale_by_hand():
    scale = Scale((2, 1, 1), dtype="float64")
    scale.params["weight"][...] = [[[10.0]], [[100.0]]]
    y, cache = scale.forward(np.array([[[[1.0, 2.0]], [[3.0, 4.0]]]]))
    assert y.tolist() == [[[[10.0, 20.0]], [[300.0, 400.0]]]]
    dx, grads = scale.backward(np.array([[[[1.0, 1.0]], [[0.5, 1.0]]]]), cache)
    assert dx.tolist() == [[[[10.0, 10.0]], [[50.0, 100.0]]]]
    assert grads["weight"].tolist() == [[[3.0]], [[5.5]]]


@pytest.mark.parametrize("shape", [(3, 1, 1), (1, 3, 4, 5), (5,), (4, 1), (), (1, 1, 1, 1)])
def test_scale_as_in_pytorch(shape, same_as_torch, normal):
    scale = Scale(shape, dtype="float64")
    scale.params["weight"][...] = normal(*shape)
    same_as_torch(scale, lambda p, x: x * p["weight"], normal(2, 3, 4, 5))


def test_rescale_by_hand():
    layer = Rescale([[2.0], [-1.0]], offset=0.5, dtype="float64")
    y, cache = layer.forward(np.array([[[1.0, 2.0], [3.0, 4.0]]]))
    assert y.tolist() == [[[2.5, 4.5], [-2.5, -3.5]]]
    dx, grads = layer.backward(np.ones((1, 2, 2)), cache)
    assert dx.tolist() == [[[2.0, 2.0], [-1.0, -1.0]]]
    assert grads == {}
    assert list(layer.buffers) == ["scale"]
    assert list(Rescale(2, 1).buffers) == []


def test_a_number_is_exact_in_any_precision():
    assert Rescale(0.1).astype("float64")(np.array([3.0]))[0] == 0.1 * 3.0
    assert Rescale(0.1)(np.array([3.0], np.float32)).dtype == np.float32


def test_sizes_and_repr():
    assert Scale(3, init=1e-6).params["weight"].tolist() == [np.float32(1e-6)] * 3
    assert Scale((3, 1, 1)).parameter_count == 3
    assert Scale((3, 1, 1)).flops((2, 3, 4, 5)) == 120
    assert Rescale(2).flops((2, 3)) == 12
    assert repr(Scale(3)) == "Scale((3,))"
    assert (repr(Rescale(2)), repr(Rescale())) == ("Rescale(scale=2.0)", "Rescale()")
    assert repr(Rescale([[1 / 3], [2]], -1)) == "Rescale(scale=((0.333333,), (2.0,)), offset=-1.0)"


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: Scale(0), ValueError, "shape must be at least 1, got 0"),
        (lambda: Scale(2, init="one"), TypeError, "init must be a number, got 'one'"),
        (lambda: Rescale("2"), TypeError, "scale must be a number, got '2'"),
        (lambda: Rescale(np.inf), ValueError, r"scale must be in \(-inf, inf\), got inf"),
        (lambda: Rescale(1, [1, np.nan]), ValueError, "offset must be a finite number, or an array of them"),
        (lambda: Rescale([]), ValueError, "scale must be a finite number, or an array of them"),
        (
            lambda: Scale((3, 1, 1))(np.ones((1, 2, 4, 4))),
            ValueError,
            "Scale of shape",
        ),
        (
            lambda: Rescale([1, 2])(np.ones((1, 3))),
            ValueError,
            "Rescale of shape",
        ),
        (lambda: Scale((2, 1, 1))(np.ones(2)), ValueError, r"does not fit an x of shape \(2,\)"),
    ],
)
def test_errors(build, error, message):
    with pytest.raises(error, match=message):
        build()
