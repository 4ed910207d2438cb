"""The page's forward pass, in a real browser, against neocog's in float64."""

import copy
import json

import numpy as np
import pytest

from neocog.layers import Container, Graph, Sequential
from neocog.models import (
    conv_net,
    digits_cnn,
    image_cnn,
    lenet5,
    lenet5_1998,
    resnet_cifar,
    small_cnn,
    tiny_cnn,
    tiny_mlp,
)
from neocog.studio.architecture import describe, list_nodes

from ..cases import LAYERS, awake  # noqa: TID252

pytestmark = pytest.mark.browser

FORWARD = """async (cases) => {
  const { Network } = await import("/network.js");
  const number = (value) => (Number.isFinite(value) ? value : String(value));
  return JSON.stringify(JSON.parse(cases).map(({ description, arrays, images: [image, ...more] }) => {
    const network = new Network(description);
    // A layer of several inputs is computed as if other layers had made them.
    for (const [k, { shape, data }] of more.entries()) network.values.set(`input${k + 1}`, { shape, data });
    network.load(new Map(Object.entries(arrays)));
    const values = network.forward(image.data);
    const written = ([name, { shape, data }]) => [name, { shape, data: Array.from(data, number) }];
    return Object.fromEntries([...values].map(written));
  }));
}"""
TOLERANCE = 1e-12


def in_float64(layer, inputs=1):
    """Return the layer as a network that computes in float64, with which the page must agree."""
    names = [f"x{k}" for k in range(inputs)]
    if not isinstance(layer, Container):
        layer = Graph({"layer": (layer, *names)}, names) if layer.several_inputs else Sequential(layer=layer)
    return copy.deepcopy(layer).astype("float64")


def described(network, inputs):
    """Return what the page is given: the description, the arrays, the numbers of each input."""
    names = ["input", *(f"input{k}" for k in range(1, len(inputs)))]
    nodes, output = list_nodes(network, {name: x.shape[1:] for name, x in zip(names, inputs, strict=True)})
    arrays = {**network.params, **network.buffers}
    return {
        "description": {"input": list(inputs[0].shape[1:]), "nodes": nodes, "output": output},
        "arrays": {name: array.ravel().tolist() for name, array in arrays.items()},
        "images": [{"shape": list(x.shape[1:]), "data": x.ravel().tolist()} for x in inputs],
    }


def outputs(network, inputs):
    """Return the output of each layer by name, from neocog."""
    values = {}

    def visit(name, layer, x):
        values[name] = layer(x)
        return values[name]

    network.walk(visit, tuple(inputs) if network.several_inputs else inputs[0])
    return values


def largest_difference(answer, network, inputs):
    """Return the largest difference of a node, as a part of its largest number."""
    largest = 0.0
    for node, y in outputs(network, inputs).items():
        found = np.array([float(number) for number in answer[node]["data"]])
        assert tuple(answer[node]["shape"]) == y.shape[1:], node
        assert np.array_equal(np.isnan(found), np.isnan(y.ravel())), node
        difference = np.nanmax(np.abs(found - y.ravel()), initial=0)
        largest = max(largest, difference / (np.nanmax(np.abs(y), initial=0) or 1))
    return largest


def agree(page, cases):
    """Assert that the page computes what neocog does; cases are (name, network, inputs)."""
    sent = [described(network, inputs) for _, network, inputs in cases]
    lacking = [name for (name, *_), case in zip(cases, sent, strict=True) if not computed(case)]
    assert lacking == []
    answers = json.loads(page.evaluate(FORWARD, json.dumps(sent)))  # as text, which is ten times as fast
    differences = {
        name: largest_difference(answer, network, inputs)
        for answer, (name, network, inputs) in zip(answers, cases, strict=True)
    }
    worst = max(differences, key=lambda name: differences[name])
    assert differences[worst] <= TOLERANCE, worst
    return differences


def computed(case):
    return all(node["page"] for node in case["description"]["nodes"])


def test_every_case_of_every_layer(module_page):
    """One image of each case, as trace sees it: a layer in inference, of a batch of one."""
    cases = []
    for name, (make, x) in LAYERS.items():
        inputs = [part[:1] for part in (x if isinstance(x, tuple) else (x,))]
        cases.append((name, in_float64(make(), len(inputs)), inputs))
    assert len(cases) > 150
    agree(module_page, cases)


def test_ready_made_networks(module_page, rng):
    cases = []
    for name, (make, shape) in MODELS.items():
        network = in_float64(make())
        assert describe(network, shape)["page"], name
        cases.append((name, network, [rng.uniform(size=(1, *shape))]))
    agree(module_page, cases)


def awake_norms(network):
    """Give the layers that normalise other numbers than ones and zeros."""
    for _, layer in network.leaves():
        if "Norm" in type(layer).__name__:
            awake(layer)
    return network


MODELS = {
    "tiny_cnn": (tiny_cnn, (1, 8, 8)),
    "tiny_mlp": (tiny_mlp, (1, 8, 8)),
    "digits_cnn": (digits_cnn, (1, 8, 8)),
    "small_cnn": (lambda: awake_norms(small_cnn()), (1, 8, 8)),
    "conv_net": (lambda: conv_net((8, 16), 5, (3, 20, 24)), (3, 20, 24)),
    "image_cnn": (lambda: awake_norms(image_cnn((8, 16), 10, (3, 32, 32))), (3, 32, 32)),
    "lenet5": (lambda: lenet5(rng=0), (1, 28, 28)),
    "lenet5_1998": (lambda: lenet5_1998(rng=0), (1, 32, 32)),
    "resnet_cifar": (lambda: awake_norms(resnet_cifar(8, 10, (1, 8, 8), rng=0)), (1, 8, 8)),
}
"""The ready-made networks that the page computes, at sizes at which it does."""
