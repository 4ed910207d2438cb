import numpy as np
import pytest
import torch
from torch.nn import functional as F

from neocog.kernels import use_kernels
from neocog.layers import AvgPool2D, Conv2D, GlobalAvgPool2D, GlobalMaxPool2D, MaxPool2D, Sequential
from neocog.layers.base import Field

X = np.array([[[[1.0, 5.0, 2.0], [3.0, 4.0, 6.0], [9.0, 7.0, 8.0]]]])


def test_max_pooling_by_hand():
    # windows of 2 with stride 1: 1 5 3 4 | 5 2 4 6 | 3 4 9 7 | 4 6 7 8
    y, cache = MaxPool2D(2, stride=1).forward(X)
    assert y.tolist() == [[[[5.0, 6.0], [9.0, 8.0]]]]
    dx, grads = MaxPool2D(2, stride=1).backward(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]), cache)
    assert dx.tolist() == [[[[0.0, 1.0, 0.0], [0.0, 0.0, 2.0], [3.0, 0.0, 4.0]]]]
    assert grads == {}


def test_overlapping_windows_with_one_winner_add_up():
    x = np.array([[[[0.0, 9.0, 0.0]]]])
    pool = MaxPool2D((1, 2), stride=1)
    _, cache = pool.forward(x)
    assert pool.backward(np.array([[[[2.0, 5.0]]]]), cache)[0].tolist() == [[[[0.0, 7.0, 0.0]]]]


def test_a_tie_goes_to_the_first():
    pool = MaxPool2D(2)
    _, cache = pool.forward(np.array([[[[0.0, 3.0], [3.0, 3.0]]]]))
    assert pool.backward(np.ones((1, 1, 1, 1)), cache)[0].tolist() == [[[[0.0, 1.0], [0.0, 0.0]]]]


def test_average_pooling_by_hand():
    # windows of 2 with stride 1: 13/4 | 17/4 | 23/4 | 25/4
    y, cache = AvgPool2D(2, stride=1).forward(X)
    assert y.tolist() == [[[[3.25, 4.25], [5.75, 6.25]]]]
    # a quarter of each dy = 4 8 / 12 16 to each of its pixels: 1 1+2 2 / 1+3 1+2+3+4 2+4 / 3 3+4 4
    dx, grads = AvgPool2D(2, stride=1).backward(np.array([[[[4.0, 8.0], [12.0, 16.0]]]]), cache)
    assert dx.tolist() == [[[[1.0, 3.0, 2.0], [4.0, 10.0, 6.0], [3.0, 7.0, 4.0]]]]
    assert grads == {}


@pytest.mark.parametrize(
    ("count_include_pad", "y", "dx"),
    [
        # padding 1: the windows hold 8 | 12 / 16 | 4 alone, over 4 or over 1
        (True, [[2.0, 3.0], [4.0, 1.0]], [[1.0, 2.0], [3.0, 4.0]]),
        (False, [[8.0, 12.0], [16.0, 4.0]], [[4.0, 8.0], [12.0, 16.0]]),
    ],
)
def test_average_pooling_over_padding_by_hand(count_include_pad, y, dx):
    pool = AvgPool2D(2, padding=1, count_include_pad=count_include_pad)
    got, cache = pool.forward(np.array([[[[8.0, 12.0], [16.0, 4.0]]]]))
    assert got.tolist() == [[y]]
    assert pool.backward(np.array([[[[4.0, 8.0], [12.0, 16.0]]]]), cache)[0].tolist() == [[dx]]


def test_global_average_pooling_by_hand():
    y, cache = GlobalAvgPool2D().forward(np.array([[[[1.0, 2.0], [4.0, 5.0]], [[0.0, 0.0], [0.0, 4.0]]]]))
    assert y.tolist() == [[3.0, 1.0]]
    dx, _ = GlobalAvgPool2D().backward(np.array([[4.0, -8.0]]), cache)
    assert dx.tolist() == [[[[1.0, 1.0], [1.0, 1.0]], [[-2.0, -2.0], [-2.0, -2.0]]]]


