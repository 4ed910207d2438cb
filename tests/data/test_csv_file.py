"""CSV files: which column is what, how pixels are scaled, and every cell that is wrong."""

import numpy as np
import pytest

from neocog.budgets import BudgetError, budgets
from neocog.data import Preprocessing, digits, load_csv
from neocog.data.sources import open_source

# Four images of 2 x 2 pixels, two of each class; divided by 255 they are fifths.
PIXELS = [[0, 51, 102, 255], [51, 0, 0, 153], [204, 204, 0, 0], [0, 255, 255, 0]]
LABELS = [1, 0, 1, 0]
FIFTHS = np.array([[0, 1, 2, 5], [1, 0, 0, 3], [4, 4, 0, 0], [0, 5, 5, 0]]) / 5


def write(path, rows, header=None, delimiter=",", end="\n", start=""):
    lines = [delimiter.join(map(str, row)) for row in ([header] if header else []) + list(rows)]
    path.write_bytes((start + end.join(lines) + end).encode())
    return path


def first(labels=LABELS, pixels=PIXELS):
    return [[label, *row] for label, row in zip(labels, pixels, strict=True)]


def last(labels=LABELS, pixels=PIXELS):
    return [[*row, label] for label, row in zip(labels, pixels, strict=True)]


def load(path, **options):
    """Everything in the order of the file."""
    split = load_csv(path, validation_fraction=0, **options)
    assert split.validation is None
    return split


HEADER = ["label", "pixel0", "pixel1", "pixel2", "pixel3"]  # as Kaggle gives out MNIST


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (first(), {"header": HEADER}),
        (first(), {}),
        (last(), {"header": ["a", "b", "c", "d", "Label"]}),
        ([[*row[:2], label, *row[2:]] for label, *row in first()], {"header": [*"ab", " LABEL ", *"cd"]}),
        (first(), {"header": ["kind", *"abcd"]}),
        (first(), {"header": ["label", 0, 1, 2, 3]}),  # as pandas names columns without a name
        (first(), {"delimiter": ";"}),
        (first(), {"delimiter": "\t", "header": HEADER}),
        (first(), {"delimiter": "|", "header": HEADER}),
        (first(), {"end": "\r\n", "header": HEADER}),
        (first(), {"start": "\ufeff", "header": HEADER}),
        (first(), {"start": "\ufeff"}),
        (first(), {"start": "\n  \n", "end": "\n\n", "header": HEADER}),
        ([*first(), [""] * 5], {"header": HEADER}),
        ([[f'"{cell}"' for cell in row] for row in first()], {"header": [f'"{name}"' for name in HEADER]}),
        ([[f" {cell} " for cell in row] for row in first()], {"header": HEADER}),
        ([[f"{cell}.0" for cell in row] for row in first()], {"header": HEADER}),
    ],
)
def test_all_forms_hold_the_same_images(tmp_path, rows, options):
    split = load(write(tmp_path / "a.csv", rows, **options))
    x, y = split.train
    assert x.dtype == np.float32
    assert x.shape == (4, 1, 2, 2)
    np.testing.assert_allclose(x.reshape(4, 4), FIFTHS, atol=1e-7)
    assert y.dtype == np.int64
    assert y.tolist() == LABELS
    assert split.class_names == ("0", "1")


def test_without_a_header_the_last_column_is_the_label_where_the_first_cannot_be(tmp_path):
    corner = [[0, 51], [0, 0], [0, 204], [0, 255]]  # the same in all images
    pairs = [[*row, 102, 0, label] for row, label in zip(corner, LABELS, strict=True)]
    assert load(write(tmp_path / "a.csv", pairs)).train[1].tolist() == LABELS
    fractions = [[x / 255 for x in row] for row in PIXELS[1:]] + [[0.5, 0, 0, 1]]
    assert load(write(tmp_path / "b.csv", last(pixels=fractions))).train[1].tolist() == LABELS
    assert load(write(tmp_path / "c.csv", first(pixels=fractions))).train[1].tolist() == LABELS


@pytest.mark.parametrize("header", [HEADER, None])
def test_text_is_the_label_wherever_it_stands(tmp_path, header):
    names = ["dog", "cat", "dog", "cat"]
    for rows, head in ((first(names), header), (last(names), header and [*HEADER[1:], "label"])):
        split = load(write(tmp_path / "a.csv", rows, head))
        assert split.class_names == ("cat", "dog")
        assert split.train[1].tolist() == [1, 0, 1, 0]


