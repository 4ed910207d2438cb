"""Save figures as HTML, PNG, SVG or PDF files."""

from __future__ import annotations

import gzip
import html
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import plotly.graph_objects as go

from neocog.atomic import atomic_write
from neocog.figures.style import CONFIG

CARTESIAN = {
    "bar", "box", "contour", "heatmap", "histogram", "histogram2d", "histogram2dcontour", "image", "pie",
    "scatter", "scatterternary", "violin",
}  # fmt: skip
"""The traces that Plotly's smaller script can draw."""
OFFLINE = "Plotly.setPlotConfig({showSendToCloud: false, plotlyServerURL: ''});"
"""Switches off, for all figures of a page, Plotly's button that sends them to a server."""
FORMATS = (".html", ".png", ".svg", ".pdf", ".jpg", ".webp")
FIT = """
function fitFigure(figure) {
  // The height follows the width: pictures fill it, and other figures keep about their proportions.
  var board = figure.layout.meta || {}, first = figure.layout.height, last = board;
  if (!first || figure.data.some(function (trace) { return trace.type == 'table'; })) return;
  function fit() {
    var width = figure.clientWidth;
    if (!width) return;
    var form = width < board.below ? board.narrow : board;
    var height = first * Math.max(0.8, Math.min(1.15, width / 700));
    if (board.edges !== undefined) height = board.height * (width - 32) / 100.8 + form.edges;
    if (board.most) height = Math.min(height, board.most);
    height = Math.round(height);
    if (form === last && Math.abs(height - figure.layout.height) <= 1) return;
    last = form;
    figure.style.height = figure.parentElement.style.height = height + 'px';
    Plotly.relayout(figure, Object.assign({height: height}, form.layout));
  }
  fit();
  window.addEventListener('resize', fit);
}
"""
"""The script of a page that adapts the heights of its figures to its width."""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body {{ margin: 0 auto; max-width: {width}px; background: white; }}</style>
</head>
<body>
{body}
</body>
</html>
"""


def page_script(figures: Iterable[go.Figure]) -> str:
    """Return Plotly's script for a page of figures, without its button that sends them to a server.

    Its cartesian part (1.5 MB) if it can draw them all, else the whole (4.8 MB).

    Examples
    --------
    >>> bars, surface = go.Figure(go.Bar(y=[1])), go.Figure(go.Surface(z=[[1]]))
    >>> len(page_script([bars])) < 2_000_000 < len(page_script([bars, surface]))
    True
    """
    kinds = {trace.type for figure in figures for trace in figure.data}
    return f"{_plotly(small=kinds <= CARTESIAN)}\n{OFFLINE}"


@cache
def _plotly(small: bool) -> str:
    if not small:
        from plotly.offline import get_plotlyjs

        whole: str = get_plotlyjs()
        return whole
    packed = Path(__file__).parent / "vendor" / "plotly-cartesian.min.js.gz"
    return gzip.decompress(packed.read_bytes()).decode()


def to_html(figure: go.Figure, script: bool = True) -> str:
    """Return a figure as an HTML fragment.

    Parameters
    ----------
    figure : plotly Figure
    script : bool
        Whether to include Plotly's script (1.5 MB): once a page, before all figures.
    """
    if not isinstance(figure, go.Figure):
        raise TypeError(f"figure must be a plotly Figure, got {type(figure).__name__}.")
    fit = f"(function () {{{FIT} fitFigure(document.getElementById('{{plot_id}}'));}})();"
    text: str = figure.to_html(
        full_html=False, include_plotlyjs=False, config=CONFIG, auto_play=False, post_script=fit
    )
    return f"<script>{page_script([figure])}</script>\n{text}" if script else text


def save(figure: go.Figure, path: str | os.PathLike[str], width: int = 760, scale: float = 2) -> Path:
    """Write a figure to a file; the suffix of its name selects the format.

    Parameters
    ----------
    figure : plotly Figure
    path : path
        ``.html``: one self-contained, interactive page that needs no network. ``.png``, ``.svg``, ``.pdf``,
        ``.jpg``, ``.webp``: a still picture, drawn by kaleido with a Chrome or Chromium (it is found by its
        name, or named in the environment variable ``BROWSER_PATH``).
    width : int
        In pixels; for a page, the maximum.
    scale : float
        Pixels of a still picture per pixel of the page.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If the suffix is none of these.
    ImportError, RuntimeError
        If still pictures cannot be made here; the message says what to install.
    OSError
        If the file cannot be written.
    """
    if not isinstance(figure, go.Figure):
        raise TypeError(f"figure must be a plotly Figure, got {type(figure).__name__}.")
    path = Path(path)
    form = path.suffix.lower()
    if form not in FORMATS:
        raise ValueError(f"path must end in {', '.join(FORMATS)}, got {path.name!r}.")
    if form == ".html":
        words = html.escape(str(figure.layout.title.text or "figure").replace("<br>", " "))
        body = to_html(figure)
        atomic_write(path, _PAGE.format(title=words, width=width, body=body))
    else:
        atomic_write(path, _still(figure, form[1:], width, scale))
    return path


def _still(figure: go.Figure, form: str, width: int, scale: float) -> bytes:
    try:
        import kaleido  # noqa: F401
    except ImportError:
        raise ImportError(
            f"a .{form} file needs kaleido, and a Chrome or Chromium: pip install kaleido; or save the "
            "figure as .html, which needs nothing."
        ) from None
    try:
        content: bytes = figure.to_image(format=form, width=width, height=figure.layout.height, scale=scale)
    except Exception as problem:
        reason = problem.args[0] if problem.args else type(problem).__name__
        first = str(reason[0] if isinstance(reason, tuple) else reason).strip().split("\n")[0].rstrip(".")
        raise RuntimeError(
            f"kaleido could not draw the .{form} file ({first}). It needs a Chrome or Chromium: install one, "
            "or run plotly_get_chrome, or name yours in the environment variable BROWSER_PATH; or save the "
            "figure as .html, which needs nothing."
        ) from problem
    return content
