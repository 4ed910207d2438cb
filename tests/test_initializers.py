import numpy as np
import pytest

from neocog import initializers
from neocog.initializers import glorot_uniform, he_normal, ones, zeros
from neocog.layers import BatchNorm1D, Conv2D, Dense

SHAPE, FAN_IN, FAN_OUT = (200, 300), 200, 300  # 60 000 numbers: the std is known within 0.3 %


def draw(name, dtype="float64", seed=0):
    return getattr(initializers, name)(SHAPE, FAN_IN, FAN_OUT, np.random.default_rng(seed), np.dtype(dtype))


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("he_normal", 2 / 200),
        ("he_uniform", 2 / 200),
        ("glorot_normal", 2 / 500),
        ("glorot_uniform", 2 / 500),
        ("lecun_normal", 1 / 200),
    ],
)
def test_mean_and_deviation(name, variance):
    w, std = draw(name), np.sqrt(variance)
    assert w.shape == SHAPE
    assert w.std() == pytest.approx(std, rel=0.015)
    assert abs(w.mean()) < 5 * std / np.sqrt(w.size)
    if name.endswith("uniform"):
        limit = np.sqrt(3) * std
        assert 0.999 * limit < np.abs(w).max() <= limit
    else:
        assert np.mean(np.abs(w) > 2 * std) == pytest.approx(0.0455, abs=0.005)


def test_exact_draws():
    rng = np.random.default_rng
    assert np.array_equal(draw("he_normal", seed=3), rng(3).normal(0, np.sqrt(2 / 200), SHAPE))
    assert np.array_equal(draw("lecun_normal", seed=3), rng(3).normal(0, np.sqrt(1 / 200), SHAPE))
    limit = np.sqrt(6 / 500)
    assert np.array_equal(draw("glorot_uniform", seed=3), rng(3).uniform(-limit, limit, SHAPE))


@pytest.mark.parametrize("name", sorted(set(initializers.__all__) - {"Initializer"}))
def test_float32_is_float64_rounded(name):
    assert draw(name, "float32").dtype == np.float32
    assert np.array_equal(draw(name, "float32"), draw(name).astype(np.float32))


def test_constants_draw_nothing():
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    assert not zeros((2, 3), 2, 3, rng, np.float32).any()
    assert (ones((2, 3), 2, 3, rng, np.float32) == 1).all()
    assert rng.bit_generator.state == before


def test_layers_take_an_initializer():
    dense = Dense(4, 2, init=glorot_uniform, rng=1, dtype="float64")
    expected = np.random.default_rng(1).uniform(-1, 1, (4, 2))  # sqrt(6 / (4 + 2)) = 1
    assert np.array_equal(dense.params["weight"], expected)
    assert (Conv2D(1, 1, 3, init=ones).params["weight"] == 1).all()


def test_fans_of_a_convolution():
    fans = []

    def spy(shape, fan_in, fan_out, rng, dtype):
        fans.append((shape, fan_in, fan_out))
        return he_normal(shape, fan_in, fan_out, rng, dtype)

    Conv2D(4, 6, (3, 2), groups=2, init=spy)
    assert fans == [((6, 2, 3, 2), 12, 18)]


def test_layers_share_a_stream_or_have_their_own_seed():
    rng = np.random.default_rng(0)
    first, second = Dense(3, 3, rng=rng), Dense(3, 3, rng=rng)
    assert not np.array_equal(first.params["weight"], second.params["weight"])
    assert np.array_equal(first.params["weight"], Dense(3, 3, rng=0).params["weight"])
    assert not np.array_equal(Dense(3, 3).params["weight"], Dense(3, 3).params["weight"])
    assert BatchNorm1D(2).params["weight"].tolist() == [1.0, 1.0]
