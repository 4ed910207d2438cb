"""How a run's pictures are read: sources by path, options, and that a run keeps them all."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from neocog import runs, sweeps
from neocog.cli import app
from neocog.data import Preprocessing
from neocog.data.sources import open_source, split_source
from neocog.settings import Settings, settings_for, train_command
from neocog.sweeps.grid import parse_grid

RNG = np.random.default_rng(0)


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "400"})
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def pictures(root, names=("cat", "dog"), count=8, size=(8, 8), flat=False):
    """Write dark cats and bright dogs."""
    for k, name in enumerate(names):
        for n in range(count):
            path = root / (f"{name}.{n}.png" if flat else f"{name}/{n}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = RNG.integers(120 * k, 120 * k + 100, (size[0] + n % 2, size[1]), np.uint8)
            Image.fromarray(pixels).save(path)
    return root


def idx_files(folder):
    folder.mkdir(parents=True)
    for name, array in (("images-idx3", np.zeros((8, 4, 4))), ("labels-idx1", np.arange(8) % 2)):
        header = bytes((0, 0, 8, array.ndim)) + b"".join(size.to_bytes(4, "big") for size in array.shape)
        (folder / f"train-{name}-ubyte").write_bytes(header + array.astype(np.uint8).tobytes())


def test_the_kind_of_a_path_is_recognised(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "photos")
    pictures(tmp_path / "both" / "train")
    np.savez("x.npz", x=np.zeros((4, 2, 2)), y=[0, 1, 0, 1])
    for name in ("table.csv", "tables/train.csv", "both/train.csv", "c:\\.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("label,a,b,c,d\n0,1,2,3,4\n1,1,2,3,4\n")
    idx_files(tmp_path / "mnist")
    idx_files(tmp_path / "torch" / "MNIST" / "raw")
    kinds = {
        "photos": "folder", "./photos/": "folder", str(tmp_path / "photos"): "folder", "both": "folder",
        "x.npz": "npz", "table.csv": "csv", "tables": "csv", "c:\\.csv": "csv",
        "mnist": "idx", "torch": "idx", "torch/MNIST": "idx", "torch/MNIST/raw": "idx",
        "mnist/train-images-idx3-ubyte": "idx",
    }  # fmt: skip
    for source, kind in kinds.items():
        assert split_source(source) == (kind, os.path.abspath(source)), source
        if kind == "idx":
            assert len(open_source(source, validation_fraction=0).train[1]) == 8


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.png", r"a\.png is one picture; name the folder"),
        ("a.zip", r"a\.zip is an archive; unpack it"),
        ("a.npy", r"a\.npy is a single array; save images x and labels y"),
        ("a.pdf", r"a\.pdf is neither a folder nor .*; name the kind: folder:PATH, npz:PATH"),
    ],
)
def test_files_that_are_no_source(tmp_path, name, message):
    (tmp_path / name).write_text("hello")
    with pytest.raises(ValueError, match=message):
        split_source(str(tmp_path / name))


def test_built_in_sources_win_over_folders_and_say_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "digits")
    split = open_source("digits")
    assert split.image_shape == (1, 8, 8)
    assert split.notes[0] == "digits is built in; for the folder or file of this name pass ./digits."
    assert open_source("./digits").class_names == ("cat", "dog")
    assert settings_for("./digits").source == f"folder:{tmp_path}/digits"
    (tmp_path / "lines").write_text("")
    assert "pass ./lines" in open_source("lines").notes[0]
    assert not open_source("lines-b").notes


def test_an_option_that_no_source_has():
    with pytest.raises(TypeError, match="open_source has no option 'colour'; there are"):
        open_source("digits", colour=3)


READING = {
    "channels": 3,
    "fit": "pad",
    "label_pattern": "^(.+?)[.]",
    "group_by": r"[.](\d)",
    "skip_bad": True,
}


def test_settings_of_how_pictures_are_read():
    of_tables = {"images": None, "file_column": None, "label_column": None}
    found = settings_for("folder:x", size=9, **READING).reading
    assert found == READING | of_tables | {"size": 9, "several_labels": False}
    of_tables = {"images": os.path.abspath("pictures"), "file_column": "f", "label_column": "a,b"}
    found = settings_for("csv:x", images="pictures", file_column="f", label_column="a,b").reading
    assert found.items() > of_tables.items()
    for option in of_tables:
        with pytest.raises(ValueError, match=f"{option} is only allowed for csv:PATH, got source 'folder:x'"):
            Settings("folder:x", **{option: "x"})
        with pytest.raises(TypeError, match=f"{option} must be text, got 3"):
            Settings("csv:x", **{option: 3})
    for option, value in READING.items():
        with pytest.raises(ValueError, match=f"{option} is only allowed for folder:PATH"):
            Settings("digits", **{option: value})
    for option, value, error in (
        ("channels", 2, ValueError), ("fit", "fill", ValueError), ("skip_bad", 1, TypeError),
        ("label_pattern", "(", ValueError), ("group_by", "x", ValueError), ("channels", "3", TypeError),
    ):  # fmt: skip
        with pytest.raises(error, match=option):
            Settings("folder:x", **{option: value})
    command = train_command("photos", {"skip_bad": True, "fit": None, "group_by": "^(.) "})
    assert command == "neocog train photos --skip-bad --group-by '^(.) '"
    assert "skip-bad" not in train_command("photos", {"skip_bad": False})


def test_a_run_reads_its_pictures_as_it_began(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "photos", flat=True)
    (tmp_path / "photos" / "cat.bad.png").write_text("hello")
    options = ["--label-pattern", "^(.+?)[.]", "--group-by", r"([^/]+)$", "--fit", "crop", "--channels", "3"]
    line = ["train", "photos", "--recipe", "plain", "--epochs", 1, "--no-report", "--json", *options]
    assert "cat.bad.png is not an image" in run(*line, code=2).stdout
    result = json.loads(run(*line, "--skip-bad").stdout)
    directory = runs.RunDirectory(result["run"])
    settings = directory.settings()
    assert (settings.channels, settings.fit, settings.skip_bad) == (3, "crop", True)
    config = json.loads(directory.config.read_text())
    assert Preprocessing.from_dict(config["preprocessing"]) == Preprocessing(3, (8, 8), "crop")
    assert runs.open_model(directory.path).preprocessing == Preprocessing(3, (8, 8), "crop")

    (tmp_path / "photos" / "cat.bad.png").unlink()
    prints = runs.RunDirectory(result["run"]).open_split().fingerprint()
    assert prints == config["data"]
    assert runs.resume(directory.path, 2, io.StringIO()).history.last["epoch"] == 2
    assert json.loads(run("evaluate", directory.path, "--json").stdout)["images"] == 4
    pictures(tmp_path / "new", ("dog",), 3, (20, 30), flat=True)
    assert json.loads(run("evaluate", directory.path, "new", "--json").stdout)["images"] == 3
    run("predict", directory.path, tmp_path / "new" / "dog.0.png")


def test_what_was_chosen_does_not_change_with_the_pictures(tmp_path):
    pictures(tmp_path / "photos", size=(8, 8))
    settings = settings_for(f"{tmp_path}/photos", epochs=0)
    directory = runs.train(settings, tmp_path / "run", io.StringIO()).directory
    before = directory.open_split().preprocessing
    pictures(tmp_path / "photos", size=(30, 50), count=30)
    assert before.size[0] < 10
    assert directory.open_split().preprocessing == before


def test_a_run_without_preprocessing_keeps_its_shape(tmp_path):
    """As neocog 0.1 wrote them: the first picture's shape, stretched."""
    pictures(tmp_path / "photos", size=(8, 8))
    settings = settings_for(f"{tmp_path}/photos", epochs=0)
    directory = runs.train(settings, tmp_path / "run", io.StringIO()).directory
    config = json.loads(directory.config.read_text())
    del config["preprocessing"]
    config["image_shape"] = [3, 7, 9]
    for new in ("channels", "fit", "label_pattern", "group_by", "skip_bad"):
        del config["settings"][new]
    directory.config.write_text(json.dumps(config))
    assert directory.open_split().preprocessing == Preprocessing(3, (7, 9))