GEOMETRIES = [(2, None, 0), (3, 2, 1), (3, 1, 1), ((2, 3), (1, 2), (1, 0)), (2, 3, 0), ((5, 1), 1, (2, 0))]


@pytest.mark.parametrize(("kernel_size", "stride", "padding"), GEOMETRIES)
def test_same_as_pytorch(kernel_size, stride, padding, same_as_torch, normal):
    x = normal(2, 3, 7, 6)
    geometry = (kernel_size, stride, padding)
    same_as_torch(MaxPool2D(*geometry), lambda _, x: F.max_pool2d(x, *geometry), x)
    same_as_torch(AvgPool2D(*geometry), lambda _, x: F.avg_pool2d(x, *geometry), x)
    same_as_torch(
        AvgPool2D(*geometry, count_include_pad=False),
        lambda _, x: F.avg_pool2d(x, *geometry, count_include_pad=False),
        x,
    )


def test_same_is_tensorflows():
    """Pooling has ceil(size / stride) windows, their padding shared out, the odd one after the image."""
    x = np.arange(1.0, 6).reshape(1, 1, 1, 5)
    mean = AvgPool2D((1, 4), (1, 2), "same", count_include_pad=False)
    assert mean(x)[0, 0].tolist() == [[2, 3.5, 4.5]]  # . 1 2 3 | 2 3 4 5 | 4 5 . .
    assert AvgPool2D((1, 4), (1, 2), "same")(x)[0, 0].tolist() == [[6 / 4, 14 / 4, 9 / 4]]
    assert MaxPool2D((1, 2), padding="same")(-x)[0, 0].tolist() == [[-1, -3, -5]]  # 1 2 | 3 4 | 5 .
    assert MaxPool2D((1, 2), padding="same").output_shape((1, 1, 1, 6)) == (1, 1, 1, 3)
    assert MaxPool2D((1, 2), padding="valid")(-x)[0, 0].tolist() == [[-1, -3]]


def test_global_pooling_is_that_of_pytorch(same_as_torch, normal):
    same_as_torch(GlobalAvgPool2D(), lambda _, x: F.adaptive_avg_pool2d(x, 1).flatten(1), normal(2, 3, 4, 5))


@pytest.mark.parametrize("make", [MaxPool2D, AvgPool2D])
def test_output_shape_and_flops(make):
    assert make(2).output_shape((1, 3, 6, 6)) == (1, 3, 3, 3)
    assert make(2).flops((1, 3, 6, 6)) == 27 * 4
    assert make(2).output_shape((5, 1, 7, 9)) == (5, 1, 3, 4)
    assert make(3, 2, 1).output_shape((1, 64, 112, 112)) == (1, 64, 56, 56)
    assert make((1, 3), (2, 1)).output_shape((0, 2, 4, 4)) == (0, 2, 2, 2)
    assert make((1, 3), (2, 1)).flops((2, 2, 4, 4)) == 2 * 2 * 4 * 3


def test_global_output_shape_and_flops():
    assert GlobalAvgPool2D().output_shape((2, 3, 4, 5)) == (2, 3)
    assert GlobalAvgPool2D().flops((2, 3, 4, 5)) == 120


@pytest.mark.parametrize(
    ("stack", "size", "jump"),
    [
        ([Conv2D(1, 1, 3), MaxPool2D(2)], (4, 4), (2, 2)),
        ([Conv2D(1, 1, 3), Conv2D(1, 1, 3), MaxPool2D(2), Conv2D(1, 1, 3)], (10, 10), (2, 2)),
        ([AvgPool2D(3, 2), AvgPool2D(3, 2)], (7, 7), (4, 4)),
        ([MaxPool2D((2, 1)), Conv2D(1, 1, 3)], (6, 3), (2, 1)),
        ([Conv2D(1, 1, 3), GlobalAvgPool2D()], (np.inf, np.inf), (1, 1)),
    ],
)
def test_receptive_field(stack, size, jump):
    field = Sequential(*stack).receptive_field(Field())
    assert (field.size, field.jump) == (size, jump)


