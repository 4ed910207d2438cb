import contextlib
import io
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import neocog
from neocog import runs, sweeps
from neocog.cli import app
from neocog.settings import Settings, settings_for
from neocog.sweeps import executors, runner, worker
from neocog.sweeps.grid import checked_grid, checked_seeds, points
from neocog.sweeps.journal import Journal, read
from neocog.sweeps.worker import Failure, Task, selection_data

# Processes that start, wait for each other and are killed: one such test at a time.
pytestmark = pytest.mark.xdist_group("processes")

SLOW = ["--grid", "epochs=12", "--grid", "kernels=im2col"]  # 0.15 s a point or more


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the processes that a test starts


def cli(*arguments, code=0):
    result = CliRunner().invoke(app, ["sweep", *map(str, arguments)])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


HEADER = {
    "neocog_sweep": 1,
    "source": "lines",
    "grid": {"lr": [0.03, 0.12]},
    "seeds": [0],
    "validation_fraction": 0.2,
    "data": "",
    "images": {"training": 144, "validation": 36},
    "versions": {"neocog": neocog.__version__},
}
ROW = {"point": 0, "seed": 0, "error": None, "lr": 0.03, "train_loss": 0.5, "train_accuracy": 0.7}
ROW |= {"val_loss": 0.6, "val_accuracy": 0.8, "seconds": 1.0, "parameters": 9}


def jsonl(*lines):
    return "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)


def numbers(found):
    """All that a result may depend on: its rows but for time and place."""
    return [{k: v for k, v in row.items() if k not in ("seconds", "worker")} for row in found.rows]


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def wait_for_lines(path, count, process):
    for _ in range(1200):
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.025)
    raise AssertionError(f"{path} has not grown to {count} lines.")


def is_alive(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    return False


def process_of(row):
    return int(row["worker"].rpartition(":")[2])


# the grid


def test_a_grid_as_the_command_line_writes_it():
    assert sweeps.parse_grid(["lr=0.01,1e-1", "filters=4,8-16", "batch-size=32", "network=conv-net"]) == {
        "lr": [0.01, 0.1],
        "filters": [(4,), (8, 16)],
        "batch_size": [32],
        "network": ["conv-net"],
    }


def test_every_setting_may_be_varied_but_the_source_and_what_is_pretrained():
    others = {"source", "from_data", "pretrained", "freeze", "rates"}
    others |= {"checkpoint_activations"}  # which changes no number
    assert {*sweeps.GRID_KEYS} == set(Settings.__dataclass_fields__) - others


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lrr=1", "Did you mean 'lr'"),
        ("lr", "lr must be numbers with commas between them, got ''"),
        ("lr=0.1,", "lr must be numbers with commas between them, got ''"),
        ("lr=fast", "lr must be numbers with commas between them, got 'fast'"),
        ("epochs=1.5", "epochs must be integers with commas between them, got '1.5'"),
        ("filters=8x16", "filters must be channels such as 8 or 8-16, got '8x16'"),
        ("network=", "network must be values with commas between them, got ''"),
        ("seed=1,x", "seed must be integers with commas between them, got 'x'"),
    ],
)
def test_a_grid_that_cannot_be_read(text, message):
    with pytest.raises(ValueError, match=message):
        sweeps.parse_grid([text])


def test_a_key_stands_in_a_grid_once():
    with pytest.raises(ValueError, match="each key once, got 'lr' twice"):
        sweeps.parse_grid(["lr=0.1", "lr=0.2"])


@pytest.mark.parametrize(
    ("grid", "error", "message"),
    [
        ([("lr", 1)], TypeError, "grid must be a dict"),
        ({"rate": [1]}, ValueError, "a grid's key must be one of 'recipe', .*'lr'"),
        ({"lr": 0.1}, TypeError, r"grid\['lr'\] must be a list of values, got 0.1"),
        ({"network": "conv-net"}, TypeError, r"grid\['network'\] must be a list of values"),
        ({"lr": []}, ValueError, r"grid\['lr'\] must hold at least one value"),
        ({"lr": [0.1, 0.2, 0.10]}, ValueError, "must hold different values, got 0.1 twice"),
        ({"filters": [8, (8,)]}, ValueError, "must hold different values, got 8 twice"),
    ],
)
def test_a_grid_that_makes_no_sense(grid, error, message):
    with pytest.raises(error, match=message):
        checked_grid(grid)


def test_numpy_values_become_plain_ones():
    grid = checked_grid({"lr": np.array([0.5, 1.0]), "epochs": [np.int64(2)], "filters": [4, [8, 16]]})
    assert grid == {"lr": [0.5, 1.0], "epochs": [2], "filters": [(4,), (8, 16)]}
    json.dumps(grid)


def test_seeds():
    assert checked_seeds(3) == [0, 1, 2]
    assert checked_seeds([42, 7]) == [42, 7]
    with pytest.raises(ValueError, match="seeds must be at least 1, got 0"):
        checked_seeds(0)
    with pytest.raises(ValueError, match=r"at least one, and different, got \[1, 1\]"):
        checked_seeds([1, 1])
    with pytest.raises(ValueError, match=r"at least one, and different, got \[\]"):
        checked_seeds([])
    assert checked_seeds(np.arange(2)) == [0, 1]
    with pytest.raises(TypeError, match="seeds must be an integer"):
        checked_seeds([1.5])


@pytest.mark.parametrize(
    ("grid", "seeds", "count"),
    [
        ({"lr": np.linspace(0, 1, 400), "momentum": np.linspace(0, 0.9, 300)}, 1, 120_000),
        ({"epochs": range(1, 300)}, 400, 119_600),
        ({"epochs": range(10**12)}, 1, 10**12),
        ({}, 10**12, 10**12),
        ({}, range(10**12), 10**12),
    ],
)
def test_a_huge_grid_is_refused_before_it_fills_the_memory(grid, seeds, count):
    with pytest.raises(ValueError, match=f"grid has {count} points; at most 100000"):
        sweeps.sweep("lines", grid, seeds)


