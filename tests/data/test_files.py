"""Data sets from files: what is read, what stays closed, and every kind of file that is wrong."""

import gzip
import io
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from neocog.budgets import budgets
from neocog.data import (
    LazyImages,
    batches,
    decoding,
    image_folder,
    load_idx,
    load_image,
    load_npz,
    stratified_split,
)
from neocog.kernels import use_threads


def write_image(path, pixels, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.asarray(pixels)
    picture = Image.fromarray(pixels if pixels.dtype != np.int64 else pixels.astype(np.uint8))
    (picture if mode is None else picture.convert(mode)).save(path, **options)
    return path


def png_chunk(kind, content):
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def test_grey_is_divided_by_255(tmp_path):
    path = write_image(tmp_path / "a.png", [[0, 51], [102, 255]])
    image = load_image(path, (1, 2, 2))
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, [[[0, 0.2], [0.4, 1]]], atol=1e-7)
    np.testing.assert_allclose(load_image(str(path), [1, 2, 2], invert=True), 1 - image, atol=1e-7)
    np.testing.assert_array_equal(load_image(path, (3, 2, 2)), np.repeat(image, 3, axis=0))


def test_colour_comes_as_red_green_blue(tmp_path):
    path = write_image(tmp_path / "a.bmp", [[[255, 0, 51], [0, 102, 0]]])
    np.testing.assert_allclose(load_image(path, (3, 1, 2)), [[[1, 0]], [[0, 0.4]], [[0.2, 0]]], atol=1e-7)


def test_colour_becomes_grey_by_luma(tmp_path):
    # ITU-R 601: 0.299 R + 0.587 G + 0.114 B.
    path = write_image(tmp_path / "a.png", [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]])
    np.testing.assert_allclose(load_image(path, (1, 1, 3)), [[[0.299, 0.587, 0.114]]], atol=1 / 255)


def test_height_comes_before_width(tmp_path):
    path = write_image(tmp_path / "a.png", np.zeros((3, 5), int))
    assert load_image(path, (1, 3, 5)).shape == (1, 3, 5)


def test_reducing_averages_over_all_pixels(tmp_path):
    stripes = np.zeros((64, 64), int)
    stripes[:, ::2] = 255  # taking every eighth column would see stripes of one kind only
    image = load_image(write_image(tmp_path / "a.png", stripes), (1, 8, 8))
    np.testing.assert_allclose(image, 0.5, atol=0.02)


def test_an_edge_gets_no_halo(tmp_path):
    edge = np.full((40, 40), 50)
    edge[:, 20:] = 200
    image = load_image(write_image(tmp_path / "a.png", edge), (1, 10, 10))
    assert image.min() == np.float32(50 / 255)
    assert image.max() == np.float32(200 / 255)
    assert (np.diff(image[0], axis=1) >= 0).all()


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter clockwise
    path = write_image(tmp_path / "a.png", [[0, 51, 102], [153, 204, 255]], exif=exif)
    expected = np.array([[[153, 0], [204, 51], [255, 102]]]) / 255
    np.testing.assert_allclose(load_image(path, (1, 3, 2)), expected, atol=1e-7)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_shows_white(tmp_path, mode):
    shades, alpha = np.array([[0, 0, 0]], np.uint8), np.array([[0, 255, 51]], np.uint8)
    picture = Image.merge("LA", [Image.fromarray(shades), Image.fromarray(alpha)]).convert(mode)
    picture.save(tmp_path / "a.png")
    np.testing.assert_allclose(load_image(tmp_path / "a.png", (1, 1, 3)), [[[1, 0, 0.8]]], atol=1 / 255)


def test_transparent_palette_shows_white(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "a.gif", transparency=0)
    np.testing.assert_allclose(load_image(tmp_path / "a.gif", (3, 1, 2)), [[[1, 0]], [[1, 0]], [[1, 1]]])


