"""What a user is told during training: right where something is wrong, and nothing where nothing is."""

import io

import numpy as np
import pytest

import neocog
from neocog import SGD, AdamW, runs
from neocog.data import Split
from neocog.data.sources import SOURCES, open_source
from neocog.recipes import RECIPES
from neocog.settings import Settings
from neocog.training import Diagnose
from neocog.training.history import History
from neocog.training.state import TrainingState


def train(network, data, optimizer, epochs=8, **arguments):
    stream = io.StringIO()
    diagnose = Diagnose(stream)
    neocog.fit(network, data, optimizer=optimizer, epochs=epochs, rng=0, callbacks=[diagnose], **arguments)
    assert stream.getvalue().splitlines() == [f"hint: {text}" for text in diagnose.messages.values()]
    assert all("\n" not in text for text in diagnose.messages.values())
    return diagnose.messages


TEXTBOOK = [("lines", "plain"), ("lines-b", "plain"), ("digits", "plain"), ("digits", "best")]


def messages_of_a_run(source, recipe, seed):
    settings = {"source": source, "recipe": recipe, **SOURCES[source].settings, **RECIPES[recipe].settings}
    settings = Settings(**settings | {"seed": seed})
    data = open_source(source)
    diagnose = Diagnose(io.StringIO())
    _, rng = runs.draw_sample(settings, len(data.train[1]))
    runs.fit_as(settings, data, runs.network_for(settings, data), rng, [diagnose])
    return diagnose.messages


@pytest.mark.parametrize(("source", "recipe", "seed"), [("lines", "plain", 42), ("lines-b", "plain", 3)])
def test_the_textbooks_runs_are_in_order(source, recipe, seed):
    assert messages_of_a_run(source, recipe, seed) == {}


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(42, 45))
@pytest.mark.parametrize(("source", "recipe"), TEXTBOOK)
def test_the_textbooks_runs_are_in_order_with_other_seeds(source, recipe, seed):
    assert messages_of_a_run(source, recipe, seed) == {}


def test_dead_units_and_chance():
    """Bright pictures and a rate that suits dark ones: the first step kills the last ReLU."""
    rng = np.random.default_rng(0)
    x, y = 0.6 + 0.4 * rng.random((160, 3, 12, 12)), np.arange(160) % 3
    found = train(
        neocog.models.conv_net((8, 16), 3, (3, 12, 12), seed=0), (x, y), SGD(0.5, 0.9), batch_size=8
    )
    assert found["dead units"].startswith(
        "16 of 16 units of 'relu2' are dead after epoch 1: 0 everywhere on 20 "
    )
    assert "Lower the learning rate, 0.5, give the pixels mean 0 (a layer Normalize)" in found["dead units"]
    assert found["chance"].startswith(
        "After 5 epochs the network is no better than chance: accuracy 0.338 at best on the training "
        "images, 0.338 for always answering '0'. Try a tenth and ten times the learning rate, 0.5, "
    )


def kept_alive(bias):
    """Twenty features, of which those with a bias of -100 never fire."""
    network = neocog.Sequential(
        flatten=neocog.Flatten(),
        hidden=neocog.Dense(64, 20, rng=0),
        relu=neocog.ReLU(),
        dense=neocog.Dense(20, 3, rng=1),
    )
    network.params["hidden.bias"][...] = bias
    return network


def test_half_of_the_units_may_be_dead():
    data = neocog.data.line_patterns("a")
    half = np.where(np.arange(20) < 10, -100.0, 1.0)
    assert "dead units" not in train(kept_alive(half), data, SGD(0.01))
    more = np.where(np.arange(20) < 11, -100.0, 1.0)
    assert train(kept_alive(more), data, SGD(0.01))["dead units"].startswith(
        "11 of 20 units of 'relu' are dead"
    )


def test_chance_is_the_most_frequent_class_by_weight():
    """Three of four images are of one class, but by their weights both count the same."""
    rng = np.random.default_rng(0)
    x, y = rng.random((400, 1, 8, 8)), (np.arange(400) % 4 == 0).astype(int)
    network = neocog.Sequential(neocog.Flatten(), neocog.Dense(64, 2, rng=0))
    found = train(network, Split((x, y), class_names=("cat", "dog")), SGD(1e-6), batch_size=10)
    assert "0.750 for always answering 'cat'" in found["chance"]
    weight = np.where(y == 1, 3.0, 1.0)
    found = train(
        network, Split((x, y), class_names=("cat", "dog")), SGD(1e-6), batch_size=10, sample_weight=weight
    )
    assert "0.500 for always" in found["chance"]


