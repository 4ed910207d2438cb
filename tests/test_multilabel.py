"""Images with several labels: from a table to the report."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import neocog
from neocog.cli import app
from neocog.data import Split, load_csv, load_npz, stratified_split
from neocog.inspection import confusion, label_scores
from neocog.inspection.predictions import LabelScores
from neocog.runs import RunDirectory

runner = CliRunner()


def run(*arguments, code=0):
    result = runner.invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def halves(count, rng):
    """Pictures 8 x 8 with a bright left half, a bright right half, both or neither; and which are bright."""
    y = np.arange(count)[:, None] // [1, 2] % 2
    x = rng.normal(0.2, 0.05, (count, 1, 8, 8)) + 0.6 * np.repeat(y, 4, axis=1)[:, None, None, :]
    return np.clip(x, 0, 1), y


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of such pictures; their labels stand in one cell."""
    folder = tmp_path_factory.mktemp("halves")
    x, y = halves(80, np.random.default_rng(0))
    rows = []
    for k, (image, labels) in enumerate(zip(x, y, strict=True)):
        Image.fromarray((255 * image[0]).astype("uint8")).save(folder / f"{k}.png")
        rows.append([f"{k}.png", ";".join(np.array(["left", "right"])[labels > 0])])
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "labels"], *rows])
    return folder / "table.csv"


@pytest.fixture(scope="module")
def trained(table):
    out = table.parent / "run"
    options = ["--loss", "bce", "--epochs", 4, "--filters", 8, "--out", out]
    shown = run("train", table, *options).stdout
    return out, shown


def test_a_table_of_several_labels(table):
    data = load_csv(table, several_labels=True)
    assert data.class_names == ("left", "right")
    assert data.is_multilabel
    (x, y), (x_held, y_held) = data
    assert len(y) + len(y_held) == 80
    assert abs(len(y_held) - 16) <= 1
    np.testing.assert_allclose(y_held.sum(axis=0), 8, atol=1)
    for images, labels in ((x, y), (x_held, y_held)):
        bright = np.stack(
            [images[:][..., :4].mean(axis=(1, 2, 3)), images[:][..., 4:].mean(axis=(1, 2, 3))], axis=1
        )
        np.testing.assert_array_equal(labels, bright > 0.5)
    assert "An image may have several labels; between them stand ;." in data.notes


