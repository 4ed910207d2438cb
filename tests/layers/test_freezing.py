"""Freeze layers: what learns, what runs as in inference, and what each part of the library makes of it."""

import pickle

import numpy as np
import pytest

import neocog
from neocog.compilation import CompiledStep
from neocog.inspection import trace
from neocog.layers import (
    Add,
    BatchNorm1D,
    BatchNorm2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Graph,
    MaxPool2D,
    PReLU,
    ReLU,
    Residual,
    Sequential,
)
from neocog.losses import SoftmaxCrossEntropy
from neocog.optimizers import SGD, Adam
from neocog.training import make_step


def network(dtype="float64"):
    """A trunk with everything that behaves otherwise in training, a block that branches, and a head."""
    new = {"dtype": dtype}
    block = Graph(
        {
            "conv": (Conv2D(4, 4, 3, padding=1, bias=False, rng=1, **new), "input"),
            "bn": (BatchNorm2D(4, **new), "conv"),
            "add": (Add(), "bn", "input"),
        }
    )
    return Sequential(
        conv=Conv2D(2, 4, 3, padding=1, rng=0, **new),
        bn=BatchNorm2D(4, **new),
        relu=ReLU(),
        drop=Dropout(0.4, rng=5),
        block=block,
        slope=PReLU(4, **new),
        pool=GlobalAvgPool2D(),
        fc=Dense(4, 3, rng=2, **new),
    )


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return rng.normal(size=(5, 2, 6, 6)), np.array([0, 1, 2, 1, 0])


def gradients(net, x, t):
    z, cache = net.forward(x, training=True)
    return net.backward(SoftmaxCrossEntropy()(z, t)[1], cache, input_grad=False)[1]


FROZEN = {
    "features": ["conv", "bn", "relu", "drop", "block.conv", "block.bn", "block.add", "slope", "pool"],
    "block": ["block.conv", "block.bn", "block.add"],
    "block.bn": ["block.bn"],
    "*bn": ["bn", "block.bn"],
    "?onv": ["conv"],
}


@pytest.mark.parametrize("names", FROZEN)
def test_names(names):
    net = network()
    net.freeze(names)
    assert list(net.frozen) == FROZEN[names]
    assert set(net.trainable_params) == {
        name for name in net.params if name.rpartition(".")[0] not in FROZEN[names]
    }
    assert list(net.params) == list(network().params)
    net.unfreeze(names)
    assert net.frozen == {}


def test_names_in_a_list_and_features_as_a_name():
    net = Sequential(features=Sequential(Conv2D(1, 2, 3), ReLU()), a=Flatten(), b=Dense(8, 4), c=Dense(4, 2))
    net.freeze("features")
    assert set(net.trainable_params) == {"b.weight", "b.bias", "c.weight", "c.bias"}
    net.freeze(["features.0", "b"])
    assert set(net.trainable_params) == {"c.weight", "c.bias"}
    net.unfreeze("b")
    assert set(net.frozen) == {"features.0", "features.1"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("blok", "no layer is named 'blok'; near it are 'block', 'block.bn', 'block.add'. Name a layer, the"),
        ("block.cnv", "no layer is named 'block.cnv'; near it are 'block.conv'"),
        ("zzzz", "near it are 'conv', 'bn', 'relu', 'drop', 'block', 'slope', 'pool', 'fc'"),
        (["conv", "*.norm"], r"no layer is named '\*.norm'"),
    ],
)
def test_an_unknown_name_freezes_nothing(names, message):
    net = network()
    with pytest.raises(ValueError, match=message):
        net.freeze(names)
    assert net.frozen == {}
    with pytest.raises(TypeError, match="names must be text, got 3"):
        net.freeze([3])


