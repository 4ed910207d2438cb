import numpy as np
import pytest

from neocog import Conv2D, Dense, Flatten, Sequential, figures
from neocog.inspection import explain


@pytest.fixture
def network():
    network = Sequential(
        c=Conv2D(2, 1, 2, dtype="float64"), f=Flatten(), d=Dense(1, 2, bias=False, dtype="float64")
    )
    network.params["c.weight"][0] = [[[1, 0], [-1, 2]], [[0, 0], [0, 1]]]
    network.params["c.bias"][...] = 10
    network.params["d.weight"][...] = [[3, -1]]
    return network


X = np.array([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 5.0]]]])


def bars(figure):
    (trace,) = [t for t in figure.data if t.type == "bar"]
    return list(trace.customdata)


def test_bars_are_the_terms_the_rest_and_the_sum(network):
    figure = figures.explanation(explain(network, X, "c", (0, 0, 0, 0)), top=3)
    assert bars(figure) == [10.0, 8.0, 5.0, -2.0, 21.0]  # 10 + 8 + 5, then -3 + 1 + 0 + 0 + 0 + 0, and all


def test_a_convolution_shows_patch_kernel_and_products(network):
    figure = figures.explanation(explain(network, X, "c", (0, 0, 0, 0)))
    pictures = {t.name: np.array(t.z) for t in figure.data if t.type == "heatmap"}
    assert pictures["patch"].tolist() == [[1, 2], [3, 4]]  # channel 0 contributes most
    assert pictures["kernel"].tolist() == [[1, 0], [-1, 2]]
    assert pictures["products"].tolist() == [[1, 0], [-3, 8]]
    for trace in figure.data:
        if trace.type == "heatmap":
            assert trace.zmin == -trace.zmax


def test_other_numbers_are_bars_alone(network):
    answer = explain(network, X, "d.weight", (0, 0), of="gradient", y=[0])
    figure = figures.explanation(answer)
    assert not [t for t in figure.data if t.type == "heatmap"]
    assert bars(figure)[-1] == answer.total


def test_what_has_no_terms(network):
    with pytest.raises(ValueError, match="is a pixel: it has no terms"):
        figures.explanation(explain(network, X, "input", (0, 0, 0, 0)))
    with pytest.raises(TypeError, match="answer must be an Explanation"):
        figures.explanation(3)


def test_an_explanation_that_does_not_add_up_says_so(network):
    answer = explain(network, X, "c", (0, 0, 0, 0))
    assert "add up" not in figures.explanation(answer).to_json()
    answer.terms.pop(0)
    assert "the terms add up to 11, the number is 21" in figures.explanation(answer).to_json()


def test_terms_leave_out_the_name_of_their_own_layer_and_zero_has_no_sign(network, words):
    figure = figures.explanation(explain(network, X, "c", (0, 0, 0, 0)))
    texts = words(figure)
    assert "input[0,0,1,1] × weight[0,0,1,1]" in texts  # 4 × 2
    assert "bias[0]" in texts
    assert "−0" not in texts


def test_long_subtitles_are_broken_for_narrow_pages(network):
    subtitle = figures.explanation(explain(network, X, "c", (0, 0, 0, 0))).layout.title.subtitle.text
    assert "<br>" in subtitle
    assert max(map(len, subtitle.split("<br>"))) <= 58
