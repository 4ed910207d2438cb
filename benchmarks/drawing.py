"""Figures of a run: ratios, growth, jobs, memory."""

from __future__ import annotations

import math
import re
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from jobs import KERNELS
from neocog.figures.saving import save
from neocog.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    LINE,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    YELLOW,
    new_figure,
)
from rows import MEBIBYTE, Row, Run, duration, fastest, peers, ratios

COLOURS = {
    **{"neocog": BLUE, "torch": ORANGE, "torch.compile": VERMILLION, "onnxruntime": PURPLE},
    **{"jax": GREEN, "jax scan": SKY, "openvino": BLACK, "engine torch": MUTED},
    **{"torch on GPU": YELLOW, "engine torch on GPU": LINE},
    **dict(zip(KERNELS, (ORANGE, GREEN, BLUE), strict=True)),
    "the data set itself": MUTED,
}
WIDTH = 900
Series = dict[str, list[tuple[float, Sequence[float]]]]
"""By name, points: where, and what was measured there, round by round."""


def short(seconds: float) -> str:
    return re.sub(r"\.0+ ", " ", duration(seconds))


def mebibytes(count: float) -> str:
    return f"{count:g} MiB"


def draw(run: Run, folder: Path) -> list[str]:
    """Write all figures of a run into a folder; return the names of their files."""
    folder.mkdir(exist_ok=True)
    names = []
    for name, figure in figures(run):
        try:
            save(figure, folder / f"{name}.svg", width=WIDTH, scale=1)
        except (ImportError, RuntimeError) as problem:
            print(f"the figures are not drawn: {problem}", file=sys.stderr)
            return []
        names.append(f"{name}.svg")
    return names


def figures(run: Run) -> Iterator[tuple[str, go.Figure]]:
    """Yield ``(section of the page and more, figure)`` for all that was measured."""
    if run["rows"]:
        yield "time", factors(run["rows"])
    if run["jobs"]:
        subtitle = "Time of the whole process, with an empty cache of compiled kernels."
        yield "whole-jobs", grid("Whole jobs", subtitle, dict(job_panels(run["jobs"])), "epochs")
    for axis in dict.fromkeys(row["axis"] for row in run["scaling"]):
        rows = [row for row in run["scaling"] if row["axis"] == axis]
        subtitle = "Time of a call, median and range."
        name = f"scaling-{axis.replace(' ', '-')}"
        yield name, grid(f"Time by {axis}", subtitle, scaling_panels(rows), axis)
    if run["data_sets"]:
        panels = data_panel(run["data_sets"])
        yield (
            "data-set",
            grid(
                "Memory by data set",
                "Peak while training, by the size of the data set.",
                panels,
                "MiB",
                mebibytes,
            ),
        )


def factors(rows: Sequence[Row]) -> go.Figure:
    """Draw how many times as long as neocog each peer takes, and how long it should."""
    titles = [row["title"] for row in rows][::-1]
    subtitle = "The peer's time by neocog's, median and range: right of 1 neocog is faster; | is a target."
    figure = new_figure("Time beside the peers", subtitle, height=170 + 26 * len(titles))
    seen: list[float] = []
    for peer in peers(rows):
        points = [(row, found) for row in rows if (found := ratios(row, peer))]
        figure.add_scatter(
            y=[row["title"] for row, _ in points],
            mode="markers",
            name=peer,
            marker={"color": COLOURS[peer], "size": 9},
            **medians("x", [found for _, found in points]),
        )
        wanted = [row for row in rows if peer in row["targets"]]
        figure.add_scatter(
            x=[row["targets"][peer] for row in wanted],
            y=[row["title"] for row in wanted],
            mode="markers",
            showlegend=False,
            marker={"symbol": "line-ns", "size": 14, "line": {"color": COLOURS[peer], "width": 2}},
        )
        seen += [ratio for _, found in points for ratio in found]
    figure.add_vline(x=1, line={"color": MUTED, "width": 1})
    figure.update_xaxes(type="log", **ticks([1, *seen], lambda x: f"{x:g}"))
    figure.update_yaxes(categoryorder="array", categoryarray=titles)
    return legend_below_title(figure)


