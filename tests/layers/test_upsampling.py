import numpy as np
import pytest
from torch.nn import functional as F

from neocog.layers import Upsample
from neocog.layers.base import Field

ROW = np.array([[[[1.0, 3.0, 4.0]]]])


def test_hand_worked():
    assert Upsample((2, 1))(ROW).tolist() == [[[[1, 3, 4], [1, 3, 4]]]]
    assert Upsample(size=(1, 5))(ROW).tolist() == [[[[1, 1, 3, 3, 4]]]]  # floor(i 3 / 5) = 0 0 1 1 2
    # places (i + 1/2) / 2 - 1/2 = -1/4 (taken as 0), 1/4, 3/4, 5/4, 7/4, 9/4 (taken as 2)
    assert Upsample((1, 2), mode="bilinear")(ROW).tolist() == [[[[1, 1.5, 2.5, 3.25, 3.75, 4]]]]
    corners = Upsample(size=(1, 5), mode="bilinear", align_corners=True)  # places 0 1/2 1 3/2 2
    y, cache = corners.forward(ROW)
    assert y.tolist() == [[[[1, 2, 3, 3.5, 4]]]]
    # each dy goes back in the same shares: 1 + 2/2, 2/2 + 3 + 4/2, 4/2 + 5
    assert corners.backward(np.array([[[[1.0, 2.0, 3.0, 4.0, 5.0]]]]), cache)[0].tolist() == [[[[2, 6, 7]]]]


@pytest.mark.parametrize(
    "options",
    [
        {"scale": 2},
        {"scale": (3, 1)},
        {"scale": (1.7, 0.4)},
        {"size": (4, 17)},
        {"scale": 2, "mode": "bilinear"},
        {"scale": (2.3, 0.6), "mode": "bilinear"},
        {"scale": (2.3, 0.6), "mode": "bilinear", "align_corners": True},
        {"size": (1, 13), "mode": "bilinear"},
        {"size": (1, 13), "mode": "bilinear", "align_corners": True},
    ],
)
def test_same_as_pytorch(options, same_as_torch, normal):
    layer = Upsample(**options)
    align = layer.align_corners if layer.mode == "bilinear" else None
    same_as_torch(
        layer, lambda p, x: F.interpolate(x, layer.size, layer.scale, layer.mode, align), normal(2, 3, 6, 5)
    )


def test_a_pixel_that_is_no_number_stays_where_it_is():
    x = np.array([[[[np.nan, 1.0], [2.0, np.inf]]]])
    expected = np.kron(x[0, 0], np.ones((2, 2)))
    np.testing.assert_array_equal(Upsample(2)(x)[0, 0], expected)


def test_sizes_flops_and_receptive_field():
    assert Upsample(1.5).output_shape((2, 3, 5, 7)) == (2, 3, 7, 10)  # rounded down
    assert Upsample(2).flops((2, 3, 5, 7)) == 0
    # bilinear: three for each number of 10 x 7 after the rows, of 10 x 14 after the columns
    assert Upsample(2, mode="bilinear").flops((2, 3, 5, 7)) == 3 * 2 * 3 * (10 * 7 + 10 * 14)
    assert Upsample(2).receptive_field(Field((3, 3), (2, 2))) == Field((3, 3), (1, 1))
    assert Upsample(2, mode="bilinear").receptive_field(Field((3, 3), (2, 2))) == Field((5, 5), (1, 1))
    # how far apart the neighbours are depends on the image
    assert Upsample(size=7).receptive_field(Field()).within((5, 6)) == (5, 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give scale or size, one of the two, got scale=None, size=None"),
        ({"scale": 2, "size": 3}, "give scale or size, one of the two, got scale=2, size=3"),
        ({"scale": 0}, r"scale must be in \(0, 10000\], got 0"),
        ({"scale": float("inf")}, r"scale must be in \(0, 10000\], got inf"),
        ({"size": (0, 1)}, "size must be at least 1, got 0"),
        ({"scale": 2, "mode": "bicubic"}, "mode must be one of 'nearest', 'bilinear', got 'bicubic'"),
        ({"scale": 2, "align_corners": True}, "align_corners must be False in mode 'nearest'"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        Upsample(**options)


def test_images_that_do_not_fit():
    with pytest.raises(ValueError, match=r"Upsample's scale \(0.4, 0.4\) leaves nothing of the 2x5 image"):
        Upsample(0.4).output_shape((1, 1, 2, 5))
    with pytest.raises(
        ValueError, match=r"Upsample needs images of shape \(N, C, H, W\), got shape \(2, 3\)"
    ):
        Upsample(2).forward(np.zeros((2, 3)))
