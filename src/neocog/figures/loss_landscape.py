"""Draw the loss around the trained weights."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from neocog.figures import checks
from neocog.figures.style import BLUES, INK, MUTED, VERMILLION, new_figure


def loss_landscape(
    values: Any,
    x: Any,
    y: Any = None,
    axes: tuple[str, str] = ("first direction", "second direction"),
    title: str = "Loss around the trained weights",
) -> go.Figure:
    """Draw the loss along one direction in weight space, or over two; the cross is the trained network.

    Parameters
    ----------
    values : array (len(x),) or (len(y), len(x))
    x, y : array
        Steps along the directions; 0 is the trained network.
    axes : (str, str)
    title : str

    Raises
    ------
    ValueError, TypeError
        If the values do not fit the steps.
    """
    values = checks.array("values", values, 1, 2)
    x = checks.array("x", x, 1)
    if (values.ndim == 2) != (y is not None):
        raise ValueError("values of two dimensions need x and y, values of one dimension x alone.")
    figure = new_figure(title, height=380 if y is None else 540)
    figure.update_layout(margin={"t": 60, "b": 44, "l": 56})
    figure.update_xaxes(title=f"step along the {axes[0]}")
    if y is None:
        if len(values) != len(x):
            raise ValueError(f"values must be {len(x)}, one a step, got {len(values)}.")
        figure.add_trace(go.Scatter(x=x, y=values, mode="lines", line={"width": 2.5}, name="loss"))
        figure.update_yaxes(title="loss", rangemode="tozero")
        figure.add_vline(x=0, line={"color": MUTED, "dash": "dash", "width": 1.5})
        return figure
    y = checks.array("y", y, 1)
    if values.shape != (len(y), len(x)):
        raise ValueError(f"values must be (len(y), len(x)) = {(len(y), len(x))}, got {values.shape}.")
    bar = {
        "title": {"text": "loss", "side": "top"},
        "thickness": 10,
        "len": 0.9,
        "outlinewidth": 0,
        "tickfont": {"size": 12, "color": MUTED},
    }
    figure.add_trace(
        go.Contour(
            x=x,
            y=y,
            z=values,
            colorscale=BLUES,
            ncontours=14,
            line={"width": 0.7, "color": "rgba(31, 41, 51, 0.5)"},
            contours={"showlabels": True, "labelfont": {"size": 11, "color": INK}},
            colorbar=bar,
            hovertemplate="loss %{z:.4g}<extra></extra>",
        )
    )
    cross = {"symbol": "x", "size": 11, "color": VERMILLION, "line": {"width": 1, "color": "white"}}
    figure.add_trace(
        go.Scatter(x=[0], y=[0], mode="markers", marker=cross, name="trained network", showlegend=False)
    )
    figure.update_yaxes(title=f"step along the {axes[1]}", scaleanchor="x", constrain="domain")
    figure.update_xaxes(constrain="domain")
    return figure
