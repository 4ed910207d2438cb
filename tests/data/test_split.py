import tracemalloc

import numpy as np
import pytest

from neocog.data import Split, stratified_split
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
