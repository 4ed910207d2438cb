import math

import numpy as np
import pytest

from neocog.data import line_patterns
from neocog.inspection.statistics import StatisticsLog, layer_statistics
from neocog.inspection.trace import trace
from neocog.layers import Dense, Flatten, ReLU, Sequential
from neocog.losses import MeanSquaredError
from neocog.models import tiny_cnn
from neocog.training import Checkpoint, fit


def test_statistics_by_hand():
    # x = (2, -2): y = relu((2, -2)) = (2, 0), z = 3 * 2 + 4 * 0 = 6; against t = 5 dz = 2 (6 - 5) = 2.
    network = Sequential(relu=ReLU(), dense=Dense(2, 1, dtype="float64"))
    network.params["dense.weight"][...] = [[3.0], [4.0]]
    seen = trace(network, np.array([[2.0, -2.0]]), np.array([[5.0]]), loss=MeanSquaredError())
    relu, dense = layer_statistics(seen).values()
    assert (relu.name, relu.kind, relu.mean, relu.std, relu.zeros) == ("relu", "ReLU", 1.0, 1.0, 0.5)
    assert relu.gradient_norm == 10.0  # dy = 2 (3, 4)
    assert math.isnan(relu.parameter_norm)
    assert math.isnan(relu.parameter_gradient_norm)
    assert (dense.mean, dense.std, dense.zeros, dense.gradient_norm) == (6.0, 0.0, 0.0, 2.0)
    assert dense.parameter_norm == 5.0
    assert dense.parameter_gradient_norm == pytest.approx(math.sqrt(4**2 + 2**2))  # dw = (4, 0), db = 2


def test_without_labels_there_are_no_gradients():
    rows = layer_statistics(trace(tiny_cnn(), np.ones((2, 1, 8, 8))))
    assert list(rows) == ["conv1", "relu1", "pool1", "flatten", "dense"]
    assert all(math.isnan(row.gradient_norm) for row in rows.values())


def test_large_activations_of_float32_do_not_overflow():
    row = layer_statistics(trace(Sequential(Flatten()), np.full((1, 4), 1e30, np.float32)))["0"]
    assert row.std == 0
    assert row.mean == pytest.approx(1e30)


def test_the_log_keeps_each_epoch_and_leaves_training_as_it_is():
    data = line_patterns("a")
    x, t = data.train[0][:20], data.train[1][:20]
    log = StatisticsLog(x, t)
    watched, alone = tiny_cnn(), tiny_cnn()
    untrained = layer_statistics(trace(watched, x, t))
    fit(watched, data, epochs=2, rng=0, callbacks=[log])
    fit(alone, data, epochs=2, rng=0)
    for name, array in watched.params.items():
        np.testing.assert_array_equal(array, alone.params[name])
    assert list(log.statistics) == [0, 1, 2]
    assert log.statistics[0]["dense"] == untrained["dense"]
    assert log.statistics[2]["dense"] == layer_statistics(trace(watched, x, t))["dense"]
    epochs, values = log.series("conv1", "gradient_norm")
    assert epochs.tolist() == [0, 1, 2]
    assert values[2] == log.statistics[2]["conv1"].gradient_norm
    with pytest.raises(ValueError, match="quantity must be one of 'mean', 'std'"):
        log.series("conv1", "median")
    with pytest.raises(ValueError, match="layer must be one of 'conv1'"):
        log.series("conv2", "mean")


def test_the_log_survives_a_restart(tmp_path):
    data = line_patterns("a")
    x, t = data.train[0][:5], data.train[1][:5]
    whole, first, second = (StatisticsLog(x, t) for _ in range(3))
    fit(tiny_cnn(), data, epochs=3, rng=0, callbacks=[whole])
    path = tmp_path / "run.checkpoint"
    fit(tiny_cnn(), data, epochs=1, rng=0, callbacks=[first, Checkpoint(path)])
    fit(tiny_cnn(), data, epochs=3, rng=0, callbacks=[second, Checkpoint(path)], resume=path)
    for layer in ("conv1", "dense"):
        for quantity in ("mean", "gradient_norm", "parameter_norm"):
            np.testing.assert_array_equal(whole.series(layer, quantity), second.series(layer, quantity))
    assert math.isnan(second.statistics[0]["relu1"].parameter_norm)


def test_a_log_can_be_used_again():
    data = line_patterns("a")
    log = StatisticsLog(data.train[0][:5])
    for _ in range(2):
        fit(tiny_cnn(), data, epochs=1, rng=0, callbacks=[log])
        assert list(log.statistics) == [0, 1]
