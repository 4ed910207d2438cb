"""Two processes under ``torchrun`` against one; a killed process; a Ctrl-C."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import neocog
from neocog import runs

COLUMNS = ("running_loss", "train_loss", "val_loss", "train_accuracy", "val_accuracy")


def torchrun(*arguments, folder, program=("-m", "neocog", "train")):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [*command, *program, *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process):
    try:
        out, err = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, out, err


def rows(run):
    history = json.loads((Path(run) / "history.json").read_text())
    return history["rows"]


def epochs_done(run):
    """Epochs in the history that a run under way keeps up to date."""
    path = Path(run) / "history.csv"
    with open(path, encoding="utf-8") as file:
        return len(list(csv.DictReader(file))) - 1


def wait_for_epoch(process, run, epoch):
    for _ in range(1200):
        if (Path(run) / "history.csv").exists() and epochs_done(run) >= epoch:
            return
        if process.poll() is not None:
            pytest.fail("".join(process.communicate()))
        time.sleep(0.05)
    pytest.fail("training has not begun")


def assert_same_course(run, other, rtol):
    assert len(rows(run)) == len(rows(other))
    for mine, theirs in zip(rows(run), rows(other), strict=True):
        for column in COLUMNS:
            if mine[column] is not None:
                assert mine[column] == pytest.approx(theirs[column], rel=rtol, abs=1e-4), column


def processes_of(leader):
    """Map rank to process id, of the processes that a torchrun has started."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = (path / "stat").read_text().rsplit(")", 1)[1].split()[1]
            environment = (path / "environ").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        ranks = [part[5:] for part in environment if part.startswith(b"RANK=")]
        if int(parent) == leader and ranks:
            found[int(ranks[0])] = int(path.name)
    return found


SETTINGS = {
    # The last batch has one image, so that the second process has none.
    "uneven": {"batch_size": 673, "epochs": 3},
    # Batch norm over both processes, AdamW under a schedule, label smoothing, augmentation.
    "best": {"recipe": "best", "epochs": 2, "batch_size": 64},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_two_processes_train_like_one(name, tmp_path):
    options = [
        part for key, value in SETTINGS[name].items() for part in (f"--{key.replace('_', '-')}", value)
    ]
    process = torchrun("digits", "--engine", "torch", *options, "--out", "two", folder=tmp_path)
    status, out, err = finish(process)
    assert status == 0, err
    assert out.count("epoch 1/") == 1  # the second process is silent
    assert (tmp_path / "two" / "report.html").exists()
    settings = runs.settings_for("digits", engine="torch", **SETTINGS[name])
    runs.train(settings, tmp_path / "one", stream=io.StringIO())
    assert_same_course(tmp_path / "two", tmp_path / "one", rtol=1e-3)
    one, two = (neocog.load(tmp_path / run / "model.neocog") for run in ("one", "two"))
    for key, array in one.params.items():
        np.testing.assert_allclose(two.params[key], array, atol=2e-3, err_msg=key)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for the processes in /proc")
def test_a_killed_process_ends_the_run_and_the_checkpoint_goes_on(tmp_path):
    arguments = ("digits", "--engine", "torch", "--network", "small-cnn", "--no-report", "--out", "run")
    process = torchrun(*arguments, "--epochs", 4, folder=tmp_path)
    run = tmp_path / "run"
    wait_for_epoch(process, run, 1)
    os.kill(processes_of(process.pid)[1], signal.SIGKILL)
    status, _, err = finish(process)
    assert status != 0
    assert "process 0 of 2 has lost another one" in err
    assert "can be resumed from its last checkpoint" in err
    assert not (run / "model.neocog").exists()
    assert 1 <= epochs_done(run) < 4

    status, _, err = finish(torchrun("--resume", "run", "--no-report", folder=tmp_path))
    assert status == 0, err
    assert [row["epoch"] for row in rows(run)] == [0, 1, 2, 3, 4]
    settings = runs.settings_for("digits", engine="torch", network="small-cnn", epochs=4)
    runs.train(settings, tmp_path / "whole", stream=io.StringIO())
    assert_same_course(run, tmp_path / "whole", rtol=2e-2)


def test_ctrl_c_saves_in_all_processes(tmp_path):
    arguments = ("digits", "--engine", "torch", "--epochs", 500, "--no-report", "--out", "run")
    process = torchrun(*arguments, folder=tmp_path)
    wait_for_epoch(process, tmp_path / "run", 1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    status, _, err = finish(process)
    assert status != 0
    assert "go on with: neocog train --resume run" in err
    assert (tmp_path / "run" / "checkpoint.neocog").exists()
    done = len(rows(tmp_path / "run")) - 1
    assert 1 <= done < 500
    resumed = runs.resume(tmp_path / "run", done + 1, stream=io.StringIO())
    assert resumed.history.last["epoch"] == done + 1


SCRIPT = """
import os, sys
import neocog
from neocog.training import EarlyStopping

network = neocog.models.small_cnn(seed=0)
history = neocog.fit(
    network,
    neocog.data.digits(),
    optimizer=neocog.SGD(0.3, 0.9),
    epochs=50,
    batch_size=128,
    rng=0,
    callbacks=[EarlyStopping("val_accuracy", patience=1)],
    engine="torch",
)
neocog.save(network, sys.argv[1] + os.environ["RANK"] + ".neocog")
print(len(history), history.stopped, flush=True)
"""


def test_all_processes_stop_together_with_the_best_weights(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    status, out, err = finish(torchrun(tmp_path / "rank", folder=tmp_path, program=["script.py"]))
    assert status == 0, err
    lines = sorted(out.splitlines())
    assert lines[0].split()[0] == lines[1].split()[0] != "51"
    assert {line.split(maxsplit=1)[1][:12] for line in lines} == {"val_accuracy", "another proc"}
    leader, follower = (neocog.load(tmp_path / f"rank{rank}.neocog") for rank in (0, 1))
    for name, array in {**leader.params, **leader.buffers}.items():
        np.testing.assert_array_equal({**follower.params, **follower.buffers}[name], array, err_msg=name)