def test_the_source_is_a_text():
    with pytest.raises(TypeError, match="source must be a text"):
        sweeps.sweep(3, {})


def test_points_are_all_combinations_each_with_all_seeds():
    found = points("digits", {"lr": [0.1, 0.2], "filters": [(4,), (8, 16)]}, [0, 5])
    assert [(s.lr, s.filters, s.seed) for s in found] == [
        (0.1, (4,), 0),
        (0.1, (4,), 5),
        (0.1, (8, 16), 0),
        (0.1, (8, 16), 5),
        (0.2, (4,), 0),
        (0.2, (4,), 5),
        (0.2, (8, 16), 0),
        (0.2, (8, 16), 5),
    ]
    assert {s.network for s in found} == {"conv-net"}
    assert {s.epochs for s in found} == {10}  # what suits the digits


def test_a_recipe_in_the_grid_brings_its_settings_along():
    plain, best = points("digits", {"recipe": ["plain", "best"]}, [0])
    assert (plain.network, plain.epochs) == ("digits-cnn", 10)
    assert (best.network, best.epochs, best.lr) == ("small-cnn", 30, 0.02)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"lr": [0.1, -1.0]}, r"grid point lr=-1.0: lr must be in \[0, inf\)"),
        ({"epochs": [3], "batch_size": [8, 0]}, "grid point epochs=3, batch_size=0: batch_size must be"),
        (
            {"network": ["digits-cnn"], "filters": [8]},
            "filters are only allowed for the networks 'conv-net' and 'image-cnn'",
        ),
        ({"filters": [(8, 0)]}, "filters must be at least 1, got 0"),
        ({"size": [16]}, "size is only allowed for folder:PATH"),
        (
            {"network": ["digits-cnn", "alexnet"]},
            "grid point network=alexnet: .*image",
        ),  # 8 x 8 pixels are too small for it
    ],
)
def test_all_points_are_checked_before_the_first_is_trained(grid, message, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "fit_as", lambda *_: pytest.fail("a point was trained"))
    with pytest.raises(ValueError, match=message):
        sweeps.sweep("digits", grid, jobs=1, out=tmp_path / "s.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there_is_found_before_the_first_point_is_trained(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(worker, "fit_as", lambda *_: pytest.fail("a point was trained"))
    grid = {"engine": ["torch"], "device": ["cpu", "cuda:99"]}
    with pytest.raises(ValueError, match="grid point engine=torch, device=cuda:99: "):
        sweeps.sweep("lines", grid, jobs=1, out=tmp_path / "s.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_pytorch_is_found_before_the_first_point_is_trained(monkeypatch):
    monkeypatch.setattr(worker, "fit_as", lambda *_: pytest.fail("a point was trained"))
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "neocog.interop.torch.engine", raising=False)
    with pytest.raises(ImportError, match="torch"):
        sweeps.sweep("lines", {"engine": ["torch"]}, jobs=1)


# the data


def test_the_sources_own_held_out_images_are_never_looked_at():
    data, source = selection_data("digits", (), 0.2), neocog.data.digits()
    assert [len(labels) for _, labels in data] == [1078, 269]  # 1347, and a fifth of it
    both = np.concatenate([data.train[0], data.validation[0]])
    assert sorted(image.tobytes() for image in both) == sorted(image.tobytes() for image in source.train[0])
    shares = np.bincount(data.validation[1]) / np.bincount(source.train[1])
    assert np.abs(shares - 0.2).max() < 0.01


@pytest.mark.parametrize("fraction", [0, 1, 0.999])
def test_a_part_to_choose_by_must_be_possible(fraction):
    with pytest.raises(ValueError, match="validation_fraction must"):
        sweeps.sweep("lines", {"lr": [0.1]}, validation_fraction=fraction, jobs=1)


def test_data_that_have_changed_are_refused(tmp_path):
    (images, labels), _ = neocog.data.line_patterns("a")
    path = tmp_path / "lines.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images[:9], y_test=labels[:9])
    sweeps.sweep(f"npz:{path}", {"epochs": [1]}, jobs=1, out=tmp_path / "s.jsonl")
    np.savez(path, x_train=1 - images, y_train=labels, x_test=images[:9], y_test=labels[:9])
    with pytest.raises(ValueError, match="another sweep: its data is"):
        sweeps.resume(tmp_path / "s.jsonl")


def test_a_worker_with_other_data_or_another_neocog_says_so():
    task = Task(3, settings_for("lines"), 0.2, "another fingerprint")
    failure = worker.attempt(task)
    assert failure.point == 3
    assert "the data of lines on" in failure.error
    assert "Traceback" in failure.traceback
    assert "has neocog" in worker.attempt(replace(task, version="0.0.0")).error


# the points


def test_a_point_is_trained_as_neocog_train_would(tmp_path):
    """The part to choose by, written to a file as the file's own held-out part, and trained on by `train`."""
    grid = {"lr": [0.1], "filters": [(4, 6)], "epochs": [2], "momentum": [0.8], "batch_size": [50]}
    (row,) = sweeps.sweep("digits", grid, [7], jobs=1).rows
    (x, y), (x_val, y_val) = selection_data("digits", (), 0.2)
    path = tmp_path / "cut.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x_val, y_test=y_val)
    settings = Settings(
        f"npz:{path}", "conv-net", epochs=2, lr=0.1, momentum=0.8, batch_size=50, seed=7, filters=(4, 6)
    )
    with open(os.devnull, "w") as nowhere:
        history = runs.train(settings, tmp_path / "run", nowhere).history
    for name in ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy"):
        assert row[name] == history.last[name]
    assert row["best_val_accuracy"] == max(history["val_accuracy"])
    assert history["val_accuracy"][row["best_epoch"]] == row["best_val_accuracy"]
    # by hand: 9 + 1 weights for each of 4 maps, 36 + 1 for each of 6, 2 x 2 x 6 + 1 for each of 10 classes
    assert row["parameters"] == 4 * 10 + 6 * 37 + 10 * 25
    assert (row["seed"], row["filters"], row["stopped"], row["error"]) == (7, [4, 6], "", None)
    assert row["seconds"] > 0
    assert process_of(row) == os.getpid()


def test_the_process_keeps_its_threads():
    before = neocog.kernels.get_threads()
    neocog.set_threads(3)
    try:
        sweeps.sweep("lines", {"epochs": [1]}, jobs=1)
        assert neocog.kernels.get_threads() == 3
    finally:
        neocog.set_threads(before)


def test_a_point_that_diverges_is_a_result():
    found = sweeps.sweep("digits", {"lr": [1e30, 0.05], "epochs": [1]}, 2, jobs=1)
    assert [row["stopped"] for row in found.rows] == ["diverged", "diverged", "", ""]
    assert "the loss is not finite in epoch 1" in found.rows[0]["error"]
    assert found.rows[0]["val_accuracy"] is None
    assert found.rows[0]["epoch"] == 0
    assert found.failures == []
    assert [c.values["lr"] for c in found.candidates] == [0.05, 1e30]
    assert found.candidates[1].diverged == 2
    assert found.best.values["lr"] == 0.05
    nothing = sweeps.sweep("digits", {"lr": [1e30], "epochs": [1]}, jobs=1)
    assert nothing.best is None
    assert nothing.train_command == ""


def fails_at(lr, monkeypatch):
    whole = worker.fit_as

    def fit_as(settings, *rest):
        if settings.lr == lr:
            raise MemoryError("no room")
        return whole(settings, *rest)

    monkeypatch.setattr(worker, "fit_as", fit_as)


def test_a_point_that_fails_is_told_left_out_and_tried_again(tmp_path, monkeypatch):
    path = tmp_path / "s.jsonl"
    arguments = ("lines", "--grid", "lr=0.03,0.12", "--grid", "epochs=1", "--jobs", 1, "--out", path)
    with monkeypatch.context() as patch:
        fails_at(0.03, patch)
        result = cli(*arguments, code=1)
    assert "lr=0.03, epochs=1, seed=0  FAILED: MemoryError: no room" in result.stdout
    assert "The first failure:\nTraceback" in result.stdout
    assert f"1 point failed; continue with: neocog sweep --resume {path}" in result.stderr
    assert [row["lr"] for row in lines_of(path)[1:]] == [0.12]
    result = cli(*arguments)
    assert "1 of 2 points are done already" in result.stdout
    assert [row["lr"] for row in lines_of(path)[1:]] == [0.12, 0.03]


# the best of them


def rows_of(*accuracies, lr, error=None):
    seeds = len(accuracies)
    common = {"lr": lr, "val_loss": 0.5, "train_accuracy": 1.0, "seconds": 2.0, "parameters": 9}
    return [
        {
            "point": round(lr * 10) * seeds + k,
            "seed": k,
            **common,
            "val_accuracy": a,
            "error": error if a is None else None,
        }
        for k, a in enumerate(accuracies)
    ]


def sweep_of(rows, values, seeds=3):
    header = {"source": "digits", "grid": {"lr": values}, "seeds": list(range(seeds))}
    return sweeps.Sweep({**header, "images": {"training": 80, "validation": 20}}, rows, [])


def test_the_best_has_the_highest_mean_over_seeds():
    found = sweep_of(rows_of(0.7, 0.9, 0.8, lr=0.0) + rows_of(0.99, 0.6, 0.6, lr=0.1), [0.0, 0.1])
    assert found.best.values == {"lr": 0.0}
    assert found.best.val_accuracy == pytest.approx(0.8)
    assert found.best.val_accuracy_std == pytest.approx(statistics.pstdev([0.7, 0.9, 0.8]))
    assert (found.best.seeds, found.best.seconds, found.best.parameters) == (3, 2.0, 9)
    assert str(found.best) == "lr=0.0: validation accuracy 0.800 ± 0.082"
    assert found.train_command == "neocog train digits --lr 0.0"


def test_of_equal_accuracies_the_lower_loss_wins():
    worse, better = rows_of(0.1, 0.2, 0.3, lr=0.0), rows_of(0.3, 0.2, 0.1, lr=0.1)
    assert 0.1 + 0.2 + 0.3 > 0.3 + 0.2 + 0.1  # in floats, where the sum depends on the order
    for row in better:
        row["val_loss"] = 0.4
    assert sweep_of(worse + better, [0.0, 0.1]).best.values == {"lr": 0.1}


def test_what_decides_between_equal_accuracies_is_said():
    """The loss, then the number of parameters, then the order of the grid."""
    rows = rows_of(0.5, lr=0.0) + rows_of(0.5, lr=0.1) + rows_of(0.5, lr=0.2) + rows_of(0.4, lr=0.3)
    for k, row in enumerate(rows):
        row["point"] = k
    values = [0.0, 0.1, 0.2, 0.3]
    found = sweep_of(rows, values, seeds=1)
    assert [c.values["lr"] for c in found.tied] == [0.0, 0.1, 0.2]
    assert (
        found.choice
        == "3 settings are equally accurate, 0.5000; of these the one first in the grid comes first."
    )
    assert found.choice in found.table().caption
    rows[2]["parameters"] = 3
    found = sweep_of(rows, values, seeds=1)
    assert (found.best.values["lr"], "of fewer parameters" in found.choice) == (0.2, True)
    rows[1]["val_loss"] = 0.01
    found = sweep_of(rows, values, seeds=1)
    assert (found.best.values["lr"], "of the lower validation loss" in found.choice) == (0.1, True)
    assert [c["values"]["lr"] for c in found.to_dict()["tied"]] == [0.1, 0.2, 0.0]
    rows[0]["val_accuracy"] = 0.6
    found = sweep_of(rows, values, seeds=1)
    assert (found.best.values["lr"], found.tied, found.choice) == (0.0, [], "")


def test_seeds_held_out_fractions_and_minutes_in_a_grid(tmp_path):
    x = np.random.default_rng(0).random((60, 1, 8, 8), "float32")
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(60) % 2)
    grid = {"held_out": [0.2, 0.5], "minutes": [0.0001, 0.0002], "seed": [7, 3], "recipe": ["plain"]}
    found = sweeps.sweep(f"npz:{tmp_path / 'x.npz'}", grid, jobs=1, out=tmp_path / "s.jsonl")
    assert not found.failures
    assert found.keys == ["held_out", "minutes", "recipe"]
    assert [row["seed"] for row in found.rows] == [7, 3] * 4
    assert [row["minutes"] for row in found.rows] == [0.0001, 0.0001, 0.0002, 0.0002] * 2
    epochs = [row["epoch"] for row in found.rows]
    assert 0 < epochs[0] < epochs[2]  # more minutes are more epochs
    assert epochs[0] < epochs[4]  # as fewer images are
    # 60 images, of which 12 or 30 are held out, and a fifth of the others compares.
    steps = [row["val_accuracy"] * n % 1 for row, n in zip(found.rows, [10] * 4 + [6] * 4, strict=True)]
    assert steps == pytest.approx([0] * 8)
    assert " --minutes 0.0" in found.train_command
    assert sweeps.resume(tmp_path / "s.jsonl", jobs=1).rows == found.rows
    with pytest.raises(ValueError, match="seeds must be left out where the grid names them, got 2"):
        sweeps.sweep("lines", {"seed": [1]}, 2)