def test_names_may_hold_the_delimiter_and_numbers(tmp_path):
    rows = first(['"a, b"', 3, '"a, b"', "1_0"])
    split = load(write(tmp_path / "a.csv", rows))
    assert split.class_names == ("1_0", "3", "a, b")


def test_class_indices_are_kept_as_they_are(tmp_path):
    split = load(write(tmp_path / "a.csv", first([2, "04", 2, "4.0"]), HEADER))
    assert split.train[1].tolist() == [2, 4, 2, 4]
    assert len(split.class_names) == 5


@pytest.mark.parametrize("values", [[0, 1, 1, 0], [0.25, 1, 0, 0.5], ["2.5e-1", ".5", "+0", "1."]])
def test_pixels_in_0_to_1_are_kept(tmp_path, values):
    rows = first(pixels=[values] * 4)
    np.testing.assert_array_equal(
        load(write(tmp_path / "a.csv", rows)).train[0].reshape(4, 4), [[float(v) for v in values]] * 4
    )


def test_a_shape_that_is_not_square(tmp_path):
    wide = [[row[0], *row[1:], *row[1:3]] for row in first()]  # six pixels
    with pytest.raises(ValueError, match=r"a\.csv must have a square number .* got 6"):
        load(write(tmp_path / "a.csv", wide))
    names = [f"{i}x{j}" for i in (1, 2) for j in (1, 2, 3)]
    x, _ = load(write(tmp_path / "a.csv", wide, ["label", *names])).train
    np.testing.assert_allclose(x[0, 0] * 5, [[0, 1, 2], [5, 0, 1]], atol=1e-6)
    with pytest.raises(ValueError, match="square number"):
        load(write(tmp_path / "a.csv", wide, ["label", *names[::-1]]))
    with pytest.raises(ValueError, match="square number"):
        load(write(tmp_path / "a.csv", wide, ["label", *names[:-1], "99999999x99999999"]))
    path = write(tmp_path / "a.csv", wide)
    assert load(path, image_shape=(1, 3, 2)).image_shape == (1, 3, 2)
    np.testing.assert_allclose(
        load(path, image_shape=(3, 1, 2)).train[0][0, :, 0] * 5, [[0, 1], [2, 5], [0, 1]], atol=1e-6
    )
    with pytest.raises(ValueError, match=r"a\.csv must have 64 columns of pixels, got 6"):
        load(path, image_shape=(1, 8, 8))
    with pytest.raises(ValueError, match="image_shape must be"):
        load(path, image_shape=(8, 8))


def test_a_part_is_held_out(tmp_path):
    path = write(tmp_path / "a.csv", [[n % 2, n, 0, 0, 100] for n in range(20)])
    split = load_csv(path)
    assert repr(split) == "Split(16 training, 4 validation images of shape (1, 2, 2), 2 classes: 0, 1)"
    assert np.bincount(split.validation[1]).tolist() == [2, 2]
    for x, y in split:
        assert (np.rint(x[:, 0, 0, 0] * 255) % 2 == y).all()
    assert load_csv(path).fingerprint() == split.fingerprint()
    assert load_csv(path, seed=1).fingerprint() != split.fingerprint()


def test_a_folder_of_two_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must be a CSV file, or a folder that holds train\.csv"):
        load_csv(tmp_path)
    write(tmp_path / "train.csv", first(["b", "a", "b", "a"]), HEADER)
    assert len(load_csv(tmp_path, validation_fraction=0.5).validation[1]) == 2
    write(tmp_path / "test.csv", [["a", 0, 1, 1, 0]])  # one class, nothing above 1: scaled as the others
    split = load_csv(tmp_path)
    assert len(split.train[1]) == 4
    assert split.test[1].tolist() == [0]
    np.testing.assert_allclose(split.test[0].ravel() * 255, [0, 1, 1, 0], atol=1e-6)
    write(tmp_path / "valid.csv", [[0, 1, 1, 0, "b"]], ["1", "2", "3", "4", "label"])
    split = load_csv(tmp_path)
    assert (split.tuning[1].tolist(), split.test[1].tolist()) == ([1], [0])
    write(tmp_path / "valid.csv", [["c", 0, 1, 1, 0]])
    with pytest.raises(ValueError, match=r"valid\.csv, line 1, column 1: the label must be .* got 'c'"):
        load_csv(tmp_path)
    write(tmp_path / "valid.csv", [["a", 0, 0.5, 1, 0]])
    with pytest.raises(ValueError, match=r"valid\.csv, line 1, column 3: pixels must be whole .* got 0\.5"):
        load_csv(tmp_path)
    write(tmp_path / "valid.csv", [["a", 0, 1, 1]])
    with pytest.raises(ValueError, match=r"valid\.csv must have 4 columns of pixels, got 3"):
        load_csv(tmp_path)


