"""Fill the disk at each write of a command: nothing is lost, the file is named, and it goes on later.

The disk is full from the moment on at which a file is opened for writing: a limit on the sizes of files, as
the system keeps it, makes every later write beyond it fail, also half way. All in one process.
"""

import json
import os
import subprocess
import sys

import pytest

import neocog

from .test_caches import start
from .test_kills import run_result, sweep_result

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")

PROGRAM = """
import json, os, resource, sys
from typer.testing import CliRunner
import neocog.cli, neocog.interop.onnx, neocog.figures
from neocog.cli import app

folder, opened, full_from = "", 0, 0
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)


def watch(event, arguments):
    global opened
    if event == "open" and folder and str(arguments[0]).startswith(folder):
        if arguments[2] & (os.O_WRONLY | os.O_RDWR):
            opened += 1
            if opened == full_from:
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))


sys.addaudithook(watch)
for line in sys.stdin:
    folder, words, full_from, size = json.loads(line)
    opened = 0
    result = CliRunner().invoke(app, words)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    folder = ""
    print(json.dumps([result.exit_code, result.stdout, result.stderr, opened]), flush=True)
"""


class Machine:
    """A process that runs commands, each with a disk that is full from its n-th file on."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        )

    def run(self, folder, words, full_from=0, size=0):
        """Return exit code, output, errors, and how many files were opened for writing."""
        words = [str(word) for word in words]
        self.process.stdin.write(json.dumps([str(folder), words, full_from, size]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.communicate()


@pytest.fixture(scope="module")
def machine():
    made = Machine()
    yield made
    made.close()


TRAIN = ["train", "lines", "--epochs", 2, "--no-report", "--out"]


@pytest.fixture(scope="module")
def trained(machine, tmp_path_factory):
    """A run of two epochs."""
    run = tmp_path_factory.mktemp("trained") / "run"
    code, _, errors, _ = machine.run(run.parent, [*TRAIN, run])
    assert code == 0, errors
    return run


def parts(folder):
    return [path for path in folder.rglob("*") if path.name.endswith(".part")]


def copied(source, target):
    target.mkdir()
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


@pytest.mark.parametrize("size", [300, *(pytest.param(n, marks=pytest.mark.nightly) for n in (0, 1500))])
@pytest.mark.parametrize("resumed", [False, True])
def test_training(resumed, size, machine, trained, tmp_path):
    def words(run, again=False):
        if resumed:
            return ["train", "--resume", run, "--epochs", 3, "--no-report"]
        if again and (run / "config.json").exists():
            return ["train", "--resume", run, "--no-report"]
        return [*TRAIN, run]

    def directory(name):
        return copied(trained, tmp_path / name) if resumed else tmp_path / name

    whole = directory("whole")
    code, _, errors, count = machine.run(tmp_path, words(whole))
    assert (code, errors) == (0, "")
    expected = run_result(whole)
    assert count > 6
    failed = 0
    for k in range(1, count + 1):
        run = directory(f"run-{k}")
        before = {file.name: file.read_bytes() for file in run.iterdir()} if resumed else {}
        code, _, errors, _ = machine.run(tmp_path, words(run), k, size)
        if code == 0:  # the file was small enough
            assert run_result(run) == expected
            continue
        failed += 1
        assert (code, errors.count("\n")) == (2, 1), errors
        assert f"{run}/" in errors
        assert ("No space left" in errors) or ("File too large" in errors)
        assert not parts(run)
        for name in ("model.neocog", "checkpoint.neocog", "config.json", "history.json"):
            assert name not in before or (run / name).stat().st_size > 300  # the old one, or the new
        code, _, errors, _ = machine.run(tmp_path, words(run, again=True))
        assert (code, errors) == (0, ""), f"a dead end after file {k}"
        assert run_result(run) == expected
    assert failed > (4 if size < 1000 else 2)


@pytest.mark.parametrize("size", [300, pytest.param(0, marks=pytest.mark.nightly)])
@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["export", "RUN", "OUT"], "model.onnx"),
        (["evaluate", "RUN", "--csv", "OUT"], "table.csv"),
        pytest.param(["report", "RUN", "--out", "OUT"], "page.html", marks=pytest.mark.nightly),
    ],
)
def test_a_file_that_a_command_writes(words, name, size, machine, trained, tmp_path):
    out = tmp_path / name
    words = [{"RUN": trained, "OUT": out}.get(word, word) for word in words]
    for before in (None, b"what was there"):
        if before is not None:
            out.write_bytes(before)
        code, _, errors, _ = machine.run(tmp_path, words, 1, size)
        assert (code, errors.count("\n")) == (2, 1), errors
        assert str(out) in errors
        assert (out.read_bytes() if out.exists() else None) == before
        assert not parts(tmp_path)
    code, _, errors, _ = machine.run(tmp_path, words)
    assert (code, errors) == (0, "")
    assert out.stat().st_size > 300


@pytest.mark.nightly
@pytest.mark.parametrize("size", [0, 100, 1500, 3000])
def test_a_sweep(size, machine, tmp_path):
    words = ["sweep", "lines", "--grid", "epochs=1,2", "--seeds", 2, "--jobs", 1]
    (tmp_path / "whole").mkdir()
    whole = tmp_path / "whole" / "sweep.jsonl"
    code, _, errors, _ = machine.run(tmp_path, [*words, "--out", whole])
    assert (code, errors) == (0, "")
    (tmp_path / "other").mkdir()
    path = tmp_path / "other" / "sweep.jsonl"
    code, _, errors, _ = machine.run(tmp_path, [*words, "--out", path], 1, size)
    assert str(path.with_suffix("")) in errors  # the results', or, where these are small enough, the figure's
    assert code in ((0, 1, 2) if size == 3000 else (1, 2))
    assert "Traceback" not in errors
    begun = b"\n" in path.read_bytes()
    again = ["sweep", "--resume", path] if begun else [*words, "--out", path]
    code, _, errors, _ = machine.run(tmp_path, again)
    assert (code, errors) == (0, "")
    assert sweep_result(path) == sweep_result(whole)


@pytest.mark.nightly
def test_the_figure_of_a_sweep(machine, tmp_path):
    """It costs the figure, not the table."""
    path = tmp_path / "sweep.jsonl"
    words = ["sweep", "lines", "--grid", "epochs=1,2", "--jobs", 1, "--out", path]
    code, output, errors, _ = machine.run(tmp_path, words, 2, 5000)
    assert code == 0
    assert "2 of 2 points of lines" in output
    assert errors.startswith("Warning: the figure is not drawn: ")
    assert str(path.with_suffix(".html")) in errors
    assert not parts(tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("size", [0, 1000, 50_000])
def test_the_cache_of_compiled_kernels(size, tmp_path):
    code, expected, _, errors = start(tmp_path / "room")
    assert code == 0, errors
    code, result, _, errors = start(tmp_path / "full", size)
    assert (code, result) == (0, expected), errors
    assert "Traceback" not in errors
    assert not parts(tmp_path / "full")
    code, result, _, _ = start(tmp_path / "full")
    assert (code, result) == (0, expected)


def test_save_on_a_full_disk(tmp_path):
    """In this process, as programs use it."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "a.neocog"
    network = neocog.models.tiny_cnn(1)
    neocog.save(network, path)
    before, (now, most) = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, most))
        with pytest.raises(OSError, match="File too large") as caught:
            neocog.save(neocog.models.tiny_cnn(2), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (now, most))
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