def test_settings_that_diverge_or_miss_seeds_come_after_the_others():
    rows = (
        rows_of(0.5, 0.5, 0.5, lr=0.0)
        + rows_of(1.0, None, 1.0, lr=0.1, error="nan")
        + rows_of(1.0, 1.0, 0.9, lr=0.2)[:2]
    )
    found = sweep_of(rows, [0.0, 0.1, 0.2])
    assert [c.values["lr"] for c in found.candidates] == [0.0, 0.1, 0.2]
    assert found.candidates[1].val_accuracy == 1.0
    text = str_of(found)
    assert "3, 1 diverged" in text
    assert "2/3" in text
    assert "8 of 9 points of digits" in text


def test_the_figure_has_the_order_of_the_table():
    rows = (
        rows_of(1.0, 1.0, 0.9, lr=0.2)[:2]  # misses a seed
        + rows_of(1.0, None, 1.0, lr=0.1, error="nan")
        + rows_of(0.5, 0.5, 0.5, lr=0.0)
        + rows_of(0.6, 0.6, 0.6, lr=0.3)
    )
    found = sweep_of(rows, [0.0, 0.1, 0.2, 0.3])
    assert [c.values["lr"] for c in found.candidates] == [0.3, 0.0, 0.1, 0.2]
    assert found.figure().layout.yaxis.ticktext == ("lr 0.3", "lr 0.0", "lr 0.1", "lr 0.2")


