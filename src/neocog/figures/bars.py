"""Draw bars of parameters and accuracies, and the table of known networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from neocog.figures.checks import array, mapping
from neocog.figures.checks import class_names as named
from neocog.figures.image_grid import WIDTH, ImageGrid
from neocog.figures.style import (
    BLUE,
    FAINT,
    FONT,
    GREEN,
    INK,
    LINE,
    MUTED,
    VERMILLION,
    colour,
    new_figure,
)
from neocog.validation import integer, number


def parameter_bars(
    counts: Mapping[str, int], title: str = "Parameters", subtitle: str = "", log: bool = False
) -> go.Figure:
    """Draw how many parameters each network or layer has, with its number and its multiple of the smallest.

    Parameters
    ----------
    counts : dict of name to int
    title, subtitle : str
    log : bool
        Draw on a logarithmic scale. Then the lengths are not proportional to the numbers.

    Raises
    ------
    ValueError, TypeError
        If a count is no integer or negative.
    """
    counts = {
        str(name): integer(f"counts[{name!r}]", value, 0)
        for name, value in mapping("counts", counts, "of name to parameter count").items()
    }
    values = list(counts.values())
    least, high = min(values), max(1, *values)
    texts = [f"{v:,}" + (f"  ({v / least:.3g}×)" if 0 < least < v else "") for v in values]
    figure = new_figure(title, subtitle, height=118 + 46 * len(values) + (18 if subtitle else 0))
    figure.add_trace(
        go.Bar(
            x=values,
            y=list(counts),
            orientation="h",
            text=texts,
            textposition=["inside" if 2 * v > high and not log else "outside" for v in values],
            insidetextanchor="end",
            cliponaxis=False,
            marker={"color": [colour(k) for k in range(len(values))]},
            width=0.62,
            hovertemplate="%{y}: %{x:,}<extra></extra>",
        )
    )
    figure.update_layout(margin={"t": 78 if subtitle else 56, "b": 46})
    figure.update_yaxes(autorange="reversed", showline=False, ticks="", tickfont={"size": 13, "color": INK})
    figure.update_xaxes(
        title="parameters", range=[0, high * 1.04], nticks=4, tickangle=0, tickformat=",", showline=False
    )
    if log:
        figure.update_xaxes(
            type="log", range=None, autorange=True, title="parameters (logarithmic)", tickformat="~s"
        )
    return figure


def class_count_bars(
    results: Mapping[str, Mapping[str, tuple[float, int]]], title: str = "Three classes against four"
) -> go.Figure:
    """Draw accuracy and parameters of some networks on some tasks.

    Parameters
    ----------
    results : dict of task to dict of network to (accuracy, parameters)
        For example ``{"3 classes": {"TinyCNN": (1.0, 114)}, "4 classes": {"TinyCNN": (1.0, 142)}}``.
    title : str

    Raises
    ------
    ValueError, TypeError
        If an accuracy is not in 0..1, a count is no integer, or the tasks differ in their networks.
    """
    tasks = mapping("results", results, "of task to dict of network to (accuracy, parameters)")
    names = list(mapping(f"results[{next(iter(tasks))!r}]", next(iter(tasks.values())), "of networks"))
    for task, found in tasks.items():
        if not isinstance(found, Mapping) or set(found) != set(names):
            raise ValueError(f"results[{task!r}] must hold the networks {names}, got {list(found)}.")
        for name, (accuracy, parameters) in found.items():
            number(f"the accuracy of {name!r} in {task!r}", accuracy, 0, 1)
            integer(f"the parameters of {name!r} in {task!r}", parameters, 0)
    figure = new_figure(title, height=540)
    for k, name in enumerate(names):
        accuracies = [float(found[name][0]) for found in tasks.values()]
        counts = [int(found[name][1]) for found in tasks.values()]
        common: dict[str, Any] = {
            "x": list(map(str, tasks)),
            "name": str(name),
            "legendgroup": str(name),
            "textposition": "outside",
            "cliponaxis": False,
            "marker": {"color": colour(k)},
        }
        figure.add_trace(
            go.Bar(
                y=accuracies,
                text=[f"{a:.1%}" for a in accuracies],
                hovertemplate="%{x}: %{y:.2%}",
                **common,
            )
        )
        figure.add_trace(
            go.Bar(
                y=counts,
                yaxis="y2",
                text=[f"{c:,}" for c in counts],
                hovertemplate="%{x}: %{y:,}",
                showlegend=False,
                **common,
            )
        )
    most = max(found[name][1] for found in tasks.values() for name in names)
    figure.update_layout(
        barmode="group",
        bargap=0.35,
        bargroupgap=0.12,
        margin={"t": 92, "b": 34},
        xaxis={"anchor": "y2", "ticks": "", "tickfont": {"size": 13, "color": INK}},
        yaxis={
            "domain": [0.56, 1],
            "range": [0, 1.12],
            "tickformat": ".0%",
            "title": "validation accuracy",
            "tickvals": [0, 0.25, 0.5, 0.75, 1],
        },
        yaxis2={"domain": [0, 0.44], "title": "parameters", "range": [0, 1.18 * most], "tickformat": ","},
    )
    return figure


def probability_bars(
    probabilities: Any,
    class_names: Sequence[str] | None = None,
    target: int | None = None,
    title: str = "Probabilities",
) -> go.Figure:
    """Draw the probabilities of the classes, with their percentages.

    The target's bar is green and its name bold; the most probable class is blue, or red where it is wrong.

    Parameters
    ----------
    probabilities : array (classes,)
        They add up to 1.
    class_names : sequence of str, optional
    target : int, optional
        The true class.
    title : str

    Raises
    ------
    ValueError, TypeError
        If these are no probabilities, or there is no such class.

    Examples
    --------
    >>> probability_bars([0.9, 0.1], ["cat", "dog"]).data[0].customdata.tolist()
    [0.9, 0.1]
    """
    found = array("probabilities", probabilities, 1).astype(float)
    if found.min() < 0 or abs(found.sum() - 1) > 1e-3:
        raise ValueError(f"probabilities must be at least 0 and add up to 1, got {found.tolist()}.")
    names = named(class_names, len(found))
    chosen = int(found.argmax())
    colours = [LINE] * len(found)
    colours[chosen] = BLUE
    subtitle = f"most probable: {names[chosen]}"
    if target is not None:
        if integer("target", target, 0) >= len(found):
            raise ValueError(f"target must be below {len(found)}, the number of classes, got {target}.")
        colours[chosen] = VERMILLION
        colours[target] = GREEN
        subtitle += f"; target: {names[target]}"
        names[target] = f"<b>{names[target]}</b> (target)"
    labels = min(40.0, 3.0 + 1.9 * max(len(name.replace("<b>", "").replace("</b>", "")) for name in names))
    grid = ImageGrid(title, subtitle)
    percents = [f"{p:.1%}" for p in found]
    grid.bars(found, names, percents, 0, 0, WIDTH, colours, labels, limit=1.0)
    return grid.finish()


def network_table(
    rows: Sequence[Mapping[str, Any] | tuple[str, int, int, int]], title: str = "Classic networks"
) -> go.Figure:
    """Draw the table of known networks.

    Parameters
    ----------
    rows : sequence of dict, or of tuples
        ``name``, ``year``, ``layers``, ``parameters``; tuples in this order.
    title : str

    Raises
    ------
    ValueError, TypeError
        If a row has other entries or a number is no integer.

    Examples
    --------
    >>> network_table([("LeNet-5", 1998, 5, 61706)]).data[0].cells.values[3]
    ['61,706']
    """
    columns = ("name", "year", "layers", "parameters")
    table: list[list[str]] = [[], [], [], []]
    if not rows:
        raise ValueError("rows must not be empty.")
    for row in rows:
        if not isinstance(row, Mapping):
            if len(row) != len(columns):
                raise ValueError(f"a row must be {columns}, got {tuple(row)}.")
            row = dict(zip(columns, row, strict=True))
        if set(row) != set(columns):
            raise ValueError(f"a row must have the entries {columns}, got {tuple(row)}.")
        table[0].append(f"<b>{row['name']}</b>")
        for k, column in enumerate(columns[1:], 1):
            value = integer(f"{column} of {row['name']}", row[column], 0)
            table[k].append(f"{value:,}" if column != "year" else str(value))
    figure = new_figure(title, height=92 + 34 * (len(rows) + 1))
    side = ["left", "right", "right", "right"]
    figure.add_trace(
        go.Table(
            columnwidth=[5, 3, 3, 5],
            header={
                "values": ["network", "year", "layers", "parameters"],
                "align": side,
                "height": 32,
                "fill": {"color": "white"},
                "line": {"color": "white", "width": 0},
                "font": {"family": FONT, "size": 13, "color": MUTED},
            },
            cells={
                "values": table,
                "align": side,
                "height": 34,
                "fill": {"color": [[FAINT if k % 2 == 0 else "white" for k in range(len(rows))]]},
                "line": {"color": "white", "width": 0},
                "font": {"family": FONT, "size": 14, "color": INK},
            },
        )
    )
    figure.update_layout(margin={"t": 54, "b": 8})
    return figure
