"""Layers, losses and optimizers of one's own between compiled ones, against the layers called one by one."""

import copy

import numpy as np
import pytest

import neocog
from neocog.compilation import CompiledStep, Forward, Uncompilable, uncompiled
from neocog.layers import (
    Add,
    BatchNorm2D,
    Bias,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Graph,
    Layer,
    MaxPool2D,
    ReLU,
    Sequential,
    Transpose,
)
from neocog.losses import MeanSquaredError, SoftmaxCrossEntropy
from neocog.optimizers import SGD, Adam
from neocog.training import make_step


class Square(Layer):
    def forward(self, x, training=False):
        return x * x, x

    def backward(self, dy, cache, input_grad=True):
        assert input_grad, "nobody asks for it"
        return 2 * cache * dy, {}


class Offset(Bias):
    """A forward of its own has no compiled form."""

    def forward(self, x, training=False):
        return x + self.params["bias"], None


class Scale(Layer):
    """Learns, remembers, and sees whether its dx is asked for."""

    def __init__(self, channels, name="scale"):
        super().__init__()
        self.name = name
        self.params[name] = np.linspace(0.5, 1.5, channels)
        self.buffers["calls"] = np.zeros(1, np.int64)
        self.asked = []

    def config(self):
        return {"channels": len(self.params[self.name]), "name": self.name}

    def _wide(self, x):
        return self.params[self.name].reshape(-1, *(1,) * (x.ndim - 2))

    def forward(self, x, training=False):
        if training:
            self.buffers["calls"] += 1
        return x * self._wide(x), x

    def backward(self, dy, cache, input_grad=True):
        self.asked.append(input_grad)
        axes = tuple(k for k in range(dy.ndim) if k != 1)
        return (dy * self._wide(dy) if input_grad else None), {self.name: (dy * cache).sum(axis=axes)}


class Product(Layer):
    """Takes two inputs."""

    several_inputs = True

    def forward(self, x, training=False):
        return x[0] * x[1], x

    def backward(self, dy, cache, input_grad=True):
        return (dy * cache[1], dy * cache[0]) if input_grad else None, {}

    def output_shape(self, input_shape):
        return input_shape[0]


class Spectrum(Layer):
    """Complex numbers, (N, C, H, W) -> (N, C, H, W)."""

    def forward(self, x, training=False):
        return np.fft.fft(x, axis=3), None

    def backward(self, dy, cache, input_grad=True):
        return np.fft.ifft(dy, axis=3).real * dy.shape[3], {}


class Power(Layer):
    """``|x|^2`` of complex numbers; its dx is dL/da + i dL/db."""

    def forward(self, x, training=False):
        return (x * x.conj()).real, x

    def backward(self, dy, cache, input_grad=True):
        return 2 * dy * cache, {}


class Noise(Layer):
    def __init__(self, rng):
        super().__init__()
        self.rng = np.random.default_rng(rng)

    def forward(self, x, training=False):
        return (x + self.rng.normal(size=x.shape), None) if training else (x, None)

    def backward(self, dy, cache, input_grad=True):
        return dy, {}


class Doubled(Sequential):
    """A container that computes in a way of its own."""

    def forward(self, x, training=False):
        y, cache = super().forward(x, training)
        return 2 * y, cache

    def backward(self, dy, cache, input_grad=True):
        return super().backward(2 * dy, cache, input_grad)


def head(features):
    return [Flatten(), Dense(features, 3, rng=9)]


def one():
    return Sequential(Conv2D(2, 4, 3, padding=1, rng=0), Square(), MaxPool2D(2), *head(64))


def first_and_last():
    return Sequential(Scale(2), Conv2D(2, 4, 3, rng=0), ReLU(), Flatten(), Dense(144, 3, rng=1), Scale(3))


def neighbours():
    return Sequential(Conv2D(2, 4, 3, rng=0), Scale(4), Square(), Scale(4, "gain"), *head(144))


