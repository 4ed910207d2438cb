"""A network as data for the page."""

import json

import numpy as np
import pytest

from neocog.data import Preprocessing
from neocog.layers import (
    Container,
    Conv2D,
    Dense,
    Dropout,
    Elementwise,
    Flatten,
    Graph,
    Layer,
    MaxPool2D,
    ReLU,
    Reshape,
    Residual,
    Sequential,
    Softmax,
    Tanh,
    Transpose,
)
from neocog.models import digits_cnn, image_cnn, lenet5, resnet_cifar, tiny_cnn
from neocog.studio import describe, has_page_form
from neocog.studio.architecture import PAGE_FORMS, list_nodes

from ..cases import CASES, shared_in_graph, shared_in_sequence, two_inputs  # noqa: TID252


class Doubled(Layer):
    """Forward: ``y = 2 x``."""

    def forward(self, x, training=False):
        return 2 * x, None


class Named(ReLU):
    """A layer that computes what its base does."""


class Shifted(Tanh):
    def forward(self, x, training=False):
        y = np.tanh(x) + 1
        return y, y - 1


class Twice(Sequential):
    """A container that computes more than its layers."""

    def forward(self, x, training=False):
        y, cache = super().forward(x, training)
        return 2 * y, cache


def test_what_it_says_of_a_network():
    network = digits_cnn()
    network.class_names = tuple("0123456789")
    network.input_shape = (1, 8, 8)
    described = describe(network)
    assert {key: described[key] for key in described if key != "nodes"} == {
        "version": 1,
        "input": [1, 8, 8],
        "class_names": list("0123456789"),
        "class_weight": None,
        "output_kind": "logits",
        "tone": "ink",
        "preprocessing": None,
        "output": "dense",
        "page": True,
        "why_not": "",
    }
    conv, relu, pool, *_, dense = described["nodes"]
    assert conv == {
        "name": "conv1",
        "kind": "Conv2D",
        "inputs": ["input"],
        "shape": [8, 8, 8],
        "settings": {
            "kernel_size": (3, 3),
            "stride": (1, 1),
            "padding": ((1, 1), (1, 1)),
            "dilation": (1, 1),
            "groups": 1,
        },
        "arrays": {"w": "conv1.weight", "b": "conv1.bias"},
        "array_shapes": {"w": [8, 1, 3, 3], "b": [8]},
        "parameters": 80,
        "flops": 2 * 64 * 72,
        "receptive": [3, 3],
        "formula": "y[n,f,i,j] = b[f] + sum over c,p,q of w[f,c,p,q] x[n,c,i s+p d-P,j s+q d-P]",
        "page": True,
    }
    assert (relu["inputs"], relu["formula"]) == (["conv1"], "y = max(x, 0)")
    assert (pool["shape"], pool["receptive"]) == ([8, 4, 4], [4, 4])
    assert (dense["shape"], dense["receptive"]) == ([10], [8, 8])


def test_numbers_of_the_summary_are_its_own():
    network = resnet_cifar(8, 10, (3, 16, 16), rng=0)
    nodes = describe(network, (3, 16, 16))["nodes"]
    rows = network.summary((1, 3, 16, 16), show=False).rows
    for node, row in zip(nodes, rows, strict=True):
        assert (node["name"], node["parameters"], node["flops"]) == (row.name, row.parameters, row.flops)
        assert (tuple(node["shape"]), tuple(node["receptive"])) == (row.output_shape[1:], row.receptive_field)


def test_preprocessing_tells_the_tone():
    network = tiny_cnn(size=8)
    network.preprocessing = Preprocessing(1, (8, 8), fit="pad")
    described = describe(network, (1, 8, 8))
    assert described["tone"] == "white"
    assert Preprocessing.from_dict(described["preprocessing"]) == network.preprocessing


@pytest.mark.parametrize("name", [*CASES])
def test_all_of_it_is_plain_data(name):
    for make, x in CASES[name]:
        layer = make()
        several = isinstance(x, tuple)
        if not isinstance(layer, Container):
            names = [f"x{k}" for k in range(len(x))] if several else []
            layer = Graph({"layer": (layer, *names)}, names) if layer.several_inputs else Sequential(layer)
        inputs = {f"in{k}": part.shape[1:] for k, part in enumerate(x if several else (x,))}
        nodes, output = list_nodes(layer, inputs)
        assert json.loads(json.dumps({"nodes": nodes})) is not None
        assert output in {*inputs, *(node["name"] for node in nodes)}
        known = set(inputs)
        for node in nodes:
            assert known.issuperset(node["inputs"])  # each comes after what it reads
            known.add(node["name"])


