"""All parameters at thinned epochs: which, how exactly, within how many bytes, and in a checked file."""

import numpy as np
import pytest

import neocog
from neocog.model_file import ModelFileError
from neocog.training import Callback, Checkpoint, Snapshots, load_snapshots


class Weights(Callback):
    """Keep everything, as the thing to compare with."""

    def __init__(self):
        self.epochs = {}

    def on_epoch(self, state):
        self.epochs[state.epoch] = {name: array.copy() for name, array in state.network.params.items()}


def train(*callbacks, epochs=20, network=None, **options):
    network = network or neocog.models.tiny_cnn(seed=3)
    data = neocog.data.line_patterns("b")
    neocog.fit(network, data, epochs=epochs, batch_size=18, rng=0, callbacks=callbacks, **options)
    return network


def test_early_epochs_are_close_and_late_ones_far_apart():
    snapshots = Snapshots()
    train(snapshots)
    assert sorted(snapshots.snapshots) == [0, 1, 2, 3, 4, 6, 9, 13, 19, 20]


def test_the_last_is_float32_and_the_others_float16():
    snapshots, weights = Snapshots(), Weights()
    train(snapshots, weights, epochs=4)
    for epoch, arrays in snapshots.snapshots.items():
        for name, array in arrays.items():
            dtype = np.float32 if epoch == 4 else np.float16
            assert array.dtype == dtype
            np.testing.assert_array_equal(array, weights.epochs[epoch][name].astype(np.float32).astype(dtype))


def test_buffers_are_kept_too():
    network = neocog.Sequential(
        neocog.Conv2D(1, 2, 3, rng=0),
        neocog.BatchNorm2D(2),
        neocog.Flatten(),
        neocog.Dense(72, 3, rng=0),
    )
    snapshots = Snapshots()
    train(snapshots, epochs=1, network=network)
    assert set(snapshots.snapshots[1]) == {*network.params, *network.buffers}
    np.testing.assert_array_equal(
        snapshots.snapshots[1]["1.running_mean"], network.buffers["1.running_mean"].astype(np.float32)
    )


def test_what_float16_cannot_hold_stays_float32():
    network = neocog.models.tiny_cnn(seed=3)
    snapshots = Snapshots()

    class Grow(Callback):
        def on_epoch(self, state):
            state.network.params["dense.bias"][:] = 1e6

    train(Grow(), snapshots, epochs=1, network=network)
    assert snapshots.snapshots[0]["dense.bias"].dtype == np.float32
    assert (snapshots.snapshots[0]["dense.bias"] == 1e6).all()
    assert snapshots.snapshots[0]["dense.weight"].dtype == np.float16


def test_a_budget_drops_every_second_but_first_and_last():
    one = 2 * 114  # bytes of TinyCNN in float16
    snapshots = Snapshots(budget=2 * one + 5 * one)
    train(snapshots)
    kept = sorted(snapshots.snapshots)
    assert kept[0] == 0
    assert kept[-1] == 20
    assert 3 <= len(kept) <= 6
    assert sum(a.nbytes for arrays in snapshots.snapshots.values() for a in arrays.values()) <= 7 * one


def test_a_network_too_large_for_the_budget_has_none(tmp_path):
    snapshots = Snapshots(budget=600)  # two of 114 numbers take 684
    train(snapshots, epochs=3)
    assert snapshots.snapshots == {}
    snapshots.save(tmp_path / "none.neocog")
    assert list(tmp_path.iterdir()) == []


def test_a_file_gives_them_back_and_notices_damage(tmp_path):
    path, snapshots = tmp_path / "snapshots.neocog", Snapshots()
    network = train(snapshots, epochs=5)
    snapshots.save(path)
    found = load_snapshots(path)
    assert list(found) == sorted(snapshots.snapshots)
    for epoch, arrays in found.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, snapshots.snapshots[epoch][name])
            assert array.dtype == snapshots.snapshots[epoch][name].dtype
    content = bytearray(path.read_bytes())
    content[-5] ^= 4
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"snapshots\.neocog is damaged: the array '"):
        load_snapshots(path)
    neocog.save(network, path)
    with pytest.raises(ModelFileError, match="is a model, not the snapshots of a run"):
        load_snapshots(path)


def test_a_resumed_run_has_the_same(tmp_path):
    whole = Snapshots()
    train(whole, epochs=9)
    first, second, path = Snapshots(), Snapshots(), tmp_path / "checkpoint.neocog"
    train(first, Checkpoint(path), epochs=5)
    assert sorted(first.snapshots) == [0, 1, 2, 3, 4, 5]
    train(second, epochs=9, resume=path)
    assert sorted(second.snapshots) == sorted(whole.snapshots) == [0, 1, 2, 3, 4, 6, 9]
    for epoch, arrays in whole.snapshots.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, second.snapshots[epoch][name])
