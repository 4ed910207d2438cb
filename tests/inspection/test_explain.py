"""The terms of every number add up to it, down to the pixels and up to the loss."""

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
    Concat,
    Conv2D,
    Dense,
    Flatten,
    Graph,
    LeakyReLU,
    ReLU,
    Residual,
    ScaledTanh,
    Sequential,
    Sigmoid,
    Tanh,
)
from neocog.inspection import explain, trace
from neocog.inspection.explain import Inquiry
from neocog.inspection.explanation import Number
from neocog.inspection.rules import Factor, Rule, dy_at, product, x_at

shared = {"dtype": "float64"}


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


# Networks with structure; tests/test_layer_everywhere.py explains every layer by itself.
NETWORKS = {
    "repeated": (repeated, (2, 2, 3, 4)),
    "activations": (
        lambda: Sequential(ReLU(), LeakyReLU(0.2), Sigmoid(), ScaledTanh(), GELU("tanh"), **tail(12)),
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
    "residual": (
        lambda: Sequential(Residual(Sequential(conv(2, 4, 3, padding=1), ReLU()), conv(2, 4, 1)), **tail(36)),
        (2, 2, 3, 3),
    ),
    "graph with a shared layer": (graph, (2, 2, 5, 5)),
}


def indices(shape, rng, count=6):
    return [tuple(int(rng.integers(size)) for size in shape) for _ in range(count)]


def close(explanation):
    assert explanation.adds_up, explanation
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
    answer = explain(network, x, at="c", index=(0, 0, 0, 0), of="gradient", y=[1])
    assert answer.value == pytest.approx(4, rel=1e-15)
    answer = explain(network, x, at="c.weight", index=(0, 0, 1, 0), of="gradient", y=[1])
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

    answer = explain(network, x, "conv1.weight", (2, 0, 1, 1), of="gradient", y=t)
    seen = []
    for _ in range(20):
        answer = answer.explain(0, "dy") if "dy" in {p.symbol for p in answer.terms[0].parts} else answer
        seen.append(answer.number.at)
        if answer.number.at == "dense":
            break
    assert seen == ["conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "flatten", "dense"]
    assert {term.note for term in answer.terms} <= {"the network's output", "the label"}


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
    explain(network, x, "n", (0, 0, 0, 0), y=[0, 1, 2, 0], training=True)
    for name, array in {**network.params, **network.buffers}.items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"at": "conv"}, ValueError, "at must be one of"),
        ({"at": "c", "index": (0, 0, 0)}, IndexError, r"must fit the shape \(1, 1, 1, 1\), got \(0, 0, 0\)"),
        ({"at": "c", "index": (0, 0, 0, 1)}, IndexError, "must fit the shape"),
        ({"at": "c", "index": (0, 0, 0, 0), "of": "gradient"}, ValueError, "y must be given"),
        ({"at": "loss"}, ValueError, "y must be given"),
        ({"at": "c", "of": "derivative"}, ValueError, "of must be one of"),
        ({"at": "softmax", "of": "gradient", "y": [0], "index": (0, 0)}, ValueError, "ask for that of 'd'"),
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
    answer = explain(network, x, "d", (0, 1), of="gradient", y=[0])
    assert answer.value == pytest.approx(0, abs=1e-12)  # p = 0 for class 1
    answer = explain(network, x, "d", (0, 0), of="gradient", y=[1]).explain()
    assert answer.number.at == "softmax"
    answer = explain(network, x, "d", (0, 1), of="gradient", y=[1])
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


class Focused(neocog.SoftmaxCrossEntropy):
    """Another loss than its base: counted by how unsure the network is, which changes the derivative."""

    def __call__(self, z, t, weight=None):
        return neocog.FocalLoss()(z, t, weight)


def summed(z, t, weight=None):
    """A loss that is a function, and the sum over the images, not their mean."""
    value, dz = neocog.SoftmaxCrossEntropy()(z, t)
    return value * len(z), dz * len(z)


def coupled(z, t, weight=None):
    """A loss that is not a mean over images, nor of any image alone: the square of the sum of all outputs."""
    return float(z.sum() ** 2), np.full_like(z, 2 * z.sum())


