"""Folders as people have them: parts, nested classes, labels in names, bad files, and what is chosen."""

import io
import os
import re

import numpy as np
import pytest
from PIL import Image

from neocog import runs
from neocog.data import Preprocessing, Split, duplicates, image_folder
from neocog.data.duplicates import near_duplicates, note_of_duplicates
from neocog.data.folder import check_pictures
from neocog.data.layout import find_pictures, name_of
from neocog.settings import settings_for

RNG = np.random.default_rng(0)


def write(root, *names, size=(6, 8), colour=False):
    """Write small pictures of noise, in colour or grey."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = RNG.integers(0, 256, (*size, 3) if colour else size, np.uint8)
        Image.fromarray(pixels).save(path, format="PNG" if path.suffix not in (".jpg", ".jpeg") else "JPEG")
    return root


def write_classes(root, names="ab", count=5, **options):
    for name in names:
        write(root, *(f"{name}/{n}.png" for n in range(count)), **options)
    return root


def found(part, root):
    """Return the files of a part, below the root, with the class of each."""
    images, labels = part
    return {path.relative_to(root).as_posix(): int(k) for path, k in zip(images.paths, labels, strict=True)}


def said(split, pattern):
    return [note for note in split.notes if re.search(pattern, note)]


PARTS = {"train": ["train", "Training", "TRAIN"], "tuning": ["val", "valid", "validation", "dev", "Val"]}
PARTS["test"] = ["test", "testing", "Eval", "TEST"]


@pytest.mark.parametrize("train", PARTS["train"])
@pytest.mark.parametrize("other", PARTS["tuning"] + PARTS["test"])
def test_two_parts_by_any_usual_name(tmp_path, train, other):
    write_classes(tmp_path / train, count=2)
    write_classes(tmp_path / other, count=1)
    split = image_folder(tmp_path)
    assert {name.split("/")[0] for name in found(split.train, tmp_path)} == {train}
    assert {name.split("/")[0] for name in found(split.validation, tmp_path)} == {other}
    assert split.tuning is None


def test_three_parts(tmp_path):
    for part in ("Train", "Val", "Test"):
        write_classes(tmp_path / part, count=2)
    write(tmp_path, "extra/x.png")
    split = image_folder(tmp_path)
    parts = [next(iter(found(part, tmp_path))) for part in (split.train, split.tuning, split.validation)]
    assert parts == ["Train/a/0.png", "Val/a/0.png", "Test/a/0.png"]
    assert said(split, "Left out, as they are no part of the data: extra")


@pytest.mark.parametrize("names", [("seg_train", "seg_test"), ("train_images", "test1")])
def test_parts_named_in_several_words(tmp_path, names):
    for name in names:
        write_classes(tmp_path / name / name, count=2)
    assert len(image_folder(tmp_path).validation[1]) == 4


def test_parts_named_in_several_words_beside_another_folder(tmp_path):
    """Parts of the same classes are parts; else they would be classes, and the classes would be lost."""
    for name in ("1_train", "2_val", "3_test"):
        write_classes(tmp_path / name, count=2)
    write(tmp_path, "logo/0.png", "logo/1.png")
    split = image_folder(tmp_path)
    assert split.class_names == ("a", "b")
    assert len(split.tuning[1]) == len(split.validation[1]) == 4
    assert said(split, "Left out, as they are no part of the data: logo")


def test_classes_first_then_parts(tmp_path):
    for name in "ab":
        write(tmp_path, *(f"{name}/{part}/{n}.png" for part in ("train", "test") for n in range(2)))
    split = image_folder(tmp_path)
    assert split.class_names == ("a", "b")
    assert found(split.validation, tmp_path) == {
        "a/test/0.png": 0, "a/test/1.png": 0, "b/test/0.png": 1, "b/test/1.png": 1,
    }  # fmt: skip


def test_one_class_may_be_called_as_a_part(tmp_path):
    write_classes(tmp_path, ("bus", "train"))
    assert image_folder(tmp_path).class_names == ("bus", "train")


@pytest.mark.parametrize("held_out", ["test", "test1"])
def test_labels_in_names_are_no_classes_train_and_test(tmp_path, held_out):
    """As Kaggle's dogs-vs-cats has them."""
    write(tmp_path, *(f"train/{name}.{n}.jpg" for name in ("cat", "dog") for n in range(4)))
    write(tmp_path, *(f"{held_out}/{n}.jpg" for n in range(8)))
    with pytest.raises(
        ValueError, match=r"8 pictures beside each other.*gives cat \(4\), dog \(4\)"
    ) as error:
        image_folder(tmp_path)
    pattern = re.search("--label-pattern '(.*?)'", str(error.value))[1]
    split = image_folder(tmp_path, label_pattern=pattern)
    assert split.class_names == ("cat", "dog")
    assert len(split.train[1]) + len(split.validation[1]) == 8
    assert said(split, f"Left out: {held_out}, as label_pattern fits none of its 8 files")


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["cat.0", "cat.1", "dog.0", "dog.1"], "cat (2), dog (2)"),
        (["house_cat_1", "house_cat_2", "dog_1", "dog_12"], "dog (2), house_cat (2)"),
        (["cat (1)", "cat (2)", "dog (1)", "dog (2)"], "cat (2), dog (2)"),
        (["cat1", "cat2", "dog1", "dog2"], "cat (2), dog (2)"),
        (["01_cat", "02_cat", "03_dog", "04_dog"], "cat (2), dog (2)"),
        (["cat_on_sofa", "cat_asleep", "dog_on_sofa", "dog_asleep"], "cat (2), dog (2)"),
        (["0_1", "0_2", "7_1", "7_2"], "0 (2), 7 (2)"),
    ],
)
def test_the_error_of_a_flat_folder_recognises_labels(tmp_path, names, classes):
    write(tmp_path, *(f"{name}.png" for name in names))
    with pytest.raises(ValueError, match=re.escape(classes)) as error:
        image_folder(tmp_path)
    pattern = re.search("--label-pattern '(.*?)'", str(error.value))[1]
    split = image_folder(tmp_path, label_pattern=pattern)
    assert split.class_names == tuple(re.findall(r"(\w+) \(", classes))


