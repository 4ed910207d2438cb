"""What the page says of an image: the probabilities and the class that the network predicts."""

import json

import numpy as np
import pytest

from neocog.layers import Dense, Flatten, LogSoftmax, Sequential, Sigmoid, Softmax
from neocog.studio import describe

pytestmark = pytest.mark.browser

ANSWERS = """async (cases) => {
  const { probabilities, ranking } = await import("/answer.js");
  return JSON.parse(cases).map(({ description, output }) =>
    [probabilities(description, { shape: [output.length], data: output }),
     ranking({ data: output }, description)]);
}"""


@pytest.mark.parametrize("ending", [[], [Softmax()], [LogSoftmax()]], ids=["logits", "softmax", "logarithms"])
@pytest.mark.parametrize("weight", [None, (1.0, 0.2, 7.0, 2.5)], ids=["unweighted", "weighted"])
def test_they_are_those_of_the_network(module_page, rng, ending, weight):
    network = Sequential(Flatten(), Dense(9, 4, rng=0, dtype="float64"), *ending)
    network.class_weight = weight
    x = 3 * rng.normal(size=(20, 1, 3, 3))
    outputs, p = network.predict_logits(x), network.predict_proba(x)
    description = describe(network, (1, 3, 3))
    cases = [{"description": description, "output": row.tolist()} for row in outputs]
    answers = module_page.evaluate(ANSWERS, json.dumps(cases))
    np.testing.assert_allclose([found for found, _ in answers], p, rtol=1e-9)
    ranks = [order for _, order in answers]
    np.testing.assert_array_equal(ranks, network.ranking(p))
    assert [order[0] for order in ranks] == network.predict(x).tolist()
    if weight:  # the case in which the two differ occurs
        assert (p.argmax(axis=1) != network.predict(x)).any()


def test_an_answer_that_is_no_number(module_page):
    network = Sequential(Flatten(), Dense(9, 2))
    code = """async (description) => {
      const { probabilities, ranking } = await import("/answer.js");
      const output = { shape: [2], data: Float64Array.of(NaN, 1) };
      const found = probabilities(description, output).map(String);
      return [found, probabilities(description, undefined), ranking(undefined)];
    }"""
    assert module_page.evaluate(code, describe(network, (1, 3, 3))) == [["NaN", "NaN"], [], []]


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("last", [(), (Sigmoid(),)], ids=["log-odds", "sigmoid"])
@pytest.mark.parametrize("weight", [None, (1.0, 3.0)], ids=["unweighted", "weighted"])
def test_independent_outputs_each_say_their_own(module_page, rng, outputs, last, weight):
    network = Sequential(Flatten(), Dense(9, outputs, rng=0, dtype="float64"), *last)
    network.input_shape = (1, 3, 3)
    network.output_kind = "independent-probabilities" if last else "independent-logits"
    network.class_weight = weight if weight is None or outputs == 1 else (*weight, 7.0)
    x = 3 * rng.normal(size=(20, 1, 3, 3))
    description = describe(network)
    cases = [{"description": description, "output": row.tolist()} for row in network.predict_logits(x)]
    answers = module_page.evaluate(ANSWERS, json.dumps(cases))
    np.testing.assert_allclose([found for found, _ in answers], network.predict_proba(x), rtol=1e-9)
    if outputs == 3:
        assert [(np.sort(order) == [0, 1, 2]).all() for _, order in answers] == [True] * 20
    else:
        assert [order[0] for _, order in answers] == network.predict(x).tolist()


def test_what_is_said(module_page):
    code = """async () => {
      const { probabilities, saying } = await import("/answer.js");
      const said = (output_kind, data, class_names) => {
        const description = { output_kind, class_names, nodes: [] };
        const output = { shape: [data.length], data };
        const p = probabilities(description, output);
        return p.length ? saying(description, output, p) : "";
      };
      return [
        said("independent-probabilities", [0.9, 0.1, 0.7], ["a", "b", "c"]),
        said("independent-probabilities", [0.4, 0.1, 0.2], ["a", "b", "c"]),
        said("independent-probabilities", [0.25], ["fake", "real"]),
        said("values", [0.25, 3], ["x", "y"]),
      ];
    }"""
    several, none, one, values = module_page.evaluate(code)
    assert [part.split(",")[0] for part in several.split(" · ")] == ["a", "c"]
    assert none == "No label is over one half."
    assert one.startswith("fake, 75")
    assert values == ""
