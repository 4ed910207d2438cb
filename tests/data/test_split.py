import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from neocog import runs
from neocog.data import Split, image_folder, stratified_split
from neocog.settings import settings_for
from neocog.validation import finite


def images(n, shape=(1, 4, 4)):
    return np.arange(n * np.prod(shape), dtype=float).reshape(n, *shape)


def test_names_and_shapes():
    split = Split((images(4), [0, 1, 2, 1]), (images(2), [2, 0]), ("a", "b", "c"))
    assert split.class_names == ("a", "b", "c")
    assert split.image_shape == (1, 4, 4)
    assert split.test is split.validation
    train, validation = split
    assert len(train[1]) == 4
    assert len(validation[1]) == 2
    assert "4 training, 2 validation" in repr(split)
    many = Split((images(200), np.arange(200)))
    assert str(many) == repr(many)
    assert repr(many).endswith("200 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...)")


def test_a_third_part_for_tuning():
    parts = (images(4), [0, 1, 2, 1]), (images(2), [2, 0])
    split = Split(*parts, tuning=(images(3), [0, 3, 1]))
    assert len(split.tuning[1]) == 3
    assert len(tuple(split)) == 2  # a pair, as without it
    assert repr(split).startswith("Split(4 training, 3 tuning, 2 validation images of shape (1, 4, 4), 4 cl")
    assert Split(*parts).tuning is None
    assert Split(*parts, notes=["four images"]).notes == ("four images",)
    assert split.fingerprint() != Split(*parts).fingerprint()
    assert split.has_fingerprint(split.fingerprint())
    with pytest.raises(ValueError, match="tuning images must have the training images' shape"):
        Split(*parts, tuning=(images(2, (1, 5, 5)), [0, 1]))
    with pytest.raises(ValueError, match="labels must be at least 0"):
        Split(*parts, tuning=(images(2), [0, -1]))
    with pytest.raises(TypeError, match="tuning labels must be of the training labels' kind"):
        Split(*parts, tuning=(images(2), [0.5, 1]))


def test_class_names_default_to_numbers():
    assert Split((images(3), [0, 2, 2])).class_names == ("0", "1", "2")


def test_float_targets_are_a_regression():
    split = Split((images(3), np.array([0.5, 1.5, 2.0])))
    assert not split.is_classification
    assert split.class_names == ()


@pytest.mark.parametrize(
    ("train", "validation", "names", "error", "message"),
    [
        ((images(0), []), None, None, ValueError, "train must hold at least one image"),
        ((images(3), [0, 1]), None, None, ValueError, "one label an image, got 3 images and labels"),
        ((images(2), [0, 0]), None, None, ValueError, "at least two classes, got only '0'"),
        ((images(1), [0]), None, None, ValueError, "at least two classes"),
        ((images(2), [0, 0]), None, ("cat", "dog"), ValueError, "got only 'cat'"),
        ((images(2), [0, -1]), None, None, ValueError, "labels must be at least 0, got -1"),
        ((images(2), [0, 5]), None, ("a", "b"), ValueError, "labels must be below 2"),
        ((images(2), [0, 10**9]), None, None, ValueError, "labels must be class indices"),
        ((images(2), [0, 1]), None, ("a", "a"), ValueError, "class_names must differ"),
        ((images(2), ["cat", "dog"]), None, None, TypeError, "labels must be integers"),
        ((images(2), [[0], [1]]), None, None, ValueError, r"labels must be of shape \(N,\)"),
        ((images(2), [0, 1]), (images(2, (1, 5, 5)), [0, 1]), None, ValueError, "training images' shape"),
        ((images(2), [0, 1]), (images(0), []), None, ValueError, "validation must hold at least one"),
        (images(2), None, None, TypeError, "train must be a pair"),
        ((np.arange(3.0), [0, 1, 0]), None, None, ValueError, "must be .N, C, H, W."),
    ],
)
def test_bad_parts(train, validation, names, error, message):
    with pytest.raises(error, match=message):
        Split(train, validation, names)


def test_stratified_split_holds_out_the_same_part_of_every_class():
    labels = np.repeat([0, 1, 2], [10, 20, 30])
    x = images(60)
    split = stratified_split(x, labels, 0.2, rng=1)
    assert np.bincount(split.validation[1]).tolist() == [2, 4, 6]
    assert np.bincount(split.train[1]).tolist() == [8, 16, 24]
    # every image is in exactly one part, still with its label
    first_pixels = np.concatenate([split.train[0][:, 0, 0, 0], split.validation[0][:, 0, 0, 0]])
    together = np.concatenate([split.train[1], split.validation[1]])
    order = np.argsort(first_pixels)
    np.testing.assert_array_equal(first_pixels[order], x[:, 0, 0, 0])
    np.testing.assert_array_equal(together[order], labels)


@pytest.mark.parametrize(
    ("labels", "fraction", "message"),
    [
        ([0, 0, 1], 0.2, "class 1 has one"),
        ([0, 0, 1, 1], 0.0, r"validation_fraction must be in \(0, 1\)"),
        ([0, 0, 1, 1], 1.0, r"validation_fraction must be in \(0, 1\)"),
    ],
)
def test_stratified_split_refuses(labels, fraction, message):
    with pytest.raises(ValueError, match=message):
        stratified_split(images(len(labels)), np.array(labels), fraction)


def test_stratified_split_with_too_few_names():
    with pytest.raises(ValueError, match="class 2 has one"):
        stratified_split(images(5), np.array([0, 0, 1, 1, 2]), class_names=("a", "b"))


def test_large_arrays_are_checked_piece_by_piece():
    x = np.zeros((40, 1000, 1000), np.float32)  # more than one piece
    x[33, 5, 7] = np.inf
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"x must be finite, got inf at index \(33, 5, 7\)"):
        finite("x", x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < x.nbytes / 8


@pytest.fixture
def pictures(tmp_path):
    for k, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for n in range(5):
            pixels = np.full((6, 6), 100 * k + n, np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{n}.bmp")  # all of one size
    return tmp_path


def test_the_fingerprint_of_images_in_files_is_that_of_their_contents(pictures):
    before = image_folder(pictures)
    print_before = before.fingerprint()
    assert print_before == image_folder(pictures).fingerprint()
    assert before.has_fingerprint(print_before)
    assert before.has_fingerprint(before._old_fingerprint())  # which neocog 0.1 has written
    assert not before.has_fingerprint("another")
    for n in range(5):  # labels swapped between images of equal names and sizes
        cat, dog = pictures / "cat" / f"{n}.bmp", pictures / "dog" / f"{n}.bmp"
        content = cat.read_bytes()
        cat.write_bytes(dog.read_bytes())
        dog.write_bytes(content)
    assert not image_folder(pictures).has_fingerprint(print_before)


def test_evaluate_notices_swapped_labels_as_resume_does(pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    settings = settings_for(f"folder:{pictures}", recipe="plain", epochs=1, network="tiny-cnn", size=8)
    runs.train(settings, out, stream=io.StringIO())
    runs.RunDirectory(out).open_data()
    for n in range(5):
        cat, dog = pictures / "cat" / f"{n}.bmp", pictures / "dog" / f"{n}.bmp"
        content = cat.read_bytes()
        cat.write_bytes(dog.read_bytes())
        dog.write_bytes(content)
    with pytest.raises(ValueError, match="has changed since the run"):
        runs.RunDirectory(out).open_data()
    with pytest.raises(ValueError, match="was saved with data"):
        runs.resume(out, 2, stream=io.StringIO())