def test_every_layer_has_a_page_form_or_its_reason():
    """All built-in ones have one; those that mix the images of a batch have none in that way of use."""
    assert all(has_page_form(cls) for cls in PAGE_FORMS)
    assert [has_page_form(cls) for cls in (Named, Doubled, Shifted)] == [True, False, False]
    mixing = [Softmax(0), Transpose((1, 0, 2, 3)), Reshape((8, 8))]
    for layer in mixing:
        described = describe(Sequential(first=ReLU(), mixes=layer), (1, 8, 8))
        assert not described["page"]
        assert described["why_not"].endswith(f"no form of mixes ({type(layer).__name__}).")


def test_shared_layers_name_the_same_arrays_and_count_once():
    first, relu, again = list_nodes(shared_in_sequence(), {"input": (2, 5, 4)})[0]
    assert first["arrays"] == again["arrays"] == {"w": "first.weight", "b": "first.bias"}
    assert (first["parameters"], relu["parameters"], again["parameters"]) == (38, 0, 0)
    a, _, b, total = list_nodes(shared_in_graph(), {"input": (3,)})[0]
    assert a["arrays"] == b["arrays"]
    assert total["inputs"] == ["a", "b"]
    assert total["receptive"] is None  # rows have no pixels


def test_containers_are_flattened():
    block = Residual(Sequential(conv=Conv2D(2, 2, 3, padding=1), relu=ReLU()))
    network = Sequential(stem=Conv2D(1, 2, 1), block=block, drop=Dropout())
    nodes = describe(network, (1, 6, 6))["nodes"]
    assert [(node["name"], node["inputs"]) for node in nodes] == [
        ("stem", ["input"]),
        ("block.body.conv", ["stem"]),
        ("block.body.relu", ["block.body.conv"]),
        ("block.add", ["block.body.relu", "stem"]),
        ("drop", ["block.add"]),
    ]


def test_what_the_page_cannot_compute():
    class Mine(Elementwise):
        @staticmethod
        def function(xp, x):
            return xp.sin(x)

    network = Sequential(conv=Conv2D(1, 2, 3), wave=Mine(), named=Named(), double=Doubled())
    described = describe(network, (1, 8, 8))
    assert [(node["kind"], node["page"]) for node in described["nodes"]] == [
        ("Conv2D", True),
        ("Mine", False),
        ("ReLU", True),
        ("Doubled", False),
    ]
    assert described["why_not"] == (
        "Python computes the maps: the page has no form of wave (Mine), double (Doubled)."
    )
    described = describe(Sequential(relu=ReLU(), twice=Twice(relu=ReLU())), (1, 8, 8))
    assert described["why_not"] == "Python computes the maps: twice is a Twice."
    assert (
        describe(Twice(ReLU()), (1, 8, 8))["why_not"] == "Python computes the maps: the network is a Twice."
    )


def test_what_is_too_large_for_the_page():
    assert describe(lenet5(), (1, 28, 28))["page"]
    described = describe(image_cnn((64, 128), 10, (3, 64, 64)), (3, 64, 64))
    assert not described["page"]
    assert "million multiply-adds" in described["why_not"]
    assert all(node["page"] for node in described["nodes"])


def test_one_layer_is_a_network():
    (node,) = describe(Dense(4, 2), (4,))["nodes"]
    assert (node["name"], node["shape"]) == ("0", [2])


def test_no_layer_is_an_identity():
    described = describe(Sequential(), (1, 8, 8))
    assert (described["nodes"], described["output"], described["page"]) == ([], "input", True)


def test_a_copy_for_inference_is_described_as_the_network():
    network = tiny_cnn(size=8)
    assert describe(network.for_inference(), (1, 8, 8)) == describe(network, (1, 8, 8))


@pytest.mark.parametrize(
    ("network", "shape", "error"),
    [
        (lambda: 3, (1, 8, 8), "network must be a neocog Layer, got int"),
        (tiny_cnn, (1, 2, 2), "layer 'conv1'"),
        (tiny_cnn, (8, 8), "layer 'conv1'"),
        (lambda: Sequential(Flatten()), None, "input_shape is not known to this network: pass"),
        (two_inputs, (2, 5, 4), "must take one input"),
        (lambda: Sequential(input=ReLU()), (1, 8, 8), "a layer may not be called 'input'"),
        (lambda: Sequential(MaxPool2D(9)), (1, 8, 8), "larger than the 8x8 image"),
    ],
)
def test_bad_input(network, shape, error):
    with pytest.raises((ValueError, TypeError), match=error):
        describe(network(), shape)