def branches():
    """A value that compiled layers and two cuts read; cuts side by side; a cut of two inputs."""
    return Graph(
        {
            "stem": (Conv2D(2, 4, 3, padding=1, rng=0), "input"),
            "relu": (ReLU(), "stem"),
            "a": (Square(), "relu"),
            "b": (Conv2D(4, 4, 3, padding=1, rng=1), "relu"),
            "c": (Scale(4), "relu"),
            "norm": (BatchNorm2D(4), "c"),
            "product": (Product(), "a", "b"),
            "sum": (Add(), "product", "norm", "a"),
            "joined": (Concat(), "sum", "c", "b"),
            "mean": (GlobalAvgPool2D(), "joined"),
            "best": (Square(), "mean"),
            "out": (Dense(12, 3, rng=2), "best"),
        }
    )


def ranks():
    """Arrays of rank 6 and complex ones, which live between cuts."""
    turned = (Transpose((0, 1, 4, 2, 3, 5)), neocog.layers.Reshape((0, 8, 8, 4)))
    return Sequential(
        Conv2D(2, 4, 3, padding=1, rng=0),
        neocog.layers.Reshape((0, 4, 2, 4, 2, 4)),
        *turned,
        Conv2D(8, 4, 3, padding=1, rng=1),
        Spectrum(),
        Power(),
        neocog.layers.Reshape((0, 4, -1)),  # rank 3, compiled
        neocog.layers.Tanh(),
        Scale(4),
        Dropout(0.3, rng=4),
        *head(128),
    )


def drawing():
    """A generator that a compiled layer and one of one's own share."""
    rng = np.random.default_rng(3)
    return Sequential(
        Conv2D(2, 4, 3, rng=0), Dropout(0.3, rng=rng), Noise(rng), Dropout(0.5, rng=rng), *head(144)
    )


def container():
    inner = Doubled(Conv2D(4, 4, 3, padding=1, rng=1), ReLU(), Scale(4))
    return Sequential(Conv2D(2, 4, 3, padding=1, rng=0), inner, BatchNorm2D(4), ReLU(), *head(256))


NETWORKS = {
    "one": (one, 1),
    "first and last": (first_and_last, 2),
    "neighbours": (neighbours, 3),
    "branches": (branches, 4),
    "ranks": (ranks, 6),
    "drawing": (drawing, 1),
    "container": (container, 1),
}


def batch(n=5, dtype="float64"):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 2, 8, 8)).astype(dtype), rng.integers(0, 3, n)


def plain_step(network, loss, optimizer, x, t, weight=None):
    z, cache = network.forward(x, training=True)
    value, dz = loss(z, t) if weight is None else loss(z, t, weight)
    optimizer.step(network.params, network.backward(dz, cache, input_grad=False)[1])
    return value