def test_the_same_files_by_another_path_are_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "photos")
    (tmp_path / "link").symlink_to(tmp_path / "photos", target_is_directory=True)
    directory = runs.train(settings_for("photos", epochs=0), tmp_path / "run", io.StringIO()).directory
    for source in (
        "photos",
        "folder:photos",
        "./photos/",
        str(tmp_path / "photos"),
        "link",
        "folder:link/../link",
    ):
        assert directory.is_trained_on(source), source
        assert open_source(source).fingerprint() == open_source("photos").fingerprint()
    pictures(tmp_path / "others")
    for source in ("others", "digits"):
        assert not directory.is_trained_on(source)


def test_sweeps_take_the_options(tmp_path):
    grid = parse_grid(["channels=1,3", "skip_bad=yes", "label_pattern=^(.{1,3})", "fit=crop"])
    assert grid == {"channels": [1, 3], "skip_bad": [True], "label_pattern": ["^(.{1,3})"], "fit": ["crop"]}
    with pytest.raises(ValueError, match="skip_bad must be yes or no with commas between them, got 'maybe'"):
        parse_grid(["skip_bad=maybe"])
    pictures(tmp_path / "photos", flat=True)
    found = sweeps.sweep(
        f"folder:{tmp_path}/photos",
        {"channels": [1, 3], "label_pattern": ["^(.{1,3})"], "epochs": [1], "group_by": [r"[.](\d)"]},
        jobs=1,
    )
    assert [row["parameters"] > 0 for row in found.rows] == [True, True]


def test_evaluating_on_some_of_the_classes(tmp_path):
    pictures(tmp_path / "photos")
    directory = runs.train(
        settings_for(f"{tmp_path}/photos", epochs=1), tmp_path / "run", io.StringIO()
    ).directory
    pictures(tmp_path / "dogs", ("dog",), 3)
    assert json.loads(run("evaluate", directory.path, tmp_path / "dogs", "--json").stdout)["images"] == 3
    pictures(tmp_path / "birds", ("bird", "dog"), 3)
    assert "bird" in run("evaluate", directory.path, tmp_path / "birds", code=2).stderr


def test_broken_metadata_is_not_remarked_on(tmp_path):
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, "JPEG")
    content, exif = stream.getvalue(), b"Exif\0\0MM\0*\0\0\0\x08\0\x09"  # nine entries follow, it says
    block = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    for name in ("a/1", "a/2", "b/1", "b/2"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.jpg").write_bytes(content[:2] + block + content[2:])
    (tmp_path / "c.jpg").write_bytes(b"")
    command = [sys.executable, "-m", "neocog", "train", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("Error: ")
