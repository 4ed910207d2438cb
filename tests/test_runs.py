"""Run directories: no dead ends, one process at a time, and errors that name the file."""

import dataclasses
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

import neocog
from neocog import runs
from neocog.runs.training import outcome
from neocog.settings import Settings, settings_for, train_command

SETTINGS = Settings("lines", "tiny-cnn", 3, 0.12, 0.0, 0.0, 18, 5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    runs.train(SETTINGS, out, stream=io.StringIO())
    return out


def same_model(one, other):
    a, b = neocog.load(one / "model.neocog"), neocog.load(other / "model.neocog")
    one, two = ({**network.params, **network.buffers} for network in (a, b))
    return all(np.array_equal(one[name], two[name]) for name in one)


def test_a_run_killed_before_its_first_checkpoint_begins_anew(whole, tmp_path):
    killed = tmp_path / "killed"
    killed.mkdir()
    shutil.copy(whole / "config.json", killed)
    (killed / "log.txt").write_text("")
    (killed / ".0123.part").write_bytes(b"half")
    stream = io.StringIO()
    runs.resume(killed, stream=stream)
    assert "before its first checkpoint: it begins anew" in stream.getvalue()
    assert same_model(whole, killed)
    assert not list(killed.glob(".*"))


def test_a_directory_in_which_nothing_began_can_be_used(whole, tmp_path):
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "log.txt").write_text("")
    (begun / ".0123.part").write_bytes(b"half")
    runs.train(SETTINGS, begun, stream=io.StringIO())
    assert same_model(whole, begun)
    assert not list(begun.glob(".*"))


def test_a_directory_with_anything_else_cannot(whole, tmp_path):
    for name in ("config.json", "mine.txt"):
        other = tmp_path / name
        other.mkdir()
        (other / name).write_text("{}")
        with pytest.raises(FileExistsError, match="already exists; name another directory, or resume it"):
            runs.train(SETTINGS, other, stream=io.StringIO())
        assert (other / name).read_text() == "{}"


HOLD = """
import sys
from neocog.runs import RunDirectory
with RunDirectory(sys.argv[1]).open_log():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time(whole, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    before = (run / "model.neocog").read_bytes()
    command = [sys.executable, "-c", HOLD, str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(FileExistsError, match=f"another process is training in {run}"):
            runs.resume(run, epochs=4, stream=io.StringIO())
        holder.kill()
    assert (run / "model.neocog").read_bytes() == before
    assert len(runs.resume(run, epochs=4, stream=io.StringIO()).history) == 5  # free again: it was killed


def test_of_two_that_start_at_once_one_is_refused(tmp_path):
    command = [
        sys.executable,
        "-m",
        "neocog",
        "train",
        "lines",
        "--no-report",
        "--out",
        str(tmp_path / "run"),
    ]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=300)[1] for process in started]
    assert sorted(process.returncode for process in started) == [0, 2], errors
    assert any("name another directory" in text for text in errors)
    assert neocog.load(tmp_path / "run/model.neocog").parameter_count == 114


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
@pytest.mark.parametrize("limit", [0, 100, 1000, 5000])
def test_a_full_disk_names_the_file_and_is_no_dead_end(whole, tmp_path, limit):
    code = """
import io, resource, signal, sys
from neocog import runs
from neocog.settings import Settings
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    runs.train(Settings("lines", "tiny-cnn", 3, 0.12, 0.0, 0.0, 18, 5), sys.argv[1], stream=io.StringIO())
except OSError as error:
    print(error.filename)