def assert_same_arrays(mine, twin, tolerance=1e-12):
    for kind in ("params", "buffers"):
        for name, array in getattr(twin, kind).items():
            np.testing.assert_allclose(getattr(mine, kind)[name], array, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("make", "cuts"), NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("new_optimizer", [lambda: SGD(0.05, momentum=0.9), lambda: Adam(1e-2)])
def test_training_is_that_of_the_layers(make, cuts, new_optimizer):
    mine, twin = make().astype("float64"), make().astype("float64")
    ours, theirs, loss = new_optimizer(), new_optimizer(), SoftmaxCrossEntropy(0.1)
    step = CompiledStep(mine, loss, ours)
    assert len(uncompiled(mine, (5, 2, 8, 8), training=True)) == cuts
    for n in (5, 5, 2, 1, 5):
        x, t = batch(n)
        assert step(x, t) == pytest.approx(plain_step(twin, loss, theirs, x, t), abs=1e-11)
    assert ours.steps == theirs.steps == 5
    assert_same_arrays(mine, twin, 1e-11)
    for memory, arrays in theirs.state.items():
        for name, array in arrays.items():
            np.testing.assert_allclose(ours.state[memory][name], array, rtol=0, atol=1e-11)


@pytest.mark.parametrize("n", [1, 5, 17])
@pytest.mark.parametrize(("make", "cuts"), NETWORKS.values(), ids=NETWORKS)
def test_inference_is_that_of_the_layers(make, cuts, n):
    network, (x, _) = make().astype("float64"), batch(n)
    expected = network.forward(x)[0]
    np.testing.assert_allclose(Forward(network)(x), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(network.for_inference()(x), expected, rtol=0, atol=1e-12)


def test_a_network_in_float32_stays_so():
    network, (x, t) = one(), batch(dtype="float32")
    twin = one()
    step = CompiledStep(network, SoftmaxCrossEntropy(), SGD(0.1))
    for _ in range(3):
        assert step(x, t) == pytest.approx(plain_step(twin, SoftmaxCrossEntropy(), SGD(0.1), x, t), rel=1e-4)
    assert_same_arrays(network, twin, 1e-4)
    assert Forward(network)(x).dtype == np.float32


def test_the_first_layers_gradient_is_asked_of_nobody():
    network, (x, t) = first_and_last().astype("float64"), batch()
    CompiledStep(network, SoftmaxCrossEntropy(), SGD(0.1))(x, t)
    assert (network[0].asked, network[-1].asked) == ([False], [True])
    assert network.buffers["0.calls"] == 1


def test_nothing_before_the_first_layer_that_learns_is_asked_for_gradients():
    network, (x, t) = Sequential(Square(), Conv2D(2, 3, 8, rng=0), Flatten()), batch(dtype="float32")
    twin = copy.deepcopy(network)
    with pytest.raises(AssertionError, match="nobody asks"):
        network[0].backward(x, x, input_grad=False)
    CompiledStep(network, SoftmaxCrossEntropy(), SGD(0.1))(x, t)
    plain_step(twin, SoftmaxCrossEntropy(), SGD(0.1), x, t)
    assert_same_arrays(network, twin, 1e-6)


def with_middle(layer):
    return Sequential(Conv2D(2, 3, 3, padding=1, rng=0), layer, *head(192)).astype("float64")


class Other(Layer):
    """Returns whatever it is told to."""

    def __init__(self, forward=lambda x: x, backward=lambda dy: dy, grads=lambda: {}):
        super().__init__()
        self.functions = forward, backward, grads
        self.calls = []

    def config(self):
        return dict(zip(("forward", "backward", "grads"), self.functions, strict=True))

    def forward(self, x, training=False):
        self.calls.append("forward")
        self.x = x
        return self.functions[0](x), None

    def backward(self, dy, cache, input_grad=True):
        self.calls.append("backward")
        return self.functions[1](dy), self.functions[2]()


@pytest.mark.parametrize(
    "convert",
    [
        lambda a: a.astype("f4").astype("f8"),
        lambda a: np.asfortranarray(a),
        lambda a: np.repeat(a, 2, axis=3)[..., ::2],
        lambda a: a.tolist(),
    ],
)
def test_arrays_of_any_layout(convert):
    mine, twin, (x, t) = with_middle(Other(convert, convert)), with_middle(Other()), batch()
    step = CompiledStep(mine, SoftmaxCrossEntropy(), SGD(0.1))
    for _ in range(2):
        step(x, t), plain_step(twin, SoftmaxCrossEntropy(), SGD(0.1), x, t)
    assert_same_arrays(mine, twin, 1e-5)


def test_booleans_are_numbers():
    network, (x, _) = with_middle(Other(lambda x: x > 0)), batch()
    twin = with_middle(Other(lambda x: (x > 0).astype(float)))
    np.testing.assert_allclose(Forward(network)(x), twin.forward(x)[0], atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_complex_numbers_are_refused_by_name(training):
    network, (x, t) = with_middle(Other(lambda x: x * 1j)), batch()
    run = (
        CompiledStep(network, SoftmaxCrossEntropy(), SGD(0.1))
        if training
        else lambda x, t: Forward(network)(x)
    )
    with pytest.raises(
        TypeError, match=r"output of layer '1' \(Other\).*must be real numbers, got complex128"
    ):
        run(x, t)


def test_a_shape_other_than_stated_is_refused_by_name():
    network, (x, t) = with_middle(Other(lambda x: x[:, :, 1:])), batch()
    with pytest.raises(
        ValueError, match=r"layer '1' \(Other\), by output_shape, must have shape \(5, 3, 8, 8\)"
    ):
        CompiledStep(network, SoftmaxCrossEntropy(), SGD(0.1))(x, t)
    network, _ = with_middle(Other(backward=lambda dy: dy[:1])), None
    with pytest.raises(ValueError, match=r"gradient that layer '1' \(Other\) returns must have shape"):
        CompiledStep(network, SoftmaxCrossEntropy(), SGD(0.1))(x, t)


def test_a_layer_that_does_not_state_its_shape_runs_by_the_layers():
    cropping = Other(lambda x: x[:, :, 1:, 1:], lambda dy: np.pad(dy, ((0, 0), (0, 0), (1, 0), (1, 0))))
    network = Sequential(Conv2D(2, 3, 3, padding=1, rng=0), cropping, *head(147)).astype("float64")
    twin, (x, t) = copy.deepcopy(network), batch()
    with neocog.use_kernels("fused"):
        np.testing.assert_allclose(network(x), network.forward(x)[0], atol=1e-12)
        make_step(network, SoftmaxCrossEntropy(), SGD(0.1))(x, t)
    plain_step(twin, SoftmaxCrossEntropy(), SGD(0.1), x, t)
    assert_same_arrays(network, twin)
    assert uncompiled(network, x.shape) == [("", "layer '1' does not state output_shape")]
    pooled = Sequential(Conv2D(2, 3, 3, rng=0), Other(lambda x: x[:, :, 1:]), GlobalAvgPool2D()).astype(
        "float64"
    )
    with neocog.use_kernels("fused"):  # nobody but the numbers can tell
        np.testing.assert_allclose(pooled(x), pooled.forward(x)[0], atol=1e-12)


class OwnError(Exception):
    pass


@pytest.mark.parametrize("which", ["forward", "backward"])
def test_what_a_layer_raises_reaches_the_user(which):
    error = OwnError("mine")

    def fail(_):
        raise error

    network, (x, t) = with_middle(Other(**{which: fail})), batch()
    with neocog.use_kernels("fused"):
        step = make_step(network, SoftmaxCrossEntropy(), SGD(0.1))
    with pytest.raises(OwnError) as caught:
        step(x, t)
    assert caught.value is error


def test_after_an_exception_the_program_is_as_before():
    network, (x, t) = with_middle(Other(lambda x: x if np.isfinite(x).all() else 1 / 0)), batch()
    twin = copy.deepcopy(network)
    step = CompiledStep(network, SoftmaxCrossEntropy(), SGD(0.1))
    with pytest.raises(ZeroDivisionError):
        step(np.full_like(x, np.nan), t)
    step(x, t), plain_step(twin, SoftmaxCrossEntropy(), SGD(0.1), x, t)
    assert_same_arrays(network, twin)


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), lambda z, t: SoftmaxCrossEntropy()(z, t)])
def test_a_loss_that_is_not_finite_calls_no_backward_and_moves_nothing(loss):
    network, (x, t) = with_middle(Other()), batch()
    before, optimizer = copy.deepcopy(network), SGD(0.1)
    x[0] = np.nan
    assert np.isnan(CompiledStep(network, loss, optimizer)(x, t))
    assert network[1].calls == ["forward"]
    assert optimizer.steps == 0
    assert_same_arrays(network, before, 0)


