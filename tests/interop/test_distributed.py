"""Two processes under ``torchrun`` against one; a killed process; a Ctrl-C."""

import csv
import inspect
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
from neocog.interop.torch import to_torch
from neocog.interop.torch.distributed import share_batch_statistics
from neocog.settings import settings_for
from neocog.training import Callback

# Processes that start, wait for each other and are killed: one such test at a time.
pytestmark = pytest.mark.xdist_group("processes")

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


def command(name):
    """Return the words after ``neocog`` by which a job trains with some settings."""
    options = [
        part for key, value in SETTINGS[name].items() for part in (f"--{key.replace('_', '-')}", str(value))
    ]
    return ["train", "digits", "--engine", "torch", *options, "--out", "two"]


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Status, output, errors and folder of a job that trains "best" by the command, and then runs SCRIPT."""
    folder = tmp_path_factory.mktemp("job")
    classes = "\n".join(map(inspect.getsource, (Halve, Clip, Scale)))
    script = SCRIPT.replace("CLASSES", classes).replace("COMMAND", repr(["neocog", *command("best")]))
    (folder / "script.py").write_text(script)
    return *finish(torchrun(folder=folder, program=["script.py"])), folder


@pytest.mark.parametrize("name", [pytest.param("uneven", marks=pytest.mark.nightly), "best"])
def test_two_processes_train_like_one(name, tmp_path, request):
    if name == "best":
        status, out, err, folder = request.getfixturevalue("job")
    else:
        folder = tmp_path
        status, out, err = finish(torchrun(*command(name)[1:], folder=folder))
    assert status == 0, err
    assert out.count("epoch 1/") == 1  # the second process is silent
    assert (folder / "two" / "report.html").exists()
    settings = settings_for("digits", engine="torch", **SETTINGS[name])
    runs.train(settings, tmp_path / "one", stream=io.StringIO())
    assert_same_course(folder / "two", tmp_path / "one", rtol=1e-3)
    one, two = (neocog.load(run / "model.neocog") for run in (tmp_path / "one", folder / "two"))
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

    runs.resume(run, stream=io.StringIO())  # by one process: its batches are the same
    assert [row["epoch"] for row in rows(run)] == [0, 1, 2, 3, 4]
    settings = settings_for("digits", engine="torch", network="small-cnn", epochs=4)
    runs.train(settings, tmp_path / "whole", stream=io.StringIO())
    assert_same_course(run, tmp_path / "whole", rtol=2e-2)


@pytest.mark.nightly
def test_ctrl_c_saves_in_all_processes(tmp_path):
    arguments = ("digits", "--engine", "torch", "--epochs", 500, "--no-report", "--out", "run")
    process = torchrun(*arguments, folder=tmp_path)
    wait_for_epoch(process, tmp_path / "run", 1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    status, _, err = finish(process)
    assert status != 0
    assert "continue with: neocog train --resume run" in err
    assert (tmp_path / "run" / "checkpoint.neocog").exists()
    done = len(rows(tmp_path / "run")) - 1
    assert 1 <= done < 500
    arguments = ("--resume", "run", "--epochs", done + 1, "--no-report")
    status, _, err = finish(torchrun(*arguments, folder=tmp_path))
    assert status == 0, err
    assert rows(tmp_path / "run")[-1]["epoch"] == done + 1


class Halve(Callback):
    def on_epoch(self, run):
        run.optimizer.lr /= 2


class Clip(Callback):
    def on_epoch(self, run):
        for array in run.network.params.values():
            np.clip(array, -0.1, 0.1, out=array)


class Scale(neocog.Layer):
    def __init__(self):
        super().__init__()
        self._params["scale"] = np.full(64, 0.5, np.float32)

    def forward(self, x, training=False):
        return x * self._params["scale"], x

    def backward(self, dy, cache, input_grad=True):
        return dy * self._params["scale"], {"scale": (dy * cache).sum(axis=0)}


SCRIPT = """
import atexit, hashlib, os, runpy, sys
from pathlib import Path

