"""The table of sources: what it holds, what is made from it, and what one more entry needs."""

import io
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from neocog import runs, sweeps
from neocog.cli import app
from neocog.data import Split, digits, line_patterns, load_idx, load_npz
from neocog.data.sources import SOURCES, Source, open_source, source_forms, sources_help, split_source
from neocog.settings import Settings, settings_for

FORMS = ["digits", "lines", "lines-b", "folder:PATH", "npz:PATH", "idx:PATH", "csv:PATH"]


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "400"})
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def test_every_source_has_its_form():
    assert source_forms() == FORMS
    assert source_forms("size") == ["folder:PATH", "csv:PATH"]
    assert source_forms("label_pattern") == ["folder:PATH"]


@pytest.mark.parametrize(
    ("name", "make"),
    [("digits", digits), ("lines", lambda: line_patterns("a")), ("lines-b", lambda: line_patterns("b"))],
)
def test_named_sources(name, make):
    assert split_source(name) == (name, "")
    assert open_source(name).fingerprint() == make().fingerprint()


def test_file_sources(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = np.arange(240, dtype=np.uint8).reshape(10, 4, 6), np.arange(10) % 2
    np.savez("a:b.npz", x=x, y=y)
    assert split_source("npz:a:b.npz") == ("npz", str(tmp_path / "a:b.npz"))  # the first colon counts
    assert open_source("npz:a:b.npz").fingerprint() == load_npz("a:b.npz").fingerprint()
    assert open_source("npz:a:b.npz", validation_fraction=0.4).validation[0].shape == (4, 1, 4, 6)
    assert open_source("npz:a:b.npz", validation_fraction=0).validation is None
    for name, array in (("images-idx3", x), ("labels-idx1", y)):
        sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
        content = bytes((0, 0, 8, array.ndim)) + sizes + array.astype(np.uint8).tobytes()
        (tmp_path / f"train-{name}-ubyte").write_bytes(content)
    assert open_source("idx:.").fingerprint() == load_idx(".").fingerprint()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digit", r"got 'digit'\. Did you mean 'digits'\?"),
        ("line", r"got 'line'\. Did you mean 'lines'\?"),
        ("nzp:a.npz", r"got 'nzp:a\.npz'\. Did you mean 'npz:PATH'\?"),
        ("folder", r"got 'folder'\. Did you mean 'folder:PATH'\?"),
        ("nix", r"got 'nix'\.$"),  # no misspelt idx:PATH
        ("digits:a", r"got 'digits:a'\. Did you mean 'digits'\?"),
        ("photos", r"the path of a folder or file that there is, or one of 'digits', .*, got 'photos'\.$"),
        ("", r"got ''\.$"),
        ("npz:", r"source must name a path, as in npz:PATH, got 'npz:'\."),
    ],
)
def test_what_is_no_source(name, message):
    with pytest.raises(ValueError, match=message):
        split_source(name)


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_the_help_lists_every_source(command):
    text = " ".join(run(command, "--help").stdout.split())
    assert sources_help() in text
    for form, source in zip(source_forms(), SOURCES.values(), strict=True):
        assert f"{form} ({source.help})" in sources_help()
        assert form in run(command, code=2).stderr


def test_only_some_sources_have_a_size():
    assert Settings("folder:photos", size=8).size == 8
    with pytest.raises(
        ValueError, match=r"size is only allowed for folder:PATH and csv:PATH, got source 'digits'"
    ):
        Settings("digits", size=8)


def test_one_entry_is_all_that_a_new_source_needs(monkeypatch, tmp_path):
    """Stripes: training, evaluating, sweeping, settings and messages follow from the entry."""

    def stripes(path, size, validation_fraction):
        x = np.zeros((40, 1, size or 8, size or 8), np.float32)
        x[::2, :, ::2], x[1::2, :, :, ::2] = 1, 1
        y = np.arange(40) % 2
        return Split((x[:30], y[:30]), (x[30:], y[30:]) if validation_fraction else None)

    entry = Source(stripes, "stripes", True, ("size", "validation_fraction"), {"epochs": 2, "lr": 0.25})
    monkeypatch.setitem(SOURCES, "stripes", entry)
    monkeypatch.chdir(tmp_path)
    settings = settings_for("stripes:here", network="tiny-cnn")
    assert (settings.source, settings.epochs, settings.lr) == (f"stripes:{tmp_path}/here", 2, 0.25)
    assert "stripes:PATH (stripes)" in sources_help()
    with pytest.raises(
        ValueError, match=r"only allowed for folder:PATH and csv:PATH and stripes:PATH, got source 'lines'"
    ):
        settings_for("lines", size=3)
    with pytest.raises(ValueError, match=r"Did you mean 'stripes:PATH'"):
        open_source("strips:here")
    assert "stripes:PATH" in run("train", code=2).stderr

    result = json.loads(
        run("train", "stripes:here", "--size", 6, "--network", "tiny-cnn", "--no-report", "--json").stdout
    )
    assert (result["run"], result["epoch"]) == ("runs/here", 2)
    assert json.loads(run("evaluate", "runs/here", "--json").stdout)["images"] == 10
    assert json.loads(run("evaluate", "runs/here/model.neocog", "stripes:x", "--json", code=2).stdout)[
        "error"
    ]
    assert runs.resume("runs/here", 3, io.StringIO()).history.last["epoch"] == 3
    found = sweeps.sweep("stripes:here", {"network": ["tiny-cnn"]}, jobs=1)
    assert found.rows[0]["epoch"] == 2
