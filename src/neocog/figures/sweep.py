"""Draw the points of a sweep: the effect of the settings, and the spread over the seeds."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from neocog.figures.style import FAINT, INK, MUTED, VERMILLION, Stops, new_figure
from neocog.validation import integer

SHADES: Stops = [(0.0, "#93a7b5"), (0.5, "#3a93cc"), (1.0, "#08304d")]
MARK = "neocog sweep"
"""Name in the figure, by which a page with such a figure is recognized."""
PARALLEL, ROW = 330, 27  # pixels
FAN = 0.34  # of the distance between two values: lines through the same value lie beside each other


def sweep(
    rows: Sequence[Mapping[str, Any]], keys: Sequence[str], title: str = "Sweep", most: int = 30
) -> go.Figure:
    """Draw a sweep: each point as a line through its settings, and each setting's spread over the seeds.

    At the top, parallel coordinates: a line for each point that did not diverge, coloured by its validation
    accuracy; the axes show the values of all. Drag along an axis to keep the lines that pass there. Below, a
    row a setting, in the order of their first rows: a dot a seed, a bar for mean and standard deviation, a
    cross for a seed that diverged.

    Parameters
    ----------
    rows : sequence of dict
        A point each: the settings, ``seed`` and ``val_accuracy``, None if it diverged. The best setting's
        come first: the caller ranks the settings.
    keys : sequence of str
        The settings that the grid names. Those with one value are not drawn.
    title : str
    most : int
        Most settings that get a row; the first ones do.

    Raises
    ------
    ValueError, TypeError
        If there is no row, a row lacks a key, or no point has an accuracy.

    Examples
    --------
    >>> rows = [{"lr": lr, "seed": s, "val_accuracy": lr + s / 10} for lr in (0.1, 0.5) for s in (0, 1)]
    >>> figure = sweep(rows, ["lr"])
    >>> [(axis.label, axis.ticktext) for axis in figure.data[0].dimensions]
    [('lr', ('0.1', '0.5')), ('val accuracy', None)]
    """
    integer("most", most)
    if isinstance(keys, str):
        raise TypeError(f"keys must be a sequence of settings, got {keys!r}.")
    for row in rows:
        if lacking := [key for key in (*keys, "seed", "val_accuracy") if key not in row]:
            raise ValueError(f"each row must have the entries {lacking}, got {list(row)}.")
    trained = sorted((row for row in rows if _accuracy(row) is not None), key=lambda row: row["val_accuracy"])
    if not trained:
        raise ValueError("rows must hold at least one point with a validation accuracy.")
    varied = [key for key in keys if len({_text(row[key]) for row in rows}) > 1]
    groups = _groups(rows, varied)
    drawn = groups[:most]
    words = f"{len(rows)} points, {len(groups)} settings"
    if len(trained) < len(rows):
        words += f"; {len(rows) - len(trained)} diverged"
    if len(groups) > most:
        words += f"; below, the best {most}"
    above = PARALLEL if varied else 0
    below = 40 + ROW * len(drawn)
    figure = new_figure(title, words, height=150 + above + below)
    if varied:
        figure.add_trace(_parallel(trained, _values(rows, varied), below / (above + below)))
    _strips(figure, drawn)
    figure.update_layout(
        margin={"t": 110, "b": 40, "l": 16, "r": 24},
        showlegend=False,
        meta=MARK,
        xaxis={"title": "validation accuracy", "tickformat": "~%", "nticks": 6, "gridcolor": FAINT},
        yaxis={
            "domain": [0, below / (above + below) - (0.01 if varied else 0)],
            "range": [len(drawn) - 0.5, -0.5],
            "tickvals": list(range(len(drawn))),
            "ticktext": [label for label, _ in drawn],
            "tickfont": {"size": 12, "color": INK},
            "ticks": "",
            "showgrid": False,
        },
    )
    return figure


def _accuracy(row: Mapping[str, Any]) -> float | None:
    value = row["val_accuracy"]
    return None if value is None or math.isnan(value) else float(value)


def _text(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _groups(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[tuple[str, list[Any]]]:
    """Return the rows of each setting, in their order."""
    groups: dict[str, list[Any]] = {}
    for row in rows:
        label = ", ".join(f"{key} {_text(row[key])}" for key in keys) or "the one setting"
        groups.setdefault(html.escape(label, quote=False), []).append(row)
    return list(groups.items())


def _values(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each axis, including those of points that diverged."""
    return {key: _ordered([row[key] for row in rows]) for key in keys}


