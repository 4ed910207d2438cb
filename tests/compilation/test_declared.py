"""Activations that state ``function`` and ``derivative`` only, compiled."""

import copy
import enum
import re

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


# What is not what it seems


GAIN = 1.0


class Gain(Elementwise):
    @staticmethod
    def function(xp, x):
        return GAIN * x

    @staticmethod
    def derivative(xp, x):
        return GAIN * xp.ones_like(x)


def enclosed():
    gain = 1.0

    class Enclosed(Elementwise):
        @staticmethod
        def function(xp, x):
            return gain * x

        derivative = Gain.derivative

    def set_gain(value):
        nonlocal gain
        gain = value

    return Enclosed(), set_gain


def test_a_global_or_enclosed_variable_that_changes_counts(monkeypatch):
    layer, set_gain = enclosed()
    globally, enclosing, (x, _) = Sequential(Gain()), Sequential(layer), batch()
    with neocog.use_kernels("fused"):
        for value in (1.0, 2.0, 3):
            monkeypatch.setattr(f"{__name__}.GAIN", value)
            set_gain(value)
            for made in (globally, enclosing, Sequential(Gain())):
                np.testing.assert_allclose(made(x), value * x, rtol=1e-15)


def test_training_follows_a_global_variable(monkeypatch):
    mine, twin, optimizer, (x, t) = network(Gain()), network(Gain()), SGD(0.1), batch()
    step = CompiledStep(mine, SoftmaxCrossEntropy(), SGD(0.1))
    for value in (1.0, 3.0):
        monkeypatch.setattr(f"{__name__}.GAIN", value)
        z, cache = twin.forward(x, training=True)
        expected, dz = SoftmaxCrossEntropy()(z, t)
        optimizer.step(twin.params, twin.backward(dz, cache)[1])
        assert step(x, t) == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(mine.params["0.weight"], twin.params["0.weight"], rtol=0, atol=1e-12)


def test_a_function_put_in_the_place_of_another_counts():
    class Times(Softsign):
        @staticmethod
        def function(xp, x):
            return 2 * x

    made, (x, _) = Sequential(Times()), batch()
    with neocog.use_kernels("fused"):
        np.testing.assert_allclose(made(x), 2 * x)
        Times.function = staticmethod(lambda xp, x: 5 * x)
        np.testing.assert_allclose(made(x), 5 * x)


TABLE = [2.0]


class Tabulated(Softsign):
    @staticmethod
    def function(xp, x):
        return TABLE[0] * x


class Centred(Softsign):
    """Not element by element: of one number alone, it is 0."""

    @staticmethod
    def function(xp, x):
        return x - xp.mean(x)


class Reciprocal(Softsign):
    """``0**-1`` is an error in compiled code."""

    @staticmethod
    def function(xp, x):
        return x**-1


class Drawing(Softsign):
    @staticmethod
    def function(xp, x):
        return x + 0 * xp.random.normal() + xp.size(x)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Tabulated(), r"reads \[2.0\], which is no number"),
        (Centred(), "other numbers for one number at a time|Numba cannot compile"),
        (Reciprocal(), "other numbers for one number at a time"),
        (Drawing(), "other numbers for one number at a time"),
    ],
    ids=["table", "mean", "reciprocal", "size"],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_what_would_be_compiled_to_something_else_runs_in_a_cut(layer, reason):
    ((_, found),) = uncompiled(network(layer), SHAPE)
    assert re.search(reason, found)
    made, (x, _) = network(layer), batch()
    np.testing.assert_allclose(Forward(made)(x), made.forward(x)[0], rtol=1e-12)


class Way(enum.IntEnum):
    UP = 1


class Word(enum.StrEnum):
    SWISH = "swish"


@pytest.mark.parametrize("settings", [{"power": Way.UP}, {"kind": Word.SWISH}])
def test_enumerations_run_in_a_cut(settings):
    assert_trained_alike(network(Swish(**settings)), network(Swish(**settings)))


class Typed(Softsign):
    """Arguments that do not describe the layer are no settings."""

    def __init__(self, rng=None, dtype="float32"):
        super().__init__()


def test_arguments_that_are_no_settings():
    assert_trained_alike(network(Typed()), network(Softsign()))
