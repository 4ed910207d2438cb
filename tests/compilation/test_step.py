"""The compiled step against the plain one: forward, loss, backward, update of the layers themselves."""

import copy

import numpy as np
import pytest

import neocog
from neocog.compilation import CompiledStep, Uncompilable
from neocog.data import line_patterns
from neocog.layers import BatchNorm1D, Conv2D, Dense, Flatten, Graph, Layer, ReLU, Sequential
from neocog.losses import MeanSquaredError, SoftmaxCrossEntropy
from neocog.models import lenet5_1998, tiny_cnn
from neocog.optimizers import SGD, Adam, AdamW
from neocog.schedules import Cosine
from neocog.training import make_step

OPTIMIZERS = {
    "sgd": lambda: SGD(0.1),
    "momentum, decay": lambda: SGD(0.05, momentum=0.9, weight_decay=1e-2),
    "nesterov, decay of all": lambda: SGD(
        0.05, momentum=0.9, nesterov=True, weight_decay=1e-2, decay_all=True
    ),
    "adam": lambda: Adam(1e-3, weight_decay=1e-2, eps=1e-3),
    "adamw, schedule": lambda: AdamW(Cosine(1e-2, 5), betas=(0.8, 0.99), eps=1e-3),
}


def plain_step(network, loss, optimizer, x, t):
    z, cache = network.forward(x, training=True)
    value, dz = loss(z, t)
    _, grads = network.backward(dz, cache, input_grad=False)
    optimizer.step(network.params, grads)
    return value


def largest_difference(a, b):
    return max((np.abs(a[name] - b[name]).max() for name in a), default=0.0)


def assert_same_training(make, x, t, new_optimizer, tolerance, smoothing=0.1, steps=3):
    plain, compiled = make().astype(x.dtype), make().astype(x.dtype)
    ours, theirs, loss = new_optimizer(), new_optimizer(), SoftmaxCrossEntropy(smoothing)
    step = CompiledStep(compiled, loss, ours)
    for k in range(steps):
        part = slice(0, len(x) - 1) if k == 1 and len(x) > 1 else slice(None)  # a last, short batch
        assert step(x[part], t[part]) == pytest.approx(
            plain_step(plain, loss, theirs, x[part], t[part]), abs=tolerance
        )
    assert ours.steps == theirs.steps == steps
    assert largest_difference(plain.params, compiled.params) < tolerance
    assert largest_difference(plain.buffers, compiled.buffers) < tolerance
    for memory, arrays in theirs.state.items():
        assert largest_difference(arrays, ours.state[memory]) < tolerance


def test_three_steps_are_those_of_the_layers(case):
    assert_same_training(*case, OPTIMIZERS["momentum, decay"], 1e-11)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_does_the_same(optimizer):
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(18, 1, 8, 8)), rng.integers(0, 3, 18)
    assert_same_training(lambda: tiny_cnn(1), x, t, OPTIMIZERS[optimizer], 1e-11, smoothing=0.0)


def test_float32_differs_by_rounding_only(case):
    make, x, t = case
    assert_same_training(make, x.astype(np.float32), t, OPTIMIZERS["momentum, decay"], 2e-4)


def test_a_loss_that_is_not_finite_moves_nothing():
    network, optimizer = tiny_cnn(1), SGD(0.1, momentum=0.9)
    step = CompiledStep(network, SoftmaxCrossEntropy(), optimizer)
    x, t = np.ones((4, 1, 8, 8)), np.zeros(4, int)
    x[0, 0, 0, 0] = np.nan
    before = {name: array.copy() for name, array in network.params.items()}
    assert np.isnan(step(x, t))
    assert optimizer.steps == 0
    assert largest_difference(before, network.params) == 0


def test_arrays_put_in_the_place_of_others_are_noticed():
    network, twin = tiny_cnn(1), tiny_cnn(1)
    ours, theirs, loss = SGD(0.1, momentum=0.9), SGD(0.1, momentum=0.9), SoftmaxCrossEntropy()
    step = CompiledStep(network, loss, ours)
    x, t = line_patterns("a").train
    step(x, t), plain_step(twin, loss, theirs, x, t)
    for each, optimizer in ((network, ours), (twin, theirs)):
        layer = next(leaf for _, leaf in each.leaves() if isinstance(leaf, Dense))
        layer._params["weight"] = layer._params["weight"] * 0.5  # a new array
        optimizer.load_state_dict(optimizer.state_dict())  # a new state
    step(x, t), plain_step(twin, loss, theirs, x, t)
    assert largest_difference(network.params, twin.params) < 1e-12