@pytest.mark.parametrize(
    ("loss", "terms"),
    [
        (neocog.SoftmaxCrossEntropy(), 2),
        (neocog.FocalLoss(), 2),
        (neocog.FocalLoss(0.5, (1, 2, 3)), 2),
        (Focused(), 1),
        (summed, 1),
        (coupled, 1),
    ],
)
def test_any_loss_is_explained(loss, terms):
    network, x = by_hand()
    network = Sequential(**dict(network.children), wide=Dense(2, 3, rng=0, **shared))
    x, t = np.concatenate([x, 0.1 * x]), np.array([1, 0])
    inquiry = Inquiry(trace(network, x, t, loss=loss))
    for index in np.ndindex(2, 3):
        answer = inquiry.ask("wide", index, of="gradient")
        assert len(answer.terms) == terms
        close(answer)
    answer = inquiry.ask("loss")
    close(answer)
    if loss in (summed, coupled):
        assert [term.note for term in answer.terms] == ["of the batch"]
    else:
        assert len(answer.terms) == 2
        assert answer.explain().number.at == "softmax"


def test_squares_are_explained_down_to_the_output():
    network, x = by_hand()  # the outputs are 48 and -16
    t = np.array([[50.0, -16.0]])
    answer = explain(network, x, "d", (0, 0), of="gradient", y=t, loss=neocog.MeanSquaredError())
    assert answer.value == -2  # 2/2 (48 - 50)
    assert [[part.value for part in term.parts] for term in answer.terms] == [[-50, 1], [48, 1]]
    assert answer.explain(1).number == Number("activation", "d", (0, 0))
    assert answer.explain(0).number.at == "loss"
    close(answer.explain(0))


def test_terms_that_do_not_add_up_are_said_not_to(capsys):
    class Halved(neocog.Layer):
        def forward(self, x, training=False):
            return x / 2, None

        def backward(self, dy, cache, input_grad=True):
            return dy / 2, {}

    class WrongRule(Rule, of=Halved):
        formula = "y = 0.501 x"
        gradients = {"x": "dx = 0.501 dy"}  # noqa: RUF012

        def forward(self, record, index):
            return [product(x_at(record, index), Factor("h", 0.501))]

        def input_gradient(self, record, index, slot):
            return [product(dy_at(record, index), Factor("h", 0.501))]

    network, x = by_hand()
    network = Sequential(halved=Halved(), **dict(network.children))
    for dtype in ("float32", "float64"):
        inquiry = Inquiry(trace(network.astype(dtype), x, [1]))
        assert not inquiry.ask("input", (0, 0, 1, 1), of="gradient").adds_up
        answer = inquiry.ask("halved", (0, 0, 1, 1))
        assert not answer.adds_up
    message = "the terms add up to 2.004, the number is 2: the rule for Halved() contradicts what it computes"
    assert answer.to_dict()["adds_up"] is False
    assert message in repr(answer)
    answer.print()
    assert message in " ".join(capsys.readouterr().out.split())
    answer = inquiry.ask("c")
    assert answer.adds_up
    assert answer.to_dict()["adds_up"] is True
    answer.print()
    assert "add up" not in repr(answer) + capsys.readouterr().out


@pytest.mark.parametrize("scale", [1.0, 30.0])  # the second saturates every function that can be
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_single_precision_adds_up(name, training, scale):
    make, shape = NETWORKS[name]
    network, rng = make().astype("float32"), np.random.default_rng(3)
    x, t = scale * rng.normal(size=shape), rng.integers(3, size=shape[0])
    inquiry = Inquiry(trace(network, x.astype("float32"), t, training=training))
    for record in inquiry.trace:
        for index in indices(record.y.shape, rng):
            for of in ("activation", "gradient"):
                answer = inquiry.explain(Number(of, record.name, index))
                assert answer.adds_up, answer
    for parameter in inquiry.users:
        for index in indices(inquiry.trace.network.params[parameter].shape, rng):
            answer = inquiry.explain(Number("gradient", parameter, index))
            assert answer.adds_up, answer
    assert inquiry.ask("softmax").adds_up
    assert inquiry.ask("loss").adds_up


