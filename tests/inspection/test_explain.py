"""The terms of every number add up to it, for every layer kind, stride, padding and group."""

import json

import numpy as np
import pytest

import neocog
from neocog import (
    GELU,
    Add,
    AvgPool2D,
    BatchNorm1D,
    BatchNorm2D,
    Bias,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    Graph,
    LeakyReLU,
    LocalResponseNorm,
    LogSoftmax,
    MaxPool2D,
    Pad2D,
    PadChannels,
    RadialBasis,
    ReLU,
    Reshape,
    Residual,
    ScaledTanh,
    Sequential,
    Sigmoid,
    Softmax,
    SparseConv2D,
    Tanh,
    Transpose,
)
from neocog.inspection import explain, trace
from neocog.inspection.explain import Inquiry
from neocog.inspection.explanation import Number
from neocog.inspection.rules import Rule

shared = {"dtype": "float64"}


TABLE = [(2, 0), (1,)]


def tail(features):
    return {"flatten": Flatten(), "dense": Dense(features, 3, rng=9, **shared)}


def conv(*arguments, **options):
    return Conv2D(*arguments, rng=1, **shared, **options)


def graph():
    same = conv(2, 2, 3, padding=1)
    nodes = {
        "a": (same, "input"),
        "b": (Sequential(Tanh(), same), "a"),
        "sum": (Add(), "a", "b", "input"),
        "join": (Concat(), "sum", "input", "a"),
        "flat": (Flatten(), "join"),
        "out": (Dense(6 * 25, 3, rng=2, **shared), "flat"),
    }
    return Graph(nodes)


def repeated():
    """A sum of maps, of their means over the rows, and of one number a channel."""
    nodes = {
        "rows": (AvgPool2D((3, 1)), "input"),
        "channels": (AvgPool2D((3, 4)), "input"),
        "sum": (Add(), "rows", "input", "channels"),
        "flat": (Flatten(), "sum"),
        "out": (Dense(24, 3, rng=2, **shared), "flat"),
    }
    return Graph(nodes)


def awake(bias):
    bias.params["bias"][...] = np.random.default_rng(4).normal(size=bias.shape)
    return bias


