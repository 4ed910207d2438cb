"""Define the common style of all figures: fonts, colours, colour scales, and the template ``neocog``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, BLACK, YELLOW)
"""Colours distinguishable with every kind of colour vision (M. Okabe, K. Ito, 2008)."""

INK, MUTED, LINE, FAINT = "#1f2933", "#5c6773", "#b8c0c8", "#e8ebee"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

BUTTONS = ["zoom", "pan", "select", "lasso", "zoomIn", "zoomOut", "autoScale", "resetScale"]  # left out
UPLOAD = "sendChartToCloud"  # Plotly's button that sends a figure to a server
CONFIG: dict[str, Any] = {
    "responsive": True,
    "displaylogo": False,
    "displayModeBar": "hover",
    "showSendToCloud": False,
    "plotlyServerURL": "",
}
"""How Plotly draws a figure on a page."""
NOTEBOOKS = ("plotly_mimetype", "plotly_mimetype+notebook", "vscode")
"""The renderers that Plotly chooses by itself in Jupyter and VS Code."""

LEGEND = 280.0  # width of a legend on a narrow page, in pixels
ROW = 26  # height of its second row, and of each further one
UNLIKE = 4.0  # ranges whose ratio is above this have scales of their own

Stops = list[tuple[float, str]]
DIVERGING: Stops = [
    (0.0, "#08415c"),
    (0.25, "#4a9cc9"),
    (0.5, "#ffffff"),
    (0.75, "#f0a04b"),
    (1.0, "#9c3a00"),
]
"""Blue below zero, white at zero, orange above."""
OVERLAY: Stops = [
    (0.0, "rgba(8, 65, 92, 0.95)"),
    (0.25, "rgba(74, 156, 201, 0.85)"),
    (0.5, "rgba(255, 255, 255, 0)"),
    (0.75, "rgba(240, 160, 75, 0.85)"),
    (1.0, "rgba(156, 58, 0, 0.95)"),
]
HEAT: Stops = [(0.0, "#ffffff"), (0.5, "#f0a04b"), (1.0, "#9c3a00")]
HEAT_OVERLAY: Stops = [
    (0.0, "rgba(255, 255, 255, 0)"),
    (0.5, "rgba(240, 160, 75, 0.7)"),
    (1.0, "rgba(156, 58, 0, 0.9)"),
]
PALE: Stops = [(0.0, "#ffffff"), (1.0, "#7fb8d9")]
"""Blues on which labels and lines are seen."""
PAPER: Stops = [(0.0, "#ffffff"), (1.0, "#000000")]
"""0 is paper, 1 is ink: drawings."""
LIGHT: Stops = [(0.0, "#000000"), (1.0, "#ffffff")]
"""0 is dark, 1 is light: photographs."""


@dataclass(frozen=True)
class Scale:
    """Map a range of numbers to colours."""

    low: float
    high: float
    colours: Stops
    label: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """Return the arguments of a Plotly heat map."""
        found = {"zmin": self.low, "zmax": self.high, "colorscale": self.colours}
        return found | {"zmid": 0.0} if self.low == -self.high else found


def symmetric(*arrays: Any, label: str = "value", colours: Stops = DIVERGING) -> Scale:
    """Return a scale around zero, wide enough for all arrays."""
    bound = max((float(np.abs(a).max()) for a in arrays if np.size(a)), default=0.0) or 1.0
    return Scale(-bound, bound, colours, label)


def grey(image: Any, ink: bool = True) -> Scale:
    """Return the scale of images: 0..1, or wider if the pixels exceed it."""
    low, high = min(0.0, float(np.min(image))), max(1.0, float(np.max(image)))
    return Scale(low, high, PAPER if ink else LIGHT, "brightness")


def colour(index: int) -> str:
    """Return a colour of the palette, which repeats."""
    return PALETTE[index % len(PALETTE)]


def _template() -> go.layout.Template:
    axis = {
        "gridcolor": FAINT,
        "linecolor": LINE,
        "zerolinecolor": LINE,
        "zeroline": False,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": LINE,
        "tickfont": {"size": 12, "color": MUTED},
        "title": {"font": {"size": 13, "color": INK}, "standoff": 8},
        "automargin": True,
        "ticklabelstandoff": 3,
    }
    layout = go.Layout(
        font={"family": FONT, "size": 13, "color": INK},
        title={
            "font": {"size": 17, "color": INK, "weight": 600},
            "subtitle": {"font": {"size": 12.5, "color": MUTED}},
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 14, "l": 16},
        },
        colorway=list(PALETTE),
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": LINE, "activecolor": MUTED},
        paper_bgcolor="white",
        plot_bgcolor="white",
        margin={"l": 16, "r": 16, "t": 72, "b": 16},
        hoverlabel={"font": {"family": FONT, "size": 12}, "bgcolor": "white", "bordercolor": LINE},
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.01,
            "yanchor": "bottom",
            "font": {"size": 12},
        },
        xaxis=axis,
        yaxis=axis,
    )
    return go.layout.Template(layout=layout)


pio.templates["neocog"] = _template()


class Figure(go.Figure):  # type: ignore[misc]
    """A Plotly figure that also shows in an exported notebook.

    A notebook gets Plotly's data, which Jupyter and VS Code draw, and a still picture in SVG for where no
    script runs: GitHub, nbconvert. A renderer chosen in ``plotly.io.renderers.default`` is respected.
    """

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **settings: Any) -> dict[str, Any]:
        if not self._is_shown_by_itself():
            found: dict[str, Any] = super()._repr_mimebundle_(include, exclude, **settings)
            return found
        from neocog.figures.still import to_svg

        data = json.loads(pio.to_json(self, validate=False, engine="json"))
        title = " ".join(str(self.layout.title.text or "").replace("<br>", " ").split())
        still = to_svg(self)
        return {
            "application/vnd.plotly.v1+json": {**data, "config": CONFIG},
            **({} if still is None else {"image/svg+xml": still}),
            "text/plain": f"Figure: {title}",
        }

    def _ipython_display_(self) -> None:
        if not self._is_shown_by_itself():
            super()._ipython_display_()
            return
        from IPython.display import display

        display(self._repr_mimebundle_(), raw=True)

    def show(self, renderer: str | None = None, **settings: Any) -> None:
        """Show the figure: in a notebook as it shows itself, else as Plotly does.

        Parameters
        ----------
        renderer : str, optional
            The name of one of Plotly's renderers.
        **settings
            Passed to Plotly.
        """
        if renderer is None and not settings and self._is_shown_by_itself():
            self._ipython_display_()
            return
        super().show(renderer, **{"config": CONFIG} | settings)

    @staticmethod
    def _is_shown_by_itself() -> bool:
        """Return whether the renderer is the one that Plotly chooses in a notebook."""
        return pio.renderers.default in NOTEBOOKS


def new_figure(title: str, subtitle: str = "", height: float = 420, **layout: Any) -> go.Figure:
    """Return an empty figure in the common style, as wide as the page."""
    figure = Figure()
    words: dict[str, Any] = {"text": title}
    if subtitle:
        words["subtitle"] = {"text": subtitle}
    # Beside the configuration of each page, which a figure that is shown in another way does not take along.
    bar = {"remove": [*BUTTONS, UPLOAD]}
    figure.update_layout(template="neocog", title=words, height=math.ceil(height), modebar=bar, **layout)
    return figure


def legend_rows(names: Iterable[str]) -> int:
    """Return how many rows a legend has on a narrow page."""
    rows, used = 1, 0.0
    for width in (50 + 5.9 * len(name) for name in names):
        if used and used + width > LEGEND:
            rows, used = rows + 1, 0.0
        used += width
    return rows


def share_scale(figure: go.Figure, ratio: float, top: float) -> None:
    """Give both axes one scale if their ranges are alike, and the figure a height that leaves nothing empty.

    ``ratio`` is that of the vertical range to the horizontal one, ``top`` the margin above the plot.
    """
    if not 1 / UNLIKE <= ratio <= UNLIKE:
        return
    left, right, bottom, page, highest = 56.0, 16.0, 48.0, 700.0, 600.0
    height = min(highest, math.ceil(top + bottom + ratio * (page - left - right)))
    figure.update_layout(
        height=height,
        margin={"t": top, "b": bottom, "l": left, "r": right, "autoexpand": False},
        meta={"height": 100.8 * ratio, "edges": top + bottom - ratio * (left + right - 32), "most": highest},
    )
    figure.update_xaxes(constrain="domain", automargin=False)
    figure.update_yaxes(constrain="domain", automargin=False, scaleanchor="x")


def number(value: float, digits: int = 3) -> str:
    """Format a number: a real minus sign, no needless digits."""
    return f"{value:.{digits}g}".replace("-", "\N{MINUS SIGN}")