def written(folder, rows):
    with (folder / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    for name in {row[0] for row in rows[1:]}:
        Image.new("L", (4, 4), 99).save(folder / name)
    return load_csv(folder / "t.csv", 0, several_labels=True)


@pytest.mark.parametrize(
    "rows",
    [
        [["a.png", "cat|dog"], ["b.png", "dog"], ["c.png", ""]],
        [["a.png", "dog, cat"], ["b.png", "dog"], ["c.png", ""]],
        [["a.png", "cat dog"], ["b.png", "dog"], ["c.png", ""]],
        [["a.png", "cat"], ["b.png", "dog"], ["a.png", "dog"], ["c.png", ""], ["b.png", "dog"]],
    ],
)
def test_labels_are_separated_in_many_ways(rows, tmp_path):
    data = written(tmp_path, [["file", "labels"], *rows])
    assert data.class_names == ("cat", "dog")
    assert dict(zip([path.name for path in data.train[0].paths], data.train[1].tolist(), strict=True)) == {
        "a.png": [1, 1],
        "b.png": [0, 1],
        "c.png": [0, 0],
    }


def test_one_label_each_is_no_set(tmp_path):
    data = written(tmp_path, [["file", "label"], ["a.png", "cat"], ["b.png", "dog"]])
    assert not data.is_multilabel
    with (tmp_path / "t.csv").open("a") as file:
        file.write("c.png,cat|dog\n")
    Image.new("L", (4, 4)).save(tmp_path / "c.png")
    data = load_csv(tmp_path / "t.csv", 0)
    assert data.class_names == ("cat", "cat|dog", "dog")
    assert "Labels hold ; or |, and count as one each; --loss bce takes them for several." in data.notes


def test_an_archive_of_several_labels(tmp_path):
    x, y = halves(20, np.random.default_rng(0))
    np.savez(tmp_path / "a.npz", x=x, y=y, class_names=["left", "right"])
    data = load_npz(tmp_path / "a.npz", several_labels=True)
    assert data.is_multilabel
    assert data.class_names == ("left", "right")
    assert sum(part[1].sum(axis=0) for part in data).tolist() == y.sum(axis=0).tolist()
    with pytest.raises(ValueError, match="to train on several labels an image pass --loss bce"):
        load_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("seed", range(3))
def test_a_part_of_every_label_is_held_out(seed):
    rng = np.random.default_rng(seed)
    y = (rng.uniform(size=(200, 4)) < [0.5, 0.3, 0.1, 0.02]).astype(int)
    y[:2, 3] = 1
    split = stratified_split(np.zeros((200, 1, 2, 2)), y, 0.2, seed)
    for part, share in zip(split, (0.8, 0.2), strict=True):
        counts = part[1].sum(axis=0)
        assert (counts > 0).all()
        np.testing.assert_allclose(counts, share * y.sum(axis=0), atol=1.5)
        assert (~part[1].any(axis=1)).any()
        assert abs(len(part[1]) - share * 200) <= 4
    groups = np.arange(200) // 4
    split = stratified_split(np.arange(200.0).reshape(200, 1, 1, 1), y, 0.2, seed, groups=groups)
    held = set(groups[split.validation[0].ravel().astype(int)])
    assert not held & set(groups[split.train[0].ravel().astype(int)])
    with pytest.raises(
        ValueError, match="every class needs at least two images to hold one out, class 'b' has one"
    ):
        stratified_split(np.zeros((4, 1, 2, 2)), [[1, 0], [1, 1], [0, 0], [1, 0]], class_names=("a", "b"))


@pytest.mark.parametrize(
    ("train", "validation", "names", "message"),
    [
        ([[1, 0], [2, 1]], None, None, r"labels must be of shape \(N,\), or \(N, labels\) of 0 and 1"),
        ([[1, 0], [-1, 1]], None, None, r"or \(N, labels\) of 0 and 1"),
        ([[1, 0], [0, 1]], None, ("a",), "class_names must be 2 different names, one a label, got .'a'."),
        ([[1, 0], [0, 1]], None, ("a", "a"), "class_names must be 2 different names"),
        ([[1, 0], [0, 1]], [0, 1], None, r"validation labels must be like the training labels"),
    ],
)
def test_bad_labels(train, validation, names, message):
    x = np.zeros((2, 1, 2, 2))
    with pytest.raises(ValueError, match=message):
        Split((x, train), None if validation is None else (x, validation), names)


def test_labels_are_counted_by_hand():
    true, predicted = [[1, 0], [1, 1], [0, 0], [0, 1]], [[1, 0], [0, 1], [0, 0], [0, 0]]
    found = LabelScores.of(true, predicted, ("a", "b"))
    assert found.counts.tolist() == [[[2, 0], [1, 1]], [[2, 0], [1, 1]]]
    assert (found.images, found.exact, found.accuracy) == (4, 2, 0.5)
    np.testing.assert_allclose(found.label_accuracy, [0.75, 0.75])
    np.testing.assert_allclose(found.recall, [0.5, 0.5])
    np.testing.assert_allclose(found.precision, [1, 1])
    np.testing.assert_allclose(found.f1, [2 / 3, 2 / 3])
    again = LabelScores.from_dict(json.loads(json.dumps(found.to_dict())), found.class_names)
    assert again.to_dict() == found.to_dict()


def test_scores_are_scikit_learns():
    from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

    rng = np.random.default_rng(0)
    true, predicted = rng.integers(2, size=(2, 50, 4))
    found = LabelScores.of(true, predicted, tuple("abcd"))
    assert found.accuracy == accuracy_score(true, predicted)
    assert found.macro_f1 == pytest.approx(f1_score(true, predicted, average="macro"))
    np.testing.assert_allclose(found.recall, recall_score(true, predicted, average=None))
    np.testing.assert_allclose(found.precision, precision_score(true, predicted, average=None))


def test_a_network_of_classes_has_no_label_scores():
    network = neocog.models.tiny_cnn()
    x = np.zeros((2, 1, 8, 8))
    with pytest.raises(ValueError, match="must have an independent output for each label, its 3 are logits"):
        label_scores(network, x, np.zeros((2, 3), int))
    network.output_kind = "independent-logits"
    with pytest.raises(ValueError, match="say independent labels, of which an image may have several; use"):
        confusion(network, x, np.zeros(2, int))
    with pytest.raises(ValueError, match=r"y must be 0 and 1, of shape \(2, 3\), got int64 of shape"):
        label_scores(network, x, np.zeros((2, 2), int))


def test_training_from_the_command_line(trained):
    out, shown = trained
    assert "2 labels, of which an image may have several: left 3" in shown
    assert "all labels right for 1.000 of the images" in shown
    result = RunDirectory(out).result()
    assert isinstance(result.held_out, LabelScores)
    assert result.held_out.accuracy == 1
    assert result.network.output_kind == "independent-logits"
    assert set(result.baselines) == {"random forest"}
    assert result.history.last["val_accuracy"] == 1
    network = neocog.load(out)
    x, y = halves(20, np.random.default_rng(5))
    np.testing.assert_array_equal(network.predict(x.astype("float32")), y)
    assert "is finished" in run("train", "--resume", out, "--no-report").stdout


def test_predict_and_evaluate_tell_every_label(trained, table):
    out, _ = trained
    shown = run("predict", out, *(table.parent / f"{k}.png" for k in range(4))).stdout.splitlines()
    said = [line.split(": ")[1] for line in shown[:4]]
    assert [line.split(" ")[0] for line in said[1:3]] == ["left", "right"]
    assert said[0].startswith("no label")
    assert "left" in said[3]
    assert "right" in said[3]
    held = json.loads(run("evaluate", out, "--json").stdout)
    assert held["accuracy"] == 1
    assert held["labels"]["left"]["images"] in (7, 8, 9)
    everything = run(
        "evaluate", out / "model.neocog", table, "--mistakes", "--csv", table.parent / "e.csv"
    ).stdout
    assert "all labels right for 1.000 of the images" in everything
    assert "all 80 images are classified correctly" in everything
    rows = list(csv.DictReader((table.parent / "e.csv").read_text().splitlines()))
    assert [row["true"] for row in rows[:4]] == ["", "left", "right", "left;right"]


def test_the_report_has_no_confusion_matrix(trained):
    out, _ = trained
    html = (out / "report.html").read_text()
    assert "A part is missing" not in html
    assert "with all labels right" in html
    assert "F1, the mean over the labels" in html
    assert "predicted for" in html
    assert "balanced accuracy" not in html
    assert "left, right" in html  # a picture with both
    assert (out / "page.html").exists()


def test_two_classes_and_one_output(table, tmp_path):
    x, y = halves(40, np.random.default_rng(0))
    np.savez(tmp_path / "a.npz", x=x, y=np.array(["dark", "bright"])[y[:, 0]])
    out = tmp_path / "run"
    options = ["--loss", "bce", "--epochs", 8, "--filters", 8, "--out", out]
    shown = run("train", tmp_path / "a.npz", *options).stdout
    assert "accuracy 1.000" in shown
    network = neocog.load(out)
    assert network.output_shape((1, 1, 8, 8)) == (1, 1)
    assert network.class_names == ("bright", "dark")
    held = json.loads(run("evaluate", out, "--json").stdout)
    assert (held["output"], held["accuracy"]) == ("independent-logits", 1)
    assert "A part is missing" not in (out / "report.html").read_text()
    error = run("train", "digits", "--loss", "bce", "--out", tmp_path / "x", code=2).stderr
    assert "loss bce is for images with several labels" in error
    assert "got one label an image, of 10 classes" in error


def test_rare_labels_are_weighed(tmp_path):
    """Of 100 images 20 have the first label and 50 the second: weights 80 / 20 and 1, in the loss alone."""
    rng = np.random.default_rng(0)
    y = np.stack([np.arange(100) % 5 == 0, np.arange(100) % 2 == 0], axis=1).astype(int)
    x = rng.normal(0, 0.3, (100, 1, 4, 4)) + np.repeat(y, 2, axis=1)[:, None, None, :]  # halves, as above
    x = np.clip(0.4 + 0.2 * x, 0, 1).astype("float32")
    np.savez(tmp_path / "train.npz", x=x, y=y, class_names=["rare", "common"])
    options = ["--loss", "bce", "--class-weight", "balanced", "--filters", 4, "--held-out", 0.2]
    options += ["--validation", 0, "--epochs", 3, "--seed", 1, "--optimizer", "sgd", "--augment", "none"]
    run("train", tmp_path / "train.npz", *options, "--normalize", "none", "--out", tmp_path / "run")
    network = neocog.load(tmp_path / "run")
    np.testing.assert_allclose(network.class_weight, [4, 1], rtol=0.2)
    (train, labels), (held, truth) = RunDirectory(tmp_path / "run").open_data()
    counts = labels.sum(axis=0)
    np.testing.assert_allclose(network.class_weight, (len(labels) - counts) / counts)
    # The loss that is written down is that with these weights.
    loss = neocog.BinaryCrossEntropy(0.0, network.class_weight)
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    value = loss(network.predict_logits(train).astype(float), labels)[0]
    rows = history["rows"] if isinstance(history, dict) else history
    assert rows[-1]["train_loss"] == pytest.approx(value, rel=1e-4)
    # What is said is the least expected cost; the probabilities are of the images as they are.
    z = network.predict_logits(held).astype(float)
    p = network.predict_proba(held)
    np.testing.assert_allclose(p / (1 - p), np.exp(z) / network.class_weight, rtol=1e-3)
    answers = run("evaluate", tmp_path / "run", "--csv", tmp_path / "t.csv").stdout
    assert "trained with class weights" in answers
    with (tmp_path / "t.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = np.array(["rare", "common"])
    assert [set(row["predicted"].split(";")) - {""} for row in rows] == [set(names[row > 0]) for row in z]
    np.testing.assert_allclose([float(row["rare"]) for row in rows], p[:, 0], rtol=1e-4)
    found = label_scores(network, held, truth)
    np.testing.assert_array_equal(found.counts.sum(axis=1)[:, 1], (z > 0).sum(axis=0))
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Trained with class weights" in page
    assert "A part is missing" not in page
    words = run("export", tmp_path / "run", tmp_path / "m.onnx").stdout
    assert "divide the odds of each label by its w" in words
    sigmoid = json.loads(
        run("explain", tmp_path / "run", save_first(held, tmp_path), "--index", "rare", "--json").stdout
    )
    assert sigmoid["value"] == pytest.approx(p[0, 0], rel=0.05)


def save_first(images, folder):
    """Save the first image as a picture of 8 bits; return its path."""
    Image.fromarray(np.rint(255 * images[0][0]).astype("uint8")).save(folder / "first.png")
    return folder / "first.png"


@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_classifier_learns_several_labels(early_stopping):
    x, y = halves(120, np.random.default_rng(0))
    model = neocog.ConvNetClassifier(random_state=0, epochs=8, filters=8, early_stopping=early_stopping)
    model.fit(x[:80], y[:80])
    assert model.score(x[80:], y[80:]) == 1  # all labels of an image
    assert model.classes_.tolist() == [0, 1]
    z = model.decision_function(x[80:])
    np.testing.assert_array_equal(model.predict(x[80:]), y[80:])
    np.testing.assert_allclose(model.predict_proba(x[80:]), 1 / (1 + np.exp(-z)), rtol=1e-12)
    np.testing.assert_allclose(model.predict_log_proba(x[80:]), -np.log1p(np.exp(-z)), rtol=1e-12)
    assert model.network_.output_kind == "independent-logits"
    np.testing.assert_array_equal(model.network_.predict(x[80:]), y[80:])
    for dtype in (bool, "uint8", "float64"):
        assert model.fit(x[:9], y[:9].astype(dtype)).predict(x[:9]).dtype == dtype


def test_the_classifier_learns_several_labels_in_parts():
    x, y = halves(80, np.random.default_rng(0))
    model = neocog.ConvNetClassifier(random_state=0, filters=8)
    for _ in range(8):
        model.partial_fit(x, y, classes=[0, 1])
    np.testing.assert_array_equal(model.predict(x), y)
    assert model.network_.output_kind == "independent-logits"
    with pytest.raises(ValueError, match=r"y must be \(N, labels\) of 0 and 1, as it was in fit"):
        model.partial_fit(x, y[:, 0])
    with pytest.raises(ValueError, match="y must have 2 labels, as before, got 3"):
        model.partial_fit(x, np.ones((80, 3), int))
    with pytest.raises(ValueError, match=r"classes must be range\(2\), y's columns"):
        neocog.ConvNetClassifier().partial_fit(x, y, classes=["a", "b"])


@pytest.mark.parametrize(
    ("class_weight", "weights"),
    [("balanced", [3, 1]), ({0: 12.0}, [12, 1]), (None, None)],
    ids=["balanced", "by hand", "none"],
)
def test_the_classifier_weighs_labels(class_weight, weights):
    """Of 20 equal images 5 have the first label, 10 the second: q / (1 - q) = w n / (20 - n) is the best."""
    y = np.stack([np.arange(20) % 4 == 0, np.arange(20) % 2 == 0], axis=1).astype(int)
    model = neocog.ConvNetClassifier(
        neocog.Sequential(neocog.Flatten(), neocog.Dense(4, 2, rng=0)),
        optimizer="sgd", schedule="constant", lr=2.0, epochs=60, batch_size=20, class_weight=class_weight,
    ).fit(np.zeros((20, 1, 2, 2)), y)  # fmt: skip
    weighted = np.array([1 / 3, 1]) * (weights or 1)
    np.testing.assert_allclose(model.network_.class_weight or [1, 1], weights or [1, 1])
    one = np.zeros((1, 1, 2, 2))
    np.testing.assert_allclose(np.exp(model.decision_function(one)), weighted[None], rtol=1e-4)
    np.testing.assert_allclose(model.predict_proba(one), [[0.25, 0.5]], rtol=1e-4)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(one)), [[0.25, 0.5]], rtol=1e-4)
    if class_weight != "balanced":  # by which either answer costs the same
        assert model.predict(one)[0, 0] == (class_weight is not None)  # as 0.25 is above 1 / 13