@pytest.mark.parametrize("names", [*FROZEN, "fc"])
def test_gradients_are_those_of_what_learns(batch, names):
    free, net = network(), network()
    for each in (free, net):  # all in inference, so that both compute the same
        each.freeze("*")
    free.freeze_only({"drop": True, "bn": True, "block.bn": True})
    expected = gradients(free, *batch)
    net.unfreeze("*")
    net.freeze(["drop", "*bn", names])
    found = gradients(net, *batch)
    assert set(found) == set(net.trainable_params)
    for name, gradient in found.items():
        if name in expected:
            np.testing.assert_allclose(gradient, expected[name], rtol=1e-12, atol=1e-15)


def test_nothing_below_the_first_layer_that_learns_is_computed(batch, monkeypatch):
    net, called = network(), []
    for kind in (Conv2D, BatchNorm2D, PReLU, Dense):
        original = kind.backward

        def backward(self, dy, cache, input_grad=True, kind=kind, original=original):
            called.append((kind, input_grad))
            return original(self, dy, cache, input_grad)

        monkeypatch.setattr(kind, "backward", backward)
    net.freeze("features")
    gradients(net, *batch)
    assert called == [(Dense, False)]


def test_a_frozen_part_is_in_inference_unless_told_otherwise(batch):
    x, _ = batch
    net = network()
    before = {name: array.copy() for name, array in net.buffers.items()}
    net.freeze("features")
    y, _ = net.forward(x, training=True)
    np.testing.assert_array_equal(y, net(x))
    for name, array in net.buffers.items():
        np.testing.assert_array_equal(array, before[name])
    net.freeze("features", inference=False)
    assert set(net.frozen.values()) == {False}
    twin = network()
    np.testing.assert_array_equal(net.forward(x, training=True)[0], twin.forward(x, training=True)[0])
    assert (net.buffers["bn.running_mean"] != before["bn.running_mean"]).all()
    assert set(gradients(net, *batch)) == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize("inference", [True, False])
@pytest.mark.parametrize("names", ["features", "block", ["conv", "fc"], "fc", ["bn", "slope"]])
def test_the_compiled_step_does_the_same(batch, names, inference):
    x, t = batch
    plain, compiled = network(), network()
    options = {"eps": 1e-3, "weight_decay": 0.1, "clip_norm": 0.5, "rates": {"block": 0.5}}
    optimizers = [Adam(0.01, **options) for _ in range(2)]
    for net in (plain, compiled):
        net.freeze(names, inference=inference)
    start = {name: array.copy() for name, array in plain.params.items()}
    step = CompiledStep(compiled, SoftmaxCrossEntropy(), optimizers[1])
    with neocog.use_kernels("im2col"):
        expected = make_step(plain, SoftmaxCrossEntropy(), optimizers[0])
    for _ in range(3):
        assert step(x, t) == pytest.approx(expected(x, t), rel=1e-10)
    for name, array in {**plain.params, **plain.buffers}.items():
        found = {**compiled.params, **compiled.buffers}[name]
        np.testing.assert_allclose(found, array, rtol=1e-9, atol=1e-12)
    learned = set(plain.trainable_params)
    assert set(optimizers[1].state["mean"]) == learned
    for name, array in compiled.params.items():
        assert np.array_equal(array, start[name]) == (name not in learned)


def test_a_compiled_step_follows_what_is_frozen(batch):
    x, t = batch
    net = network()
    step = CompiledStep(net, SoftmaxCrossEntropy(), SGD(0.1))
    backward = [name for name in step.operations(x.shape) if name.endswith("_back") or name == "sgd"]
    net.freeze("features")
    left = [name for name in step.operations(x.shape) if name.endswith("_back") or name == "sgd"]
    assert left == ["sgd", "sgd"]
    assert len(backward) > 10
    before = net.params["conv.weight"].copy()
    step(x, t)
    np.testing.assert_array_equal(net.params["conv.weight"], before)
    net.unfreeze("conv")
    step(x, t)
    assert (net.params["conv.weight"] != before).any()


