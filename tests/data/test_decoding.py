"""Decoding many pictures: the same numbers, in order, ahead of their use, once, and in bounded memory."""

import copy
import gc
import io
import os
import pickle
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from neocog.budgets import budgets
from neocog.data import LazyImages, Preprocessing, batches, decoding, image_folder, load_image
from neocog.data.pictures import decode
from neocog.kernels import use_threads

SHAPE = (3, 6, 5)


def save_pictures(folder, count=13, seed=0):
    rng = np.random.default_rng(seed)
    for k in range(count):
        Image.fromarray(rng.integers(0, 256, (9, 8, 3), dtype=np.uint8)).save(folder / f"{k:03}.png")
    return sorted(folder.glob("*.png"))


@pytest.fixture
def paths(tmp_path):
    return save_pictures(tmp_path)


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that are decoded, in order."""
    names = []

    def recorded(path, preprocessing):
        names.append(path.name)
        return decode(path, preprocessing)

    monkeypatch.setattr(decoding, "decode", recorded)
    return names


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("invert", [False, True])
def test_pictures_are_those_of_load_image_for_any_number_of_threads(paths, threads, invert):
    expected = np.stack([load_image(path, SHAPE, invert) for path in paths])
    images = LazyImages(paths, SHAPE, invert)
    with use_threads(threads):
        for _ in range(2):  # decoded, and from memory
            np.testing.assert_array_equal(images[:], expected)
            np.testing.assert_array_equal(images[[7, 3, 3]], expected[[7, 3, 3]])
            np.testing.assert_array_equal(images[4], expected[4])
            assert images[:0].shape == (0, *SHAPE)
            read = list(images.batches([slice(0, 5), np.array([12, 1]), [3]]))
            for got, some in zip(read, ([0, 1, 2, 3, 4], [12, 1], [3]), strict=True):
                np.testing.assert_array_equal(got, expected[some])


def test_deep_pictures_keep_their_depth(tmp_path):
    values = np.arange(30, dtype=np.uint16).reshape(6, 5) * 2000 + 7
    Image.fromarray(values).save(tmp_path / "a.png")
    images = LazyImages([tmp_path / "a.png"], (1, 6, 5))
    for _ in range(2):
        np.testing.assert_allclose(images[0][0], values / 65535, rtol=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_are_those_of_an_array_augmented_by_the_same_draws(paths, threads):
    images, labels = LazyImages(paths, SHAPE), np.arange(13)

    def augment(x, rng):
        return x + rng.normal(size=x.shape).astype(x.dtype)

    with use_threads(threads):
        ours = list(batches(images, labels, 4, rng=3, augment=augment))
    theirs = list(batches(images[:], labels, 4, rng=3, augment=augment))
    for (x, t), (x_too, t_too) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(x, x_too)
        np.testing.assert_array_equal(t, t_too)


def test_a_picture_is_decoded_once_also_for_subsets(paths, decoded):
    images = LazyImages(paths, SHAPE)
    for _ in range(3):
        images[:]
        images.subset([2, 5])[:]
    assert sorted(decoded) == [path.name for path in paths]


def test_a_file_that_changes_is_decoded_again(paths, decoded):
    images = LazyImages(paths, SHAPE)
    images[:]
    decoded.clear()
    Image.new("RGB", (9, 8), (51, 0, 255)).save(paths[3])
    os.utime(paths[5], ns=(1, 1))
    assert images[:][3].max(axis=(1, 2)).tolist() == [np.float32(0.2), 0, 1]
    assert sorted(decoded) == ["003.png", "005.png"]
    paths[4].unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no image file .*004\.png"):
        images[:]


def test_what_is_kept_is_bytes_within_the_budget_and_is_freed_with_the_images(paths, decoded):
    gc.collect()
    before, size = decoding._ledger.bytes, 3 * 6 * 5
    with budgets(cached=before + 4 * size):
        images = LazyImages(paths, SHAPE)
        expected = images[:]
        assert decoding._ledger.bytes == before + 4 * size
        decoded.clear()
        np.testing.assert_array_equal(images[:], expected)
        assert len(decoded) == 9  # the first four stay; none is put out for another
        some = images.subset([0])
        del images
        gc.collect()
        assert decoding._ledger.bytes == before + 4 * size  # the subset still uses them
        del some
        gc.collect()
    assert decoding._ledger.bytes == before
    with budgets(cached=0):
        images = LazyImages(paths, SHAPE)
        np.testing.assert_array_equal(images[:], expected)
    assert decoding._ledger.bytes == before


def test_the_budget_is_read_from_the_environment(paths, monkeypatch):
    monkeypatch.setenv("NEOCOG_BUDGET_CACHED", "100")
    gc.collect()
    before = decoding._ledger.bytes
    images = LazyImages(paths, SHAPE)
    images[:]
    assert decoding._ledger.bytes <= max(before, 100)


def test_that_pictures_will_be_decoded_in_every_epoch_is_said(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_pictures(tmp_path / name, 3)
    assert not any("NEOCOG" in note for note in image_folder(tmp_path, SHAPE).notes)
    with budgets(cached=6 * 90 - 1):
        (note,) = (note for note in image_folder(tmp_path, SHAPE).notes if "NEOCOG_BUDGET_CACHED" in note)
    assert note.startswith("Decoded, the pictures take 0 MiB, more than the 0 MiB")


def test_copies_begin_empty(paths, decoded):
    images = LazyImages(paths, SHAPE)
    expected = images[:]
    for twin in (copy.deepcopy(images), pickle.loads(pickle.dumps(images))):
        assert len(pickle.dumps(images)) < 3000
        decoded.clear()
        np.testing.assert_array_equal(twin[:], expected)
        assert len(decoded) == len(paths)


def test_the_next_batches_are_decoded_while_one_is_in_use_and_no_more(paths, decoded):
    with use_threads(2):
        read = LazyImages(paths, SHAPE).batches([[k] for k in range(13)])
        next(read)
        deadline = time.monotonic() + 10
        while len(decoded) < 1 + decoding.AHEAD and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.05)
        assert sorted(decoded) == [f"{k:03}.png" for k in range(1 + decoding.AHEAD)]
        read.close()


def test_with_one_thread_nothing_is_decoded_ahead_and_no_thread_is_started(paths, decoded, monkeypatch):
    monkeypatch.setattr(decoding, "_pool", None)
    with use_threads(1):
        read = LazyImages(paths, SHAPE).batches([[0], [1]])
        next(read)
    assert decoded == ["000.png"]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_bad_file_ends_the_batch_that_it_belongs_to(paths, threads):
    paths[6].write_bytes(b"no picture")
    with use_threads(threads):
        read = LazyImages(paths, SHAPE).batches([slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 12)])
        assert len(next(read)) == len(next(read)) == 3
        with pytest.raises(ValueError, match=r"006\.png is not an image"):
            next(read)
    paths[7].write_bytes(b"no picture, too")
    with use_threads(threads), pytest.raises(ValueError, match=r"006\.png is not an image"):
        LazyImages(paths, SHAPE)[:]  # the first of them


def test_what_waits_is_cancelled_when_the_batches_are_left(paths, monkeypatch):
    release, begun, own = threading.Event(), [], "of-this-test"

    def slow(path, preprocessing):
        if threading.current_thread().name.startswith(own):  # tests that ran before may have left some
            begun.append(path.name)
            if path.name == "001.png":
                assert release.wait(10)
        return decode(path, preprocessing)

    monkeypatch.setattr(decoding, "decode", slow)
    pool = decoding.ThreadPoolExecutor(1, own)
    monkeypatch.setattr(decoding, "_pool", lambda threads: pool)
    with use_threads(2):
        read = LazyImages(paths, SHAPE).batches([[k] for k in range(13)])
        next(read)
        read.close()
        release.set()
    pool.shutdown()
    assert begun in (["000.png"], ["000.png", "001.png"])


def test_an_interrupt_ends_the_process_at_once(paths):
    code = f"""
