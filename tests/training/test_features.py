"""What is frozen is computed once for each image; the weights are those of computing it in each epoch."""

import io

import numpy as np
import pytest

import neocog
from neocog.budgets import budgets
from neocog.data import Shift, line_patterns
from neocog.layers import (
    Add,
    BatchNorm2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Graph,
    Normalize,
    ReLU,
    Residual,
    Sequential,
    StochasticDepth,
)
from neocog.optimizers import SGD
from neocog.training import Callback, Progress
from neocog.training.features import Features, divide

NEW = {"dtype": "float64"}


def chain():
    return Sequential(
        normalize=Normalize(0.2, 0.5, **NEW),
        conv=Conv2D(1, 4, 3, rng=0, **NEW),
        bn=BatchNorm2D(4, **NEW),
        relu=ReLU(),
        pool=GlobalAvgPool2D(),
        head=Sequential(Dense(4, 6, rng=1, **NEW), ReLU(), Dropout(0.3, rng=4), Dense(6, 3, rng=2, **NEW)),
    )


def graph():
    return Graph(
        {
            "a": (Conv2D(1, 4, 3, padding=1, rng=0, **NEW), "input"),
            "b": (Conv2D(4, 4, 3, padding=1, rng=1, **NEW), "a"),
            "sum": (Add(), "a", "b"),
            "pool": (GlobalAvgPool2D(), "sum"),
            "fc": (Dense(4, 3, rng=2, **NEW), "pool"),
        }
    )


def nested():
    return Sequential(net=graph())


DIVIDED = {
    "head": (chain, ["features"], ["head.3.weight", "head.3.bias"]),
    "two layers": (chain, ["conv", "bn"], ["head.0.weight", "head.0.bias", "head.3.weight", "head.3.bias"]),
    "graph": (graph, ["features"], ["fc.weight", "fc.bias"]),
    "graph, half": (graph, ["a"], None),
    "nested": (nested, ["features"], ["net.fc.weight", "net.fc.bias"]),
}