def test_chance_of_a_regression_is_the_mean():
    rng = np.random.default_rng(0)
    x, y = rng.random((400, 1, 8, 8)), rng.normal(3, 1, size=(400, 2))
    arguments = {"loss": neocog.MeanSquaredError(), "batch_size": 10}

    def network():
        return neocog.Sequential(neocog.Flatten(), neocog.Dense(64, 2, rng=0, dtype="float64"))

    found = train(network(), (x, y), SGD(1e-6), **arguments)
    assert f"loss {y.var():.4g}" not in found["chance"]
    assert f"{y.var(axis=0).mean():.4g} for always answering the mean of the targets" in found["chance"]
    assert train(network(), (x, x.sum(axis=(1, 2, 3))[:, None].repeat(2, 1)), SGD(1e-3), **arguments) == {}


def test_too_few_steps_are_no_reason_to_complain_before_the_end():
    x, y = neocog.data.digits().train

    class Seen(neocog.training.Callback):
        def on_epoch(self, state):
            self.epoch = state.epoch if "chance" not in diagnose.messages else self.epoch

    stream = io.StringIO()
    diagnose, seen = Diagnose(stream), Seen()
    network, arguments = neocog.models.digits_cnn(seed=0), {"batch_size": 60, "rng": 0}
    callbacks = [diagnose, seen]
    neocog.fit(network, (x[:60], y[:60]), optimizer=SGD(1e-6), epochs=12, callbacks=callbacks, **arguments)
    assert seen.epoch == 11
    assert "After 12 epochs" in diagnose.messages["chance"]
    assert "chance" not in train(network, (x[:60], y[:60]), SGD(1e-6), epochs=4, batch_size=60)


def test_overfitting():
    x, y = neocog.data.digits().train
    rng = np.random.default_rng(0)
    noisy = np.where(np.arange(60) % 3 == 0, rng.integers(0, 10, 60), y[:60])
    network = neocog.Sequential(
        neocog.Flatten(), neocog.Dense(64, 200, rng=0), neocog.ReLU(), neocog.Dense(200, 10, rng=1)
    )
    found = train(network, ((x[:60], noisy), (x[500:], y[500:])), AdamW(0.01), epochs=40)
    assert list(found) == ["overfitting"]
    assert found["overfitting"].startswith("Overfitting: since epoch ")
    assert "Keep the best epoch (KeepBest, EarlyStopping)" in found["overfitting"]


@pytest.mark.parametrize("lr", [10.0, 30.0])
def test_a_rate_that_is_too_high(lr):
    data = neocog.data.line_patterns("a")
    found = train(neocog.models.tiny_cnn(1), data, SGD(lr), epochs=12, batch_size=18)
    assert (
        f"the learning rate, {lr:.2g} at most, is probably too high; try {lr / 10:.2g}"
        in found["learning rate"]
    )


def after(**columns):
    """The state of a run with such a history; nothing but the history says that anything is wrong."""
    x, y = neocog.data.line_patterns("a").train
    network, optimizer = neocog.models.tiny_cnn(1), SGD(0.1)
    optimizer.step(network.params, {name: np.zeros_like(w) for name, w in network.params.items()})
    rows = len(next(iter(columns.values())))
    history = History()
    for epoch in range(rows):
        history.append(epoch=epoch, **{name: values[epoch] for name, values in columns.items()})
    state = TrainingState(
        network,
        Split((x, y)),
        neocog.SoftmaxCrossEntropy(),
        optimizer,
        99,
        18,
        np.random.default_rng(0),
        None,
        (),
    )
    state.history, state.epoch = history, rows - 1
    return state


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([1.0, 0.2, 0.46, 0.46, 0.5], True),  # more than twice the lowest, and up by a quarter of the first
        ([1.0, 0.2, 0.6, 0.39, 0.39], False),
        ([1.0, 0.2, 0.6, 0.6], False),  # a warm-up may jump, and make it good
        ([1.0, 0.01, 0.2, 0.2, 0.2], False),  # a small loss may tremble
        ([1.0, 0.9, 1.9, 1.9, 1.9], True),
        ([1.0, 1.0, 1.0, 1.0], False),
        ([1.0, 2.1, 2.1, 2.1], True),
    ],
)
def test_what_a_jump_is(losses, expected):
    diagnose = Diagnose(io.StringIO())
    diagnose.on_epoch(after(train_loss=losses, train_accuracy=[0.9] * len(losses)))
    assert ("learning rate" in diagnose.messages) is expected


TRAIN = [1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2]


