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
    assert page.count("plotly.js v") == 1
    assert "Can TinyCNN tell a dot from the lines?" in page
    assert "Confusion matrix" in page
