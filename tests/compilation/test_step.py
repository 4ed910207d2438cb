"""The compiled step against the plain one: forward, loss, backward, update of the layers themselves."""

import copy

import numpy as np
import pytest

import neocog
from neocog.compilation import CompiledStep, Uncompilable
from neocog.data import line_patterns
from neocog.initializers import zeros
from neocog.kernels.fused import program
from neocog.layers import (
    BatchNorm1D,
    BatchNorm2D,
    Bias,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    GroupNorm,
    Layer,
    LayerNorm,
    LeakyReLU,
    MaxPool2D,
    ReLU,
    Residual,
    Sequential,
)
from neocog.losses import MeanSquaredError, SoftmaxCrossEntropy
from neocog.models import lenet5_1998, mobilenet_v2, tiny_cnn
from neocog.optimizers import SGD, Adam, AdamW, RMSProp
from neocog.schedules import Cosine
from neocog.training import make_step

OPTIMIZERS = {
    "sgd": lambda: SGD(0.1),
    "momentum, decay": lambda: SGD(0.05, momentum=0.9, weight_decay=1e-2),
    "nesterov, decay of all": lambda: SGD(
        0.05, momentum=0.9, nesterov=True, weight_decay=1e-2, decay_all=True
    ),
    "adam": lambda: Adam(1e-3, weight_decay=1e-2, eps=1e-3),
    "rmsprop": lambda: RMSProp(1e-3, alpha=0.9, eps=1e-3, weight_decay=1e-2),
    "rmsprop, momentum, schedule": lambda: RMSProp(Cosine(1e-2, 5), eps=1e-3, momentum=0.8, decay_all=True),
    "adamw, schedule": lambda: AdamW(Cosine(1e-2, 5), betas=(0.8, 0.99), eps=1e-3),
}


def test_operations_are_named_in_the_order_in_which_they_run():
    step = CompiledStep(tiny_cnn(seed=42, dtype="float32"), SoftmaxCrossEntropy(), SGD(0.1))
    names = step.operations((18, 1, 8, 8))
    assert names[0] == "copy"  # the images
    loss = names.index("softmax_cross_entropy")
    assert names.index("max_pool_2x2") < loss < names.index("max_pool_back")  # 18 images fill no vectors
    assert names[-4:] == ["sgd"] * 4
    assert not {"relu", "relu_back"} & {*names}  # the ReLU is done along with the layers around it


def test_relu6_is_done_along_with_the_layers_before_it():
    network = mobilenet_v2(3, (3, 32, 32), init=zeros)
    names = CompiledStep(network, SoftmaxCrossEntropy(), SGD(0.1)).operations((2, 3, 32, 32))
    assert "normalise" in names
    assert not {"clip", "clip_back", "relu"} & {*names}
    convolutions = sum(isinstance(layer, Conv2D) for _, layer in network.leaves())
    assert names.count("correlate") == convolutions + 1  # one of all groups, and that of the dense layer


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


def test_planes_may_lie_apart_in_every_network(case, monkeypatch):
    """As those of large images and batches do."""
    monkeypatch.setattr(program, "FAR_APART", 1)
    assert_same_training(*case, OPTIMIZERS["momentum, decay"], 1e-11)


def test_features_of_many_images_are_a_matrix():
    """Their planes are as large as those of maps, which lie apart: 300 numbers of 8 bytes."""

    def make():
        maps = Conv2D(1, 4, 3, rng=0), BatchNorm2D(4), ReLU(), GlobalAvgPool2D(), Dense(4, 6, rng=1)
        return Sequential(*maps, BatchNorm1D(6), ReLU(), Dense(6, 3, rng=2))

    x, t = np.random.default_rng(0).normal(size=(300, 1, 5, 5)), np.arange(300) % 3
    assert_same_training(make, x, t, lambda: SGD(0.1), 1e-11)
    network = make().astype("float64")
    with neocog.use_kernels("fused"):
        fast = network.for_inference()(x)
    np.testing.assert_allclose(fast, network.forward(x)[0], atol=1e-11)


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
        layer.params["weight"] = layer.params["weight"] * 0.5  # a new array
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


