"""Augmentation: hand-worked values, and what holds for any batch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from neocog.data import Affine, ColorJitter, Compose, Crop, Erase, Flip, Noise, Shift, batches
from neocog.kernels import BACKENDS, use_kernels, use_threads

STEPS = [Shift(2, fill=0.5), Crop(1), Flip(), Flip(axis="vertical"), Noise(0.1)]
STEPS += [Affine(30, 1.5, 0.2, 0.3, fill=0.5), Compose(Shift(1), Flip(), Affine(10))]
STEPS += [Shift(2, "edge"), Affine(90, 3, fill="edge"), ColorJitter(0.2, 0.3, 1), Erase(3, 0.5, fill=0.5)]


class Loaded(np.random.Generator):
    """Loaded dice: every draw is the given value.

    Of Affine's, its angle, log zoom, slant and moves; of ColorJitter's, its changes of the three factors.
    """

    def __init__(self, value):
        super().__init__(np.random.PCG64(0))
        self.value = value

    def uniform(self, low, high, size):
        assert (low <= 0).all()
        assert (high == -low).all()
        return np.broadcast_to(np.asarray(self.value, float)[:, None], size).copy()

    def integers(self, low, high, size, endpoint):
        assert endpoint
        return np.broadcast_to(self.value, size).copy()


def random_batch(shape=(5, 2, 4, 3), dtype=np.float64, seed=0):
    return np.random.default_rng(seed).uniform(size=shape).astype(dtype)


@st.composite
def any_batch(draw):
    shape = tuple(draw(st.integers(low, 6)) for low in (0, 1, 1, 1))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    return random_batch(shape, dtype, draw(st.integers(0, 9)))


@pytest.mark.parametrize("step", STEPS, ids=repr)
@given(images=any_batch(), seed=st.integers(0, 2**32))
def test_every_step_keeps_the_contract(step, images, seed):
    before = images.copy()
    images.setflags(write=False)
    out = step(images, np.random.default_rng(seed))
    assert out.shape == images.shape
    assert out.dtype == images.dtype
    assert not np.shares_memory(out, images)
    assert out.flags.c_contiguous
    assert out.flags.writeable
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(step(images, np.random.default_rng(seed)), out)


@pytest.mark.parametrize("step", STEPS, ids=repr)
def test_a_view_with_strides_gives_the_same_as_its_copy(step):
    view = random_batch((3, 4, 6, 5)).transpose(0, 1, 3, 2)[:, ::2]
    np.testing.assert_array_equal(step(view, 4), step(view.copy(), 4))


@pytest.mark.parametrize(
    "step",
    [Shift(2), Crop(2), Flip(), Affine(90), Noise(1), ColorJitter(1), Erase(1)],
    ids=lambda step: type(step).__name__,
)
def test_each_image_has_a_draw_of_its_own(step):
    images = np.repeat(random_batch((1, 1, 5, 5)), 40, axis=0)
    assert len(np.unique(step(images, 0), axis=0)) > 1


@pytest.mark.parametrize("step", [Shift(2), Crop(2), Flip(), Affine(90)], ids=repr)
def test_the_channels_of_an_image_move_together(step):
    images = np.repeat(random_batch((8, 1, 5, 5)), 3, axis=1)
    out = step(images, 0)
    np.testing.assert_array_equal(out[:, 0], out[:, 1])
    np.testing.assert_array_equal(out[:, 0], out[:, 2])


def test_shift_moves_down_and_right_or_up_and_left_and_fills():
    image = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    # The corner of the window is drawn: (0, 0) moves the image down and right, (2, 2) up and left.
    np.testing.assert_array_equal(Shift(1, fill=9)(image, Loaded([0, 0])), [[[[9, 9], [9, 1]]]])
    np.testing.assert_array_equal(Shift(1)(image, Loaded([2, 2])), [[[[4, 0], [0, 0]]]])
    np.testing.assert_array_equal(Shift(1)(image, Loaded([1, 2])), [[[[2, 0], [4, 0]]]])
    np.testing.assert_array_equal(Shift(1)(image, Loaded([1, 1])), image)


def test_shift_takes_every_move_about_equally_often_and_both_ways_independently():
    image = np.zeros((9000, 1, 5, 5))
    image[:, 0, 2, 2] = 1
    _, _, rows, columns = np.nonzero(Shift(1)(image, 0))
    counts = np.histogram2d(rows, columns, bins=[[1, 2, 3, 4]] * 2)[0]
    assert counts.sum() == 9000
    assert abs(counts - 1000).max() < 5 * 30  # five standard deviations of a count


@given(images=any_batch(), pixels=st.integers(0, 8), seed=st.integers(0, 99))
def test_shift_only_loses_and_fills(images, pixels, seed):
    out = Shift(pixels, fill=-1)(images, seed)
    for before, after in zip(images, out, strict=True):
        kept = after[after != -1]
        assert np.isin(kept, before).all()
        if pixels == 0:
            np.testing.assert_array_equal(after, before)


def test_crop_is_shift():
    images = random_batch()
    np.testing.assert_array_equal(Crop(2, fill=3)(images, 5), Shift(2, fill=3)(images, 5))


def test_flip_mirrors_left_and_right_or_top_and_bottom():
    images = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    np.testing.assert_array_equal(Flip(1)(images, 0), [[[[2, 1], [4, 3]]]])
    np.testing.assert_array_equal(Flip(1, "vertical")(images, 0), [[[[3, 4], [1, 2]]]])
    np.testing.assert_array_equal(Flip(0)(images, 0), images)


def test_flip_mirrors_a_share_p():
    images = np.broadcast_to([1.0, 2.0], (10000, 1, 1, 2))
    share = (Flip(0.3)(images, 0)[:, 0, 0, 0] == 2).mean()
    assert abs(share - 0.3) < 5 * (0.3 * 0.7 / 10000) ** 0.5


@given(images=any_batch(), axis=st.sampled_from(["horizontal", "vertical"]))
def test_flip_twice_is_nothing(images, axis):
    flip = Flip(1, axis)
    np.testing.assert_array_equal(flip(flip(images, 0), 0), images)


def test_affine_turns_by_a_quarter_counter_clockwise():
    image = np.array([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])
    turned = [[[[3, 6, 9], [2, 5, 8], [1, 4, 7]]]]
    np.testing.assert_allclose(Affine(90)(image, Loaded([90, 0, 0, 0, 0])), turned, atol=1e-12)
    half = Affine(180)(image, Loaded([180, 0, 0, 0, 0]))
    np.testing.assert_allclose(half, image[..., ::-1, ::-1], atol=1e-12)
    np.testing.assert_array_equal(Affine(90)(image, Loaded([0, 0, 0, 0, 0])), image)


def test_affine_turns_by_an_eighth_and_interpolates():
    # With r = sqrt(1/2) = 0.707 the top middle pixel of the result comes from r up and r right of the middle:
    # a weight of r in each direction on the top right pixel. The top left one comes from 2 r above the
    # middle: 2 - 2 r of the top middle pixel, the rest of the border.
    r, eighth = 0.5**0.5, Loaded([45, 0, 0, 0, 0])
    image = np.zeros((1, 1, 3, 3))
    image[0, 0, 0, 2] = 1  # top right
    np.testing.assert_allclose(Affine(45, fill=10)(image, eighth)[0, 0, 0, 1], r * r)
    image = np.zeros((1, 1, 3, 3))
    image[0, 0, 0, 1] = 1  # top middle
    np.testing.assert_allclose(
        Affine(45, fill=10)(image, eighth)[0, 0, 0, 0], (2 - 2 * r) * 1 + (2 * r - 1) * 10
    )


def test_affine_moves_down_and_right_by_parts_of_a_pixel():
    image = np.array([[[[8.0, 0.0], [0.0, 0.0]]]])
    moved = Affine(shift=1)(image, Loaded([0, 0, 0, 0.25, 0.5]))
    np.testing.assert_array_equal(moved, [[[[8 * 0.75 * 0.5, 8 * 0.75 * 0.5], [8 * 0.25 * 0.5] * 2]]])
    up_and_left = Affine(shift=1)(image[..., ::-1, ::-1], Loaded([0, 0, 0, -1, -1]))
    np.testing.assert_array_equal(up_and_left, image)


def test_affine_doubles_and_halves():
    image = np.array([[[[1.0, 5.0, 9.0]] * 3]])
    np.testing.assert_allclose(Affine(scale=1)(image, Loaded([0, np.log(2), 0, 0, 0])), [[[[3, 5, 7]] * 3]])
    halved = Affine(scale=1, fill=2)(image, Loaded([0, -np.log(2), 0, 0, 0]))
    np.testing.assert_allclose(halved, [[[[2, 2, 2], [2, 5, 2], [2, 2, 2]]]])


def test_affine_slants_to_the_left_below_the_middle():
    image = np.array([[[[0.0, 1.0, 0.0]] * 3]])
    slanted = Affine(shear=1)(image, Loaded([0, 0, 1, 0, 0]))
    np.testing.assert_array_equal(slanted, [[[[0, 0, 1], [0, 1, 0], [1, 0, 0]]]])


@pytest.mark.parametrize("angle", [-180, -77.5, -30, 0, 12, 45, 90, 135])
@pytest.mark.parametrize("size", [(6, 6), (5, 8), (1, 4), (1, 1)])
def test_affine_turns_as_scipy(angle, size):
    images = random_batch((3, 2, *size))
    expected = ndimage.rotate(
        images, angle, axes=(2, 3), reshape=False, order=1, mode="grid-constant", cval=0.25
    )
    turned = Affine(180, fill=0.25)(images, Loaded([angle, 0, 0, 0, 0]))
    np.testing.assert_allclose(turned, expected, atol=1e-10)


@given(
    images=any_batch().filter(lambda images: images.dtype == np.float64),
    degrees=st.floats(-180, 180),
    zoom=st.floats(0.4, 2.5),
    slant=st.floats(-1, 1),
    move=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
)
def test_affine_agrees_with_scipy(images, degrees, zoom, slant, move):
    changed = Affine(180, 3, 2, 1, fill=0.5)(images, Loaded([degrees, np.log(zoom), slant, *move]))
    H, W = images.shape[2:]
    a = np.deg2rad(degrees)
    place = np.empty((2, H, W))
    for i in range(H):  # the docstring's formula, pixel by pixel
        for j in range(W):
            y, x = i - (H - 1) / 2, j - (W - 1) / 2
            place[0, i, j] = (y * np.cos(a) + (x + slant * y) * np.sin(a)) / zoom - move[0] + (H - 1) / 2
            place[1, i, j] = (-y * np.sin(a) + (x + slant * y) * np.cos(a)) / zoom - move[1] + (W - 1) / 2
    for image, result in zip(images.reshape(-1, H, W), changed.reshape(-1, H, W), strict=True):
        expected = ndimage.map_coordinates(image, place, order=1, mode="grid-constant", cval=0.5)
        np.testing.assert_allclose(result, expected, atol=1e-10)


def test_affine_draws_angles_between_the_limits():
    # In a ramp along the columns, a row off the middle tells the angle: it gains sin(angle) a row.
    ramp = np.broadcast_to(np.arange(-10.0, 11.0), (2000, 1, 21, 21))
    out = Affine(20)(ramp, 0)
    angles = np.rad2deg(np.arcsin(out[:, 0, 9, 10]))
    assert -20 <= angles.min() < -19
    assert 19 < angles.max() <= 20
    assert abs(angles.mean()) < 5 * (40 / 12**0.5) / 2000**0.5


def test_affine_draws_moves_zooms_and_slants_between_the_limits():
    rows, columns = np.mgrid[-10.0:11, -10.0:11]
    ramps = np.broadcast_to([rows, columns], (2000, 2, 21, 21))
    moved = -Affine(shift=2)(ramps, 0)[:, :, 10, 10]  # the middle shows what was there before
    zoomed = 1 / Affine(scale=0.5)(ramps, 0)[:, 0, 11, 10]
    slanted = Affine(shear=0.3)(ramps, 0)[:, 1, 11, 10]
    for drawn, low, high in ((moved, -2, 2), (zoomed, 1 / 1.5, 1.5), (slanted, -0.3, 0.3)):
        margin = 0.02 * (high - low)
        assert low - 1e-9 <= drawn.min() < low + margin
        assert high - margin < drawn.max() <= high + 1e-9
    assert abs(np.corrcoef(moved.T)[0, 1]) < 5 / 2000**0.5


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("fill", [0.25, "edge"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_affine_gives_the_same_bits_whatever_computes_it(backend, threads, fill, dtype):
    # Bit for bit: sums are taken as they are written, without fused multiply-adds.
    for seed, shape in enumerate([(20, 3, 17, 12), (3, 1, 1, 6), (1, 2, 5, 1), (1, 1, 1, 1), (2, 1, 8, 8)]):
        images = np.random.default_rng(seed).normal(size=shape).astype(dtype)
        step = Affine(180, 4, 1, 1, fill=fill)
        with use_kernels("im2col"):
            expected = step(images, seed)
        with use_kernels(backend), use_threads(threads):
            result = step(images, seed)
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_affine_by_numbers_that_overflow_reads_the_border(backend):
    images = random_batch((1, 1, 4, 4))
    with use_kernels(backend), np.errstate(all="ignore"):
        out = Affine(90, fill=7)(images, Loaded([45, -1e4, 0, 0, 0]))
    assert np.isfinite(out).all()


def test_images_are_read_in_parts_without_a_seam():
    images = random_batch((150, 1, 20, 20), np.float32)  # more than are read together
    step = Affine(20, 2, 0.2)
    whole = step(images, 5)
    with use_kernels("reference"):
        np.testing.assert_array_equal(step(images, 5), whole)


def test_edge_fills_with_the_nearest_pixel():
    image = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    np.testing.assert_array_equal(Shift(1, "edge")(image, Loaded([0, 0])), [[[[1, 1], [1, 1]]]])
    np.testing.assert_array_equal(Shift(1, "edge")(image, Loaded([2, 1])), [[[[3, 4], [3, 4]]]])
    np.testing.assert_array_equal(Crop(1, "edge")(image, Loaded([1, 0])), [[[[1, 1], [3, 3]]]])
    moved = Affine(shift=9, fill="edge")(
        image, Loaded([0, 0, 0, 0.5, 9])
    )  # half a row down, far to the right
    np.testing.assert_array_equal(moved, [[[[1, 1], [2, 2]]]])


@given(images=any_batch().filter(lambda images: images.dtype == np.float64), angle=st.floats(-180, 180))
def test_affine_with_edges_agrees_with_scipy(images, angle):
    expected = ndimage.rotate(images, angle, axes=(2, 3), reshape=False, order=1, mode="nearest")
    turned = Affine(180, fill="edge")(images, Loaded([angle, 0, 0, 0, 0]))
    np.testing.assert_allclose(turned, expected, atol=1e-10)


def test_color_jitter_by_hand():
    image = np.array([1.0, 2.0, 3.0, 5.0, 6.0, 7.0]).reshape(1, 2, 3).transpose(0, 2, 1)[..., None]
    # Two pixels, (1, 2, 3) and (5, 6, 7): their means g are 2 and 6, m is 4.
    change = ColorJitter(1, 1, 1)
    np.testing.assert_allclose(change(image, Loaded([0.5, 0, 0])), 1.5 * image)
    np.testing.assert_allclose(change(image, Loaded([0, -0.5, 0])), 2 + image / 2)
    grey = change(image, Loaded([0, 0, -1]))[0, :, :, 0]
    np.testing.assert_allclose(grey, [[2, 6]] * 3)
    np.testing.assert_allclose(
        change(image, Loaded([1, 1, 1]))[0, :, :, 0],
        2 * (4 + 2 * (np.array([[-2, 2]] * 3) + 2 * np.array([[-1, -1], [0, 0], [1, 1]]))),
    )
    np.testing.assert_allclose(change(image[:, :1], Loaded([0, 0, 0.7])), image[:, :1])  # grey stays grey


def test_color_jitter_draws_factors_between_the_limits():
    images = np.ones((4000, 1, 1, 1))
    factors = ColorJitter(brightness=0.3, contrast=0.5)(
        images, 0
    ).ravel()  # the contrast of one pixel is none
    assert 0.7 <= factors.min() < 0.71
    assert 1.29 < factors.max() <= 1.3
    assert abs(factors.mean() - 1) < 5 * (0.6 / 12**0.5) / 4000**0.5


def test_erase_covers_a_square_around_any_pixel_equally_often():
    images = np.zeros((9000, 2, 3, 3))
    np.testing.assert_array_equal(Erase(1, fill=4)(images, 0).sum((1, 2, 3)), 8)  # one pixel of both channels
    counts = Erase(1, fill=1)(images, 0).sum(axis=0)[0]
    assert abs(counts - 1000).max() < 5 * 30
    whole = Erase(9)(np.ones((50, 1, 5, 5)), 0)
    assert not whole.any()
    sizes = Erase(2, fill=1)(np.zeros((500, 1, 8, 8)), 0).sum((1, 2, 3))
    assert set(sizes) == {1, 2, 4}  # at a corner, at an edge, inside


def test_erase_leaves_a_share_of_the_images_alone():
    covered = Erase(1, p=0.3, fill=1)(np.zeros((10000, 1, 4, 4)), 0).any((1, 2, 3))
    assert abs(covered.mean() - 0.3) < 5 * (0.3 * 0.7 / 10000) ** 0.5


def test_noise_has_the_given_spread_and_is_not_clipped():
    images = np.ones((100, 1, 10, 10), np.float32)
    added = Noise(0.5)(images, 0) - 1
    assert abs(added.mean()) < 5 * 0.5 / 100
    assert abs(added.std() - 0.5) < 5 * 0.5 / 20000**0.5
    assert added.max() > 1
    np.testing.assert_array_equal(Noise(0)(images, 0), images)


def test_compose_takes_the_steps_in_order_with_one_generator():
    images = np.array([[[[1.0, 2.0]]]])
    steps = Compose(lambda x, rng: x + 1, lambda x, rng: 10 * x)
    np.testing.assert_array_equal(steps(images, 0), [[[[20, 30]]]])
    drawn = []
    record = lambda x, rng: drawn.append(rng.random()) or x  # noqa: E731
    Compose(record, record)(images, 0)
    assert drawn[0] != drawn[1]
    rng = np.random.default_rng(0)
    assert drawn == [rng.random(), rng.random()]


def test_compose_of_nothing_returns_the_batch():
    images = random_batch()
    np.testing.assert_array_equal(Compose()(images, 0), images)


def test_batches_augments():
    x, y = np.broadcast_to([1.0, 2.0], (5, 1, 1, 2)), np.arange(5)
    for images, _ in batches(x, y, 2, rng=0, augment=Flip(1)):
        np.testing.assert_array_equal(images, np.broadcast_to([2, 1], images.shape))


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Shift(1), "Shift(1)"),
        (Shift(2, 0.5), "Shift(2, fill=0.5)"),
        (Shift(2, "edge"), "Shift(2, fill='edge')"),
        (ColorJitter(saturation=0.5), "ColorJitter(saturation=0.5)"),
        (Erase(3, fill=0.5), "Erase(3, fill=0.5)"),
        (Crop(4), "Crop(4)"),
        (Flip(), "Flip()"),
        (Flip(0.25), "Flip(p=0.25)"),
        (Flip(axis="vertical"), "Flip(axis='vertical')"),
        (Affine(10), "Affine(degrees=10.0)"),
        (Affine(shift=0.5, scale=0.1, shear=0.2), "Affine(shift=0.5, scale=0.1, shear=0.2)"),
        (Noise(0.1), "Noise(0.1)"),
        (Compose(Shift(1), Flip()), "Compose(Shift(1), Flip())"),
    ],
)
def test_repr_reads_like_the_construction(step, text):
    assert repr(step) == text
    assert repr(eval(text)) == text


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Shift(-1), ValueError, "pixels must be at least 0, got -1"),
        (lambda: Shift(1.5), TypeError, "pixels must be an integer, got 1.5"),
        (lambda: Shift(1, fill=np.nan), ValueError, "fill must be in"),
        (lambda: Shift(1, fill=np.inf), ValueError, "fill must be in"),
        (lambda: Crop(-4), ValueError, "padding must be at least 0, got -4"),
        (lambda: Crop(4, fill="black"), TypeError, "fill must be a number or 'edge', got 'black'"),
        (lambda: Affine(4, fill=True), TypeError, "fill must be a number or 'edge', got True"),
        (lambda: ColorJitter(1.5), ValueError, r"brightness must be in \[0, 1\], got 1.5"),
        (lambda: ColorJitter(contrast=-1), ValueError, r"contrast must be in \[0, 1\], got -1"),
        (lambda: ColorJitter(saturation="x"), TypeError, "saturation must be a number, got 'x'"),
        (lambda: Erase(0), ValueError, "size must be at least 1, got 0"),
        (lambda: Erase(2, p=2), ValueError, r"p must be in \[0, 1\], got 2"),
        (lambda: Erase(2, fill="edge"), TypeError, "fill must be a number, got 'edge'"),
        (lambda: Flip(1.5), ValueError, r"p must be in \[0, 1\], got 1.5"),
        (lambda: Flip(axis="horizontl"), ValueError, "Did you mean 'horizontal'"),
        (lambda: Affine(-1), ValueError, "degrees must be in"),
        (lambda: Affine(np.inf), ValueError, "degrees must be in"),
        (lambda: Affine(shift=-0.5), ValueError, "shift must be in"),
        (lambda: Affine(scale=-0.1), ValueError, "scale must be in"),
        (lambda: Affine(shear="0"), TypeError, "shear must be a number, got '0'"),
        (lambda: Affine(5, fill=np.inf), ValueError, "fill must be in"),
        (lambda: Noise(-0.1), ValueError, "std must be in"),
        (lambda: Noise(np.nan), ValueError, "std must be in"),
        (lambda: Compose(Shift(1), 3), TypeError, "steps must be functions .* got 3"),
        (lambda: Compose([Shift(1)]), TypeError, "steps must be functions"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("step", STEPS, ids=repr)
def test_bad_calls(step):
    with pytest.raises(ValueError, match=r"images must be \(N, C, H, W\), got shape \(8, 8\)"):
        step(np.zeros((8, 8)), 0)
    with pytest.raises(TypeError, match="images must be floating point, got uint8"):
        step(np.zeros((1, 1, 8, 8), np.uint8), 0)
    with pytest.raises(TypeError, match="rng must be"):
        step(np.zeros((1, 1, 8, 8)), "seed")