def test_settings_may_change_between_steps():
    network, twin = tiny_cnn(1), tiny_cnn(1)
    ours, theirs, loss = SGD(0.1, momentum=0.9), SGD(0.1, momentum=0.9), SoftmaxCrossEntropy()
    step = CompiledStep(network, loss, ours)
    x, t = line_patterns("a").train
    for lr, decay in ((0.1, 0.0), (0.01, 0.1), (0.2, 0.0)):
        for optimizer in (ours, theirs):
            optimizer.lr, optimizer.weight_decay = lr, decay
        step(x, t), plain_step(twin, loss, theirs, x, t)
    assert largest_difference(network.params, twin.params) < 1e-12


class Square(Layer):
    """A layer that the compiler does not know."""

    def forward(self, x, training=False):
        return x * x, x

    def backward(self, dy, cache, input_grad=True):
        return 2 * cache * dy, {}


shared = Dense(8, 8, rng=0, dtype="float64")


@pytest.mark.parametrize(
    "network",
    [
        Sequential(Flatten(), Square(), Dense(64, 3, rng=0)),
        Sequential(Flatten(), Dense(64, 8, rng=0, dtype="float64"), shared, ReLU(), shared),
        Graph({"conv": (Conv2D(1, 3, 8, rng=0), "input")}),  # whose outputs are no logits
    ],
)
def test_what_cannot_be_compiled_trains_by_the_layers(network):
    network = copy.deepcopy(network)
    with pytest.raises(Uncompilable):
        CompiledStep(network, MeanSquaredError(), SGD(0.1))
    x, t = np.random.default_rng(0).normal(size=(6, 1, 8, 8)), np.zeros(6, int)
    if len(network.output_shape(x.shape)) != 2:
        return
    twin = copy.deepcopy(network)
    with neocog.use_kernels("fused"):
        value = make_step(network, SoftmaxCrossEntropy(), SGD(0.1))(x, t)
    assert value == pytest.approx(plain_step(twin, SoftmaxCrossEntropy(), SGD(0.1), x, t))
    assert largest_difference(network.params, twin.params) < 1e-12


def test_the_lenet_of_1998_trains_by_its_layers():
    network = lenet5_1998(rng=0)
    with neocog.use_kernels("fused"):
        step = make_step(network, SoftmaxCrossEntropy(), SGD(1e-3))
    x = np.random.default_rng(0).normal(size=(4, 1, 32, 32)).astype("f4")
    losses = [step(x, np.arange(4)) for _ in range(5)]
    assert losses[-1] < losses[0]


def test_the_errors_of_the_layers_remain():
    network = Sequential(Flatten(), Dense(4, 3, rng=0), BatchNorm1D(3))
    step = CompiledStep(network, SoftmaxCrossEntropy(), SGD(0.1))
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.2, got 3"):
        step(np.ones((2, 1, 2, 2), np.float32), np.array([0, 3]))
    with pytest.raises(TypeError, match="for pixels 0"):
        step(np.ones((2, 1, 2, 2), np.uint8), np.array([0, 1]))
    with neocog.use_kernels("fused"):
        step = make_step(network, SoftmaxCrossEntropy(), SGD(0.1))
    with pytest.raises(ValueError, match="more than one value"):
        step(np.ones((1, 1, 2, 2), np.float32), np.array([0]))


def test_dropout_draws_the_same_numbers():
    """The masks are drawn by the layers' own generators, in the same order."""
    from neocog.layers import Dropout

    network = Sequential(Flatten(), Dropout(0.5, rng=7), Dense(64, 3, rng=0))
    CompiledStep(network, SoftmaxCrossEntropy(), SGD(0.1))(np.ones((5, 1, 8, 8), "f4"), np.zeros(5, int))
    expected = np.random.default_rng(7)
    expected.random((5, 64))
    (dropout,) = (leaf for _, leaf in network.leaves() if isinstance(leaf, Dropout))
    assert dropout.rng.bit_generator.state == expected.bit_generator.state