@pytest.mark.parametrize("make", [MaxPool2D, AvgPool2D])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"kernel_size": 0}, ValueError, "kernel_size must be at least 1, got 0"),
        ({"kernel_size": 2.0}, TypeError, "kernel_size must be an integer, got 2.0"),
        ({"kernel_size": True}, TypeError, "kernel_size must be an integer, got True"),
        ({"stride": -1}, ValueError, "stride must be at least 1, got -1"),
        ({"stride": (1, 2, 3)}, ValueError, "stride must be an integer or a pair"),
        ({"padding": -1}, ValueError, "padding must be at least 0, got -1"),
        (
            {"padding": "samé"},
            ValueError,
            "padding must be one of 'same', 'valid', got 'samé'. Did you mean 'same'",
        ),
        (
            {"kernel_size": 3, "padding": 3},
            ValueError,
            r"padding must be smaller than the window, which reaches over \(3, 3\), got \(3, 3\): no window",
        ),
        ({"kernel_size": (4, 1), "padding": (2, 1)}, ValueError, r"over \(4, 1\), got \(2, 1\)"),
        ({"kernel_size": 2, "dilation": 2, "padding": 3}, ValueError, r"over \(3, 3\), got \(3, 3\)"),
        ({"padding": ((1, 1),)}, ValueError, r"\(\(top, bottom\), \(left, right\)\), got \(\(1, 1\),\)"),
        ({"padding": ((0, -1), (0, 0))}, ValueError, "padding must be at least 0, got -1"),
        ({"dilation": 0}, ValueError, "dilation must be at least 1, got 0"),
    ],
)
def test_bad_arguments(make, arguments, error, message):
    with pytest.raises(error, match=message):
        make(**{"kernel_size": 2} | arguments)


@pytest.mark.parametrize("make", [MaxPool2D, AvgPool2D])
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 8, 8), r"Pool2D needs images of shape \(N, C, H, W\), got shape \(3, 8, 8\)"),
        ((1, 1, 2, 8), r"Pool2D's window \(3, 3\) is larger than the 2x8 image with padding \(0, 0\)"),
        ((1, 1, 0, 8), "larger than the 0x8 image"),
    ],
)
def test_bad_inputs(make, shape, message):
    with pytest.raises(ValueError, match=message):
        make(3).forward(np.zeros(shape))


@pytest.mark.parametrize(
    ("shape", "message"), [((2, 3), "needs images"), ((1, 2, 0, 3), "at least one pixel")]
)
def test_bad_inputs_of_global_pooling(shape, message):
    with pytest.raises(ValueError, match=message):
        GlobalAvgPool2D().forward(np.zeros(shape))


@pytest.mark.parametrize(
    ("pool", "text"),
    [
        (MaxPool2D(2), "MaxPool2D(2)"),
        (MaxPool2D(2, stride=2), "MaxPool2D(2)"),
        (MaxPool2D((2, 3), 1, (1, 0)), "MaxPool2D((2, 3), stride=1, padding=(1, 0))"),
        (AvgPool2D(3, 2, 1, False), "AvgPool2D(3, stride=2, padding=1, count_include_pad=False)"),
        (GlobalAvgPool2D(), "GlobalAvgPool2D()"),
    ],
)
def test_repr(pool, text):
    assert repr(pool) == text


@pytest.mark.parametrize("make", [MaxPool2D, AvgPool2D])
def test_pixels_must_be_floating_point(make):
    with pytest.raises(TypeError, match="needs floating point images, got int64"):
        make(2, padding=1)(np.ones((1, 1, 4, 4), np.int64))


def test_max_pooling_of_pixels_apart_by_hand():
    # taps 2 apart: 1 2 9 8
    pool = MaxPool2D(2, dilation=2)
    y, cache = pool.forward(X)
    assert y.tolist() == [[[[9.0]]]]
    dx, _ = pool.backward(np.array([[[[5.0]]]]), cache)
    assert dx.tolist() == [[[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [5.0, 0.0, 0.0]]]]