class Offset(Bias):
    """A forward of its own has no compiled form."""

    def forward(self, x, training=False):
        return x + self.params["bias"], None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(0.1), MeanSquaredError()], ids=repr)
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_and_weights_as_the_layers_have_them(loss, weighted, dtype):
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(7, 1, 8, 8)), np.array([0, 1, 2, 0.5, 3, 1, 0.0]) if weighted else None
    t = rng.integers(0, 3, 7) if isinstance(loss, SoftmaxCrossEntropy) else rng.normal(size=(7, 3))
    network, twin = tiny_cnn(1, dtype=dtype), tiny_cnn(1, dtype=dtype)
    ours, theirs = SGD(0.1, momentum=0.9), SGD(0.1, momentum=0.9)
    step = CompiledStep(network, loss, ours)
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    for _ in range(3):
        z, cache = twin.forward(x, training=True)
        value, dz = loss(z, t, weight)
        theirs.step(twin.params, twin.backward(dz, cache)[1])
        assert step(x, t, weight) == pytest.approx(value, rel=tolerance)
    assert largest_difference(network.params, twin.params) < tolerance


def test_targets_and_weights_that_do_not_fit_are_named():
    step = CompiledStep(tiny_cnn(1), MeanSquaredError(), SGD(0.1))
    x, t = np.zeros((2, 1, 8, 8)), np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"targets must have the outputs' shape \(2, 3\), got \(2,\)"):
        step(x, t[:, 0])
    for weight in ([1.0], [-1.0, 2.0], [np.nan, 1.0]):
        with pytest.raises(ValueError, match="weight must"):
            step(x, t, weight)


shared = Dense(8, 8, rng=0, dtype="float64")


@pytest.mark.parametrize(
    "network",
    [
        Sequential(Flatten(), Dense(64, 8, rng=0, dtype="float64"), shared, ReLU(), shared),
        Sequential(Flatten(), Square(), Offset(64, dtype="float64")),
    ],
    ids=["shared", "nothing compiled"],
)
def test_what_cannot_be_compiled_trains_by_the_layers(network):
    network = copy.deepcopy(network)
    x, t = np.random.default_rng(0).normal(size=(6, 1, 8, 8)), np.zeros(6, int)
    with pytest.raises(Uncompilable):
        CompiledStep(network, SoftmaxCrossEntropy(), SGD(0.1))(x, t)
    twin = copy.deepcopy(network)
    with neocog.use_kernels("fused"):
        value = make_step(network, SoftmaxCrossEntropy(), SGD(0.1))(x, t)
    assert value == pytest.approx(plain_step(twin, SoftmaxCrossEntropy(), SGD(0.1), x, t))
    assert largest_difference(network.params, twin.params) < 1e-12


def test_the_lenet_of_1998_trains_with_its_own_layers_in_cuts():
    network, twin = lenet5_1998(rng=0), lenet5_1998(rng=0)
    with neocog.use_kernels("fused"):
        step = make_step(network, SoftmaxCrossEntropy(), SGD(1e-3))
    x = np.random.default_rng(0).normal(size=(4, 1, 32, 32)).astype("f4")
    for _ in range(3):
        expected = plain_step(twin, SoftmaxCrossEntropy(), SGD(1e-3), x, np.arange(4))
        assert step(x, np.arange(4)) == pytest.approx(expected, rel=1e-4)


def test_the_errors_of_the_layers_remain():
    network = Sequential(Flatten(), Dense(4, 3, rng=0), BatchNorm1D(3))
    step = CompiledStep(network, SoftmaxCrossEntropy(), SGD(0.1))
    with pytest.raises(ValueError, match=r"labels must be in 0\.\.2, got 3"):
        step(np.ones((2, 1, 2, 2), np.float32), np.array([0, 3]))
    with neocog.use_kernels("fused"):
        step = make_step(network, SoftmaxCrossEntropy(), SGD(0.1))
    with pytest.raises(TypeError, match="for pixels 0"):
        step(np.ones((2, 1, 2, 2), np.uint8), np.array([0, 1]))
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


def test_a_layer_put_in_the_place_of_another_is_noticed():
    network = tiny_cnn(1)
    x, t = line_patterns("a").train
    optimizer = SGD(0.1)
    step = CompiledStep(network, SoftmaxCrossEntropy(), optimizer)
    step(x, t)
    network[-1] = Dense(27, 3, rng=9, dtype="float64")
    twin = copy.deepcopy(network)
    assert step(x, t) == pytest.approx(plain_step(twin, SoftmaxCrossEntropy(), SGD(0.1), x, t))
    assert largest_difference(network.params, twin.params) < 1e-12