def test_the_figure_shows_a_source_as_it_is():
    found = sweep_of(rows_of(0.5, lr=0.0), [0.0], seeds=1)
    found.header["source"] = "folder:/my <b>photos & cats"
    assert found.figure().layout.title.text == "Sweep of folder:/my &lt;b&gt;photos &amp; cats"


def test_a_narrow_table_cuts_no_number():
    grid = {"lr": [0.01, 0.02], "momentum": [0.85, 0.9], "weight_decay": [1e-05, 1e-4], "batch_size": [8, 16]}
    common = {"momentum": 0.85, "weight_decay": 1e-05, "batch_size": 16}
    rows = [row | common for row in rows_of(0.51, 0.62, 0.73, lr=0.0)]
    header = {
        "source": "digits",
        "grid": grid,
        "seeds": [0, 1, 2],
        "images": {"training": 8, "validation": 2},
    }
    text = str_of(sweeps.Sweep(header, rows, []), width=80)
    assert [cell.strip() for cell in text.splitlines()[-3].strip("│").split("│")] == [
        *("0.0", "0.85", "1e-05", "16", "0.6200 ± 0.0898", "0.5000", "2", "3")
    ]
    assert "…" not in text


def str_of(found, most=20, width=100):
    from rich.console import Console

    console = Console(width=width, record=True, file=io.StringIO())
    console.print(found.table(most))
    return console.export_text()


def test_a_huge_loss_is_not_written_out():
    rows = [row | {"val_loss": 1.2345e30} for row in rows_of(0.5, lr=0.1)]
    assert "1.23e+30" in str_of(sweep_of(rows, [0.1], seeds=1))


def test_a_long_table_shows_the_best():
    values = [k / 10 for k in range(30)]
    rows = [row for k, lr in enumerate(values) for row in rows_of(k / 30, lr=lr)]
    text = str_of(sweep_of(rows, values, seeds=1), most=4)
    assert "... and 26 more settings" in text
    assert [line.split("│")[1].strip() for line in text.splitlines() if "│" in line] == [
        "2.9",
        "2.8",
        "2.7",
        "2.6",
    ]


def test_rows_as_a_data_frame():
    found = sweeps.sweep("lines", {"lr": [0.05, 0.12], "epochs": [1]}, 2, jobs=1)
    frame = found.to_dataframe()
    assert frame.groupby("lr").val_accuracy.mean().tolist() == pytest.approx(
        [c.val_accuracy for c in sorted(found.candidates, key=lambda c: c.values["lr"])]
    )


# the file


