import numpy as np
import pytest
from torch.nn import functional as F

from neocog.layers import Conv2D, Sequential
from neocog.layers.base import Field


def test_hand_worked_with_padding_and_stride():
    # x padded:  0 0 0 0    w = 1 2    b = 1, stride 2: each window holds one pixel of x
    #            0 1 2 0        3 4
    #            0 3 4 0
    #            0 0 0 0
    # y = 4*1 + 1, 3*2 + 1 / 2*3 + 1, 1*4 + 1
    conv = Conv2D(1, 1, 2, stride=2, padding=1, dtype="float64")
    conv.params["weight"][...] = [[1, 2], [3, 4]]
    conv.params["bias"][...] = 1
    y, cache = conv.forward(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]))
    assert y.tolist() == [[[[5.0, 7.0], [7.0, 5.0]]]]
    # dy = 1 2 / 3 4: dw[1,1] = 1*1, dw[1,0] = 2*2, dw[0,1] = 3*3, dw[0,0] = 4*4; dx = 1*4 2*3 / 3*2 4*1
    dx, grads = conv.backward(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]), cache)
    assert grads["weight"].tolist() == [[[[16.0, 9.0], [4.0, 1.0]]]]
    assert grads["bias"].tolist() == [10.0]
    assert dx.tolist() == [[[[4.0, 6.0], [6.0, 4.0]]]]


def test_hand_worked_depthwise():
    # two 1x1 channels, each with its own weight: y = 3*2, 5*7; dw = dy x = 1*2, 10*7; dx = dy w
    conv = Conv2D(2, 2, 1, groups=2, bias=False, dtype="float64")
    conv.params["weight"][...] = np.reshape([3, 5], (2, 1, 1, 1))
    y, cache = conv.forward(np.reshape([2.0, 7.0], (1, 2, 1, 1)))
    assert y.ravel().tolist() == [6.0, 35.0]
    dx, grads = conv.backward(np.reshape([1.0, 10.0], (1, 2, 1, 1)), cache)
    assert grads["weight"].ravel().tolist() == [2.0, 70.0]
    assert dx.ravel().tolist() == [3.0, 50.0]


def test_the_kernel_is_not_flipped():
    conv = Conv2D(1, 1, 2, bias=False, dtype="float64")
    conv.params["weight"][...] = [[1, 0], [0, 0]]
    assert conv(np.array([[[[5.0, 6.0], [7.0, 8.0]]]])).item() == 5.0


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1},
        {"stride": (3, 1), "padding": (0, 2)},
        {"kernel_size": (3, 2), "dilation": (1, 2)},
        {"kernel_size": 4, "padding": "same"},
        {"kernel_size": (2, 5), "dilation": (3, 1), "padding": "same"},
        {"kernel_size": 2, "padding": "valid", "stride": 2},
        {"groups": 2},
        {"in_channels": 4, "out_channels": 8, "groups": 4, "padding": 2, "dilation": 2},
        {"kernel_size": 1, "stride": 2},
        {"kernel_size": 7, "padding": 3},
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_same_as_pytorch(options, bias, same_as_torch, normal):
    options = {"in_channels": 4, "out_channels": 2, "kernel_size": 3} | options
    conv = Conv2D(**options, bias=bias, rng=0, dtype="float64")
    if bias:
        conv.params["bias"][...] = normal(conv.out_channels)
    geometry = {k: v for k, v in options.items() if k in ("stride", "padding", "dilation", "groups")}
    same_as_torch(conv, lambda p, x: F.conv2d(x, p["weight"], p.get("bias"), **geometry), normal(2, 4, 9, 8))


def test_same_keeps_the_size_and_puts_the_odd_pixel_last():
    conv = Conv2D(1, 1, 2, padding="same", bias=False, dtype="float64")
    conv.params["weight"][...] = 1
    x = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert conv(x).tolist() == [[[[10.0, 6.0], [7.0, 4.0]]]]


def test_same_with_a_stride_depends_on_the_size():
    """TensorFlow has ceil(size / stride) windows, their padding shared out, the odd one after the image."""
    conv = Conv2D(1, 1, 3, stride=2, padding="same", bias=False, dtype="float64")
    conv.params["weight"][...] = [[0, 0, 0], [1, 10, 100], [0, 0, 0]]
    # of 4 pixels: windows 1 2 3 and 3 4 ., one column after; of 5: . 1 2, 2 3 4 and 4 5 ., one on each side
    assert conv(np.array([[[[1.0, 2, 3, 4]] * 2]]))[0, 0].tolist() == [[321, 43]]
    assert conv(np.array([[[[1.0, 2, 3, 4, 5]] * 2]]))[0, 0].tolist() == [[210, 432, 54]]
    # the middle row of two rows' only window is the second row: nothing before, one row after
    assert conv.window_sides((1, 1, 2, 5)) == ((0, 1), (1, 1))
    wide = Conv2D(1, 1, (1, 6), stride=(3, 2), padding="same", dilation=(1, 2))
    assert wide.window_sides((1, 1, 7, 7)) == ((0, 0), (5, 5))  # (4 - 1) 2 + 11 - 7 = 10 columns
    assert wide.output_shape((2, 1, 7, 7)) == (2, 1, 3, 4)