NETWORKS = {
    "plain": (lambda: Sequential(c=conv(2, 3, 3), **tail(27)), (2, 2, 5, 5)),
    "stride": (lambda: Sequential(c=conv(2, 3, (3, 2), stride=(2, 3)), **tail(27)), (2, 2, 7, 8)),
    "padding": (lambda: Sequential(c=conv(2, 3, 3, stride=2, padding=(2, 1)), **tail(36)), (2, 2, 6, 6)),
    "same": (lambda: Sequential(c=conv(2, 2, (4, 3), padding="same", bias=False), **tail(50)), (2, 2, 5, 5)),
    "dilation": (lambda: Sequential(c=conv(2, 2, 3, padding=1, dilation=2), **tail(32)), (2, 2, 6, 6)),
    "groups": (lambda: Sequential(c=conv(4, 6, 3, groups=2, padding=1), **tail(96)), (2, 4, 4, 4)),
    "depthwise": (lambda: Sequential(c=conv(4, 8, 2, groups=4, stride=2), **tail(32)), (2, 4, 4, 4)),
    "sparse": (
        lambda: Sequential(c=SparseConv2D(3, TABLE, (3, 2), (1, 2), (1, 0), rng=1, **shared), **tail(16)),
        (2, 3, 4, 4),
    ),
    "max pool": (lambda: Sequential(p=MaxPool2D(3, 2, 1), **tail(18)), (2, 2, 5, 6)),
    "tiling": (lambda: Sequential(p=MaxPool2D(2), **tail(8)), (2, 2, 5, 5)),
    "avg pool": (lambda: Sequential(p=AvgPool2D((3, 2), 2, 1), **tail(24)), (2, 2, 5, 6)),
    "no pad": (lambda: Sequential(p=AvgPool2D(3, 1, 1, count_include_pad=False), **tail(40)), (2, 2, 4, 5)),
    "global": (lambda: Sequential(g=GlobalAvgPool2D(), dense=Dense(4, 3, rng=0, **shared)), (2, 4, 3, 3)),
    "asymmetric": (lambda: Sequential(c=conv(2, 2, 3, 2, ((0, 2), (1, 0))), **tail(18)), (2, 2, 5, 6)),
    "deep pad": (lambda: Sequential(p=MaxPool2D(3, 2, ((2, 0), (1, 2))), **tail(24)), (2, 2, 5, 6)),
    "dilated pool": (lambda: Sequential(p=MaxPool2D(2, 1, 1, (1, 3)), **tail(60)), (2, 2, 5, 6)),
    "rounded up": (lambda: Sequential(p=MaxPool2D(3, 2, 1, 1, True), **tail(24)), (2, 2, 5, 6)),
    "mean rounded up": (lambda: Sequential(p=AvgPool2D(3, 2, 1, True, True), **tail(24)), (2, 2, 5, 6)),
    "inside": (lambda: Sequential(p=AvgPool2D(3, 2, 1, False, True, None, 2), **tail(12)), (2, 2, 5, 6)),
    "sum pool": (lambda: Sequential(p=AvgPool2D(2, divisor_override=1), **tail(12)), (2, 2, 5, 6)),
    "global max": (lambda: Sequential(g=GlobalMaxPool2D(), dense=Dense(4, 3, rng=0, **shared)), (2, 4, 3, 3)),
    "reflect": (lambda: Sequential(p=Pad2D(((2, 0), (1, 2)), mode="reflect"), **tail(60)), (2, 2, 3, 3)),
    "replicate": (lambda: Sequential(p=Pad2D(((4, 0), (1, 2)), mode="replicate"), **tail(84)), (2, 2, 3, 3)),
    "circular": (lambda: Sequential(p=Pad2D(((3, 0), (1, 2)), mode="circular"), **tail(72)), (2, 2, 3, 3)),
    "bias": (
        lambda: Sequential(
            b=awake(Bias((2, 1, 3), **shared)), t=Tanh(), c=awake(Bias(3, **shared)), **tail(18)
        ),
        (2, 2, 3, 3),
    ),
    "moved": (
        lambda: Sequential(Transpose((0, 3, 1, 2)), Reshape((0, 3, -1, 2)), Tanh(), **tail(24)),
        (2, 2, 3, 4),
    ),
    "shares": (lambda: Sequential(Softmax(), Tanh(), LogSoftmax(-1), **tail(24)), (2, 2, 3, 4)),
    "repeated": (repeated, (2, 2, 3, 4)),
    "activations": (
        lambda: Sequential(
            ReLU(), LeakyReLU(0.2), Sigmoid(), Tanh(), ScaledTanh(), GELU(), GELU("tanh"), **tail(12)
        ),
        (2, 1, 3, 4),
    ),
    "batch norm": (
        lambda: Sequential(
            c=conv(1, 3, 2),
            n=BatchNorm2D(3, **shared),
            f=Flatten(),
            m=BatchNorm1D(27, **shared),
            dense=Dense(27, 3, rng=0, **shared),
        ),
        (4, 1, 4, 4),
    ),
    "dropout and padding": (
        lambda: Sequential(Pad2D(((1, 0), (0, 2)), 0.5), Dropout(0.4, rng=5), **tail(40)),
        (2, 2, 3, 3),
    ),
    "local response": (lambda: Sequential(n=LocalResponseNorm(4, 3.0, 1.5), **tail(20)), (2, 5, 2, 2)),
    "radial": (
        lambda: Sequential(c=conv(2, 3, 3), f=Flatten(), r=RadialBasis(12, 3, rng=4, **shared)),
        (2, 2, 4, 4),
    ),
    "more channels": (lambda: Sequential(p=PadChannels(2), **tail(24)), (2, 1, 2, 4)),
    "residual": (
        lambda: Sequential(Residual(Sequential(conv(2, 4, 3, padding=1), ReLU()), conv(2, 4, 1)), **tail(36)),
        (2, 2, 3, 3),
    ),
    "graph with a shared layer": (graph, (2, 2, 5, 5)),
}


def indices(shape, rng, count=6):
    return [tuple(int(rng.integers(size)) for size in shape) for _ in range(count)]