"""
    run = tmp_path / "run"
    command = [sys.executable, "-c", code, str(run), str(limit)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert os.path.dirname(result.stdout.strip()) == str(run), result
    if (run / "config.json").exists():
        runs.resume(run, stream=io.StringIO())
    else:
        runs.train(SETTINGS, run, stream=io.StringIO())
    assert same_model(whole, run)


def test_batches_that_cannot_be_trained_on_leave_no_directory(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=rng.random((52, 1, 16, 16), np.float32), y=np.arange(52) % 2)
    settings = Settings(f"npz:{tmp_path / 'x.npz'}", "resnet18", 1, 0.1, 0.0, 0.0, 40, 0)
    images = len(neocog.data.load_npz(tmp_path / "x.npz").train[1])
    settings = dataclasses.replace(settings, batch_size=images - 1)
    with pytest.raises(ValueError, match="batch_size must not leave a last batch of one image"):
        runs.train(settings, tmp_path / "out", stream=io.StringIO())
    assert not (tmp_path / "out").exists()


# What a run chooses, measures and says


class InterruptedAfter(io.StringIO):
    """Presses Ctrl-C when a run says that an epoch is over."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def write(self, text):
        if text.startswith(f"epoch {self.epoch}/"):
            signal.raise_signal(signal.SIGINT)
        return super().write(text)


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    """An archive of 60 dark and 130 bright images, hard to tell apart."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [60, 130])
    x = np.clip(rng.normal(0.45 + 0.1 * y[:, None, None, None], 0.25, (190, 1, 8, 8)), 0, 1)
    path = tmp_path_factory.mktemp("data") / "bright.npz"
    np.savez(path, x=x.astype("float32"), y=y)
    return f"npz:{path}"


def short(source, **chosen):
    return settings_for(source, **({"epochs": 6, "filters": (4,), "batch_size": 16, "lr": 0.01} | chosen))


OPTIONS = [
    {},
    {"early_stopping": 2, "keep_best": "accuracy", "optimizer": "nadam", "clip_norm": 0.1},
    {"schedule": "plateau", "optimizer": "nesterov", "lr": 0.9, "augment": "flips-shift"},
    {"schedule": "warm-restarts", "optimizer": "rmsprop", "class_weight": "none", "early_stopping": 3},
    {"schedule": "polynomial", "optimizer": "adam", "validation": 0, "normalize": "none"},
    {"recipe": "plain", "network": "digits-cnn", "filters": None},
    {"recipe": "best", "filters": None},
]


@pytest.mark.parametrize(
    "options", OPTIONS, ids=["standard", "stopping", "plateau", "restarts", "polynomial", "plain", "best"]
)
def test_an_interrupted_run_ends_bit_for_bit_as_one_that_was_not(bright, tmp_path, options):
    settings = short(bright, **options)
    whole = runs.train(settings, tmp_path / "whole", io.StringIO())
    parts = runs.train(settings, tmp_path / "parts", InterruptedAfter(2))
    assert parts.history.stopped == "interrupted"
    assert len(parts.history.rows) == 3
    assert parts.held_out is None  # nothing is reported before the end
    assert not same_model(tmp_path / "whole", tmp_path / "parts")
    resumed = runs.resume(tmp_path / "parts", stream=io.StringIO())
    assert same_model(tmp_path / "whole", tmp_path / "parts")
    for column in ("train_loss", "val_loss", "running_loss", "lr"):
        assert repr(resumed.history[column]) == repr(whole.history[column])
    assert resumed.history.stopped == whole.history.stopped
    assert resumed.to_dict() == whole.to_dict()
    first, second = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("whole", "parts"))
    assert first == second


def test_a_run_measures_held_out_images_that_chose_nothing(bright, tmp_path):
    stream = io.StringIO()
    result = runs.train(short(bright), tmp_path / "run", stream)
    directory, settings = result.directory, result.directory.settings()
    data = runs.open_images(settings)
    (train, labels), (held_out, truth) = directory.open_data()
    config = json.loads(directory.config.read_text())
    assert (len(labels), len(truth)) == (129, 38)
    assert config["images"] == {"training": 129, "validation": 23, "held-out": 38}  # 15 % of 152, 20 % of 190
    np.testing.assert_array_equal(held_out, data.validation[0])
    assert not {x.tobytes() for x in train} & {x.tobytes() for x in held_out}
    # The kept epoch has the lowest loss on the validation images, and its weights are the model's.
    losses = result.history["val_loss"]
    assert result.kept_epoch == int(np.argmin(losses))
    network = neocog.load(directory.model)
    assert result.held_out.accuracy == (network.predict(held_out) == truth).mean()
    assert config["held_out"]["accuracy"] == result.held_out.accuracy
    assert config["held_out"]["images"] == 38
    low, high = config["held_out"]["accuracy_interval"]
    assert low < result.held_out.accuracy < high
    assert set(config["baselines"]) == {"random forest", "SVC"}
    said = stream.getvalue()
    for line in (
        *config["data_summary"],
        *config["chosen"],
        f"kept epoch {result.kept_epoch} of 6",
        "random forest",
    ):
        assert line[1:] in said
    assert said in directory.log.read_text() + said
    assert config["chosen"][0][1:] in directory.log.read_text()
    assert "| validation: loss" in said
    assert "held-out images, which decide nothing" not in said


def test_weights_of_classes_are_those_of_the_images_trained_on(bright, tmp_path):
    result = runs.train(short(bright), tmp_path / "run", io.StringIO())
    (_, labels), _ = result.directory.open_data()
    counts = np.bincount(labels)
    assert result.directory.settings().class_weight == "balanced"
    expected = len(labels) / (2 * counts)
    np.testing.assert_allclose(result.network.class_weight, expected)
    np.testing.assert_allclose(neocog.load(result.directory.model).class_weight, expected)


def test_the_leading_layer_holds_mean_and_deviation_of_the_images_trained_on(bright, tmp_path):
    network = runs.train(short(bright), tmp_path / "run", io.StringIO()).network
    (images, _), _ = runs.RunDirectory(tmp_path / "run").open_data()
    assert next(iter(network.children)) == "normalize"
    np.testing.assert_allclose(network.buffers["normalize.mean"], images.mean(), rtol=1e-5)
    np.testing.assert_allclose(network.buffers["normalize.std"], images.std(), rtol=1e-5)


def test_the_command_that_is_said_to_reproduce_a_run_does(bright, tmp_path):
    from typer.testing import CliRunner

    from neocog.cli import app

    settings = settings_for(bright, filters=(4,), minutes=0.0001)
    runs.train(settings, tmp_path / "run", io.StringIO())
    settings = runs.RunDirectory(tmp_path / "run").settings().to_dict()
    command = train_command(settings.pop("source"), settings | {"out": tmp_path / "again"})
    words = shlex.split(command)[1:]
    result = CliRunner().invoke(app, [*words, "--no-report"])
    assert result.exit_code == 0, result.output
    assert same_model(tmp_path / "run", tmp_path / "again")


@pytest.mark.parametrize("epochs", [None, 6])
def test_a_finished_run_says_so(bright, tmp_path, epochs):
    whole = runs.train(short(bright), tmp_path / "run", io.StringIO())
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    stream = io.StringIO()
    again = runs.resume(tmp_path / "run", epochs, stream)
    assert "run is finished: all 6 epochs are trained; train anew, with more epochs" in stream.getvalue()
    assert again.to_dict() == whole.to_dict()
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_finished_run_says_how_it_can_be_extended(whole, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    stream = io.StringIO()
    runs.resume(run, stream=stream)
    assert "all 3 epochs are trained; for more, resume it with --epochs 6" in stream.getvalue()
    assert len(runs.resume(run, epochs=6, stream=io.StringIO()).history) == 7


def test_a_run_that_stopped_early_says_why_it_is_finished(bright, tmp_path):
    settings = short(bright, early_stopping=1, lr=0.5, optimizer="sgd", schedule="constant", epochs=40)
    result = runs.train(settings, tmp_path / "run", io.StringIO())
    stopped = result.history.stopped
    assert "has not improved for 1 epoch;" in stopped
    stream = io.StringIO()
    runs.resume(tmp_path / "run", 50, stream)
    assert f"as {stopped}. Train anew." in stream.getvalue()


def test_the_textbooks_runs_measure_what_they_held_out_and_choose_nothing(whole):
    config = json.loads((whole / "config.json").read_text())
    assert (config["chosen"], config["kept_epoch"], config["baselines"]) == ([], None, {})
    history = neocog.training.History.from_json(whole / "history.json")
    assert config["held_out"]["accuracy"] == history.last["val_accuracy"]
    log = (whole / "log.txt").read_text()
    assert "show the held-out images, which decide nothing" in log
    assert log.count("| held out: loss") == 1 + history.last["epoch"]
    assert "validation" not in log


def test_a_class_of_one_image_leaves_nothing_to_hold_out(tmp_path):
    from typer.testing import CliRunner

    from neocog.cli import app

    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "few.npz", x=rng.random((6, 1, 8, 8)).astype("float32"), y=np.array([0, 0, 0, 0, 0, 1])
    )
    words = ["train", f"npz:{tmp_path / 'few.npz'}", "--epochs", "2", "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "No image is held out, so that no accuracy can be reported" in said
    assert "every class needs at least two images to hold one out, class 1 has one" in said
    assert "No validation images: class '1' has 1 training image, fewer than 20" in said
    assert (tmp_path / "run" / "report.html").exists()
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["images"], config["held_out"]) == ({"training": 6, "validation": 0, "held-out": 0}, None)
    again = CliRunner().invoke(app, ["train", "--resume", str(tmp_path / "run")])
    assert again.exit_code == 0, again.output


def test_that_the_untrained_network_was_kept_is_said():
    settings = settings_for("lines", keep_best="loss")
    first, warning = outcome({"kept_epoch": 0}, settings, 5)
    assert first == "kept epoch 0 of 5: the lowest loss on the validation images"
    assert warning.startswith("warning: that is the untrained network")
    assert len(outcome({"kept_epoch": 3}, settings, 5)) == 1