import time
from neocog.data import LazyImages, decoding
from neocog.kernels import use_threads
decode = decoding.decode
decoding.decode = lambda *a: (time.sleep(0.2), decode(*a))[1]
with use_threads(2):
    images = LazyImages({[str(path) for path in paths]} * 1000, {SHAPE})
    for x in images.batches([slice(0, 2), slice(0, 9000)]):
        raise KeyboardInterrupt
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "KeyboardInterrupt" in done.stderr
    assert time.monotonic() - began < 45  # 9000 pictures would take a quarter of an hour


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_decodes_too(paths):
    code = f"""
import os
from neocog.data import LazyImages
from neocog.kernels import use_threads
with use_threads(3):
    images = LazyImages({[str(path) for path in paths]}, {SHAPE})
    expected = images[:8]
    child = os.fork()
    assert (images[:8] == expected).all() and len(images[8:]) == 5
    if child:
        assert os.waitpid(child, 0)[1] == 0
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n" * 2


def test_threads_leave_the_filters_of_warnings_alone(paths, monkeypatch):
    # warnings.catch_warnings belongs to all threads: what one restores, another may have changed.
    def forbidden(*arguments, **options):
        raise AssertionError("the filters of all threads were changed")

    monkeypatch.setattr("warnings.catch_warnings", forbidden)
    with use_threads(3):
        images = LazyImages(paths, SHAPE)[:]
    np.testing.assert_array_equal(images[0], load_image(paths[0], SHAPE))


# JPEG files decoded at a fraction of their size


def photograph(name, quality, subsampling, sides=(640, 424)):
    from sklearn.datasets import load_sample_image

    picture = Image.fromarray(load_sample_image(name)).crop((0, 0, *sides))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality, subsampling=subsampling)
    return content.getvalue()


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
@pytest.mark.parametrize(("quality", "subsampling"), [(75, 2), (90, 0)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_photograph_at_a_fraction_of_its_size_is_nearly_that_in_full(
    tmp_path, name, quality, subsampling, channels
):
    path = tmp_path / "a.jpg"
    path.write_bytes(photograph(name, quality, subsampling))
    all_of_them = []
    for size, fit in (((15, 15), "stretch"), ((30, 40), "crop"), ((60, 60), "pad"), ((30, 9), "stretch")):
        form = Preprocessing(channels, size, fit)
        difference = decode(path, form).astype(int) - decode(path, form, in_full=True)
        assert 0 < abs(difference).max() <= (4 if channels == 1 else 7)
        all_of_them.append(difference.ravel())
    differences = np.concatenate(all_of_them)
    assert (abs(differences) > 2).mean() < 0.01
    assert (differences**2).mean() < 0.7**2


def test_a_fraction_is_decoded_only_where_it_is_large_enough(tmp_path, monkeypatch):
    from PIL.JpegImagePlugin import JpegImageFile

    asked = []
    draft = JpegImageFile.draft
    monkeypatch.setattr(JpegImageFile, "draft", lambda self, *a: asked.append(a[1]) or draft(self, *a))
    path = tmp_path / "a.jpg"

    def sizes(size, sides=(640, 424), **options):
        Image.fromarray(np.full((*sides[::-1], 3), 90, np.uint8)).save(path, quality=90, **options)
        asked.clear()
        decode(path, Preprocessing(3, size))
        return asked

    assert sizes((15, 15)) == [(80, 53)]  # 53 >= 3.5 * 15
    assert sizes((16, 15)) == [(160, 106)]
    assert sizes((31, 40)) == [(320, 212)]
    assert sizes((60, 92)) == []
    assert sizes((15, 15), (640, 428)) == [(160, 107)]  # 428 is no multiple of 8
    assert sizes((15, 15), (640, 427)) == []
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    assert sizes((80, 10), exif=exif) == [(320, 212)]  # 640 x 424 becomes 424 wide and 640 high
    assert sizes((80, 10)) == []


def test_a_photograph_is_decoded_in_one_piece(tmp_path, monkeypatch):
    from PIL.JpegImagePlugin import JpegImageFile

    path = tmp_path / "a.jpg"
    path.write_bytes(photograph("china.jpg", 95, 0))
    pieces = []
    read = JpegImageFile.load_read
    monkeypatch.setattr(
        JpegImageFile, "load_read", lambda self, size: pieces.append(read(self, size)) or pieces[-1]
    )
    decode(path, Preprocessing(3, (30, 30)))
    assert pieces == [path.read_bytes()]
    assert len(pieces[0]) > 2**17


def test_drawings_are_decoded_in_full(tmp_path):
    path = tmp_path / "a.jpg"
    drawing = np.full((400, 400), 255, np.uint8)
    drawing[::50] = 0
    Image.fromarray(drawing).save(path, quality=70)
    form = Preprocessing(1, (10, 10))
    np.testing.assert_array_equal(decode(path, form), decode(path, form, in_full=True))
