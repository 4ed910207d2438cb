"""Archives as people have them: names of arrays, parts, units of pixels, and where the channels are."""

import numpy as np
import pytest

from neocog.data import Preprocessing, load_npz

X = np.arange(10 * 2 * 3, dtype=np.uint8).reshape(10, 2, 3) + 100
Y = np.arange(10) % 2


def save(tmp_path, *arrays, **named):
    np.savez(tmp_path / "a.npz", *arrays, **named)
    return tmp_path / "a.npz"


def load(tmp_path, *arrays, **named):
    return load_npz(save(tmp_path, *arrays, **named), validation_fraction=0)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ("x_{}", "y_{}"),
        ("X_{}", "y_{}"),
        ("{}X", "{}Y"),
        ("{}_images", "{}_labels"),  # MedMNIST
        ("images_{}", "labels_{}"),
        ("{}_data", "{}_target"),
        ("{}.features", "{}.labels"),
    ],
)
@pytest.mark.parametrize("val", ["val", "valid", "validation", "dev"])
def test_three_parts_under_usual_names(tmp_path, x, y, val):
    arrays = {}
    for part, count in (("train", 10), (val, 4), ("test", 3)):
        arrays |= {x.format(part): X[:count], y.format(part): Y[:count, None]}
    split = load(tmp_path, **arrays)
    assert [len(part[1]) for part in (split.train, split.tuning, split.test)] == [10, 4, 3]
    np.testing.assert_allclose(split.tuning[0][:, 0], X[:4] / 255, atol=1e-7)
    np.testing.assert_array_equal(split.test[1], Y[:3])


def test_a_validation_part_alone_is_held_out(tmp_path):
    split = load(tmp_path, train_images=X, train_labels=Y, val_images=X[:4], val_labels=Y[:4])
    assert split.tuning is None
    assert len(split.test[1]) == 4


@pytest.mark.parametrize(
    "names", [("X", "y"), ("image", "label"), ("data", "target"), ("Images", "Labels"), ("data", "labels")]
)
def test_one_part_under_usual_names(tmp_path, names):
    split = load(tmp_path, **dict(zip(names, (X, Y), strict=True)), weights=np.ones(3))
    np.testing.assert_array_equal(split.train[1], Y)


def test_names_that_belong_together_count(tmp_path):
    np.testing.assert_array_equal(load(tmp_path, x=X, y=Y, labels=1 - Y).train[1], Y)
    np.testing.assert_array_equal(load(tmp_path, x=X, y=Y, x_train=X[:4], y_train=Y[:4]).train[1], Y[:4])


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3), (1, 0, 3, 2)])
def test_arrays_without_names(tmp_path, order):
    split = load(tmp_path, X, Y)
    np.testing.assert_array_equal(split.train[1], Y)
    arrays = X, Y, X[:3], Y[:3]  # as Keras' load_data, train_test_split of scikit-learn, and labels first
    split = load(tmp_path, *(arrays[k] for k in order))
    np.testing.assert_array_equal(split.train[1], Y)
    np.testing.assert_array_equal(split.test[1], Y[:3])


@pytest.mark.parametrize("arrays", [(X,), (X, X), (Y, Y), (X, Y[:3]), (X, Y, X), (X[0, 0, 0], Y)])
def test_arrays_without_names_that_are_no_images_and_labels(tmp_path, arrays):
    with pytest.raises(ValueError, match=r"a\.npz must hold images and labels .*; got arr_0"):
        load(tmp_path, *arrays)


def test_labels_of_other_kinds(tmp_path):
    for y in (Y.astype(float), Y[:, None].astype("u1"), Y == 1, np.eye(2)[Y], np.eye(2, dtype=bool)[Y]):
        np.testing.assert_array_equal(load(tmp_path, x=X, y=y).train[1], Y)
    names = np.array(["dog", "cat"])[Y]
    for y in (names, names.astype("S"), names[:, None]):
        split = load(tmp_path, x=X, y=y)
        assert split.class_names == ("cat", "dog")
        np.testing.assert_array_equal(split.train[1], 1 - Y)
    split = load(tmp_path, x=X, y=names, class_names=["dog", "cat", "fox"], x_test=X[:1], y_test=["fox"])
    assert split.class_names == ("dog", "cat", "fox")
    assert split.test[1].tolist() == [2]
    assert load(tmp_path, x=X, y=Y, target_names=["dog", "cat"]).class_names == ("dog", "cat")
    with pytest.raises(ValueError, match=r"a\.npz: y_test must hold names of the .* classes, got 'fox'"):
        load(tmp_path, x=X, y=names, x_test=X[:1], y_test=["fox"])
    with pytest.raises(ValueError, match=r"a\.npz: y must be UTF-8 text"):
        load(tmp_path, x=X, y=np.array([b"\xe9", b"a"])[Y])