@pytest.mark.parametrize(
    ("train_loss", "val_loss", "accuracy", "expected"),
    [
        (TRAIN, [1.0, 0.5, 0.51, 0.52, 0.54, 0.58, 0.61], [0.5, 0.8, 0.7, 0.7, 0.7, 0.7, 0.7], True),
        (TRAIN, [1.0, 0.5, 0.51, 0.52, 0.54, 0.56, 0.59], [0.5, 0.8, 0.7, 0.7, 0.7, 0.7, 0.7], False),
        (TRAIN, [1.0, 0.5, 0.51, 0.52, 0.54, 0.58, 0.61], [0.5, 0.8, 0.7, 0.7, 0.7, 0.7, 0.8], False),
        (TRAIN, [1.0, 0.8, 0.5, 0.52, 0.54, 0.58, 0.61], [0.5, 0.8, 0.8, 0.7, 0.7, 0.7, 0.7], False),
        ([1.0, 0.2] + [0.3] * 5, [1.0, 0.5, 0.7, 0.7, 0.7, 0.7, 0.7], [0.5, 0.8] + [0.7] * 5, False),
        (TRAIN, [1.0, 0.5, 0.51, 0.52, 0.54, 0.58, 0.61], [np.nan] * 7, True),
    ],
)
def test_what_overfitting_is(train_loss, val_loss, accuracy, expected):
    diagnose = Diagnose(io.StringIO())
    diagnose.on_epoch(
        after(train_loss=train_loss, val_loss=val_loss, val_accuracy=accuracy, train_accuracy=accuracy)
    )
    assert ("overfitting" in diagnose.messages) is expected


def test_each_line_is_said_once_and_a_run_can_be_resumed_with_or_without(tmp_path):
    path, data = tmp_path / "checkpoint.neocog", neocog.data.line_patterns("a")

    def run(epochs, callbacks, resume=None):
        callbacks = [*callbacks, neocog.training.Checkpoint(path)]
        arguments = {"batch_size": 18, "rng": 0, "callbacks": callbacks, "resume": resume}
        network, optimizer = neocog.models.tiny_cnn(1), SGD(30.0)
        return neocog.fit(network, data, optimizer=optimizer, epochs=epochs, **arguments)

    stream = io.StringIO()
    run(8, [Diagnose(stream)])
    kinds = [line.split(" ")[1] for line in stream.getvalue().splitlines()]
    assert len(kinds) == len(set(kinds)) >= 2
    run(9, [], resume=path)
    run(10, [Diagnose(stream)], resume=path)


def test_it_writes_to_several_streams_and_by_default_to_standard_output(capsys):
    first, second = io.StringIO(), io.StringIO()
    state = after(train_loss=[1.0, 9.0, 9.0, 9.0], train_accuracy=[0.9] * 4)
    for diagnose in (Diagnose(first, None, second), Diagnose()):
        diagnose.on_epoch(state)
    assert first.getvalue() == second.getvalue() != ""
    assert capsys.readouterr().out == 2 * first.getvalue()


def test_nothing_is_changed():
    data = neocog.data.line_patterns("a")
    networks = [neocog.models.tiny_cnn(1) for _ in range(2)]
    for network, callbacks in zip(networks, ([], [Diagnose(io.StringIO())]), strict=True):
        neocog.fit(network, data, optimizer=SGD(0.1), epochs=3, rng=0, callbacks=callbacks)
    for name, array in networks[0].params.items():
        np.testing.assert_array_equal(array, networks[1].params[name])


def test_a_line_beside_a_progress_bar_has_a_line_of_its_own(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("TERM", "xterm")
    callbacks = [neocog.training.Progress(stream), Diagnose(stream)]
    data = neocog.data.line_patterns("a")
    neocog.fit(neocog.models.tiny_cnn(1), data, optimizer=SGD(30.0), epochs=3, rng=0, callbacks=callbacks)
    before = stream.getvalue().partition("hint: ")[0]
    assert before.endswith(("\x1b[2K", "\n"))  # the bar's line has been erased


@pytest.mark.parametrize(
    ("losses", "expected"), [([1.0, 0.2, 0.9, 0.9, 0.9], False), ([1.0, 0.2] + [1.5] * 3, True)]
)
def test_a_schedule_that_rises_will_fall_again(losses, expected):
    state = after(train_loss=losses, train_accuracy=[0.9] * 5)
    state.optimizer.lr = neocog.schedules.OneCycle(0.1, 100)
    diagnose = Diagnose(io.StringIO())
    diagnose.on_epoch(state)
    assert ("learning rate" in diagnose.messages) is expected


def test_the_rate_that_was_too_high_is_named_and_not_what_a_schedule_has_made_of_it():
    state = after(
        train_loss=[1.0, 0.5, 9.0, 9.0, 9.0], train_accuracy=[0.9] * 5, lr=[np.nan, 0.02, 0.05, 1e-3, 4e-8]
    )
    diagnose = Diagnose(io.StringIO())
    diagnose.on_epoch(state)
    message = diagnose.messages["learning rate"]
    assert "the learning rate, 0.05 at most, is probably too high; try 0.005" in message
