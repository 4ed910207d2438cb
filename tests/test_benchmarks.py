"""The tables of the benchmarks, on measurements written by hand; nothing is timed here."""

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    """Import a module of the benchmarks, and forget all of them afterwards."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def table(text, section):
    """Return the cells of a section's table below its head."""
    lines = text.partition(f"## {section}\n")[2].partition("## ")[0].splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    return cells[2:]


MACHINE = {
    **dict.fromkeys(("date", "processor", "system", "python", "commit"), "?"),
    **{"flags": [], "blas": [], "settings": {}, "versions": {}, "cores": 2, "memory": 0, "load": 0.0},
}


def run(**tables):
    options = {"quick": False, "rounds": 2, "seconds": 0.5, "threads": [1, 2]}
    kinds = {kind: [] for kind in ("rows", "jobs", "scaling", "data_sets")}
    return {"machine": MACHINE, "options": options, **kinds} | tables


def test_whole_jobs_are_compared_round_by_round(module):
    job = {
        "title": "8000 images",
        "targets": {"warm": 5, "cold": 2.2},
        "figures": [
            {"peer": "neocog", "cold": [5.0, 10.0], "warm": [2.0, 2.5], "accuracy": [0.9, 0.9, 0.9, 0.9]},
            {"peer": "torch", "cold": [], "warm": [10.0, 15.0], "accuracy": [0.8, 0.9]},
        ],
    }
    text = module("results").markdown([run(whole=[job]), run()])  # the second run was made before such jobs
    cold, warm = table(text, "Whole jobs beside PyTorch")
    assert cold[:6] == ["8000 images", "cold", "2.2", "7.50 s", "12.5 s", "**1.75** (1.50–2.00)"]
    assert warm[:6] == ["8000 images", "warm", "5", "2.25 s", "12.5 s", "**5.50** (5.00–6.00)"]
    assert cold[6:8] == warm[6:8] == ["0.900", "0.850"]
    assert cold[8:] == ["–"] * 5
    assert "with 1 and 2 threads" in text
    job |= {"title": "folder", "figures": [{"peer": "neocog", "cold": [], "warm": [], "failed": "no"}]}
    assert "- folder, neocog: no" in module("results").markdown([run(whole=[job])])


def test_rows_of_each_number_of_threads_have_titles_of_their_own(module, monkeypatch):
    bench = module("bench")
    monkeypatch.setattr(sys, "argv", ["bench.py", "--threads", "1", "2", "--rows", "ResNet-20"])
    titles = [title for _, title, _ in bench.plan(bench.parse()) if title.startswith("ResNet-20")]
    assert titles == [f"ResNet-20 step, 128 images, {words}" for words in ("1 thread", "2 threads")]


def test_openvino_is_a_peer_of_inference_where_it_is_installed(module, monkeypatch):
    works = module("works")
    work = next(work for work in works.WORKS if work.title == "ResNet-50 inference, 1 image")
    assert work.targets["openvino"] == 1.1
    for installed in (True, False):
        found = importlib.util.find_spec
        monkeypatch.setattr(
            works.importlib.util,
            "find_spec",
            lambda name, there=installed, found=found: (there or None) if name == "openvino" else found(name),
        )
        assert ("openvino" in [c.peer for c in works.competitors(work)]) is installed
        monkeypatch.undo()


def test_every_competitor_has_a_colour_in_the_figures(module, monkeypatch):
    """Or `make bench` ends in an error after hours."""
    works, drawing = module("works"), module("drawing")
    monkeypatch.setattr(works, "GPU", True)
    peers = {each.peer for work in works.WORKS for each in works._competitors(work, False, None)}
    assert {"neocog", "engine torch", "openvino", "torch on GPU"} < peers
    assert peers <= drawing.COLOURS.keys()


MIDDLE = ("ConvNet 32-32-64-64", "ConvNet 32-64-128-128", "ResNet-20", "Separable", "MNIST", "photographs")


@pytest.mark.nightly
@pytest.mark.parametrize("name", MIDDLE)
def test_libraries_build_the_same_network(module, name):
    """The middle-size networks, from the same weights."""
    import torch

    import neocog

    network = module("networks").NETWORKS[name]
    x = network.images(2)[0]
    with neocog.use_kernels("im2col"):
        ours = module("competitors.neocog_").build(network)
        neocog.use_kernels("im2col")
        expected = ours.forward(x)[0]
    with torch.inference_mode():
        theirs = module("competitors.torch_").build(network, False).eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(expected, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


def test_histories_on_a_gpu_are_compared_with_what_is_missing(module):
    gpu = module("gpu")
    rows = [dict.fromkeys(gpu.COLUMNS, 0.5) | {"running_loss": None}, dict.fromkeys(gpu.COLUMNS, 0.25)]
    gpu.check_rows(rows, [row | {"val_accuracy": row["val_accuracy"] + 0.01} for row in rows])
    with pytest.raises(AssertionError, match="train_loss"):
        gpu.check_rows(rows, [row | {"train_loss": 0.6} for row in rows])


def test_the_table_of_a_gpu_is_written_and_failures_are_named(module, monkeypatch, capsys):
    """Rehearsed without one: nothing is measured, the last competitor fails."""
    gpu, timing, works = module("gpu"), module("timing"), module("works")
    monkeypatch.setattr(works, "WORKS", [work for work in works.WORKS if work.task == "step"][:1])
    monkeypatch.setattr(works, "GPU", False)

    def take_turns(work, competitors, rounds, seconds):
        assert [c.peer for c in competitors] == list(gpu.PEERS)
        *right, wrong = competitors
        measured = [
            {
                "peer": c.peer,
                "setting": c.setting,
                "seconds": [0.01],
                "first": [1.0],
                "imported": [1],
                "peak": [2],
            }
            for c in right
        ]
        failed = {"peer": wrong.peer, "setting": "", "seconds": [], "first": [], "imported": [], "peak": []}
        return {
            "title": work.title, "name": work.name, "task": work.task, "batch": work.batch, "side": 8,
            "targets": work.targets, "figures": [*measured, failed | {"failed": "CudaError: out of memory"}],
        }  # fmt: skip

    monkeypatch.setattr(timing, "take_turns", take_turns)
    with pytest.raises(SystemExit, match="engine torch on GPU: CudaError: out of memory"):
        gpu.measure(0.1)
    assert "torch on GPU" in capsys.readouterr().out


@pytest.mark.nightly
def test_without_a_gpu_its_script_says_so():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    command = [sys.executable, str(BENCHMARKS / "gpu.py")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "There is no GPU that this PyTorch can use: nothing was checked or measured.\n"