def test_a_held_out_file_that_is_too_narrow_or_of_another_scale(tmp_path):
    write(tmp_path / "train.csv", last(pixels=np.array(PIXELS) / 255), ["a", "b", "c", "d", "label"])
    write(tmp_path / "test.csv", [[1, 0]])
    with pytest.raises(ValueError, match=r"test\.csv"):
        load_csv(tmp_path)
    write(tmp_path / "test.csv", last())
    with pytest.raises(
        ValueError, match=r"test\.csv, line 1, column 2: pixels must be numbers 0\.\.1 .* got 51"
    ):
        load_csv(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r", line 1: must have a label and pixels in columns, got 0"),
        ("hello\n", ", line 1: must have a label and pixels in columns, got 1"),
        ("label,a,b,c,d\n", " must hold at least one image, got none"),
        ("kind,a,b,c,d\n", " must hold at least one image, got none"),
        ("1,0,0,0,0\n0,0,0,0\n", ", line 2: every row must have 5 columns as the first one, got 4"),
        ("label,a\n\n1,0\n0,0,0\n", ", line 4: every row must have 2 columns as the first one, got 3"),
        ("label,a,b,c,d\n1,0,x,0,0\n", r", line 2, column 3: must be a pixel, got 'x'"),
        ("1,0,,0,0\n0,1,1,1,1\n", r", line 1, column 3: must be a pixel, got ''"),
        ("0,1,1,1,1\n1,0,0,1_0,0\n", r", line 2, column 4: must be a pixel, got '1_0'"),
        ("a,b,label,c,d\n0,0,1,0,\n", r", line 2, column 5: must be a pixel, got ''"),
        ("a,b,label,c,d\n0,0,1,0,0\n0,0,,0,0\n", r", line 3, column 3: the label must be .* got ''"),
        ("label,a\n0,1\n1.5,1\n", r", line 3, column 1: the label must be a class index .* got '1\.5'"),
        ("label,a\n0,1\n1e300,1\n", r", line 3, column 1: the label must be a class index .* got '1e300'"),
        ("1,0,300,0,0\n0,0,0,0,0\n", r", line 1, column 3: pixels must be whole numbers 0\.\.255 .* got 300"),
        ("1,0,2,0,0\n0,0,0,-1,0\n", r", line 2, column 4: pixels must be whole numbers 0\.\.255 .* got -1"),
        ("1,0,2,0,0\n0,0,0,0.5,0\n", r", line 2, column 4: pixels must be whole .* above 1, got 0\.5"),
        ("1,0,1,0,-.5\n0,0,0,0,0\n", r", line 1, column 5: pixels must be numbers 0\.\.1 .* got -0\.5"),
        ("1,0,nan,0,0\n0,0,0,0,0\n", r", line 1, column 3: pixels must be numbers .* got nan"),
        ("1,7,2,3,4\n0,0,0,nan,0\n", r", line 2, column 4: pixels must be numbers .* got nan"),
        ("1,0,1e99,0,0\n0,0,0,0,0\n", r", line 1, column 3: pixels must be whole numbers .* got inf"),
        ("0,.5,.5,.5,0\n0,.25,.5,.5,0\n", r" must have a column named label, or class indices"),
        ('1,"0,0,0\n1,0,0,0', r", line 1: must be CSV"),
        ('1,"0"x,0,0,0\n', r", line 1: must be CSV"),
        ("1,0,0,0,0\n-1,1,1,1,1\n", "labels must be at least 0, got -1"),
        ("label,a\n1,0\n1,1\n", "at least two classes"),
    ],
)
def test_a_file_that_is_wrong(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.csv.*{message}"):
        load(tmp_path / "a.csv")


def test_text_in_another_encoding(tmp_path):
    (tmp_path / "a.csv").write_bytes("label,a\ncafé,1\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"a\.csv, after line 0: must be UTF-8 text, got 0xe9"):
        load(tmp_path / "a.csv")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_table_in_utf_16_as_excel_writes_unicode_text(tmp_path, encoding):
    rows = write(tmp_path / "a.csv", [["ä" if label else "b", *row] for label, *row in first()], HEADER, "\t")
    rows.write_bytes(("\ufeff" + rows.read_text(encoding="utf-8")).encode(encoding))
    split = load(rows)
    assert split.class_names == ("b", "ä")
    np.testing.assert_allclose(split.train[0].reshape(4, 4), FIFTHS, atol=1e-7)
    rows.write_bytes(rows.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"a\.csv, after line \d: must be UTF-8 text"):
        load(rows)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.csv"):
        load_csv(tmp_path / "none.csv")


def test_the_digits_survive_the_way_through_a_file(tmp_path):
    """Real digits as whole numbers 0..240 with the label first, as Kaggle gives out MNIST."""
    x, y = digits().train
    rows = [[label, *np.rint(image.ravel() * 240).astype(int)] for image, label in zip(x, y, strict=True)]
    path = write(tmp_path / "digits.csv", rows, ["label", *(f"pixel{k}" for k in range(64))])
    split = open_source(f"csv:{path}", validation_fraction=0)
    np.testing.assert_allclose(split.train[0], x * (240 / 255), atol=1e-7)
    np.testing.assert_array_equal(split.train[1], y)
    assert split.class_names == tuple(map(str, range(10)))
    assert open_source(f"csv:{path}", image_shape=(1, 4, 16)).image_shape == (1, 4, 16)


@pytest.mark.parametrize(
    "name", ["labels", "Class", "TARGET", "class_name", "Category", "species", "label name", "Diagnosis"]
)
def test_other_names_of_the_label(tmp_path, name):
    path = write(tmp_path / "a.csv", last(), ["a", "b", "c", "d", name])
    assert load(path).train[1].tolist() == LABELS
    path = write(tmp_path / "a.csv", first(), [name, "a", "b", "c", "d"])
    assert load(path).train[1].tolist() == LABELS


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "id", "index"])
def test_a_column_that_numbers_the_rows_is_left_out(tmp_path, name):
    rows = [[n, *row] for n, row in enumerate(first())]
    split = load(write(tmp_path / "a.csv", rows, [name, *HEADER]))
    x, y = split.train
    assert split.notes[0] == f"Left out, as no pixels: column {name!r}."
    np.testing.assert_allclose(x.reshape(4, 4), FIFTHS, atol=1e-7)
    assert y.tolist() == LABELS


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("split", ["train", "train", "test", "valid"]),
        ("Usage", ["Training", "Training", "Testing", "Validation"]),
        ("set", ["TRAIN", "trn", "tst", "dev"]),
    ],
)
def test_a_column_of_parts(tmp_path, name, parts):
    rows = [[*row, part] for row, part in zip(first(), parts, strict=True)]
    split = load_csv(write(tmp_path / "a.csv", rows, [*HEADER, name]))
    assert [part[1].tolist() for part in (split.train, split.test, split.tuning)] == [[1, 0], [1], [0]]
    np.testing.assert_allclose(split.test[0].ravel(), FIFTHS[2], atol=1e-7)