def test_black_and_white_of_one_bit(tmp_path):
    path = write_image(tmp_path / "a.png", [[0, 255]], mode="1")
    np.testing.assert_array_equal(load_image(path, (1, 1, 2)), [[[0, 1]]])


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_keep_their_depth(tmp_path, suffix, channels):
    path = write_image(tmp_path / f"a.{suffix}", np.array([[0, 257], [13107, 65535]], np.uint16))
    expected = np.broadcast_to([[0, 1 / 255], [0.2, 1]], (channels, 2, 2))
    np.testing.assert_allclose(load_image(path, (channels, 2, 2)), expected, atol=1e-7)


def test_sixteen_bits_in_the_other_byte_order_and_with_transparency(tmp_path):
    picture = Image.frombytes("I;16B", (2, 1), bytes([0x33, 0x33, 0xFF, 0xFF]))
    picture.save(tmp_path / "a.tif")
    np.testing.assert_allclose(load_image(tmp_path / "a.tif", (1, 1, 2)), [[[0.2, 1]]], atol=1e-7)
    write_image(tmp_path / "c.png", np.array([[13107, 65535]], np.uint16), transparency=13107)
    np.testing.assert_allclose(load_image(tmp_path / "c.png", (1, 1, 2)), [[[1, 1]]], atol=1e-7)
    (tmp_path / "b.pgm").write_bytes(b"P5 2 1 65535\n" + bytes([0x33, 0x33, 0xFF, 0xFF]))
    np.testing.assert_allclose(load_image(tmp_path / "b.pgm", (1, 1, 2)), [[[0.2, 1]]], atol=1e-7)


def test_floating_point_pictures_must_be_in_range(tmp_path):
    good = write_image(tmp_path / "a.tif", np.array([[0, 0.25, 1]], np.float32))
    np.testing.assert_allclose(load_image(good, (1, 1, 3)), [[[0, 0.25, 1]]])
    for bad in ([[0, 2.5]], [[-0.5, 0]], [[np.nan, 0]]):
        path = write_image(tmp_path / "b.tif", np.array(bad, np.float32))
        with pytest.raises(ValueError, match=r"b\.tif .*values must be in 0\.\.1, got"):
            load_image(path, (1, 1, 2))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 9)),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    invert=st.booleans(),
    seed=st.integers(0, 9),
)
def test_values_stay_in_range_at_any_size(tmp_path, shape, size, dtype, invert, seed):
    rng = np.random.default_rng(seed)
    extremes = rng.choice(np.array([0, np.iinfo(dtype).max], dtype), size)
    image = load_image(write_image(tmp_path / "a.png", extremes), shape, invert)
    assert image.shape == shape
    assert image.dtype == np.float32
    assert 0 <= image.min() <= image.max() <= 1


@pytest.mark.parametrize("shape", [(2, 8, 8), (4, 8, 8), (8, 8), (1, 0, 8), 8, None])
def test_shapes_not_allowed(tmp_path, shape):
    path = write_image(tmp_path / "a.png", [[0]])
    with pytest.raises(ValueError, match="image_shape must"):
        load_image(path, shape)
    with pytest.raises(ValueError, match="image_shape must"):
        LazyImages([path], shape)


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no image file .*gone\.png"):
        load_image(tmp_path / "gone.png", (1, 8, 8))


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n"], ids=repr
)
def test_what_is_no_image_is_named(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.png is not an image in BMP, GIF, JPEG"):
        load_image(tmp_path / "a.png", (1, 8, 8))


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder, not an image file"):
        load_image(tmp_path, (1, 8, 8))


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "tif", "webp", "ppm"])
def test_a_truncated_image_is_named(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3))
    path = write_image(tmp_path / f"a.{suffix}", noise)
    content = path.read_bytes()
    for share in (0.02, 0.3, 0.6):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(ValueError, match=rf"a\.{suffix} (is not an image|cannot be read as an image)"):
            load_image(path, (3, 8, 8))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@pytest.mark.filterwarnings("ignore")  # Pillow's remarks on damaged metadata