def test_a_layer_may_keep_what_it_is_given():
    network, (x, t) = with_middle(Other()), batch()
    step = CompiledStep(network, SoftmaxCrossEntropy(), SGD(0.1))
    step(x, t)
    kept = network[1].x
    before = kept.copy()
    step(-x, t)
    np.testing.assert_array_equal(kept, before)


def test_a_layer_without_weights_may_stand_twice():
    twice = Square()

    def make():
        return Sequential(Conv2D(2, 3, 3, rng=0), twice, Conv2D(3, 3, 3, rng=1), twice, *head(48)).astype(
            "float64"
        )

    mine, twin, (x, t) = make(), make(), batch()
    CompiledStep(mine, SoftmaxCrossEntropy(), SGD(0.1))(x, t)
    plain_step(twin, SoftmaxCrossEntropy(), SGD(0.1), x, t)
    assert_same_arrays(mine, twin)


def test_a_parameter_without_a_gradient_stays():
    frozen = Scale(3)
    frozen.backward = lambda dy, cache, input_grad=True: (dy * frozen._wide(dy), {})
    network, (x, t) = (
        Sequential(Conv2D(2, 3, 3, padding=1, rng=0, dtype="float64"), frozen, *head(192)),
        batch(),
    )
    for name in ("3.weight", "3.bias"):
        network[3].params[name[2:]] = network[3].params[name[2:]].astype("float64")
    optimizer = Adam(1e-2)
    CompiledStep(network, SoftmaxCrossEntropy(), optimizer)(x, t)
    np.testing.assert_array_equal(frozen.params["scale"], np.linspace(0.5, 1.5, 3))
    assert optimizer.steps == 1
    assert set(optimizer.state["mean"]) == {"0.weight", "0.bias", "3.weight", "3.bias"}


