import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import neocog
from neocog.cli import app
from neocog.training import load_snapshots

runner = CliRunner()


def run(*arguments, code=0):
    if "train" in arguments[:1] and not {"--report", "--help"} & set(arguments):
        arguments = (*arguments, "--no-report")  # it takes a second
    result = runner.invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run directory: the digits' ten epochs."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    run("train", "digits", "--out", out)
    return out


@pytest.fixture
def folder(tmp_path, rng):
    """Dark and bright photos, in colour, of several sizes."""
    for name, level in (("dark", 40), ("bright", 200)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(10):
            size = (12 + k % 3, 10, 3)
            pixels = np.clip(rng.normal(level, 20, size), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{k}.png")
    return tmp_path / "photos"


# train


def test_train_digits_is_the_notebooks_run(trained, golden):
    config = json.loads((trained / "config.json").read_text())
    assert config["settings"]["seed"] == 42
    assert config["class_names"] == [str(k) for k in range(10)]
    assert config["images"]["training"] == 1347
    assert config["sample"][:10] == golden["digits"]["data"]["sample_idx_first10"]
    assert config["versions"]["neocog"] == neocog.__version__
    assert sorted(path.name for path in trained.iterdir()) == [
        "checkpoint.neocog",
        "config.json",
        "history.csv",
        "history.json",
        "log.txt",
        "model.neocog",
        "snapshots.neocog",
    ]
    snapshots = load_snapshots(trained / "snapshots.neocog")
    assert list(snapshots) == [0, 1, 2, 3, 4, 6, 9, 10]
    first = neocog.models.digits_cnn(42).params["conv1.weight"]
    np.testing.assert_array_equal(snapshots[0]["conv1.weight"], first.astype("float16"))
    last = neocog.load(trained / "model.neocog").params["conv1.weight"]
    np.testing.assert_array_equal(snapshots[10]["conv1.weight"], last)
    assert {a.dtype.name for a in snapshots[9].values()} == {"float16"}
    assert {a.dtype.name for a in snapshots[10].values()} == {"float32"}
    rows = json.loads((trained / "history.json").read_text())["rows"]
    assert [row["val_accuracy"] for row in rows[1:]] == golden["digits"]["numpy_10"]["history"]["test_acc"]
    assert len((trained / "log.txt").read_text().splitlines()) == 14


def test_train_prints_lines_and_where_the_model_lies(tmp_path):
    result = run("train", "lines", "--epochs", 2, "--out", tmp_path / "run")
    assert "epoch  0/2" in result.stdout or "epoch 0/2" in result.stdout
    assert "model.neocog" in result.stdout
    assert "90 held-out images\n" in result.stdout
    assert re.search(r"accuracy 0\.\d+ \(0\.\d+ to \d\.\d+\), balanced accuracy 0\.\d+", result.stdout)
    assert re.search(r"\d+ of 90 images are classified wrongly", result.stdout)
    assert "  held-out image " in result.stdout
    assert "114 parameters, images 1 x 8 x 8, 2 epochs" in result.stdout


def test_train_json_is_one_object(tmp_path):
    result = run("train", "lines-b", "--epochs", 2, "--out", tmp_path / "run", "--json")
    data = json.loads(result.stdout)
    assert data["epoch"] == 2
    assert data["stopped"] == ""
    assert data["data"]["images"] == {"train": 180, "validation": 90}
    assert data["data"]["classes"]["diagonal"] == {"train": 60, "validation": 30}
    assert 0 <= data["val_accuracy"] <= 1
    assert data["model"] == str(tmp_path / "run" / "model.neocog")


def test_options_reach_the_run(tmp_path):
    options = {
        "network": "tiny-mlp",
        "epochs": 1,
        "lr": 0.2,
        "momentum": 0.5,
        "weight-decay": 0.01,
        "batch-size": 30,
        "seed": 5,
        "kernels": "reference",
        "optimizer": "nesterov",
        "schedule": "polynomial",
        "label-smoothing": 0.05,
        "augment": "shift",
        "class-weight": "balanced",
        "clip-norm": 0.5,
        "normalize": "channels",
        "validation": 0.25,
        "keep-best": "accuracy",
        "early-stopping": 3,
        "freeze": "dense1",
        "rates": "dense2=0.5",
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    run("train", "lines", "--out", tmp_path / "run", "--checkpoint-activations", *arguments)
    settings = json.loads((tmp_path / "run" / "config.json").read_text())["settings"]
    given = {k.replace("-", "_"): v for k, v in options.items()}
    left = {
        "source": "lines",
        "size": None,
        "channels": None,
        "fit": None,
        "label_pattern": None,
        "group_by": None,
        "skip_bad": False,
        "images": None,
        "file_column": None,
        "label_column": None,
        "recipe": "plain",
        "filters": None,
        "engine": "neocog",
        "device": None,
        "checkpoint_activations": True,
        "held_out": 0.2,
        "minutes": None,
        "pretrained": None,
        "loss": "softmax",
    }
    assert settings == left | given
    assert neocog.load(tmp_path / "run" / "model.neocog").parameter_count == 1227


def test_a_recipe_is_trained_by_and_its_settings_can_be_chosen_otherwise(tmp_path):
    out = tmp_path / "run"
    result = run("train", "lines", "--recipe", "best", "--epochs", 2, "--lr", 0.01, "--out", out, "--report")
    assert "28963 parameters, images 1 x 8 x 8, 2 epochs" in result.stdout
    settings = json.loads((out / "config.json").read_text())["settings"]
    assert (settings["recipe"], settings["network"], settings["batch_size"]) == ("best", "small-cnn", 72)
    assert (settings["epochs"], settings["lr"]) == (2, 0.01)
    assert "--recipe best" in (out / "report.html").read_text()
    assert json.loads(run("evaluate", out, "--json").stdout)["images"] == 90
    assert (
        "only --epochs may change, got also recipe"
        in run("train", "--resume", out, "--recipe", "best", code=2).stderr
    )
    result = run("train", "--resume", out, "--epochs", 3, code=2)
    assert "epochs must stay 2, over which the schedule 'one-cycle'" in result.stderr


def test_run_directories_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for expected in ("runs/lines", "runs/lines-2"):
        result = run("train", "lines", "--epochs", 0, "--json")
        assert json.loads(result.stdout)["run"] == expected


def test_train_on_a_folder_of_photos_and_predict_one(folder, tmp_path):
    out = tmp_path / "run"
    run("train", f"folder:{folder}", "--epochs", 8, "--out", out)
    network = neocog.load(out / "model.neocog")
    assert network.class_names == ("bright", "dark")
    assert network.input_shape == (3, 13, 10)  # the median
    result = run("predict", out, folder / "dark" / "0.png", folder / "bright" / "1.png", "--json")
    answers = json.loads(result.stdout)
    assert [answer["classes"][0]["class"] for answer in answers] == ["dark", "bright"]
    assert sum(c["probability"] for c in answers[0]["classes"]) == pytest.approx(1, abs=1e-6)
    evaluated = json.loads(run("evaluate", out, "--json").stdout)
    assert evaluated["images"] == 4
    # naming the run's own folder does not bring in what it was trained on
    assert json.loads(run("evaluate", out, f"folder:{folder}", "--json").stdout) == evaluated
    assert evaluated["accuracy"] == 1.0


def test_train_on_an_npz_file(tmp_path, rng):
    x = rng.random((60, 8, 8)).astype(np.float32)
    y = (x.mean(axis=(1, 2)) > 0.5).astype(int)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    result = run("train", f"npz:{tmp_path / 'data.npz'}", "--epochs", 1, "--out", tmp_path / "run", "--json")
    assert json.loads(result.stdout)["epoch"] == 1


def test_resume_ends_as_an_uninterrupted_run(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run("train", "lines-b", "--epochs", 6, "--out", whole)
    run("train", "lines-b", "--epochs", 4, "--out", parts)
    run("train", "--resume", parts, "--epochs", 6)
    one, two = neocog.load(whole / "model.neocog"), neocog.load(parts / "model.neocog")
    for name, array in one.params.items():
        assert array.tobytes() == two.params[name].tobytes()
    assert json.loads((parts / "config.json").read_text())["settings"]["epochs"] == 6


def test_ctrl_c_saves_and_exits_130(tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "neocog", "train", "digits", "--epochs", "5000", "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if (out / "history.csv").exists() and len((out / "history.csv").read_text().splitlines()) > 3:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert f"continue with: neocog train --resume {out}" in errors
    assert neocog.load(out / "model.neocog").parameter_count == 1898
    assert json.loads((out / "history.json").read_text())["stopped"] == "interrupted"


# evaluate, predict, summary, check-gradients


def press_ctrl_c(*_):
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_while_the_files_are_written_says_how_to_go_on(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("neocog.runs.training.save", press_ctrl_c)
        result = run("train", "lines", "--out", tmp_path / "r", code=130)
    assert result.stderr == f"interrupted; continue with: neocog train --resume {tmp_path / 'r'}\n"
    run("train", "--resume", tmp_path / "r")
    assert len(neocog.load(tmp_path / "r" / "model.neocog").params) == 4


def test_ctrl_c_in_any_command_exits_130(trained, monkeypatch):
    monkeypatch.setattr("neocog.runs.open_model", press_ctrl_c)
    for handler in (signal.SIG_DFL, signal.default_int_handler):  # as by `python -m neocog`, and in a program
        before = signal.signal(signal.SIGINT, handler)
        try:
            assert run("summary", trained, code=130).stderr == "interrupted\n"
            assert signal.getsignal(signal.SIGINT) == handler
        finally:
            signal.signal(signal.SIGINT, before)


def test_ctrl_c_before_a_command_leaves_no_traceback():
    code = """
import importlib, runpy, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == "neocog.cli":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
runpy.run_module("neocog", run_name="__main__")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (-signal.SIGINT, "", "")


def test_evaluate(trained):
    result = run("evaluate", trained)
    assert "450 images of digits" in result.stdout
    assert "accuracy 0.971" in result.stdout
    data = json.loads(run("evaluate", trained / "model.neocog", "digits", "--json").stdout)
    assert data["accuracy"] == 437 / 450
    assert np.trace(data["confusion_matrix"]) == 437
    assert data["origin"] == "whether the model was trained on them is not known"
    assert data["classes"]["0"] == {"images": 45, "recall": 43 / 45, "precision": 1.0}


@pytest.fixture
def light_or_dark(tmp_path):
    """A model of two classes: the logit of "light" is the sum of the four pixels, that of "dark" is 2."""
    network = neocog.Sequential(flat=neocog.Flatten(), dense=neocog.Dense(4, 2, dtype="float64"))
    network.params["dense.weight"][:] = [[0, 1]] * 4
    network.params["dense.bias"][:] = [2, 0]
    network.class_names, network.input_shape = ("dark", "light"), (1, 2, 2)
    path = tmp_path / "light.neocog"
    neocog.save(network, path)
    return path


def grey(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (2, 2), level).save(path)


def test_evaluate_lists_mistakes_and_writes_a_table(light_or_dark, tmp_path):
    for name, level in (("dark/a", 0), ("dark/b", 255), ("light/c", 255), ("light/d", 200)):
        grey(tmp_path / "photos" / f"{name}.png", level)
    source = f"folder:{tmp_path / 'photos'}"
    result = run("evaluate", light_or_dark, source, "--mistakes", "--csv", tmp_path / "t.csv")
    wrong = tmp_path / "photos" / "dark" / "b.png"
    assert "1 of 4 images are classified wrongly" in result.stdout
    assert f"{wrong}: dark, taken for light (88.1%)" in result.stdout  # 1 / (1 + exp(2 - 4))
    assert "whether the model was trained on them is not known" in result.stdout
    assert "balanced accuracy 0.750" in result.stdout
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert [row["predicted"] for row in rows] == ["dark", "light", "light", "light"]
    assert rows[1] | {"light": ""} == {
        "image": str(wrong), "true": "dark", "predicted": "light", "dark": "0.119203", "light": "",
        "probability": rows[1]["probability"], "output": "logits",
    }  # fmt: skip
    data = json.loads(run("evaluate", light_or_dark, source, "--mistakes", "--json").stdout)
    assert data["confusion_matrix"] == [[1, 1], [0, 2]]
    assert [row["image"] for row in data["mistakes"]] == [str(wrong)]
    assert data["loss"] == pytest.approx(
        np.mean(
            [np.log1p(np.exp(-2)), np.log1p(np.exp(2)), np.log1p(np.exp(-2)), np.log1p(np.exp(2 - 800 / 255))]
        )
    )


def test_images_without_files_are_named_by_their_numbers_and_of_what(trained, tmp_path):
    """Those that a run has drawn have other numbers than in the file that they were drawn from."""
    run("evaluate", trained, "--csv", tmp_path / "a.csv")
    rows = (tmp_path / "a.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:3]] == ["held-out image 0", "held-out image 1"]
    np.savez(tmp_path / "x.npz", x=np.zeros((3, 8, 8)), y=np.arange(3))
    run("evaluate", trained, tmp_path / "x.npz", "--csv", tmp_path / "b.csv")
    rows = (tmp_path / "b.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["image 0", "image 1", "image 2"]


def test_evaluate_takes_some_of_the_classes_by_name(tmp_path):
    network = neocog.Sequential(flat=neocog.Flatten(), dense=neocog.Dense(4, 3, dtype="float64"))
    network.params["dense.weight"][:] = 0
    network.params["dense.bias"][:] = [0, 0, 1]
    network.class_names, network.input_shape = ("a", "b", "c"), (1, 2, 2)
    neocog.save(network, tmp_path / "m.neocog")
    for name in ("b/1", "c/1", "c/2"):
        grey(tmp_path / "photos" / f"{name}.png", 0)
    data = json.loads(
        run("evaluate", tmp_path / "m.neocog", f"folder:{tmp_path / 'photos'}", "--json").stdout
    )
    assert data["confusion_matrix"] == [[0, 0, 0], [0, 0, 1], [0, 0, 2]]
    assert data["balanced_accuracy"] == 0.5  # class a has no images
    grey(tmp_path / "photos" / "d" / "1.png", 0)
    error = run("evaluate", tmp_path / "m.neocog", f"folder:{tmp_path / 'photos'}", code=2).stderr
    assert "the classes must be among a, b, c, got also d" in error


def test_evaluate_says_how_many_images_the_run_trained_on(folder, tmp_path):
    out = tmp_path / "run"
    run("train", f"folder:{folder}", "--epochs", 1, "--out", out)
    held_out = json.loads(run("evaluate", out, "--json").stdout)
    assert held_out["origin"] == "the run held them out of training"
    shutil.copytree(folder, tmp_path / "copy")
    for name in ("dark", "bright"):
        grey(tmp_path / "copy" / name / "new.png", 100)
    data = json.loads(run("evaluate", out, f"folder:{tmp_path / 'copy'}", "--json").stdout)
    seen = f"the run trained on {20 - held_out['images']} of them, for which these figures are too good"
    assert (data["images"], data["origin"]) == (22, seen)


def test_predict_takes_folders_and_patterns_and_writes_a_table(light_or_dark, tmp_path):
    for name in ("new/b.png", "new/deep/a.JPG", "new/deep/.hidden.png", "new/.cache/a.png", "other/c.png"):
        grey(tmp_path / name, 255)
    (tmp_path / "new" / "z").write_bytes((tmp_path / "new" / "b.png").read_bytes())  # as some are stored
    (tmp_path / "new" / "notes.txt").write_text("no picture")
    arguments = [tmp_path / "new", tmp_path / "oth*" / "*.png", "--csv", tmp_path / "t.csv"]
    shown = run("predict", light_or_dark, *arguments).stdout
    assert f"{tmp_path / 'new' / 'b.png'}: light 88.1%  dark 11.9%" in shown
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    found = [str(tmp_path / name) for name in ("new/b.png", "new/deep/a.JPG", "new/z", "other/c.png")]
    assert [row["image"] for row in rows] == found
    assert list(rows[0]) == ["image", "predicted", "probability", "output", "dark", "light"]
    (tmp_path / "empty").mkdir()
    assert "must hold image files" in run("predict", light_or_dark, tmp_path / "empty", code=2).stderr
    assert "no file fits the pattern" in run("predict", light_or_dark, tmp_path / "*.gif", code=2).stderr


@pytest.mark.parametrize("command", ["predict", "evaluate", "summary", "check-gradients"])
def test_a_layer_alone_is_no_model(command, tmp_path):
    neocog.save(neocog.Dense(64, 3), tmp_path / "layer.neocog")
    more = {"predict": [tmp_path / "image.png"], "evaluate": ["digits"]}.get(command, [])
    error = run(command, tmp_path / "layer.neocog", *more, code=2).stderr
    assert "holds one layer, Dense(64, 3); save Sequential(layer)" in error


@pytest.mark.parametrize("command", ["predict", "explain", "attribute", "summary", "check-gradients"])
def test_a_model_of_unknown_images_is_named(command, tmp_path):
    neocog.save(neocog.Sequential(neocog.Flatten(), neocog.Dense(4, 2)), tmp_path / "m.neocog")
    grey(tmp_path / "i.png", 0)
    more = [] if command in ("summary", "check-gradients") else [tmp_path / "i.png"]
    error = run(command, tmp_path / "m.neocog", *more, code=2).stderr
    assert f"{tmp_path / 'm.neocog'} does not say the shape of its images; train it with neocog.fit" in error


def test_a_model_of_maps_does_not_predict(tmp_path):
    network = neocog.Sequential(neocog.Conv2D(1, 4, 3))
    network.input_shape = (1, 8, 8)
    neocog.save(network, tmp_path / "maps.neocog")
    Image.new("L", (8, 8)).save(tmp_path / "image.png")
    error = run("predict", tmp_path / "maps.neocog", tmp_path / "image.png", code=2).stderr
    assert "must give a number for each class to predict by, gives (4, 6, 6)" in error


@pytest.mark.parametrize(
    ("error", "text"), [(MemoryError("no 9 GB"), "no 9 GB"), (MemoryError(), "out of memory")]
)
def test_too_little_memory_is_told_in_a_line(error, text, monkeypatch):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(neocog.runs, "open_model", fail)
    assert run("export", "a", "b.onnx", code=2).stderr.startswith(f"Error: {text}")


def test_predict_any_size_and_colour(trained, tmp_path):
    (_, _), (images, labels) = neocog.data.digits()
    picture = Image.fromarray((images[1, 0] * 255).astype(np.uint8)).resize(
        (200, 200), Image.Resampling.NEAREST
    )
    picture.save(tmp_path / "light_on_dark.png")
    Image.eval(picture, lambda v: 255 - v).convert("RGB").save(tmp_path / "ink.png")
    result = run("predict", trained, tmp_path / "light_on_dark.png")
    assert re.search(rf"light_on_dark.png: {labels[1]} \d+\.\d%", result.stdout)
    data = json.loads(run("predict", trained, tmp_path / "ink.png", "--invert", "--top", 1, "--json").stdout)
    assert [c["class"] for c in data[0]["classes"]] == [str(labels[1])]


def test_summary(trained):
    assert "conv2" in run("summary", trained).stdout
    data = json.loads(run("summary", "tiny-cnn", "--json").stdout)
    assert data["parameters"] == 114
    assert data["rows"][0]["flops"] == 2 * 9 * 3 * 36


def test_check_gradients(trained):
    data = json.loads(run("check-gradients", trained, "--max-entries", 20, "--json").stdout)
    assert data["passed"]
    assert data["max_relative_error"] < 1e-13
    assert "passed" in run("check-gradients", "tiny-cnn", "--method", "central").stdout


def test_check_gradients_exits_1_on_a_wrong_formula(monkeypatch):
    backward = neocog.ReLU.backward

    def wrong(self, dy, cache, input_grad=True):
        dx, grads = backward(self, dy, cache, input_grad)
        return (None if dx is None else 1.001 * dx), grads

    monkeypatch.setattr(neocog.ReLU, "backward", wrong)
    assert "FAILED" in run("check-gradients", "tiny-cnn", code=1).stdout


# Bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "SOURCE is missing"),
        (["train", "digit"], "Did you mean 'digits'"),
        (["train", "folder:"], "must name a path"),
        (["train", "folder:/no/such/place"], "/no/such/place"),
        (["train", "npz:/no/such/file.npz"], "/no/such/file.npz"),
        (["train", "idx:/no/such/place"], "/no/such/place"),
        (["train", "lines", "--network", "resnet"], "network must be one of"),
        (["train", "lines", "--kernels", "cuda"], "kernels must be one of"),
        (["train", "digits", "--recipe", "bets"], "Did you mean 'best'"),
        (["train", "lines", "--epochs", "-1"], "epochs must be at least 0"),
        (["train", "lines", "--lr", "-1"], "lr must be in"),
        (["train", "lines", "--momentum", "1"], "momentum must be in"),
        (["train", "lines", "--batch-size", "0"], "batch_size must be at least 1"),
        (["train", "lines", "--seed", "-3"], "seed must be at least 0"),
        (["train", "--resume", "/no/such/run"], "is not a run directory"),
        (["train", "lines", "--resume", "runs/x"], "only --epochs may change"),
        (["evaluate", "/no/such/model"], "there is no file"),
        (["predict", "/no/such/model", "a.png"], "there is no file"),
        (["summary", "tiny-cn"], "Did you mean 'tiny-cnn'"),
        (["check-gradients", "tiny-cnn", "--method", "magic"], "method must be one of"),
    ],
)
def test_bad_input_is_explained_and_exits_2(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments, code=2)
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert os.listdir(tmp_path) == []  # a run that could not begin leaves nothing behind


def test_bad_input_as_json(tmp_path):
    result = run("evaluate", tmp_path / "none.neocog", "--json", code=2)
    assert "there is no file" in json.loads(result.stdout)["error"]


def test_files_that_are_no_images(trained, tmp_path):
    (tmp_path / "notes.png").write_text("not a picture")
    result = run("predict", trained, tmp_path / "notes.png", code=2)
    assert "notes.png" in result.stderr
    assert "nothere.png" in run("predict", trained, tmp_path / "nothere.png", code=2).stderr


def test_a_directory_in_use_is_left_alone(tmp_path):
    (tmp_path / "precious.txt").write_text("data")
    result = run("train", "lines", "--epochs", 0, "--out", tmp_path, code=2)
    assert "already exists" in result.stderr
    assert os.listdir(tmp_path) == ["precious.txt"]


def test_images_of_another_size_are_no_bug(trained, tmp_path, rng):
    np.savez(tmp_path / "a.npz", x=rng.random((30, 12, 12)), y=np.arange(30) % 10)
    error = run("evaluate", trained / "model.neocog", f"npz:{tmp_path / 'a.npz'}", code=2).stderr
    assert "bug" not in error


def test_train_on_a_csv_file(tmp_path, rng):
    rows = [[k % 2, *(rng.integers(0, 60, 64) + 190 * (k % 2))] for k in range(40)]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(",".join(map(str, row)) for row in rows))
    run("train", f"csv:{path}", "--epochs", 30, "--out", tmp_path / "run")
    answer = json.loads(run("evaluate", tmp_path / "run", "--json").stdout)
    assert (answer["images"], answer["accuracy"]) == (8, 1.0)
    error = run("train", f"csv:{tmp_path / 'run' / 'history.csv'}", code=2).stderr
    assert "history.csv, line 2, column" in error


def test_a_damaged_run_is_no_bug(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run/history.json").write_bytes(b"\xff{")
    run("report", tmp_path / "run")  # and the page says what is missing
    assert "history.json is not a history" in (tmp_path / "run/report.html").read_text(encoding="utf-8")
    (tmp_path / "run/config.json").write_bytes(b"\xff{")
    assert "config.json" in run("report", tmp_path / "run", code=2).stderr


def test_the_wrong_data_for_a_model(trained):
    result = run("evaluate", trained, "lines", code=2)
    assert "the model's classes are ['0'," in result.stderr
    result = run("evaluate", trained / "model.neocog", code=2)
    assert "SOURCE is missing" in result.stderr


def test_a_loss_that_overflows_exits_1(tmp_path):
    result = run("train", "lines", "--lr", "1e200", "--out", tmp_path / "run", code=1)
    assert "the loss is not finite in epoch 1" in result.stderr


def test_help_has_examples():
    for command in ("train", "evaluate", "predict", "summary", "explain", "check-gradients"):
        result = run(command, "--help")
        assert f"neocog {command}" in result.stdout.replace("\n", " "), command
        assert "Example" in result.stdout


def test_version():
    assert run("--version").stdout.strip() == neocog.__version__


# A folder that changes, photos of any size


def test_evaluate_refuses_a_folder_that_has_changed(folder, tmp_path):
    out = tmp_path / "run"
    run("train", f"folder:{folder}", "--recipe", "plain", "--epochs", 1, "--out", out)
    Image.new("RGB", (10, 12)).save(folder / "dark" / "new.png")
    assert "has changed since the run" in run("evaluate", out, code=2).stderr
    assert "saved with data" in run("train", "--resume", out, "--epochs", 2, code=2).stderr
    # a model file knows nothing of runs: named, the folder is measured as a whole
    whole = run("evaluate", out / "model.neocog", f"folder:{folder}", "--json")
    assert json.loads(whole.stdout)["images"] == 21


def test_a_model_is_measured_on_pictures_of_another_size(folder, tmp_path, rng):
    run("train", f"folder:{folder}", "--epochs", 8, "--out", tmp_path / "run")
    for name, level in (("dark", 30), ("bright", 220)):
        (tmp_path / "others" / name).mkdir(parents=True)
        for k in range(3):
            Image.new("RGB", (300, 200 + k), (level, level, level)).save(
                tmp_path / "others" / name / f"{k}.jpg"
            )
    result = run("evaluate", tmp_path / "run" / "model.neocog", f"folder:{tmp_path / 'others'}", "--json")
    data = json.loads(result.stdout)
    assert (data["images"], data["accuracy"]) == (6, 1.0)


def test_large_photos_are_made_small(tmp_path):
    for name, level in (("dark", 30), ("bright", 220)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(4):
            Image.new("L", (800, 600), level).save(tmp_path / "photos" / name / f"{k}.png")
    source = f"folder:{tmp_path / 'photos'}"
    run("train", source, "--epochs", 1, "--out", tmp_path / "a")
    assert neocog.load(tmp_path / "a" / "model.neocog").input_shape == (1, 48, 64)
    run("train", source, "--recipe", "plain", "--epochs", 1, "--size", 16, "--out", tmp_path / "b")
    assert neocog.load(tmp_path / "b" / "model.neocog").input_shape == (1, 16, 16)
    run("train", "--resume", tmp_path / "b", "--epochs", 2)
    assert json.loads(run("evaluate", tmp_path / "b", "--json").stdout)["images"] == 2
    assert "size is only allowed for folder:PATH" in run("train", "lines", "--size", 9, code=2).stderr


def test_a_run_is_found_from_anywhere(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("train", "folder:photos", "--recipe", "plain", "--epochs", 1, "--out", "run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert json.loads(run("evaluate", "../run", "--json").stdout)["images"] == 4
    run("train", "--resume", "../run", "--epochs", 2)


def test_fewer_epochs_than_done_are_refused(tmp_path):
    run("train", "lines-b", "--epochs", 3, "--out", tmp_path / "run")
    result = run("train", "--resume", tmp_path / "run", "--epochs", 2, code=2)
    assert "has 3 epochs behind it already, got epochs=2" in result.stderr
    assert json.loads((tmp_path / "run" / "config.json").read_text())["settings"]["epochs"] == 3


def test_a_network_that_diverges_leaves_no_model(tmp_path):
    arguments = ["train", "digits", "--epochs", 1, "--batch-size", 2000, "--lr", "1e38"]
    result = run(*arguments, "--out", tmp_path / "run", code=1)
    assert "the loss is not finite after epoch 1" in result.stderr
    assert not (tmp_path / "run" / "model.neocog").exists()


def test_more_outputs_than_names(tmp_path, rng):
    x, y = rng.random((12, 1, 8, 8)).astype(np.float32), np.arange(12) % 3
    network = neocog.models.digits_cnn()
    neocog.fit(network, (x, y), epochs=1, rng=0)
    neocog.save(network, tmp_path / "m.neocog")
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    answers = json.loads(
        run("predict", tmp_path / "m.neocog", tmp_path / "a.png", "--top", 10, "--json").stdout
    )
    assert sorted(c["class"] for c in answers[0]["classes"]) == [str(k) for k in range(10)]


# explain


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    images, labels = neocog.data.digits().test
    path = tmp_path_factory.mktemp("pictures") / "digit.png"
    Image.fromarray((images[1, 0] * 255).astype(np.uint8)).save(path)
    return path, int(labels[1])


def test_explain_an_activation(trained, picture):
    path, _ = picture
    data = json.loads(run("explain", trained, path, "--at", "conv1", "--index", "2,3,4", "--json").stdout)
    assert data["index"] == [0, 2, 3, 4]
    assert len(data["terms"]) == 10
    assert sum(term["value"] for term in data["terms"]) == pytest.approx(data["value"], abs=1e-12)
    assert "conv1[0,2,3,4] = " in run("explain", trained, path, "--at", "conv1", "--index", "2,3,4").stdout


def test_explain_the_answer_down_to_the_pixels(trained, picture):
    path, label = picture
    chain = json.loads(run("explain", trained, path, "--down", 20, "--json").stdout)
    assert chain[0]["at"] == "softmax"
    assert chain[0]["index"] == [0, label]
    assert chain[-1]["at"] in ("input", "conv1.bias", "conv2.bias", "dense.bias")


def test_explain_a_gradient(trained, picture):
    path, label = picture
    arguments = ["--at", "conv1.weight", "--index", "2,0,1,1", "--of", "gradient", "--label", label]
    data = json.loads(run("explain", trained, path, *arguments, "--json").stdout)
    assert data["of"] == "gradient"
    assert data["total"] == pytest.approx(data["value"], abs=1e-15)
    assert "--label is missing" in run("explain", trained, path, *arguments[:-2], code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--at", "conv9"], "at must be one of"),
        (["--at", "conv1", "--index", "a,b"], "--index must be integers"),
        (["--at", "conv1", "--index", "9,0,0"], "must fit the shape"),
        (["--label", "eleven"], "label must be one of"),
        (["--at", "loss"], "y must be given"),
    ],
)
def test_explain_refuses(trained, picture, arguments, message):
    assert message in run("explain", trained, picture[0], *arguments, code=2).stderr


def test_explain_a_class_by_its_name(light_or_dark, tmp_path):
    grey(tmp_path / "i.png", 255)
    data = json.loads(
        run(
            "explain", light_or_dark, tmp_path / "i.png", "--at", "dense", "--index", "light", "--json"
        ).stdout
    )
    assert (data["index"], data["value"]) == ([0, 1], 4.0)
    error = run("explain", light_or_dark, tmp_path / "i.png", "--index", "night", code=2).stderr
    assert "or a class, one of dark, light, got 'night'" in error
    arguments = ("--at", "flatten", "--index", "light")  # which holds no classes
    error = run("explain", light_or_dark, tmp_path / "i.png", *arguments, code=2).stderr
    assert "--index must be integers such as 2,3,4, got 'light'" in error


@pytest.mark.parametrize("command", ["predict", "explain", "attribute"])
def test_a_model_of_other_channels_takes_no_pictures(tmp_path, command):
    neocog.save(neocog.models.digits_cnn(image_shape=(2, 8, 8), seed=0), tmp_path / "two.neocog")
    grey(tmp_path / "i.png", 255)
    error = run(command, tmp_path / "two.neocog", tmp_path / "i.png", code=2).stderr
    assert "two.neocog takes images of 2 channels, not 1 or 3 as picture files have" in error
    assert ".npz" in error


@pytest.mark.parametrize("method", ["saliency", "integrated-gradients", "occlusion"])
def test_attribute(light_or_dark, tmp_path, method, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grey(tmp_path / "i.png", 255)
    shown = run("attribute", light_or_dark, "i.png", "--method", method).stdout
    assert "i.png: light 88.1%" in shown
    assert f"{method} for light" in (tmp_path / f"i-{method}.html").read_text()
    arguments = ["--method", method, "--of", "dark", "--out", "d.html", "--json"]
    data = json.loads(run("attribute", light_or_dark, "i.png", *arguments).stdout)
    assert data["class"] == "dark"
    assert data["map"] == [[0, 0], [0, 0]]  # its logit is a constant
    data = json.loads(run("attribute", light_or_dark, "i.png", "--method", method, "--json").stdout)
    # The logit is the sum of the pixels: each has slope 1, share 1; covered by their mean it stays.
    np.testing.assert_allclose(data["map"], 0 if method == "occlusion" else 1, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "cam"], "method must be one of 'saliency'"),
        (["--method", "grad-cam"], "the network has none"),
        (["--of", "night"], "of must be one of 'dark', 'light', got 'night'"),
        (["--method", "saliency", "--out", "a.txt"], "path must end in .html"),
    ],
)
def test_attribute_refuses(light_or_dark, tmp_path, arguments, message):
    grey(tmp_path / "i.png", 255)
    assert message in run("attribute", light_or_dark, tmp_path / "i.png", *arguments, code=2).stderr


# report


def test_report_at_the_end_of_training_and_later(tmp_path):
    result = run("train", "lines-b", "--epochs", 2, "--out", tmp_path / "run", "--report", "--json")
    page = json.loads(result.stdout)["report"]
    assert page == str(tmp_path / "run" / "report.html")
    assert "<h2>Filters</h2>" in (tmp_path / "run" / "report.html").read_text()
    assert "report" in run("report", tmp_path / "run", "--out", tmp_path / "r.html").stdout
    assert (tmp_path / "r.html").exists()
    assert "has its training ended" in run("report", tmp_path, code=2).stderr


# experiment


def test_experiments_are_listed():
    assert "cnn-vs-mlp" in run("experiment").stdout
    names = [study["name"] for study in json.loads(run("experiment", "--json").stdout)]
    assert {"mlp-capacity", "learning-rates", "transfer"} <= set(names)


def test_an_experiment_prints_its_table_and_finding():
    result = run("experiment", "cnn-vs-mlp", "--seeds", 1)
    assert "114" in result.stdout
    assert "1227" in result.stdout.replace(",", "")
    data = json.loads(run("experiment", "cnn-vs-mlp", "--json").stdout)
    assert "10.8" in data["finding"]


def test_an_experiment_over_seeds():
    data = json.loads(run("experiment", "dot-class", "--seeds", 2, "--jobs", 1, "--json").stdout)
    assert data["seeds"] == 2


def test_an_unknown_experiment():
    assert "Did you mean 'transfer'" in run("experiment", "transfr", code=2).stderr


def test_warmup_compiles_everything():
    seconds = json.loads(run("warmup", "--json").stdout)["seconds"]
    assert set(seconds) == {"float32", "float64"}
    assert "float32 kernels ready" in run("warmup").stdout


def test_the_road_has_names():
    assert "61706" in run("summary", "lenet5").stdout.replace(",", "").replace(" ", "")
    arguments = "train", "digits", "--network", "resnet20", "--epochs", "0", "--no-report", "--json"
    report = json.loads(run(*arguments).stdout)
    assert report["parameters"] == 269_434  # one input channel instead of three


# Errors and bugs


def test_the_traceback_is_shown_on_request(trained):
    plain = run("summary", "tiny-cn", code=2)
    assert "Traceback" not in plain.output
    for arguments in (("--traceback", "summary", "tiny-cn"), ("summary", "--traceback", "tiny-cn")):
        result = run(*arguments, code=2)
        assert "Traceback (most recent call last)" in result.stderr
        assert result.stderr.endswith(plain.stderr)
    for value, shown in (("1", True), ("0", False)):
        result = runner.invoke(app, ["summary", "tiny-cn"], env={"NEOCOG_DEBUG": value})
        assert ("Traceback" in result.stderr) is shown
    assert "Traceback" not in run("summary", "tiny-cn", code=2).output  # it was for that command only
    assert "--traceback" not in run("summary", "tiny-cnn", "--traceback").output
    error = run("predict", trained, "--", "--traceback", code=2).stderr  # here it is a file's name
    assert error == "Error: there is no image file --traceback.\n"


def boom(kind):
    if kind == "raised":
        raise ValueError("seeds must be at least 1, got 0.")
    if kind == "numpy":
        np.zeros(3).reshape(2, 2)  # ValueError
    if kind == "index":
        [].pop()
    if kind == "key":
        raise KeyError("conv1")
    if kind == "attribute":
        None.shape  # noqa: B018
    if kind == "type":
        len(3)
    if kind == "assert":
        raise AssertionError("unreachable")
    if kind == "import":
        from neocog.layers import NoSuchLayer  # noqa: F401
    if kind == "package":
        import no_such_package  # noqa: F401
    if kind == "disk":
        open("/no/such/file")  # noqa: SIM115


@pytest.mark.parametrize("kind", ["numpy", "index", "key", "attribute", "type", "assert", "import"])
def test_a_bug_of_ours_is_called_one(kind, monkeypatch):
    as_ours = types.FunctionType(boom.__code__, {**globals(), "__name__": "neocog.layers"})
    monkeypatch.setattr(neocog.runs, "open_model", lambda *a: as_ours(kind))
    result = run("export", "a", "b.onnx", code=70)
    assert result.stderr.startswith(f"Error: this is a bug in neocog {neocog.__version__}: ")
    assert re.search(
        rf"{re.escape(__file__)}, line \d+\)\. Please report it to .*, which --traceback shows", result.stderr
    )
    assert "Traceback" not in result.output
    assert "in boom" in run("--traceback", "export", "a", "b.onnx", code=70).stderr
    answer = json.loads(run("export", "a", "b.onnx", "--json", code=70).stdout)
    assert answer["error"].startswith("this is a bug in neocog")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("raised", "seeds must be at least 1, got 0."),
        ("package", "No module named 'no_such_package'"),
        ("disk", "[Errno 2] No such file or directory: '/no/such/file'"),
    ],
)
def test_bad_input_is_not_called_a_bug(kind, text, monkeypatch):
    as_ours = types.FunctionType(boom.__code__, {**globals(), "__name__": "neocog.layers"})
    monkeypatch.setattr(neocog.runs, "open_model", lambda *a: as_ours(kind))
    assert run("export", "a", "b.onnx", code=2).stderr == f"Error: {text}\n"


def test_a_value_error_that_another_library_raises_is_no_message_for_the_user(monkeypatch):
    monkeypatch.setattr(neocog.runs, "open_model", lambda *a: boom("raised"))  # not of the package neocog
    assert "this is a bug in neocog" in run("export", "a", "b.onnx", code=70).stderr


# Layers of one's own

MY_LAYERS = """
import numpy as np
from neocog import Layer

class Double(Layer):
    def forward(self, x, training=False):
        return 2 * x, None
    def backward(self, dy, cache, input_grad=True):
        return 2 * dy, {}
    def output_shape(self, input_shape):
        return input_shape

class Faulty(Double):
    def forward(self, x, training=False):
        return np.zeros(3).reshape(2, 2), None
"""


@pytest.fixture
def own(trained, tmp_path, monkeypatch):
    """A folder with a module of layers, and the digits' model with one of them in front."""
    (tmp_path / "my_own_layers.py").write_text(MY_LAYERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import my_own_layers

    digits = neocog.load(trained / "model.neocog")
    for name, kind in (("model", my_own_layers.Double), ("faulty", my_own_layers.Faulty)):
        network = neocog.Sequential(kind(), *(layer for layer in digits))
        network.class_names, network.input_shape = digits.class_names, digits.input_shape
        neocog.save(network, tmp_path / f"{name}.neocog")
    monkeypatch.delitem(sys.modules, "my_own_layers")
    return tmp_path


def test_a_model_with_a_layer_of_ones_own(own, trained, picture, monkeypatch):
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(own)])  # as for the command neocog
    option = ("--layers", "my_own_layers:Double")
    path, _ = picture
    for command in (
        ("summary", "model.neocog"),
        ("evaluate", "model.neocog", "digits"),
        ("predict", "model.neocog", path),
        ("explain", "model.neocog", path, "--at", "1"),
        ("check-gradients", "model.neocog", "--max-entries", 5),
    ):
        assert "unknown layer 'Double'" in run(*command, code=2).stderr
        run(*command, *option)
    shutil.copytree(trained, "run")
    shutil.copy("model.neocog", "run/model.neocog")
    run("report", "run", *option)
    assert "Double" in Path("run/report.html").read_text()
    result = run("summary", "model.neocog", "--layers", "my_own_layers:Treble", code=2)
    assert "Treble" in result.stderr
    assert "nowhere" in run("summary", "model.neocog", "--layers", "nowhere:Double", code=2).stderr


def test_a_fault_in_a_layer_of_ones_own_is_not_neocogs(own, picture):
    arguments = ("predict", "faulty.neocog", picture[0], "--layers", "my_own_layers:Faulty")
    error = run(*arguments, code=2).stderr
    assert re.search(r"ValueError: cannot reshape .*my_own_layers\.py, line \d+\); the module", error)


def test_a_table_of_predictions_is_there_though_the_pipe_closes(trained, tmp_path):
    """As `neocog predict ... --csv FILE | head -1` closes it; the lines are far more than a pipe holds."""
    images = [tmp_path / f"{k}.png" for k in range(3)]
    for path in images:
        grey(path, 90)
    command = [sys.executable, "-m", "neocog", "predict", trained, *images * 700, "--csv", tmp_path / "t.csv"]
    with subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith(str(images[0]))
        process.stdout.close()
        process.wait(60)
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 1 + 2100


def test_predict_leaves_out_bad_images_if_told_to(light_or_dark, tmp_path):
    for name, level in (("a", 0), ("c", 255)):
        grey(tmp_path / "new" / f"{name}.png", level)
    (tmp_path / "new" / "b.png").write_bytes((tmp_path / "new" / "a.png").read_bytes()[:40])
    (tmp_path / "new" / "d.jpg").write_text("no picture")
    error = run("predict", light_or_dark, tmp_path / "new", code=2).stderr
    assert "b.png is not an image" in error
    assert "d.jpg is not an image" in error  # at once
    assert "--skip-bad leaves out what cannot be read" in error
    result = run("predict", light_or_dark, tmp_path / "new", "--skip-bad", "--csv", tmp_path / "t.csv")
    assert "Left out 2" in result.stderr
    assert "b.png" in result.stderr
    rows = (tmp_path / "t.csv").read_text().splitlines()[1:]
    assert [row.split(",")[1] for row in rows] == ["dark", "light"]
    assert (
        "none of the images can be read"
        in run("predict", light_or_dark, tmp_path / "new" / "b.png", "--skip-bad", code=2).stderr
    )


def test_evaluate_leaves_out_bad_images_if_told_to(light_or_dark, tmp_path):
    for name, level in (("dark", 0), ("light", 255)):
        grey(tmp_path / "photos" / name / "1.png", level)
        (tmp_path / "photos" / name / "2.png").write_bytes(b"no picture")
    assert "2.png" in run("evaluate", light_or_dark, tmp_path / "photos", code=2).stderr
    result = run("evaluate", light_or_dark, tmp_path / "photos", "--skip-bad", "--json")
    assert json.loads(result.stdout)["images"] == 2


def test_a_missing_folder_is_told_its_neighbour(tmp_path):
    (tmp_path / "photos").mkdir()
    error = run("train", tmp_path / "fotos", code=2).stderr
    assert f"Did you mean '{tmp_path / 'photos'}'?" in error


def test_explain_names_the_classes(light_or_dark, tmp_path):
    grey(tmp_path / "g.png", 90)
    assert "classes: 0 dark, 1 light" in run("explain", light_or_dark, tmp_path / "g.png").stdout


def test_images_beyond_the_budget_are_refused_before_they_are_read(folder, tmp_path, monkeypatch):
    error = run("train", folder, "--size", 5000, "--out", tmp_path / "run", code=2).stderr
    assert "an image of shape (3, 5000, 5000)" in error
    assert "NEOCOG_BUDGET_VALUES" in error
    monkeypatch.setenv("NEOCOG_BUDGET_VALUES", "1000")
    error = run("train", folder, "--epochs", 1, "--out", tmp_path / "run", code=2).stderr
    assert "layer 'conv1', for images of shape (3, " in error
    assert not (tmp_path / "run").exists()