@pytest.mark.parametrize("inside", ["all/{}", "train/train/{}"])
def test_the_error_of_one_folder_recognises_labels(tmp_path, inside):
    write(tmp_path, *(inside.format(f"{name}.{n}.png") for name in ("cat", "dog") for n in range(4)))
    write(tmp_path, *(f"test/test/{n}.png" for n in range(3)) if "train" in inside else ())
    with pytest.raises(ValueError, match=r"at least two classes, got only '.*gives cat \(4\), dog \(4\)"):
        image_folder(tmp_path)
    assert image_folder(tmp_path, label_pattern=r"^(\D+)\.").class_names == ("cat", "dog")


def test_a_flat_folder_of_no_classes(tmp_path):
    write(tmp_path, "IMG_1.png", "IMG_2.png", "IMG_3.png")
    with pytest.raises(ValueError, match=r"got 3 pictures. Move them there, or pass label_pattern"):
        image_folder(tmp_path)
    (tmp_path / "labels.csv").write_text("a")
    with pytest.raises(ValueError, match=r"If labels\.csv holds their labels, pass csv:"):
        image_folder(tmp_path)


def test_a_pattern_with_a_slash_is_searched_in_the_path(tmp_path):
    write(tmp_path, *(f"{top}/{name}/{n}.png" for top in "xy" for name in "ab" for n in range(2)))
    split = image_folder(tmp_path, label_pattern="([^/]+)/[^/]+$")
    assert split.class_names == ("a", "b")
    assert all(name.split("/")[1] == "ab"[k] for name, k in found(split.train, tmp_path).items())


@pytest.mark.parametrize("option", ["label_pattern", "group_by"])
@pytest.mark.parametrize(
    ("pattern", "message"),
    [("(", "must be a regular expression, got '\\('"), ("a", "must have one group"), ("(a)(b)", "with 2")],
)
def test_patterns_not_allowed(tmp_path, option, pattern, message):
    with pytest.raises(ValueError, match=f"{option} must .*{message}|{message}"):
        image_folder(write_classes(tmp_path), **{option: pattern})


