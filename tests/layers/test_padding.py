import numpy as np
import pytest
import torch
from torch.nn import functional as F

from neocog.layers import Pad2D, PadChannels
from neocog.layers.base import Field


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
        (
            (1, 0.0, "mirror"),
            ValueError,
            "mode must be one of 'constant', 'reflect', 'replicate', 'circular'",
        ),
        ((1, 2.0, "reflect"), ValueError, "value must be 0 in mode 'reflect', which copies pixels, got 2.0"),
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
    assert repr(Pad2D(1, mode="reflect")) == "Pad2D(((1, 1), (1, 1)), mode='reflect')"


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


MODES = ["reflect", "replicate", "circular"]
ROW = np.array([[[[1.0, 2.0, 3.0]]]])


@pytest.mark.parametrize(
    ("mode", "y", "dx"),
    [
        ("reflect", [3, 2, 1, 2, 3, 2], [10, 10 + 100 + 5, 1 + 100]),
        ("replicate", [1, 1, 1, 2, 3, 3], [1 + 10 + 10, 100, 100 + 5]),
        ("circular", [2, 3, 1, 2, 3, 1], [10 + 5, 1 + 100, 10 + 100]),
    ],
)
def test_copied_padding_by_hand(mode, y, dx):
    pad = Pad2D(((0, 0), (2, 1)), mode=mode)
    got, cache = pad.forward(ROW)
    assert got.tolist() == [[[y]]]
    # left: 1, 10; the pixels themselves: 10, 100, 100; right: 5
    got, grads = pad.backward(np.array([[[[1.0, 10.0, 10.0, 100.0, 100.0, 5.0]]]]), cache)
    assert got.tolist() == [[[dx]]]
    assert grads == {}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", [((1, 1), (1, 1)), ((3, 0), (2, 4)), ((0, 0), (1, 0)), ((0, 3), (0, 0))])
def test_copied_padding_is_that_of_pytorch(mode, padding, same_as_torch, normal):
    (top, bottom), (left, right) = padding
    same_as_torch(
        Pad2D(padding, mode=mode),
        lambda _, x: F.pad(x, (left, right, top, bottom), mode=mode),
        normal(2, 3, 4, 5),
    )


@pytest.mark.parametrize(("mode", "most"), [("reflect", 2), ("replicate", 9), ("circular", 3)])
def test_how_far_an_image_can_be_continued(mode, most, same_as_torch):
    pad = Pad2D(((0, 0), (most, most)), mode=mode)
    same_as_torch(pad, lambda _, x: F.pad(x, (most, most, 0, 0), mode=mode), ROW)
    if mode == "replicate":
        with pytest.raises(ValueError, match="cannot continue the 1x0 image"):
            pad.forward(np.zeros((1, 1, 1, 0)))
        return
    with pytest.raises(
        ValueError, match=rf"Pad2D in mode '{mode}' cannot continue the 1x3 image by the padding .*{most + 1}"
    ):
        Pad2D((0, most + 1), mode=mode).forward(ROW)
    with pytest.raises((RuntimeError, ValueError)):
        F.pad(torch.from_numpy(ROW), (most + 1, most + 1, 0, 0), mode=mode)