def test_the_file(tmp_path):
    path = tmp_path / "deep" / "s.jsonl"
    found = sweeps.sweep("lines", {"lr": [0.03, 0.12], "epochs": [1]}, 2, jobs=1, out=path)
    header, *rows = lines_of(path)
    assert header["grid"] == {"lr": [0.03, 0.12], "epochs": [1]}
    assert header["seeds"] == [0, 1]
    assert header["images"] == {"training": 144, "validation": 36}
    assert header["versions"]["neocog"] == neocog.__version__
    assert rows == found.rows
    again = sweeps.open_sweep(path)
    assert again.rows == found.rows
    assert repr(again) == repr(found)


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
@pytest.mark.parametrize("torn", [b"", b'{"point": 1, "lr"', b"\0\0\0"])
def test_a_file_that_was_cut_off_goes_on(tmp_path, kept, torn):
    path = tmp_path / "s.jsonl"
    arguments = ("lines", {"lr": [0.03, 0.12], "epochs": [1]})
    whole = sweeps.sweep(*arguments, jobs=1, out=path)
    lines = path.read_bytes().splitlines(keepends=True)
    start = b"".join(lines[:kept])
    path.write_bytes(start + (torn if kept else lines[0][:40]))
    again = sweeps.sweep(*arguments, jobs=1, out=path)
    assert numbers(again) == numbers(whole)
    assert path.read_bytes().startswith(start)
    assert len(lines_of(path)) == 3


