"""Draw confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from neocog.figures import checks
from neocog.figures.style import DIVERGING, FAINT, INK, new_figure

LONGEST = 16  # letters of a name beside the matrix
FEW = 12  # classes whose names stand below the matrix, too; more are numbered
TICKS, SMALL = 11, 9  # sizes of numbered labels, and of those on a page narrower than NARROW pixels
NARROW = 600
MOST_WRITTEN = 40  # classes whose counts are written in the cells
SMALLEST = 24  # pixels of a cell on a wide page


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
    short = [checks.shortened(name, LONGEST) for name in names]
    numbered = classes > FEW and class_names is not None
    numbers = [str(k) for k in range(classes)]
    below = numbers if numbered else short
    shown = [f"{name}  {k}" for k, name in enumerate(short)] if numbered else short
    rows = [
        f"{n}  <b>{s:.0%}</b>" if t else n
        for n, s, t in zip(shown, share.diagonal(), totals[:, 0], strict=True)
    ]
    words = f"{right:,} of {total:,} correct ({right / total:.1%}); beside a class, its accuracy"
    side = max(270, min(46 * classes, 520), min(SMALLEST * classes, 1000))
    figure = new_figure(title, words, height=150 + side)
    written = classes <= MOST_WRITTEN
    where = list(range(classes))
    figure.add_trace(
        go.Heatmap(
            z=signed,
            x=where,
            y=where,
            customdata=counts,
            text=[[str(c) if c else "" for c in row] for row in counts.tolist()] if written else None,
            texttemplate="%{text}" if written else None,
            textfont={"size": 15 if classes <= 5 else 13 if classes <= 12 else 9},
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
            xgap=2 if classes <= 20 else 1,
            ygap=2 if classes <= 20 else 1,
        )
    )
    letters, deep = max(map(len, shown)), max(map(len, below))
    left, bottom = 95 + 6.6 * letters, 66 + (5 * deep if deep > 2 else 0)
    # A square, and what stands beside it.
    board: dict[str, Any] = {"height": 100.8, "edges": 98 + bottom - left, "most": 150 + side}
    if numbered:  # on a narrow page the rows have no room for names
        board["layout"] = {"yaxis.ticktext": rows, "xaxis.tickfont.size": TICKS, "yaxis.tickfont.size": TICKS}
        small = {"yaxis.ticktext": numbers, "xaxis.tickfont.size": SMALL, "yaxis.tickfont.size": SMALL}
        board |= {"below": NARROW, "narrow": {"edges": 98 + bottom - 72, "layout": small}}
    ticks: dict[str, Any] = {
        "tickvals": where,
        "ticks": "",
        "showline": False,
        "showgrid": False,
        "tickfont": {"size": TICKS if numbered else 12.5, "color": INK},
        "fixedrange": True,
        "constrain": "domain",
    }
    figure.update_layout(
        xaxis={**ticks, "ticktext": below, "title": "predicted class", "constraintoward": "left"},
        yaxis={
            **ticks,
            "ticktext": rows,
            "title": "true class",
            "autorange": "reversed",
            "scaleanchor": "x",
            "constraintoward": "top",
        },
        margin={"t": 82, "b": 40},
        meta=board,
        plot_bgcolor=FAINT,
        dragmode=False,
    )
    return figure