@pytest.mark.parametrize(
    ("conv", "input_shape", "output_shape", "flops"),
    [
        (Conv2D(1, 3, 3), (1, 1, 8, 8), (1, 3, 6, 6), 2 * 36 * 27),
        (Conv2D(3, 8, 5), (16, 3, 32, 32), (16, 8, 28, 28), 2 * 16 * 784 * 600),
        (Conv2D(3, 96, 11, stride=4), (1, 3, 227, 227), (1, 96, 55, 55), 210_830_400),
        (Conv2D(3, 64, 7, 2, 3), (1, 3, 224, 224), (1, 64, 112, 112), 2 * 112 * 112 * 9408),
        (Conv2D(2, 2, 3, dilation=2), (0, 2, 5, 6), (0, 2, 1, 2), 0),
        (Conv2D(4, 8, 3, groups=4, padding="same"), (1, 4, 5, 5), (1, 8, 5, 5), 2 * 25 * 72),
        (Conv2D(1, 1, (1, 3), stride=(1, 2), padding=(0, 1)), (1, 1, 2, 7), (1, 1, 2, 4), 2 * 8 * 3),
    ],
)
def test_output_shape_and_flops(conv, input_shape, output_shape, flops):
    assert conv.output_shape(input_shape) == output_shape
    assert conv.flops(input_shape) == flops


@pytest.mark.parametrize(
    ("stack", "size"),
    [
        ([Conv2D(1, 1, 3)], (3, 3)),
        ([Conv2D(1, 1, 3)] * 2, (5, 5)),
        ([Conv2D(1, 1, 3)] * 3, (7, 7)),
        ([Conv2D(1, 1, 3, stride=2), Conv2D(1, 1, 3)], (7, 7)),
        ([Conv2D(1, 1, 3, dilation=2), Conv2D(1, 1, 3, dilation=4)], (13, 13)),
        ([Conv2D(1, 1, 3, stride=2), Conv2D(1, 1, 3, dilation=2)], (11, 11)),
        ([Conv2D(1, 1, (1, 5), stride=(1, 2)), Conv2D(1, 1, (3, 2))], (3, 7)),
    ],
)
def test_receptive_field(stack, size):
    assert Sequential(*stack).receptive_field(Field()).size == size


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"in_channels": 0}, ValueError, "in_channels must be at least 1, got 0"),
        ({"out_channels": -2}, ValueError, "out_channels must be at least 1, got -2"),
        ({"in_channels": 1.0}, TypeError, "in_channels must be an integer, got 1.0"),
        ({"in_channels": True}, TypeError, "in_channels must be an integer, got True"),
        ({"kernel_size": 0}, ValueError, "kernel_size must be at least 1, got 0"),
        ({"kernel_size": (3, 2.5)}, TypeError, "kernel_size must be an integer, got 2.5"),
        ({"kernel_size": (3, 3, 3)}, ValueError, r"kernel_size must be an integer or a pair .* \(3, 3, 3\)"),
        ({"kernel_size": "3"}, TypeError, "kernel_size must be an integer, got '3'"),
        ({"stride": 0}, ValueError, "stride must be at least 1, got 0"),
        ({"stride": False}, TypeError, "stride must be an integer, got False"),
        ({"dilation": -1}, ValueError, "dilation must be at least 1, got -1"),
        ({"padding": -1}, ValueError, "padding must be at least 0, got -1"),
        ({"padding": 0.5}, TypeError, "padding must be an integer, got 0.5"),
        ({"padding": ((1, 1),)}, ValueError, r"\(\(top, bottom\), \(left, right\)\), got \(\(1, 1\),\)"),
        ({"padding": ((0, 1), (-2, 0))}, ValueError, "padding must be at least 0, got -2"),
        ({"padding": "sane"}, ValueError, "'same', 'valid', got 'sane'. Did you mean 'same'"),
        ({"groups": 3}, ValueError, "groups must divide .* groups=3, in_channels=2, out_channels=4"),
        ({"groups": 4}, ValueError, "groups must divide .* groups=4"),
        ({"groups": 0}, ValueError, "groups must be at least 1"),
        ({"rng": 0.5}, TypeError, "rng must be .* got 0.5"),
        ({"rng": -1}, ValueError, "rng must be .* -1"),
        ({"dtype": "int32"}, TypeError, "dtype must be a floating point type, got int32"),
        ({"dtype": "float31"}, TypeError, "dtype must be a floating point type, got 'float31'"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        Conv2D(**{"in_channels": 2, "out_channels": 4, "kernel_size": 3} | arguments)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((2, 8, 8)), ValueError, r"Conv2D needs images of shape \(N, C, H, W\), got .*\(2, 8, 8\)"),
        (np.zeros((1, 3, 8, 8)), ValueError, "Conv2D needs 2 input channels, got 3"),
        (np.zeros((1, 2, 2, 8)), ValueError, r"kernel \(4, 3\) .* larger than the 2x8 image with padding"),
        (np.zeros((1, 2, 8, 0)), ValueError, "larger than the 8x0 image"),
        (np.zeros((1, 2, 8, 8), np.uint8), TypeError, "x must be a floating point array, got uint8"),
        (np.zeros((1, 2, 8, 8), bool), TypeError, "x must be a floating point array, got bool"),
    ],
)
def test_bad_inputs(x, error, message):
    with pytest.raises(error, match=message):
        Conv2D(2, 1, (4, 3), padding=(0, 1)).forward(x)