def test_a_file_of_another_sweep_is_refused_and_stays(tmp_path):
    path = tmp_path / "s.jsonl"
    sweeps.sweep("lines", {"epochs": [1]}, jobs=1, out=path)
    before = path.read_bytes()
    for source, grid, seeds, message in (
        ("lines-b", {"epochs": [1]}, 1, "its source is 'lines', not 'lines-b'"),
        ("lines", {"epochs": [2]}, 1, r"its grid is \{'epochs': \[1\]\}, not \{'epochs': \[2\]\}"),
        ("lines", {"epochs": [1]}, 2, r"its seeds are \[0\], not \[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            sweeps.sweep(source, grid, seeds, jobs=1, out=path)
    with pytest.raises(ValueError, match=r"its validation_fraction is 0.2, not 0.3"):
        sweeps.sweep("lines", {"epochs": [1]}, validation_fraction=0.3, jobs=1, out=path)
    assert path.read_bytes() == before


def test_a_row_trained_with_other_defaults_is_refused(tmp_path):
    path = tmp_path / "s.jsonl"
    sweeps.sweep("lines", {"epochs": [1]}, jobs=1, out=path)
    path.write_text(path.read_text().replace('"momentum": 0.0', '"momentum": 0.5'))
    with pytest.raises(ValueError, match=r"its point 0 has the momentum 0.5, not 0.0"):
        sweeps.resume(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("notes of mine", "already there and is not the file of a sweep"),
        ("notes of mine\n", "line 1 is damaged"),
        ('{"a": 1}\n', "is not the file of a sweep"),
        ("[]\n", "is not the file of a sweep"),
        (
            jsonl(HEADER, ROW, '{"poi', ROW | {"point": 1}),
            r"line 3 is damaged: .*\. Delete that line; its point",
        ),
        (
            jsonl(HEADER, {"lr": 0}),
            "line 2 is damaged: it must be the row of a point, with point, seed, error",
        ),
        (jsonl(HEADER, [0]), "line 2 is damaged: it must be the row of a point"),
        (jsonl(HEADER, "[" * 100_000), "line 2 is damaged: .*recursion"),
        (jsonl(HEADER, ROW | {"point": 2}), "line 2 is damaged: point must be below 2, got 2"),
        (jsonl(HEADER, ROW | {"point": -1}), "line 2 is damaged: point must be at least 0, got -1"),
        (jsonl(HEADER, ROW | {"point": True}), "line 2 is damaged: point must be an integer, got True"),
        (jsonl(HEADER, ROW | {"val_loss": None}), "line 2 is damaged: val_loss must be a number, got None"),
        (jsonl(HEADER, ROW | {"val_loss": math.nan}), "line 2 is damaged: val_loss must be"),
        (jsonl(HEADER, ROW | {"val_loss": 10**400}), "line 2 is damaged: int too large"),
        (
            jsonl(HEADER, ROW | {"error": "nan"}),
            "line 2 is damaged: train_loss must be null where error is not",
        ),
        (jsonl(HEADER, ROW | {"error": 1}), "line 2 is damaged: error must be a text or null"),
        (jsonl({"neocog_sweep": 1}), "line 1 is damaged: source must be of type str, got None"),
        (jsonl(HEADER | {"seeds": []}), "line 1 is damaged: seeds must be at least one"),
        (jsonl(HEADER | {"grid": {"lr": []}}), r"line 1 is damaged: grid\['lr'\] must hold at least one"),
        (jsonl(HEADER | {"images": {}}), r"line 1 is damaged: images\['training'\] must be an integer"),
        (jsonl(HEADER | {"versions": {}}), "line 1 is damaged: versions must name neocog's"),
    ],
)
def test_other_files_are_refused_and_stay(tmp_path, content, message):
    path = tmp_path / "s.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        sweeps.sweep("lines", {"epochs": [1]}, jobs=1, out=path)
    assert path.read_text() == content


def test_two_processes_do_not_write_one_file(tmp_path):
    pytest.importorskip("fcntl")
    path = tmp_path / "s.jsonl"
    with (
        Journal(path, {}),
        pytest.raises(ValueError, match="is being written by another process"),
    ):
        sweeps.sweep("lines", {"epochs": [1]}, jobs=1, out=path)


def test_a_point_that_stands_twice_counts_once(tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_text(jsonl(HEADER, ROW, ROW | {"point": 1}, ROW | {"val_loss": 0.1}))
    assert read(path)[1] == [ROW, ROW | {"point": 1}]


def test_another_version_of_neocog_does_not_go_on_with_a_file(tmp_path, monkeypatch):
    path = tmp_path / "s.jsonl"
    sweeps.sweep("lines", {"epochs": [1]}, jobs=1, out=path)
    monkeypatch.setattr(neocog, "__version__", "99.0")
    with pytest.raises(ValueError, match=r"was begun by neocog .*, this is 99\.0"):
        sweeps.resume(path)
    assert len(sweeps.open_sweep(path).rows) == 1


@pytest.mark.parametrize("name", ["s.html", "s", "s.json"])
def test_the_results_go_into_a_jsonl_file(name, tmp_path):
    with pytest.raises(ValueError, match=rf"out must end in \.jsonl, got '{name}'"):
        sweeps.sweep("lines", {"epochs": [1]}, jobs=1, out=tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# what is killed


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.nightly)])
def test_a_killed_sweep_goes_on_where_it_was(tmp_path, number):
    path = tmp_path / "s.jsonl"
    command = ["digits", "--grid", "lr=0.01,0.05,0.1", *SLOW, "--seeds", "3", "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "neocog", "sweep", *command, "--out", str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_lines(path, 4, process)
    process.send_signal(number)
    _, errors = process.communicate()
    if number == signal.SIGTERM:
        assert process.returncode == 130
        assert errors == f"interrupted; continue with: neocog sweep --resume {path}\n"
    else:  # not what joblib's own process says of what it removes
        assert errors == ""
    with path.open("ab") as file:
        file.write(b'{"point": 8, "source": "dig')  # as if it had been killed while writing
    before = path.read_bytes()
    done = before.count(b"\n") - 1
    assert 3 <= done < 9
    workers = {process_of(row) for row in read(path)[1]}
    result = cli(*command, "--resume", path)
    assert f"{done} of 9 points are done already" in result.stdout
    assert path.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    assert sorted(row["point"] for row in lines_of(path)[1:]) == list(range(9))
    grid = {"lr": [0.01, 0.05, 0.1], "epochs": [12], "kernels": ["im2col"]}
    assert numbers(sweeps.open_sweep(path)) == numbers(sweeps.sweep("digits", grid, 3, jobs=1))
    for _ in range(400):
        if not any(map(is_alive, workers)):
            break
        time.sleep(0.05)
    assert not any(map(is_alive, workers)), "workers have outlived their sweep"


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="sees the processes in /proc")
def test_ctrl_c_while_the_processes_start_shows_nothing_of_theirs(tmp_path):
    path = tmp_path / "s.jsonl"
    command = ["digits", "--grid", "lr=0.01,0.02", *SLOW, "--seeds", "40", "--jobs", "2", "--out", str(path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "neocog", "sweep", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for _ in range(3000):
        if sum("LokyProcess" in Path(f"/proc/{c}/cmdline").read_text() for c in children(process.pid)) == 2:
            break
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    time.sleep(0.1)  # they are still importing
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (
        130,
        f"interrupted; continue with: neocog sweep --resume {path}\n",
    )


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_ends_and_says_how_to_go_on(tmp_path, jobs):
    path = tmp_path / "s.jsonl"
    command = ["digits", "--grid", "lr=0.01,0.02,0.03,0.05,0.1", *SLOW, "--seeds", "20", "--jobs", str(jobs)]
    process = subprocess.Popen(
        [sys.executable, "-m", "neocog", "sweep", *command, "--out", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for_lines(path, 3, process)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all its processes
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors == f"interrupted; continue with: neocog sweep --resume {path}\n"
    rows = lines_of(path)[1:]
    assert 2 <= len(rows) < 100
    assert f"{len(rows)} of 100 points of digits" in output
    assert {row["stopped"] for row in rows} == {""}
    assert {row["epoch"] for row in rows} == {12}  # none is half trained


GRID = {"lr": [0.01, 0.1], "epochs": [4], "kernels": ["im2col", "fused"]}


@pytest.fixture(scope="module")
def on_cores():
    """The result of a sweep in two processes, one of which was killed, and which ones were."""
    killed = []

    def kill_one(line):
        if not killed and line.strip().startswith("2/"):
            import joblib.externals.loky.reusable_executor as reusable

            pid = next(iter(reusable._executor._processes))
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        return sweeps.sweep("digits", GRID, 2, jobs=2, progress=kill_one), killed


def test_results_depend_neither_on_the_number_of_processes_nor_on_one_that_is_killed(on_cores):
    found, killed = on_cores
    assert len(killed) == 1
    assert len({process_of(row) for row in found.rows} - {os.getpid()}) > 1
    assert [row["point"] for row in found.rows] == list(range(8))
    assert found.failures == []
    assert numbers(found) == numbers(sweeps.sweep("digits", GRID, 2, jobs=1))


def sigint_is_ignored():
    import os
    import signal

    return os.getpid(), signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_joblibs_processes_are_left_as_they_are_to_others(on_cores):
    from joblib import Parallel, delayed

    (pid, ignores) = Parallel(n_jobs=2)(delayed(sigint_is_ignored)() for _ in range(2))[0]
    assert not ignores
    assert pid not in {process_of(row) for row in on_cores[0].rows}
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def killer(deadly):
    """Work that kills its process at one point; sent by value, as the test's module is not to be imported."""

    def work(task):
        import os
        import signal
        import time

        if task.point == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)
        return {"point": task.point}

    return work


def tasks_of(count):
    return [Task(k, settings_for("lines"), 0.2, "") for k in range(count)]


@pytest.mark.parametrize("deadly", [pytest.param(0, marks=pytest.mark.nightly), 3])
def test_a_point_that_kills_its_process_does_not_end_the_sweep(deadly):
    outcomes = list(executors.run_on_cores(tasks_of(5), 2, killer(deadly)))
    assert sorted(o["point"] for o in outcomes if isinstance(o, dict)) == [k for k in range(5) if k != deadly]
    (failure,) = [o for o in outcomes if isinstance(o, Failure)]
    assert failure == Failure(deadly, "the process died; was there enough memory?")


# a Dask cluster


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    import dask

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": "CRITICAL"}
    fast = {
        "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1},  # see docs/tools/sweeps.md on memory
        "distributed.comm.timeouts.connect": "2s",  # to a worker that has died
    }
    with dask.config.set(fast), distributed.LocalCluster(**options) as cluster:
        yield cluster


@pytest.mark.nightly
def test_a_dask_cluster_that_loses_a_worker(cluster, tmp_path):
    path = tmp_path / "s.jsonl"
    command = ["digits", "--grid", "lr=0.01,0.1", *SLOW, "--seeds", "4", "--dask", cluster.scheduler_address]
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "neocog", "sweep", *command, "--out", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_lines(path, 4, process)
    done = read(path)[1]
    assert {process_of(row) for row in done} <= {nanny.pid for nanny in cluster.workers.values()}
    victim = process_of(done[-1])
    os.kill(victim, signal.SIGKILL)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert errors == ""
    assert f"2 threads at {cluster.scheduler_address}" in output
    rows = lines_of(path)[1:]
    assert sorted(row["point"] for row in rows) == list(range(8))
    assert len(done) < 8
    assert not is_alive(victim)
    grid = {"lr": [0.01, 0.1], "epochs": [12], "kernels": ["im2col"]}
    assert numbers(sweeps.open_sweep(path)) == numbers(sweeps.sweep("digits", grid, 4, jobs=1))


@pytest.mark.nightly
def test_a_point_that_kills_dask_workers_does_not_end_the_sweep(cluster, monkeypatch):
    """Dask gives up also what waited for the worker that died; it is tried again."""
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 1)  # so that two deaths do, not four
    outcomes = list(executors.run_on_dask(tasks_of(4), cluster.scheduler_address, print, killer(1)))
    points = sorted(o.point if isinstance(o, Failure) else o["point"] for o in outcomes)
    assert points == list(range(4))
    assert [o.error[:12] for o in outcomes if isinstance(o, Failure)] == ["KilledWorker"]


def test_the_loss_of_the_scheduler_ends_the_sweep_with_what_there_is(monkeypatch):
    def lost(tasks, address, say):
        yield worker.attempt(tasks[0])
        raise executors.ClusterLostError("the Dask scheduler is lost")

    monkeypatch.setattr(runner, "run_on_dask", lost)
    found = sweeps.sweep("lines", {"epochs": [1]}, 2, dask="tcp://127.0.0.1:1")
    assert found.stopped == "the Dask scheduler is lost"
    assert len(found.rows) == 1


def test_a_full_disk_ends_the_sweep_and_says_how_to_go_on(tmp_path):
    """A limit on file sizes makes a write fail half way, as a full disk does."""
    path = tmp_path / "s.jsonl"
    code = (
        "import resource, signal, sys\n"
        "from neocog.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "main()\n"
    )
    command = ["sweep", "lines", "--grid", "epochs=1", "--seeds", "9", "--jobs", "1", "--out", str(path)]
    process = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True)
    assert process.returncode == 1
    message = f"{path} cannot be written: File too large; continue with: neocog sweep --resume {path}"
    assert process.stderr.splitlines()[-1] == message
    done = len(sweeps.open_sweep(path).rows)
    assert 1 <= done < 9
    assert f"{done} of 9 points of lines" in process.stdout
    assert len(sweeps.resume(path, jobs=1).rows) == 9


def test_dask_is_optional_and_needs_an_address(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match=r"address such as tcp://10.0.0.1:8786, got 'local'"):
        sweeps.sweep("lines", {}, dask="local")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r'pip install "neocog\[dask\]"'):
        sweeps.sweep("lines", {}, dask="tcp://127.0.0.1:1", out=tmp_path / "lines.jsonl")
    assert not list(tmp_path.iterdir())


