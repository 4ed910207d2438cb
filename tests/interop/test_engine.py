"""``neocog.fit(..., engine="torch")`` against neocog's own engine."""

import numpy as np
import pytest
import torch

import neocog
from neocog import Conv2D, Dense, Dropout, Flatten, MaxPool2D, ReLU, Sequential
from neocog.layers import BatchNorm2D, LeakyReLU
from neocog.losses import BinaryCrossEntropy, MeanSquaredError, SoftmaxCrossEntropy
from neocog.schedules import OneCycle
from neocog.training import Callback, Checkpoint, EarlyStopping, KernelSnapshots, NonFiniteLossError


def small_network(dtype="float64"):
    return Sequential(
        conv=Conv2D(1, 4, 3, bias=False, rng=0, dtype=dtype),  # a bias there has no gradient but rounding
        norm=BatchNorm2D(4, dtype=dtype),
        relu=ReLU(),
        pool=MaxPool2D(2),
        flatten=Flatten(),
        dense=Dense(36, 3, rng=1, dtype=dtype),
    )


def assert_same(network, twin, tolerance=1e-10):
    arrays, others = {**network.params, **network.buffers}, {**twin.params, **twin.buffers}
    for name, array in arrays.items():
        np.testing.assert_allclose(array, others[name], atol=tolerance, err_msg=name)


