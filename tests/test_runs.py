"""Run directories: no dead ends, one process at a time, and errors that name the file."""

import dataclasses
import io
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import neocog
from neocog import runs
from neocog.settings import Settings

SETTINGS = Settings("lines", "tiny-cnn", 3, 0.12, 0.0, 0.0, 18, 5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    runs.train(SETTINGS, out, stream=io.StringIO())
    return out


def same_model(one, other):
    a, b = neocog.load(one / "model.neocog"), neocog.load(other / "model.neocog")
    return all(np.array_equal(a.params[name], b.params[name]) for name in a.params)


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