@pytest.mark.parametrize(
    "change",
    [
        lambda network, loss, optimizer: setattr(loss, "label_smoothing", 0.3),
        lambda network, loss, optimizer: setattr(optimizer, "decay_all", True),
        lambda network, loss, optimizer: setattr(optimizer, "momentum", 0.0),
        lambda network, loss, optimizer: setattr(optimizer, "nesterov", True),
        lambda network, loss, optimizer: optimizer.state["velocity"].clear(),
        lambda network, loss, optimizer: setattr(network[1], "momentum", 0.0),
        lambda network, loss, optimizer: setattr(network[1], "eps", 0.5),
        lambda network, loss, optimizer: setattr(network[2], "p", 0.0),
        lambda network, loss, optimizer: setattr(network[3], "negative_slope", 0.7),
    ],
    ids=["smoothing", "decay all", "momentum", "nesterov", "memory", "norm", "eps", "dropout", "slope"],
)
def test_whatever_is_changed_between_steps_counts(change):
    def make():
        network = Sequential(
            Conv2D(1, 4, 3, rng=0),
            BatchNorm2D(4),
            Dropout(0.5, rng=1),
            LeakyReLU(0.1),
            Flatten(),
            Dense(144, 3, rng=2),
        ).astype("float64")
        return network, SoftmaxCrossEntropy(), SGD(0.1, momentum=0.9, weight_decay=0.01)

    mine, theirs = make(), make()
    step = CompiledStep(*mine)
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(6, 1, 8, 8)), rng.integers(0, 3, 6)
    for k in range(4):
        if k == 2:
            change(*mine)
            change(*theirs)
        assert step(x, t) == pytest.approx(plain_step(*theirs, x, t), abs=1e-12)
    assert largest_difference(mine[0].params, theirs[0].params) < 1e-12
    assert largest_difference(mine[0].buffers, theirs[0].buffers) < 1e-12


def test_an_optimizer_that_knows_another_type_is_not_read_as_this_one():
    loss, optimizer = SoftmaxCrossEntropy(), SGD(0.1, momentum=0.9)
    x, t = line_patterns("a").train
    CompiledStep(tiny_cnn(1, dtype="float32"), loss, optimizer)(x.astype("f4"), t)
    with pytest.raises(Uncompilable):
        CompiledStep(tiny_cnn(1), loss, optimizer)(x, t)


def test_shared_and_read_only_parameters_go_by_the_layers():
    a, b = Dense(8, 8, rng=0), Dense(8, 8, rng=1)
    b.params["weight"] = a.params["weight"]
    tied = Sequential(Flatten(), Dense(64, 8, rng=2), a, ReLU(), b)
    twin = copy.deepcopy(tied)
    x, t = np.random.default_rng(0).normal(size=(6, 1, 8, 8)).astype("f4"), np.zeros(6, int)
    ours, theirs = SGD(0.1, momentum=0.9), SGD(0.1, momentum=0.9)
    with neocog.use_kernels("fused"):
        step = make_step(tied, SoftmaxCrossEntropy(), ours)
    for _ in range(2):
        step(x, t), plain_step(twin, SoftmaxCrossEntropy(), theirs, x, t)
    assert largest_difference(tied.params, twin.params) < 1e-6
    frozen = tiny_cnn(1, dtype="float32")
    for array in frozen.params.values():
        array.setflags(write=False)
    with neocog.use_kernels("fused"):
        step = make_step(frozen, SoftmaxCrossEntropy(), SGD(0.1))
    with pytest.raises(ValueError, match="read-only"):
        step(x, t)


def test_pooling_that_leaves_pixels_out_gives_them_no_gradient():
    """Padded, its windows apart: the last row and column lie in none. In memory that other maps have used."""

    def make():
        return Sequential(
            Conv2D(1, 16, 3, padding=1, rng=0), MaxPool2D(3, 3, 1), Flatten(), Dense(1024, 4, rng=1)
        )

    rng = np.random.default_rng(0)
    assert_same_training(
        make, rng.normal(size=(64, 1, 24, 24)), rng.integers(0, 4, 64), lambda: SGD(0.1), 1e-11
    )


