"""Convolutions whose windows look over the edge: the terms that see no pixel are left out."""

import numpy as np
import pytest

from neocog import kernels
from neocog.kernels.fused.lowering import products
from neocog.kernels.fused.lowering.convolution import Convolution
from neocog.kernels.fused.program import Program
from neocog.kernels.fused.simd import VECTOR_BYTES

# (C, H, W), filters, kernel, stride, padding, dilation, groups; images fill vectors, or do not
GEOMETRIES = [
    ((3, 4, 4), 5, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((60, 4, 5), 9, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),  # 540 terms, in two parts
    ((2, 5, 6), 3, (5, 5), (1, 1), ((4, 4), (4, 4)), (1, 1), 1),  # corners see one pixel
    ((2, 3, 2), 3, (3, 2), (1, 1), ((4, 1), (0, 3)), (1, 1), 1),  # some windows see none
    ((4, 7, 9), 6, (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 2),
    ((2, 9, 7), 4, (3, 3), (1, 1), ((2, 2), (2, 2)), (2, 2), 1),
    ((6, 5, 5), 6, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 6),
    ((2, 8, 8), 4, (3, 3), (3, 2), ((2, 0), (0, 2)), (1, 1), 1),
]


@pytest.mark.parametrize("N", [16, 5, 32])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_windows_over_the_edge_are_those_of_a_padded_image(geometry, N):
    image, F, kernel, stride, padding, dilation, groups = geometry
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, *image))
    w, b = rng.normal(size=(F, image[0] // groups, *kernel)), rng.normal(size=F)
    settings = stride, padding, dilation, groups
    with kernels.use_kernels("im2col"):
        expected = kernels.conv2d(x, w, b, *settings)
        dy = rng.normal(size=expected.shape)
        expected_dx = kernels.conv2d_input(dy, w, x.shape, *settings)
    for dtype, tolerance in (("float64", 1e-12), ("float32", 2e-5)):
        with kernels.use_kernels("fused", "exact"):
            one, two = (array.astype(dtype) for array in (x, dy))
            y = kernels.conv2d(one, w.astype(dtype), b.astype(dtype), *settings)
            dx = kernels.conv2d_input(two, w.astype(dtype), x.shape, *settings)
        np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance * np.abs(expected).max())
        np.testing.assert_allclose(dx, expected_dx, rtol=0, atol=tolerance * np.abs(expected_dx).max())


def terms_of(N, H=4, padding=1):
    """Terms that a convolution of H x H images by 3 x 3 kernels adds up, of one channel and one filter."""
    program = Program(np.dtype("float32"))
    sides = (padding, padding), (padding, padding)
    conv = Convolution(program, (N, 1, H, H), (1, 1, 3, 3), (1, 1), sides, (1, 1))
    rows, columns = conv.out
    seen = products.Seen(conv._seen(0), conv._seen(1), N)
    found = products._windows(program, np.arange(9).reshape(1, 3, 3), rows, columns * N, seen)
    if "windows" not in found:
        return 9 * rows * columns * N
    segments, table = found["segments"], found["windows"]
    ends, counts = table[:segments], table[segments + 1 :: 2].reshape(rows, segments)
    return int((counts * np.diff([0, *ends])).sum())


def test_only_terms_that_see_a_pixel_are_added():
    """Of the 4 x 3 rows of windows of 3 x 3 with a border of 1, 10 lie in a 4 x 4 image; so do columns."""
    N = VECTOR_BYTES // 4
    assert terms_of(2 * N) == 10 * 10 * 2 * N
    assert terms_of(N, padding=0) == 2 * 2 * 9 * N
    assert terms_of(N + 1) == 10 * 12 * (N + 1)  # columns would cut vectors: rows alone
    assert terms_of(N, H=100) == 300 * 300 * N  # as many would be saved as costs: all