def test_names_that_a_pattern_does_not_fit_are_listed(tmp_path):
    write(tmp_path, "a_1.png", "a_2.png", "b_1.png", "b_2.png", "x.png", "y.png")
    with pytest.raises(ValueError, match=r"2 files .*: x\.png has no label .*; y\.png has no label"):
        image_folder(tmp_path, label_pattern="^(.)_")
    split = image_folder(tmp_path, label_pattern="^(.)_", skip_bad=True)
    assert len(split.train[1]) + len(split.validation[1]) == 4
    with pytest.raises(ValueError, match=r"label_pattern fits none of its 6 pictures, such as a_1\.png"):
        image_folder(tmp_path, label_pattern="^(none)")


def test_nested_folders_count_for_the_class_at_the_top(tmp_path):
    write(tmp_path, "a/x/1.png", "a/x/deep/2.png", "a/3.png", "b/x/1.png", "b/y/2.png")
    split = image_folder(tmp_path, validation_fraction=0)
    assert found(split.train, tmp_path) == {
        "a/3.png": 0, "a/x/1.png": 0, "a/x/deep/2.png": 0, "b/x/1.png": 1, "b/y/2.png": 1,
    }  # fmt: skip
    assert said(split, "4 pictures lie in folders within their class folder")


def test_folders_that_hold_only_one_folder_are_passed_through(tmp_path):
    write_classes(tmp_path / "archive" / "data")
    (tmp_path / "__MACOSX" / "archive").mkdir(parents=True)
    split = image_folder(tmp_path)
    assert split.class_names == ("a", "b")
    assert said(split, "The pictures are those in .*archive/data")


def test_a_folder_beside_its_copy(tmp_path):
    """As Kaggle's chest X-rays: chest/train, chest/test, chest/chest/train ..."""
    for root in (tmp_path, tmp_path / "chest"):
        for part in ("train", "test"):
            write_classes(root / part, count=2)
    split = image_folder(tmp_path)
    assert len(split.train[1]) == 4
    assert said(split, "no part of the data: chest")


def test_a_link_to_a_folder_above_ends(tmp_path):
    write_classes(tmp_path)
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert len(image_folder(tmp_path, validation_fraction=0).train[1]) == 10


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train", "val", "validation"), "'val' and 'validation' would be the same part"),
        (("val", "test"), "no part to train on"),
    ],
)
def test_parts_not_allowed(tmp_path, folders, message):
    for name in folders:
        write_classes(tmp_path / name, count=1)
    with pytest.raises(ValueError, match=message):
        image_folder(tmp_path)


def test_a_class_that_is_not_trained_on(tmp_path):
    write_classes(tmp_path / "train", ("Cat", "dog"))
    write_classes(tmp_path / "val", ("cat", "dog"))
    with pytest.raises(
        ValueError, match="only in the validation part: cat; the training part holds Cat, dog"
    ):
        image_folder(tmp_path)


def test_a_class_that_is_not_held_out_is_said(tmp_path):
    write_classes(tmp_path / "train", "abc")
    write_classes(tmp_path / "val", "ab")
    split = image_folder(tmp_path)
    assert split.class_names == ("a", "b", "c")
    assert said(split, "The validation part holds no images of c")


def test_some_of_the_classes_of_a_model(tmp_path):
    write_classes(tmp_path, "b", count=3)
    split = image_folder(tmp_path, (1, 8, 8), validation_fraction=0, class_names=("a", "b", "c"))
    assert split.class_names == ("a", "b", "c")
    assert split.train[1].tolist() == [1, 1, 1]
    write_classes(tmp_path, "z")
    with pytest.raises(ValueError, match="must be among a, b, c, got also z"):
        image_folder(tmp_path, (1, 8, 8), validation_fraction=0, class_names=("a", "b", "c"))


