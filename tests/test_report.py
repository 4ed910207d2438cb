import dataclasses
import html
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import neocog
from neocog import figures, report, runs
from neocog.cli import app
from neocog.data import Split
from neocog.data.sources import SOURCES, Source
from neocog.report import held_out, numbers, write_report
from neocog.settings import Settings, default_settings, settings_for


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
    assert page.count("plotly.js (cartesian - minified) v") == 1
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
        "Misclassified images",
        "What the predictions rest on",
        "One image, layer by layer",
        "One number explained",
        "Gradients",
        "Reproduce",
    ],
)
def test_every_part_is_there(page, heading):
    assert f"<h2>{heading}</h2>" in page


def test_attributions_say_what_is_wrong(page):
    captions = [html.unescape(words) for words in re.findall(r'"text":"(image \d+: [^"]*)"', page)]
    assert len(captions) == 4
    assert sum(bool(re.fullmatch(r"image \d+: \d", words)) for words in captions) == 2
    assert sum(bool(re.fullmatch(r"image \d+: \d (→|\\u2192) \d", words)) for words in captions) == 2


def test_the_curves_name_the_images_held_out(page):
    assert '"name":"held out"' in page  # none were set apart to choose by
    assert '"name":"validation"' not in page


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


def test_names_are_text_and_not_markup_and_the_commands_name_what_they_make(tmp_path, rng):
    (tmp_path / "my data").mkdir()
    file, x = tmp_path / "my data" / "d.npz", rng.random((20, 8, 8)).astype(np.float32)
    names = np.array(["<script>alert(1)</script>", "b & c"])
    np.savez(file, x=x, y=np.arange(20) % 2, class_names=names)
    run = runs.train(settings_for(f"npz:{file}", epochs=1), tmp_path / "run", stream=io.StringIO())
    page = read(run.directory.path)
    assert "<script>alert(1)" not in page
    page = html.unescape(page)
    assert f"neocog train 'npz:{file}' " in page
    assert "--out run-again\nneocog evaluate run-again" in page


def test_the_source_is_opened_once(digits_run, tmp_path, monkeypatch):
    opened = []
    entry = SOURCES["digits"]
    monkeypatch.setitem(
        SOURCES, "digits", dataclasses.replace(entry, load=lambda: opened.append(1) or entry.load())
    )
    write_report(digits_run, tmp_path / "a.html")
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("history", "snapshots"),
    [
        (b"[" * 100_000, b"PK\x03\x04"),
        (b'{"stopped": "", "rows": []}', b""),
        (b'{"stopped": "", "rows": [{"epoch": 1}]}', b""),
        (b"\xff\x00", b""),
        (None, b""),
    ],
)
def test_a_damaged_side_file_costs_its_part_only(digits_run, tmp_path, history, snapshots):
    run = tmp_path / "run"
    shutil.copytree(digits_run, run)
    file = run / "history.json"
    file.unlink() if history is None else file.write_bytes(history)
    (run / "snapshots.neocog").write_bytes(snapshots)
    page = write_report(run).read_text(encoding="utf-8")
    assert page.split("<h2>Learning curves</h2>")[1].startswith("<p><b>A part is missing here:</b>")
    assert f"A part is missing here:</b> {file}" in page or history is None
    assert "as they changed in training" not in page
    assert f"A part is missing here:</b> {run / 'snapshots.neocog'}" in page
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


def trained(tmp_path, x, y, **settings):
    """Train for one epoch, by the plain recipe, on images in an npz file; return the run directory."""
    np.savez(tmp_path / "data.npz", x=x, y=y)
    settings = settings_for(f"npz:{tmp_path / 'data.npz'}", recipe="plain", epochs=1, **settings)
    return runs.train(settings, tmp_path / "run", stream=io.StringIO()).directory.path


def read(run):
    return write_report(run).read_text(encoding="utf-8")


def traces(page):
    """The traces of all figures of a page."""
    decode = json.JSONDecoder().raw_decode
    lists = [decode(page, at.end())[0] for at in re.finditer(r'Plotly.newPlot\(\s*"[^"]+",\s*', page)]
    return [trace for found in lists for trace in found]