@atexit.register  # before neocog is imported: runs after all that it does at exit
def tell_threads():
    names = [task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").glob("*")]
    Path(f"threads{rank}.txt").write_text(" ".join(names))

import numpy as np
import neocog
from neocog import Conv2D, BatchNorm2D, Flatten, GlobalAvgPool2D, Reshape, Dense, SGD, Sequential
from neocog.training import Callback, EarlyStopping

CLASSES

rank = int(os.environ["RANK"])
sys.argv = COMMAND
try:
    runpy.run_module("neocog", run_name="__main__")
except SystemExit as end:
    if end.code:
        raise

told = open(f"told{rank}.txt", "w")
digits = neocog.data.digits()
few = (digits.train[0][:40], digits.train[1][:40])

def report(name, network, history):
    arrays = [*network.params.values(), *network.buffers.values()]
    weights = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:8]
    loss = history.last["train_loss"]
    print(name, weights, len(history), f"{loss:.9f}", history.stopped, file=told)

def train(name, network, data=few, **arguments):
    try:
        report(name, network, neocog.fit(network, data, engine="torch", **{"epochs": 2} | arguments))
    except Exception as error:
        print(name, type(error).__name__, error, file=told)

def linear(**more):
    return Sequential(Flatten(), Dense(64, 10, rng=0), **more)

stopping = EarlyStopping("val_accuracy", patience=1)
small = neocog.models.small_cnn(seed=0)
train("stop", small, digits, optimizer=SGD(0.3, 0.9), epochs=50, batch_size=128, rng=0, callbacks=[stopping])
train("unseeded", linear(), optimizer=SGD(lambda step: 0.1 / (1 + step)))
train("halve", linear(), rng=0, epochs=4, optimizer=SGD(0.5), callbacks=[Halve()])
train("clip", linear(), rng=0, epochs=4, optimizer=SGD(0.5), callbacks=[Clip()])
train("other-data", linear(), tuple(part[: 40 - 9 * rank] for part in few), rng=0)
normed = Sequential(Flatten(), Reshape((0, 64, 1, 1)), BatchNorm2D(64), Flatten(), Dense(64, 10, rng=0))
train("one-value", normed, rng=0, batch_size=39)
reshaping = Sequential(Conv2D(1, 10, 3, rng=0), GlobalAvgPool2D(), Reshape((0, -1)))
train("reshape", reshaping, rng=0, batch_size=39)
train("no-weights", Sequential(Conv2D(1, 10, 8, rng=0), Flatten())[1:], (few[0][:, :, :2, :5], few[1]), rng=0)

train("own", Sequential(Flatten(), Scale(), Dense(64, 10, rng=0)), rng=0, epochs=3)
train("bad-layer", Sequential(train=Flatten()))
train("diverge", linear(), rng=0, optimizer=SGD(1e38), epochs=3)

class Fade(Callback):
    def on_epoch(self, run):
        run.network["drop"].p = 0.0

faded = Sequential(flatten=Flatten(), drop=neocog.Dropout(0.9, rng=0), dense=Dense(64, 10, rng=0))
train("fade", faded, rng=0, epochs=3, callbacks=[Fade()])
print("dropped", faded["drop"].p, file=told)
if rank == 1:  # as PyTorch's documentation has scripts end
    import torch
    torch.distributed.destroy_process_group()
else:
    train("left", linear(), rng=0)
