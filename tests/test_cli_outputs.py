"""What the commands say of models that do not end in logits."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import neocog
from neocog.cli import app
from neocog.layers import Conv2D, Dense, Flatten, Sequential, Sigmoid, Softmax

runner = CliRunner()


def run(*arguments, code=0):
    result = runner.invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def grey(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (2, 2), level).save(path)


def saved(path, *last, outputs=3, names=None, bias=0.0, weight=None):
    """Save a model whose outputs, before some last layers, are the sum of the pixels times a weight each."""
    network = Sequential(Flatten(), Dense(4, outputs, dtype="float64"), *last)
    network.params["1.weight"][:] = np.ones((4, 1)) * (np.arange(outputs) + 1 if weight is None else weight)
    network.params["1.bias"][:] = bias
    network.input_shape, network.class_names = (1, 2, 2), names
    neocog.save(network, path)
    return path


@pytest.fixture
def images(tmp_path):
    """Pictures black, grey and white: the sum of the pixels is 0, 1.6 and 4."""
    for name, level in (("black", 0), ("grey", 102), ("white", 255)):
        grey(tmp_path / f"{name}.png", level)
    return [tmp_path / f"{name}.png" for name in ("black", "grey", "white")]


def said(model, images, *options):
    """Return what is said of each image, and the lines after it."""
    lines = run("predict", model, *images, *options).stdout.splitlines()
    return [line.split(": ")[1] for line in lines[: len(images)]], " ".join(lines[len(images) :])


def test_one_sigmoid_is_the_probability_of_the_second_class(images, tmp_path):
    model = saved(tmp_path / "m.neocog", Sigmoid(), outputs=1, names=("fake", "real"), bias=-1.6)
    answers, about = said(model, images[::2])
    p = 1 / (1 + np.exp(1.6))
    assert answers[0] == f"fake {1 - p:.1%}  real {p:.1%}"
    assert answers[1] == "real 91.7%  fake 8.3%"  # 1 / (1 + exp(-2.4))
    assert "the probability of real, the second of two classes (--output independent-probabilities)" in about
    (row,) = json.loads(run("predict", model, images[2], "--json").stdout)
    assert row["output"] == "independent-probabilities"
    assert row["classes"][0] == {"class": "real", "probability": pytest.approx(1 / (1 + np.exp(-2.4)))}


def test_one_output_is_a_value_and_has_no_class(images, tmp_path):
    model = saved(tmp_path / "m.neocog", outputs=1, bias=0.25)
    assert said(model, images)[0] == ["0.25", "1.85", "4.25"]
    (row,) = json.loads(run("predict", model, images[2], "--json").stdout)
    assert row == {"image": str(images[2]), "output": "values", "values": {"0": 4.25}}
    run("predict", model, *images, "--csv", tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().splitlines()[2] == f"{images[1]},values,1.85"
    named = saved(tmp_path / "n.neocog", outputs=2, names=("mass", "size"))
    assert said(named, images[1:], "--output", "values")[0] == ["mass 1.6  size 3.2", "mass 4  size 8"]


def test_the_option_says_what_a_file_does_not(images, tmp_path):
    model = saved(tmp_path / "m.neocog", outputs=1, bias=-1.6)
    answers, about = said(model, images[2:], "--output", "independent-logits")
    assert answers == ["1 91.7%  0 8.3%"]
    assert "the log-odds of 1, the second of two classes" in about
    error = run("predict", model, images[0], "--output", "logit", code=2).stderr
    assert "output must be one of 'logits', 'probabilities'" in error
    run("export", model, tmp_path / "m.onnx", "--output", "independent-logits")
    assert said(tmp_path / "m.onnx", images[2:])[0] == ["1 91.7%  0 8.3%"]


def test_several_sigmoids_list_what_is_over_one_half(images, tmp_path):
    model = saved(tmp_path / "m.neocog", Sigmoid(), names=("a", "b", "c"), bias=[-1, -4, -20])
    answers, about = said(model, images)
    assert answers[0] == "no label  (the most probable, a, 26.9%)"
    assert answers[1] == "a 64.6%"  # 1 / (1 + exp(-0.6))
    assert answers[2] == "b 98.2%  a 95.3%"  # 1 / (1 + exp(-4)), 1 / (1 + exp(-3))
    assert "probabilities, each independent of the others" in about
    run("predict", model, *images, "--csv", tmp_path / "t.csv")
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert [row["predicted"] for row in rows] == ["", "a", "b;a"]
    assert list(rows[0]) == ["image", "predicted", "output", "a", "b", "c"]
    (row,) = json.loads(run("predict", model, images[2], "--json", "--top", 1).stdout)
    assert [label["class"] for label in row["labels"]] == ["b", "a"]
    assert [label["class"] for label in row["classes"]] == ["b"]


def test_probabilities_are_not_put_through_a_softmax(images, tmp_path):
    model = saved(
        tmp_path / "m.neocog", Softmax(), outputs=2, names=("dark", "light"), bias=[2, 0], weight=[0, 1]
    )
    answers, about = said(model, images[2:])
    assert answers == ["light 88.1%  dark 11.9%"]  # 1 / (1 + exp(2 - 4))
    assert "probabilities of classes that exclude each other" in about


def test_outputs_of_one_pixel_are_classes(images, tmp_path):
    network = Sequential(Conv2D(1, 2, 2, rng=0))
    network.input_shape = (1, 2, 2)
    neocog.save(network, tmp_path / "m.neocog")
    assert said(tmp_path / "m.neocog", images)[0][0] == "0 50.0%  1 50.0%"
    run("attribute", tmp_path / "m.neocog", images[1], "--out", tmp_path / "a.html")
    assert "softmax" in run("explain", tmp_path / "m.neocog", images[1]).stdout
    assert "0,0,0]" in run("explain", tmp_path / "m.neocog", images[1], "--down", 1).stdout


@pytest.mark.parametrize("last", [(), (Sigmoid(),)])
def test_evaluate_measures_one_output(last, tmp_path):
    model = saved(tmp_path / "m.neocog", *last, outputs=1, names=("dark", "light"), bias=-2)
    for name, level in (("dark/a", 0), ("dark/b", 255), ("light/c", 255)):
        grey(tmp_path / "photos" / f"{name}.png", level)
    options = [] if last else ["--output", "independent-logits"]
    data = json.loads(run("evaluate", model, tmp_path / "photos", "--json", "--mistakes", *options).stdout)
    assert data["confusion_matrix"] == [[1, 1], [0, 1]]
    # Log-odds of light: -2, 2, 2
    assert data["loss"] == pytest.approx((2 * np.log1p(np.exp(-2)) + np.log1p(np.exp(2))) / 3)
    assert data["mistakes"][0]["probability"] == pytest.approx(1 / (1 + np.exp(-2)))
    if not last:
        error = run("evaluate", model, tmp_path / "photos", code=2).stderr
        assert "its outputs are values" in error
        assert "say what by --output" in error


def test_explain_of_sigmoids(images, tmp_path):
    one = saved(tmp_path / "one.neocog", Sigmoid(), outputs=1, names=("fake", "real"))
    linear = saved(tmp_path / "linear.neocog", outputs=1)
    data = json.loads(run("explain", one, images[1], "--json").stdout)
    assert data["value"] == pytest.approx(1 / (1 + np.exp(-1.6)))
    down = json.loads(
        run("explain", linear, images[1], "--output", "independent-logits", "--down", 1, "--json").stdout
    )
    assert [link["at"] for link in down] == ["sigmoid", "1"]
    assert [link["value"] for link in down] == pytest.approx([data["value"], 1.6])
    data = json.loads(run("explain", linear, images[1], "--json").stdout)
    assert (data["at"], data["value"]) == ("1", pytest.approx(1.6))
    arguments = ["--at", "1", "--index", "0", "--of", "gradient", "--json"]
    data = json.loads(run("explain", one, images[1], "--label", "real", *arguments).stdout)
    assert data["value"] == pytest.approx(1 / (1 + np.exp(-1.6)) - 1)  # p - t
    assert data["adds_up"]
    data = json.loads(run("explain", linear, images[1], "--label", "0.6", *arguments).stdout)
    assert data["value"] == pytest.approx(2 * (1.6 - 0.6))
    several = saved(tmp_path / "several.neocog", Sigmoid(), outputs=2, names=("a", "b"))
    data = json.loads(run("explain", several, images[1], "--label", "b", *arguments).stdout)
    assert data["value"] == pytest.approx(1 / (1 + np.exp(-1.6)) / 2)
    assert (
        "label must be one of 'a', 'b', got 'c'"
        in run("explain", several, images[1], "--label", "a;c", *arguments, code=2).stderr
    )


def test_attribute_of_one_output_says_what_it_speaks_for(images, tmp_path):
    model = saved(tmp_path / "m.neocog", Sigmoid(), outputs=1, names=("fake", "real"), bias=-9)
    options = ["--method", "gradient-times-input", "--out", tmp_path / "a.html"]
    shown = run("attribute", model, images[2], *options).stdout
    assert "white.png: fake 99.3%" in shown  # 1 / (1 + exp(4 - 9))
    assert "What raises the one output speaks for real, against fake." in shown
    assert "gradient-times-input for real" in (tmp_path / "a.html").read_text()
    data = json.loads(run("attribute", model, images[2], *options, "--json").stdout)
    np.testing.assert_allclose(data["map"], 1)
    value = saved(tmp_path / "v.neocog", outputs=1)
    data = json.loads(run("attribute", value, images[2], *options, "--json").stdout)
    assert (data["output"], data["value"]) == ("values", 4)


@pytest.mark.parametrize("kind", ["values", "independent-logits"])
def test_gradients_are_checked_by_a_loss_that_fits(kind, tmp_path):
    network = Sequential(Conv2D(1, 2, 2, rng=0), Flatten(), Dense(8, 1, rng=0))
    network.input_shape = (1, 3, 3)
    network.output_kind = kind
    neocog.save(network, tmp_path / "m.neocog")
    data = json.loads(run("check-gradients", tmp_path / "m.neocog", "--json").stdout)
    assert data["passed"]


@pytest.mark.parametrize("command", ["attribute", "explain"])
def test_a_folder_is_no_image(command, images, tmp_path):
    model = saved(tmp_path / "m.neocog")
    assert (
        run(command, model, tmp_path, code=2).stderr == f"Error: {tmp_path} is a folder, not an image file.\n"
    )


def test_one_epoch_is_said_in_the_singular(tmp_path):
    shown = run("train", "lines", "--epochs", 1, "--out", tmp_path / "run", "--no-report").stdout
    assert "images 1 x 8 x 8, 1 epoch\n" in shown
    assert "its one epoch is trained" in run("train", "--resume", tmp_path / "run").stdout


def test_a_run_directory_holds_a_model(tmp_path):
    run("train", "lines", "--epochs", 1, "--out", tmp_path / "run", "--no-report")
    x = np.ones((1, 1, 8, 8), "float32")
    networks = neocog.load(tmp_path / "run"), neocog.load(tmp_path / "run" / "model.neocog")
    np.testing.assert_array_equal(networks[0].predict_proba(x), networks[1].predict_proba(x))
    with pytest.raises(IsADirectoryError, match=r"is a folder that holds no model\.neocog; name a"):
        neocog.load(tmp_path)


def test_the_picture_of_a_trace_says_sigmoid(images, tmp_path):
    from neocog.figures import trace as draw
    from neocog.inspection import trace

    network = neocog.load(saved(tmp_path / "m.neocog", Sigmoid(), names=("a", "b", "c"), bias=[0, -8, -8]))
    x = np.asarray(Image.open(images[2]), float)[None, None] / 255
    text = draw(trace(network, x), class_names=network.class_names).to_json()
    assert "sigmoid" in text
    assert "softmax" not in text


@pytest.mark.parametrize("last", [(), (Softmax(),)])
def test_class_weights_leave_the_probabilities_of_all_commands_alike(images, tmp_path, last):
    """For white the softmax of (4, 8, 12) is of classes of weights 1, 3 and 2000, which it does without."""
    onnxruntime = pytest.importorskip("onnxruntime")
    network = neocog.load(saved(tmp_path / "m.neocog", *last, names=("cat", "dog", "fox")))
    network.class_weight = (1.0, 3.0, 2000.0)
    neocog.save(network, tmp_path / "m.neocog")
    shares = np.exp([4.0, 8.0, 12.0]) / [1, 3, 2000]
    expected = shares / shares.sum()
    (row,) = json.loads(run("predict", tmp_path / "m.neocog", images[2], "--json").stdout)
    assert row["classes"][0]["class"] == "fox"  # the least expected cost, though dog is more probable
    found = {each["class"]: each["probability"] for each in row["classes"]}
    np.testing.assert_allclose([found[name] for name in ("cat", "dog", "fox")], expected, rtol=1e-5)
    shown = run("explain", tmp_path / "m.neocog", images[2], "--index", "dog", "--json", code=0).stdout
    answer = json.loads(shown)
    if not last:
        assert (answer["class"], answer["value"]) == ("dog", pytest.approx(expected[1], rel=1e-5))
    for command in (
        ["predict"],
        ["explain"],
        ["attribute", "--method", "saliency", "--out", tmp_path / "a.html"],
    ):
        words = run(command[0], tmp_path / "m.neocog", images[2], *command[1:]).stdout
        assert "trained with class weights" in words
        weighted = "numbers of its last layer are those of the weighted classes" in words
        assert weighted == (command == ["explain"] and bool(last))
    words = run("export", tmp_path / "m.neocog", tmp_path / "m.onnx").stdout
    assert "outputs are those of the weighted classes" in words
    assert "neocog.class_weight: 1, 3, 2000" in words
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    (outputs,) = session.run(None, {session.get_inputs()[0].name: np.ones((1, 1, 2, 2), "float32")})
    weights = json.loads(session.get_modelmeta().custom_metadata_map["neocog.class_weight"])
    of_class = outputs[0] if last else np.exp(outputs[0].astype("float64"))
    assert int(of_class.argmax()) == 2
    np.testing.assert_allclose(
        of_class / weights / (of_class / weights).sum(), expected, rtol=1e-5
    )  # as the command says


def test_an_attribution_of_nothing_is_said(images, tmp_path):
    network = Sequential(conv=Conv2D(1, 1, 1), flatten=Flatten(), dense=Dense(4, 2))
    network.params["conv.weight"][:], network.params["dense.weight"][:] = 1, [-1.0, -2.0]
    network.input_shape = (1, 2, 2)
    neocog.save(network, tmp_path / "m.neocog")
    words = run("attribute", tmp_path / "m.neocog", images[2], "--out", tmp_path / "a.html").stdout
    assert "The map is 0 everywhere: by this method no place speaks for the class. Others: " in words
    words = run(
        "attribute", tmp_path / "m.neocog", images[2], "--method", "saliency", "--out", tmp_path / "a.html"
    ).stdout
    assert "0 everywhere" not in words


def test_export_says_what_the_outputs_are(tmp_path):
    words = run("export", saved(tmp_path / "m.neocog", Softmax()), tmp_path / "m.onnx").stdout
    assert "outputs: probabilities of classes that exclude each other" in words
    assert "class weights" not in words
