import numpy as np
import pytest

from neocog import figures

CURVES = {"CNN": {4: [0.9, 0.7, 0.8], 1: [0.5, 0.6, 0.1]}, "MLP": {1: [0.25, 0.75, 0.5]}}


def draw(curves=CURVES, x_title="width", y_title="validation accuracy", **options):
    return figures.spread_curves(curves, x_title=x_title, y_title=y_title, **options)


def test_a_curve_is_its_mean_its_range_and_its_runs():
    figure = draw()
    assert [t.name for t in figure.data] == ["CNN", "MLP"] * 3
    band, _, runs, _, mean, other = figure.data
    assert (list(mean.x), list(other.x)) == ([1, 4], [1])
    np.testing.assert_allclose(mean.y, [0.4, 0.8], rtol=1e-12)
    assert list(other.y) == [0.5]
    assert list(zip(band.x, band.y, strict=True)) == [(1, 0.1), (4, 0.7), (4, 0.9), (1, 0.6)]
    assert band.fill == "toself"
    assert list(zip(runs.x, runs.y, strict=True)) == [
        (1, 0.5), (1, 0.6), (1, 0.1), (4, 0.9), (4, 0.7), (4, 0.8),
    ]  # fmt: skip
    assert [tuple(row) for row in mean.customdata] == [(0.1, 0.6, 3), (0.7, 0.9, 3)]
    assert [t.name for t in figure.data if t.showlegend is not False] == ["CNN", "MLP"]


def test_titles_say_what_is_drawn():
    figure = draw()
    assert figure.layout.title.text == "Validation accuracy"
    assert figure.layout.title.subtitle.text == "mean and range of 3 runs"
    assert figure.layout.yaxis.tickformat == ".0%"
    assert draw(title="Mine").layout.title.text == "Mine"
    mixed = draw({"CNN": {1: [1.0], 2: [1.0, 2.0]}}, y_title="loss")
    assert mixed.layout.title.subtitle.text == "mean and range of 1 to 2 runs"
    assert mixed.layout.yaxis.tickformat is None


def test_the_axis_is_logarithmic_over_more_than_a_factor_of_twenty():
    assert draw({"CNN": {1: [1.0], 20: [1.0]}}).layout.xaxis.type is None
    wide = draw({"CNN": {1: [1.0], 21: [1.0]}}).layout.xaxis
    assert (wide.type, wide.tickvals, wide.title.text) == ("log", (1, 21), "width (logarithmic)")
    assert draw({"CNN": {0: [1.0], 100: [1.0]}}).layout.xaxis.type is None


def test_a_legend_of_several_rows_has_room():
    names = ("shortcut, batch norm", "shortcut", "plain, batch norm", "plain")  # two and two on a narrow page
    tall = draw({name: {1: [1.0]} for name in names}).layout
    low = draw({"CNN": {1: [1.0]}}).layout
    assert tall.margin.t - low.margin.t == tall.height - low.height == 26


def test_guessing_is_a_line():
    (line,) = draw(classes=4).layout.shapes
    assert line.y0 == 0.25
    assert not draw().layout.shapes


@pytest.mark.parametrize(
    ("curves", "error", "message"),
    [
        ({}, ValueError, "curves must not be empty; it is a dict of name to dict of x to values"),
        ([1.0], TypeError, "curves must be a dict of name"),
        ({"CNN": [1.0]}, TypeError, r"curves\['CNN'\] must be a dict of x to values"),
        ({"CNN": {}}, ValueError, r"curves\['CNN'\] must not be empty"),
        ({"CNN": {"four": [1.0]}}, TypeError, r"an x value of curves\['CNN'\] must be a number, got 'four'"),
        ({"CNN": {4: []}}, ValueError, r"curves\['CNN'\]\[4\] must not be empty"),
        ({"CNN": {4: 0.5}}, ValueError, r"curves\['CNN'\]\[4\] must have 1 dimensions"),
        ({"CNN": {4: [np.nan]}}, ValueError, r"curves\['CNN'\]\[4\] must be finite"),
    ],
)
def test_bad_curves_are_refused(curves, error, message):
    with pytest.raises(error, match=message):
        draw(curves)