def test_a_gradient_of_no_parameter_is_named():
    network, (x, t) = with_middle(Other(grads=lambda: {"gain": np.ones(3)})), batch()
    with pytest.raises(KeyError, match=r"gradient '1\.gain' belongs to no parameter"):
        CompiledStep(network, SoftmaxCrossEntropy(), SGD(0.1))(x, t)


def test_arrays_of_a_cut_put_in_the_place_of_others_count():
    network, twin, (x, t) = neighbours().astype("float64"), neighbours().astype("float64"), batch()
    ours, theirs = SGD(0.1, momentum=0.5), SGD(0.1, momentum=0.5)
    step = CompiledStep(network, SoftmaxCrossEntropy(), ours)
    for k in range(3):
        if k:
            for each in (network, twin):
                each[1].params["scale"] = each[1].params["scale"] * 0.5
        step(x, t), plain_step(twin, SoftmaxCrossEntropy(), theirs, x, t)
    assert_same_arrays(network, twin)


def test_a_network_of_nothing_but_layers_without_a_compiled_form_is_not_compiled():
    network = Sequential(Flatten(), Square(), Offset(128))
    with pytest.raises(Uncompilable, match="1: Square has no compiled form; 2: Offset has no compiled form"):
        Forward(network)(batch(dtype="float32")[0])
    assert uncompiled(network, (2, 2, 8, 8)) == [
        ("", "1: Square has no compiled form; 2: Offset has no compiled form")
    ]


# Losses


class Focal:
    """``L = -mean (1 - p)^2 log p`` of the right class's probability."""

    def __call__(self, z, t, weight=None):
        rows, N = np.arange(len(z)), len(z)
        share = (np.ones(N) if weight is None else np.asarray(weight)) / N
        p = neocog.layers.softmax.softmax(z)
        right = p[rows, t]
        d_right = -share * ((1 - right) ** 2 / right - 2 * (1 - right) * np.log(right))
        dz = -p * (d_right * right)[:, None]
        dz[rows, t] += d_right * right
        return float(share @ -((1 - right) ** 2 * np.log(right))), dz

    def correct(self, z, t):
        return z.argmax(axis=1) == t


class Half(SoftmaxCrossEntropy):
    def __call__(self, z, t, weight=None):
        value, dz = super().__call__(z, t, weight)
        return value / 2, dz / 2


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", [Focal(), Half(0.1)], ids=["focal", "subclass"])
@pytest.mark.parametrize("make", [one, first_and_last, lambda: Sequential(Flatten(), Dense(128, 3, rng=0))])
def test_a_loss_of_ones_own(make, loss, weighted):
    mine, twin, (x, t) = make().astype("float64"), make().astype("float64"), batch()
    ours, theirs = SGD(0.1, momentum=0.9), SGD(0.1, momentum=0.9)
    weight = np.array([0, 1, 2, 0.5, 1]) if weighted else None
    step = CompiledStep(mine, loss, ours)
    for _ in range(3):
        assert step(x, t, weight) == pytest.approx(plain_step(twin, loss, theirs, x, t, weight), abs=1e-12)
    assert_same_arrays(mine, twin)


