import io
import pickle

import numpy as np
import pytest
import torch

import neocog
from neocog.training import (
    Callback,
    Checkpoint,
    CSVLog,
    EarlyStopping,
    KeepBest,
    KernelSnapshots,
    Progress,
    ReduceLROnPlateau,
)


def train(callbacks, epochs=6, network=None, lr=0.1, data=None):
    network = network or neocog.models.tiny_cnn(3)
    data = data or neocog.data.line_patterns("b")
    sgd = neocog.SGD(lr=lr)
    history = neocog.fit(
        network, data, optimizer=sgd, epochs=epochs, batch_size=18, rng=0, callbacks=callbacks
    )
    return network, history


def test_early_stopping_restores_the_best_weights():
    # A large learning rate makes the loss jump, so that the last epoch is not the best.
    stopping = EarlyStopping(patience=3)
    network, history = train([stopping], epochs=60, lr=0.9)
    losses = history["val_loss"]
    assert stopping.best_epoch == int(np.argmin(losses))
    assert stopping.best == min(losses)
    assert len(losses) - 1 == stopping.best_epoch + 3
    assert "val_loss has not improved for 3 epochs" in history.stopped
    data = neocog.data.line_patterns("b")
    assert neocog.evaluate(network, *data.validation).loss == pytest.approx(min(losses), rel=1e-14)


def test_early_stopping_on_accuracy_looks_upwards():
    stopping = EarlyStopping("val_accuracy", patience=2)
    _, history = train([stopping], epochs=60)
    assert stopping.best == max(history["val_accuracy"])


def test_early_stopping_can_leave_the_last_weights():
    data = neocog.data.line_patterns("b")
    network, history = train([EarlyStopping(patience=3, restore_best=False)], epochs=60, lr=0.9)
    last = neocog.evaluate(network, *data.validation).loss
    assert last == pytest.approx(history["val_loss"][-1], rel=1e-14)


def test_early_stopping_restores_running_statistics():
    network = neocog.Sequential(
        neocog.Flatten(), neocog.Dense(64, 3, rng=0), neocog.BatchNorm1D(3), neocog.Dense(3, 3, rng=1)
    )
    _, history = train([EarlyStopping(patience=2)], epochs=40, network=network, lr=2.0)
    data = neocog.data.line_patterns("b")
    best = neocog.evaluate(network, *data.validation).loss
    assert best == pytest.approx(min(history["val_loss"]), rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"monitor": "val_los"}, "Did you mean 'val_loss'"),
        ({"monitor": "seconds"}, "monitor must be one of"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"min_delta": -1}, "min_delta must be in"),
    ],
)
def test_early_stopping_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        EarlyStopping(**arguments)


def test_early_stopping_needs_validation_data():
    data = neocog.data.line_patterns("b")
    with pytest.raises(ValueError, match="no validation data"):
        train([EarlyStopping()], data=data.train)


@pytest.mark.parametrize(("monitor", "best"), [("val_loss", np.argmin), ("val_accuracy", np.argmax)])
def test_keep_best_restores_the_best_weights_and_never_stops(monitor, best):
    keep = KeepBest(monitor)
    network, history = train([keep], epochs=20, lr=0.9)
    assert len(history) == 21
    assert not history.stopped
    assert keep.best_epoch == int(best(history[monitor])) < 20
    measured = neocog.evaluate(network, *neocog.data.line_patterns("b").validation)
    assert measured.loss == pytest.approx(history["val_loss"][keep.best_epoch], rel=1e-14)


def test_keep_best_refuses():
    with pytest.raises(ValueError, match="KeepBest monitors 'val_loss', but there is no validation data"):
        train([KeepBest()], data=neocog.data.line_patterns("b").train)
    with pytest.raises(ValueError, match="Did you mean 'val_accuracy'"):
        KeepBest("val_acuracy")


class Measured(Callback):
    """Put made-up numbers into the history, before the callbacks after it look."""

    def __init__(self, column, values):
        self.column, self.values = column, values

    def on_epoch(self, state):
        state.history.last[self.column] = self.values[state.epoch]


