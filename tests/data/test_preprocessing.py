"""How pictures become images: the values allowed, the three fits, and that a model keeps them."""

import numpy as np
import pytest
from PIL import Image

import neocog
from neocog.data import LazyImages, Preprocessing, Split, digits, image_folder, line_patterns, load_image
from neocog.layers import Conv2D, Dense, Flatten, GlobalAvgPool2D, ReLU, Sequential
from neocog.serialization import ModelFileError


def tiny(channels=1):
    return Sequential(
        conv=Conv2D(channels, 2, 3, rng=0), relu=ReLU(), pool=GlobalAvgPool2D(), out=Dense(2, 2, rng=0)
    )


def picture(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"channels": 2}, r"channels must be 1 \(grey\) or 3 .*, got 2"),
        ({"size": (0, 4)}, "size must be at least 1, got 0"),
        ({"fit": "squeeze"}, "fit must be one of 'stretch', 'crop', 'pad', got 'squeeze'"),
        ({"unit": 16}, "unit must be 1, 255, 65535 or None, got 16"),
        ({"tone": "dark"}, "tone must be one of 'white', 'ink'"),
        ({"version": 2}, "version 2, this neocog knows those up to 1: upgrade neocog"),
    ],
)
def test_values_not_allowed(values, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**{"channels": 1, "size": (4, 4)} | values)


def test_plain_data_and_back():
    preprocessing = Preprocessing(3, (4, 6), "pad", 1, "ink")
    assert Preprocessing.from_dict(preprocessing.to_dict()) == preprocessing
    assert Preprocessing(1, 8).size == (8, 8)
    with pytest.raises(ValueError, match="preprocessing must have the values channels, fit"):
        Preprocessing.from_dict({"channels": 1})


def test_a_wide_picture_is_stretched_cropped_or_padded(tmp_path):
    # 2 x 4; to 2 x 2 it is halved across, cut to its middle, or halved in both and set between grey bars.
    path = picture(tmp_path / "a.png", [[0, 0, 200, 200], [0, 0, 200, 200]])
    fitted = {fit: load_image(path, Preprocessing(1, (2, 2), fit))[0] * 255 for fit in ("crop", "pad")}
    np.testing.assert_allclose(fitted["crop"], [[0, 200], [0, 200]], atol=1e-4)
    stretched = load_image(path, Preprocessing(1, (2, 2)))
    np.testing.assert_array_equal(stretched, load_image(path, (1, 2, 2)))
    tall = load_image(path, Preprocessing(1, (4, 4), "pad"))[0] * 255  # the border's median is 100
    np.testing.assert_allclose(tall[1:3], [[0, 0, 200, 200]] * 2, atol=1e-4)
    np.testing.assert_allclose(tall[[0, 3]], 100, atol=1e-4)


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (5, 7), (64, 3)])
@pytest.mark.parametrize("stored", [(1, 1), (1, 50), (50, 1), (13, 31)])
def test_a_picture_of_one_colour_stays_it(tmp_path, fit, size, stored):
    path = picture(tmp_path / "a.png", np.full((*stored, 3), (10, 20, 30)))
    image = load_image(path, Preprocessing(3, size, fit))
    assert image.shape == (3, *size)
    assert image.flags.c_contiguous
    np.testing.assert_allclose(image.mean(axis=(1, 2)) * 255, [10, 20, 30], atol=1e-3)


def test_a_model_keeps_it(tmp_path):
    for k, name in enumerate("ab"):
        for n in range(3):
            picture(tmp_path / "pictures" / name / f"{n}.png", np.full((6, 9), 99 * k + n))
    preprocessing = Preprocessing(1, (8, 8), "crop")
    data = image_folder(tmp_path / "pictures", preprocessing)
    assert data.preprocessing == preprocessing
    assert data.train[0].subset([0]).preprocessing == preprocessing
    network = tiny()
    neocog.fit(network, data, epochs=1, batch_size=2, rng=0)
    assert network.preprocessing == preprocessing
    assert network.for_inference().preprocessing == preprocessing
    neocog.save(network, tmp_path / "a.neocog")
    assert neocog.load(tmp_path / "a.neocog").preprocessing == preprocessing
    neocog.fit(network, (np.zeros((4, 1, 8, 8)), [0, 1, 0, 1]), epochs=1, batch_size=2, rng=0)
    assert network.preprocessing == preprocessing
    neocog.fit(network, (np.zeros((4, 1, 9, 9)), [0, 1, 0, 1]), epochs=1, batch_size=2, rng=0)
    assert network.preprocessing is None


def test_textbook_images_are_ink():
    for data in (digits(), line_patterns("a")):
        assert data.preprocessing == Preprocessing(1, data.image_shape[1:], unit=None, tone="ink")
    assert Split((np.zeros((2, 1, 4, 4)), [0, 1])).preprocessing is None


def test_a_file_whose_preprocessing_does_not_fit_is_refused(tmp_path):
    network = tiny()
    network.input_shape, network.preprocessing = (1, 8, 8), Preprocessing(1, (9, 9))
    with pytest.raises(ValueError, match=r"images of shape \(1, 9, 9\), input_shape is \(1, 8, 8\)"):
        neocog.save(network, tmp_path / "a.neocog")


def test_unknown_preprocessing_in_a_file(tmp_path):
    class Later(Preprocessing):
        def to_dict(self):
            return super().to_dict() | {"version": 2}

    network = tiny()
    network.preprocessing = Later(1, (8, 8))
    neocog.save(network, tmp_path / "a.neocog")
    with pytest.raises(ModelFileError, match=r"a\.neocog .*rules of version 2.*upgrade neocog"):
        neocog.load(tmp_path / "a.neocog")


def test_pytorch_and_onnx_keep_it(tmp_path):
    network = Sequential(flatten=Flatten(), out=Dense(12, 2, rng=0))
    network.input_shape, network.preprocessing = (3, 2, 2), Preprocessing(3, (2, 2), "pad")
    from neocog.interop.onnx import from_onnx, to_onnx
    from neocog.interop.torch import from_torch, to_torch

    assert from_torch(to_torch(network)).preprocessing == network.preprocessing
    to_onnx(network, tmp_path / "a.onnx")
    assert from_onnx(tmp_path / "a.onnx").preprocessing == network.preprocessing


def test_lazy_images_take_it(tmp_path):
    path = picture(tmp_path / "a.png", np.zeros((3, 5)))
    images = LazyImages([path], Preprocessing(3, (4, 4), "pad"))
    assert images.shape == (1, 3, 4, 4)
    assert images[0].shape == (3, 4, 4)
