import numpy as np
import pytest
from torch.nn import functional as F

from neocog.layers import Flatten, Pad2D, PadChannels
from neocog.layers.base import Field


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


def test_pad_by_hand():
    pad = Pad2D(((1, 0), (0, 2)), value=9)
    y, cache = pad.forward(np.array([[[[1.0, 2.0]]]]))
    assert y.tolist() == [[[[9.0, 9.0, 9.0, 9.0], [1.0, 2.0, 9.0, 9.0]]]]
    dx, grads = pad.backward(np.arange(8.0).reshape(1, 1, 2, 4), cache)
    assert dx.tolist() == [[[[4.0, 5.0]]]]
    assert grads == {}


@pytest.mark.parametrize(
    ("padding", "torch_padding"),
    [(1, (1, 1, 1, 1)), ((1, 2), (2, 2, 1, 1)), (((1, 2), (3, 0)), (3, 0, 1, 2)), (0, (0, 0, 0, 0))],
)
@pytest.mark.parametrize("value", [0.0, -2.5])
def test_pad_is_that_of_pytorch(padding, torch_padding, value, same_as_torch, normal):
    same_as_torch(
        Pad2D(padding, value), lambda _, x: F.pad(x, torch_padding, value=value), normal(2, 3, 4, 5)
    )


def test_pad_with_infinity():
    assert Pad2D(1, -np.inf)(np.zeros((1, 1, 1, 1))).sum() == -np.inf


def test_pad_sizes():
    assert Pad2D(((1, 2), (3, 4))).output_shape((5, 6, 7, 8)) == (5, 6, 10, 15)
    assert Pad2D(1).flops((1, 1, 2, 2)) == 0
    assert Pad2D(1).receptive_field(Field((3, 3))).size == (3, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((-1,), ValueError, "padding must be at least 0, got -1"),
        ((0.5,), TypeError, "padding must be an integer, got 0.5"),
        ((True,), TypeError, "padding must be an integer, got True"),
        (((1, 2, 3),), ValueError, "padding must be an integer or a pair"),
        (
            (((1, 2),),),
            ValueError,
            r"padding must be \(\(top, bottom\), \(left, right\)\), got \(\(1, 2\),\)",
        ),
        ((((1, -2), (0, 0)),), ValueError, "padding must be at least 0, got -2"),
        ((1, "black"), TypeError, "value must be a number, got 'black'"),
    ],
)
def test_pad_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        Pad2D(*arguments)


def test_pad_needs_images():
    with pytest.raises(ValueError, match=r"Pad2D needs images of shape \(N, C, H, W\), got shape \(2, 3\)"):
        Pad2D(1).forward(np.zeros((2, 3)))


@pytest.mark.parametrize("padding", [1, (1, 2), ((0, 1), (2, 3)), ((0, 1), (0, 1)), ((1, 0), (1, 0))])
def test_repr_builds_the_same_layer(padding):
    layer = Pad2D(padding, 0.5)
    assert eval(repr(layer)).padding == layer.padding
    assert repr(Flatten()) == "Flatten()"


def test_pad_channels_by_hand():
    pad = PadChannels(2)
    y, cache = pad.forward(np.array([[[[1.0, 2.0]]]]))
    assert y.tolist() == [[[[1.0, 2.0]], [[0.0, 0.0]], [[0.0, 0.0]]]]
    dx, grads = pad.backward(np.arange(6.0).reshape(1, 3, 1, 2), cache)
    assert dx.tolist() == [[[[0.0, 1.0]]]]
    assert grads == {}
    assert pad.output_shape((5, 3, 4, 4)) == (5, 5, 4, 4)
    assert repr(pad) == "PadChannels(2)"


@pytest.mark.parametrize("channels", [0, 1, 3])
def test_pad_channels_is_that_of_pytorch(channels, same_as_torch, normal):
    padding = (0, 0, 0, 0, 0, channels)
    same_as_torch(PadChannels(channels), lambda _, x: F.pad(x, padding), normal(2, 3, 4, 5))


def test_pad_channels_bad_arguments():
    with pytest.raises(ValueError, match="channels must be at least 0, got -1"):
        PadChannels(-1)
    with pytest.raises(
        ValueError, match=r"PadChannels needs images of shape \(N, C, H, W\), got shape \(2, 3\)"
    ):
        PadChannels(1).forward(np.zeros((2, 3)))