def test_bad_files_are_all_listed_at_once_or_skipped(tmp_path):
    write_classes(tmp_path)
    (tmp_path / "a" / "text.png").write_text("hello")
    (tmp_path / "a" / "empty.jpg").write_bytes(b"")
    (tmp_path / "b" / "photo.nef").write_bytes(b"II*\0")
    (tmp_path / "b" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "emu").mkdir()
    write(tmp_path, "beside.png")
    write(tmp_path, "b/short.png", size=(20, 20))
    cut_short(tmp_path / "b" / "short.png")  # whose header is sound
    with pytest.raises(ValueError, match="7 files cannot be used") as error:
        image_folder(tmp_path)
    for part in (
        r"a/text\.png is not an image in BMP, GIF",
        r"a/empty\.jpg is not an image .*: it is empty",
        r"b/photo\.nef is a picture in a format that is not read; convert it",
        r"b/gone\.png is a link to nothing",
        r"emu is an empty folder",
        r"beside\.png lies beside the class folders",
        r"b/short\.png cannot be read as an image",
        r"--skip-bad",
    ):
        assert re.search(part, str(error.value)), part
    split = image_folder(tmp_path, skip_bad=True)
    assert split.class_names == ("a", "b")
    assert len(split.train[1]) + len(split.validation[1]) == 10
    assert said(split, r"^Skipped, as asked for: .*text\.png")


def test_the_list_of_bad_files_is_bounded(tmp_path):
    write_classes(tmp_path)
    for n in range(200):
        (tmp_path / "a" / f"bad{n:03}.png").write_text("hello")
    with pytest.raises(ValueError, match=r"200 files cannot be used: .* and 180 more"):
        image_folder(tmp_path)


def test_a_class_without_a_good_file(tmp_path):
    write_classes(tmp_path, "abc", count=2)
    for n in range(2):
        (tmp_path / "c" / f"{n}.png").write_text("hello")
    assert image_folder(tmp_path, skip_bad=True).class_names == ("a", "b")


def test_other_files_are_left_out_and_pictures_are_known_by_their_content(tmp_path):
    write_classes(tmp_path)
    (tmp_path / "a" / "notes.txt").write_text("hello")
    (tmp_path / "README").write_text("hello")
    write(tmp_path, "a/picture", "b/picture.jpg_large")
    split = image_folder(tmp_path, validation_fraction=0)
    assert len(split.train[1]) == 12
    assert said(split, r"Left out, as no pictures: README, a/notes\.txt\.|a/notes\.txt, README")


def test_an_archive_is_to_be_unpacked(tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"got none, but photos\.zip: unpack it first"):
        image_folder(tmp_path)


def test_names_have_one_normal_form(tmp_path):
    write_classes(tmp_path / "train", ("cafe\u0301", "tea"))
    write_classes(tmp_path / "test", ("caf\u00e9", "tea"))
    split = image_folder(tmp_path)
    assert split.class_names == ("caf\u00e9", "tea")
    write_classes(tmp_path / "train", ("caf\u00e9",), count=1)
    split = image_folder(tmp_path)
    assert split.class_names == ("caf\u00e9", "tea")
    assert split.train[1].tolist() == [0] * 6 + [1] * 5
    assert said(split, "differ in their Unicode form alone are one class")


def test_names_that_are_no_utf_8(tmp_path):
    write_classes(tmp_path, ("tea", os.fsdecode(b"caf\xe9")))
    split = image_folder(tmp_path)
    assert split.class_names == (r"caf\xe9", "tea")
    "\n".join(split.notes).encode()
    (tmp_path / os.fsdecode(b"\xff.png")).write_text("hello")
    with pytest.raises(ValueError, match=r"\\udcff\.png lies beside") as error:
        image_folder(tmp_path)
    str(error.value).encode()
    assert name_of("a\udce9") == r"a\xe9"


def test_colour_if_any_file_is_in_colour(tmp_path):
    write_classes(tmp_path, count=10, size=(40, 60), colour=True)
    Image.new("L", (9, 9)).save(tmp_path / "a" / "0.png")
    split = image_folder(tmp_path)
    assert split.image_shape == (3, 40, 60)
    assert said(split, r"Channels: 3 \(colour\), as [ab]/\d\.png shows colour; 1 are stored as grey")
    assert said(split, r"Size: 40 x 60, the median height and width")
    assert image_folder(tmp_path, channels=1).image_shape == (1, 40, 60)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".gif", ".bmp"])
