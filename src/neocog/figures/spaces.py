"""Spaces: images as points in a plane, the loss around the trained weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from neocog.figures import checks
from neocog.figures.style import BLUES, INK, MUTED, VERMILLION, YELLOW, colour, new_figure

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down")


def embedding(
    points: Any,
    labels: Any,
    class_names: Sequence[str] | None = None,
    predicted: Any = None,
    axes: tuple[str, str] = ("first component", "second component"),
    title: str = "Embedding",
) -> go.Figure:
    """Draw images as points in a plane, coloured by class; wrong answers have a ring.

    Parameters
    ----------
    points : array (N, 2)
    labels : int array (N,)
    class_names : sequence of str, optional
    predicted : int array (N,), optional
    axes : (str, str)
        What the two axes are.
    title : str

    Raises
    ------
    ValueError, TypeError
        If the points are not in a plane, or the labels do not fit them.
    """
    points = checks.array("points", points, 2)
    if points.shape[1] != 2:
        raise ValueError(f"points must be (N, 2), got shape {points.shape}.")
    labels = checks.labels("labels", labels, len(points))
    answers = None if predicted is None else checks.labels("predicted", predicted, len(points))
    highest = labels if answers is None else np.concatenate([labels, answers])
    names = checks.class_names(class_names, int(highest.max()) + 1)
    figure = new_figure(title, height=560)
    for k in np.unique(labels):
        mine = np.flatnonzero(labels == k)
        figure.add_trace(
            go.Scatter(
                x=points[mine, 0],
                y=points[mine, 1],
                mode="markers",
                name=names[k],
                marker={
                    "color": colour(k),
                    "symbol": SYMBOLS[k % len(SYMBOLS)] + ("-open" if k >= len(SYMBOLS) else ""),
                    "size": 8,
                    "opacity": 0.8,
                    "line": _outline(int(k)),
                },
                customdata=mine,
                hovertemplate=f"image %{{customdata}}: {names[k]}<extra></extra>",
            )
        )
    if answers is not None and (answers != labels).any():
        wrong = np.flatnonzero(answers != labels)
        figure.add_trace(
            go.Scatter(
                x=points[wrong, 0],
                y=points[wrong, 1],
                mode="markers",
                name="wrong",
                marker={"symbol": "circle-open", "size": 15, "color": VERMILLION, "line": {"width": 2}},
                hovertext=[f"image {i}: {names[labels[i]]}, called {names[answers[i]]}" for i in wrong],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )
    longest = max(len(names[k]) for k in np.unique(labels))
    entry = 14 + 8 * max(longest, 5 if answers is not None else 1)
    figure.update_layout(
        margin={"t": 56, "b": 44, "l": 56},
        legend={"y": -0.14, "yanchor": "top", "entrywidth": entry, "itemsizing": "constant"},
    )
    figure.update_xaxes(title=axes[0], nticks=6)
    figure.update_yaxes(title=axes[1], nticks=6)
    return figure


def _outline(k: int) -> dict[str, Any]:
    """Return the outline of a class's markers: yellow needs a dark one on white."""
    if k >= len(SYMBOLS):
        return {"width": 1.5}
    return {"width": 0.6, "color": MUTED if colour(k) == YELLOW else "white"}


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