def test_a_column_that_says_whether_a_row_is_held_out(tmp_path):
    for name, cells in (
        ("is_valid", "0011"),
        ("is_test", ["False"] * 2 + ["True"] * 2),
        ("is_train", "1100"),
    ):
        rows = [[cell, *row] for row, cell in zip(first(), cells, strict=True)]
        split = load_csv(write(tmp_path / "a.csv", rows, [name, *HEADER]))
        assert [part[1].tolist() for part in split] == [[1, 0], [1, 0]]
        assert split.tuning is None
    path = write(tmp_path / "a.csv", [["test", *row] for row in first()], ["split", *HEADER])
    with pytest.raises(ValueError, match=r"a\.csv must hold images of the training part, got none"):
        load_csv(path)
    rows[0][0], rows[1][0] = "train", "other"
    with pytest.raises(
        ValueError, match=r"a\.csv, line 3, column 1: must be train, val or test, got 'other'"
    ):
        load_csv(write(tmp_path / "a.csv", rows, ["split", *HEADER]))


def test_files_of_parts_by_other_names(tmp_path):
    for name in ("mnist_train.csv", "mnist_test.csv", "mnist_val.csv"):
        write(tmp_path / name, first(), HEADER)
    write(tmp_path / "sample_submission.csv", [[1, 2]], ["id", "x"])
    split = load_csv(tmp_path)
    assert split.tuning is not None
    assert split.test is not None
    write(tmp_path / "fashion_test.csv", first(), HEADER)
    with pytest.raises(ValueError, match=r"one file for each part, got fashion_test.csv and mnist_test.csv"):
        load_csv(tmp_path)
    write(tmp_path / "test.csv", PIXELS, HEADER[1:])  # its plain name counts; it has no labels
    split = load_csv(tmp_path)
    assert split.notes[0].endswith("test.csv has no column of labels and is left out.")
    assert (split.tuning, len(split.test[1])) == (None, 4)