BITS = (X % 2).astype(np.uint8)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "bool", "int64"])
def test_masks_are_not_divided(tmp_path, dtype):
    split = load(tmp_path, x=BITS.astype(dtype), y=Y)
    assert split.train[0].dtype == np.float32
    np.testing.assert_array_equal(split.train[0][:, 0], BITS)
    assert split.preprocessing == Preprocessing(1, (2, 3), unit=1)
    assert "taken as they are" in split.notes[-1]


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int64", "uint16"])
def test_all_parts_are_divided_by_what_is_white_in_training(tmp_path, dtype):
    x = X.astype(dtype)
    split = load(tmp_path, x=x, y=Y, x_test=x // 200, y_test=Y, x_val=x // 2, y_val=Y)
    assert split.notes == ("Pixels are 0..255 and are divided by 255.",)
    assert split.preprocessing.unit == 255
    np.testing.assert_allclose(split.train[0][:, 0], X / 255, atol=1e-7)
    np.testing.assert_allclose(split.test[0][:, 0] * 255, X // 200, atol=1e-6)
    np.testing.assert_allclose(split.tuning[0][:, 0] * 255, X // 2, atol=1e-5)


def test_sixteen_bits(tmp_path):
    split = load(tmp_path, x=X.astype(np.uint16) * 257, y=Y)
    np.testing.assert_allclose(split.train[0][:, 0], X / 255, atol=1e-6)
    assert split.preprocessing.unit == 65535


@pytest.mark.parametrize("low", [-1, 0])
def test_other_ranges_are_kept_and_said(tmp_path, low):
    x = np.linspace(low, 16, 60).reshape(10, 2, 3)
    split = load(tmp_path, x=x, y=Y, x_test=x / 16, y_test=Y)
    np.testing.assert_array_equal(split.train[0][:, 0], x)
    np.testing.assert_array_equal(split.test[0][:, 0], x / 16)
    assert split.notes == (f"Pixels are {low} to 16, neither 0..1 nor 0..255, and are taken as they are.",)
    assert split.preprocessing.unit is None


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (X, X / 255, r"0\.\.255, got float64 from 0\.39\S* to 0\.62"),
        (X / 255, X, r"0\.\.1, got uint8 from 100 to 159"),
        (X / 255, X / 255 - 1, r"0\.\.1, got float64 from -0\.6"),
        (BITS, X, r"0\.\.1, got uint8 from 100"),
        (X, X.astype(np.uint16) * 257, r"0\.\.255, got uint16 from"),
        (X, X.astype(float) - 120, r"0\.\.255, got float64 from -20 to 39"),
    ],
)
def test_parts_in_different_units(tmp_path, train, test, message):
    with pytest.raises(ValueError, match=rf"a\.npz: x_test must be in the unit of the training .* {message}"):
        load(tmp_path, x=train, y=Y, x_test=test, y_test=Y)


def test_resampled_pixels_may_overshoot(tmp_path):
    x = np.linspace(0, 1, 60).reshape(10, 2, 3)
    split = load(tmp_path, x=x, y=Y, x_test=x * 1.2 - 0.1, y_test=Y)
    assert split.test[0].max() > 1


def test_a_trained_network_tells_the_unit_of_masks(tmp_path):
    path = save(tmp_path, x=BITS, y=Y)
    dark = load_npz(path, 0, image_shape=Preprocessing(1, (2, 3), unit=255))
    np.testing.assert_allclose(dark.train[0][:, 0], BITS / 255, atol=1e-7)
    for unit in (1, None):
        split = load_npz(path, 0, image_shape=Preprocessing(1, (2, 3), unit=unit))
        np.testing.assert_array_equal(split.train[0][:, 0], BITS)
    path = save(tmp_path, x=X / 255, y=Y)  # what is sure it does not tell
    split = load_npz(path, 0, image_shape=Preprocessing(1, (2, 3), unit=255))
    np.testing.assert_array_equal(split.train[0][:, 0], X / 255)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((9, 8, 2), (2, 9, 8)),
        ((9, 8, 4), (4, 9, 8)),
        ((4, 9, 8), (4, 9, 8)),
        ((9, 9, 7), (7, 9, 9)),
        ((7, 9, 9), (7, 9, 9)),
        ((32, 32, 5), (5, 32, 32)),
        ((12, 8, 8), (12, 8, 8)),
    ],
)
def test_where_the_channels_are(tmp_path, shape, expected):
    x = np.random.default_rng(0).random((10, *shape))
    split = load(tmp_path, x=x, y=Y)
    assert split.image_shape == expected
    np.testing.assert_array_equal(split.train[0], x if shape == expected else np.moveaxis(x, 3, 1))
    assert any("(H, W, C)" in note for note in split.notes) == (shape != expected)
    assert split.preprocessing is None