def grid(
    title: str, subtitle: str, panels: dict[str, Series], where: str, words: Callable[[float], str] = short
) -> go.Figure:
    """Draw panels side by side, both axes logarithmic: medians, joined, and ranges."""
    figure = make_subplots(
        cols=len(panels),
        subplot_titles=[name.replace(", ", ",<br>") for name in panels],
        horizontal_spacing=0.3 / len(panels),
        figure=new_figure(title, subtitle, height=420),
    )
    seen: set[str] = set()
    for column, series in enumerate(panels.values(), start=1):
        for name, points in series.items():
            figure.add_scatter(
                x=[x for x, _ in points],
                mode="lines+markers",
                name=name,
                legendgroup=name,
                showlegend=name not in seen,
                line={"color": COLOURS[name]},
                **medians("y", [values for _, values in points]),
                row=1,
                col=column,
            )
            seen.add(name)
        places = sorted({x for points in series.values() for x, _ in points})
        measured = [y for points in series.values() for _, values in points for y in values]
        figure.update_xaxes(type="log", title=where, tickvals=places, ticktext=places, col=column)
        figure.update_yaxes(type="log", **ticks(measured, words), col=column)
    return legend_below_title(figure)


def medians(axis: str, rounds: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Return a trace's values on an axis, the medians over the rounds, and bars for the ranges."""
    middle = [statistics.median(values) for values in rounds]
    up = [max(values) - m for values, m in zip(rounds, middle, strict=True)]
    down = [m - min(values) for values, m in zip(rounds, middle, strict=True)]
    bars = {"type": "data", "array": up, "arrayminus": down, "thickness": 1.2, "width": 3}
    return {axis: middle, f"error_{axis}": bars}


def ticks(values: Sequence[float], words: Callable[[float], str]) -> dict[str, Any]:
    """Return ticks at 1, 2, 5, 10 ... around the values; at 1, 10 ... if these are enough."""
    low, high = math.log10(min(values)), math.log10(max(values))
    powers = range(math.floor(low), math.ceil(high) + 1)
    places = [step * 10.0**power for power in powers for step in ((1, 2, 5) if high - low < 2 else (1,))]
    return {"tickvals": places, "ticktext": [words(place) for place in places]}


def legend_below_title(figure: go.Figure) -> go.Figure:
    legend = {"xref": "container", "x": 0.01, "yref": "container", "y": 1 - 64 / figure.layout.height}
    figure.update_layout(margin_t=140, legend=legend | {"yanchor": "top"})
    return figure


def scaling_panels(rows: Sequence[Row]) -> dict[str, Series]:
    """Return a panel a task, or a panel a work where the threads differ."""
    panels: dict[str, Any] = {}
    for row in rows:
        panel = panels.setdefault(row["title"] if row["axis"] == "threads" else row["task"], {})
        for peer in ("neocog", *peers([row])):
            if figure := fastest(row, peer):
                panel.setdefault(peer, []).append((row["where"], figure["seconds"]))
    return panels


def job_panels(rows: Sequence[Row]) -> Iterator[tuple[str, Series]]:
    for name in dict.fromkeys(row["name"] for row in rows):
        series: Series = {}
        for row in rows:
            for figure in row["figures"]:
                if row["name"] == name and figure["cold"]:
                    series.setdefault(figure["kernels"], []).append((row["epochs"], figure["cold"]))
        yield name, series


def data_panel(rows: Sequence[Row]) -> dict[str, Series]:
    measured = [(row["mebibytes"], [peak / MEBIBYTE for peak in row["peak"]]) for row in rows]
    whole = [(row["mebibytes"], [row["mebibytes"]]) for row in rows]
    return {"": {"neocog": measured, "the data set itself": whole}}