def test_maps_as_outputs():
    def make():
        return Sequential(Conv2D(2, 3, 3, rng=0), ReLU(), Conv2D(3, 2, 3, rng=1)).astype("float64")

    mine, twin, (x, _) = make(), make(), batch()
    t = np.random.default_rng(1).normal(size=(5, 2, 4, 4))
    step, optimizer = CompiledStep(mine, MeanSquaredError(), SGD(0.1)), SGD(0.1)
    for _ in range(3):
        assert step(x, t) == pytest.approx(plain_step(twin, MeanSquaredError(), optimizer, x, t), abs=1e-12)
    assert_same_arrays(mine, twin)


# Optimizers


class Clipped(SGD):
    """Gradients cut to a norm of 1, of all together."""

    def step(self, params, grads):
        norm = sum((g * g).sum() for g in grads.values()) ** 0.5
        super().step(params, {name: g / max(norm, 1) for name, g in grads.items()})


class Signs:
    """An optimizer that is no subclass."""

    def step(self, params, grads):
        for name, g in grads.items():
            params[name][...] -= 0.01 * np.sign(g)


@pytest.mark.parametrize("new_optimizer", [lambda: Clipped(0.5, momentum=0.9), Signs])
@pytest.mark.parametrize("make", [one, first_and_last, neighbours])
def test_an_optimizer_of_ones_own(make, new_optimizer):
    mine, twin, (x, t) = make().astype("float64"), make().astype("float64"), batch()
    ours, theirs, loss = new_optimizer(), new_optimizer(), SoftmaxCrossEntropy()
    step = CompiledStep(mine, loss, ours)
    for _ in range(3):
        assert step(x, t) == pytest.approx(plain_step(twin, loss, theirs, x, t), abs=1e-12)
    assert_same_arrays(mine, twin)


# What changes, and what only the layers can do


@pytest.mark.parametrize("gradient", [{"scale": np.ones(2)}, {"gain": np.ones(4)}])
def test_a_wrong_gradient_moves_nothing(gradient):
    network, (x, t) = neighbours().astype("float64"), batch()
    before, optimizer = copy.deepcopy(network), SGD(0.1, momentum=0.9)
    network[1].backward = lambda dy, cache, input_grad=True: (dy, gradient)
    with pytest.raises((ValueError, KeyError), match="gradient"):
        CompiledStep(network, SoftmaxCrossEntropy(), optimizer)(x, t)
    for name, array in before.params.items():
        np.testing.assert_array_equal(network.params[name], array)
    assert optimizer.steps == 0


class Crop(Layer):
    def __init__(self, rows=1):
        super().__init__()
        self.rows = rows

    def forward(self, x, training=False):
        return x[:, :, self.rows :], x.shape

    def backward(self, dy, cache, input_grad=True):
        dx = np.zeros(cache, dy.dtype)
        dx[:, :, self.rows :] = dy
        return dx, {}

    def output_shape(self, input_shape):
        N, C, H, W = input_shape
        return N, C, H - self.rows, W


def test_a_setting_that_changes_the_shape_counts():
    def make():
        return Sequential(Conv2D(2, 3, 3, rng=0), Crop(), GlobalAvgPool2D(), Dense(3, 3, rng=1)).astype("f8")

    mine, twin, (x, t) = make(), make(), batch()
    step, forward, optimizer = CompiledStep(mine, SoftmaxCrossEntropy(), SGD(0.1)), Forward(mine), SGD(0.1)
    for rows in (1, 3, 2):
        mine[1].rows = twin[1].rows = rows
        step(x, t), plain_step(twin, SoftmaxCrossEntropy(), optimizer, x, t)
        np.testing.assert_allclose(forward(x), twin.forward(x)[0], rtol=0, atol=1e-12)
    assert_same_arrays(mine, twin)


