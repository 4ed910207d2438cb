"""The still pictures of figures, and how a figure shows in a notebook."""

import base64
import re
import sys
import types
import xml.etree.ElementTree as ET

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest

import neocog
from neocog import figures
from neocog.figures.still import to_svg

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def notebook(monkeypatch):
    """As in a Jupyter notebook without any setting."""
    monkeypatch.setattr(pio.renderers, "default", "plotly_mimetype")


def drawn(figure):
    return ET.fromstring(to_svg(figure))


def texts(svg):
    return ["".join(element.itertext()) for element in svg.iter(f"{SVG}text")]


def test_all_kinds_of_figures(run, rng):
    network, data, history, snapshots = run
    seen = neocog.inspection.trace(network, data.train[0][:1])
    for figure in (
        figures.learning_curves(history, classes=3),
        figures.compare_curves({"a": history, "b": history}),
        figures.class_examples(data),
        figures.trace(seen, class_names=data.class_names),
        figures.filters(network.params["conv1.weight"]),
        figures.filter_evolution(snapshots),
        figures.filter_grid(snapshots),
        figures.parameter_bars({"a": 1, "b": 1000}, log=True),
        figures.class_count_bars({"3 classes": {"A": (0.9, 10)}, "4 classes": {"A": (1.0, 20)}}),
        figures.network_diagram(network),
        figures.spread_curves({"A": {1: [0.5, 0.7], 2: [0.9]}}, x_title="width", y_title="accuracy"),
        figures.image_gallery(rng.random((20, 3, 40, 40))),
    ):
        svg = drawn(figure)
        assert figure.layout.title.text in texts(svg)
        attributes = [
            e for element in svg.iter() for e in element.attrib.items() if e[0] not in ("href", "fill")
        ]
        assert not [e for e in attributes if re.search(r"\b(nan|inf|None)\b", e[1])]


def test_a_pixel_stands_where_plotly_draws_it():
    """The grid's 100.8 units fill 700 pixels without the margins of 16; a picture is 40 units wide."""
    figure = figures.image_gallery(np.zeros((1, 1, 4, 8)), columns=1)
    image = next(drawn(figure).iter(f"{SVG}image"))
    unit = (700 - 32) / 100.8
    assert float(image.get("x")) == pytest.approx(16 + 0.4 * unit, abs=0.1)
    assert float(image.get("y")) == pytest.approx(figure.layout.margin.t + 0.4 * unit, abs=0.1)
    assert float(image.get("width")) == pytest.approx(40 * unit, abs=0.1)
    assert float(image.get("height")) == pytest.approx(20 * unit, abs=0.1)


def test_bars_are_as_long_as_their_values():
    svg = drawn(figures.parameter_bars({"a": 1000, "b": 250}))
    first, second = (float(r.get("width")) for r in list(svg.iter(f"{SVG}rect"))[1:3])
    assert second / first == pytest.approx(0.25, abs=0.01)


def test_axes_have_round_ticks_and_the_curve_meets_them():
    figure = figures.learning_curves({"epoch": [0, 1, 2], "train_accuracy": [0.0, 0.5, 1.0]})
    svg = drawn(figure)
    assert {"0%", "50%" if "50%" in texts(svg) else "40%", "100%"} <= set(texts(svg))
    height = {"".join(t.itertext()): float(t.get("y")) - 12 * 0.35 for t in svg.iter(f"{SVG}text")}
    curve = next(p.get("d") for p in svg.iter(f"{SVG}path") if p.get("stroke") == "#0072B2")
    ys = [float(y) for y in re.findall(r",([\d.]+)", curve)]
    assert ys[0] == pytest.approx(height["0%"], abs=0.2)
    assert ys[2] == pytest.approx(height["100%"], abs=0.2)


def test_names_are_text(rng):
    figure = figures.image_gallery(rng.random((1, 4, 4)), [0], ["<script>alert(1)</script> & <b>co</b>"])
    assert "<script" not in to_svg(figure)
    assert "<script>aler…& <b>co</b>" in texts(drawn(figure))  # its characters, cut to the room there is


def test_what_is_not_drawn():
    assert to_svg(go.Figure(go.Surface(z=[[1, 2], [3, 4]]))) is None


def test_a_notebook_gets_data_and_a_still_picture(notebook, rng):
    figure = figures.image_gallery(rng.random((2, 4, 4)), [0, 1], ["a", "b"], title="Two<br>images")
    bundle = figure._repr_mimebundle_()
    assert list(bundle) == ["application/vnd.plotly.v1+json", "image/svg+xml", "text/plain"]
    data = bundle["application/vnd.plotly.v1+json"]
    assert data["config"]["showSendToCloud"] is False
    assert "sendChartToCloud" in data["layout"]["modebar"]["remove"]
    assert bundle["text/plain"] == "Figure: Two images"
    table = figures.network_table([("LeNet-5", 1998, 5, 61706)])._repr_mimebundle_()
    assert list(table) == ["application/vnd.plotly.v1+json", "text/plain"]


def test_a_figure_that_is_told_to_show_itself(notebook, monkeypatch):
    shown = []
    monkeypatch.setitem(sys.modules, "IPython", None)
    monkeypatch.setitem(
        sys.modules, "IPython.display", types.SimpleNamespace(display=lambda b, raw: shown.append((b, raw)))
    )
    figures.parameter_bars({"a": 1}).show()
    ((bundle, raw),) = shown
    assert raw
    assert "image/svg+xml" in bundle
    told = []
    monkeypatch.setattr(
        go.Figure, "show", lambda self, renderer, **settings: told.append((renderer, settings))
    )
    figures.parameter_bars({"a": 1}).show("png")
    ((renderer, settings),) = told
    assert renderer == "png"
    assert settings["config"]["showSendToCloud"] is False


def test_a_renderer_of_one_s_own_is_respected(monkeypatch):
    monkeypatch.setattr(pio.renderers, "default", "json")
    assert list(figures.parameter_bars({"a": 1})._repr_mimebundle_()) == ["application/json"]


def test_an_exported_notebook_shows_figures(notebook):
    """As ``jupyter nbconvert --to html`` does, and GitHub: without scripts."""
    nbconvert = pytest.importorskip("nbconvert")
    nbformat = pytest.importorskip("nbformat")
    figure = figures.parameter_bars({"dense": 33280, "convolution": 80})
    output = nbformat.v4.new_output("display_data", figure._repr_mimebundle_())
    cell = nbformat.v4.new_code_cell("figure", outputs=[output])
    page, _ = nbconvert.HTMLExporter(template_name="lab").from_notebook_node(
        nbformat.v4.new_notebook(cells=[cell])
    )
    (source,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert "33,280" in "".join(texts(ET.fromstring(base64.b64decode(source))))