@given(data=st.data(), suffix=st.sampled_from(["png", "jpg", "bmp", "gif", "tif", "ppm"]))
def test_damage_anywhere_is_an_image_or_a_value_error(tmp_path, data, suffix):
    path = write_image(tmp_path / f"a.{suffix}", np.arange(108).reshape(6, 6, 3))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    problem = None
    try:
        image = load_image(path, (3, 4, 4))
    except ValueError as error:
        problem = str(error)
    assert str(path) in problem if problem else image.shape == (3, 4, 4)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 50000, 50000, 8, 0, 0, 0, 0))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", b""))
    with pytest.raises(ValueError, match=r"bomb\.png cannot be read as an image: .*2500000000 pixels"):
        load_image(tmp_path / "bomb.png", (1, 8, 8))


@pytest.fixture
def shades(tmp_path):
    """Six 1 x 2 pictures; the left pixel of number k is k / 5, the right one black."""
    paths = [write_image(tmp_path / f"{k}.png", [[51 * k, 0]]) for k in range(6)]
    return LazyImages(paths, (1, 1, 2))


@pytest.fixture
def opened(monkeypatch):
    """Names of the files decoded so far."""
    names = []
    original = decoding.decode

    def recording(path, *rest):
        names.append(path.name)
        return original(path, *rest)

    monkeypatch.setattr(decoding, "decode", recording)
    return names


def left(images):
    return (np.asarray(images)[..., 0, 0, 0] * 5).round().astype(int).tolist()


def test_lazy_images_look_like_an_array(shades, tmp_path):
    assert shades.shape == (6, 1, 1, 2)
    assert shades.ndim == 4
    assert shades.dtype == np.float32
    assert len(shades) == 6
    assert shades.paths == tuple(tmp_path / f"{k}.png" for k in range(6))
    assert repr(shades) == "LazyImages(6 files, image_shape=(1, 1, 2))"
    assert [image.shape for image in shades] == [(1, 1, 2)] * 6


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (2, 2),
        (-1, 5),
        (np.int64(3), 3),
        (slice(1, 4), [1, 2, 3]),
        (slice(None, None, -2), [5, 3, 1]),
        (slice(4, 99), [4, 5]),
        (slice(3, 3), []),
        ([4, 0, 0], [4, 0, 0]),
        (np.array([5, -6]), [5, 0]),
        (np.array([], int), []),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([True, False, False, True, False, False]), [0, 3]),
    ],
    ids=repr,
)
def test_lazy_indices_are_numpys(shades, index, expected):
    pixels = shades[index]
    assert isinstance(pixels, np.ndarray)
    assert pixels.dtype == np.float32
    assert pixels.shape == (*np.shape(expected), 1, 1, 2)
    assert left(pixels) == expected


@pytest.mark.parametrize("index", [6, -7, [0, 6], 1.5, "1", (0, 0), np.zeros(5, bool)], ids=repr)
def test_lazy_indices_out_of_place(shades, index):
    with pytest.raises(IndexError):
        shades[index]


def test_only_the_pictures_asked_for_are_opened(shades, opened):
    assert opened == []
    shades[2]
    shades[4:]
    assert sorted(opened) == ["2.png", "4.png", "5.png"]


def test_take_stays_lazy(shades, opened):
    some = shades.subset([3, 1])
    assert isinstance(some, LazyImages)
    assert opened == []
    assert some.shape == (2, 1, 1, 2)
    assert left(some.subset(slice(1, None))) == [1]
    assert left(shades.subset(np.arange(6) > 3)) == [4, 5]
    assert left(shades.subset(5)) == [5]


def test_take_keeps_the_inversion(shades):
    twin = LazyImages(shades.paths, (1, 1, 2), invert=True)
    np.testing.assert_allclose(twin.subset([1])[0], [[[0.8, 1]]], atol=1e-7)


def test_a_file_gone_later_fails_alone(shades):
    shades.paths[3].unlink()
    assert left(shades[:3]) == [0, 1, 2]
    with pytest.raises(FileNotFoundError, match=r"3\.png"):
        shades[3]