def test_grey_that_is_stored_in_colour_is_grey(tmp_path, suffix):
    for name in "ab":
        (tmp_path / name).mkdir()
        for n in range(3):
            grey = Image.fromarray(RNG.integers(0, 256, (20, 20), np.uint8)).resize((40, 40))
            grey.convert("P" if suffix == ".gif" else "RGB").save(tmp_path / name / f"{n}{suffix}")
    split = image_folder(tmp_path)
    assert split.image_shape == (1, 40, 40)
    one = tmp_path / "b" / f"9{suffix}"
    Image.new("RGB", (40, 40), (180, 160, 160)).save(one)
    assert image_folder(tmp_path, validation_fraction=0).image_shape == (3, 40, 40)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(25, 24)] * 3, (25, 24)),
        ([(24, 24), (32, 30), (64, 77)], (31, 31)),
        ([(30, 60), (30, 60), (60, 90)], (30, 60)),
        ([(900, 1200)] * 3, (48, 64)),
        ([(900, 1200), (900, 1200), (1200, 900)], (64, 64)),
        ([(20, 2000)] * 3, (16, 64)),
    ],
)
def test_the_size_is_the_median_at_most_64(tmp_path, sizes, expected):
    for n, size in enumerate(sizes):
        write(tmp_path, f"a/{n}.png", f"b/{n}.png", size=size)
    split = image_folder(tmp_path, largest=64, validation_fraction=0)
    assert split.image_shape[1:] == expected
    assert image_folder(tmp_path, size=16, validation_fraction=0).image_shape == (1, 16, 16)


def test_the_fit_follows_proportions_and_borders(tmp_path):
    noise, paper = tmp_path / "noise", tmp_path / "paper"
    for n, size in enumerate([(20, 60), (40, 40), (60, 20), (30, 50), (40, 44)]):
        write(noise, f"a/{n}.png", f"b/{n}.png", size=size)
        for name in "ab":
            (paper / name).mkdir(parents=True, exist_ok=True)
            sheet = np.full(size, 250, np.uint8)
            sheet[5:-5, 5:-5] = 20
            Image.fromarray(sheet).save(paper / name / f"{n}.png")
    for root, fit in ((noise, "crop"), (paper, "pad")):
        split = image_folder(root)
        assert split.preprocessing.fit == fit
        assert said(split, f"Fit: {fit}, as their proportions differ")
        assert image_folder(root, fit="stretch").preprocessing.fit == "stretch"
    same = image_folder(write_classes(tmp_path / "same", size=(20, 60)))
    assert same.preprocessing == Preprocessing(1, (20, 60), "stretch")


def test_only_training_pictures_decide(tmp_path):
    write_classes(tmp_path / "train", size=(10, 10))
    write_classes(tmp_path / "test", size=(50, 90), colour=True)
    assert image_folder(tmp_path).image_shape == (1, 10, 10)