@pytest.mark.parametrize(
    "norm",
    [lambda: GroupNorm(2, 4), lambda: LayerNorm(4, axis=1), lambda: BatchNorm2D(4), lambda: Dropout(0.0)],
)
def test_large_planes_lie_apart_and_flat_ones_do_not(norm):
    """A group norm sees several planes as one, a layer norm goes across; the sum's gradient is shared."""

    def make():
        inner = Sequential(Conv2D(4, 4, 1, rng=1), norm())
        layers = Conv2D(1, 4, 3, padding=1, rng=0), ReLU(), Residual(inner), ReLU(), Flatten()
        return Sequential(*layers, Dense(256, 3, rng=2))

    x, t = np.random.default_rng(0).normal(size=(64, 1, 8, 8)), np.arange(64) % 3
    assert_same_training(make, x, t, lambda: SGD(0.1), 1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_of_a_relu_is_done_along_with_that_of_pooling(dtype):
    def make():
        layers = Conv2D(1, 4, 3, padding=1, rng=0), ReLU(), MaxPool2D(2), Flatten(), Dense(64, 3, rng=1)
        return Sequential(*layers).astype(dtype)

    x, t = np.random.default_rng(0).normal(size=(32, 1, 8, 8)), np.arange(32) % 3
    names = CompiledStep(make(), SoftmaxCrossEntropy(), SGD(0.1)).operations(x.shape)
    assert "max_pool_2x2_back" in names
    assert "relu_back" not in names
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    assert_same_training(make, x.astype(dtype), t, lambda: SGD(0.1), tolerance)


def test_images_as_outputs_are_no_logits():
    network = Sequential(Conv2D(1, 3, 7, rng=0))
    with neocog.use_kernels("fused"):
        step = make_step(network, SoftmaxCrossEntropy(), SGD(0.1))
    with pytest.raises(ValueError, match="logits must have shape"):
        step(np.ones((2, 1, 9, 9), "f4"), np.array([0, 1]))  # maps of 1 x 1 would be logits


def test_dropout_that_drops_nothing_on_narrow_maps():
    def make():
        return Sequential(
            Conv2D(1, 4, 3, padding=1, rng=0),
            Dropout(0.0),
            Conv2D(4, 4, 3, padding=1, rng=1),
            Flatten(),
            Dense(256, 3, rng=2),
        )

    rng = np.random.default_rng(0)
    assert_same_training(make, rng.normal(size=(4, 1, 8, 8)), rng.integers(0, 3, 4), lambda: SGD(0.1), 1e-11)


def test_a_leaky_relu_that_turns_negative_numbers_positive():
    def make():
        return Sequential(Conv2D(1, 4, 3, rng=0), LeakyReLU(-0.5), Flatten(), Dense(16, 3, rng=1))

    x, t = np.random.default_rng(0).normal(size=(20, 1, 4, 4)), np.arange(20) % 3
    assert_same_training(make, x, t, OPTIMIZERS["sgd"], 1e-12)
    network = make().astype("float64")
    np.testing.assert_allclose(network.for_inference()(x), network.forward(x)[0], rtol=1e-12)


@pytest.mark.parametrize("new_optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_gradient_that_overflows_moves_no_other_weight(new_optimizer):
    x, t = np.array([[1e308, 1.0]]), np.array([[-10.0]])  # dW = x dy = (inf, 20), though the loss is 100
    plain, compiled = (Sequential(Dense(2, 1, dtype="float64")) for _ in range(2))
    ours, theirs = new_optimizer(), new_optimizer()
    step = CompiledStep(compiled, MeanSquaredError(), ours)
    for network in (plain, compiled):
        network.params["0.weight"][...] = 0
    with np.errstate(over="ignore", invalid="ignore"):
        assert step(x, t) == plain_step(plain, MeanSquaredError(), theirs, x, t) == 100
    got, expected = compiled.params["0.weight"].ravel(), plain.params["0.weight"].ravel()
    assert not np.isfinite(got[0])
    assert got[1] == pytest.approx(expected[1])
    assert np.isfinite(got[1])


def test_a_nan_in_one_batch_is_gone_in_the_next():
    """Strided convolutions on odd widths, in memory that other maps have used."""
    network = Sequential(
        Conv2D(1, 64, 3, padding=1, rng=0),
        Conv2D(64, 16, 5, stride=2, rng=1),
        ReLU(),
        Conv2D(16, 16, 3, padding=1, rng=2),
        Flatten(),
        Dense(16 * 36, 3, rng=3),
    )
    twin = copy.deepcopy(network)
    step = CompiledStep(network, SoftmaxCrossEntropy(), SGD(1e-3))
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(5, 1, 15, 15)).astype("f4"), rng.integers(0, 3, 5)
    big = np.full((120, 1, 15, 15), np.nan, "f4")
    step(big, np.zeros(120, int))
    step(np.full_like(x, np.nan), t)
    step(x, t), plain_step(twin, SoftmaxCrossEntropy(), SGD(1e-3), x, t)
    assert largest_difference(network.params, twin.params) < 1e-6


def test_an_empty_batch_leaves_the_running_statistics_alone():
    network = Sequential(Flatten(), BatchNorm1D(4), Dense(4, 2, rng=0))
    with neocog.use_kernels("fused"):
        step = make_step(network, SoftmaxCrossEntropy(), SGD(0.1))
    with pytest.raises(ValueError, match="empty batch"):
        step(np.ones((0, 1, 2, 2), "f4"), np.zeros(0, int))
    assert not network.buffers["1.running_mean"].any()


def test_a_step_can_be_copied():
    network = tiny_cnn(1)
    x, t = line_patterns("a").train
    step = CompiledStep(network, SoftmaxCrossEntropy(), SGD(0.1))
    step(x, t)
    twin = copy.deepcopy(step)
    before = {name: array.copy() for name, array in network.params.items()}
    twin(x, t)
    assert largest_difference(before, network.params) == 0
    assert largest_difference(before, twin.network.params) > 0


@pytest.mark.parametrize(
    ("name", "value"), [("alpha", 0.5), ("eps", 0.1), ("momentum", 0.0), ("momentum", 0.3), ("lr", 0.1)]
)
def test_rmsprop_may_be_set_anew_between_steps(name, value):
    mine, twin, loss = tiny_cnn(1), tiny_cnn(1), SoftmaxCrossEntropy()
    ours, theirs = (RMSProp(1e-3, momentum=0.9) for _ in range(2))
    step = CompiledStep(mine, loss, ours)
    x, t = line_patterns("a").train
    for k in range(4):
        if k == 2:
            setattr(ours, name, value)
            setattr(theirs, name, value)
        assert step(x, t) == pytest.approx(plain_step(twin, loss, theirs, x, t), abs=1e-9)
    assert largest_difference(mine.params, twin.params) < 1e-9


def test_a_layer_replaced_elsewhere_compiles_nothing_anew():
    inner = Sequential(Dense(27, 8, rng=0), ReLU())
    network, other = Sequential(Flatten(), Dense(64, 27, rng=1), inner, Dense(8, 3, rng=2)), tiny_cnn(1)
    x, t = np.random.default_rng(0).normal(size=(4, 1, 8, 8)).astype("f4"), np.arange(4) % 3
    step = CompiledStep(network, SoftmaxCrossEntropy(), SGD(0.1))
    step(x, t)
    (before,) = step._batches.values()
    other[-1] = Dense(27, 3, rng=9)
    step(x, t)
    assert list(step._batches.values()) == [before]
    inner[0] = Dense(27, 8, rng=3)  # deep inside
    twin = copy.deepcopy(network)
    assert step(x, t) == pytest.approx(plain_step(twin, SoftmaxCrossEntropy(), SGD(0.1), x, t), rel=1e-5)
    assert largest_difference(network.params, twin.params) < 1e-6


def conv_net():
    rng = np.random.default_rng(3)
    return Sequential(
        Conv2D(1, 4, 3, padding=1, rng=rng),
        BatchNorm2D(4),
        ReLU(),
        MaxPool2D(2),
        Flatten(),
        Dense(64, 3, rng=rng),
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_at_once_are_those_at_the_end_bit_for_bit(name, monkeypatch):
    x, t = np.random.default_rng(0).normal(size=(6, 1, 8, 8)).astype("f4"), np.arange(6) % 3
    nets, orders = [], []
    for small in (np.inf, 0):  # bytes of parameters that are updated at the end
        monkeypatch.setattr("neocog.compilation.step.SMALL", small)
        net, optimizer = conv_net(), OPTIMIZERS[name]()
        step = CompiledStep(net, SoftmaxCrossEntropy(), optimizer)
        for k in range(3):
            if k == 2 and not callable(optimizer.lr):
                optimizer.lr = 0.01
            step(x, t)
        before = {key: array.copy() for key, array in net.params.items()}
        step(np.full_like(x, np.nan), t)  # a loss that is not finite moves nothing
        assert largest_difference(net.params, before) == 0
        operations = step.operations(x.shape)
        orders.append(operations.index(step._batches[x.shape].update.operation) < len(operations) - 6)
        nets.append(net)
    assert orders == [False, True]
    assert largest_difference(nets[0].params, nets[1].params) == 0


def test_memory_of_gradients_is_free_after_the_update_unless_a_norm_needs_all():
    layers = [layer for seed in range(4) for layer in (Dense(600, 600, rng=seed), ReLU())]
    network, weights = Sequential(*layers, Dense(600, 3, rng=9)), 600 * 600 * 4
    free, kept = (
        CompiledStep(network, SoftmaxCrossEntropy(), SGD(0.1, clip_norm=norm)).bytes((4, 600))
        for norm in (None, 1.0)
    )
    assert 4 * weights < kept
    assert free < 2 * weights