def test_lazy_images_become_an_array(shades):
    assert np.asarray(shades).dtype == np.float32
    assert np.array(shades, dtype=np.float64).dtype == np.float64
    assert left(shades) == [0, 1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="without a copy"):
        np.array(shades, copy=False)


def test_one_path_is_no_sequence_of_paths(tmp_path):
    for path in ("a.png", tmp_path):
        with pytest.raises(TypeError, match="paths must be a sequence of paths"):
            LazyImages(path, (1, 8, 8))


def test_split_and_batches_open_only_what_is_due(shades, opened):
    split = stratified_split(shades, [0, 0, 0, 1, 1, 1], 0.4)
    assert isinstance(split.train[0], LazyImages)
    assert isinstance(split.validation[0], LazyImages)
    assert opened == []
    assert sorted(left(split.train[0]) + left(split.validation[0])) == [0, 1, 2, 3, 4, 5]
    for images, labels in (split.train, split.validation):
        assert [k // 3 for k in left(images)] == labels.tolist()
    opened.clear()
    with budgets(cached=0), use_threads(1):
        walk = batches(LazyImages(split.train[0].paths, (1, 1, 2)), split.train[1], 2, rng=0)
        images, labels = next(walk)
    assert isinstance(images, np.ndarray)
    assert len(opened) == 2
    assert [k // 3 for k in left(images)] == labels.tolist()


def make_folder(root, classes=("cat", "dog"), count=5, size=(2, 3)):
    for k, name in enumerate(classes):
        for i in range(count):
            write_image(root / name / f"{i}.png", np.full(size, 100 * k + i))
    return root


def test_a_folder_a_class(tmp_path, opened):
    split = image_folder(make_folder(tmp_path), validation_fraction=0.4)
    assert repr(split) == "Split(6 training, 4 validation images of shape (1, 2, 3), 2 classes: cat, dog)"
    assert opened == []
    for images, labels in split:
        assert [path.parent.name for path in images.paths] == [("cat", "dog")[k] for k in labels]
    assert np.bincount(split.validation[1]).tolist() == [2, 2]
    every = set(split.train[0].paths) | set(split.validation[0].paths)
    assert len(every) == 10
    image, label = split.train[0][0], split.train[1][0]
    number = int(split.train[0].paths[0].stem)
    np.testing.assert_allclose(image, np.full((1, 2, 3), (100 * label + number) / 255), atol=1e-7)


def test_the_seed_draws_the_held_out_part(tmp_path):
    make_folder(tmp_path, count=10)
    held_out = [image_folder(str(tmp_path), seed=seed).validation[0].paths for seed in (0, 0, 1)]
    assert held_out[0] == held_out[1] != held_out[2]


def test_any_case_of_suffix_and_clutter_of_systems(tmp_path):
    make_folder(tmp_path)
    write_image(tmp_path / "cat" / "b.PNG", [[0]])
    for clutter in (
        "cat/.DS_Store",
        "cat/Thumbs.db",
        ".DS_Store",
        "desktop.ini",
        "cat/._0.png",
        "LICENSE.txt",
    ):
        (tmp_path / clutter).write_text("clutter")
    (tmp_path / ".git").mkdir()
    split = image_folder(tmp_path)
    assert split.class_names == ("cat", "dog")
    assert len(split.train[1]) + len(split.validation[1]) == 11


@pytest.mark.parametrize("name", ["validation", "val", "test"])
def test_two_parts(tmp_path, name):
    make_folder(tmp_path / "train", count=1)
    make_folder(tmp_path / name, count=2, size=(9, 9))
    split = image_folder(tmp_path)
    assert repr(split) == "Split(2 training, 4 validation images of shape (1, 2, 3), 2 classes: cat, dog)"
    assert {path.parent.parent.name for path in split.train[0].paths} == {"train"}
    assert {path.parent.parent.name for path in split.validation[0].paths} == {name}
    assert split.validation[1].tolist() == [0, 0, 1, 1]


def test_a_pair_is_no_image_shape(tmp_path):
    make_folder(tmp_path)
    for shape in [(8, 8), ()]:
        with pytest.raises(ValueError, match=r"image_shape must be \(channels, height, width\), got"):
            image_folder(tmp_path, shape)


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        image_folder(tmp_path / "nowhere")
    path = write_image(tmp_path / "a.png", [[0]])
    with pytest.raises(NotADirectoryError, match=r"a\.png must be a folder, got a file"):
        image_folder(path)


def test_too_few_classes(tmp_path):
    with pytest.raises(ValueError, match="at least two classes, got none"):
        image_folder(tmp_path)
    make_folder(tmp_path, ["cat"])
    with pytest.raises(ValueError, match="at least two classes, got only 'cat'"):
        image_folder(tmp_path)


def test_one_image_of_a_class(tmp_path):
    make_folder(tmp_path)
    write_image(tmp_path / "emu" / "a.png", [[0]])
    with pytest.raises(ValueError, match=r"at least two images to hold one out, class 'emu' has one"):
        image_folder(tmp_path)


def test_folders_are_opened_at_the_header_only(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40))
    path = write_image(make_folder(tmp_path) / "dog" / "cut.png", noise)
    path.write_bytes(path.read_bytes()[:600])  # the header is whole, the pixels are not
    split = image_folder(tmp_path)
    every = LazyImages([*split.train[0].paths, *split.validation[0].paths], (1, 2, 3))
    with pytest.raises(ValueError, match=r"cut\.png cannot be read as an image"):
        np.asarray(every)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"validation_fraction": -0.1}, ValueError, "validation_fraction must be in"),
        ({"validation_fraction": 1}, ValueError, "validation_fraction must be in"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"seed": "x"}, TypeError, "seed must be an integer"),
    ],
)
def test_bad_options(tmp_path, options, error, message):
    make_folder(tmp_path / "pictures")
    np.savez(tmp_path / "a.npz", x=np.zeros((8, 2, 2)), y=np.arange(8) % 2)
    write_idx(tmp_path)
    for load in (image_folder, load_npz, load_idx):
        path = {image_folder: tmp_path / "pictures", load_npz: tmp_path / "a.npz", load_idx: tmp_path}[load]
        with pytest.raises(error, match=message):
            load(path, **options)