def _parallel(rows: list[Mapping[str, Any]], axes: Mapping[str, list[str]], bottom: float) -> go.Parcoords:
    """Draw the points, the worst first, so that the best lie on top."""
    accuracies = [row["val_accuracy"] for row in rows]
    dimensions: list[dict[str, Any]] = []
    for key, values in axes.items():
        places = np.array([values.index(_text(row[key])) for row in rows], float)
        for place in range(len(values)):
            inside = np.flatnonzero(places == place)
            places[inside] += FAN * ((np.arange(len(inside)) + 0.5) / len(inside) - 0.5)
        dimensions.append(
            {
                "label": key,
                "values": places,
                "range": [-0.3, len(values) - 0.7],
                "tickvals": list(range(len(values))),
                "ticktext": values,
            }
        )
    dimensions.append({"label": "val accuracy", "values": accuracies, "tickformat": ".1%"})
    return go.Parcoords(
        dimensions=dimensions,
        line={"color": accuracies, "colorscale": SHADES, "cmin": min(accuracies), "cmax": max(accuracies)},
        domain={"x": [0.05, 0.93], "y": [min(1.0, bottom + 0.04), 1]},
        labelfont={"size": 13, "color": INK},
        tickfont={"size": 12, "color": INK},
        rangefont={"size": 1, "color": "rgba(0, 0, 0, 0)"},
        unselected={"line": {"color": FAINT, "opacity": 0.4}},
    )


def _ordered(values: Sequence[Any]) -> list[str]:
    """Return the distinct values, numbers by size, others in order of appearance."""
    found = {_text(value): value for value in values}
    try:
        return sorted(found, key=lambda text: found[text])
    except TypeError:
        return list(found)


def _strips(figure: go.Figure, groups: list[tuple[str, list[Any]]]) -> None:
    """Draw one row per setting: its seeds, their mean and standard deviation."""
    dots, crosses, means = [], [], []
    for place, (label, rows) in enumerate(groups):
        found = [row for row in rows if _accuracy(row) is not None]
        dots += [(row["val_accuracy"], place, f"{label}, seed {row['seed']}") for row in found]
        crosses += [(place, f"{label}, seed {row['seed']}") for row in rows if _accuracy(row) is None]
        if found:
            accuracies = [row["val_accuracy"] for row in found]
            means.append((np.mean(accuracies), place, np.std(accuracies), label))
    lowest = min(x for x, _, _ in dots)
    figure.add_trace(
        go.Scatter(
            x=[x for x, _, _, _ in means],
            y=[y for _, y, _, _ in means],
            error_x={"array": [s for _, _, s, _ in means], "color": MUTED, "thickness": 1.5, "width": 0},
            mode="markers",
            marker={"symbol": "line-ns", "size": 15, "line": {"width": 2.5, "color": INK}},
            customdata=[[label, s] for _, _, s, label in means],
            hovertemplate="%{customdata[0]}: %{x:.2%} ± %{customdata[1]:.2%}<extra></extra>",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[x for x, _, _ in dots],
            y=[y for _, y, _ in dots],
            mode="markers",
            marker={"size": 9, "color": "#0072B2", "opacity": 0.6},
            hovertext=[text for _, _, text in dots],
            hovertemplate="%{hovertext}: %{x:.2%}<extra></extra>",
        )
    )
    if crosses:
        figure.add_trace(
            go.Scatter(
                x=[lowest] * len(crosses),
                y=[y for y, _ in crosses],
                mode="markers",
                marker={"symbol": "x-thin", "size": 9, "line": {"width": 2, "color": VERMILLION}},
                hovertext=[text for _, text in crosses],
                hovertemplate="%{hovertext}: diverged<extra></extra>",
            )
        )
