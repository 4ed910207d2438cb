"""Draw images as points in a plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from neocog.deprecation import accepts_old_names
from neocog.figures import checks
from neocog.figures.style import MUTED, VERMILLION, YELLOW, colour, new_figure

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down")


@accepts_old_names
def embedding(
    points: Any,
    y: Any,
    class_names: Sequence[str] | None = None,
    predicted: Any = None,
    axes: tuple[str, str] = ("first component", "second component"),
    title: str = "Embedding",
) -> go.Figure:
    """Draw images as points in a plane, coloured by class; misclassified ones have a ring.

    Parameters
    ----------
    points : array (N, 2)
    y : int array (N,)
    class_names : sequence of str, optional
    predicted : int array (N,), optional
    axes : (str, str)
        Labels of the two axes.
    title : str

    Raises
    ------
    ValueError, TypeError
        If the points are not in a plane, or the labels do not fit them.
    """
    points = checks.array("points", points, 2)
    if points.shape[1] != 2:
        raise ValueError(f"points must be (N, 2), got shape {points.shape}.")
    y = checks.labels("y", y, len(points))
    answers = None if predicted is None else checks.labels("predicted", predicted, len(points))
    highest = y if answers is None else np.concatenate([y, answers])
    names = checks.class_names(class_names, int(highest.max()) + 1)
    figure = new_figure(title, height=560)
    for k in np.unique(y):
        mine = np.flatnonzero(y == k)
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
    if answers is not None and (answers != y).any():
        wrong = np.flatnonzero(answers != y)
        figure.add_trace(
            go.Scatter(
                x=points[wrong, 0],
                y=points[wrong, 1],
                mode="markers",
                name="wrong",
                marker={"symbol": "circle-open", "size": 15, "color": VERMILLION, "line": {"width": 2}},
                hovertext=[f"image {i}: {names[y[i]]}, classified as {names[answers[i]]}" for i in wrong],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )
    longest = max(len(names[k]) for k in np.unique(y))
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