X = np.arange(10 * 2 * 3, dtype=np.uint8).reshape(10, 2, 3)
Y = np.arange(10) % 2


def save(tmp_path, **arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    return tmp_path / "a.npz"


@pytest.mark.parametrize("keys", [("x_train", "y_train"), ("x", "y"), ("images", "labels")])
def test_npz_of_one_part_is_split(tmp_path, keys):
    split = load_npz(save(tmp_path, **dict(zip(keys, (X, Y), strict=True))))
    assert repr(split) == "Split(8 training, 2 validation images of shape (1, 2, 3), 2 classes: 0, 1)"
    x, y = split.train
    assert x.dtype == np.float32
    assert y.dtype == np.int64
    number = round(float(x[0, 0, 0, 0]) * 255) // 6  # image n begins with the value 6 n
    np.testing.assert_allclose(x[0, 0], X[number] / 255, atol=1e-7)
    assert y[0] == number % 2


@pytest.mark.parametrize("part", ["test", "val"])
def test_npz_of_two_parts(tmp_path, part):
    arrays = {f"x_{part}": X[:3], f"y_{part}": Y[:3]}
    split = load_npz(save(tmp_path, x_train=X, y_train=Y[:, None], **arrays, class_names=["even", "odd"]))
    assert split.class_names == ("even", "odd")
    np.testing.assert_array_equal(split.train[1], Y)
    np.testing.assert_allclose(split.validation[0][:, 0], X[:3] / 255, atol=1e-7)
    np.testing.assert_array_equal(split.validation[1], [0, 1, 0])


def test_npz_of_three_parts(tmp_path):
    parts = {"x_test": X[:3], "y_test": Y[:3], "x_val": X[:4], "y_val": Y[:4]}
    split = load_npz(save(tmp_path, x_train=X, y_train=Y, **parts))
    assert (len(split.train[1]), len(split.tuning[1]), len(split.test[1])) == (10, 4, 3)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((10, 4, 5), (1, 4, 5)),
        ((10, 1, 4, 5), (1, 4, 5)),
        ((10, 2, 4, 5), (2, 4, 5)),
        ((10, 4, 5, 1), (1, 4, 5)),
        ((10, 4, 5, 3), (3, 4, 5)),
        ((10, 3, 4, 3), (3, 4, 3)),
        ((10, 1, 4, 1), (1, 4, 1)),
    ],
)
def test_npz_shapes(tmp_path, shape, expected):
    assert load_npz(save(tmp_path, x=np.zeros(shape, np.uint8), y=Y)).image_shape == expected


