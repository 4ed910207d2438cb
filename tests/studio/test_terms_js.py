"""The page's terms of a number, in a real browser, against those of neocog.inspection."""

import json
import math
import re

import numpy as np
import pytest

from neocog.inspection import explain
from neocog.inspection.rules import rule_for
from neocog.inspection.trace import LayerRecord, State
from neocog.layers import (
    AvgPool2D,
    BatchNorm2D,
    GlobalAvgPool2D,
    GroupNorm,
    LayerNorm,
    LocalResponseNorm,
    LogSoftmax,
    Normalize,
    Softmax,
)
from neocog.models import digits_cnn, tiny_cnn

from ..cases import LAYERS, awake  # noqa: TID252
from .random_networks import random_network
from .test_network_js import MODELS, described, in_float64

pytestmark = pytest.mark.browser

TERMS = """async (cases) => {
  const { Network } = await import("/network.js");
  const { terms } = await import("/terms.js");
  return JSON.stringify(JSON.parse(cases).map(({ description, arrays, images: [image, ...more], places }) => {
    const network = new Network(description);
    for (const [k, { shape, data }] of more.entries()) {
      network.values.set(`input${k + 1}`, { shape, data: data.map(Number) });
    }
    network.load(new Map(Object.entries(arrays)));
    const values = network.forward(image.data.map(Number));
    return places.map(([node, index]) => terms(network, values, node, index));
  }));
}"""
TOLERANCE = 1e-11


def records(network, inputs):
    """Return the record of each layer by name, as trace makes them, for any number of inputs."""
    found = {}

    def visit(name, layer, x):
        y, cache = layer.forward(x)
        found[name] = LayerRecord(name, layer, x, y, cache, False, State(layer))
        return y

    network.walk(visit, tuple(inputs) if network.several_inputs else inputs[0])
    return found


def places(nodes, rng, count):
    """Return some random places of each node: (its name, an index without the batch)."""
    drawn = [
        (node, [[int(rng.integers(size)) for size in node["shape"]] for _ in range(count)]) for node in nodes
    ]
    return [(node["name"], index) for node, indices in drawn for index in indices]


def words(text):
    """Return a note without its numbers, and the numbers."""
    return re.sub(r"[\d.e-]+", "#", text), [float(number) for number in re.findall(r"\d[\d.e-]*", text)]


def same_terms(found, node, record, index):
    """Assert that the page has the terms of a number that its rule has, in the same order."""
    rule = rule_for(record.layer)
    expected = rule.forward(record, (0, *index))
    y = float(record.y[(0, *index)])
    where = f"{node['name']}{index} ({node['kind']})"
    assert math.isclose(found["value"], y, rel_tol=TOLERANCE, abs_tol=1e-14), where
    assert found["formula"] == rule.forward_formula(record), where
    assert len(found["parts"]) == len(expected), where
    assert found["rest"] == 0, where
    for part, term in zip(found["parts"], expected, strict=True):
        assert math.isclose(part["product"], term.value, rel_tol=TOLERANCE, abs_tol=1e-14), where
        assert words(part["label"])[0] == words(term.note)[0], where
        assert words(part["label"])[1] == pytest.approx(words(term.note)[1], rel=1e-3), where
        assert len(part["factors"]) == len(term.factors), where
        for mine, factor in zip(part["factors"], term.factors, strict=True):
            assert mine["symbol"] == factor.symbol, where
            assert math.isclose(mine["value"], factor.value, rel_tol=TOLERANCE, abs_tol=1e-14), where
            if factor.kind == "x":
                assert mine["node"] == node["inputs"][factor.slot], where
                assert mine["at"] == list(factor.index[1:]), where
            elif factor.kind:
                role = {"weight": "w", "bias": "b"}[factor.kind]
                assert mine["array"] == node["arrays"][role], where
                # A bias of the rank of x has the batch's axis, of size 1.
                assert mine["at"] == list(factor.index), where
            else:
                assert not mine.get("node"), where
                assert not mine.get("array"), where
        x = [factor for factor in part["factors"] if factor.get("node")]
        assert (part["from"], part["at"]) == ((x[0]["node"], x[0]["at"]) if x else (None, None)), where
        if part["w"] is not None:
            assert math.isclose(part["w"] * (part["x"] if x else 1), part["product"], rel_tol=1e-12), where


def answers(page, cases):
    """Return the page's terms of the places of each case."""
    return json.loads(page.evaluate(TERMS, json.dumps(cases)))


def ask(page, cases, rng, count):
    """Compare random places of each layer; cases are (name, network, inputs). Returns how many were."""
    sent, asked = [], 0
    for _, network, inputs in cases:
        case = described(network, inputs)
        nodes = case["description"]["nodes"]
        sent.append(case | {"places": places(nodes, rng, count)})
    for case, answer, (_, network, inputs) in zip(sent, answers(page, sent), cases, strict=True):
        layers = records(network, inputs)
        nodes = {node["name"]: node for node in case["description"]["nodes"]}
        for (node, index), found in zip(case["places"], answer, strict=True):
            same_terms(found, nodes[node], layers[node], index)
            asked += 1
    return asked


def test_every_case_of_every_layer(module_page, rng):
    cases = []
    for name, (make, x) in LAYERS.items():
        inputs = [part[:1] for part in (x if isinstance(x, tuple) else (x,))]
        cases.append((name, in_float64(make(), len(inputs)), inputs))
    assert ask(module_page, cases, rng, 6) > 1000