def test_computes_in_the_dtype_of_its_parameters():
    conv = Conv2D(1, 1, 1, rng=0)
    assert conv.dtype == np.float32
    assert conv(np.zeros((1, 1, 1, 1))).dtype == np.float32
    assert conv.astype("float64")(np.zeros((1, 1, 1, 1), np.float32)).dtype == np.float64


def test_initial_weights():
    conv = Conv2D(4, 6, (3, 2), groups=2, rng=5, dtype="float64")
    expected = np.random.default_rng(5).normal(0, np.sqrt(2 / (2 * 3 * 2)), (6, 2, 3, 2))
    assert np.array_equal(conv.params["weight"], expected)
    assert conv.params["bias"].tolist() == [0.0] * 6
    assert conv.parameter_count == 72 + 6


@pytest.mark.parametrize(
    ("conv", "text"),
    [
        (Conv2D(1, 2, 3), "Conv2D(1, 2, 3)"),
        (Conv2D(1, 2, (3, 4), stride=(2, 2)), "Conv2D(1, 2, (3, 4), stride=2)"),
        (Conv2D(2, 2, 3, padding="same", bias=False), "Conv2D(2, 2, 3, padding='same', bias=False)"),
        (Conv2D(2, 2, 3, padding=((0, 1), (0, 1))), "Conv2D(2, 2, 3, padding=((0, 1), (0, 1)))"),
        (Conv2D(2, 2, 3, padding=[[1, 1], [1, 1]]), "Conv2D(2, 2, 3, padding=1)"),
        (Conv2D(2, 2, 3, 1, (1, 0), 2, 2, rng=3), "Conv2D(2, 2, 3, padding=(1, 0), dilation=2, groups=2)"),
    ],
)
def test_repr(conv, text):
    assert repr(conv) == text


def test_padding_on_one_side_by_hand():
    # a row of zeros on top, a column on the right, and the kernel 1 2 / 3 4
    conv = Conv2D(1, 1, 2, padding=((1, 0), (0, 1)), bias=False, dtype="float64")
    conv.params["weight"][...] = [[[[1, 2], [3, 4]]]]
    y, cache = conv.forward(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]))
    # 3*1 + 4*2 | 3*2 / 1*1 + 2*2 + 3*3 + 4*4 | 1*2 + 3*4
    assert y.tolist() == [[[[11.0, 6.0], [30.0, 14.0]]]]
    dx, grads = conv.backward(np.array([[[[1.0, 0.0], [0.0, 10.0]]]]), cache)
    assert dx.tolist() == [[[[3.0, 4.0 + 10.0], [0.0, 30.0]]]]
    assert grads["weight"].tolist() == [[[[20.0, 0.0], [1.0 + 40.0, 2.0]]]]


@pytest.mark.parametrize("padding", [((1, 0), (0, 2)), ((0, 3), (1, 1)), ((2, 2), (3, 3))])
@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"dilation": (1, 2), "groups": 2}])
def test_padding_side_by_side_is_that_of_pytorch(padding, options, same_as_torch, normal):
    (top, bottom), (left, right) = padding
    conv = Conv2D(4, 2, 3, padding=padding, rng=0, dtype="float64", **options)
    same_as_torch(
        conv,
        lambda p, x: F.conv2d(F.pad(x, (left, right, top, bottom)), p["weight"], p["bias"], **options),
        normal(2, 4, 6, 7),
    )
