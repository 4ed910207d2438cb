import array_api_strict
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from neocog.kernels import col2im, conv2d, im2col

CASES = [
    ((1, 1, 3, 3), 2, 1, 0),
    ((2, 3, 5, 7), 3, 1, 1),
    ((2, 3, 8, 6), (3, 2), (2, 3), (1, 2)),
    ((3, 2, 4, 4), 4, 5, 0),
    ((0, 2, 4, 4), 2, 1, 0),
]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("shape", "k", "stride", "padding"), CASES)
def test_im2col_is_unfold(rng, shape, k, stride, padding):
    x = rng.normal(size=shape)
    columns = im2col(x, k, stride, padding)
    if not shape[0]:  # which PyTorch refuses
        assert columns.shape == (0, 8)
        return
    expected = F.unfold(torch.tensor(x), k, stride=stride, padding=padding).numpy()
    np.testing.assert_array_equal(columns, expected.swapaxes(1, 2).reshape(columns.shape))


@pytest.mark.parametrize(("shape", "k", "stride", "padding"), CASES[:-1])
def test_col2im_is_fold_and_the_adjoint(rng, shape, k, stride, padding):
    x = rng.normal(size=shape)
    columns = rng.normal(size=im2col(x, k, stride, padding).shape)
    back = col2im(columns, shape, k, stride, padding)
    folded = torch.tensor(columns).reshape(shape[0], -1, columns.shape[1]).swapaxes(1, 2)
    expected = F.fold(folded, shape[2:], k, stride=stride, padding=padding).numpy()
    np.testing.assert_allclose(back, expected, rtol=1e-13, atol=1e-13)
    assert np.sum(columns * im2col(x, k, stride, padding)) == pytest.approx(np.sum(back * x), rel=1e-12)


def test_a_convolution_is_a_matrix_product(rng):
    x, w = rng.normal(size=(2, 3, 6, 5)), rng.normal(size=(4, 3, 3, 3))
    y = im2col(x, 3, 2, 1) @ w.reshape(4, -1).T
    expected = conv2d(x, w, None, (2, 2), ((1, 1), (1, 1)))
    np.testing.assert_allclose(y.reshape(2, 3, 3, 4).transpose(0, 3, 1, 2), expected, atol=1e-13)


def test_sides_of_a_padding_may_differ(rng):
    x = rng.normal(size=(1, 2, 3, 3))
    columns = im2col(x, 2, 1, ((1, 0), (0, 2)))
    padded = np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 2)))
    np.testing.assert_array_equal(columns, im2col(padded, 2))
    assert col2im(columns, x.shape, 2, 1, ((1, 0), (0, 2))).shape == x.shape


def test_any_array_of_the_standard(rng):
    x = rng.normal(size=(2, 2, 4, 5)).astype("float32")
    columns = im2col(array_api_strict.asarray(x), 2, 1, 1)
    np.testing.assert_array_equal(np.asarray(columns), im2col(x, 2, 1, 1))
    back = col2im(columns, x.shape, 2, 1, 1)
    np.testing.assert_array_equal(np.asarray(back), col2im(np.asarray(columns), x.shape, 2, 1, 1))


def test_inputs_that_do_not_fit(rng):
    with pytest.raises(ValueError, match=r"a window of \(3, 3\) does not fit into images of \(1, 1, 2, 2\)"):
        im2col(np.ones((1, 1, 2, 2)), 3)
    with pytest.raises(ValueError, match=r"images must have the shape \(N, C, H, W\), got \(2, 2\)"):
        im2col(np.ones((2, 2)), 1)
    with pytest.raises(
        ValueError, match=r"columns must have the shape \(4, 4\) for images of \(1, 1, 3, 3\)"
    ):
        col2im(np.ones((4, 9)), (1, 1, 3, 3), 2)
    with pytest.raises(ValueError, match="stride must be at least 1, got 0"):
        im2col(np.ones((1, 1, 2, 2)), 1, 0)