class Rates(Callback):
    def reset(self):
        self.rates = []

    def on_epoch(self, state):
        self.rates.append(state.optimizer.current_lr)


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy", "train_loss"])
@pytest.mark.parametrize(
    "options",
    [
        {"factor": 0.5, "patience": 0},
        {"factor": 0.5, "patience": 2},
        {"factor": 0.1, "patience": 1, "cooldown": 3},
        {"factor": 0.3, "patience": 1, "threshold": 0.05},
        {"factor": 0.1, "patience": 0, "min_lr": 0.004},
        {"factor": 1e-4, "patience": 0},  # steps of less than 1e-8 are not taken
    ],
)
def test_plateau_is_pytorchs(options, monitor):
    rng = np.random.default_rng(3)
    values = np.concatenate([[0.0], 0.5 + np.exp(-np.arange(40) / 8) + rng.normal(0, 0.02, 40)])
    mode = "max" if monitor.endswith("accuracy") else "min"
    if mode == "max":
        values = 2 - values
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    peer = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode, **options)
    expected = [0.1]
    for value in values[1:]:
        optimizer.step()
        peer.step(value)
        expected.append(optimizer.param_groups[0]["lr"])
    rates = Rates()
    train([Measured(monitor, values.tolist()), ReduceLROnPlateau(monitor, **options), rates], epochs=40)
    assert rates.rates == pytest.approx(expected, rel=1e-12)
    assert len(set(expected)) > 1