def test_npz_channels_last_are_moved_not_mixed(tmp_path):
    x = np.zeros((10, 2, 2, 3), np.uint8)
    x[:, 0, 1] = [51, 102, 255]
    train, _ = load_npz(save(tmp_path, x=x, y=Y)).train
    np.testing.assert_allclose(train[0, :, 0, 1], [0.2, 0.4, 1], atol=1e-7)
    assert train[:, :, 1].max() == 0
    assert train.flags.c_contiguous


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_npz_floats_are_kept(tmp_path, dtype):
    x = np.linspace(-2, 2, 60).reshape(10, 2, 3).astype(dtype)
    split = load_npz(save(tmp_path, x_train=x, y_train=Y, x_test=x, y_test=Y))
    assert split.train[0].dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(split.train[0][:, 0], x)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "must hold images and labels under usual names, such as x_train and y_train, .*; got nothing"),
        ({"pictures": X, "y": Y}, "beside y must be one array of images .*; got pictures, y"),
        ({"pictures": X, "kinds": Y}, "must hold images and labels .*; got pictures, kinds"),
        ({"x_train": X}, "beside x_train must be one array of labels .*; got x_train"),
        ({"x": X, "y": Y, "x_test": X}, "beside x_test must be one array of labels"),
        (
            {"x": X, "images": X, "target": Y},
            "beside x and images and target must be one array of images and",
        ),
        ({"x": X, "X": X, "y": Y}, "must not hold both x and X"),
        ({"x": X.astype(complex), "y": Y}, "x must be integers or floating point, got complex128"),
        ({"x": X.astype(str), "y": Y}, "x must be integers or floating point, got <U"),
        ({"x": X.reshape(10, 6), "y": Y}, r"x must be \(N, H, W\), .* got shape \(10, 6\)"),
        ({"x": X[:, :0], "y": Y}, r"x must be \(N, H, W\), .* got shape \(10, 0, 3\)"),
        ({"x": np.full((10, 2, 3), np.nan), "y": Y}, r"x must be finite, got nan at index \(0, 0, 0\)"),
        (
            {"x": X, "y": Y / 2},
            "y must be whole numbers or names, got float64; values are learned by",
        ),
        (
            {"x": X, "y": np.ones((10, 3), int)},
            r"y must be one label an image, \(N,\) or \(N, 1\), got shape \(10, 3\)",
        ),
        ({"x": X, "y": np.array(3)}, r"y must be one label .*, got shape \(\)"),
        ({"x": X, "y": Y[:9]}, "one label an image, got 10 images and labels of shape"),
        ({"x": X, "y": Y - 1}, "labels must be at least 0"),
        ({"x": X, "y": 0 * Y}, "at least two classes"),
        ({"x": X, "y": np.arange(10) // 9}, r"class .*1.* has one"),
        ({"x": X, "y": Y, "class_names": np.array(["a"])}, "labels must be below 1"),
        (
            {"x": X, "y": Y, "class_names": np.array([1, 2])},
            "class_names must be a row of strings, got int64",
        ),
        ({"x": X, "y": Y, "class_names": np.array("ab")}, "class_names must be a row of strings"),
        ({"x": X, "y": Y, "x_val": X[:, :1], "y_val": Y}, "validation images must have the training images'"),
        ({"x": X, "y": Y, "class_names": np.array(["a", "b"], object)}, "cannot be read .*allow_pickle"),
        ({"x": X.astype(object), "y": Y}, "cannot be read .*allow_pickle"),
    ],
)
def test_npz_with_the_wrong_arrays(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=rf"a\.npz.*{message}"):
        load_npz(save(tmp_path, **arrays))


