"""A run that was interrupted, or killed, and resumed ends bit for bit as one that never stopped."""

import signal
import subprocess
import sys

import numpy as np
import pytest

import neocog
from neocog import BatchNorm2D, Conv2D, Dense, Dropout, Flatten, MaxPool2D, ReLU, Sequential
from neocog.data import Compose, Noise, Shift
from neocog.layers import LeakyReLU, StochasticDepth
from neocog.serialization import ModelFileError
from neocog.training import Callback, Checkpoint, EarlyStopping, KernelSnapshots


def network():
    return Sequential(
        Conv2D(1, 3, 3, rng=1),
        BatchNorm2D(3),
        ReLU(),
        MaxPool2D(2),
        StochasticDepth(0.3, rng=4),
        Flatten(),
        Dropout(0.3, rng=2),
        Dense(27, 3, rng=3),
    )


class StopAtBatch(Callback):
    def __init__(self, n):
        self.n, self.seen = n, 0

    def on_batch(self, run):
        self.seen += 1
        if self.seen == self.n:
            signal.raise_signal(signal.SIGINT)


def train(path, epochs, stop_at=None, resume=None, optimizer=None, batch_size=18, extra=()):
    net = network()
    optimizer = optimizer or neocog.AdamW(lr=neocog.schedules.Cosine(0.01, steps=60), weight_decay=0.01)
    rng = np.random.default_rng(9)
    callbacks = [EarlyStopping(patience=50), KernelSnapshots((0, 1, 2, 4)), *extra]
    if stop_at is not None:
        callbacks.append(StopAtBatch(stop_at))
    history = neocog.fit(
        net,
        neocog.data.line_patterns("b"),
        optimizer=optimizer,
        epochs=epochs,
        batch_size=batch_size,
        rng=rng,
        augment=Compose(Shift(1), Noise(0.05)),
        callbacks=[*callbacks, Checkpoint(path)],
        resume=resume,
    )
    return net, optimizer, rng, history, callbacks


def assert_same_run(one, two):
    (net1, opt1, rng1, history1, calls1), (net2, opt2, rng2, history2, calls2) = one, two
    for kind in ("params", "buffers"):
        for name, array in getattr(net1, kind).items():
            assert array.tobytes() == getattr(net2, kind)[name].tobytes(), name
    assert opt1.steps == opt2.steps
    for memory, arrays in opt1.state.items():
        for name, array in arrays.items():
            assert array.tobytes() == opt2.state[memory][name].tobytes()
    assert rng1.bit_generator.state == rng2.bit_generator.state
    for name in ("4", "6"):  # what drops branches, and what drops numbers
        assert net1[name].rng.bit_generator.state == net2[name].rng.bit_generator.state
    for row1, row2 in zip(history1.rows, history2.rows, strict=True):
        assert row1.keys() == row2.keys()
        for column in row1.keys() - {"seconds"}:
            np.testing.assert_equal(row1[column], row2[column])
    assert calls1[0].best == calls2[0].best
    assert calls1[0].best_epoch == calls2[0].best_epoch
    assert calls1[1].snapshots.keys() == calls2[1].snapshots.keys()
    for epoch, kernels in calls1[1].snapshots.items():
        np.testing.assert_array_equal(kernels, calls2[1].snapshots[epoch])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(tmp_path_factory.mktemp("whole") / "c.neocog", 5)


@pytest.mark.parametrize("stop_at", [1, 10, 23, 30, 49])
def test_interrupted_and_resumed(whole, tmp_path, stop_at):
    path = tmp_path / "c.neocog"
    *_, history, _ = train(path, 5, stop_at=stop_at)
    assert history.stopped == "interrupted"
    assert_same_run(whole, train(path, 5, resume=path))


def test_interrupted_twice(whole, tmp_path):
    path = tmp_path / "c.neocog"
    train(path, 5, stop_at=17)
    train(path, 5, stop_at=8, resume=path)
    assert_same_run(whole, train(path, 5, resume=path))


def test_finished_and_given_more_epochs(whole, tmp_path):
    """Early stopping puts the best weights back at the end; the checkpoint still holds the last."""
    path = tmp_path / "c.neocog"
    train(path, 2)
    assert_same_run(whole, train(path, 5, resume=path))


