import numpy as np
import pytest
from torch.nn import functional as F

from neocog.layers import ChannelShuffle, Slice
from neocog.layers.base import Field


def test_slice_by_hand():
    part = Slice(1, 3)
    x = np.arange(8.0).reshape(1, 4, 1, 2)
    y, cache = part.forward(x)
    assert y.tolist() == [[[[2.0, 3.0]], [[4.0, 5.0]]]]
    dx, grads = part.backward(np.array([[[[1.0, 2.0]], [[3.0, 4.0]]]]), cache)
    assert dx.tolist() == [[[[0.0, 0.0]], [[1.0, 2.0]], [[3.0, 4.0]], [[0.0, 0.0]]]]
    assert grads == {}
    assert part.backward(dx, cache, input_grad=False) == (None, {})
    assert part.flops(x.shape) == 0


@pytest.mark.parametrize(
    ("arguments", "index"),
    [
        ((2,), np.s_[:, 2:]),
        ((-3, -1), np.s_[:, -3:-1]),
        ((-9, 9, 4), np.s_[:, -9:9:4]),
        ((1, None, 2, 3), np.s_[:, :, :, 1::2]),
        ((0, -1, 1, 2), np.s_[:, :, :-1]),
    ],
)
def test_slice_is_that_of_numpy_and_pytorch(arguments, index, same_as_torch, normal):
    layer, x = Slice(*arguments), normal(2, 6, 4, 5)
    np.testing.assert_array_equal(layer(x), x[index])
    assert layer.output_shape(x.shape) == x[index].shape
    same_as_torch(layer, lambda _, x: x[index], x)


def test_a_step_of_pixels_is_a_stride():
    assert Slice(0, None, 2, 2).receptive_field(Field((3, 3), (1, 4))) == Field((3, 3), (2, 4))
    assert Slice(0, None, 3, 3).receptive_field(Field((3, 3), (1, 4))) == Field((3, 3), (1, 12))
    assert Slice(0, None, 2).receptive_field(Field((3, 3), (1, 4))) == Field((3, 3), (1, 4))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 2, 0), ValueError, "step must be at least 1, got 0"),
        ((0, 2, 1, 0), ValueError, "axis must be at least 1, got 0"),
        ((0.5,), TypeError, "start must be an integer, got 0.5"),
        ((0, "2"), TypeError, "stop must be an integer, got '2'"),
    ],
)
def test_slice_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        Slice(*arguments)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((4,), "4::1 along axis 1"),
        ((2, 2), "2:2:1 along axis 1"),
        ((0, -4, 3), "0:-4:3 along axis 1"),
        ((0, None, 1, 4), "0::1 along axis 4"),
    ],
)
def test_a_slice_of_nothing_is_refused(arguments, part):
    with pytest.raises(ValueError, match=rf"Slice finds no entry {part} of shape \(2, 4, 3, 3\)"):
        Slice(*arguments)(np.zeros((2, 4, 3, 3)))


def test_shuffle_by_hand():
    # Groups 0 1 2 and 3 4 5: the first of each, the second of each, the third of each
    shuffle = ChannelShuffle(2)
    y, cache = shuffle.forward(np.arange(6.0).reshape(1, 6, 1, 1))
    assert y.ravel().tolist() == [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
    dx, grads = shuffle.backward(y, cache)
    assert dx.ravel().tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert grads == {}
    assert shuffle.backward(y, cache, input_grad=False) == (None, {})


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_shuffle_is_that_of_pytorch(groups, same_as_torch, normal):
    same_as_torch(ChannelShuffle(groups), lambda _, x: F.channel_shuffle(x, groups), normal(2, 6, 4, 3))


def test_shuffle_bad_arguments():
    with pytest.raises(ValueError, match="groups must be at least 1, got 0"):
        ChannelShuffle(0)
    for shape in ((2, 4), (2, 4, 3, 3)):
        with pytest.raises(ValueError, match=r"ChannelShuffle needs maps .* with C a multiple of 3"):
            ChannelShuffle(3)(np.zeros(shape))


def test_repr():
    assert repr(Slice(1, 3)) == "Slice(1, stop=3)"
    assert repr(Slice(0, None, 2, 3)) == "Slice(0, step=2, axis=3)"
    assert repr(ChannelShuffle(2)) == "ChannelShuffle(2)"