def named(names, weights=None, logits=(1.0, 2.0, 5.0)):
    """A network (1, 2, 2) -> logits, which are the logarithms of some numbers for every image."""
    network = Sequential(Flatten(), Dense(4, len(logits), rng=0)).astype("float64")
    network.params["1.weight"][...], network.params["1.bias"][...] = 0, np.log(logits)
    network.class_names, network.class_weight, network.input_shape = names, weights, (1, 2, 2)
    return network


def test_numbers_of_an_output_name_their_class():
    x = np.ones((1, 1, 2, 2))
    answer = explain(named(("cat", "dog", "1")), x, "softmax", (0, 1))
    assert str(answer.number) == "softmax[0,1] (dog)"
    assert {part.name for term in answer.terms for part in term.parts} == {
        "1[0,0] (cat)", "1[0,1] (dog)", "1[0,2] (1)",
    }  # fmt: skip
    assert "softmax[0,1] (dog)" in answer.table().title
    data = answer.to_dict()
    assert (data["class"], data["terms"][0]["parts"][0]["class"]) == ("dog", "dog")
    inner = answer.explain()
    assert str(inner.number) == "1[0,1] (dog)"
    assert all(part.number.name == "" for term in inner.terms for part in term.parts if part.number)
    gradient = explain(named(("cat", "dog", "1")), x, "1", (0, 0), of="gradient", y=[1])
    assert str(gradient.number) == "d loss / d 1[0,0] (cat)"
    assert gradient.terms[0].parts[0].name == "softmax[0,0] (cat)"
    # A class that is called as its index is not named twice, and one without a name not at all.
    for names in (("0", "1", "2"), None):
        network = named(("a", "b", "c"))
        network.class_names = names
        assert str(explain(network, x, "softmax", (0, 1)).number) == "softmax[0,1]"
    # Of a Softmax at the end, the logits before it are of the same classes.
    ending = Sequential(*named(("cat", "dog", "fox")).children.values(), neocog.Softmax())
    ending.class_names = ("cat", "dog", "fox")
    found = explain(ending, x, "2", (0, 2))
    assert str(found.number) == "2[0,2] (fox)"
    assert {part.number.name for term in found.terms for part in term.parts if part.number} == {
        "cat", "dog", "fox",
    }  # fmt: skip


def test_probabilities_are_those_of_predict_with_class_weights():
    """Softmax of (0, log 2, log 5) is (1, 2, 5) / 8; without the weights (1, 1, 5) it is (1, 2, 1) / 4."""
    x, names = np.ones((1, 1, 2, 2)), ("cat", "dog", "fox")
    network = named(names, (1.0, 1.0, 5.0))
    expected = [0.25, 0.5, 0.25]
    np.testing.assert_allclose(network.predict_proba(x), [expected], rtol=1e-12)
    np.testing.assert_allclose(trace(network, x).probabilities, [expected], rtol=1e-12)
    for k in range(3):
        answer = explain(network, x, "softmax", (0, k))
        assert answer.value == pytest.approx(expected[k], rel=1e-12)
        assert answer.adds_up
        assert "without the class weights w = 1, 1, 5 of training" in answer.formula
    # The loss and its gradient are of the weighted classes: p is there what the softmax of the logits is.
    gradient = explain(network, x, "1", (0, 2), of="gradient", y=[0])
    assert gradient.value == pytest.approx(5 / 8)
    assert gradient.terms[0].parts[0].name == "p(1[0,2] (fox))"
    assert gradient.adds_up
    loss = explain(network, x, "loss", y=[0])
    assert loss.terms[0].parts[0].name == "loss(1[0,0] (cat))"
    assert loss.value == pytest.approx(np.log(8))


def test_a_single_probability_is_that_of_predict_with_class_weights():
    """The log-odds log 2 are of weighted classes; without the weights 1 and 4 the odds are 1 to 2."""
    network = named(("cat", "dog"), (1.0, 4.0), (2.0,))
    network.output_kind = "independent-logits"
    x = np.ones((1, 1, 2, 2))
    answer = explain(network, x, "sigmoid", (0, 0))
    assert answer.value == pytest.approx(1 / 3)
    np.testing.assert_allclose(network.predict_proba(x), [[2 / 3, 1 / 3]], rtol=1e-12)
    assert str(answer.number) == "sigmoid[0,0] (dog)"
    assert "without the class weights w = 1, 4 of training" in answer.formula
    assert answer.adds_up
