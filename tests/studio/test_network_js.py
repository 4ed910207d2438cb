"""The page's forward pass, in a real browser, against neocog's in float64."""

import base64
import copy
import json

import numpy as np
import pytest

from neocog.layers import (
    ELU,
    GELU,
    SELU,
    AvgPool2D,
    Clip,
    Container,
    Conv2D,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    Graph,
    GroupNorm,
    Hardsigmoid,
    Hardswish,
    Layer,
    LeakyReLU,
    LocalResponseNorm,
    MaxPool2D,
    Mish,
    PReLU,
    ReLU,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
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
from neocog.studio.architecture import PAGE_FORMS, describe, list_nodes
from neocog.studio.bundle import WEB
from neocog.studio.messages import encode

from ..cases import LAYERS, awake, normal  # noqa: TID252
from .random_networks import random_network

pytestmark = pytest.mark.browser

FORWARD = """async (cases) => {
  const { Network } = await import("/network.js");
  const number = (value) => (Number.isFinite(value) ? value : String(value));
  return JSON.stringify(JSON.parse(cases).map(({ description, arrays, images: [image, ...more] }) => {
    const network = new Network(description);
    // A layer of several inputs is computed as if other layers had made them.
    for (const [k, { shape, data }] of more.entries()) {
      network.values.set(`input${k + 1}`, { shape, data: data.map(Number) });
    }
    network.load(new Map(Object.entries(arrays)));
    const values = network.forward(image.data.map(Number));
    const written = ([name, { shape, data }]) => [name, { shape, data: Array.from(data, number) }];
    return Object.fromEntries([...values].map(written));
  }));
}"""
TOLERANCE = 1e-12
RANDOM = 60


class Wave(Layer):
    """A layer that the page does not know."""

    def forward(self, x, training=False):
        return np.sin(x), x


def in_float64(layer, inputs=1):
    """Return the layer as a network that computes in float64, with which the page must agree."""
    names = [f"x{k}" for k in range(inputs)]
    if not isinstance(layer, Container):
        layer = Graph({"layer": (layer, *names)}, names) if layer.several_inputs else Sequential(layer=layer)
    return copy.deepcopy(layer).astype("float64")


def numbers(x):
    """Return numbers as JavaScript writes them, those that JSON has no form for, too."""
    return [repr(number).replace("inf", "Infinity") for number in x.ravel().tolist()]


def described(network, inputs):
    """Return what the page is given: the description, the arrays, the numbers of each input."""
    names = ["input", *(f"input{k}" for k in range(1, len(inputs)))]
    nodes, output = list_nodes(network, {name: x.shape[1:] for name, x in zip(names, inputs, strict=True)})
    arrays = {**network.params, **network.buffers}
    return {
        "description": {"input": list(inputs[0].shape[1:]), "nodes": nodes, "output": output},
        "arrays": {name: array.ravel().tolist() for name, array in arrays.items()},
        "images": [{"shape": list(x.shape[1:]), "data": numbers(x)} for x in inputs],
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
        found, expected = np.array(answer[node]["data"], float), y.ravel()
        assert tuple(answer[node]["shape"]) == y.shape[1:], node
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(found[~finite], expected[~finite])
        found, expected = found[finite], expected[finite]
        scale = np.abs(expected).max(initial=1e-3)  # the mean of a normalised map is zero but for rounding
        largest = max(largest, np.abs(found - expected).max(initial=0) / scale)
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


THROUGH_A_MESSAGE = """async (text) => {
  const { decode } = await import("/messages.js");
  const { Network } = await import("/network.js");
  const { header, arrays } = decode(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
  const network = new Network(header.description);
  network.load(arrays);
  const values = network.forward(arrays.get("image").data);
  return JSON.stringify(Object.fromEntries([...values].map(([name, { data }]) => [name, [...data]])));
}"""


def test_float32_networks_through_a_message(module_page, rng):
    """As the page gets them, in float32: each layer within 1e-5 of its largest number."""
    for name, (make, shape) in MODELS.items():
        network, image = make().astype("float32"), rng.uniform(size=(1, *shape)).astype(np.float32)
        arrays = {**network.params, **network.buffers, "image": image[0]}
        message = encode({"description": describe(network, shape)}, arrays)
        answer = json.loads(module_page.evaluate(THROUGH_A_MESSAGE, base64.b64encode(message).decode()))
        for node, y in outputs(network, [image]).items():
            assert y.dtype == np.float32
            difference = np.abs(np.array(answer[node]) - y.ravel()).max()
            assert difference <= 1e-5 * np.abs(y).max(), (name, node)


def test_random_networks(module_page, rng):
    cases, kinds, shared = [], set(), 0
    for k in range(RANDOM):
        network, shape = random_network(rng)
        leaves = [layer for _, layer in network.leaves()]
        kinds.update(type(layer).__name__ for layer in leaves)
        shared += len({id(layer) for layer in leaves}) < len(leaves)
        cases.append((f"network {k}", in_float64(network), [rng.normal(size=(1, *shape))]))
    agree(module_page, cases)
    # What was drawn is what was meant: nearly every layer, and layers at several places.
    assert kinds >= {cls.__name__ for cls in PAGE_FORMS}
    assert shared > RANDOM / 3


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(module_page, value):
    """They go on as in neocog, so that the page shows where a network went wrong."""
    image = normal(1, 2, 6, 6)
    image[0, 1, 2, 3] = value
    kinds = [
        *(Conv2D(2, 2, 3, padding=1, rng=0), ReLU(), LeakyReLU(), Sigmoid(), Tanh(), Hardswish(), GELU()),
        *(PReLU(), MaxPool2D(2), MaxPool2D(3, 2, 1), AvgPool2D(2), GlobalAvgPool2D(), GlobalMaxPool2D()),
        *(GroupNorm(1, 2), Flatten(), SiLU(), ELU(), SELU(), Softplus(), Mish(), Clip(), Hardsigmoid()),
    ]
    with np.errstate(invalid="ignore", over="ignore"):
        agree(module_page, [(repr(layer), in_float64(layer), [image]) for layer in kinds])


def test_a_tie_and_a_zero(module_page):
    image = np.zeros((1, 2, 4, 4))
    image[0, 0, 0, 0] = -0.0
    cases = [MaxPool2D(2), GlobalMaxPool2D(), ReLU(), Softmax(1), GroupNorm(2, 2), LocalResponseNorm(2)]
    agree(module_page, [(repr(layer), in_float64(layer), [image]) for layer in cases])


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_everywhere(module_page, approximate):
    """The error function, on both sides of where its formula changes."""
    x = np.concatenate([np.linspace(-40, 40, 4001), [-2.8284271247461903, 2.8284271247461903, 1e-300]])
    case = described(in_float64(GELU(approximate)), [x[None]])
    answer = json.loads(module_page.evaluate(FORWARD, json.dumps([case])))[0]
    found = np.array(answer["layer"]["data"], float)
    absolute = {"none": 1e-300, "tanh": 1e-14}[approximate]  # 1 + tanh cancels
    np.testing.assert_allclose(found, GELU(approximate)(x), rtol=1e-11, atol=absolute)


REFUSED = """async ([description, arrays, image]) => {
  const { Network } = await import("/network.js");
  const network = new Network(description);
  const said = [];
  const attempt = (action) => {
    try { action(); said.push(""); } catch (error) { said.push(error.message); }
  };
  attempt(() => network.forward(image));
  attempt(() => network.load(new Map()));
  attempt(() => network.load(new Map(Object.entries(arrays).map(([name, data]) => [name, [...data, 0]]))));
  attempt(() => network.load(new Map(Object.entries(arrays).map(([name, data]) => [name, { data }]))));
  attempt(() => network.forward(image.slice(1)));
  attempt(() => network.forward(image));
  return said;
}"""


def test_what_does_not_fit_is_said(module_page):
    case = described(in_float64(tiny_cnn()), [np.zeros((1, 1, 8, 8))])
    image = [0.0] * 64
    assert module_page.evaluate(REFUSED, [case["description"], case["arrays"], image]) == [
        "load the arrays before the first image",
        "array conv1.weight must hold 27 numbers, got none",
        "array conv1.weight must hold 27 numbers, got 28",
        "",
        "the image must hold 64 numbers, got 63",
        "",
    ]
    unknown = describe(Sequential(wave=Wave(), relu=ReLU()), (1, 8, 8))
    said = module_page.evaluate(REFUSED, [unknown, {}, image])
    assert said[1] == "the page has no form of wave (Wave)"
    assert said[0] == "load the arrays before the first image"


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


SPEED = """async ([text, often]) => {
  const { Network } = await import("/network.js");
  const { description, arrays, images } = JSON.parse(text);
  const image = Float64Array.from(images[0].data, Number);
  const network = new Network(description);
  network.load(new Map(Object.entries(arrays)));
  let best = Infinity;
  for (let k = 0; k < 60; k++) {
    const start = performance.now();
    for (let n = 0; n < often; n++) network.forward(image);
    best = Math.min(best, (performance.now() - start) / often);
  }
  return best;
}"""


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "milliseconds"), [("digits_cnn", 0.1), ("lenet5", 1.0)])
def test_speed(module_page, rng, name, milliseconds):
    """The best of many stretches of a few milliseconds, so that other processes do not count."""
    make, shape = MODELS[name]
    case = described(in_float64(make()), [rng.uniform(size=(1, *shape))])
    often = round(4 / milliseconds)
    assert module_page.evaluate(SPEED, [json.dumps(case), often]) < milliseconds


def test_the_modules_are_small():
    shared = ("network", "terms", "messages", "layers/base", "layers/index", "layers/sums", "layers/window")
    used = (
        f"layers/{family}" for family in ("convolution", "activation", "pooling", "shape", "dense", "copying")
    )
    size = {path.relative_to(WEB).as_posix(): path.stat().st_size for path in WEB.rglob("*.js")}
    assert sum(size[f"{name}.js"] for name in (*shared, *used)) < 27_000  # in the page of the digits' network
    assert (
        sum(each for name, each in size.items() if name.startswith("layers/")) < 42_000
    )  # all that there are