def test_no_heading_twice(page):
    headings = re.findall(r"<h[123]>(.*?)</h[123]>", page)
    assert len(headings) == len(set(headings))
    assert not re.findall(r'"title":\s*\{"text":\s*"(?:Learning curves|Learned filters|Confusion)', page)


@pytest.mark.parametrize("channels", [2, 5])
def test_images_of_any_number_of_channels(tmp_path, rng, channels):
    page = read(trained(tmp_path, rng.random((40, channels, 12, 12)), np.arange(40) % 2))
    assert "A part is missing" not in page
    assert f"Drawn is the mean of the {channels} channels" in page


def test_kernels_over_colours_are_colour_pictures(tmp_path, rng):
    run = trained(tmp_path, rng.random((40, 3, 12, 12)), np.arange(40) % 2)
    page = read(run)
    assert "A part is missing" not in page
    filters = len(neocog.load(run / "model.neocog").params["conv1.weight"])
    assert sum(trace.get("name", "").endswith("in colour") for trace in traces(page)) == filters


def test_a_report_of_many_colour_images_is_small(tmp_path, rng):
    run = trained(tmp_path, rng.random((450, 3, 48, 48)).astype("f4"), np.arange(450) % 3)
    assert write_report(run).stat().st_size < 4_000_000


def test_files_are_named(tmp_path, rng, monkeypatch):
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for k in range(10):
            pixels = rng.integers(0, 255, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{name} & {k}.png")
    monkeypatch.chdir(tmp_path)
    settings = settings_for("pets", recipe="plain", epochs=1)
    run = runs.train(settings, tmp_path / "run", stream=io.StringIO()).directory.path
    page = html.unescape(read(run))
    network = neocog.load(run / "model.neocog")
    images, labels = runs.RunDirectory(run).open_data()[1]
    wrong = network.predict(np.asarray(images)) != labels
    assert wrong.any()
    listed = page.split("Misclassified images</h2>")[1].split("<h2>")[0]
    for path, missed in zip(images.paths, wrong, strict=True):
        assert (f"<td>{path.parent.name}/{path.name}</td>" in listed) == missed


def test_the_tone_is_the_data_s(page, tmp_path, rng):
    assert "1 is drawn as ink, 0 as paper." in page
    photographs = read(trained(tmp_path, rng.random((40, 1, 8, 8)), np.arange(40) % 2))
    assert "1 is drawn white, 0 black." in photographs
    scale = [[0.0, "#000000"], [1.0, "#ffffff"]]
    assert any(trace.get("colorscale") == scale for trace in traces(photographs))
    assert not any(trace.get("colorscale") == scale for trace in traces(page))


def test_what_is_said_of_each_class(tmp_path, rng):
    """Two classes, 9 and 1 images held out; all are classified as the first one."""
    run = trained(tmp_path, rng.random((50, 1, 8, 8)), np.repeat([0, 1], [45, 5]))
    network = neocog.load(run / "model.neocog")
    for name, array in network.params.items():
        array[...] = np.array([5.0, 0.0]) if name == "dense.bias" else 0.0
    network.class_weight = (1.0, 1.5)
    neocog.save(network, run / "model.neocog")
    page = read(run)
    assert "Trained with class weights, so that no class is neglected" in page
    assert "<b>90.0%</b>" in page
    assert "balanced accuracy" in page
    assert "<b>50.0%</b>" in page
    row = '<td>{}</td><td>{}</td><td class="n">{}</td><td class="n">{}</td><td class="n">{}</td>'
    assert row.format(0, 0, 9, "100.0%", "90.0%") in page
    assert row.format(1, 1, 1, "0.0%", "–") in page


@pytest.mark.parametrize("error", [RuntimeError("no way"), MemoryError("too much"), ValueError("bad")])
def test_a_part_that_fails_costs_its_part_only(digits_run, tmp_path, monkeypatch, error):
    def fail(*arguments, **settings):
        raise error

    monkeypatch.setattr(figures, "confusion_matrix", fail)
    page = write_report(digits_run, tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.count("A part is missing here:") == 1
    assert str(error) in page.split("<h2>Correct and wrong</h2>")[1].split("<h2>")[0]
    assert "<h2>Gradients</h2>" in page


def test_training_says_that_it_writes_a_report_and_is_not_undone_by_it(tmp_path, monkeypatch):
    def fail(run):
        raise RuntimeError("no way")

    command = ["train", "lines-b", "--epochs", "1", "--out"]
    result = CliRunner().invoke(app, [*command, str(tmp_path / "a")])
    assert result.exit_code == 0
    said = result.stdout
    assert said.index("epoch 1/1") < said.index("writing the report ...") < said.index("report: ")
    monkeypatch.setattr(report, "write_report", fail)
    result = CliRunner().invoke(app, [*command, str(tmp_path / "b")])
    assert result.exit_code == 0
    assert "report: " not in result.stdout
    assert f"no report: RuntimeError: no way; try again: neocog report {tmp_path / 'b'}" in result.stderr


def test_a_large_network_is_looked_at_in_parts(digits_run, tmp_path, monkeypatch):
    """As if the digits' network were a large one: what would take long is said."""
    flops = neocog.load(digits_run / "model.neocog").summary(show=False).flops
    monkeypatch.setattr(numbers, "BUDGET", 60 * flops)
    monkeypatch.setattr(held_out, "BUDGET", 20 * flops)
    page = write_report(digits_run, tmp_path / "a.html").read_text(encoding="utf-8")
    assert "along one random direction through all 7 arrays" in page
    assert '<span class="good">passed</span>' in page
    assert "Left out: integrated gradients and occlusion, which would take long" in page
    monkeypatch.setattr(numbers, "DIRECTIONAL", 1)
    page = write_report(digits_run, tmp_path / "a.html").read_text(encoding="utf-8")
    assert (
        f"Left out, as it takes long for so large a network: <code>neocog check-gradients {digits_run}"
        in page
    )
    monkeypatch.setattr(numbers, "MOST_PARAMETERS", 1000)
    page = write_report(digits_run, tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.count("Left out, as it needs copies of all 1,898 parameters") == 2


def test_the_derivative_along_a_direction_finds_a_wrong_gradient(rng):
    network = neocog.models.tiny_cnn(seed=1, dtype="float64")
    x, t = rng.normal(size=(2, 1, 8, 8)), np.array([0, 1])
    assert "passed" in numbers._directional(network, x, t)
    right = network.backward

    def backward(dy, cache, input_grad=True):
        dx, grads = right(dy, cache)
        return dx, grads | {"dense.bias": grads["dense.bias"] * 1.001}

    network.backward = backward
    assert "failed" in numbers._directional(network, x, t)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of pictures that a network tells apart."""
    path, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name, level in (("bright", 200), ("dark", 50)):
        (path / name).mkdir()
        for k in range(40):
            pixels = np.clip(rng.normal(level, 60, (8, 8)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(path / name / f"{k}.png")
    return path


def test_which_epoch_was_kept_and_what_was_chosen(folder, tmp_path):
    settings = settings_for(f"folder:{folder}", epochs=3)
    result = runs.train(settings, tmp_path / "run", stream=io.StringIO())
    page = html.unescape(read(result.directory.path))
    assert result.kept_epoch is not None
    assert f"Kept epoch {result.kept_epoch} of 3: the lowest loss on the validation images." in page
    assert f'"text":"epoch {result.kept_epoch} kept"' in page
    assert '"name":"validation"' in page
    assert "<p>2 classes: " in page
    for line in result.chosen:
        assert f"<li>{line}</li>" in page


def test_a_run_that_holds_out_nothing_has_a_report(tmp_path, rng, monkeypatch):
    x, y = rng.random((20, 1, 8, 8)).astype("f4"), np.arange(20) % 2
    monkeypatch.setitem(SOURCES, "few", Source(lambda: Split((x, y)), "few images"))
    result = runs.train(settings_for("few", epochs=1), tmp_path / "run", stream=io.StringIO())
    assert result.held_out is None
    page = read(result.directory.path)
    assert "A part is missing" not in page
    assert "No images are held out: these accuracies say nothing of new images." in page
    assert "of the training images correct" in page
    x[0, 0, 0, 0] += 1
    with pytest.raises(ValueError, match="few has changed since the run"):
        write_report(result.directory.path)
