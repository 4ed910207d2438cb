import copy

import numpy as np
import pytest

from neocog.layers import Dense, Dropout, Sequential, StochasticDepth


def test_by_hand():
    # default_rng(0) draws 0.64 0.27 0.04 0.02 0.81 0.91: below p = 0.5 is dropped, the rest is doubled
    dropout = Dropout(0.5, rng=0)
    y, cache = dropout.forward(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), training=True)
    assert y.tolist() == [2.0, 0.0, 0.0, 0.0, 10.0, 12.0]
    dx, grads = dropout.backward(np.array([7.0, 7.0, 7.0, 7.0, 7.0, 8.0]), cache)
    assert dx.tolist() == [14.0, 0.0, 0.0, 0.0, 14.0, 16.0]
    assert grads == {}


def test_inference_changes_nothing():
    x = np.array([1.0, 2.0])
    y, cache = Dropout(0.9, rng=0).forward(x)
    assert y.tolist() == [1.0, 2.0]
    assert Dropout(0.9).backward(x, cache)[0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_drops_a_part_p_and_keeps_the_mean(p):
    y, _ = Dropout(p, rng=1).forward(np.ones(100_000), training=True)
    assert abs(np.mean(y == 0) - p) < 0.01
    assert abs(y.mean() - 1) < 0.03
    assert set(np.unique(y)) <= {0.0, 1 / (1 - p)}


def test_every_forward_draws_a_new_mask_from_its_own_generator():
    dropout, twin = Dropout(rng=3), Dropout(rng=3)
    x = np.ones(50)
    first, second = (dropout.forward(x, training=True)[0] for _ in range(2))
    assert not np.array_equal(first, second)
    assert np.array_equal(twin.forward(x, training=True)[0], first)
    dropout(x)  # inference draws nothing
    assert np.array_equal(twin.forward(x, training=True)[0], second), (
        "the global generator or an inference interfered"
    )


def test_a_generator_may_be_shared():
    rng = np.random.default_rng(0)
    network = Sequential(Dropout(rng=rng), Dropout(rng=rng))
    twin = copy.deepcopy(network)
    assert twin[0].rng is twin[1].rng is not rng


def test_float32_stays():
    y, cache = Dropout(0.3, rng=0).forward(np.ones(9, np.float32), training=True)
    assert y.dtype == cache.dtype == np.float32


def test_inside_a_network():
    network = Sequential(Dense(4, 4, rng=0), Dropout(0.5, rng=0))
    x = np.ones((2, 4), np.float32)
    assert np.array_equal(network(x), network[0](x))
    assert not np.array_equal(network.forward(x, training=True)[0], network[0](x))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"p": 1}, ValueError, r"p must be in \[0, 1\), got 1"),
        ({"p": -0.1}, ValueError, r"p must be in \[0, 1\), got -0.1"),
        ({"p": "half"}, TypeError, "p must be a number, got 'half'"),
        ({"p": False}, TypeError, "p must be a number, got False"),
        ({"rng": "seed"}, TypeError, "rng must be .* got .seed."),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        Dropout(**arguments)


def test_sizes_and_repr():
    assert Dropout().output_shape((2, 3)) == (2, 3)
    assert Dropout().flops((2, 3)) == 0
    assert repr(Dropout()) == "Dropout()"
    assert repr(Dropout(0.3, rng=5)) == "Dropout(p=0.3)"


def test_whole_images_by_hand():
    # default_rng(0) draws 0.64 0.27 0.04: below p = 0.5 an image is dropped, the rest is doubled
    x = np.arange(1.0, 7.0).reshape(3, 2, 1, 1)
    depth = StochasticDepth(0.5, rng=0)
    y, cache = depth.forward(x, training=True)
    assert y.ravel().tolist() == [2.0, 4.0, 0.0, 0.0, 0.0, 0.0]
    dx, grads = depth.backward(10 * x, cache)
    assert dx.ravel().tolist() == [20.0, 40.0, 0.0, 0.0, 0.0, 0.0]
    assert grads == {}
    assert np.array_equal(depth(x), x)


def test_the_whole_batch_by_hand():
    # 0.64, then 0.27: the first batch is kept, the second dropped
    depth, x = StochasticDepth(0.5, "batch", rng=0), np.ones((3, 2))
    assert depth.forward(x, training=True)[0].tolist() == [[2.0, 2.0]] * 3
    assert depth.forward(x, training=True)[0].tolist() == [[0.0, 0.0]] * 3


@pytest.mark.parametrize("mode", ["row", "batch"])
def test_images_are_dropped_as_often_as_said(mode):
    depth = StochasticDepth(0.2, mode, rng=0)
    y = np.array([depth.forward(np.ones((5, 3)), training=True)[0] for _ in range(2000)])
    assert np.ptp(y, axis=-1).max() == 0, "an image is kept or dropped as a whole"
    assert (np.ptp(y, axis=1).max() == 0) == (mode == "batch")
    assert set(np.unique(y)) == {0.0, 1.25}
    assert abs(np.mean(y == 0) - 0.2) < 0.03


def test_stochastic_depth_arguments():
    with pytest.raises(ValueError, match=r"p must be in \[0, 1\), got 1"):
        StochasticDepth(1)
    with pytest.raises(ValueError, match="mode must be one of 'row', 'batch', got 'rows'"):
        StochasticDepth(0.5, "rows")
    assert repr(StochasticDepth(0.5, "batch", rng=3)) == "StochasticDepth(0.5, mode='batch')"
    assert StochasticDepth(0.5).flops((2, 3)) == 0
