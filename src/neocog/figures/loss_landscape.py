"""Draw the loss around the trained weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go

from neocog.figures import checks
from neocog.figures.style import INK, MUTED, PALE, VERMILLION, new_figure, share_scale
from neocog.inspection.loss_landscape import Landscape


def loss_landscape(
    values: Landscape | Any,
    x: Any = None,
    y: Any = None,
    axes: tuple[str, str] = ("first direction", "second direction"),
    title: str = "Loss around the weights",
) -> go.Figure:
    """Draw the loss along one direction in weight space, or over two; the cross is the trained network.

    Parameters
    ----------
    values : Landscape, or array (len(x),) or (len(y), len(x))
        As :func:`neocog.inspection.loss_landscape` measures it, or the losses alone.
    x, y : array, optional
        Steps along the directions, 0 is the trained network; a Landscape has its own.
    axes : (str, str)
    title : str

    Raises
    ------
    ValueError, TypeError
        If the values do not fit the steps.
    """
    if isinstance(values, Landscape):
        if x is not None or y is not None:
            raise TypeError("x and y must not be given with a Landscape, which has its own.")
        x = values.offsets
        y = x if values.losses.ndim == 2 else None
        values = values.losses.T  # there the first direction is the first axis
    values = checks.array("values", values, 1, 2)
    x = checks.array("x", x, 1)
    if (values.ndim == 2) != (y is not None):
        raise ValueError("values of two dimensions need x and y, values of one dimension x alone.")
    mark = "dashed" if y is None else "cross"
    figure = new_figure(title, f"{mark}: the trained network", height=400)
    figure.update_layout(margin={"t": 84, "b": 48, "l": 56})
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
    low, high = float(values.min()), float(values.max())
    logarithmic = 0 < 10 * low < high
    hover = {"customdata": values, "hovertemplate": "loss %{customdata:.4g}<extra></extra>"}
    shades = {"z": np.log10(values) if logarithmic else values, "colorscale": PALE, "showscale": False}
    figure.add_trace(
        go.Contour(x=x, y=y, contours={"coloring": "heatmap"}, line={"width": 0}, **shades, **hover)
    )
    for level in _levels(low, high, logarithmic):
        figure.add_trace(
            go.Contour(
                x=x,
                y=y,
                z=values,
                contours={
                    "type": "constraint",
                    "operation": "=",
                    "value": level,
                    "showlabels": True,
                    "labelfont": {"size": 11, "color": INK},
                },
                line={"width": 0.7, "color": "rgba(31, 41, 51, 0.5)"},
                name=f"loss {level:g}",
                showlegend=False,
                hoverinfo="skip",
            )
        )
    cross = {"symbol": "x", "size": 11, "color": VERMILLION, "line": {"width": 1, "color": "white"}}
    figure.add_trace(
        go.Scatter(x=[0], y=[0], mode="markers", marker=cross, name="trained network", showlegend=False)
    )
    figure.update_yaxes(title=f"step along the {axes[1]}")
    ratio = float(np.ptp(y) / (np.ptp(x) or 1.0))
    share_scale(figure, ratio, 84)
    return figure


def _levels(low: float, high: float, logarithmic: bool) -> list[float]:
    """Return round numbers between two losses: 1, 2, 5, 10 ... or with equal distances."""
    if logarithmic:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
        found = [float(f"{digit}e{decade}") for decade in decades for digit in (1, 2, 5)]
        return [level for level in found if low < level < high]
    if low == high:
        return []
    rough = (high - low) / 8
    unit = 10 ** math.floor(math.log10(rough))
    step = unit * next(digit for digit in (1, 2, 5, 10) if digit * unit >= rough)
    return [float(f"{k * step:.6g}") for k in range(math.floor(low / step) + 1, math.ceil(high / step))]