def test_killed_and_resumed(whole, tmp_path):
    path = tmp_path / "c.neocog"
    code = (
        "import os, signal, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from test_checkpoint import train, Callback\n"
        "class Kill(Callback):\n"
        "    n = 0\n"
        "    def on_batch(self, run):\n"
        "        self.n += 1\n"
        "        if self.n == 34: os.kill(os.getpid(), signal.SIGKILL)\n"
        "train(sys.argv[2], 5, extra=[Kill()])\n"
    )
    here = __file__.rpartition("/")[0]
    result = subprocess.run([sys.executable, "-c", code, here, str(path)], capture_output=True)
    assert result.returncode == -signal.SIGKILL, result.stderr.decode()
    assert_same_run(whole, train(path, 5, resume=path))


def test_a_failed_run_leaves_the_last_good_checkpoint(tmp_path):
    path = tmp_path / "c.neocog"

    class Poison(Callback):
        def on_batch(self, run):
            if run.epoch == 1 and len(run.batch_losses) == 4:
                run.network.params["7.bias"][0] = np.nan

    with pytest.raises(neocog.training.NonFiniteLossError):
        train(path, 5, extra=[Poison()])
    *_, history, _ = train(path, 1, resume=path)
    assert history["epoch"] == [0, 1]


def test_every_few_epochs(tmp_path):
    path = tmp_path / "c.neocog"
    saved = []

    class Watch(Callback):
        def on_epoch(self, run):
            saved.append(path.exists())

    neocog.fit(
        neocog.models.tiny_cnn(),
        neocog.data.line_patterns("b"),
        epochs=3,
        batch_size=60,
        rng=0,
        callbacks=[Checkpoint(path, every=2), Watch()],
    )
    # It runs last: what is there after epoch 0 is seen by the others in epoch 1.
    assert saved == [False, True, True, True]
    assert path.exists()


def refuse(path, message, **arguments):
    with pytest.raises(ModelFileError, match=message):
        train(path, 3, resume=path, **arguments)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    path = tmp_path / "c.neocog"
    train(path, 1)
    refuse(path, r"saved with optimizer AdamW.*, got SGD\(0.1\)", optimizer=neocog.SGD(lr=0.1))
    refuse(path, "saved with batch_size 18, got 20", batch_size=20)
    refuse(path, "saved with the callbacks", extra=[EarlyStopping()])
    with pytest.raises(ModelFileError, match="another network"):
        neocog.fit(neocog.models.tiny_cnn(), neocog.data.line_patterns("b"), resume=path)
    neocog.save(network(), path)
    refuse(path, "is a model, not a checkpoint")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        train(path, 3, resume=tmp_path / "none.neocog")


def test_a_truncated_checkpoint_is_refused(tmp_path):
    path = tmp_path / "c.neocog"
    train(path, 1)
    path.write_bytes(path.read_bytes()[:-100])
    refuse(path, "truncated")


def test_wherever_the_checkpoint_stands_it_runs_last(tmp_path):
    """Killed after any epoch, a run resumes with what early stopping knew after that epoch."""
    path = tmp_path / "c.neocog"

    def run(callbacks, **arguments):
        net = neocog.models.tiny_cnn(3)
        sgd = neocog.SGD(lr=0.9)
        data = neocog.data.line_patterns("b")
        return net, neocog.fit(
            net, data, optimizer=sgd, epochs=30, batch_size=18, rng=0, callbacks=callbacks, **arguments
        )

    expected, history = run([EarlyStopping(patience=3)])
    run([Checkpoint(path), EarlyStopping(patience=3), StopAtBatch(30)])
    got, resumed = run([Checkpoint(path), EarlyStopping(patience=3)], resume=path)
    assert len(resumed) == len(history)
    assert resumed.stopped == history.stopped
    for name, array in expected.params.items():
        assert array.tobytes() == got.params[name].tobytes()
    # It has stopped for good: to resume once more trains no more.
    again, third = run([Checkpoint(path), EarlyStopping(patience=3)], resume=path)
    assert len(third) == len(history)
    for name, array in expected.params.items():
        assert array.tobytes() == again.params[name].tobytes()