@pytest.mark.parametrize("new_optimizer", [lambda: SGD(0.1, momentum=0.9), lambda: Adam(0.1, eps=0.1)])
def test_an_optimizer_set_back_between_steps_counts(new_optimizer):
    mine, twin, (x, t) = one().astype("float64"), one().astype("float64"), batch()
    ours, theirs, loss = new_optimizer(), new_optimizer(), SoftmaxCrossEntropy()
    step = CompiledStep(mine, loss, ours)
    step(x, t), plain_step(twin, loss, theirs, x, t)
    saved = ours.state_dict(), theirs.state_dict()
    step(x, t), plain_step(twin, loss, theirs, x, t)
    ours.load_state_dict(saved[0]), theirs.load_state_dict(saved[1])
    for _ in range(2):
        step(x, t), plain_step(twin, loss, theirs, x, t)
    assert_same_arrays(mine, twin)
    for memory, arrays in theirs.state.items():
        for name, array in arrays.items():
            np.testing.assert_allclose(ours.state[memory][name], array, rtol=0, atol=1e-12)


class Pixels(Layer):
    """Takes integers."""

    def forward(self, x, training=False):
        return (x / 255).astype("float32"), None

    def backward(self, dy, cache, input_grad=True):
        return dy, {}


def test_integers_go_to_the_layers():
    x, t = batch()
    images = (x * 50 + 100).astype(np.uint8)
    network = Sequential(Pixels(), Flatten(), Dense(128, 3, rng=0))
    with neocog.use_kernels("fused"):
        value = make_step(network, SoftmaxCrossEntropy(), SGD(0.1))(images, t)
    twin = Sequential(Flatten(), Dense(128, 3, rng=0))
    expected, _ = SoftmaxCrossEntropy()(twin.forward((images / 255).astype("float32"))[0], t)
    assert value == pytest.approx(expected, rel=1e-6)


def test_a_network_of_two_inputs_takes_its_steps_by_the_layers():
    def make():
        nodes = {"sum": (Add(), "a", "b"), "flat": (Flatten(), "sum"), "out": (Dense(128, 3, rng=0), "flat")}
        return Graph(nodes, inputs=("a", "b")).astype("float64")

    mine, twin, (x, t) = make(), make(), batch()
    with neocog.use_kernels("fused"):
        make_step(mine, SoftmaxCrossEntropy(), SGD(0.1))((x, 2 * x), t)
    plain_step(twin, SoftmaxCrossEntropy(), SGD(0.1), (x, 2 * x), t)
    assert_same_arrays(mine, twin)


class Keeps(Layer):
    """Keeps what it is given, and a copy of it as it was."""

    def __init__(self):
        super().__init__()
        self.given = []

    def forward(self, x, training=False):
        self.given.append((x, x.copy()))
        return 2 * x, None

    def backward(self, dy, cache, input_grad=True):
        self.given.append((dy, dy.copy()))
        return 2 * dy, {}


def test_what_a_layer_keeps_does_not_change_in_later_steps():
    keeps = Keeps()
    network = Sequential(Conv2D(1, 3, 3, rng=0), keeps, Flatten(), Dense(3 * 6 * 6, 3, rng=1)).astype(
        "float64"
    )
    (keeps,) = (layer for layer in network if isinstance(layer, Keeps))
    rng = np.random.default_rng(0)
    with neocog.use_kernels("fused"):
        step = make_step(network, SoftmaxCrossEntropy(), SGD(0.5))
        for _ in range(4):
            step(rng.normal(size=(5, 1, 8, 8)), rng.integers(0, 3, 5))
            network(rng.normal(size=(5, 1, 8, 8)))
    assert len(keeps.given) == 4 * 3
    for array, as_it_was in keeps.given:
        np.testing.assert_array_equal(array, as_it_was)
