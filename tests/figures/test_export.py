"""PNG, SVG and PDF files as kaleido draws them with a real Chrome or Chromium."""

import asyncio
import os
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from neocog import figures

from ..browsers import BROWSER  # noqa: TID252

SVG = "{http://www.w3.org/2000/svg}"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="there is no Chrome or Chromium, which kaleido draws with"),
]


@pytest.fixture(scope="module", autouse=True)
def _browser():
    """Name the browser to kaleido in its documented way."""
    pytest.importorskip("kaleido", reason="kaleido is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BROWSER_PATH", str(BROWSER))
        yield


PICTURE = np.array([[[1.0, 0.0], [0.0, 0.0]]])
"""One black pixel among white ones."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, _browser):
    """Figures and their files by name, all drawn by one browser, which takes seconds to start."""
    import kaleido

    bars = figures.parameter_bars({"one": 100, "three": 300}, title="Bars")
    words = figures.parameter_bars({"a <b>": 100, "plain & simple": 300}, title="Bars & <things>")
    folder, found = tmp_path_factory.mktemp("drawn"), {}
    kaleido.start_sync_server()
    try:
        with warnings.catch_warnings(action="ignore"):  # Plotly names headers, for maps only
            for name, figure, options in (
                ("bars.png", bars, {"width": 500, "scale": 2}),
                ("picture.png", figures.image_gallery(PICTURE[None]), {"width": 300, "scale": 1}),
                ("words.svg", words, {"width": 400}),
            ):
                found[name] = figure, figures.save(figure, folder / name, **options)
    finally:
        kaleido.stop_sync_server()
    return found


def ink(image, colour):
    """How many pixels have a colour, to within what smoothing at the edges does."""
    return int((np.abs(np.asarray(image, int) - colour).max(axis=-1) <= 4).sum())


def test_a_png_has_the_bars_in_their_proportions(drawn):
    figure, path = drawn["bars.png"]
    with Image.open(path) as opened:
        assert opened.format == "PNG"
        assert opened.size == (1000, 2 * figure.layout.height)
        image = np.asarray(opened.convert("RGB"), int)
    # The bars are the two long runs of one strong colour; their lengths are as 1 to 3.
    strong = image.max(axis=-1) - image.min(axis=-1) > 60
    lengths = sorted({int(n) for n in strong.sum(axis=1) if n > 40})
    assert lengths[-1] / lengths[0] == pytest.approx(3, rel=0.03)


def test_a_heat_map_has_the_colours_of_its_numbers(drawn):
    """A quarter of the map is black."""
    with Image.open(drawn["picture.png"][1]) as opened:
        image = opened.convert("RGB")
    box = np.argwhere(np.abs(np.asarray(image, int)).max(axis=-1) <= 4)
    height, width = box.max(axis=0) - box.min(axis=0) + 1
    assert abs(height - width) <= 2
    assert ink(image, 0) == pytest.approx(height * width, rel=0.02)


def test_an_svg_is_text_that_other_programs_read(drawn):
    figure, path = drawn["words.svg"]
    root = ET.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    assert root.get("viewBox") == f"0 0 400 {figure.layout.height}"
    words = {"".join(element.itertext()) for element in root.iter(f"{SVG}text")}
    assert {"Bars & <things>", "plain & simple"} <= words
    bars = [e for e in root.iter(f"{SVG}g") if e.get("class") == "point"]
    assert len(bars) == 2


def test_inside_an_event_loop_over_an_older_file(tmp_path):
    """Where a notebook runs its cells: kaleido brings a loop, and here a browser, of its own."""
    path = tmp_path / "bars.pdf"
    path.write_bytes(b"old")

    async def cell():
        return figures.save(figures.parameter_bars({"a": 1}), path)

    assert asyncio.run(cell()).read_bytes().startswith(b"%PDF-")
    assert os.listdir(tmp_path) == ["bars.pdf"]


def test_no_browser_is_said_in_a_sentence(tmp_path):
    """In a process of its own, as where nothing is installed."""
    code = (
        "from neocog import figures\n"
        "try:\n    figures.save(figures.parameter_bars({'a': 1}), 'bars.png')\n"
        "except RuntimeError as problem:\n    print(problem)\n"
    )
    environment = {**os.environ, "BROWSER_PATH": str(tmp_path / "no-browser")}
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.startswith("kaleido could not draw the .png file (")
    assert "install one, or run plotly_get_chrome, or name yours" in result.stdout
    assert not list(tmp_path.glob("*.png"))