def test_windows_apart_in_stride_but_not_in_reach_add_up():
    """Taps 0 and 2, then 2 and 4: neighbours share a pixel though the kernel is no larger than the stride."""
    pool = MaxPool2D((1, 2), stride=(1, 2), dilation=(1, 2))
    _, cache = pool.forward(np.array([[[[0.0, 0.0, 9.0, 0.0, 0.0]]]]))
    dx, _ = pool.backward(np.array([[[[2.0, 5.0]]]]), cache)
    assert dx.tolist() == [[[[0.0, 0.0, 7.0, 0.0, 0.0]]]]


def test_sizes_rounded_up_by_hand():
    # windows of 2, stride 2: 1 5 3 4 | 2 6 / 9 7 | 8
    y, cache = MaxPool2D(2, ceil_mode=True).forward(X)
    assert y.tolist() == [[[[5.0, 6.0], [9.0, 8.0]]]]
    dx, _ = MaxPool2D(2, ceil_mode=True).backward(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]), cache)
    assert dx.tolist() == [[[[0.0, 1.0, 0.0], [0.0, 0.0, 2.0], [3.0, 0.0, 4.0]]]]
    # what runs over the end is never counted: 13/4 | 8/2 / 16/2 | 8/1
    y, cache = AvgPool2D(2, ceil_mode=True).forward(X)
    assert y.tolist() == [[[[3.25, 4.0], [8.0, 8.0]]]]
    dx, _ = AvgPool2D(2, ceil_mode=True).backward(np.array([[[[4.0, 2.0], [6.0, 5.0]]]]), cache)
    assert dx.tolist() == [[[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [3.0, 3.0, 5.0]]]]


def test_a_divisor_of_its_own_by_hand():
    y, cache = AvgPool2D(2, 1, divisor_override=2).forward(X)
    assert y.tolist() == [[[[6.5, 8.5], [11.5, 12.5]]]]
    dx, _ = AvgPool2D(2, 1, divisor_override=2).backward(np.array([[[[2.0, 0.0], [0.0, 4.0]]]]), cache)
    assert dx.tolist() == [[[[1.0, 1.0, 0.0], [1.0, 3.0, 2.0], [0.0, 2.0, 2.0]]]]


def test_padding_on_one_side_by_hand():
    # a row on top and a column on the right; windows of 2, stride 2: . . 1 5 | . . 2 . / 3 4 9 7 | 6 . 8 .
    padding = ((1, 0), (0, 1))
    assert MaxPool2D(2, padding=padding)(X).tolist() == [[[[5.0, 2.0], [9.0, 8.0]]]]
    assert AvgPool2D(2, padding=padding)(X).tolist() == [[[[1.5, 0.5], [5.75, 3.5]]]]
    inside = AvgPool2D(2, padding=padding, count_include_pad=False)(X)
    assert inside.tolist() == [[[[3.0, 2.0], [5.75, 7.0]]]]


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(("kernel_size", "stride", "padding"), [*GEOMETRIES, (2, 2, 1), (3, 2, 0), (4, 3, 2)])
def test_every_option_is_that_of_pytorch(kernel_size, stride, padding, ceil_mode, same_as_torch, normal):
    x, geometry = normal(2, 3, 7, 6), (kernel_size, stride, padding)
    for dilation in (1, 2, (1, 3)):
        try:
            MaxPool2D(*geometry, dilation, ceil_mode)(x)
        except ValueError:
            with pytest.raises(RuntimeError, match="too small"):
                F.max_pool2d(torch.from_numpy(x), *geometry, dilation, ceil_mode)
            continue
        same_as_torch(
            MaxPool2D(*geometry, dilation, ceil_mode),
            lambda _, x, dilation=dilation: F.max_pool2d(x, *geometry, dilation, ceil_mode),
            x,
        )
    for count_include_pad in (False, True):
        for divisor in (None, 5, -2):
            options = (ceil_mode, count_include_pad, divisor)
            same_as_torch(
                AvgPool2D(*geometry, count_include_pad, ceil_mode, divisor),
                lambda _, x, options=options: F.avg_pool2d(x, *geometry, *options),
                x,
            )


