"""The page's forward pass, in a real browser, against neocog's in float64."""

import copy

import numpy as np
import pytest

from neocog.layers import Container, Sequential
from neocog.models import digits_cnn, lenet5, tiny_cnn, tiny_mlp
from neocog.studio.architecture import list_nodes

pytestmark = pytest.mark.browser

FORWARD = """async (cases) => {
  const { Network } = await import("/network.js");
  return cases.map(({ description, arrays, images }) => {
    const network = new Network(description);
    network.load(new Map(Object.entries(arrays)));
    const values = network.forward(images);
    return Object.fromEntries([...values].map(([name, { data }]) => [name, Array.from(data)]));
  });
}"""
TOLERANCE = 1e-12


def in_float64(layer):
    """Return the layer as a network that computes in float64, the one that the page must agree with."""
    network = copy.deepcopy(layer if isinstance(layer, Container) else Sequential(layer=layer))
    return network.astype("float64")


def described(network, inputs):
    """Return what the page is given: the description, the arrays, the numbers of each input."""
    names = ["input", *(f"input{k}" for k in range(1, len(inputs)))]
    shapes = {name: x.shape[1:] for name, x in zip(names, inputs, strict=True)}
    nodes, output = list_nodes(network, shapes)
    first, *more = names
    description = {"input": list(shapes[first]), "nodes": nodes, "output": output}
    if more:
        description["inputs"] = {name: list(shapes[name]) for name in more}
    arrays = {**network.params, **network.buffers}
    return {
        "description": description,
        "arrays": {name: array.ravel().tolist() for name, array in arrays.items()},
        "images": inputs[0].ravel().tolist() if not more else [x.ravel().tolist() for x in inputs],
    }


def outputs(network, inputs):
    """Return the output of each layer by name, from neocog."""
    values = {}

    def visit(name, layer, x):
        values[name] = layer(x)
        return values[name]

    network.walk(visit, tuple(inputs) if network.several_inputs else inputs[0])
    return values


MODELS = {
    "tiny_cnn": (tiny_cnn, (1, 8, 8)),
    "tiny_mlp": (tiny_mlp, (1, 8, 8)),
    "digits_cnn": (digits_cnn, (1, 8, 8)),
    "lenet5": (lenet5, (1, 28, 28)),
}


def test_models(module_page, rng):
    networks = {name: in_float64(make()) for name, (make, _) in MODELS.items()}
    images = {name: [rng.normal(size=(1, *shape))] for name, (_, shape) in MODELS.items()}
    sent = [described(network, images[name]) for name, network in networks.items()]
    assert all(node["page"] for case in sent for node in case["description"]["nodes"])
    for answer, (name, network) in zip(module_page.evaluate(FORWARD, sent), networks.items(), strict=True):
        for node, y in outputs(network, images[name]).items():
            difference = np.abs(np.array(answer[node]) - y.ravel()).max()
            assert difference <= TOLERANCE * np.abs(y).max(), (name, node)