def test_plateau_refuses():
    data = neocog.data.line_patterns("b")
    with pytest.raises(ValueError, match="ReduceLROnPlateau monitors 'val_loss', but there is no validation"):
        train([ReduceLROnPlateau()], data=data.train)
    with pytest.raises(ValueError, match=r"needs a constant learning rate, got Cosine\(.*; leave out one"):
        train([ReduceLROnPlateau()], lr=neocog.schedules.Cosine(0.1, 5))
    for arguments, message in (
        ({"factor": 1}, r"factor must be in \(0, 1\), got 1"),
        ({"patience": -1}, "patience must be at least 0"),
        ({"monitor": "lr"}, "monitor must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            ReduceLROnPlateau(**arguments)


class StopAfter(Callback):
    """Interrupt in the middle of an epoch."""

    def __init__(self, batches):
        self.left = batches

    def on_batch(self, state):
        self.left -= 1
        if not self.left:
            state.requested_stop = "interrupted"


@pytest.mark.parametrize("clip_norm", [None, 0.05])
def test_a_run_resumed_on_a_plateau_ends_as_one_that_never_stopped(tmp_path, clip_norm):
    def run(extra=(), resume=None):
        network, optimizer = neocog.models.tiny_cnn(3), neocog.SGD(0.9, momentum=0.5, clip_norm=clip_norm)
        plateau, keep = ReduceLROnPlateau(patience=1, factor=0.5, cooldown=1), KeepBest()
        losses = Measured("val_loss", [9, 8, 7, 6, 5, 4, 3, 2, 1, 2, 2, 2, 2, 2, 2, 2, 2])
        history = neocog.fit(
            network,
            neocog.data.line_patterns("b"),
            optimizer=optimizer,
            epochs=16,
            batch_size=18,
            rng=0,
            callbacks=[losses, plateau, keep, *extra],
            resume=resume,
        )
        return network, history, optimizer, keep, plateau

    whole = run()
    path = tmp_path / "checkpoint"
    batches = -(-len(neocog.data.line_patterns("b").train[1]) // 18)
    run([StopAfter(9 * batches + 1), Checkpoint(path)])
    resumed = run([Checkpoint(path)], resume=path)
    for name, array in whole[0].params.items():
        assert np.array_equal(array, resumed[0].params[name])
    assert resumed[1]["val_loss"] == whole[1]["val_loss"]
    assert whole[2].lr == resumed[2].lr == 0.9 / 8  # lowered after epochs 10, 13 and 16
    assert resumed[3].best_epoch == whole[3].best_epoch == 8
    assert resumed[4].state_dict() == whole[4].state_dict()


def test_snapshots_of_another_parameter():
    snapshots = KernelSnapshots((0, 2), parameter="dense.weight")
    network, _ = train([snapshots], epochs=3)
    assert list(snapshots.snapshots) == [0, 2, 3]
    np.testing.assert_array_equal(snapshots.snapshots[0], neocog.models.tiny_cnn(3).params["dense.weight"])
    np.testing.assert_array_equal(snapshots.snapshots[3], network.params["dense.weight"])


def test_snapshots_need_a_convolution():
    with pytest.raises(ValueError, match="no convolution"):
        train([KernelSnapshots()], network=neocog.models.tiny_mlp())
    with pytest.raises(ValueError, match="parameter must be one of"):
        train([KernelSnapshots(parameter="conv9.weight")])


def test_csv_log_follows_the_epochs(tmp_path):
    path = tmp_path / "log.csv"
    _, history = train([CSVLog(path)], epochs=2)
    lines = path.read_text().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("epoch,running_loss,train_loss")
    assert lines[1].startswith("0,,")  # there is no running loss before the first step
    assert float(lines[-1].split(",")[2]) == history["train_loss"][-1]


def test_progress_prints_a_plain_line_an_epoch():
    stream = io.StringIO()
    train([Progress(stream)], epochs=2)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert "untrained" in lines[0]
    assert lines[2].startswith("epoch 2/2  loss ")
    assert "validation: loss" in lines[2]
    assert "\x1b" not in stream.getvalue()


def test_progress_on_a_terminal_is_a_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    train([Progress(stream)], epochs=2)
    assert "training" in stream.getvalue()
    assert "epoch 2/2" in stream.getvalue()


def test_callbacks_used_again_forget_the_run_before():
    stopping, snapshots = EarlyStopping(patience=50), KernelSnapshots((0, 1, 2))
    train([stopping, snapshots], epochs=4)
    network, history = train([stopping, snapshots], epochs=1, lr=0.001)
    assert stopping.best == min(history["val_loss"])
    assert list(snapshots.snapshots) == [0, 1]
    data = neocog.data.line_patterns("b")
    last = neocog.evaluate(network, *data.validation).loss
    assert last == pytest.approx(min(history["val_loss"]), rel=1e-14)


def test_progress_writes_no_control_codes_into_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with open(tmp_path / "log.txt", "w") as log:
        train([Progress(log)], epochs=1)
    assert "\x1b" not in (tmp_path / "log.txt").read_text()


class WriteOnly:
    """All that print needs of a stream."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


def test_progress_needs_no_more_of_a_stream_than_write():
    stream = WriteOnly()
    train([Progress(stream)], epochs=1)
    assert stream.text.startswith("epoch 0/1  loss ")
    assert stream.text.count("\n") == 2


class TerminalWithoutFlush(WriteOnly):
    def isatty(self):
        return True


class Falsy(WriteOnly):
    """A stream that is empty, as a list that counts its lines is, is a stream all the same."""

    def __len__(self):
        return 0


@pytest.mark.parametrize("kind", [TerminalWithoutFlush, Falsy])
def test_progress_on_streams_of_other_kinds(kind, capsys):
    stream = kind()
    train([Progress(stream)], epochs=1)
    assert "epoch 1/1" in stream.text
    assert capsys.readouterr().out == ""


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


class ClosedPipe(WriteOnly):
    def write(self, text):
        raise BrokenPipeError


@pytest.mark.parametrize("out", [None, closed(), ClosedPipe()], ids=["none", "closed", "broken pipe"])
def test_no_output_is_no_reason_not_to_train(out, monkeypatch):
    """Under pythonw, in windowed programs and services there is no standard output."""
    monkeypatch.setattr("sys.stdout", out)
    _, history = train([Progress()], epochs=1)
    assert len(history) == 2
    copied = pickle.loads(pickle.dumps(Progress()))
    assert copied.stream is None


def test_progress_in_an_encoding_that_lacks_a_character():
    class Stops(Callback):
        def on_epoch(self, state):
            return "25 \N{DEGREE SIGN} \N{GREEK SMALL LETTER ALPHA}"

    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", newline="\n")
    train([Progress(stream), Stops()])
    assert stream.buffer.getvalue().decode("latin-1").endswith("stopped: 25 \xb0 \\u03b1\n")


@pytest.mark.parametrize("make", [KeepBest, EarlyStopping, ReduceLROnPlateau])
@pytest.mark.parametrize("column", ["val_accuracy", "train_accuracy"])
def test_a_column_that_stays_empty_is_refused_before_the_first_step(make, column):
    """Nothing would ever improve: it would never stop, and keep the last weights as the best."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 1, 8, 8)), rng.normal(size=(20, 3))
    network = neocog.models.tiny_cnn(3)
    before = network.params["conv1.weight"].copy()
    message = f"a column that holds numbers, got '{column}'.* has 'running_loss', 'train_loss', 'val_loss'"
    with pytest.raises(ValueError, match=message):
        neocog.fit(network, ((x, y), (x, y)), loss=neocog.MeanSquaredError(), rng=0, callbacks=[make(column)])
    np.testing.assert_array_equal(network.params["conv1.weight"], before)


def test_the_running_loss_can_be_monitored_though_the_untrained_network_has_none():
    best = KeepBest("running_loss")
    _, history = train([best, EarlyStopping("running_loss", patience=50)], epochs=3)
    assert best.best == min(history["running_loss"][1:])