def test_npz_runs_no_pickle(tmp_path):
    class Trap:
        def __reduce__(self):
            return exec, ("raise SystemExit('the pickle ran')",)

    with pytest.raises(ValueError, match="allow_pickle"):
        load_npz(save(tmp_path, x=X, y=Y, extra=np.array([Trap()], object)))


def test_npz_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*gone\.npz"):
        load_npz(tmp_path / "gone.npz")


def test_npz_that_is_none(tmp_path):
    path = tmp_path / "a.npz"
    for content in (b"", b"hello", b"\x93NUMPY", b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.npz is not an npz archive"):
            load_npz(path)
    with path.open("wb") as stream:
        np.save(stream, X)
    with pytest.raises(ValueError, match=r"a\.npz is not an npz archive"):
        load_npz(path)
    with pytest.raises(ValueError, match="is not an npz archive"):
        load_npz(tmp_path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.txt", "hello")
        archive.writestr("y", "hello")
    with pytest.raises(ValueError, match=r"a\.npz must hold images and labels"):
        load_npz(path)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_npz_damaged_or_cut_short(tmp_path, write):
    path = tmp_path / "a.npz"
    write(path, x=X, y=Y)
    content = path.read_bytes()
    for length in (30, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"a\.npz is not an npz archive, or was cut short"):
            load_npz(path)
    path.write_bytes(content[:100] + b"\xff\xff\xff" + content[103:])
    with pytest.raises(ValueError, match=r"a\.npz cannot be read as an npz archive"):
        load_npz(path)


def test_npz_whose_header_claims_more_than_there_is(tmp_path):
    claim = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        claim, {"descr": "|u1", "fortran_order": False, "shape": (2**50, 8, 8)}
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", claim.getvalue() + b"short")
    with pytest.raises(ValueError, match=r"a\.npz cannot be read as an npz archive"):
        load_npz(tmp_path / "a.npz")


def idx_bytes(array, magic=None):
    array = np.asarray(array, np.uint8)
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return (magic or bytes([0, 0, 8, array.ndim])) + sizes + array.tobytes()


def write_idx(folder, part="train", images=X, labels=Y, spelling="{}-{}-ubyte", compress=False):
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        name, content = spelling.format(part, kind), idx_bytes(array)
        if compress:
            name, content = name + ".gz", gzip.compress(content)
        (folder / name).write_bytes(content)
    return folder


def test_the_idx_format_by_hand(tmp_path):
    # Four images of 1 x 2 pixels, and their labels, byte by byte.
    (tmp_path / "train-images-idx3-ubyte").write_bytes(
        bytes.fromhex("00000803 00000004 00000001 00000002 00ff 3366 0000 ffff")
    )
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(bytes.fromhex("00000801 00000004 00 01 01 00"))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(
        bytes.fromhex("00000803 00000001 00000001 00000002 cc99")
    )
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(bytes.fromhex("00000801 00000001 02"))
    split = load_idx(tmp_path)
    x, y = split.train
    assert x.dtype == np.float32
    assert x.flags.writeable
    np.testing.assert_allclose(x, [[[[0, 1]]], [[[0.2, 0.4]]], [[[0, 0]]], [[[1, 1]]]], atol=1e-7)
    assert y.tolist() == [0, 1, 1, 0]
    np.testing.assert_allclose(split.test[0], [[[[0.8, 0.6]]]], atol=1e-7)
    assert split.test[1].tolist() == [2]
    assert split.class_names == ("0", "1", "2")


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("dot", [False, True])
def test_idx_spellings(tmp_path, dot, compress):
    for part in ("train", "t10k"):
        write_idx(tmp_path, part, compress=compress)
    if dot:
        for file in list(tmp_path.iterdir()):
            file.rename(tmp_path / file.name.replace("-idx", ".idx"))
    split = load_idx(str(tmp_path))
    for x, y in split:
        np.testing.assert_allclose(x[:, 0], X / 255, atol=1e-7)
        np.testing.assert_array_equal(y, Y)


def test_idx_without_a_test_part_is_split(tmp_path):
    split = load_idx(write_idx(tmp_path), validation_fraction=0.4)
    assert repr(split) == "Split(6 training, 4 validation images of shape (1, 2, 3), 2 classes: 0, 1)"
    assert np.bincount(split.validation[1]).tolist() == [2, 2]


def test_idx_files_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        load_idx(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"must hold train-images-idx3-ubyte\[\.gz\]"):
        load_idx(tmp_path)
    write_idx(tmp_path)
    with pytest.raises(NotADirectoryError, match="must be a folder, got a file"):
        load_idx(tmp_path / "train-labels-idx1-ubyte")
    write_idx(tmp_path, "t10k")
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="must hold t10k-labels-idx1-ubyte beside"):
        load_idx(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="must hold train-images-idx3-ubyte beside"):
        load_idx(tmp_path)


GOOD = idx_bytes(X)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must begin with 0x00000803, got 0x"),
        (b"\x00\x00\x08", "must begin with 0x00000803, got 0x000008"),
        (idx_bytes(Y), "must begin with 0x00000803, got 0x00000801"),
        (idx_bytes(X, magic=b"\x00\x00\x0d\x03"), "must begin with 0x00000803, got 0x00000d03"),
        (b"hello world", "must begin with 0x00000803, got 0x68656c6c"),
        (GOOD[:10], r"the sizes .* got 10"),
        (GOOD[:-1], r"the sizes \[10, 2, 3\] in the header must .* 76 bytes, got 75"),
        (GOOD + b"\x00", r"the sizes \[10, 2, 3\] in the header must .* 76 bytes, got 77"),
        (GOOD[:4] + b"\xff" * 12 + GOOD[16:], r"the sizes \[4294967295, .*, got 76"),
        (idx_bytes(X[:, :0]), r"the sizes \[10, 0, 3\] in the header must be at least 1"),
    ],
)
@pytest.mark.parametrize("compress", [False, True])
def test_idx_damaged(tmp_path, content, message, compress):
    write_idx(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    if compress:
        path.unlink()
        path, content = tmp_path / "train-images-idx3-ubyte.gz", gzip.compress(content)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"train-images-idx3-ubyte.*{message}"):
        load_idx(tmp_path)


def test_idx_gzip_damaged_or_cut_short(tmp_path):
    write_idx(tmp_path, compress=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    content = path.read_bytes()
    for bad in (content[:-9], content[:12], b"hello", content[:30] + b"\xff\xff" + content[32:], GOOD):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz cannot be read"):
            load_idx(tmp_path)


def test_idx_images_and_labels_of_other_numbers(tmp_path):
    write_idx(tmp_path, labels=Y[:9])
    with pytest.raises(ValueError, match="as many images as labels, got 10 and 9"):
        load_idx(tmp_path)


def test_idx_parts_of_other_sizes(tmp_path):
    write_idx(tmp_path)
    write_idx(tmp_path, "t10k", X[:, :1])
    with pytest.raises(ValueError, match="validation images must have the training images' shape"):
        load_idx(tmp_path)


def test_the_import_loads_neither_pillow_nor_scipy():
    script = "import sys, neocog.data; print([m for m in ('PIL', 'scipy', 'sklearn') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