@pytest.mark.parametrize("shape", [(8, 8, 8), (2, 9, 4), (12, 9, 8)])
def test_channels_that_may_be_first_or_last(tmp_path, shape):
    x = np.random.default_rng(0).random((10, *shape))
    with pytest.raises(ValueError, match=r"a\.npz: x has images of shape .*; add an array channels_last"):
        load(tmp_path, x=x, y=Y)
    first, last = shape, (shape[2], *shape[:2])
    assert load(tmp_path, x=x, y=Y, channels_last=False).image_shape == first
    assert load(tmp_path, x=x, y=Y, channels_last=True).image_shape == last
    if first != last:
        for expected in (first, last):
            assert load_npz(save(tmp_path, x=x, y=Y), image_shape=expected).image_shape == expected
    for wrong in (2, "yes", [True, False], 0.5):
        with pytest.raises(ValueError, match=r"a\.npz: channels_last must be True or False"):
            load(tmp_path, x=x, y=Y, channels_last=wrong)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_opacity_that_is_everywhere_is_left_out(tmp_path, dtype):
    x = np.random.default_rng(0).integers(0, 256, (10, 8, 9, 4)).astype(dtype)
    assert load(tmp_path, x=x, y=Y).image_shape == (4, 8, 9)
    x[..., 3] = 255
    split = load(tmp_path, x=x, y=Y)
    np.testing.assert_allclose(split.train[0], np.moveaxis(x[..., :3], 3, 1) / 255, atol=1e-7)
    assert split.notes[-1].startswith("Of the 4 channels the last is 1 everywhere")
    other = x.copy()
    other[0, 0, 0, 3] = 0
    assert load(tmp_path, x=x, y=Y, x_test=other, y_test=Y).image_shape == (4, 8, 9)


def test_rows_are_square_images(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (10, 16), dtype=np.uint8)
    split = load(tmp_path, data=x, target=Y, x_test=x, y_test=Y)
    assert split.image_shape == (1, 4, 4)
    assert split.notes[0] == "Rows of 16 numbers are images of (1, 4, 4) (C, H, W)."
    np.testing.assert_allclose(split.train[0].reshape(10, 16), x / 255, atol=1e-7)
    assert load_npz(save(tmp_path, x=x, y=Y), 0, image_shape=(4, 2, 2)).image_shape == (4, 2, 2)
    with pytest.raises(ValueError, match=r"a\.npz: x must have rows of 12 numbers, got 16"):
        load_npz(save(tmp_path, x=x, y=Y), image_shape=(3, 2, 2))
    with pytest.raises(ValueError, match=r"a\.npz: x_test must have 2 axes as x, got shape \(10, 4, 4\)"):
        load(tmp_path, x=x, y=Y, x_test=x.reshape(10, 4, 4), y_test=Y)


def test_a_trained_network_tells_the_classes(tmp_path):
    with pytest.raises(ValueError, match="at least two classes"):
        load(tmp_path, x=X, y=0 * Y)
    assert load_npz(save(tmp_path, x=X, y=0 * Y), 0, class_names=("0", "1")).class_names == ("0",)
    names = np.array(["dog"] * 10)
    split = load_npz(save(tmp_path, x=X, y=names), 0, class_names=("cat", "dog"))
    assert split.class_names == ("cat", "dog")
    assert split.train[1].tolist() == [1] * 10
