"""Draw the curves of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from neocog.figures.checks import mapping
from neocog.figures.style import BLUE, MUTED, ORANGE, ROW, colour, legend_rows, new_figure
from neocog.training.history import COLUMNS, History
from neocog.validation import integer, one_of

LABELS = {
    "running_loss": "running loss",
    "train_loss": "training loss",
    "val_loss": "validation loss",
    "train_accuracy": "training accuracy",
    "val_accuracy": "validation accuracy",
    "lr": "learning rate",
    "seconds": "seconds an epoch",
}
DASHES = ("solid", "dash", "dot", "dashdot")


def learning_curves(
    history: History | Mapping[str, Any],
    classes: int | None = None,
    title: str = "Learning curves",
    kept: int | None = None,
    val: str = "validation",
) -> go.Figure:
    """Draw the loss above and the accuracy below, epoch by epoch.

    Columns that hold nothing but NaN are left out; a regression has no accuracy panel.

    Parameters
    ----------
    history : History, or dict of column name to sequence
        Needs ``epoch`` and at least one loss or accuracy.
    classes : int, optional
        Draws the accuracy of guessing, 1 / classes.
    title : str
    kept : int, optional
        Draws a line at the epoch whose weights were kept.
    val : str
        What the images of ``val_loss`` and ``val_accuracy`` are: those held out, if no others were set apart.

    Raises
    ------
    ValueError, TypeError
        If the history is empty, or its columns differ in length.

    Examples
    --------
    >>> figure = learning_curves({"epoch": [0, 1], "train_loss": [1.1, 0.4]})
    >>> figure.data[0].name
    'training'
    """
    table = _table("history", history)
    if classes is not None:
        integer("classes", classes, 2)
    loss = {"running_loss": MUTED, "train_loss": BLUE, "val_loss": ORANGE}
    accuracy = {"train_accuracy": BLUE, "val_accuracy": ORANGE}
    shown = [[c for c in panel if c in table] for panel in (loss, accuracy)]
    if not any(shown):
        raise ValueError("history must hold a loss or an accuracy, got neither.")
    both = all(shown)
    names = {"running": "running", "train": "training", "val": val}
    parts = dict.fromkeys(column.split("_")[0] for columns in shown for column in columns)
    more = ROW * (legend_rows(names[part] for part in parts) - 1)
    figure = new_figure(title, height=(560 if both else 360) + more, hovermode="x unified")
    figure.update_layout(margin={"t": 84 + more, "b": 48, "l": 60})
    legends = set()
    for k, columns in enumerate(shown):
        axis = "y2" if both and k else "y"
        for column in columns:
            part = column.split("_")[0]
            figure.add_trace(
                go.Scatter(
                    x=table["epoch"],
                    y=table[column],
                    name=names[part],
                    legendgroup=part,
                    showlegend=part not in legends,
                    mode="lines+markers" if len(table["epoch"]) <= 15 else "lines",
                    marker={"size": 5},
                    line={
                        "color": (loss | accuracy)[column],
                        "width": 1.5 if part == "running" else 2.5,
                        "dash": "dot" if part == "running" else "solid",
                    },
                    yaxis=axis,
                    hovertemplate="%{y:.4g}",
                )
            )
            legends.add(part)
    rate = {"title": "accuracy", "range": [0, 1.04], "tickformat": ".0%"}
    figure.update_xaxes(title="epoch", rangemode="tozero")
    if both:
        figure.update_layout(
            xaxis={"anchor": "y2"},
            yaxis={"title": "loss", "rangemode": "tozero", "domain": [0.54, 1]},
            yaxis2={**rate, "domain": [0, 0.46]},
        )
    else:
        figure.update_layout(yaxis=rate if shown[1] else {"title": "loss", "rangemode": "tozero"})
    if classes is not None and shown[1]:
        chance_line(figure, classes, "y2" if both else "y")
    if kept is not None:
        _kept_line(figure, integer("kept", kept, 0))
    return figure


def _kept_line(figure: go.Figure, epoch: int) -> None:
    """Draw a line through all panels at the epoch that was kept."""
    line = {"color": MUTED, "width": 1.5, "dash": "dot"}
    figure.add_shape(type="line", x0=epoch, x1=epoch, yref="paper", y0=0, y1=1, line=line)
    figure.add_annotation(
        text=f"epoch {epoch} kept",
        x=epoch,
        xanchor="center",
        y=0.5,
        yref="paper",
        yanchor="middle",
        showarrow=False,
        font={"size": 12, "color": MUTED},
        bgcolor="white",
        borderpad=2,
    )


def compare_curves(
    histories: Mapping[str, History | Mapping[str, Any]],
    column: str = "val_accuracy",
    classes: int | None = None,
    title: str = "",
) -> go.Figure:
    """Draw one column of several histories on top of each other.

    Parameters
    ----------
    histories : dict of name to history
    column : str
        Of the histories: "val_accuracy", "train_loss" ...
    classes : int, optional
        Draws the accuracy of guessing, where the column is one.
    title : str

    Raises
    ------
    ValueError, TypeError
        If a history is empty or has no such column.
    """
    one_of("column", column, COLUMNS[1:])
    runs = {
        name: _table(f"histories[{name!r}]", h)
        for name, h in mapping("histories", histories, "of name to history").items()
    }
    words = LABELS[column]
    more = ROW * (legend_rows(map(str, runs)) - 1)
    figure = new_figure(title or words.capitalize(), height=400 + more, hovermode="x unified")
    figure.update_layout(margin={"t": 84 + more, "b": 48, "l": 60})
    for k, (name, table) in enumerate(runs.items()):
        if column not in table:
            raise ValueError(f"histories[{name!r}] must hold {column}, got only {', '.join(table)}.")
        figure.add_trace(
            go.Scatter(
                x=table["epoch"],
                y=table[column],
                name=str(name),
                legendgroup=str(name),
                mode="lines",
                line={"width": 2.5, "color": colour(k), "dash": DASHES[k % len(DASHES)]},
                hovertemplate="%{y:.4g}",
            )
        )
    figure.update_xaxes(title="epoch", rangemode="tozero")
    figure.update_yaxes(title=words, rangemode="tozero")
    if column.endswith("accuracy"):
        figure.update_yaxes(range=[0, 1.04], tickformat=".0%")
        if classes is not None:
            chance_line(figure, integer("classes", classes, 2), "y")
    return figure


def chance_line(figure: go.Figure, classes: int, axis: str) -> None:
    """Draw the accuracy of random guessing."""
    chance = 1 / classes
    line = {"color": MUTED, "width": 1.5, "dash": "dash"}
    figure.add_shape(type="line", xref="paper", x0=0, x1=1, yref=axis, y0=chance, y1=chance, line=line)
    figure.add_annotation(
        text=f"chance, {chance:.0%}",
        x=1,
        xref="paper",
        xanchor="right",
        y=chance,
        yref=axis,
        yanchor="bottom",
        showarrow=False,
        font={"size": 12, "color": MUTED},
        bgcolor="rgba(255, 255, 255, 0.75)",  # curves may cross it
        borderpad=1,
    )


def _table(name: str, history: Any) -> dict[str, np.ndarray]:
    """Return the columns that hold numbers."""
    if isinstance(history, History):
        found: dict[str, Any] = {column: history[column] for column in COLUMNS}
    else:
        found = mapping(name, history, "of column name to sequence, or a History")
        found.setdefault("epoch", range(len(next(iter(found.values())))))
    table = {}
    for column, values in found.items():
        one_of(f"a column of {name}", column, COLUMNS)
        numbers = np.asarray([np.nan if v is None else v for v in values], dtype=float)
        if len(numbers) != len(found["epoch"]):
            raise ValueError(f"{name} must have columns of one length, {column} has {len(numbers)}.")
        if np.isfinite(numbers).any():
            table[column] = numbers
    if len(found["epoch"]) == 0:
        raise ValueError(f"{name} must have at least one row.")
    return table
