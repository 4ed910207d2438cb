import io

import numpy as np
import pytest

import neocog
from neocog.training import CSVLog, EarlyStopping, KernelSnapshots, Progress


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