def close(explanation):
    scale = sum(abs(term.value) for term in explanation.terms) or 1.0
    assert abs(explanation.total - explanation.value) <= 1e-12 * max(scale, 1e-3), explanation


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_terms_add_up(name, training):
    make, shape = NETWORKS[name]
    network, rng = make(), np.random.default_rng(3)
    x, t = rng.normal(size=shape), rng.integers(3, size=shape[0])
    loss = neocog.SoftmaxCrossEntropy(label_smoothing=0.1)
    inquiry = Inquiry(trace(network, x, t, loss=loss, training=training))
    # The network's own gradients, which the explained values must be.
    twin = make()
    z, cache = twin.forward(x, training=training)
    dx, grads = twin.backward(loss(z, t)[1], cache)

    for step in inquiry.trace:
        for index in indices(step.y.shape, rng):
            answer = inquiry.explain(Number("activation", step.name, index))
            assert answer.value == step.y[index]
            close(answer)
            close(inquiry.explain(Number("gradient", step.name, index)))
    for parameter, gradient in grads.items():
        for index in indices(gradient.shape, rng):
            answer = inquiry.explain(Number("gradient", parameter, index))
            assert answer.value == pytest.approx(gradient[index], rel=1e-13, abs=1e-16)
            close(answer)
    for index in indices(x.shape, rng):
        answer = inquiry.explain(Number("gradient", "input", index))
        assert answer.value == pytest.approx(dx[index], rel=1e-13, abs=1e-16)
        close(answer)
    close(inquiry.explain(Number("activation", "softmax", (0, 1))))
    close(inquiry.explain(Number("activation", "loss", ())))


def test_every_layer_has_a_rule():
    for name in neocog.layers.__all__:
        cls = getattr(neocog, name)
        if issubclass(cls, neocog.Container) or cls is neocog.Layer:
            continue
        assert cls in Rule.registered or issubclass(cls, neocog.Elementwise), f"{name} has no rule"


def by_hand():
    """A 2x2 image [[1, 2], [3, 4]] under a 2x2 kernel [[1, 0], [-1, 2]] with bias 10, and a head 3 y, -y."""
    network = Sequential(c=Conv2D(1, 1, 2, **shared), f=Flatten(), d=Dense(1, 2, bias=False, **shared))
    network.params["c.weight"][0, 0] = [[1, 0], [-1, 2]]
    network.params["c.bias"][...] = 10
    network.params["d.weight"][...] = [[3, -1]]
    return network, np.array([[[[1.0, 2.0], [3.0, 4.0]]]])


def test_a_convolution_by_hand():
    answer = explain(*by_hand(), at="c", index=(0, 0, 0, 0))
    assert answer.value == 16  # 1 + 0 - 3 + 8 + 10
    assert [term.value for term in answer.terms] == [10, 8, -3, 1, 0]
    names = [[part.name for part in term.parts] for term in answer.terms[:2]]
    assert names == [["c.bias[0]"], ["input[0,0,1,1]", "c.weight[0,0,1,1]"]]


def test_a_gradient_by_hand():
    """Two classes, label 1, logits 48 and -16: p = (1, 0) to 1e-27, so dz = (1, -1) and dy = 3 + 1 = 4."""
    network, x = by_hand()
    answer = explain(network, x, at="c", index=(0, 0, 0, 0), of="gradient", t=[1])
    assert answer.value == pytest.approx(4, rel=1e-15)
    answer = explain(network, x, at="c.weight", index=(0, 0, 1, 0), of="gradient", t=[1])
    assert answer.value == pytest.approx(12, rel=1e-15)  # dy x = 4 * 3
    assert [part.value for part in answer.terms[0].parts] == pytest.approx([4, 3], rel=1e-15)


