import subprocess
import sys
from pathlib import Path

import plotly.graph_objects as go
import plotly.io as pio
import pytest

from neocog import figures


@pytest.fixture
def figure():
    return figures.parameter_bars({"a <b>": 1, "b": 2}, title="Bars & <things>")


def test_a_page_stands_by_itself(figure, tmp_path):
    path = figures.save(figure, tmp_path / "bars.html")
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "<title>Bars &amp; &lt;things&gt;</title>" in text
    assert 'name="viewport"' in text
    assert "Plotly.newPlot" in text
    assert len(text) > 1_000_000  # the script is inside
    assert "<script src=" not in text


def test_a_fragment_brings_the_script_only_if_asked_to(figure):
    assert len(figures.to_html(figure, script=False)) < 50_000
    assert len(figures.to_html(figure)) > 1_000_000
    with pytest.raises(TypeError, match="figure must be a plotly Figure, got dict"):
        figures.to_html({})


def test_the_small_script_is_taken_where_it_can_draw_everything(figure, tmp_path):
    assert figures.save(figure, tmp_path / "bars.html").stat().st_size < 2_000_000
    whole = figures.to_html(go.Figure(go.Surface(z=[[0, 1], [1, 0]])))
    assert len(whole) > 4_000_000
    assert "cloud.plotly.com" not in whole.split("</script>", 1)[1]


def test_no_figure_can_be_sent_to_a_server(figure, tmp_path):
    """Plotly 4 draws a button that sends the figure, and with it the user's images, to its own server."""
    foreign = go.Figure(go.Bar(y=[1]))
    pages = [figures.to_html(foreign), figures.to_html(figure, script=False)]
    pages += [figures.save(f, tmp_path / "page.html").read_text(encoding="utf-8") for f in (figure, foreign)]
    for page in pages:
        assert '"showSendToCloud": false' in page
    for page in pages[:1] + pages[2:]:
        assert "setPlotConfig({showSendToCloud: false, plotlyServerURL: ''})" in page
    # What is shown by Plotly's own means, in a notebook or by write_html, takes only the layout along.
    for page in (figure.to_html(), figure.to_json(), figure.update_layout(template="plotly_dark").to_json()):
        assert "sendChartToCloud" in page.rsplit('"modebar":', 1)[1].split("}")[0]
    book = Path(__file__).parents[2] / "docs"
    assert "showSendToCloud: false" in (book / "_static/figures.js").read_text()
    assert "saving.OFFLINE" in (book / "_extensions/book.py").read_text()


def test_animations_wait_for_the_reader():
    import numpy as np

    figure = figures.filter_evolution({0: np.zeros((1, 1, 2, 2)), 1: np.ones((1, 1, 2, 2))})
    text = figures.to_html(figure, script=False)
    assert "Plotly.addFrames" in text
    assert text.count("Plotly.animate(") == 0


def test_unknown_endings_and_things_are_refused(figure, tmp_path):
    with pytest.raises(ValueError, match=r"path must end in .html, .png.*got 'bars.gif'"):
        figures.save(figure, tmp_path / "bars.gif")
    with pytest.raises(TypeError, match="figure must be a plotly Figure"):
        figures.save("bars", tmp_path / "bars.html")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        figures.save(figure, tmp_path / "nowhere" / "bars.html")


def test_without_kaleido_the_message_says_what_to_install(figure, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kaleido", None)
    with pytest.raises(
        ImportError, match=r"a .png file needs kaleido, and a Chrome.*pip install kaleido.*html"
    ):
        figures.save(figure, tmp_path / "bars.png")
    assert not list(tmp_path.iterdir())


def test_without_a_browser_the_message_says_what_to_install(figure, tmp_path, monkeypatch):
    def fail(*arguments, **settings):
        raise RuntimeError(("no browser\nlook harder", "really"))

    monkeypatch.setitem(sys.modules, "kaleido", object())
    monkeypatch.setattr(go.Figure, "to_image", fail)
    with pytest.raises(RuntimeError, match=r"could not draw the .svg file \(no browser\).*needs a Chrome"):
        figures.save(figure, tmp_path / "bars.svg")


def test_a_still_picture_is_what_kaleido_made(figure, tmp_path, monkeypatch):
    asked = {}

    def draw(self, **settings):
        asked.update(settings)
        return b"picture"

    monkeypatch.setitem(sys.modules, "kaleido", object())
    monkeypatch.setattr(go.Figure, "to_image", draw)
    path = figures.save(figure, tmp_path / "bars.PNG", width=400)
    assert path.read_bytes() == b"picture"
    assert asked == {"format": "png", "width": 400, "height": figure.layout.height, "scale": 2}


def test_the_template_is_offered_and_not_forced(figure):
    assert "neocog" in pio.templates
    assert pio.templates.default != "neocog"
    assert figure.layout.template.layout.colorway == pio.templates["neocog"].layout.colorway


def test_importing_neocog_loads_no_plotly():
    code = "import sys, neocog; print('plotly' in sys.modules, 'neocog.figures' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False"]


def test_everything_public_is_documented():
    for name in figures.__all__:
        assert getattr(figures, name).__doc__, name


def test_pixels_are_square_at_any_width(run):
    network = run[0]
    layout = figures.filters(network.params["conv1.weight"]).layout
    assert layout.yaxis.scaleanchor == "x"
    assert layout.width is None