def test_pixels_up_to_255_need_not_be_whole(tmp_path):
    path = write(tmp_path / "train.csv", first(pixels=np.array(PIXELS) * 0.9), HEADER)
    write(tmp_path / "test.csv", [[0, 0.5, 1, 0, 0]], HEADER)
    split = load_csv(tmp_path)
    np.testing.assert_allclose(split.train[0].reshape(4, 4), FIFTHS * 0.9, atol=1e-6)
    np.testing.assert_allclose(split.test[0].ravel() * 255, [0.5, 1, 0, 0], atol=1e-6)
    assert split.preprocessing == Preprocessing(1, (2, 2), unit=255)
    rows = "Rows of 4 numbers are images of (1, 2, 2) (C, H, W)."
    assert split.notes == (rows, "Pixels are 0..255 and are divided by 255.")
    write(path, first(pixels=np.array(PIXELS) * 0.1 + 0.05), HEADER)
    with pytest.raises(ValueError, match="pixels must be whole numbers"):
        load_csv(tmp_path)


def test_a_trained_network_tells_the_shape_the_unit_of_masks_and_the_classes(tmp_path):
    path = write(tmp_path / "a.csv", first(["b", "c", "b", "c"], np.array(PIXELS) > 99), HEADER)
    with pytest.raises(ValueError, match="must be a pixel, got 'False'"):
        load(path)
    write(path, first(["b", "c", "b", "c"], (np.array(PIXELS) > 99).astype(int)), HEADER)
    split = load(path)
    assert split.preprocessing.unit == 1
    assert split.train[0].max() == 1
    known = Preprocessing(1, (1, 4), unit=255)
    split = load(path, image_shape=known, class_names=("a", "b", "c"))
    assert split.train[0].max() == np.float32(1 / 255)
    assert split.image_shape == (1, 1, 4)
    assert split.train[1].tolist() == [1, 2, 1, 2]


def test_all_pixels_in_one_column(tmp_path):
    """As Kaggle gives out FER-2013."""
    parts = ["Training", "Training", "PrivateTest", "PublicTest"]
    rows = [[y, " ".join(map(str, x)), part] for y, x, part in zip(LABELS, PIXELS, parts, strict=True)]
    path = write(tmp_path / "a.csv", rows, ["emotion", "pixels", "Usage"])
    split = load_csv(path)
    found = [part[0].reshape(-1, 4) for part in (split.train, split.test, split.tuning)]
    np.testing.assert_allclose(np.concatenate(found), FIFTHS, atol=1e-7)
    rows[2][1] = "1 2 3"
    with pytest.raises(
        ValueError, match=r"a\.csv, line 4, column 2: must hold 4 pixels as the first .*, got 3"
    ):
        load_csv(write(path, rows, ["emotion", "pixels", "Usage"]))
    rows[2][1] = "1 2 3 x"
    with pytest.raises(ValueError, match=r"a\.csv, line 4, column 2: must be a pixel, got 'x'"):
        load_csv(write(path, rows, ["emotion", "pixels", "Usage"]))
    rows[2][1] = "1 2 3 -4"
    with pytest.raises(ValueError, match=r"a\.csv, line 4, column 2: pixels must be whole .* got -4"):
        load_csv(write(path, rows, ["emotion", "pixels", "Usage"]))
    with budgets(columns=3), pytest.raises(BudgetError, match=r"a\.csv, line 2, asks for 4 columns"):
        load_csv(path)


def test_tables_without_pixels(tmp_path):
    for header, rows in ((["label", "index"], [[0, 0], [1, 1]]), (["split", "label"], [["train", 1]] * 2)):
        with pytest.raises(ValueError, match=r"a\.csv must have columns of pixels, or one of files, got "):
            load(write(tmp_path / "a.csv", rows, header))


def test_a_column_of_parts_that_names_none(tmp_path):
    path = write(tmp_path / "a.csv", [[*row, n] for n, row in enumerate(first())], [*HEADER, "fold"])
    assert load(path).notes[0] == "Left out, as no pixels: column 'fold'."


def test_one_class_is_enough_for_a_trained_network(tmp_path):
    path = write(tmp_path / "a.csv", first([1, 1, 1, 1]), HEADER)
    with pytest.raises(ValueError, match="at least two classes"):
        load(path)
    assert load(path, class_names=("0", "1", "2")).train[1].tolist() == [1] * 4