def test_layers_of_ones_own_are_cut_and_frozen(batch):
    x, t = batch

    class Own(Conv2D):
        def backward(self, dy, cache, input_grad=True):
            return super().backward(dy, cache, input_grad)

    nets = [network(), network()]
    for net in nets:
        net["conv"] = Own(2, 4, 3, padding=1, rng=0, dtype="float64")
        net.freeze(["conv", "block"])
    step = CompiledStep(nets[0], SoftmaxCrossEntropy(), SGD(0.1, momentum=0.9))
    plain = SGD(0.1, momentum=0.9)
    assert step(x, t) == pytest.approx(SoftmaxCrossEntropy()(nets[1].forward(x, training=True)[0], t)[0])
    nets[1] = network()
    nets[1]["conv"] = Own(2, 4, 3, padding=1, rng=0, dtype="float64")
    nets[1].freeze(["conv", "block"])
    plain.step(nets[1].params, gradients(nets[1], x, t))
    for name, array in nets[1].params.items():
        np.testing.assert_allclose(nets[0].params[name], array, rtol=1e-10)


def test_a_container_of_ones_own_is_frozen_as_a_whole(batch):
    class Doubled(Sequential):
        def forward(self, x, training=False):
            y, cache = super().forward(x, training)
            return 2 * y, cache

        def backward(self, dy, cache, input_grad=True):
            return super().backward(2 * dy, cache, input_grad)

    net = Sequential(
        own=Doubled(conv=Conv2D(2, 4, 3, dtype="float64"), bn=BatchNorm2D(4, dtype="float64")),
        pool=GlobalAvgPool2D(),
        fc=Dense(4, 3, dtype="float64"),
    )
    net.freeze("own")
    assert set(gradients(net, *batch)) == {"fc.weight", "fc.bias"}
    assert not net.buffers["own.bn.running_mean"].any()
    with pytest.raises(ValueError, match=r"no layer is named 'own.conv'"):
        net.freeze("own.conv")
    with pytest.raises(ValueError, match="a Doubled runs its layers itself"):
        net["own"].freeze("conv")


def test_a_layer_that_occurs_twice_is_frozen_at_both_places():
    conv = Conv2D(2, 2, 3, padding=1, rng=0, dtype="float64")
    net = Sequential(a=conv, b=conv, flat=Flatten(), fc=Dense(2 * 36, 3, rng=1, dtype="float64"))
    net.freeze("b")
    assert set(net.frozen) == {"a", "b"}
    assert set(net.trainable_params) == {"fc.weight", "fc.bias"}


def test_parts_and_copies_know_what_is_frozen():
    net = network()
    net.freeze(["conv", "block.bn"])
    for copy in (pickle.loads(pickle.dumps(net)), net.astype("float32"), net[:5], net.without_last(Dense)):
        assert set(copy.frozen) == {"conv", "block.bn"}
    net["conv"] = Conv2D(2, 4, 3)
    assert set(net.frozen) == {"block.bn"}
    net["block.bn"] = BatchNorm2D(4)
    assert net.frozen == {}


def test_a_model_file_keeps_it(tmp_path):
    net = network()
    net.freeze("block", inference=False)
    net.freeze("conv")
    neocog.save(net, tmp_path / "m.neocog")
    loaded = neocog.load(tmp_path / "m.neocog")
    assert (
        loaded.frozen
        == net.frozen
        == {
            "conv": True,
            "block.conv": False,
            "block.bn": False,
            "block.add": False,
        }
    )


def test_a_summary_says_it(capsys):
    net = network()
    net.freeze("features")
    summary = net.summary((1, 2, 6, 6))
    rows = {row.name: row for row in summary.rows}
    assert rows["conv"].frozen
    assert rows["block.bn"].frozen
    assert not rows["fc"].frozen
    assert not rows["relu"].frozen
    assert (summary.parameters, summary.trainable) == (4 * 19 + 8 + 4 * 36 + 8 + 4 + 15, 15)
    out = capsys.readouterr().out
    assert "frozen 76" in out
    assert "15 learn" in out
    net.unfreeze()
    net.summary((1, 2, 6, 6))
    assert "learn" not in capsys.readouterr().out


