"""IDX files as people have them: torchvision's folders, other spellings, parts, and masks."""

import gzip

import numpy as np
import pytest

from neocog.data import Preprocessing, load_idx

X = np.arange(10 * 2 * 3, dtype=np.uint8).reshape(10, 2, 3)
Y = np.arange(10) % 2


def write(folder, part="train", x=X, y=Y, spelling="{}-{}-ubyte"):
    folder.mkdir(parents=True, exist_ok=True)
    for kind, array in (("images-idx3", x), ("labels-idx1", np.uint8(y))):
        name = spelling.format(part, kind)
        content = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
        (folder / name).write_bytes(gzip.compress(content) if name.lower().endswith("gz") else content)


@pytest.mark.parametrize("given", ["", "MNIST", "MNIST/raw"])
def test_torchvision_lays_them_out(tmp_path, given):
    for part, count in (("train", 10), ("t10k", 4)):
        for spelling in ("{}-{}-ubyte", "{}-{}-ubyte.gz"):  # it leaves both
            write(tmp_path / "MNIST" / "raw", part, X[:count], Y[:count], spelling)
    split = load_idx(tmp_path / given)
    assert [len(part[1]) for part in split] == [10, 4]
    assert split.preprocessing == Preprocessing(1, (2, 3), unit=255)
    assert ("The files are in" in split.notes[0]) == (given != "MNIST/raw")


def test_several_sets_of_files(tmp_path):
    for name in ("MNIST", "FashionMNIST"):
        write(tmp_path / name / "raw")
    with pytest.raises(
        ValueError, match=r"must hold one set of IDX files; name .*: .*FashionMNIST.*, .*MNIST"
    ):
        load_idx(tmp_path)
    raw = tmp_path / "EMNIST" / "raw"
    for name, classes in (("letters", 2), ("digits", 5)):
        for part, count in (("train", 10), ("test", 5)):
            y = np.arange(count) % classes
            write(raw, part, X[:count], y, f"emnist-{name}-{{}}-{{}}-ubyte")
    with pytest.raises(ValueError, match="must hold one set of IDX files"):
        load_idx(raw)
    for name, classes in (("letters", 2), ("digits", 5)):
        split = load_idx(raw / f"emnist-{name}-train-images-idx3-ubyte")
        assert len(split.class_names) == classes
        assert len(split.test[1]) == 5


@pytest.mark.parametrize("spelling", ["{}-{}.ubyte", "{}_{}_ubyte", "{}-{}-ubyte.GZ", "{}.{}.ubyte"])
def test_other_spellings_and_a_validation_part(tmp_path, spelling):
    for part, count in (("train", 10), ("val", 4), ("test", 3)):
        write(tmp_path, part, X[:count], Y[:count], spelling)
    split = load_idx(tmp_path)
    assert [len(part[1]) for part in (split.train, split.tuning, split.test)] == [10, 4, 3]


def test_masks_are_not_divided(tmp_path):
    write(tmp_path, x=X % 2)
    np.testing.assert_array_equal(np.unique(load_idx(tmp_path, 0).train[0]), [0, 1])
    dark = load_idx(tmp_path, 0, preprocessing=Preprocessing(1, (2, 3), unit=255)).train[0]
    assert dark.max() == np.float32(1 / 255)
    write(tmp_path)
    write(tmp_path, "t10k", X % 2)
    assert load_idx(tmp_path).test[0].max() == np.float32(1 / 255)
    write(tmp_path, x=X % 2)
    write(tmp_path, "t10k", X)
    with pytest.raises(ValueError, match=r"test images must be in the unit of the training images, 0\.\.1"):
        load_idx(tmp_path)


def test_one_class_is_enough_for_a_trained_network(tmp_path):
    write(tmp_path, y=0 * Y)
    with pytest.raises(ValueError, match="at least two classes"):
        load_idx(tmp_path, 0)
    assert load_idx(tmp_path, 0, class_names=("0", "1")).train[1].tolist() == [0] * 10