def test_down_to_the_pixels_and_up_to_the_loss():
    network, rng = neocog.models.digits_cnn(dtype="float64"), np.random.default_rng(0)
    x, t = rng.random((2, 1, 8, 8)), [3, 5]
    answer = explain(network, x, "dense", (0, 3))
    for _ in range(20):
        if answer.number.at == "input":
            break
        answer = answer.explain()
    assert answer.number.at == "input"
    assert answer.value == x[answer.number.index]
    assert answer.terms == []

    answer = explain(network, x, "conv1.weight", (2, 0, 1, 1), of="gradient", t=t)
    seen = []
    for _ in range(20):
        answer = answer.explain(0, "dy") if "dy" in {p.symbol for p in answer.terms[0].parts} else answer
        seen.append(answer.number.at)
        if answer.number.at == "dense":
            break
    assert seen == ["conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "flatten", "dense"]
    assert {term.note for term in answer.terms} <= {"what the network says", "what the label says"}


def test_the_other_side_can_be_followed():
    network, x = by_hand()
    answer = explain(network, x, "c", (0, 0, 0, 0))
    assert answer.explain(1).number.at == "input"
    assert answer.explain(1, "w").number == Number("activation", "c.weight", (0, 0, 1, 1))
    with pytest.raises(ValueError, match="part must be one of 'x', 'w'"):
        answer.explain(1, "dy")
    with pytest.raises(IndexError, match=r"k must be in 0\.\.4, got 9"):
        answer.explain(9)


def test_as_data_and_as_a_table(capsys):
    answer = explain(*by_hand(), at="c", index=(0, 0, 0, 0))
    data = json.loads(json.dumps(answer.to_dict()))
    assert data["total"] == data["value"] == 16
    assert data["terms"][1]["parts"][0] == {
        "symbol": "x", "value": 4.0, "of": "activation", "at": "input", "index": [0, 0, 1, 1],
    }  # fmt: skip
    answer.print(top=2)
    printed = capsys.readouterr().out
    assert "c[0,0,0,0] = 16" in printed
    assert "3 smaller terms" in printed
    assert "Explanation(c[0,0,0,0] = 16, 5 terms)" in repr(answer)


def test_negative_indices_count_from_the_end():
    network, x = by_hand()
    assert explain(network, x, "input", (-1, -1, -1, -1)).value == 4


def test_the_network_is_left_as_it_was():
    network = NETWORKS["batch norm"][0]()
    before = {name: array.copy() for name, array in {**network.params, **network.buffers}.items()}
    x = np.random.default_rng(0).normal(size=(4, 1, 4, 4))
    explain(network, x, "n", (0, 0, 0, 0), t=[0, 1, 2, 0], training=True)
    for name, array in {**network.params, **network.buffers}.items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"at": "conv"}, ValueError, "at must be one of"),
        ({"at": "c", "index": (0, 0, 0)}, IndexError, r"must fit the shape \(1, 1, 1, 1\), got \(0, 0, 0\)"),
        ({"at": "c", "index": (0, 0, 0, 1)}, IndexError, "must fit the shape"),
        ({"at": "c", "index": (0, 0, 0, 0), "of": "gradient"}, ValueError, "t must be given"),
        ({"at": "loss"}, ValueError, "t must be given"),
        ({"at": "c", "of": "derivative"}, ValueError, "of must be one of"),
        ({"at": "softmax", "of": "gradient", "t": [0], "index": (0, 0)}, ValueError, "ask for that of 'd'"),
        ({"at": "c", "index": (0, 0.5, 0, 0)}, TypeError, "index must be an integer"),
    ],
)
def test_bad_questions(arguments, error, message):
    with pytest.raises(error, match=message):
        explain(*by_hand(), **arguments)


def test_without_an_index_the_largest_number_is_explained():
    network, x = by_hand()
    inquiry = Inquiry(trace(network, x))
    assert inquiry.ask("input").number.index == (0, 0, 1, 1)
    assert inquiry.ask("softmax").value == 1.0


def test_the_label_leads_to_the_loss():
    network, x = by_hand()
    answer = explain(network, x, "d", (0, 1), of="gradient", t=[0])
    assert answer.value == pytest.approx(0, abs=1e-12)  # p = 0 for class 1
    answer = explain(network, x, "d", (0, 0), of="gradient", t=[1]).explain()
    assert answer.number.at == "softmax"
    answer = explain(network, x, "d", (0, 1), of="gradient", t=[1])
    assert [part.name for part in answer.terms[0].parts] == ["-q", "1/N"]
    assert answer.explain().number.at == "loss"
    assert answer.explain().explain().number.at == "softmax"


def test_an_index_of_one_axis_may_be_a_number():
    network, x = by_hand()
    assert explain(network, x, "c.bias", 0).value == 10


@pytest.mark.parametrize("name", ["softmax", "probabilities"])
def test_of_a_network_that_ends_in_softmax_it_is_taken_once(name):
    logits = neocog.models.tiny_cnn(1, dtype="float64")
    network = Sequential(logits=logits, **{name: neocog.layers.Softmax()})
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8))
    expected = logits.predict_proba(x)
    np.testing.assert_allclose(trace(network, x).probabilities, expected, rtol=1e-12)
    for at in (name, "softmax"):
        found = explain(network, x, at=at, index=(1, 2))
        assert found.number.at == name
        assert found.value == pytest.approx(expected[1, 2])
        assert found.total == pytest.approx(expected[1, 2])
    with pytest.raises(ValueError, match=r"must end in logits .* network.without_softmax\(\)"):
        trace(network, x, np.array([0, 1]))


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="x must not be empty"):
        explain(by_hand()[0], np.zeros((0, 1, 2, 2)), "softmax")