def fit(net, batch, **options):
    return neocog.fit(net, batch, epochs=2, batch_size=5, rng=0, **options)


def test_decay_and_clipping_skip_the_rest(batch):
    net, twin = network(), network()
    net.freeze("features")
    fit(net, batch, optimizer=SGD(0.1, momentum=0.9, weight_decay=1.0, clip_norm=0.1))
    features = Sequential(**dict(list(twin.children.items())[:-1]))(batch[0])
    head = Sequential(fc=twin["fc"])
    fit(head, (features, batch[1]), optimizer=SGD(0.1, momentum=0.9, weight_decay=1.0, clip_norm=0.1))
    fresh = network()
    for name, array in net.params.items():
        if name.startswith("fc"):
            np.testing.assert_allclose(array, head.params[name], rtol=1e-9)
        else:
            np.testing.assert_array_equal(array, fresh.params[name])


def test_a_wholly_frozen_network_is_not_trained(batch):
    net = network()
    net.freeze()
    with pytest.raises(ValueError, match="all layers of the network are frozen, so that nothing learns"):
        fit(net, batch)


def test_an_unknown_group_is_said_before_training(batch):
    with pytest.raises(ValueError, match="no parameter or layer is named 'blok'; near it"):
        fit(network(), batch, optimizer=SGD(0.1, rates={"blok": 0.1}))
    for rates in ({"block": 0}, {"block": -1.0}, {"block": float("inf")}):
        with pytest.raises(ValueError, match="rates must be"):
            SGD(0.1, rates=rates)
    with pytest.raises(TypeError, match="rates must be a dict of names to factors"):
        SGD(0.1, rates=[("block", 1.0)])


def test_resuming(batch, tmp_path):
    from neocog.training import Callback, Checkpoint

    class Thaw(Callback):
        """Unfreeze the block after the first epoch."""

        def on_epoch(self, state):
            if state.epoch == 1:
                state.network.unfreeze("block")

    def begin():
        net = network()
        net.freeze("features")
        return net, {"optimizer": Adam(0.01, rates={"fc": 0.3, "block*": 0.1}), "batch_size": 2, "rng": 0}

    whole, options = begin()
    neocog.fit(whole, batch, epochs=4, **options, callbacks=[Thaw()])
    half, options = begin()
    path = tmp_path / "c.neocog"
    neocog.fit(half, batch, epochs=2, **options, callbacks=[Thaw(), Checkpoint(path)])
    resumed, options = begin()
    neocog.fit(resumed, batch, epochs=4, **options, callbacks=[Thaw()], resume=path)
    assert set(resumed.trainable_params) == {
        "block.conv.weight",
        "block.bn.weight",
        "block.bn.bias",
        "fc.weight",
        "fc.bias",
    }
    for name, array in whole.params.items():
        np.testing.assert_array_equal(resumed.params[name], array)
    other, options = begin()
    other.unfreeze()
    with pytest.raises(neocog.serialization.ModelFileError, match=r"was saved with frozen \{'conv': True"):
        neocog.fit(other, batch, epochs=4, **options, resume=path)
    with pytest.raises(neocog.serialization.ModelFileError, match="was saved with optimizer"):
        neocog.fit(begin()[0], batch, epochs=4, batch_size=2, optimizer=Adam(0.01), resume=path)


def test_pytorch_and_back(batch):
    torch = pytest.importorskip("torch")
    from neocog.interop.torch import from_torch, to_torch

    net = network()
    net.freeze("features")
    module = to_torch(net)
    assert {name for name, p in module.named_parameters() if p.requires_grad} == {"fc.weight", "fc.bias"}
    back = from_torch(module)
    assert set(back.trainable_params) == {"fc.weight", "fc.bias"}
    module.requires_grad_(True)
    module.get_submodule("bn").weight.requires_grad_(False)  # a layer that learns in part is not frozen
    assert from_torch(module).frozen == {}
    with torch.no_grad():
        assert set(to_torch(net).state_dict()) == set(module.state_dict())