def test_ready_made_networks(module_page, rng):
    cases = []
    for name, (make, shape) in MODELS.items():
        cases.append((name, in_float64(make()), [rng.uniform(size=(1, *shape))]))
    assert ask(module_page, cases, rng, 2) > 100


def test_random_networks(module_page, rng):
    cases = []
    for k in range(20):
        network, shape = random_network(rng)
        cases.append((f"network {k}", in_float64(network), [rng.normal(size=(1, *shape))]))
    assert ask(module_page, cases, rng, 2) > 500


@pytest.mark.parametrize("make", [tiny_cnn, digits_cnn])
def test_they_are_what_explain_answers(module_page, rng, make):
    """The whole of explain's plain data: values, names of numbers and of weights, in its order."""
    network = in_float64(make())
    x = rng.uniform(size=(1, 1, 8, 8))
    case = described(network, [x])
    case["places"] = places(case["description"]["nodes"], rng, 5)
    for (node, index), found in zip(case["places"], answers(module_page, [case])[0], strict=True):
        expected = explain(network, x, node, (0, *index)).to_dict()
        assert found["value"] == pytest.approx(expected["value"], rel=TOLERANCE)
        assert found["formula"] == expected["formula"]
        parts = sorted(found["parts"], key=lambda part: -abs(part["product"]))
        products = [part["product"] for part in parts]
        assert products == pytest.approx([term["value"] for term in expected["terms"]], rel=1e-9, abs=1e-15)
        mine = {(f.get("node") or f.get("array"), *f["at"]) for part in parts for f in part["factors"]}
        theirs = {
            (f["at"], *(f["index"][1:] if f["symbol"] == "x" else f["index"]))
            for term in expected["terms"]
            for f in term["parts"]
        }
        assert mine == theirs


def test_a_number_can_be_followed_down_to_a_pixel(module_page, rng):
    """The largest term of a logit, the largest of that, ...: each is the number that the next explains."""
    network = in_float64(digits_cnn())
    case = described(network, [rng.uniform(size=(1, 1, 8, 8))])
    code = """async ({ description, arrays, images: [image] }) => {
      const { Network } = await import("/network.js");
      const { terms } = await import("/terms.js");
      const network = new Network(description);
      network.load(new Map(Object.entries(arrays)));
      const values = network.forward(image.data.map(Number));
      const trail = [];
      for (let node = description.output, at = [3]; at;) {
        const { value, parts } = terms(network, values, node, at);
        trail.push([node, at, value]);
        const numbers = parts.filter(({ from }) => from);
        const next = numbers.sort((a, b) => Math.abs(b.product) - Math.abs(a.product))[0];
        if (next && next.x !== number(values.get(next.from), next.at)) throw new Error(`not ${next.x}`);
        [node, at] = [next?.from, next?.at];
      }
      return trail;
      function number({ shape, data }, at) {
        return data[at.reduce((place, k, axis) => place * shape[axis] + k, 0)];
      }
    }"""
    trail = module_page.evaluate(code, case)
    names = [node for node, _, _ in trail]
    assert names == ["dense", "flatten", "pool2", "relu2", "conv2", "pool1", "relu1", "conv1", "input"]
    _, row, column = trail[-1][1]
    assert trail[-1][2] == float(case["images"][0]["data"][8 * row + column])


@pytest.mark.parametrize(
    ("layer", "place", "numbers"),
    [
        (AvgPool2D(3, 2, 1, False), [0, 0, 1], {"count": 6}),
        (GlobalAvgPool2D(), [1], {"count": 16}),
        (Normalize((1, 2), (3, 4)), [1, 0, 0], {"mean": 2, "std": 4}),
        (GroupNorm(1, 2, eps=1e-30), [0, 2, 1], {"mean": 15.5, "std": (1023 / 12) ** 0.5}),
        (LayerNorm(4, eps=1e-30), [1, 1, 2], {"mean": 21.5, "std": 1.25**0.5}),
        (awake(BatchNorm2D(2, eps=0.25)), [1, 0, 0], None),
        (Softmax(), [0, 0, 0], {"max": 16, "sum": 1 + math.exp(-16)}),
        (LogSoftmax(-1), [0, 0, 0], {"max": 3, "sum": 1 + math.exp(-1) + math.exp(-2) + math.exp(-3)}),
        (LocalResponseNorm(2, 0.5, 1.0, 3.0), [1, 0, 0], {"s": 3 + 0.25 * (0 + 16**2)}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_numbers_of_the_formula(module_page, layer, place, numbers):
    """What the formula has besides its terms; the image counts 0 to 31."""
    network = in_float64(layer)
    if numbers is None:
        mean, variance = (float(network.buffers[f"layer.running_{name}"][1]) for name in ("mean", "var"))
        numbers = {"mean": mean, "std": (variance + 0.25) ** 0.5}
    case = described(network, [np.arange(32.0).reshape(1, 2, 4, 4)]) | {"places": [["layer", place]]}
    assert answers(module_page, [case])[0][0]["numbers"] == pytest.approx(numbers)


def test_places_that_there_are_not(module_page):
    network = in_float64(tiny_cnn())
    case = described(network, [np.zeros((1, 1, 8, 8))]) | {"places": [["input", [0, 2, 3]], ["none", [0]]]}
    pixel, nothing = answers(module_page, [case])[0]
    assert (pixel["value"], pixel["parts"]) == (0, [])
    assert nothing["parts"] == []
