"""Draw figures as SVG without a browser: the still picture that an exported notebook shows.

It draws what this library's figures are made of: pixels, lines, bars, texts, shapes, and axes of numbers, of
their logarithms and of categories. Other traces of Plotly have no still picture here.
"""

from __future__ import annotations

import plotly.graph_objects as go

from neocog.figures.still.drawing import Drawing

__all__ = ["to_svg"]

DRAWN = {"bar", "contour", "heatmap", "image", "scatter"}
WIDTH = 700


def to_svg(figure: go.Figure, width: int = WIDTH) -> str | None:
    """Return a figure as an SVG document; None if it holds a trace that is not drawn here.

    Examples
    --------
    >>> to_svg(go.Figure(go.Bar(y=[1, 2])))[:4]
    '<svg'
    >>> to_svg(go.Figure(go.Surface(z=[[1]]))) is None
    True
    """
    if any(trace.type not in DRAWN for trace in figure.data):
        return None
    return Drawing(figure, width).finish()