@pytest.mark.parametrize("inference", [True, False])
def test_pytorchs_engine(batch, inference):
    pytest.importorskip("torch")
    nets = [network(), network()]
    for net, engine in zip(nets, ("neocog", "torch"), strict=True):
        net["drop"].p = 0.0
        net.freeze(["conv", "bn", "block"], inference=inference)
        fit(net, batch, engine=engine, optimizer=SGD(0.1, momentum=0.9, rates={"fc": 0.5}))
    for name, array in {**nets[0].params, **nets[0].buffers}.items():
        np.testing.assert_allclose({**nets[1].params, **nets[1].buffers}[name], array, rtol=1e-9, atol=1e-12)


def test_a_frozen_network_is_checked_and_explained(batch):
    x, t = batch
    net = network()
    net.freeze(["conv", "bn", "drop", "block"])
    report = neocog.check_gradients(net, x, t)
    assert report.passed
    assert {each.name for each in report.arrays} >= {"slope.weight", "fc.weight"}
    assert not any(each.name.startswith("conv") for each in report.arrays)


def test_a_trace_of_training_runs_what_is_frozen_as_in_inference(batch):
    x, t = batch
    net = network()
    net.freeze("features")
    traced = trace(net, x, t, training=True)
    np.testing.assert_array_equal(traced.records["bn"].y, net["bn"](net["conv"](x)))
    assert traced.records["conv"].grads["weight"].any()  # to be explained all the same


def test_frozen_batch_norm_takes_a_batch_of_one(batch):
    x, t = batch
    net = Sequential(flat=Flatten(), bn=BatchNorm1D(72, dtype="float64"), fc=Dense(72, 3, dtype="float64"))
    with pytest.raises(ValueError, match="BatchNorm1D in training needs more than one value"):
        neocog.fit(net, (x, t), epochs=1, batch_size=1)
    net.freeze("features")
    neocog.fit(net, (x, t), epochs=1, batch_size=1)


def test_an_estimator_keeps_what_is_frozen(batch):
    from neocog import ConvNetClassifier

    x, t = batch
    net = network("float32")
    net.freeze("features")
    model = ConvNetClassifier(network=net, epochs=1).fit(x.astype("float32"), t)
    assert set(model.network_.frozen) == set(net.frozen)
    np.testing.assert_array_equal(model.network_.params["conv.weight"], net.params["conv.weight"])


def test_rates_are_factors_of_the_schedule():
    params = {"a.weight": np.ones((1, 1)), "a.bias": np.ones(1), "b.weight": np.ones((1, 1))}
    optimizer = SGD(lambda step: 0.5 / (step + 1), rates={"a": 0.5, "a.bias": 0.1})
    for _ in range(2):
        optimizer.step(params, {name: np.ones_like(array) for name, array in params.items()})
    # rates 1/2 and 1/4, times 1/2, 1/10 and 1
    assert params["a.weight"].item() == pytest.approx(1 - 0.5 * 0.75)
    assert params["a.bias"].item() == pytest.approx(1 - 0.1 * 0.75)
    assert params["b.weight"].item() == pytest.approx(1 - 0.75)


def test_max_pooling_above_a_frozen_relu(batch):
    nets = []
    for _ in range(2):
        net = Sequential(
            Conv2D(2, 3, 3, rng=0, dtype="float64"),
            ReLU(),
            Residual(Conv2D(3, 3, 3, padding=1, rng=3, dtype="float64")),
            MaxPool2D(2),
            Flatten(),
            Dense(12, 3, rng=1, dtype="float64"),
        )
        net.freeze("2")
        nets.append(net)
    x, t = batch
    CompiledStep(nets[0], SoftmaxCrossEntropy(), SGD(0.1))(x, t)
    SGD(0.1).step(nets[1].params, gradients(nets[1], x, t))
    for name, array in nets[1].params.items():
        np.testing.assert_allclose(nets[0].params[name], array, rtol=1e-10)