"""


def test_what_is_given_and_changed_in_several_processes(job):
    status, _, err, folder = job
    assert status == 0, err
    # A thread of gloo that is still there when the interpreter goes may abort the process.
    threads = [(folder / f"threads{rank}.txt").read_text() for rank in (0, 1)]
    assert not any("gloo" in names for names in threads), threads
    lines = [(folder / f"told{rank}.txt").read_text().splitlines() for rank in (0, 1)]
    found = [dict(line.split(maxsplit=1) for line in texts) for texts in lines]
    told = {name: (found[0][name], found[1][name]) for name in found[1]}
    # The same weights, epochs and loss in both, whatever callbacks of the first have done.
    for name in ("stop", "unseeded", "halve", "clip", "reshape", "no-weights", "own"):
        assert told[name][0].split()[:3] == told[name][1].split()[:3], (name, told[name])
    assert told["stop"][0].split()[1] != "51"
    assert "val_accuracy has not improved" in told["stop"][0]
    assert "another process requested a stop" in told["stop"][1]
    data = neocog.data.digits()
    few = data.train[0][:40], data.train[1][:40]
    for name, callback in (("halve", Halve()), ("clip", Clip())):  # as one process does it
        network = neocog.Sequential(neocog.Flatten(), neocog.Dense(64, 10, rng=0))
        history = neocog.fit(
            network, few, rng=0, epochs=4, optimizer=neocog.SGD(0.5), callbacks=[callback], engine="torch"
        )
        assert float(told[name][0].split()[2]) == pytest.approx(history.last["train_loss"], rel=1e-4)
    network = neocog.Sequential(neocog.Flatten(), Scale(), neocog.Dense(64, 10, rng=0))
    history = neocog.fit(network, few, rng=0, epochs=3)
    assert float(told["own"][0].split()[2]) == pytest.approx(history.last["train_loss"], rel=1e-4)
    # Errors in all processes.
    messages = {
        "other-data": "ValueError all processes must be given the same as the first; ",
        "one-value": "ValueError batch_size must not leave a last batch of one image",
        "bad-layer": "ValueError Sequential: attribute 'train' already exists; give the layer another name",
        "diverge": "NonFiniteLossError the loss is not finite",
    }
    for name, message in messages.items():
        for text in told[name]:
            assert text.startswith(message), text
    # What the first has changed in a layer holds for all; its callback is called before the first epoch.
    assert told["dropped"] == ("0.0", "0.0")
    network = neocog.Sequential(neocog.Flatten(), neocog.Dense(64, 10, rng=0))
    history = neocog.fit(network, few, rng=0, epochs=3, engine="torch")
    assert float(told["fade"][0].split()[2]) == pytest.approx(history.last["train_loss"], rel=1e-4)
    # The second process has left.
    assert found[0]["left"].startswith("WorkerLostError process 0 of 2 has lost another one")
    assert "Process group cannot be None" not in err


def test_several_processes_need_the_engine_torch(tmp_path, monkeypatch):
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "localhost")):
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=r"engine must be 'torch' for 2 processes .*, got 'neocog'"):
        runs.train(settings_for("lines", epochs=1), tmp_path / "run", stream=io.StringIO())
    assert not (tmp_path / "run").exists()


def test_a_rank_alone_makes_no_job(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    settings = settings_for("lines", engine="torch", epochs=1)
    assert runs.train(settings, tmp_path / "run", stream=io.StringIO()).directory.model.exists()


def test_a_device_that_is_not_there_leaves_no_directory(tmp_path):
    settings = settings_for("lines", engine="torch", device="cuda:99")
    with pytest.raises(ValueError, match="device must be one that PyTorch has here"):
        runs.train(settings, tmp_path / "run", stream=io.StringIO())
    assert not (tmp_path / "run").exists()


def test_a_batch_norm_at_two_places_is_replaced_at_both():
    norm = neocog.BatchNorm2D(2)
    inner = neocog.Sequential(norm)
    network = neocog.Sequential(neocog.Conv2D(1, 2, 3), norm, neocog.ReLU(), norm, inner, inner)
    module = to_torch(network)
    names = list(module.state_dict())
    shared = share_batch_statistics(module)
    norms = [shared[1], shared[3], shared[4][0], shared[5][0]]
    assert {type(each).__name__ for each in norms} == {"_GroupBatchNorm"}
    assert len(set(norms)) == 1
    assert list(shared.state_dict()) == names
