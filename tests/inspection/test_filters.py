import numpy as np
import pytest

from neocog.inspection.filters import dead_units, feature_maps, filters
from neocog.layers import Conv2D, Dense, Flatten, ReLU, Residual, Sequential


@pytest.fixture
def network():
    """Three 1x1 filters: x, -x - 1 and -1; images are positive in some places."""
    conv = Conv2D(1, 3, 1, dtype="float64")
    conv.params["weight"][...] = np.array([1.0, -1.0, 0.0]).reshape(3, 1, 1, 1)
    conv.params["bias"][...] = [0, -1, -1]
    second = Conv2D(3, 3, 1, rng=0, dtype="float64")
    return Sequential(conv=conv, relu=ReLU(), block=Residual(Sequential(second, ReLU())))


def test_filters_are_copies(network):
    kernels = filters(network)
    assert kernels.ravel().tolist() == [1.0, -1.0, 0.0]
    kernels[...] = 7
    assert network.params["conv.weight"].ravel().tolist() == [1.0, -1.0, 0.0]
    np.testing.assert_array_equal(filters(network, "block.body.0"), network.params["block.body.0.weight"])


def test_feature_maps_by_hand(network):
    x = np.array([[[[1.0, 2.0]]], [[[0.0, -3.0]]]])
    expected = [[[[1, 2]], [[-2, -3]], [[-1, -1]]], [[[0, -3]], [[-1, 2]], [[-1, -1]]]]
    np.testing.assert_array_equal(feature_maps(network, x, "conv"), expected)
    np.testing.assert_array_equal(feature_maps(network, x, "conv", batch_size=1), expected)
    np.testing.assert_array_equal(feature_maps(network, x, "relu"), np.maximum(expected, 0))
    np.testing.assert_array_equal(feature_maps(network, x, "block.add"), network(x))


def test_feature_maps_are_not_the_images_themselves():
    x = np.ones((2, 1, 2, 2))
    maps = feature_maps(Sequential(Flatten(), Dense(4, 1, dtype="float64")), x, "0")
    assert not np.shares_memory(maps, x)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_dead_units_by_hand(network, batch_size):
    x = np.array([[[[1.0, 2.0]]], [[[0.0, -3.0]]]])
    dead = dead_units(network, x, batch_size=batch_size)
    assert list(dead) == ["relu", "block.body.1"]
    # x fires at both places; -x - 1 only on the right, for -3; -1 never.
    assert dead["relu"].mask.tolist() == [[[False, False]], [[True, False]], [[True, True]]]
    assert dead["relu"].channels.tolist() == [False, False, True]
    assert dead["relu"].count == 3
    assert dead["relu"].fraction == 0.5
    assert list(dead_units(network, x, "relu")) == ["relu"]


def test_dead_features_and_no_relu():
    dense = Dense(1, 2, dtype="float64")
    dense.params["weight"][...] = [[1.0, -1.0]]
    dead = dead_units(Sequential(dense, ReLU()), np.array([[1.0], [2.0]]))["1"]
    assert dead.mask.tolist() == dead.channels.tolist() == [False, True]
    assert dead_units(dense, np.array([[1.0]])) == {}


def test_bad_batch_size(network):
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        feature_maps(network, np.zeros((1, 1, 1, 2)), "conv", batch_size=0)