def test_other_data_or_settings_are_refused(tmp_path):
    path = tmp_path / "c.neocog"

    def run(seed=7, loss=None, epochs=2, **arguments):
        data, sgd = neocog.data.line_patterns("b", seed=seed), neocog.SGD(lr=0.1)
        neocog.fit(
            neocog.models.tiny_cnn(3),
            data,
            optimizer=sgd,
            epochs=epochs,
            rng=0,
            loss=loss,
            callbacks=[Checkpoint(path)],
            **arguments,
        )

    run()
    with pytest.raises(ModelFileError, match="saved with data"):
        run(seed=8, resume=path)
    with pytest.raises(ModelFileError, match=r"saved with loss SoftmaxCrossEntropy\(\), got"):
        run(loss=neocog.SoftmaxCrossEntropy(0.1), resume=path)
    with pytest.raises(ModelFileError, match="saved with augment None"):
        run(augment=Shift(1), resume=path)
    with pytest.raises(ModelFileError, match="has 2 epochs behind it already, got epochs=1"):
        run(epochs=1, resume=path)


def test_a_callback_that_remembers_late_is_resumed(tmp_path):
    path = tmp_path / "c.neocog"

    class Late(Callback):
        seen = 0

        def on_epoch(self, run):
            self.seen += 1

        def state_dict(self):
            return {"seen": self.seen} if self.seen else {}

        def load_state_dict(self, saved):
            self.seen = saved.get("seen", 0)

    train(path, 1, extra=[Late()])
    late = Late()
    train(path, 2, resume=path, extra=[late])
    assert late.seen == 3


class Fade(Callback):
    """Halves the rate, ends the dropout and lets a ReLU leak, epoch by epoch."""

    def on_epoch(self, run):
        run.optimizer.lr = np.float32(run.optimizer.lr / 2)
        run.optimizer.weight_decay += 0.01
        run.network["drop"].p = max(0.0, run.network["drop"].p - 0.2)
        run.network["relu"].negative_slope += 0.1


def fading(epochs, path, callbacks=(), resume=None, engine="neocog"):
    network = Sequential(
        flatten=Flatten(),
        dense=Dense(64, 8, rng=0),
        relu=LeakyReLU(0.1),
        drop=Dropout(0.5, rng=3),
        out=Dense(8, 3, rng=1),
    )
    history = neocog.fit(
        network, neocog.data.line_patterns("a"), optimizer=neocog.SGD(0.2, 0.9), epochs=epochs, rng=0,
        batch_size=8, callbacks=[Fade(), Checkpoint(path), *callbacks], resume=resume, engine=engine,
    )  # fmt: skip
    return network, history


@pytest.mark.parametrize("stop_at", [3, 25, 40])
def test_what_callbacks_change_goes_on_changed(tmp_path, stop_at):
    whole, expected = fading(4, tmp_path / "whole")
    fading(4, tmp_path / "part", [StopAtBatch(stop_at)])
    part, history = fading(4, tmp_path / "part", resume=tmp_path / "part")
    assert history["lr"][1:] == expected["lr"][1:]
    assert history["running_loss"][1:] == expected["running_loss"][1:]
    assert [layer.config() for _, layer in part.leaves()] == [layer.config() for _, layer in whole.leaves()]
    for name, array in whole.params.items():
        np.testing.assert_array_equal(part.params[name], array)


def test_an_interruption_at_the_end_hides_no_wish_to_stop(tmp_path):
    class Enough(Callback):
        def on_epoch(self, run):
            return "enough" if run.epoch == 2 else None

    def train(callbacks, resume=None):
        network, data = neocog.models.tiny_cnn(0), neocog.data.line_patterns("a")
        calls = [Enough(), Checkpoint(tmp_path / "c"), *callbacks]
        return neocog.fit(network, data, epochs=5, batch_size=8, rng=0, callbacks=calls, resume=resume)

    batches = -(-len(neocog.data.line_patterns("a").train[1]) // 8)
    assert train([StopAtBatch(2 * batches)])["epoch"] == [0, 1, 2]
    resumed = train([], tmp_path / "c")
    assert (resumed["epoch"], resumed.stopped) == ([0, 1, 2], "enough")
