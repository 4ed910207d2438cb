"""Every backend against PyTorch, against explicit padding, and against brute force."""

import itertools

import array_api_strict as strict
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.nn import functional as F

from neocog import AvgPool2D, Conv2D, MaxPool2D, kernels
from neocog.kernels import BACKENDS, columns, output_size, use_kernels
from neocog.kernels.geometry import ceil_padding, window_count, window_counts

every_backend = pytest.mark.parametrize("backend", BACKENDS)


def assert_close(got, expected):
    assert got.shape == tuple(expected.shape)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


def draw_array(draw, *shape):
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    if draw(st.booleans()):
        return rng.normal(size=shape)
    gaps = rng.normal(size=(*reversed(shape), 2))  # neither C nor Fortran order, with gaps
    return gaps[..., 0].T


def pairs(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def convolutions(draw, asymmetric=False):
    """Draw (x, w, b, geometry) with at least one output pixel."""
    groups = draw(st.integers(1, 3))
    C, C_out = (draw(st.integers(1, 2)) for _ in range(2))
    kernel, stride, dilation = draw(pairs(1, 7)), draw(pairs(1, 3)), draw(pairs(1, 2))
    if asymmetric:
        padding = draw(st.tuples(pairs(0, 2), pairs(0, 2)))
    else:
        v, h = draw(pairs(0, 2))
        padding = ((v, v), (h, h))
    sizes = [
        max(1, d * (k - 1) + 1 - sum(p)) + draw(st.integers(0, 4))
        for d, k, p in zip(dilation, kernel, padding, strict=True)
    ]
    x = draw_array(draw, draw(st.integers(0, 2)), groups * C, *sizes)
    w = draw_array(draw, groups * C_out, C, *kernel)
    b = draw(st.sampled_from([None, draw_array(draw, groups * C_out)]))
    return x, w, b, (stride, padding, dilation, groups)


@st.composite
def poolings(draw, dilated=True):
    """Draw (x, kernel, stride, padding, dilation), the padding at most half the kernel.

    No window lies wholly in the padding: PyTorch writes out of bounds then.
    """
    kernel, stride = draw(pairs(1, 7)), draw(pairs(1, 3))
    dilation = draw(pairs(1, 3)) if dilated else (1, 1)
    padding = tuple(draw(st.integers(0, min(2, k // 2))) for k in kernel)
    reaches = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    sizes = [max(1, r - 2 * p) + draw(st.integers(0, 4)) for r, p in zip(reaches, padding, strict=True)]
    x = draw_array(draw, draw(st.integers(0, 2)), draw(st.integers(1, 2)), *sizes)
    rows, columns = window_counts(x.shape, kernel, stride, sides(padding), dilation)
    assume(min(*rows, *columns) > 0)
    return x, kernel, stride, padding, dilation


def sides(padding):
    return tuple((p, p) for p in padding)


def tensor(a):
    return torch.from_numpy(np.array(a, order="C")).requires_grad_()


@every_backend
@given(case=convolutions(), data=st.data())
def test_convolution_is_that_of_pytorch(backend, case, data):
    x, w, b, (stride, padding, dilation, groups) = case
    tx, tw = tensor(x), tensor(w)
    tb = None if b is None else tensor(b)
    expected = F.conv2d(tx, tw, tb, stride, (padding[0][0], padding[1][0]), dilation, groups)
    dy = draw_array(data.draw, *expected.shape)
    expected.backward(torch.from_numpy(np.array(dy, order="C")))
    with use_kernels(backend):
        assert_close(kernels.conv2d(x, w, b, stride, padding, dilation, groups), expected.detach())
        assert_close(kernels.conv2d_input(dy, w, x.shape, stride, padding, dilation, groups), tx.grad)
        assert_close(kernels.conv2d_weight(x, dy, w.shape, stride, padding, dilation, groups), tw.grad)


@every_backend
@given(case=convolutions(asymmetric=True), data=st.data())
def test_asymmetric_padding_is_that_of_an_image_padded_before(backend, case, data):
    x, w, b, (stride, padding, dilation, groups) = case
    (top, _), (left, _) = padding
    padded = np.pad(x, ((0, 0), (0, 0), *padding))
    bare = (stride, ((0, 0), (0, 0)), dilation, groups)
    with use_kernels("reference"):
        expected = kernels.conv2d(padded, w, b, *bare)
        dy = draw_array(data.draw, *expected.shape)
        expected_dx = kernels.conv2d_input(dy, w, padded.shape, *bare)
        expected_dw = kernels.conv2d_weight(padded, dy, w.shape, *bare)
    H, W = x.shape[2:]
    with use_kernels(backend):
        assert_close(kernels.conv2d(x, w, b, stride, padding, dilation, groups), expected)
        dx = kernels.conv2d_input(dy, w, x.shape, stride, padding, dilation, groups)
        assert_close(dx, expected_dx[:, :, top : top + H, left : left + W])
        assert_close(kernels.conv2d_weight(x, dy, w.shape, stride, padding, dilation, groups), expected_dw)


@every_backend
@given(case=convolutions(asymmetric=True), data=st.data())
def test_convolution_has_two_adjoints(backend, case, data):
    x, w, _, geometry = case
    with use_kernels(backend):
        y = kernels.conv2d(x, w, None, *geometry)
        dy = draw_array(data.draw, *y.shape)
        dx = kernels.conv2d_input(dy, w, x.shape, *geometry)
        dw = kernels.conv2d_weight(x, dy, w.shape, *geometry)
    tolerance = 1e-13 * (1 + np.abs(y * dy).sum())
    assert abs((y * dy).sum() - (x * dx).sum()) <= tolerance
    assert abs((y * dy).sum() - (w * dw).sum()) <= tolerance


@every_backend
@given(case=poolings(), data=st.data())
def test_max_pooling_is_that_of_pytorch(backend, case, data):
    x, kernel, stride, padding, dilation = case
    tx = tensor(x)
    expected, indices = F.max_pool2d(tx, kernel, stride, padding, dilation, return_indices=True)
    dy = draw_array(data.draw, *expected.shape)
    expected.backward(torch.from_numpy(np.array(dy, order="C")))
    with use_kernels(backend):
        y, argmax = kernels.max_pool2d(x, kernel, stride, sides(padding), dilation)
        dx = kernels.max_pool2d_input(dy, argmax, x.shape, kernel, stride, sides(padding), dilation)
    assert_close(y, expected.detach())
    assert_close(dx, tx.grad)
    rows = np.arange(y.shape[2])[:, None] * stride[0] - padding[0] + argmax // kernel[1] * dilation[0]
    columns = np.arange(y.shape[3]) * stride[1] - padding[1] + argmax % kernel[1] * dilation[1]
    assert np.array_equal(rows * x.shape[3] + columns, indices)
    assert abs((y * dy).sum() - (x * dx).sum()) <= 1e-13 * (1 + np.abs(y * dy).sum())


@every_backend
@pytest.mark.parametrize("count_include_pad", [True, False])
@given(case=poolings(dilated=False), data=st.data())
def test_average_pooling_is_that_of_pytorch(backend, count_include_pad, case, data):
    x, kernel, stride, padding, dilation = case
    tx = tensor(x)
    expected = F.avg_pool2d(tx, kernel, stride, padding, count_include_pad=count_include_pad)
    dy = draw_array(data.draw, *expected.shape)
    expected.backward(torch.from_numpy(np.array(dy, order="C")))
    geometry = (kernel, stride, sides(padding), dilation)
    counts = None if count_include_pad else window_counts(x.shape, *geometry)
    with use_kernels(backend):
        y = kernels.avg_pool2d(x, *geometry, counts)
        dx = kernels.avg_pool2d_input(dy, x.shape, *geometry, counts)
    assert_close(y, expected.detach())
    assert_close(dx, tx.grad)
    assert abs((y * dy).sum() - (x * dx).sum()) <= 1e-13 * (1 + np.abs(y * dy).sum())


@every_backend
@given(case=poolings(), data=st.data())
def test_the_windows_of_average_pooling_are_those_of_pytorch(backend, case, data):
    """Dilated, with divisors of any kind: the sums of unfolded windows."""
    x, kernel, stride, padding, dilation = case
    tx = tensor(x)
    out = [
        output_size(*sizes)
        for sizes in zip(x.shape[2:], kernel, stride, sides(padding), dilation, strict=True)
    ]
    counts = tuple(tuple(data.draw(st.integers(1, 9)) for _ in range(size)) for size in out)
    windows = F.unfold(tx, kernel, dilation, padding, stride).unflatten(1, (x.shape[1], -1))
    expected = windows.sum(2).unflatten(2, out) / torch.tensor(np.multiply.outer(*counts))
    dy = draw_array(data.draw, *expected.shape)
    expected.backward(torch.from_numpy(np.array(dy, order="C")))
    geometry = (kernel, stride, sides(padding), dilation)
    with use_kernels(backend):
        assert_close(kernels.avg_pool2d(x, *geometry, counts), expected.detach())
        assert_close(kernels.avg_pool2d_input(dy, x.shape, *geometry, counts), tx.grad)


@every_backend
@given(case=poolings(), data=st.data())
def test_pooling_over_any_padding_is_that_of_an_image_padded_before(backend, case, data):
    x, kernel, stride, _, dilation = case
    reaches = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    ends = [st.integers(0, reach - 1) for reach in reaches]
    padding = tuple((data.draw(end), data.draw(end)) for end in ends)
    (top, _), (left, _) = padding
    rows, columns = window_counts(x.shape, kernel, stride, padding, dilation)
    assume(rows and columns and min(*rows, *columns) > 0)
    worst = tensor(np.pad(x, ((0, 0), (0, 0), *padding), constant_values=-np.inf))
    expected = F.max_pool2d(worst, kernel, stride, 0, dilation)
    dy = draw_array(data.draw, *expected.shape)
    expected.backward(torch.from_numpy(np.array(dy, order="C")))
    inside = (slice(None), slice(None), slice(top, top + x.shape[2]), slice(left, left + x.shape[3]))
    with use_kernels(backend):
        y, argmax = kernels.max_pool2d(x, kernel, stride, padding, dilation)
        assert_close(y, expected.detach())
        dx = kernels.max_pool2d_input(dy, argmax, x.shape, kernel, stride, padding, dilation)
        assert_close(dx, worst.grad[inside])
        zeros = tensor(np.pad(x, ((0, 0), (0, 0), *padding)))
        windows = F.unfold(zeros, kernel, dilation, 0, stride).unflatten(1, (x.shape[1], -1))
        expected = windows.mean(2).unflatten(2, y.shape[2:])
        expected.backward(torch.from_numpy(np.array(dy, order="C")))
        assert_close(kernels.avg_pool2d(x, kernel, stride, padding, dilation), expected.detach())
        dx = kernels.avg_pool2d_input(dy, x.shape, kernel, stride, padding, dilation)
        assert_close(dx, zeros.grad[inside])


@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 6), st.integers(1, 3), st.data())
def test_rounding_sizes_up_is_that_of_pytorch(size, kernel, stride, dilation, data):
    padding = data.draw(st.integers(0, kernel // 2))
    before, after = ceil_padding(size, kernel, stride, (padding, padding), dilation)
    got = output_size(size, kernel, stride, (before, after), dilation)
    try:
        x = torch.zeros(1, 1, size)
        expected = F.max_pool1d(x, kernel, stride, padding, dilation, ceil_mode=True).shape[-1]
    except RuntimeError:  # the window is larger than the image
        expected = 0
    assert max(got, 0) == expected
    assert before == padding


@every_backend
@given(case=poolings())
def test_the_first_of_equal_maxima_wins(backend, case):
    x, kernel, stride, padding, dilation = case
    x = np.sign(x.round())  # only -1, 0 and 1, so that ties abound
    padded = np.pad(x, ((0, 0), (0, 0), *sides(padding)), constant_values=-np.inf)
    with use_kernels(backend):
        y, argmax = kernels.max_pool2d(x, kernel, stride, sides(padding), dilation)
    for n, c, i, j in itertools.product(*map(range, y.shape)):
        window = [
            padded[n, c, i * stride[0] + p * dilation[0], j * stride[1] + q * dilation[1]]
            for p in range(kernel[0])
            for q in range(kernel[1])
        ]
        assert y[n, c, i, j] == max(window)
        assert argmax[n, c, i, j] == window.index(max(window))


@every_backend
def test_max_pooling_orders_complex_numbers_by_their_real_part(backend):
    x = np.array([[[[1 + 5j, 2 - 9j], [2 + 1j, 0 + 99j]]]])
    with use_kernels(backend):
        y, argmax = kernels.max_pool2d(x, (2, 2), (2, 2))
    assert y.item() == 2 - 9j
    assert argmax.item() == 1


@every_backend
def test_padding_never_wins_against_negative_numbers(backend):
    x = np.full((1, 1, 2, 2), -1e300)
    with use_kernels(backend):
        y, argmax = kernels.max_pool2d(x, (2, 2), (1, 1), ((1, 1), (1, 1)))
        dx = kernels.max_pool2d_input(
            np.ones((1, 1, 3, 3)), argmax, x.shape, (2, 2), (1, 1), ((1, 1), (1, 1))
        )
    assert np.array_equal(y, np.full((1, 1, 3, 3), -1e300))
    # The first pixel inside each window: (0,0) (0,0) (0,1) / (0,0) (0,0) (0,1) / (1,0) (1,0) (1,1)
    assert argmax.tolist() == [[[[3, 2, 2], [1, 0, 0], [1, 0, 0]]]]
    assert dx.tolist() == [[[[4.0, 2.0], [2.0, 1.0]]]]


@every_backend
@pytest.mark.parametrize(("kernel", "last"), [((16, 16), 255), ((1, 257), 256), ((17, 16), 271)])
def test_the_winner_of_a_large_window(backend, kernel, last):
    x = np.arange(kernel[0] * kernel[1], dtype=float).reshape(1, 1, *kernel)
    with use_kernels(backend):
        y, argmax = kernels.max_pool2d(x, kernel, (1, 1))
        dx = kernels.max_pool2d_input(np.ones((1, 1, 1, 1)), argmax, x.shape, kernel, (1, 1))
    assert (y.item(), argmax.item()) == (last, last)
    assert np.flatnonzero(dx).tolist() == [last]


@every_backend
@pytest.mark.parametrize("position", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_nan_goes_through_max_pooling(backend, position):
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    x[0, 0, position[0], position[1]] = np.nan
    with use_kernels(backend):
        y, _ = kernels.max_pool2d(x, (2, 2), (2, 2))
    assert np.isnan(y[0, 0, 0, 0])
    assert y.ravel()[1:].tolist() == [7.0, 13.0, 15.0]


@every_backend
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_dtype_is_kept(backend, dtype):
    x, w = np.ones((2, 1, 3, 3), dtype), np.ones((2, 1, 2, 2), dtype)
    two = ((2, 2), (1, 1), ((1, 0), (0, 1)))
    with use_kernels(backend):
        y = kernels.conv2d(x, w, np.ones(2, dtype))
        pooled, argmax = kernels.max_pool2d(x, *two)
        results = [
            y,
            kernels.conv2d_input(y, w, x.shape),
            kernels.conv2d_weight(x, y, w.shape),
            pooled,
            kernels.max_pool2d_input(pooled, argmax, x.shape, *two),
            kernels.avg_pool2d(x, *two),
            kernels.avg_pool2d(x, *two, counts=((1, 2, 2), (2, 2, 1))),
            kernels.avg_pool2d_input(pooled, x.shape, *two),
        ]
    assert [a.dtype for a in results] == [dtype] * len(results)
    assert argmax.dtype.kind in "iu"


@every_backend
def test_convolution_of_complex_images_is_linear(backend):
    rng = np.random.default_rng(0)
    re, im, w = rng.normal(size=(2, 1, 4, 5)), rng.normal(size=(2, 1, 4, 5)), rng.normal(size=(3, 1, 2, 3))
    with use_kernels(backend):
        y = kernels.conv2d(re + 1j * im, w)
        assert_close(y.real, kernels.conv2d(re, w))
        assert_close(y.imag, kernels.conv2d(im, w))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 0), (0, 0)), ((0, 1), (1, 1))])
@pytest.mark.parametrize(("N", "H", "W"), [(8, 4, 6), (19, 2, 8), (33, 6, 2), (16, 5, 4)])
def test_pooling_many_images_takes_the_winners_of_every_window(N, H, W, padding, dtype):
    """Ties go to the first, NaN wins, also where the compiled kernels compare four numbers at once."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (N, 3, H, W)).astype(dtype)
    x[rng.random(x.shape) < 0.1] = np.nan
    x[rng.random(x.shape) < 0.1] = -np.inf
    with use_kernels("im2col"):
        expected, winners = kernels.max_pool2d(x, (2, 2), (2, 2), padding)
    with use_kernels("fused"):
        y, argmax = kernels.max_pool2d(x, (2, 2), (2, 2), padding)
    np.testing.assert_array_equal(y, expected)
    whole = ~np.isnan(expected)
    np.testing.assert_array_equal(argmax[whole], winners[whole])
    np.testing.assert_array_equal(argmax.shape, winners.shape)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("N", "H", "W"), [(16, 4, 6), (64, 2, 2), (24, 6, 4), (19, 4, 4), (16, 5, 4)])
def test_the_gradient_of_pooling_goes_to_the_winners(N, H, W, dtype):
    """Also where the compiled kernels write four numbers at once, and whatever the gradient is."""
    rng = np.random.default_rng(0)
    x, dy = (
        rng.integers(0, 3, (N, 3, H, W)).astype(dtype),
        rng.normal(size=(N, 3, H // 2, W // 2)).astype(dtype),
    )
    dy[rng.random(dy.shape) < 0.1] = np.nan
    with use_kernels("fused"):
        _, argmax = kernels.max_pool2d(x, (2, 2), (2, 2))
        dx = kernels.max_pool2d_input(dy, argmax, x.shape, (2, 2), (2, 2))
    expected = np.zeros_like(x)
    for n, c, i, j in np.ndindex(dy.shape):
        window = x[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        a, b = divmod(int(window.argmax()), 2)
        expected[n, c, 2 * i + a, 2 * j + b] = dy[n, c, i, j]
    np.testing.assert_array_equal(dx, expected)


@every_backend
def test_nothing_is_written_into(backend):
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(2, 2, 4, 4)), rng.normal(size=(3, 2, 3, 3)), rng.normal(size=3)
    dy, pooled_dy = rng.normal(size=(2, 3, 2, 2)), rng.normal(size=(2, 2, 2, 2))
    arrays = (x, w, b, dy, pooled_dy)
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    pool = ((2, 2), (2, 2))
    with use_kernels(backend):
        kernels.conv2d(x, w, b)
        kernels.conv2d_input(dy, w, x.shape)
        kernels.conv2d_weight(x, dy, w.shape)
        _, argmax = kernels.max_pool2d(x, *pool)
        winners = argmax.copy()
        kernels.max_pool2d_input(pooled_dy, argmax, x.shape, *pool)
        kernels.avg_pool2d(x, *pool)
        kernels.avg_pool2d_input(pooled_dy, x.shape, *pool)
    # Compiled code takes addresses, which a read-only flag does not protect: the numbers are compared, too.
    for array, original in zip((*arrays, argmax), (*before, winners), strict=True):
        np.testing.assert_array_equal(array, original)


@every_backend
def test_hand_worked_convolution(backend):
    # x = 1 2 3    w = 1 -1    b = 10
    #     4 5 6        0  2
    #     7 8 9
    # y[0,0] = 1 - 2 + 2*5 + 10 = 19,  y[0,1] = 2 - 3 + 2*6 + 10 = 21
    # y[1,0] = 4 - 5 + 2*8 + 10 = 25,  y[1,1] = 5 - 6 + 2*9 + 10 = 27
    x = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    w, b = np.array([[[[1.0, -1.0], [0.0, 2.0]]]]), np.array([10.0])
    # dy = 1 2 / 3 4: dw[0,0] = 1*1 + 2*2 + 3*4 + 4*5 = 37, dw[0,1] = 2 + 6 + 15 + 24 = 47,
    # dw[1,0] = 4 + 10 + 21 + 32 = 67, dw[1,1] = 5 + 12 + 24 + 36 = 77
    # dx: each dy lays down w:  1  1 -2
    #     (dy[0,0] at 0,0 ...)  3  3  0     (1,1): 1*2 + 3*-1 + 4*1 + 2*0 = 3; (1,2): 2*2 + 4*-1 = 0
    #                           0  6  8
    dy = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    with use_kernels(backend):
        assert kernels.conv2d(x, w, b).tolist() == [[[[19.0, 21.0], [25.0, 27.0]]]]
        assert kernels.conv2d_weight(x, dy, w.shape).tolist() == [[[[37.0, 47.0], [67.0, 77.0]]]]
        dx = kernels.conv2d_input(dy, w, x.shape)
    assert dx.tolist() == [[[[1.0, 1.0, -2.0], [3.0, 3.0, 0.0], [0.0, 6.0, 8.0]]]]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation", "expected"),
    [
        (8, 3, 1, (0, 0), 1, 6),
        (8, 2, 2, (0, 0), 1, 4),
        (7, 2, 2, (0, 0), 1, 3),
        (227, 11, 4, (0, 0), 1, 55),
        (7, 3, 1, (1, 1), 1, 7),
        (7, 3, 1, (0, 1), 2, 4),  # (7 + 1 - 2*2 - 1) / 1 + 1
        (2, 3, 1, (0, 0), 1, 0),
    ],
)
def test_output_size(size, kernel, stride, padding, dilation, expected):
    assert output_size(size, kernel, stride, padding, dilation) == expected


def test_window_counts():
    # windows of 3 from -1, 1 and 3 over 0..4: pixels 0 1 | 1 2 3 | 3 4
    assert window_count(5, kernel=3, stride=2, padding=(1, 1)) == (2, 3, 2)
    # and, the padding at the end counted: 0 1 | 1 2 3 | 3 4 5
    assert window_count(5, kernel=3, stride=2, padding=(1, 1), counted=(0, 1)) == (2, 3, 3)
    # taps 2 apart, from -2, 0 and 2: 0 | 0 2 | 2 4
    assert window_count(5, kernel=2, stride=2, padding=(2, 0), dilation=2) == (1, 2, 2)
    assert window_counts((1, 1, 5, 5), (3, 2), (2, 2), ((1, 1), (2, 0)), (1, 2)) == ((2, 3, 2), (1, 2, 2))


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation", "expected"),
    [
        (6, 3, 2, (0, 0), 1, (0, 1)),  # windows at 0, 2, 4, the last over 4 5 and one pixel more
        (7, 3, 2, (0, 0), 1, (0, 0)),
        (4, 2, 3, (1, 1), 1, (1, 0)),  # at -1 and 2; one at 5 would begin in the padding
        (4, 1, 5, (0, 0), 1, (0, 0)),  # only at 0
        (2, 3, 2, (0, 0), 1, (0, 1)),  # larger than the image, but it begins in it
        (5, 2, 2, (0, 0), 3, (0, 1)),  # taps at 0 3 | 2 5
    ],
)
def test_ceil_padding_by_hand(size, kernel, stride, padding, dilation, expected):
    assert ceil_padding(size, kernel, stride, padding, dilation) == expected


# The array API, rehearsed on a library that allows nothing beyond it

GEOMETRIES = [
    ((1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    ((2, 1), ((1, 1), (2, 2)), (1, 2), 1),
    ((2, 3), ((0, 1), (2, 0)), (2, 1), 2),
]
POOLS = [
    ((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)),
    ((3, 2), (2, 1), ((1, 1), (1, 0)), (1, 1)),
    ((2, 2), (2, 1), ((1, 1), (2, 0)), (3, 2)),
]


def assert_strict_equals(got, expected):
    assert type(got) is type(strict.asarray(0.0))
    assert np.array_equal(np.from_dlpack(got), expected)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_im2col_convolution_runs_on_any_array(geometry):
    rng = np.random.default_rng(0)
    groups = geometry[-1]
    x, w, b = rng.normal(size=(2, 4, 7, 6)), rng.normal(size=(2, 4 // groups, 3, 2)), rng.normal(size=2)
    y = columns.conv2d(x, w, b, *geometry)
    dy = rng.normal(size=y.shape)
    sx, sw, sb, sdy = map(strict.asarray, (x, w, b, dy))
    assert_strict_equals(columns.conv2d(sx, sw, sb, *geometry), y)
    assert_strict_equals(columns.conv2d(sx, sw, None, *geometry), columns.conv2d(x, w, None, *geometry))
    expected_dx = columns.conv2d_input(dy, w, x.shape, *geometry)
    assert_strict_equals(columns.conv2d_input(sdy, sw, x.shape, *geometry), expected_dx)
    expected_dw = columns.conv2d_weight(x, dy, w.shape, *geometry)
    assert_strict_equals(columns.conv2d_weight(sx, sdy, w.shape, *geometry), expected_dw)


@pytest.mark.parametrize("geometry", POOLS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_im2col_pooling_runs_on_any_array(geometry, dtype):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 2, 5, 4)).astype(dtype)
    y, argmax = columns.max_pool2d(x, *geometry)
    dy = rng.normal(size=y.shape).astype(dtype)
    sx, sdy = strict.asarray(x), strict.asarray(dy)
    strict_y, strict_argmax = columns.max_pool2d(sx, *geometry)
    assert_strict_equals(strict_y, y)
    assert_strict_equals(strict_argmax, argmax)
    expected = columns.max_pool2d_input(dy, argmax, x.shape, *geometry)
    assert_strict_equals(columns.max_pool2d_input(sdy, strict_argmax, x.shape, *geometry), expected)
    for counts in (None, window_counts(x.shape, *geometry)):
        expected = columns.avg_pool2d(x, *geometry, counts)
        assert_strict_equals(columns.avg_pool2d(sx, *geometry, counts), expected)
        expected = columns.avg_pool2d_input(dy, x.shape, *geometry, counts)
        assert_strict_equals(columns.avg_pool2d_input(sdy, x.shape, *geometry, counts), expected)


@every_backend
def test_a_nan_is_handed_on_by_complex_pooling_too(backend):
    x = np.array([[[[1.0, 2.0], [complex(np.nan), 0.5]]]])
    with use_kernels(backend):
        y, _ = kernels.max_pool2d(x, (2, 2), (2, 2))
    assert np.isnan(y).all()


@every_backend
@pytest.mark.parametrize("layer", [AvgPool2D(2), MaxPool2D(2), Conv2D(1, 2, 2, rng=0)])
def test_a_gradient_that_is_not_finite_spoils_that_of_no_other_image(backend, layer):
    x = np.random.default_rng(0).normal(size=(3, 1, 4, 4))
    with use_kernels(backend), np.errstate(invalid="ignore"):
        y, cache = layer.forward(x)
        dy = np.ones_like(y)
        clean, _ = layer.backward(dy, cache)
        dy[0] = np.inf
        dx, _ = layer.backward(dy, cache)
    np.testing.assert_array_equal(dx[1:], clean[1:])
