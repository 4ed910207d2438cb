"""Draw curves with their spread over seeds."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from neocog.figures.checks import array, mapping
from neocog.figures.style import ROW, colour, legend_rows, new_figure
from neocog.figures.training import DASHES, chance_line
from neocog.validation import integer, number

LOGARITHMIC = 20  # x values that span more than this factor are drawn on a logarithmic axis
OF = "of name to dict of x to values"
MARKERS = ("circle", "square", "diamond", "triangle-up")


def spread_curves(
    curves: Mapping[str, Mapping[float, Sequence[float]]],
    *,
    x_title: str,
    y_title: str,
    title: str = "",
    classes: int | None = None,
) -> go.Figure:
    """Draw what several runs found against a number: their mean, their range, and every single run.

    The line joins the means, the band reaches from the smallest to the largest value, and each faint point is
    one run. The x axis is logarithmic where the x values span more than a factor of 20.

    Parameters
    ----------
    curves : dict of name to dict of x to values
        ``{"CNN": {width: [one value per seed]}}``.
    x_title, y_title : str
        Titles of the axes; a y axis called "... accuracy" is in per cent.
    title : str
        By default ``y_title``.
    classes : int, optional
        Draws the accuracy of guessing, 1 / classes.

    Raises
    ------
    ValueError, TypeError
        If a curve holds no points, an x value is no number, or the values at it are no finite numbers.

    Examples
    --------
    >>> figure = spread_curves({"CNN": {1: [0.5, 0.7], 2: [0.9]}}, x_title="width", y_title="accuracy")
    >>> figure.data[-1].y
    (0.6, 0.9)
    """
    found = {str(name): _points(name, curve) for name, curve in mapping("curves", curves, OF).items()}
    values = sorted({x for curve in found.values() for x in curve})
    percent = y_title.endswith("accuracy")
    counts = {len(runs) for curve in found.values() for runs in curve.values()}
    runs = f"{max(counts)} runs" if len(counts) == 1 else f"{min(counts)} to {max(counts)} runs"
    more = ROW * (legend_rows(found) - 1)
    figure = new_figure(
        title or y_title[:1].upper() + y_title[1:],
        "" if counts == {1} else f"mean and range of {runs}",
        height=430 + more,
    )
    form = ".1%" if percent else ".4g"
    parts = [_curve(k, name, curve, x_title, form) for k, (name, curve) in enumerate(found.items())]
    for layer in zip(*parts, strict=True):  # all bands lie below all lines
        figure.add_traces(layer)
    figure.update_layout(margin={"t": (84 if counts == {1} else 106) + more, "b": 48, "l": 60})
    figure.update_xaxes(title=x_title)
    figure.update_yaxes(title=y_title)
    if percent:
        figure.update_yaxes(tickformat=".0%")
    if values[0] > 0 and values[-1] > LOGARITHMIC * values[0]:
        figure.update_xaxes(type="log", tickvals=values, title=f"{x_title} (logarithmic)")
    elif len(values) <= 10 and all(x == int(x) for x in values):
        figure.update_xaxes(tickvals=values)
    if classes is not None:
        chance_line(figure, integer("classes", classes, 2), "y")
    return figure


def _points(name: Any, curve: Any) -> dict[float, np.ndarray]:
    """Return the values of one curve, in the order of x."""
    label = f"curves[{name!r}]"
    points = mapping(label, curve, "of x to values")
    order = sorted(points, key=lambda x: number(f"an x value of {label}", x))
    return {float(x): array(f"{label}[{x!r}]", points[x], 1) for x in order}


def _curve(k: int, name: str, curve: dict[float, np.ndarray], x_title: str, form: str) -> list[go.Scatter]:
    """Return the band, the single runs and the means of the k-th curve."""
    x = list(curve)
    low, high = ([float(reach(runs)) for runs in curve.values()] for reach in (np.min, np.max))
    means = [float(runs.mean()) for runs in curve.values()]
    words = html.escape(name, quote=False)
    common = {"name": words, "legendgroup": words}
    aside = {**common, "showlegend": False}
    band = go.Scatter(
        x=x + x[::-1],
        y=low + high[::-1],
        mode="lines",
        line={"width": 0, "color": colour(k)},
        fill="toself",
        opacity=0.18,
        hoverinfo="skip",
        **aside,
    )
    singles = go.Scatter(
        x=[at for at, runs in curve.items() for _ in runs],
        y=[float(y) for runs in curve.values() for y in runs],
        mode="markers",
        marker={"size": 4.5, "color": colour(k), "opacity": 0.35},
        hoverinfo="skip",
        **aside,
    )
    mean = go.Scatter(
        x=x,
        y=means,
        mode="lines+markers",
        line={"width": 2.5, "color": colour(k), "dash": DASHES[k % len(DASHES)]},
        marker={"size": 8, "symbol": MARKERS[k % len(MARKERS)], "line": {"width": 1, "color": "white"}},
        customdata=list(zip(low, high, map(len, curve.values()), strict=True)),
        hovertemplate=f"{words}, {x_title} %{{x}}<br>mean %{{y:{form}}}<br>%{{customdata[0]:{form}}} to "
        f"%{{customdata[1]:{form}}}, %{{customdata[2]}} runs<extra></extra>",
        **common,
    )
    return [band, singles, mean]