def test_no_scheduler_at_the_address(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(executors, "CONNECT_SECONDS", 0.3)
    with pytest.raises(OSError, match=r"127\.0\.0\.1:1"):
        sweeps.sweep("lines", {}, dask="tcp://127.0.0.1:1")


# the command line


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ("lines-b", "--grid", "filters=2,3-4", "--grid", "epochs=2", "--seeds", 2, "--jobs", 1)
    result = cli(*arguments)
    assert "1/4  filters=2, epochs=2, seed=0  validation accuracy" in result.stdout
    assert "4 of 4 points of lines-b; epochs=2" in result.stdout
    best = sweeps.open_sweep("sweeps/lines-b.jsonl").train_command
    assert best.startswith("neocog train lines-b --filters ")
    assert f"train the best on all training images: {best}" in result.stdout
    assert "plotly" in Path("sweeps/lines-b.html").read_text().lower()
    trained = CliRunner().invoke(app, [*best.split()[1:], "--no-report", "--json"])
    assert json.loads(trained.stdout)["epoch"] == 2
    assert "4 points, 1 at once" in result.stdout
    cli(*arguments)
    assert Path("sweeps/lines-b-2.jsonl").exists()


def test_a_setting_of_all_points_is_an_option(tmp_path):
    out = tmp_path / "s.jsonl"
    data = json.loads(
        cli("lines-b", "--epochs", 1, "--grid", "lr=0.1,0.2", "--grid", "seed=5", "--jobs", 1, "--out", out,
            "--json").stdout
    )  # fmt: skip
    assert [(row["epochs"], row["lr"], row["seed"]) for row in data["rows"]] == [(1, 0.1, 5), (1, 0.2, 5)]
    assert data["grid"] == {"lr": [0.1, 0.2], "epochs": [1]}
    error = cli("lines-b", "--epochs", 1, "--grid", "epochs=2", code=2).stderr
    assert "epochs must be given once, got it in --grid and as --epochs" in error


def test_other_pages_are_not_replaced(tmp_path):
    path, page, other = (tmp_path / name for name in ("notes.jsonl", "notes.html", "notes-sweep.html"))
    page.write_text("my notes")
    result = cli("lines", "--grid", "epochs=1", "--jobs", 1, "--out", path)
    assert str(other) in result.stdout
    assert "plotly" in other.read_text()
    other.write_text(f"{other.read_text()}<!-- old -->")
    cli("--show", path)
    assert "<!-- old -->" not in other.read_text()  # its own page it does replace
    other.write_text("more notes")
    result = cli("--show", path)
    assert "1 of 1 points" in result.stdout
    assert "exist and are not a sweep's" in result.stderr
    assert (page.read_text(), other.read_text()) == ("my notes", "more notes")


def test_a_page_that_cannot_be_written_does_not_cost_the_table(tmp_path, monkeypatch):
    path = tmp_path / "s.jsonl"
    cli("lines", "--grid", "epochs=1", "--jobs", 1, "--out", path)

    def full(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr("neocog.figures.save", full)
    result = cli("--show", path)
    assert "1 of 1 points" in result.stdout
    assert "Warning: the figure is not drawn: no space left" in result.stderr
    assert json.loads(cli("--show", path, "--json").stdout)["figure"] is None


def test_if_all_points_diverge_the_command_says_so(tmp_path):
    arguments = ("digits", "--grid", "lr=1e30", "--grid", "epochs=1", "--jobs", 1)
    result = cli(*arguments, "--out", tmp_path / "s.jsonl", code=1)
    assert "All points diverged" in result.stderr


def test_show_and_json(tmp_path):
    path = tmp_path / "s.jsonl"
    result = cli(
        "lines", "--grid", "lr=0.03,0.12", "--grid", "epochs=1", "--jobs", 1, "--out", path, "--json"
    )
    data = json.loads(result.stdout)
    assert (data["points"], data["done"], data["stopped"], data["failures"]) == (2, 2, "", [])
    assert data["figure"] == str(tmp_path / "s.html")
    assert data["best"]["values"]["lr"] == data["candidates"][0]["values"]["lr"]
    assert len(data["rows"]) == 2
    assert "validation accuracy" in result.stderr
    (tmp_path / "s.html").unlink()
    shown = json.loads(cli("--show", path, "--json").stdout)
    assert shown == data
    assert (tmp_path / "s.html").exists()
    assert "2 of 2 points" in cli("--show", path).stdout
    assert "2 of 2 points are done already" in cli("--resume", path).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "SOURCE is missing"),
        (("nothing", "--grid", "lr=1"), "source must be the path of a folder or file that there is"),
        (("digits", "--grid", "lr=1,1"), "different values"),
        (("digits", "--seeds", 0), "seeds must be at least 1"),
        (("digits", "--jobs", 0), "jobs must be at least 1"),
        (("digits", "--dask", "cluster"), "tcp://"),
        (("--resume", "nowhere.jsonl"), "there is no file nowhere.jsonl"),
        (("--show", "nowhere.jsonl"), "there is no file nowhere.jsonl"),
        (("digits", "--out", "s.html"), "out must end in .jsonl"),
        (("digits", "--jobs", 2, "--dask", "tcp://127.0.0.1:1"), "jobs must be left out with dask"),
        (("digits", "--resume", "nowhere.jsonl"), "must name an existing file"),
        (("--resume", "a.jsonl", "--out", "b.jsonl"), "there is no --out"),
        (("--show", "a.jsonl", "--resume", "b.jsonl"), "nothing else may be given"),
    ],
)
def test_a_bad_command_is_refused(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in cli(*arguments, code=2).stderr
    assert list(tmp_path.iterdir()) == []


# the channels of a run


def test_train_with_filters(tmp_path):
    out = tmp_path / "run"
    arguments = ["train", "digits", "--filters", "4-6", "--epochs", "1", "--out", str(out), "--no-report"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    settings = runs.RunDirectory(out).settings()
    assert (settings.network, settings.filters) == ("conv-net", (4, 6))
    assert neocog.load(out / "model.neocog").parameter_count == 4 * 10 + 6 * 37 + 10 * 25


@pytest.mark.parametrize(
    ("filters", "error", "message"),
    [
        ("8", TypeError, "filters must be a sequence of integers, got '8'"),
        (8, TypeError, "filters must be a sequence of integers, got 8"),
        ((), ValueError, "at least one convolution"),
        ((8, 0), ValueError, "filters must be at least 1, got 0"),
        ((8.0,), TypeError, "filters must be an integer"),
    ],
)
def test_filters_that_make_no_network(filters, error, message):
    with pytest.raises(error, match=message):
        Settings("digits", "conv-net", filters=filters)


def test_a_sweep_over_images_of_ones_own_chooses_for_each_point(tmp_path, rng):
    """The epoch is chosen by a part of each point's training images; points are compared by others."""
    y = np.repeat([0, 1], [70, 140])
    x = np.clip(rng.normal(0.4 + 0.2 * y[:, None, None, None], 0.3, (210, 1, 8, 8)), 0, 1)
    np.savez(tmp_path / "x.npz", x=x.astype("float32"), y=y)
    grid = {"filters": [(4,), (8,)], "epochs": [3], "optimizer": ["adam", "sgd"], "keep_best": ["accuracy"]}
    found = sweeps.sweep(f"npz:{tmp_path / 'x.npz'}", grid, jobs=1, out=tmp_path / "s.jsonl")
    assert not found.failures
    for row in found.rows:
        assert (row["recipe"], row["class_weight"], row["validation"]) == ("standard", "balanced", 0.15)
        assert (row["val_accuracy"] * 34) % 1 == pytest.approx(0, abs=1e-9)  # 20 % of the 168 to train on
    assert sweeps.resume(tmp_path / "s.jsonl", jobs=1).rows == found.rows
    assert "--optimizer" in found.train_command