OPTIMIZERS = {
    "sgd": lambda: neocog.SGD(0.1),
    "momentum": lambda: neocog.SGD(0.05, momentum=0.9, weight_decay=1e-3),
    "nesterov": lambda: neocog.SGD(OneCycle(0.1, 30), momentum=0.8, nesterov=True, decay_all=True),
    "adam": lambda: neocog.Adam(0.01, weight_decay=0.1),
    "adamw": lambda: neocog.AdamW(OneCycle(0.01, 30)),
    "clipped": lambda: neocog.SGD(0.1, momentum=0.9, clip_norm=0.05),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_same_history_and_weights(name, weighted):
    data = neocog.data.line_patterns("a")
    results = []
    for engine in ("neocog", "torch"):
        network = small_network()
        optimizer = OPTIMIZERS[name]()
        weight = np.arange(len(data.train[1])) % 4 if weighted else None
        arguments = {"epochs": 3, "batch_size": 64, "rng": 5, "sample_weight": weight}
        loss = SoftmaxCrossEntropy(0.1)
        history = neocog.fit(network, data, loss=loss, optimizer=optimizer, engine=engine, **arguments)
        results.append((network, optimizer, history))
    (network, ours, history), (twin, theirs, other) = results
    assert_same(network, twin)
    for column in ("running_loss", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr"):
        np.testing.assert_allclose(history[column], other[column], rtol=1e-9)
    assert ours.steps == theirs.steps
    assert ours.state.keys() == theirs.state.keys()
    for memory, arrays in ours.state.items():
        for key, array in arrays.items():
            np.testing.assert_allclose(theirs.state[memory][key], array, atol=1e-10)


def test_a_regression(rng):
    x, t = rng.normal(size=(40, 1, 8, 8)), rng.normal(size=(40, 3))
    networks = [small_network(), small_network()]
    histories = [
        neocog.fit(network, (x, t), loss=MeanSquaredError(), epochs=2, rng=0, engine=engine)
        for network, engine in zip(networks, ("neocog", "torch"), strict=True)
    ]
    assert_same(*networks)
    np.testing.assert_allclose(histories[0]["train_loss"], histories[1]["train_loss"], rtol=1e-9)
    assert np.isnan(histories[1]["train_accuracy"]).all()


@pytest.mark.parametrize("outputs", [1, 3])
def test_binary_cross_entropy(rng, outputs):
    x = rng.normal(size=(40, 1, 8, 8))
    t = rng.integers(2, size=(40, 3) if outputs > 1 else 40)
    loss = BinaryCrossEntropy(0.1, 2.0)
    networks = [neocog.models.tiny_cnn(seed=1, classes=outputs) for _ in range(2)]
    histories = [
        neocog.fit(network, (x, t), loss=loss, epochs=2, rng=0, engine=engine)
        for network, engine in zip(networks, ("neocog", "torch"), strict=True)
    ]
    assert_same(*networks)
    for column in ("train_loss", "train_accuracy"):
        np.testing.assert_allclose(histories[0][column], histories[1][column], rtol=1e-9)


def test_a_run_goes_on_under_the_other_engine(tmp_path):
    data = neocog.data.line_patterns("a")

    def train(epochs, engine, resume=None):
        network = small_network()
        stop = EarlyStopping("train_loss", patience=3)
        callbacks = [KernelSnapshots([0, 1, 2]), stop, Checkpoint(tmp_path / "c.neocog")]
        optimizer = neocog.AdamW(0.01)
        history = neocog.fit(
            network, data, optimizer=optimizer, epochs=epochs, rng=1, callbacks=callbacks, engine=engine,
            resume=resume,
        )  # fmt: skip
        return network, history, callbacks[0].snapshots

    whole = train(4, "neocog")
    train(1, "torch")
    train(2, "neocog", resume=tmp_path / "c.neocog")
    parts = train(4, "torch", resume=tmp_path / "c.neocog")
    assert_same(whole[0], parts[0], 1e-9)
    np.testing.assert_allclose(whole[1]["val_loss"], parts[1]["val_loss"], rtol=1e-8)
    assert whole[2].keys() == parts[2].keys()
    for epoch, kernels in whole[2].items():
        np.testing.assert_allclose(kernels, parts[2][epoch], atol=1e-9)


def dropping():
    return Sequential(Flatten(), Dense(64, 16, rng=0), ReLU(), Dropout(0.5, rng=3), Dense(16, 3, rng=1))


class StopAtBatch(Callback):
    def __init__(self, batch):
        self.batch = batch

    def reset(self):
        self.seen = 0

    def on_batch(self, run):
        self.seen += 1
        if self.seen == self.batch:
            run.stop = "interrupted"


def test_dropout_resumes_bit_for_bit_and_leaves_torchs_generator_alone(tmp_path):
    data = neocog.data.line_patterns("a")
    path = tmp_path / "c.neocog"
    before = torch.get_rng_state()
    whole, part = dropping(), dropping()
    neocog.fit(whole, data, epochs=2, rng=0, engine="torch")
    callbacks = [StopAtBatch(4), Checkpoint(path)]
    neocog.fit(part, data, epochs=2, rng=0, engine="torch", callbacks=callbacks)
    part = dropping()
    neocog.fit(part, data, epochs=2, rng=0, engine="torch", callbacks=[Checkpoint(path)], resume=path)
    assert_same(whole, part, 0)
    assert torch.equal(before, torch.get_rng_state())
    other = dropping()
    neocog.fit(other, data, epochs=2, rng=0)
    assert np.abs(other.params["1.weight"] - whole.params["1.weight"]).max() > 0  # other numbers were dropped


def test_a_schedule_changed_by_a_callback_counts():
    class Halve(Callback):
        def on_epoch(self, run):
            run.optimizer.lr = run.optimizer.lr / 2

    networks = [small_network(), small_network()]
    for network, engine in zip(networks, ("neocog", "torch"), strict=True):
        neocog.fit(
            network, neocog.data.line_patterns("a"), optimizer=neocog.SGD(0.1, 0.9), epochs=3, rng=0,
            callbacks=[Halve()], engine=engine,
        )  # fmt: skip
    assert_same(*networks)


def test_a_loss_that_overflows_says_where():
    data = neocog.data.line_patterns("a")
    with pytest.raises(NonFiniteLossError, match=r"the loss is not finite in epoch 1, batch 2"):
        neocog.fit(
            small_network("float32"), data, optimizer=neocog.SGD(1e38), epochs=2, rng=0, batch_size=64,
            engine="torch",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"engine": "jax"}, ValueError, "engine must be one of"),
        ({"device": "cpu"}, ValueError, "device must be left out"),
        ({"engine": "torch", "device": "toaster"}, ValueError, "device must be one that PyTorch has here"),
        ({"engine": "torch", "device": "cuda:99"}, ValueError, "device must be one that PyTorch has here"),
        (
            {"engine": "torch", "loss": lambda z, t: (0, z)},
            TypeError,
            "loss must be one of SoftmaxCrossEntropy",
        ),
        ({"engine": "torch", "device": 0}, TypeError, "device must be a text"),
        ({"engine": "torch", "device": "meta"}, ValueError, "device must be one that PyTorch has here"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        neocog.fit(small_network(), neocog.data.line_patterns("a"), **arguments)


@pytest.mark.parametrize("engine", ["neocog", "torch"])
@pytest.mark.parametrize(
    ("t", "loss", "error"),
    [
        (np.zeros(24), MeanSquaredError(), ValueError),  # would be spread over (24, 24)
        (np.zeros((24, 3, 1)), MeanSquaredError(), ValueError),
        (np.zeros((24, 1)), MeanSquaredError(), ValueError),
        (np.zeros(24), SoftmaxCrossEntropy(), TypeError),
        (np.full(24, -1.0), SoftmaxCrossEntropy(), TypeError),
    ],
)
def test_targets_that_do_not_fit_are_refused_by_both(rng, engine, t, loss, error):
    x = rng.normal(size=(24, 1, 8, 8))
    with pytest.raises(error, match=r"(targets|labels) must"):
        neocog.fit(small_network(), (x, t), loss=loss, epochs=1, engine=engine)


def test_weights_changed_by_a_callback_count():
    class Clip(Callback):
        def on_epoch(self, run):
            for array in run.network.params.values():
                np.clip(array, -0.2, 0.2, out=array)

    networks = [small_network(), small_network()]
    for network, engine in zip(networks, ("neocog", "torch"), strict=True):
        neocog.fit(
            network, neocog.data.line_patterns("a"), optimizer=neocog.SGD(0.1, 0.9), epochs=3, rng=0,
            callbacks=[Clip()], engine=engine,
        )  # fmt: skip
    assert_same(*networks)
    assert max(np.abs(array).max() for array in networks[0].params.values()) == 0.2


def test_settings_of_layers_changed_by_a_callback_count():
    """A dropout that ends after the first epoch, and a ReLU that begins to leak."""

    class Change(Callback):
        def on_epoch(self, run):
            if run.epoch == 1:
                run.network["drop"].p = 0.0
                run.network["relu"].negative_slope = 0.3

    def train(engine, p, callbacks):
        network = Sequential(
            flatten=Flatten(),
            dense=Dense(64, 16, rng=0, dtype="float64"),
            relu=LeakyReLU(0.1),
            drop=Dropout(p, rng=3),
            out=Dense(16, 3, rng=1, dtype="float64"),
        )
        data, memory = neocog.data.line_patterns("a"), neocog.SGD(0.1, 0.9)
        history = neocog.fit(
            network, data, optimizer=memory, epochs=4, rng=0, callbacks=callbacks, engine=engine
        )
        return network, history

    torchs, history = train("torch", 0.0, [Change()])
    own, expected = train("neocog", 0.0, [Change()])
    assert_same(torchs, own)
    assert history["running_loss"][1:] == pytest.approx(expected["running_loss"][1:], rel=1e-9)
    # With dropout, which draws other numbers here than there, the end of it is seen in the running loss.
    ended, lasting = (train("torch", 0.9, callbacks)[1]["running_loss"][-1] for callbacks in ([Change()], []))
    assert ended < 0.7 * lasting


def test_gradients_that_the_user_has_switched_off():
    expected, network = small_network(), small_network()
    data = neocog.data.line_patterns("a")
    neocog.fit(expected, data, epochs=1, rng=0, engine="torch")
    with torch.no_grad():
        neocog.fit(network, data, epochs=1, rng=0, engine="torch")
    assert_same(network, expected, 0)


def test_a_second_fit_drops_other_units():
    network, losses = dropping(), []
    start = {name: array.copy() for name, array in network.params.items()}
    for _ in range(2):
        network.load(start)
        history = neocog.fit(network, neocog.data.line_patterns("a"), epochs=1, rng=0, engine="torch")
        losses.append(history.last["running_loss"])
    assert losses[0] != losses[1]


def test_a_network_without_weights_stays_as_it_is():
    x, t = np.random.default_rng(0).normal(size=(6, 2, 1, 1)), np.arange(6) % 2
    rows = [neocog.fit(Sequential(Flatten()), (x, t), epochs=1, engine=e).last for e in ("neocog", "torch")]
    assert rows[0]["running_loss"] == pytest.approx(rows[1]["running_loss"])