def test_padding_up_to_the_window(same_as_torch, normal):
    """More than PyTorch allows: the same as an image padded before."""
    x, sides = normal(2, 3, 5, 6), (1, 2, 2, 0)  # left, right, top, bottom
    pool = MaxPool2D(3, 2, ((2, 0), (1, 2)))
    same_as_torch(pool, lambda _, x: F.max_pool2d(F.pad(x, sides, value=-np.inf), 3, 2), x)
    pool = AvgPool2D(3, 2, ((2, 0), (1, 2)))
    same_as_torch(pool, lambda _, x: F.avg_pool2d(F.pad(x, sides), 3, 2), x)


@pytest.mark.parametrize("make", [MaxPool2D, AvgPool2D])
def test_no_window_may_lie_wholly_in_the_padding(make):
    assert make((3, 2), padding=((2, 2), (1, 1)))(np.ones((1, 1, 2, 2))).shape == (1, 1, 2, 2)
    # windows of 1, stride 2: the last one is the padding if the image has an even number of rows
    below = make(1, stride=2, padding=((0, 1), (0, 0)))
    assert below.output_shape((1, 1, 3, 4)) == (1, 1, 2, 2)
    with pytest.raises(
        ValueError,
        match=r"Pool2D's window \(1, 1\) and stride \(2, 2\) would lie wholly in the padding "
        r"\(\(0, 1\), \(0, 0\)\) of the 4x4 image",
    ):
        below.output_shape((1, 1, 4, 4))
    # taps at -2 and 3 miss an image of three rows, though each side's padding is smaller than the window
    apart = make((2, 1), 2, (2, 0), dilation=(5, 1))
    assert apart.output_shape((1, 1, 4, 1)) == (1, 1, 2, 1)
    with pytest.raises(ValueError, match=r"window \(2, 1\) with dilation \(5, 1\) and stride \(2, 2\) would"):
        apart.forward(np.ones((1, 1, 3, 1)))


def test_global_max_pooling_by_hand():
    x = np.array([[[[1.0, 2.0], [4.0, 4.0]], [[0.0, -1.0], [-2.0, -3.0]]]])
    y, cache = GlobalMaxPool2D().forward(x)
    assert y.tolist() == [[4.0, 0.0]]
    dx, grads = GlobalMaxPool2D().backward(np.array([[3.0, -8.0]]), cache)
    assert dx.tolist() == [[[[0.0, 0.0], [3.0, 0.0]], [[-8.0, 0.0], [0.0, 0.0]]]]  # the first of the fours
    assert grads == {}


def test_global_max_pooling_is_that_of_pytorch(same_as_torch, normal):
    same_as_torch(GlobalMaxPool2D(), lambda _, x: F.adaptive_max_pool2d(x, 1).flatten(1), normal(2, 3, 4, 5))
    y, _ = GlobalMaxPool2D().forward(np.array([[[[1.0, np.nan]], [[-np.inf, -np.inf]]]]))
    np.testing.assert_array_equal(y, [[np.nan, -np.inf]])


@pytest.mark.parametrize(
    ("shape", "message"), [((2, 3), "needs images"), ((1, 2, 0, 3), "at least one pixel")]
)
def test_bad_inputs_of_global_max_pooling(shape, message):
    with pytest.raises(ValueError, match=message):
        GlobalMaxPool2D().forward(np.zeros(shape))


