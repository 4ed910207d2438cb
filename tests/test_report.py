import dataclasses
import html
import io
import re
import shutil

import numpy as np
import pytest

import neocog
from neocog import runs
from neocog.data.sources import SOURCES
from neocog.report import write_report
from neocog.settings import Settings, default_settings


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "digits"
    runs.train(default_settings("digits"), out, stream=io.StringIO())
    return out


@pytest.fixture(scope="module")
def page(digits_run):
    return write_report(digits_run).read_text(encoding="utf-8")


def test_the_page_needs_nothing_else(page):
    outside = re.sub(r"<script>.*?</script>", "", page, count=1, flags=re.DOTALL)  # Plotly's own text
    assert not re.findall(r'(?:src|href)="', outside)
    assert page.count("plotly.js v") == 1
    assert 'name="viewport"' in page


@pytest.mark.parametrize(
    "heading",
    [
        "Learning curves",
        "Settings",
        "The network",
        "What it was trained on",
        "Filters",
        "Correct and wrong",
        "One image, layer by layer",
        "One number explained",
        "Gradients",
        "Reproduce",
    ],
)
def test_every_part_is_there(page, heading):
    assert f"<h2>{heading}</h2>" in page


def test_it_says_what_was_measured(page):
    assert "<b>97.1%</b>" in page
    assert "13 of 450 held-out images are misclassified" in page
    assert "1,898" in page
    assert '<span class="good">passed</span>' in page
    assert "neocog train digits --network digits-cnn --epochs 10 --lr 0.05" in page


def test_a_network_without_convolutions(tmp_path):
    settings = Settings("lines-b", "tiny-mlp", 3, 0.12, 0.0, 0.0, 18, 5)
    runs.train(settings, tmp_path / "run", stream=io.StringIO())
    page = write_report(tmp_path / "run", tmp_path / "mlp.html").read_text(encoding="utf-8")
    assert "<h2>Filters</h2>" not in page
    assert "<h2>One number explained</h2>" in page
    assert not (tmp_path / "run" / "report.html").exists()


def test_names_are_text_and_not_markup(tmp_path, rng):
    x = rng.random((20, 8, 8)).astype(np.float32)
    names = np.array(["<script>alert(1)</script>", "b & c"])
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(20) % 2, class_names=names)
    settings = default_settings(f"npz:{tmp_path / 'data.npz'}")
    run = runs.train(settings, tmp_path / "run", stream=io.StringIO())
    page = write_report(run.directory.path).read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page


def test_the_source_is_opened_once(digits_run, tmp_path, monkeypatch):
    opened = []
    entry = SOURCES["digits"]
    monkeypatch.setitem(
        SOURCES, "digits", dataclasses.replace(entry, load=lambda: opened.append(1) or entry.load())
    )
    write_report(digits_run, tmp_path / "a.html")
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("history.json", b"[" * 100_000, "<h2>Learning curves</h2>"),
        ("history.json", b'{"stopped": "", "rows": []}', "<h2>Learning curves</h2>"),
        ("history.json", b'{"stopped": "", "rows": [{"epoch": 1}]}', "<h2>Learning curves</h2>"),
        ("history.json", b"\xff\x00", "<h2>Learning curves</h2>"),
        ("history.json", None, "<h2>Learning curves</h2>"),
        ("snapshots.neocog", b"PK\x03\x04", "How they changed in training"),
        ("snapshots.neocog", b"", "How they changed in training"),
    ],
)
def test_a_damaged_side_file_costs_its_part_only(digits_run, tmp_path, name, content, part):
    run = tmp_path / "run"
    shutil.copytree(digits_run, run)
    (run / name).unlink() if content is None else (run / name).write_bytes(content)
    page = write_report(run).read_text(encoding="utf-8")
    assert part not in page
    assert f"A part is missing here:</b> {run / name}" in page or content is None
    assert "<h2>Correct and wrong</h2>" in page


def test_a_flipped_digit_in_the_history_is_noticed(digits_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(digits_run, run)
    text = (run / "history.json").read_text()
    (run / "history.json").write_text(text.replace('"val_loss": 0.1', '"val_loss": 0.2', 1))
    assert f"{run / 'history.json'} is damaged" in write_report(run).read_text(encoding="utf-8")


def test_what_is_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="has its training ended"):
        write_report(tmp_path)
    neocog.save(neocog.models.tiny_cnn(), tmp_path / "model.neocog")
    with pytest.raises(FileNotFoundError, match="is not a run directory"):
        write_report(tmp_path)


def test_the_commands_name_what_they_make(tmp_path, rng):
    (tmp_path / "my data").mkdir()
    np.savez(tmp_path / "my data" / "d.npz", x=rng.random((20, 8, 8)), y=np.arange(20) % 2)
    settings = default_settings(f"npz:{tmp_path / 'my data' / 'd.npz'}")
    run = runs.train(settings, tmp_path / "run", stream=io.StringIO())
    page = html.unescape(write_report(run.directory.path).read_text(encoding="utf-8"))
    assert f"neocog train 'npz:{tmp_path}/my data/d.npz' " in page
    assert "--out run-again\nneocog evaluate run-again" in page
