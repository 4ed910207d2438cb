import numpy as np
import pytest

from neocog.inspection.loss_landscape import loss_landscape
from neocog.layers import BatchNorm1D, Conv2D, Dense, Flatten, Sequential
from neocog.losses import MeanSquaredError, SoftmaxCrossEntropy
from neocog.models import tiny_cnn


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return rng.normal(size=(12, 1, 8, 8)), rng.integers(0, 3, 12)


@pytest.mark.parametrize("directions", [1, 2])
def test_the_centre_is_the_loss(batch, directions):
    network = tiny_cnn()
    seen = loss_landscape(network, *batch, directions=directions, steps=5, span=0.7)
    assert seen.losses.shape == (5,) * directions
    np.testing.assert_allclose(seen.offsets, [-0.7, -0.35, 0, 0.35, 0.7])
    loss = SoftmaxCrossEntropy()(network(batch[0]), batch[1])[0]
    assert seen.centre == pytest.approx(loss, rel=1e-14)
    assert seen.losses[(2,) * directions] == seen.centre
    assert np.ptp(seen.losses) > 0.1


def test_of_a_linear_network_and_a_square_the_slice_is_a_parabola():
    # L(a) = mean (x (w + a d) + b - t)^2: values from the directions returned, by hand
    network = Sequential(Flatten(), Dense(4, 1, rng=0, dtype="float64"))
    rng = np.random.default_rng(1)
    x, t = rng.normal(size=(6, 1, 2, 2)), rng.normal(size=(6, 1))
    seen = loss_landscape(network, x, t, steps=3, loss=MeanSquaredError())
    w, (d, e) = network.params["1.weight"], (way["1.weight"] for way in seen.directions)
    for i, a in enumerate((-1, 0, 1)):
        for j, b in enumerate((-1, 0, 1)):
            expected = np.mean((x.reshape(6, 4) @ (w + a * d + b * e) - t) ** 2)
            assert seen.losses[i, j] == pytest.approx(expected, rel=1e-13)


def test_each_filter_of_a_direction_is_as_long_as_the_networks():
    network = Sequential(
        conv=Conv2D(2, 3, 3, rng=0, dtype="float64"),
        flatten=Flatten(),
        dense=Dense(3, 4, rng=1, dtype="float64"),
        bn=BatchNorm1D(4, dtype="float64"),
    )
    way, other = loss_landscape(network, np.ones((1, 2, 3, 3)), [0], steps=1).directions
    for name, axes in (("conv.weight", (1, 2, 3)), ("dense.weight", (0,))):
        np.testing.assert_allclose(
            (way[name] ** 2).sum(axis=axes), (network.params[name] ** 2).sum(axis=axes), rtol=1e-13
        )
        assert not np.allclose(way[name], other[name])
    for name in ("conv.bias", "dense.bias", "bn.weight", "bn.bias"):
        assert not way[name].any()


def test_progress_is_told_and_may_end_it(batch):
    told = []
    loss_landscape(tiny_cnn(), *batch, steps=3, progress=lambda *numbers: told.append(numbers))
    assert told == [(done, 9) for done in range(9)]

    def end(done, of):
        if done == 2:
            raise TimeoutError("enough")

    with pytest.raises(TimeoutError, match="enough"):
        loss_landscape(tiny_cnn(), *batch, steps=41, progress=end)


def test_the_same_seed_the_same_slice(batch):
    first, second, third = (loss_landscape(tiny_cnn(), *batch, steps=3, rng=rng).losses for rng in (0, 0, 1))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"directions": 3}, "directions must be 1 or 2, got 3"),
        ({"steps": 4}, "steps must be odd"),
        ({"span": 0}, "span must be in"),
    ],
)
def test_bad_arguments(batch, arguments, message):
    with pytest.raises(ValueError, match=message):
        loss_landscape(tiny_cnn(), *batch, **arguments)
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.2, got 3"):
        loss_landscape(tiny_cnn(), batch[0], np.full(12, 3))
