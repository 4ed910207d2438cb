"""Tables that name the files of pictures: Keras' and fastai's ways, parts, and what is wrong with files."""

import json
import unicodedata

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from neocog.cli import app
from neocog.data import LazyImages, Preprocessing, image_folder, load_csv
from neocog.data.sources import open_source

NAMES = ["a.png", "b.png", "c.png", "d.png"]
KINDS = ["dog", "cat", "dog", "cat"]


def picture(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 5), shade, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Four pictures beside a table that is still to be written; number n has the shade 51 n."""
    for n, name in enumerate(NAMES):
        picture(tmp_path / name, 51 * n)
    return tmp_path


def write(folder, rows, header=("filename", "label"), name="a.csv", delimiter=","):
    lines = [delimiter.join(map(str, row)) for row in ([header] if header else []) + list(rows)]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


def load(path, **options):
    return load_csv(path, 0, **options)


def shades(images):
    return np.rint(np.asarray(images)[:, 0, 0, 0] * 5).astype(int).tolist()


@pytest.mark.parametrize(
    ("header", "order"),
    [
        (("filename", "class"), (0, 1)),  # Keras
        (("fname", "labels"), (0, 1)),  # fastai
        (("name", "label"), (0, 1)),
        (("label", "Image Path"), (1, 0)),
        (("image_id", "species"), (0, 1)),
        (("id", "breed"), (0, 1)),
        (("picture of it", "what it is"), (0, 1)),
        (None, (0, 1)),
        (None, (1, 0)),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_column_of_files_and_one_of_labels(folder, header, order, delimiter):
    rows = [[row[k] for k in order] for row in zip(NAMES, KINDS, strict=True)]
    split = load(write(folder, rows, header, delimiter=delimiter))
    assert isinstance(split.train[0], LazyImages)
    assert split.class_names == ("cat", "dog")
    assert split.train[1].tolist() == [1, 0, 1, 0]
    assert shades(split.train[0]) == [0, 1, 2, 3]
    assert split.preprocessing == Preprocessing(1, (4, 5))


@pytest.mark.parametrize("header", [("id", "label"), ("image_id", "category"), ("filename", "label")])
def test_names_without_their_suffix(folder, header):
    rows = [[name[0], kind] for name, kind in zip(NAMES, KINDS, strict=True)]
    assert shades(load(write(folder, rows, header)).train[0]) == [0, 1, 2, 3]
    for n in range(4):
        picture(folder / f"{n}.jpg", 51 * n)
    numbers = [[n, kind, 33, "x"] for n, kind in enumerate(KINDS)]
    assert shades(load(write(folder, numbers, (*header, "age", "sex"))).train[0]) == [0, 1, 2, 3]


@pytest.mark.parametrize("place", ["images", "train", "Train_Images", "any folder", "cat", "../images"])
def test_files_lie_in_a_folder_beside_the_table(tmp_path, place):
    table = tmp_path / "here"
    for n, name in enumerate(NAMES):
        picture(table / place / name, 51 * n)
    (table / "empty").mkdir()
    split = load(write(table, zip(NAMES, KINDS, strict=True)))
    assert shades(split.train[0]) == [0, 1, 2, 3]
    assert any(place.removeprefix("../") in note for note in split.notes)
    if place != "../images":
        rows = zip((f"{place}/{name}" for name in NAMES), KINDS, strict=True)
        assert shades(load(write(table, rows)).train[0]) == [0, 1, 2, 3]
        rows = zip((f"{place}\\{name}" for name in NAMES), KINDS, strict=True)  # as Windows writes them
        assert shades(load(write(table, rows)).train[0]) == [0, 1, 2, 3]
    rows = zip((table / place / name for name in NAMES), KINDS, strict=True)
    assert shades(load(write(table, rows)).train[0]) == [0, 1, 2, 3]


def test_files_that_are_spread_over_folders(tmp_path):
    for n, name in enumerate(NAMES):
        picture(tmp_path / f"part_{n % 2}" / name, 51 * n)
    assert shades(load(write(tmp_path, zip(NAMES, KINDS, strict=True))).train[0]) == [0, 1, 2, 3]


def test_names_in_another_unicode_form(tmp_path):
    for n in range(4):
        picture(tmp_path / unicodedata.normalize("NFD", f"caf\u00e9{n}.png"), 51 * n)
    rows = [(f"caf\u00e9{n}.png", unicodedata.normalize("NFD", "\u00e9") if n % 2 else "a") for n in range(4)]
    split = load(write(tmp_path, rows))
    assert shades(split.train[0]) == [0, 1, 2, 3]
    assert split.class_names == ("a", "\u00e9")


def test_a_column_of_parts(folder):
    for header, cells in (
        ("split", ["train", "train", "val", "Test"]),
        ("set", ["dev", "test", "trn", "trn"]),
    ):
        rows = zip(NAMES, cells, KINDS, strict=True)
        split = load_csv(write(folder, rows, ("file", header, "label")))
        assert split.class_names == ("cat", "dog")
        found = [shades(part[0]) for part in (split.train, split.tuning, split.test)]
        assert found == ([[0, 1], [2], [3]] if header == "split" else [[2, 3], [0], [1]])
    rows = zip(NAMES, KINDS, ["False", "False", "True", "True"], strict=True)
    split = load_csv(write(folder, rows, ("fname", "labels", "is_valid")))  # fastai
    assert [shades(part[0]) for part in split] == [[0, 1], [2, 3]]
    split = load_csv(write(folder, zip(NAMES, KINDS, [0, 1, 2, 3], strict=True), ("file", "label", "fold")))
    assert "Column fold names no parts (train, val, test): not used." in split.notes
    assert len(split.test[1]) == 2
    path = write(folder, zip(NAMES, KINDS, ["train", "test", "x", ""], strict=True), ("f", "label", "split"))
    with pytest.raises(ValueError, match=r"a\.csv, line 4, column 3: must be train, val or test, got 'x'"):
        load_csv(path)


def test_files_of_parts(tmp_path):
    for part, shade in (("train", 0), ("test", 153), ("valid", 102)):
        for n in range(2):
            picture(tmp_path / part / f"{n}.png", shade + 51 * n)
        write(tmp_path, [("0.png", "cat"), ("1.png", "dog")], name=f"{part}.csv")
    split = load_csv(tmp_path)
    found = [shades(part[0]) for part in (split.train, split.test, split.tuning)]
    assert found == [[0, 1], [3, 4], [2, 3]]
    write(tmp_path, [("0.png", ""), ("1.png", "")], name="test.csv")
    split = load_csv(tmp_path)
    assert "Rows of other parts than training without a label: 2, left out." in split.notes
    assert shades(split.test[0]) == [2, 3]
    write(tmp_path, [("0.png", "cat"), ("../train/1.png", "dog"), ("2.png", "dog")], name="test.csv")
    with pytest.raises(ValueError) as error:  # noqa: PT011
        load_csv(tmp_path)
    assert "2.png is not there (test.csv, line 4)" in str(error.value)
    assert "1.png has the parts training and test (train.csv, line 3, and test.csv, line 3)" in str(
        error.value
    )
    for header, rows in ((["filename"], ["0", "1"]), (["filename", "age"], [("0.png", 3)])):
        write(tmp_path, rows, header, name="test.csv")
        assert "test.csv has no column of labels and is left out." in load_csv(tmp_path).notes
    write(tmp_path, [("0.png", "fox")], name="test.csv")
    with pytest.raises(ValueError, match=r"every class must be in the training part, .*: fox"):
        load_csv(tmp_path)


def test_all_that_is_wrong_is_listed_at_once(folder):
    (folder / "d.png").write_bytes(b"no picture")
    (folder / "inner").mkdir()
    rows = [("a.png", "x"), ("b.png", "y"), ("c.png", ""), ("d.png", "x"), ("gone.png", "y"), ("", "x")]
    path = write(folder, [*rows, ("b.png", "x"), ("e\u202eg.png", "x")])
    with pytest.raises(ValueError, match=r"a\.csv: 6 files cannot be used: ") as error:
        load(path)
    text = str(error.value)
    for part in (
        "c.png has no label (line 4)",
        "gone.png is not there (line 6)",
        "a.csv names no file (line 7)",
        "b.png has the labels y and x (lines 3 and 8)",
        "e\\u202eg.png is not there (line 9)",
        "d.png is not an image",
        f"Looked in {folder}, {folder / 'inner'}",
        "--skip-bad",
    ):
        assert part in text
    split = load(path, skip_bad=True)
    assert shades(split.train[0]) == [0, 1]
    assert split.notes[0].startswith("Skipped, as asked for: ")


def test_a_file_that_is_named_twice(folder):
    rows = [*zip(NAMES, KINDS, strict=True), ("a.png", "dog")]
    split = load(write(folder, rows))
    assert shades(split.train[0]) == [0, 1, 2, 3]
    assert "Rows that name a file again: 1, left out." in split.notes
    (folder / "link.png").symlink_to(folder / "b.png")
    for again in ("./a.png", f"../{folder.name}/a.png", folder / "a.png", "link.png"):
        rows = [*zip(NAMES, KINDS, strict=True), (again, "fox")]
        with pytest.raises(ValueError, match=r"has the labels (dog|cat) and fox \(lines [23] and 6\)"):
            load(write(folder, rows))
    rows = [(*row, "train") for row in zip(NAMES, KINDS, strict=True)] + [("a.png", "dog", "test")]
    with pytest.raises(ValueError, match=r"a\.png has the parts training and test \(lines 2 and 6\)"):
        load(write(folder, rows, ("file", "label", "split")))


def test_the_column_of_labels_must_be_clear(folder):
    rows = [(name, 1, 7) for name in NAMES]
    for header, found in ((("file", "scab", "rust"), "file, scab, rust"), (None, "3 columns without names")):
        with pytest.raises(ValueError, match=rf"a\.csv names files, .*named label, class.*; got {found}"):
            load(write(folder, rows, header))
    numbered = [(n, name, kind) for n, (name, kind) in enumerate(zip(NAMES, KINDS, strict=True))]
    assert shades(load(write(folder, numbered, ("", "file", "kind of pet"))).train[0]) == [0, 1, 2, 3]


def test_columns_are_named(folder):
    rows = [(n, name, kind, "x") for n, (name, kind) in enumerate(zip(NAMES, KINDS, strict=True))]
    path = write(folder, rows, ("label", "where it is", '"what, in truth"', "class"))
    named = {"file_column": "where it is", "label_column": "what, in truth"}
    split = load(path, **named)
    assert (split.class_names, shades(split.train[0])) == (("cat", "dog"), [0, 1, 2, 3])
    split = load(path, file_column="where it is", label_column="class", class_names=("x", "y"))
    assert split.train[1].tolist() == [0, 0, 0, 0]
    for option, name, message in (
        ("label_column", "kind", r"label_column must be names, each once, of a column of .*a\.csv, of its"),
        ("file_column", "label,class", "file_column must be one name of a column of .*got 'label,class'"),
    ):
        with pytest.raises(ValueError, match=message):
            load(path, **{option: name})
    with pytest.raises(ValueError, match="and it has no header; got 'kind'"):
        load(write(folder, rows, None), label_column="kind")
    pixels = write(folder, [("a", 1), ("b", 2)], ("label", "1x1"), name="b.csv")
    with pytest.raises(
        ValueError, match=r"b\.csv must have a column that names files in .*: label, 1x1; say"
    ):
        load(pixels, label_column="label")


def test_values_for_classes_are_remarked_on(tmp_path):
    for n in range(60):
        picture(tmp_path / f"{n}.png", 4 * n)

    def warned(of):
        split = load(write(tmp_path, [(f"{n}.png", of(n)) for n in range(60)]))
        return [note for note in split.notes if "each taken for a class of its own" in note]

    assert warned(lambda n: n // 2) == [
        "Warning: the labels are 30 different numbers, each taken for a class of its own. Values, as ages, "
        "are learned by neocog.ConvNetRegressor, in Python."
    ]
    assert warned(lambda n: f"{n % 20}.5")
    assert not warned(lambda n: f"c{n // 2}")  # names
    assert not warned(lambda n: n % 12)  # five images each


def test_a_column_of_files_with_another_name(folder):
    """It holds no suffixes, either, and is found by the files that there are."""
    rows = [(n, name[0], kind, 20 + n) for n, (name, kind) in enumerate(zip(NAMES, KINDS, strict=True))]
    path = write(folder, rows, ("", "scan", "kind", "age"))
    split = load(path, label_column="kind")
    assert (split.class_names, shades(split.train[0])) == (("cat", "dog"), [0, 1, 2, 3])
    for name in NAMES:
        (folder / name).unlink()
    with pytest.raises(ValueError, match=r"line 2, column 1: must be a pixel, got 'a'; .* \(--images\)"):
        load(write(folder, [row[1:] for row in rows], ("scan", "label", "age")))


def test_the_folder_of_the_files_is_named(folder, tmp_path_factory):
    table = write(tmp_path_factory.mktemp("tables"), zip(NAMES, KINDS, strict=True))
    with pytest.raises(ValueError, match=r"a\.csv: 4 files cannot be used"):
        load(table)
    assert shades(load(table, images=folder).train[0]) == [0, 1, 2, 3]
    for name in NAMES:  # others of the same name, beside the table, are not taken
        picture(table.parent / name, 255)
    assert shades(load(table, images=folder).train[0]) == [0, 1, 2, 3]
    assert load_csv(table, 0.5, images=folder, group_by="/?(.)[.]png").groups is not None
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        load(table, images=folder / "gone")


def test_a_column_of_zeros_and_ones_for_each_class(folder):
    rows = [(n, name, f"{1 - n % 2}.0", f"{n % 2}.0") for n, name in enumerate(NAMES)]
    split = load(write(folder, rows, ("", "image", "dog", "cat")))
    assert (split.class_names, split.train[1].tolist()) == (("cat", "dog"), [1, 0, 1, 0])
    rows[2] = (2, "c.png", 1, 1)
    path = write(folder, rows, ("", "image", "dog", "cat"))
    with pytest.raises(ValueError, match=r"a\.csv, line 4: one of the columns .* got dog, cat; --loss bce"):
        load(path)
    split = load(path, several_labels=True)
    assert split.train[1].tolist() == [[0, 1], [1, 0], [1, 1], [1, 0]]
    rows[3] = (3, "d.png", 0, "maybe")
    path = write(folder, [*rows, *rows], ("", "image", "dog", "cat"))
    with pytest.raises(ValueError, match=r"line 5, column cat: must be 0 or 1, .* got 'maybe'"):
        load(path, label_column="dog, cat", several_labels=True)
    rows = [(name, n == 0, n > 1, 5) for n, name in enumerate(NAMES)]
    path = write(folder, rows, ("file", "a;b", "c d", "age"))
    split = load(path, several_labels=True, label_column="a;b,c d")
    assert split.class_names == ("a;b", "c d")
    assert split.train[1].tolist() == [[1, 0], [0, 0], [0, 1], [0, 1]]


def test_options_of_pictures(folder):
    path = write(folder, zip(NAMES, KINDS, strict=True))
    assert load(path, channels=3, size=2).image_shape == (3, 2, 2)
    assert load(path, image_shape=(1, 3, 3)).image_shape == (1, 3, 3)
    split = load(path, class_names=("cat", "cow", "dog"))
    assert split.train[1].tolist() == [2, 0, 2, 0]
    split = load_csv(path, 0.5, group_by="^(.)")
    assert len(split.test[1]) == 2
    with pytest.raises(ValueError, match="got also dog"):
        load(path, class_names=("cat", "cow"))
    assert open_source(f"csv:{path}").image_shape == (1, 4, 5)
    for name in NAMES:
        Image.new("L", (100, 200)).save(folder / name)
    assert open_source(f"csv:{path}").image_shape == (1, 64, 32)
    pixels = write(folder, [("a", 1), ("b", 2)], ("label", "1x1"), name="b.csv")
    with pytest.raises(ValueError, match=r"size is only for tables that name files of pictures; .*b\.csv"):
        load_csv(pixels, size=3)


def test_the_fingerprint_is_that_of_the_files(folder):
    path = write(folder, zip(NAMES, KINDS, strict=True))
    before = load(path).fingerprint()
    assert load(path).fingerprint() == before
    picture(folder / "a.png", 7)
    assert load(path).fingerprint() != before


def test_from_the_command_line(folder, monkeypatch):
    """A run keeps how its pictures are read; evaluating and predicting read them so."""
    monkeypatch.chdir(folder)
    for n in range(12):
        picture(folder / "photos" / f"{n}.png", 20 * n)
    write(folder, [(n, "dark" if n < 6 else "bright") for n in range(12)], ("id", "kind"), name="kinds.csv")

    def run(*arguments, code=0):
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        assert result.exit_code == code, result.output
        return result

    run("train", "kinds.csv", "--size", 6, "--epochs", 1, "--out", "r", "--no-report")
    assert json.loads((folder / "r" / "config.json").read_text())["image_shape"] == [1, 6, 6]
    assert json.loads(run("evaluate", "r/model.neocog", "kinds.csv", "--json").stdout)["images"] == 12
    write(folder, [("0.png", "dark"), ("99.png", "bright")], name="few.csv")
    columns = ["--images", "photos", "--file-column", "id", "--label-column", "dark,bright"]
    rows = [(n, int(n < 6), int(n >= 6), n) for n in range(12)]
    (folder / "t").mkdir()
    write(folder / "t", rows, ("id", "dark", "bright", "n"), name="kinds.csv")
    run("train", "t/kinds.csv", *columns, "--loss", "bce", "--epochs", 1, "--out", "several", "--no-report")
    monkeypatch.chdir(folder / "t")
    assert json.loads(run("evaluate", "../several", "--json").stdout)["images"] == 2
    monkeypatch.chdir(folder)
    write(folder, rows[:9], ("id", "dark", "bright", "n"), name="others.csv")
    picture(folder / "elsewhere" / "8.png")
    shown = run("evaluate", "several", "others.csv").stdout
    assert shown.startswith("9 images of others.csv: the run trained on 7 of them")
    assert "--images is for a SOURCE" in run("evaluate", "several", "--images", "photos", code=2).stderr
    error = run("evaluate", "several", "others.csv", "--images", "elsewhere", code=2).stderr
    assert "8 files cannot be used: " in error
    error = run("evaluate", "r/model.neocog", "few.csv", code=2).stderr
    assert "99.png is not there (line 3)" in error
    assert error.count("\n") == 1


def test_a_folder_without_classes_points_at_the_table(folder):
    path = write(folder, [], name="labels.csv")
    picture(folder / "train" / "a.png")
    for name in NAMES:
        (folder / name).unlink()
    with pytest.raises(ValueError, match=r"got only 'train'\. If labels\.csv holds their labels, pass csv:"):
        image_folder(folder)
    path.unlink()
    with pytest.raises(ValueError, match=r"got only 'train'\.$"):
        image_folder(folder)