@pytest.mark.parametrize("skip_bad", [False, True])
def test_pictures_that_are_drawn_to_be_held_out_decide_nothing(tmp_path, skip_bad):
    write_classes(tmp_path, size=(10, 10))
    drawn = image_folder(tmp_path).validation[0].paths
    write(tmp_path, *drawn, size=(50, 90), colour=True)
    split = image_folder(tmp_path, skip_bad=skip_bad)
    assert split.validation[0].paths == drawn
    assert split.preprocessing == Preprocessing(1, (10, 10))
    for images, labels in split:
        assert images.shape == (len(labels), 1, 10, 10)
        assert ["ab".index(path.parent.name) for path in images.paths] == labels.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 2}, "channels must be 1"),
        ({"size": 0}, "size must be at least 1"),
        ({"fit": "fill"}, "fit must be one of"),
    ],
)
def test_options_not_allowed(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        image_folder(write_classes(tmp_path), **options)


def test_patches_of_one_photograph_stay_on_one_side(tmp_path):
    for name in "ab":
        write(tmp_path, *(f"{name}/{name}{photo}_{n}.png" for photo in range(8) for n in range(5)))
    group_of = re.compile("^(.+)_")
    for seed in range(5):
        split = image_folder(tmp_path, validation_fraction=0.25, seed=seed, group_by="^(.+)_")
        sides = [{group_of.match(path.name)[1] for path in part[0].paths} for part in split]
        assert not sides[0] & sides[1]
        assert np.bincount(split.validation[1]).tolist() == [10, 10]
        assert len(split.groups) == 60
    with pytest.raises(
        ValueError, match=r"group_by must fit every picture .*got 80 that it does not fit: a/"
    ):
        image_folder(tmp_path, group_by="^(none)")


def test_a_class_of_one_group_cannot_be_held_out(tmp_path):
    write(tmp_path, *(f"a/x_{n}.png" for n in range(5)), *(f"b/{n}_0.png" for n in range(5)))
    with pytest.raises(ValueError, match=r"at least two groups .*class 'a' does not"):
        image_folder(tmp_path, group_by="^(.+)_")


def test_the_layout_is_found_without_reading_pictures(tmp_path):
    write(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "a" / "1.png").write_text("hello")
    assert [name for _, name in find_pictures(tmp_path).parts["train"]] == ["a", "b"]


def cut_short(path):
    """Leave the header of a picture, but not all of its pixels."""
    path.write_bytes(path.read_bytes()[:-60])


def test_pictures_that_cannot_be_decoded_are_all_listed_before_training(tmp_path):
    write_classes(tmp_path / "photos", size=(20, 20))
    bad = [tmp_path / "photos" / name for name in ("a/1.png", "a/3.png", "b/2.png")]
    for path in bad:
        cut_short(path)
    split = image_folder(tmp_path / "photos")
    with pytest.raises(ValueError, match=r"3 files cannot be used: .*--skip-bad") as error:
        check_pictures(split)
    for name in ("a/1.png", "a/3.png", "b/2.png"):
        assert f"{name} cannot be read as an image" in str(error.value)
    with pytest.raises(ValueError, match=r"3 files cannot be used"):
        runs.train(settings_for(f"{tmp_path}/photos", epochs=1), tmp_path / "run", io.StringIO())
    assert not (tmp_path / "run").exists()

    split = image_folder(tmp_path / "photos", skip_bad=True)
    assert len(split.train[1]) + len(split.validation[1]) == 7
    assert not {*split.train[0].paths, *split.validation[0].paths} & set(bad)
    assert said(split, r"^Skipped, as asked for: a/1\.png cannot be read as an image: .*; b/2\.png")
    check_pictures(split)


def patterns(count, side=24):
    """Return so many smooth pictures that differ."""
    coarse = RNG.integers(0, 256, (count, 6, 6), np.uint8)
    return [Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC) for pixels in coarse]


def test_near_duplicates_on_both_sides_are_named(tmp_path):
    for k, picture in enumerate(patterns(24)):
        for part in ("train", "test"):
            (tmp_path / part / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        picture.save(tmp_path / ("train" if k < 16 else "test") / "ab"[k % 2] / f"{k}.png")
    assert near_duplicates(image_folder(tmp_path)) == ([], 8)
    copies = patterns(3)
    for k, copy in enumerate(copies):  # at another size, in another format, brighter
        copy.save(tmp_path / "train" / "a" / f"copy{k}.png")
        other = copy.resize((40, 40)) if k == 0 else copy.point(lambda value: value * 0.95 + 10)
        other.save(tmp_path / "test" / "b" / f"copy{k}.jpg", quality=80)
    for k in range(2):  # blank pictures are no copies of each other
        Image.new("L", (24, 24), 250).save(tmp_path / ("train", "test")[k] / "a" / "blank.png")
    split = image_folder(tmp_path)
    pairs, looked_at = near_duplicates(split)
    assert [(a.name, b.name) for a, b in pairs] == [(f"copy{k}.jpg", f"copy{k}.png") for k in range(3)]
    assert looked_at == 12
    (note,) = note_of_duplicates(split)
    assert note.startswith("Warning: 3 of 12 held-out pictures are nearly the same")
    assert "b/copy0.jpg and a/copy0.png" in note


def test_near_duplicates_of_images_without_files():
    x = RNG.random((8, 1, 6, 6))
    split = Split((x, np.arange(8) % 2), (x, np.arange(8) % 2))
    assert near_duplicates(split) == ([], 0)
    assert note_of_duplicates(split) == ()


def test_the_comparison_of_many_pictures_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(duplicates, "MOST_PAIRS", 16 * 3)
    for k, picture in enumerate(patterns(24)):
        name = tmp_path / ("train" if k < 16 else "test") / "ab"[k % 2] / f"{k}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        picture.save(name)
    assert near_duplicates(image_folder(tmp_path)) == ([], 3)
