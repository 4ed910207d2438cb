"""Activations that state ``function`` and ``derivative`` only, compiled."""

import copy

import numpy as np
import pytest
import torch

import neocog
from neocog.compilation import CompiledStep, Forward, uncompiled
from neocog.layers import Conv2D, Dense, Elementwise, Flatten, Sequential
from neocog.losses import SoftmaxCrossEntropy
from neocog.optimizers import SGD

SHAPE = (5, 1, 8, 8)


class Softsign(Elementwise):
    @staticmethod
    def function(xp, x):
        return x / (1 + xp.abs(x))

    @staticmethod
    def derivative(xp, x):
        return 1 / (1 + xp.abs(x)) ** 2


class Swish(Elementwise):
    """``x / (1 + exp(-b x))``, and settings of other kinds."""

    def __init__(self, beta=1.0, power=1, kind="swish", shift=0.0):
        super().__init__()
        self.beta, self.power, self.kind, self.shift = beta, power, kind, shift

    @staticmethod
    def function(xp, x, beta, power, kind, shift):
        gate = 1 / (1 + xp.exp(-beta * x))
        return x * gate**power + shift if kind == "swish" else gate**power + shift

    @staticmethod
    def derivative(xp, x, beta, power, kind, shift):
        gate = 1 / (1 + xp.exp(-beta * x))
        slope = power * gate**power * beta * (1 - gate)
        return gate**power + x * slope if kind == "swish" else slope


class Shrink(Elementwise):
    """``where`` and ``maximum`` of numbers."""

    def __init__(self, threshold=0.5):
        super().__init__()
        self.threshold = threshold

    @staticmethod
    def function(xp, x, threshold):
        return xp.where(x > 0, xp.maximum(x - threshold, 0.0), -xp.maximum(-x - threshold, 0.0))

    @staticmethod
    def derivative(xp, x, threshold):
        return xp.where(xp.abs(x) > threshold, 1.0, 0.0)


class Named(Softsign):
    """A subclass that only describes itself differently."""

    def config(self):
        return {}


def network(layer):
    return Sequential(Conv2D(1, 4, 3, rng=0), layer, Flatten(), Dense(144, 3, rng=1)).astype("float64")


def batch(n=5):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, *SHAPE[1:])), rng.integers(0, 3, n)


def assert_trained_alike(mine, twin, changes=()):
    loss = SoftmaxCrossEntropy()
    ours, theirs = SGD(0.1, momentum=0.9), SGD(0.1, momentum=0.9)
    step = CompiledStep(mine, loss, ours)
    for k, n in enumerate((5, 5, 1, 5, 5)):
        if k == 2:
            for name, value in changes:
                for each in (mine, twin):
                    setattr(each[1], name, value)
        x, t = batch(n)
        z, cache = twin.forward(x, training=True)
        value, dz = loss(z, t)
        theirs.step(twin.params, twin.backward(dz, cache, input_grad=False)[1])
        assert step(x, t) == pytest.approx(value, abs=1e-12)
    for name, array in twin.params.items():
        np.testing.assert_allclose(mine.params[name], array, rtol=0, atol=1e-12)
    x, _ = batch(3)
    np.testing.assert_allclose(Forward(mine)(x), twin.forward(x)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "layer",
    [Softsign(), Named(), Shrink(0.3), Swish(), Swish(1.5, 2, "gate", 0.25), Swish(2, 3.0)],
    ids=repr,
)
def test_a_declared_activation_is_compiled(layer):
    mine, twin = network(layer), network(copy.deepcopy(layer))
    assert uncompiled(mine, SHAPE, training=True) == []
    assert_trained_alike(mine, twin)


def test_the_values_are_those_of_pytorch():
    x = torch.tensor(np.random.default_rng(0).normal(size=SHAPE), requires_grad=True)
    for layer, function in (
        (Softsign(), torch.nn.functional.softsign),
        (Shrink(0.3), torch.nn.Softshrink(0.3)),
        (Swish(), torch.nn.functional.silu),
    ):
        y = Sequential(layer).for_inference()(x.detach().numpy())
        np.testing.assert_allclose(y, function(x).detach(), rtol=0, atol=1e-15)


@pytest.mark.parametrize("change", [("beta", 2.0), ("power", 2), ("kind", "gate"), ("shift", -1.0)])
def test_a_setting_that_is_changed_counts(change):
    assert_trained_alike(network(Swish(1.5)), network(Swish(1.5)), [change])


def test_another_float_compiles_nothing_anew():
    from neocog.kernels.fused.operation import OPERATIONS

    x, _ = batch()
    Forward(network(Swish(0.7)))(x)
    before = len(OPERATIONS)
    Forward(network(Swish(0.9)))(x)
    assert len(OPERATIONS) == before


class Listed(Softsign):
    """What Numba cannot compile."""

    @staticmethod
    def function(xp, x):
        return xp.asarray([memoryview] and x) / (1 + xp.abs(x))


class Bound(Softsign):
    def function(self, xp, x):
        return x / (1 + xp.abs(x))


class Raising(Softsign):
    """Compiled code would go on with whatever lies in memory."""

    @staticmethod
    def function(xp, x):
        if xp.abs(x).max() > 1e6:
            raise OverflowError
        return x / (1 + xp.abs(x))


class Table(Elementwise):
    """A setting that is no number."""

    def __init__(self, table=(1.0, 2.0)):
        super().__init__()
        self.table = table

    @staticmethod
    def function(xp, x, table):
        return table[0] * x

    @staticmethod
    def derivative(xp, x, table):
        return table[0] * xp.ones_like(x)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Listed(), "Numba cannot compile Listed.function"),
        (Bound(), "function is no static method"),
        (Raising(), "function may raise"),
        (Table(), "a setting that is no number"),
    ],
    ids=["Numba", "bound", "raising", "table"],
)
def test_what_cannot_be_compiled_runs_in_a_cut(layer, reason):
    mine = network(layer)
    ((name, found),) = uncompiled(mine, SHAPE)
    assert name == "1"
    assert reason in found
    assert_trained_alike(mine, network(copy.deepcopy(layer)))


class Halved(Softsign):
    def forward(self, x, training=False):
        y, cache = super().forward(x, training)
        return y / 2, cache


def test_a_subclass_with_a_forward_of_its_own_is_not_taken_for_its_base():
    (cut,) = uncompiled(network(Halved()), SHAPE)
    assert cut == ("1", "Halved has no compiled form")


def test_float32_stays_float32():
    made, (x, _) = network(Swish(1.5)).astype("float32"), batch()
    with neocog.use_kernels("fused"):
        y = made(x.astype("f4"))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, made.astype("float64").forward(x)[0], atol=1e-5)


def test_what_states_no_function_says_so():
    with pytest.raises(NotImplementedError, match="must state function"):
        Forward(network(Elementwise()))(batch()[0])
