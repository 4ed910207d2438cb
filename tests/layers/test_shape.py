import numpy as np
import pytest

from neocog.layers import Conv2D, Flatten, Reshape, Sequential, Transpose


def test_flatten_by_hand():
    x = np.array([[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]])
    y, cache = Flatten().forward(x)
    assert y.tolist() == [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]]
    dx, grads = Flatten().backward(np.arange(8.0)[None], cache)
    assert dx.tolist() == [[[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0], [6.0, 7.0]]]]
    assert grads == {}


def test_flatten_is_c_order_for_any_memory_layout():
    x = np.asfortranarray(np.arange(24.0).reshape(2, 3, 2, 2))
    assert Flatten()(x).tolist() == np.arange(24.0).reshape(2, 12).tolist()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((5, 3, 2, 2), (5, 12)), ((0, 3, 2, 2), (0, 12)), ((4, 7), (4, 7)), ((4,), (4, 1)), ((2, 0, 3), (2, 0))],
)
def test_flatten_shapes(shape, expected):
    assert Flatten().output_shape(shape) == expected
    assert Flatten()(np.zeros(shape)).shape == expected


def test_flatten_needs_a_batch():
    with pytest.raises(ValueError, match="Flatten needs a batch axis"):
        Flatten().forward(np.zeros(()))


def test_flatten_repr():
    assert repr(Flatten()) == "Flatten()"


def test_reshape_by_hand():
    x = np.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    y, cache = Reshape((0, 3, -1)).forward(x)
    assert y.tolist() == [[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]
    dx, grads = Reshape((0, 3, -1)).backward(np.array([[[10.0, 20.0], [30.0, 40.0], [50.0, 60.0]]]), cache)
    assert dx.tolist() == [[[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]]]
    assert grads == {}


@pytest.mark.parametrize(
    ("shape", "x_shape", "expected"),
    [
        ((0, -1), (5, 3, 2, 2), (5, 12)),
        ((0, -1), (0, 3, 2, 2), (0, 12)),  # known, though there are no images
        ((0, 0, -1), (0, 3, 2, 2), (0, 3, 4)),
        ((-1, 12), (5, 3, 2, 2), (5, 12)),
        ((-1, 12), (0, 3, 2, 2), (0, 12)),
        ((-1, 0, 2), (4, 2, 3), (6, 2, 2)),  # 0 copies the size at its own place
        ((0, -1), (5,), (5, 1)),
        ((2, 6), (3, 4), (2, 6)),
        ((-1,), (3, 4), (12,)),
        ((0, -1), (2, 0, 3), (2, 0)),
        ((0, 0, 1, 1), (2, 3), (2, 3, 1, 1)),
    ],
)
def test_reshape_shapes(shape, x_shape, expected):
    assert Reshape(shape).output_shape(x_shape) == expected
    y, cache = Reshape(shape).forward(np.zeros(x_shape))
    assert y.shape == expected
    assert Reshape(shape).backward(y, cache)[0].shape == x_shape


@pytest.mark.parametrize(
    ("shape", "x_shape"),
    [((0, 5), (2, 6)), ((0, 4, -1), (2, 6)), ((0, 0, 0), (2, 6)), ((2, 3), (2, 6)), ((3, 3), (2, 4))],
)
def test_reshape_that_does_not_fit(shape, x_shape):
    with pytest.raises(ValueError, match=r"Reshape to \(.*\) does not fit an x of shape \(2, "):
        Reshape(shape).output_shape(x_shape)
    with pytest.raises(ValueError, match="does not fit"):
        Reshape(shape).forward(np.zeros(x_shape))


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        ((), ValueError, r"shape must be a tuple of integers, got \(\)"),
        (5, ValueError, "shape must be a tuple of integers, got 5"),
        ((0, -2), ValueError, "shape must be at least -1, got -2"),
        ((-1, -1), ValueError, r"shape must have one -1 at most, got \(-1, -1\)"),
        ((0, 1.5), TypeError, "shape must be an integer, got 1.5"),
    ],
)
def test_reshape_bad_arguments(shape, error, message):
    with pytest.raises(error, match=message):
        Reshape(shape)


def test_transpose_by_hand():
    x = np.arange(12.0).reshape(1, 2, 3, 2)
    y, cache = Transpose((0, 2, 3, 1)).forward(x)
    # the two channels of each pixel side by side: 0 and 6, 1 and 7 ...
    assert y.tolist() == [[[[0.0, 6.0], [1.0, 7.0]], [[2.0, 8.0], [3.0, 9.0]], [[4.0, 10.0], [5.0, 11.0]]]]
    dx, grads = Transpose((0, 2, 3, 1)).backward(y, cache)
    np.testing.assert_array_equal(dx, x)
    assert grads == {}


@pytest.mark.parametrize("axes", [(0, 2, 3, 1), (3, 1, 0, 2), (1, 2, 3, 0), (0, 1, 2, 3)])
def test_transpose_is_that_of_pytorch(axes, same_as_torch, normal):
    x = normal(2, 3, 4, 5)
    same_as_torch(Transpose(axes), lambda _, x: x.permute(axes), x)
    assert Transpose(axes).output_shape(x.shape) == Transpose(axes)(x).shape


def test_reshape_is_that_of_pytorch(same_as_torch, normal):
    same_as_torch(Reshape((0, -1, 5)), lambda _, x: x.reshape(2, -1, 5), normal(2, 3, 4, 5))
    turned = Sequential(Transpose((0, 2, 3, 1)), Reshape((-1, 3)))  # reads its numbers as they are now
    same_as_torch(turned, lambda _, x: x.permute(0, 2, 3, 1).reshape(-1, 3), normal(2, 3, 4, 5))


@pytest.mark.parametrize(
    ("axes", "error", "message"),
    [
        ((), ValueError, r"axes must be a tuple of integers, got \(\)"),
        ((0, 2), ValueError, r"axes must be a permutation of 0..1, got \(0, 2\)"),
        ((0, 0, 1), ValueError, r"axes must be a permutation of 0..2, got \(0, 0, 1\)"),
        ((0, -1), ValueError, "axes must be at least 0, got -1"),
        ((0, True), TypeError, "axes must be an integer, got True"),
    ],
)
def test_transpose_bad_arguments(axes, error, message):
    with pytest.raises(error, match=message):
        Transpose(axes)


def test_transpose_needs_all_axes():
    with pytest.raises(ValueError, match=r"Transpose by \(0, 1\) does not fit an x of shape \(2, 3, 4\)"):
        Transpose((0, 1)).forward(np.zeros((2, 3, 4)))


def test_repr_tells_shapes_from_numbers():
    assert repr(Reshape((2, 2))) == "Reshape((2, 2))"
    assert repr(Transpose((0, 1))) == "Transpose((0, 1))"
    assert repr(Conv2D(1, 1, (2, 2))) == "Conv2D(1, 1, 2)"