@pytest.mark.parametrize("kernels", ["im2col", "fused"])
@pytest.mark.parametrize("case", DIVIDED)
def test_the_weights_are_those_without(case, kernels):
    make, names, learned = DIVIDED[case]
    data, nets, runs = line_patterns("b"), [], []
    for cached in (True, False):
        net = make()
        net.freeze(names)
        forwards = count_forwards(net)
        with neocog.use_kernels(kernels), budgets(**({} if cached else {"features": 0})):
            runs.append(fit(net, data))
        nets.append(net)
        if kernels == "im2col" and cached:
            parts = [-(-len(part[1]) // 64) for part in (data.train, data.validation)]
            divided = divide(net) is not None
            assert (forwards[0] == sum(parts)) == divided  # each batch once, and not in each epoch
    assert set(nets[0].trainable_params) == set(learned or ["b.weight", "b.bias", "fc.weight", "fc.bias"])
    for name, array in nets[1].params.items():
        np.testing.assert_allclose(nets[0].params[name], array, rtol=1e-9, atol=1e-12)
    for column in ("train_loss", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(runs[0][column], runs[1][column], rtol=1e-9)


def count_forwards(net):
    """Count the calls of the first convolution."""
    calls = [0]
    conv = next(leaf for _, leaf in net.leaves() if isinstance(leaf, Conv2D))
    original = conv.forward

    def forward(x, training=False):
        calls[0] += 1
        return original(x, training)

    conv.forward = forward
    return calls


def fit(net, data, **options):
    optimizer = SGD(0.1, momentum=0.9, weight_decay=1e-3)
    return neocog.fit(net, data, epochs=3, batch_size=7, rng=0, **{"optimizer": optimizer, **options})


def test_it_is_said(tmp_path):
    out, data = io.StringIO(), line_patterns("b")
    net = chain()
    net.freeze("features")
    fit(net, data, callbacks=[Progress(out)])
    count = len(data.train[1]) + len(data.validation[1])
    assert out.getvalue().startswith(
        f"Features of {count} images computed once, not in each epoch: 6 numbers an image, "
        "from 8 frozen layers.\n"
    )
    out = io.StringIO()
    with budgets(features=1000):
        fit(net, data, callbacks=[Progress(out)])
    assert out.getvalue().startswith(
        f"The frozen layers are computed in each epoch: their outputs for {count} images would take "
        f"{count * 48:,} bytes, more than 1,000 (NEOCOG_BUDGET_FEATURES).\n"
    )


def test_rates_that_name_what_is_frozen():
    out, net = io.StringIO(), chain()
    net.freeze("features")
    fit(net, line_patterns("b"), optimizer=SGD(0.1, rates={"conv": 0.1}), callbacks=[Progress(out)])
    assert out.getvalue().startswith("The frozen layers are computed in each epoch, as rates name some of")
    out = io.StringIO()
    fit(net, line_patterns("b"), optimizer=SGD(0.1, rates={"*": 0.1}), callbacks=[Progress(out)])
    assert out.getvalue().startswith("Features of")


def frozen(net, names="features", inference=True):
    net.freeze(names, inference=inference)
    return net


def drawing():
    return Sequential(Conv2D(1, 2, 3), Dropout(0.5), Flatten(), Dense(72, 3))


class Own(ReLU):
    pass


@pytest.mark.parametrize(
    ("net", "trunk"),
    [
        (chain(), None),
        (frozen(chain()), ["normalize", "conv", "bn", "relu", "pool", "head"]),
        (frozen(chain(), inference=False), None),
        (frozen(chain(), "bn"), None),
        (frozen(drawing(), "0"), ["0"]),  # what draws is not frozen
        (frozen(drawing()), ["0", "1", "2"]),
        (frozen(Sequential(a=Conv2D(1, 2, 3), own=Own(), f=Flatten(), fc=Dense(72, 3)), "a"), ["a"]),
        (frozen(Sequential(a=Conv2D(1, 2, 3), s=StochasticDepth(0.5), c=Conv2D(2, 2, 1)), "a"), ["a"]),
        (frozen(Sequential(Residual(Conv2D(1, 1, 3, padding=1)), Flatten(), Dense(64, 3))), ["0", "1"]),
    ],
)
def test_what_is_computed_once(net, trunk):
    parts = divide(net)
    assert (None if parts is None else list(parts[0].children)) == trunk


def test_augmented_images_are_computed_in_each_epoch(monkeypatch):
    monkeypatch.setattr(Features, "of", None)
    fit(frozen(chain()), line_patterns("b"), augment=Shift(1))
    with pytest.raises(TypeError, match="not callable"):
        fit(frozen(chain()), line_patterns("b"))


def test_a_callback_may_unfreeze():
    class Thaw(Callback):
        def on_epoch(self, state):
            if state.epoch == 1:
                state.network.unfreeze("head")
            if state.epoch == 2:
                state.network.unfreeze()

    nets = []
    for limit in (10**9, 0):
        net, thaw = frozen(chain()), Thaw()
        with budgets(features=limit):
            fit(net, line_patterns("b"), callbacks=[thaw])
        nets.append(net)
    assert (nets[0].params["conv.weight"] != chain().params["conv.weight"]).any()
    for name, array in nets[1].params.items():
        np.testing.assert_allclose(nets[0].params[name], array, rtol=1e-8, atol=1e-11)


def test_a_loss_that_is_not_finite_names_the_layer():
    class Overflow(Callback):
        def on_batch(self, state):
            state.network["head.3"].params["weight"][...] = np.inf

    with pytest.raises(neocog.training.NonFiniteLossError, match=r"batch 2.* layer 'head.3' \(Dense\)"):
        fit(frozen(chain(), ["features"]), line_patterns("b"), callbacks=[Overflow()])
