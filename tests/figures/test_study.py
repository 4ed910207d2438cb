import numpy as np
import pytest

from neocog import experiments, figures
from neocog.report import write_study


def titles(name):
    return [figure.layout.title.text for figure in figures.study(experiments.run(name, seeds=1))]


def test_curves_and_parameters():
    drawn = figures.study(experiments.run("cnn-vs-mlp", seeds=1))
    assert len(drawn) == 3
    assert list(drawn[2].data[0].x) == [114, 1227]


def test_filters_of_both_protocols():
    found = titles("filters")
    assert any("patterns A" in title for title in found)
    assert any("patterns B" in title for title in found)


def test_a_study_of_numbers_alone_has_no_figure():
    assert figures.study(experiments.run("shapes-and-parameters", seeds=1)) == []


def test_what_is_no_result():
    with pytest.raises(TypeError, match="result must be the Result of a study"):
        figures.study("cnn-vs-mlp")


def test_a_page(tmp_path):
    path = write_study(experiments.run("dot-class", seeds=1), tmp_path / "dot.html")
    page = path.read_text(encoding="utf-8")
    assert page.count("plotly.js (cartesian - minified) v") == 1
    assert "Can TinyCNN tell a dot from the lines?" in page
    assert "Confusion, 4 classes" in page


def test_maps_are_captioned_by_their_layer_and_the_probabilities_shown():
    found = titles("inference-trace")
    assert "The image" in found[0]
    assert "Probabilities" in found[-1]
    drawn = figures.study(experiments.run("inference-trace", seeds=1))
    words = [{note.text for note in figure.layout.annotations} for figure in drawn[1:4]]
    for layer, texts in zip(("before ReLU", "after ReLU", "after pooling"), words, strict=True):
        assert layer in texts


def test_classes_are_named_on_every_confusion_matrix():
    for figure in figures.study(experiments.run("fourth-class", seeds=1))[-4:]:
        assert "vertical" in str(figure.to_plotly_json())


def test_a_sweep_is_drawn_over_the_seeds():
    result = experiments.run("filter-count", seeds=2, jobs=1, filters=(1, 2, 3), epochs=2)
    assert list(result.values("val_accuracy", by="filters")) == [1, 2, 3]
    assert all(len(values) == 2 for values in result.values("val_accuracy", by="filters").values())
    figure = figures.study(result)[0]
    assert figure.layout.xaxis.title.text == "filters or hidden units"
    assert {line.name for line in figure.data} == {"CNN", "MLP"}


def test_every_run_is_drawn_beside_their_mean():
    result = experiments.run("momentum", seeds=3, jobs=1, epochs=12)
    figure = figures.study(result)[0]
    runs, mean = figure.data[2:]
    assert list(runs.x) == [table[1]["first_at_100"] for table in result.repetitions]
    assert list(mean.x) == [np.mean(runs.x)]
    assert set(runs.y) == {"momentum 0.9"}
