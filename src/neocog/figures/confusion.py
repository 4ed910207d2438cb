"""Draw confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from neocog.figures import checks
from neocog.figures.style import DIVERGING, FAINT, INK, new_figure


def confusion_matrix(
    matrix: Any, class_names: Sequence[str] | None = None, title: str = "Confusion matrix"
) -> go.Figure:
    """Draw a confusion matrix, with the accuracy of each class.

    Correct predictions are blue, wrong ones orange; the shade is the fraction of the row.

    Parameters
    ----------
    matrix : int array (classes, classes)
        Rows true, columns predicted.
    class_names : sequence of str, optional
    title : str

    Raises
    ------
    ValueError, TypeError
        If the matrix is not square or holds anything but counts.
    """
    counts = checks.array("matrix", matrix, 2)
    classes = len(counts)
    if counts.shape != (classes, classes):
        raise ValueError(f"matrix must be square, got shape {counts.shape}.")
    if (counts < 0).any() or (counts != counts.round()).any():
        raise ValueError("matrix must hold counts: whole numbers, none negative.")
    counts = counts.astype(int)
    names = checks.class_names(class_names, classes)
    totals = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(totals, 1)
    signed = np.where(np.eye(classes, dtype=bool), -share, share)
    right, total = int(np.trace(counts)), max(int(totals.sum()), 1)
    rows = [
        f"{n}  <b>{s:.0%}</b>" if t else n
        for n, s, t in zip(names, share.diagonal(), totals[:, 0], strict=True)
    ]
    words = f"{right:,} of {total:,} correct ({right / total:.1%}); beside a class, its accuracy"
    figure = new_figure(title, words, height=150 + min(520, max(270, 46 * classes)))
    where = list(range(classes))
    figure.add_trace(
        go.Heatmap(
            z=signed,
            x=where,
            y=where,
            customdata=counts,
            text=[[str(c) if c else "" for c in row] for row in counts.tolist()],
            texttemplate="%{text}",
            textfont={"size": 15 if classes <= 5 else 13},
            hovertext=[
                [f"{t} classified as {p}: {s:.1%}" for p, s in zip(names, row, strict=True)]
                for t, row in zip(names, share, strict=True)
            ],
            hovertemplate="%{hovertext} (%{customdata})<extra></extra>",
            zmin=-1,
            zmax=1,
            zmid=0,
            colorscale=[*[(at, c) for at, c in DIVERGING if at <= 0.5], (0.6, "#f0a04b"), (1.0, "#9c3a00")],
            showscale=False,
            xgap=2,
            ygap=2,
        )
    )
    letters = max(map(len, names))
    left, bottom = 95 + 6.6 * letters, 66 + (5 * letters if letters > 2 else 0)
    ticks: dict[str, Any] = {
        "tickvals": where,
        "ticks": "",
        "showline": False,
        "showgrid": False,
        "tickfont": {"size": 12.5, "color": INK},
        "fixedrange": True,
        "constrain": "domain",
    }
    figure.update_layout(
        xaxis={**ticks, "ticktext": names, "title": "predicted class", "constraintoward": "left"},
        yaxis={
            **ticks,
            "ticktext": rows,
            "title": "true class",
            "autorange": "reversed",
            "scaleanchor": "x",
            "constraintoward": "top",
        },
        margin={"t": 82, "b": 40},
        meta={"height": 100.8, "edges": 98 + bottom - left},  # a square, and what stands beside it
        plot_bgcolor=FAINT,
        dragmode=False,
    )
    return figure