def test_sizes_of_the_options():
    assert GlobalMaxPool2D().output_shape((2, 3, 4, 5)) == (2, 3)
    assert GlobalMaxPool2D().flops((2, 3, 4, 5)) == 120
    assert GlobalMaxPool2D().receptive_field(Field()).size == (np.inf, np.inf)
    assert MaxPool2D(3, dilation=(2, 1)).receptive_field(Field()).size == (5, 3)
    assert AvgPool2D(2, dilation=3).receptive_field(Field((3, 3), (2, 2))).size == (9, 9)
    assert MaxPool2D(2, ceil_mode=True).output_shape((1, 1, 5, 7)) == (1, 1, 3, 4)
    assert MaxPool2D(2, ceil_mode=True).flops((1, 1, 5, 7)) == 48
    assert repr(MaxPool2D(2, 1, ((1, 0), (0, 1)), 2, True)) == (
        "MaxPool2D(2, stride=1, padding=((1, 0), (0, 1)), dilation=2, ceil_mode=True)"
    )
    assert repr(MaxPool2D(3, padding=((1, 1), (0, 0)))) == "MaxPool2D(3, padding=(1, 0))"
    assert repr(AvgPool2D(2, divisor_override=3)) == "AvgPool2D(2, divisor_override=3)"


@pytest.mark.parametrize(("divisor", "error"), [(0, ValueError), (1.5, TypeError)])
def test_bad_divisors(divisor, error):
    with pytest.raises(error, match="divisor_override must"):
        AvgPool2D(2, divisor_override=divisor)


INFINITE = -np.inf
VALUES = {
    "all minus infinity": [INFINITE],
    "all NaN": [np.nan],
    "minus infinity and NaN": [INFINITE, INFINITE, np.nan],
    "ties": [0.0, 1.0],
    "everything": [0.0, 1.0, 2.0, INFINITE, INFINITE, INFINITE, np.inf, np.nan],
}


@pytest.mark.parametrize("kernels", ["reference", "im2col", "fused"])
@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize(
    ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    [
        (2, 2, 0, 1, False),
        (2, 2, 1, 1, False),
        (3, 1, 1, 1, False),  # overlapping
        (3, 2, 1, 1, True),
        ((3, 2), (2, 3), (1, 0), 1, True),
        (2, 2, 1, 2, False),
        (3, 1, 1, 2, False),
    ],
)
@pytest.mark.parametrize("images", [1, 9])
def test_what_no_maximum_exists_of_goes_where_pytorch_sends_it(
    kernels, values, kernel_size, stride, padding, dilation, ceil_mode, images
):
    rng = np.random.default_rng(0)
    x = rng.choice(VALUES[values], (images, 2, 6, 7))
    theirs = torch.tensor(x, requires_grad=True)
    expected = F.max_pool2d(theirs, kernel_size, stride, padding, dilation, ceil_mode)
    dy = rng.normal(size=expected.shape)
    expected.backward(torch.tensor(dy))
    layer = MaxPool2D(kernel_size, stride, padding, dilation, ceil_mode)
    with use_kernels(kernels):
        y, cache = layer.forward(x, training=True)
        dx, _ = layer.backward(dy, cache)
        np.testing.assert_array_equal(Sequential(layer)(x), expected.detach())  # without the winners
    np.testing.assert_array_equal(y, expected.detach())
    np.testing.assert_allclose(dx, theirs.grad, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kernels", ["im2col", "fused"])
@pytest.mark.parametrize("values", VALUES)
def test_global_max_pooling_of_no_maximum_is_pytorchs(kernels, values):
    rng = np.random.default_rng(0)
    x, dy = rng.choice(VALUES[values], (40, 2, 2, 3)), rng.normal(size=(40, 2))
    theirs = torch.tensor(x, requires_grad=True)
    expected = F.adaptive_max_pool2d(theirs, 1).flatten(1)
    expected.backward(torch.tensor(dy))
    with use_kernels(kernels):
        y, cache = GlobalMaxPool2D().forward(x, training=True)
        dx, _ = GlobalMaxPool2D().backward(dy, cache)
        np.testing.assert_array_equal(Sequential(GlobalMaxPool2D())(x), expected.detach())
    np.testing.assert_array_equal(y, expected.detach())
    np.testing.assert_array_equal(dx, theirs.grad)