def test_balanced_labels_count_images_by_their_weights():
    y = np.array([[1, 0], [0, 1], [0, 1], [0, 1]])
    model = neocog.ConvNetClassifier(epochs=1, class_weight="balanced", random_state=0)
    model.fit(np.zeros((4, 1, 8, 8)), y, sample_weight=[6, 1, 1, 0])
    np.testing.assert_allclose(model.network_.class_weight, [1 / 3, 3])
    with pytest.raises(ValueError, match="class_weight must not be 'balanced' for partial_fit"):
        model.partial_fit(np.zeros((4, 1, 8, 8)), y)


@pytest.mark.parametrize(
    ("options", "y", "message"),
    [
        (
            {"class_weight": {0: 0.0}},
            [[1, 0], [0, 1]],
            r"class_weight must hold finite numbers above 0 for several labels an image, got \{0: 0.0\}",
        ),
        ({}, [[1, 2], [2, 1]], "y must hold 0 and 1 where an image may have several labels"),
        ({}, [[0, 1], [2, 1]], "y should be a 1d array"),
    ],
)
def test_labels_that_the_classifier_refuses(options, y, message):
    with pytest.raises(ValueError, match=message):
        neocog.ConvNetClassifier(**options).fit(np.zeros((2, 1, 8, 8)), y)


def test_a_regressor_says_values():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 1, 4, 4)), rng.normal(size=(20, 2))
    model = neocog.ConvNetRegressor(epochs=1, random_state=0).fit(x, y)
    assert model.network_.output_kind == "values"
    np.testing.assert_allclose(model.network_.predict(x), model.predict(x), rtol=1e-9)
