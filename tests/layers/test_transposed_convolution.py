import numpy as np
import pytest
from torch.nn import functional as F

from neocog import kernels
from neocog.layers import Conv2D, ConvTranspose2D
from neocog.layers.base import Field


def test_hand_worked_kernels_that_overlap():
    # x = 1 10, w = 1 2 3, stride 2: 1 2 3 + . . 10 20 30 = 1 2 13 20 30; the last is left out; b = 5
    up = ConvTranspose2D(1, 1, (1, 3), stride=(1, 2), padding=((0, 0), (0, 1)), dtype="float64")
    up.params["weight"][...] = [1, 2, 3]
    up.params["bias"][...] = 5
    y, cache = up.forward(np.array([[[[1.0, 10.0]]]]))
    assert y.tolist() == [[[[6.0, 7.0, 18.0, 25.0]]]]
    # dx[0] = 1*1 + 2*2 + 3*3, dx[1] = 1*3 + 2*4; dw[p] = 1 dy[p] + 10 dy[2 + p]: 1 + 30, 2 + 40, 3
    dx, grads = up.backward(np.array([[[[1.0, 2.0, 3.0, 4.0]]]]), cache)
    assert dx.tolist() == [[[[14.0, 11.0]]]]
    assert grads["weight"].tolist() == [[[[31.0, 42.0, 3.0]]]]
    assert grads["bias"].tolist() == [10.0]


def test_it_is_the_adjoint_of_the_convolution_with_its_weights(normal):
    conv = Conv2D(3, 4, (3, 2), (2, 3), ((1, 2), (0, 1)), (1, 2), bias=False, rng=0, dtype="float64")
    up = ConvTranspose2D(4, 3, (3, 2), (2, 3), ((1, 2), (0, 1)), (1, 0), 1, False, (1, 2), dtype="float64")
    up.load(conv.params)
    x = normal(2, 3, 9, 11)
    y = conv(x)
    dy = normal(*y.shape)
    assert up(dy).shape == x.shape
    assert (y * dy).sum() == pytest.approx((x * up(dy)).sum(), rel=1e-13)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1, "output_padding": 1},
        {"stride": (3, 1), "padding": (0, 2), "output_padding": (2, 0)},
        {"kernel_size": (3, 2), "dilation": (1, 2), "stride": (1, 2)},
        {"groups": 2},
        {"in_channels": 4, "out_channels": 8, "groups": 4, "padding": 2, "dilation": 3},
        {"kernel_size": 1, "stride": 2},
        {"kernel_size": 2, "stride": 3, "output_padding": 2},
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_same_as_pytorch(options, bias, same_as_torch, normal):
    options = {"in_channels": 4, "out_channels": 2, "kernel_size": 3} | options
    up = ConvTranspose2D(**options, bias=bias, rng=0, dtype="float64")
    if bias:
        up.params["bias"][...] = normal(up.out_channels)
    names = ("stride", "padding", "output_padding", "dilation", "groups")
    geometry = {key: value for key, value in options.items() if key in names}
    same_as_torch(
        up, lambda p, x: F.conv_transpose2d(x, p["weight"], p.get("bias"), **geometry), normal(2, 4, 5, 6)
    )


@pytest.mark.parametrize("channels", [3, 40])  # with 32 or more, 3 x 3 kernels go by Winograd's method
@pytest.mark.parametrize("stride", [1, 2])
def test_compiled_in_float32(channels, stride, normal):
    x = normal(4, channels, 9, 8).astype("float32")
    up = ConvTranspose2D(channels, channels, 3, stride, 1, rng=0)
    with kernels.use_kernels("reference"):
        y, cache = up.forward(x)
        dy = normal(*y.shape).astype("float32")
        expected = [y, up.backward(dy, cache)[0]]
    with kernels.use_kernels("fused"):
        got = [up.forward(x)[0], up.backward(dy, cache)[0]]
    for mine, wanted in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_sizes_flops_and_receptive_field():
    up = ConvTranspose2D(3, 5, 4, stride=2, padding=1)
    assert up.output_shape((7, 3, 8, 6)) == (7, 5, 16, 12)
    assert up.flops((2, 3, 8, 6)) == 2 * 2 * 8 * 6 * 3 * 5 * 16
    # a place is reached by two pixels in each direction, and neighbours are half a pixel apart
    field = up.receptive_field(Field((5, 5), (2, 2)))
    assert (field.size, field.jump) == ((7, 7), (1, 1))
    field = ConvTranspose2D(1, 1, 2, stride=2).receptive_field(Field())
    assert field.through((2, 2), (2, 2)) == Field((1.5, 1.5), (1, 1))
    assert field.through((2, 2), (2, 2)).within((8, 1)) == (2, 1)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (
            (1, 1, 3),
            {"output_padding": 1},
            r"output_padding must be smaller than the stride \(1, 1\), got \(1, 1\)",
        ),
        ((3, 2, 3), {"groups": 2}, "groups must divide in_channels and out_channels, got groups=2"),
        ((1, 1, 0), {}, "kernel_size must be at least 1, got 0"),
        ((1, 1, 2), {"padding": -1}, "padding must be at least 0, got -1"),
    ],
)
def test_arguments_out_of_range(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        ConvTranspose2D(*arguments, **options)


def test_images_that_do_not_fit():
    with pytest.raises(
        ValueError, match=r"padding \(2, 2\) leaves nothing of what the kernel \(3, 3\) makes of the 1x1"
    ):
        ConvTranspose2D(1, 1, 3, padding=2).output_shape((1, 1, 1, 1))
    with pytest.raises(ValueError, match="ConvTranspose2D needs 2 input channels, got 3"):
        ConvTranspose2D(2, 1, 3).output_shape((1, 3, 4, 4))
