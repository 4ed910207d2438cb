"""Draw the figures of a study from its data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go

from neocog.experiments import Result
from neocog.experiments.study_result import measure_title
from neocog.figures.bars import parameter_bars, probability_bars
from neocog.figures.confusion import confusion_matrix
from neocog.figures.feature_maps import feature_maps
from neocog.figures.images import image_gallery
from neocog.figures.kernels import filter_evolution, filter_grid, filters
from neocog.figures.spread_curves import spread_curves
from neocog.figures.style import colour, new_figure
from neocog.figures.training import compare_curves, learning_curves

WIDTHS = {"filters": ("filters", "CNN"), "hidden": ("hidden units", "MLP")}
"""Columns that are widths, against which the accuracy is drawn: their names, and whose width they are."""
MAPS = {"conv": "before ReLU", "relu": "after ReLU", "pool": "after pooling"}


def study(result: Result) -> list[go.Figure]:
    """Draw everything in the data of a study: curves, parameters, filters, maps, confusions, mistakes.

    What several seeds found comes first; the other figures are of the textbook's seed.

    Parameters
    ----------
    result : Result
        See :func:`neocog.experiments.run`.

    Returns
    -------
    list of Figure
        Empty for a study of numbers alone.

    Raises
    ------
    TypeError
        If it is no result of a study.
    """
    if not isinstance(result, Result):
        raise TypeError(f"result must be the Result of a study, got {result!r}.")
    return [
        figure
        for part in (_over_seeds, _curves, _images, _filters, _maps, _answers)
        for figure in part(result, result.data)
    ]


def _over_seeds(result: Result, data: dict[str, Any]) -> Iterator[go.Figure]:
    """Draw what all seeds found: accuracy against width, or the measure of every network."""
    if result.seeds == 1:
        return
    column = next((name for name in WIDTHS if result.varies(name)), None)
    if column is None:
        yield from _measures(result)
        return
    x_title, network = WIDTHS[column]
    curves = {network: result.values("val_accuracy", by=column)}
    if "mlp_accuracy" in result.columns:
        curves["MLP"] = result.values("mlp_accuracy", by=column)
        x_title += " or hidden units"
    y_title = measure_title("val_accuracy")
    yield spread_curves(curves, x_title=x_title, y_title=y_title, title="Accuracy against width", classes=3)


def _measures(result: Result) -> Iterator[go.Figure]:
    """Draw the measure of every network, unless it is the same in all runs: each run, and their mean."""
    measure, label = result.study.measure, result.columns[0]
    names = [row[label] for row in result.rows]
    runs = [
        [t[k][measure] for t in result.repetitions if t[k].get(measure) is not None]
        for k in range(len(names))
    ]
    if label != "network" or len({value for values in runs for value in values}) < 2:
        return
    words = "first epoch at 100 %" if measure == "first_at_100" else measure_title(measure)
    share = measure.endswith("accuracy")
    never = result.seeds - min(map(len, runs))
    subtitle = f"{result.seeds} runs (points) and their mean" + (
        f"; {never} never get there" if never else ""
    )
    figure = new_figure("All runs", subtitle, height=150 + 42 * len(names))
    for k, (name, values) in enumerate(zip(names, runs, strict=True)):
        every = {"size": 7, "color": colour(k), "opacity": 0.45}
        mean = {"size": 20, "color": colour(k), "symbol": "line-ns", "line": {"width": 3, "color": colour(k)}}
        form = ".1%" if share else ".4g"
        for x, marker, what in (
            (values, every, "a run"),
            ([float(np.mean(values))] if values else [], mean, "mean"),
        ):
            hover = f"{what} %{{x:{form}}}<extra>{name}</extra>"
            points = {"x": x, "y": [name] * len(x), "mode": "markers", "marker": marker}
            figure.add_trace(go.Scatter(**points, hovertemplate=hover, showlegend=False))
    figure.update_layout(margin={"t": 76, "b": 48})
    figure.update_yaxes(autorange="reversed", automargin=True)
    figure.update_xaxes(title=words, tickformat=".0%" if share else None)
    if measure == "first_at_100":
        figure.update_xaxes(rangemode="tozero")
    yield figure


def _curves(result: Result, data: dict[str, Any]) -> Iterator[go.Figure]:
    """Draw histories, panel by panel, and the numbers of parameters."""
    for words, histories in data.get("panels", {"": data.get("histories", {})}).items():
        if histories:
            yield compare_curves(histories, "val_accuracy", title=f"Accuracy, {words}" if words else "")
            yield compare_curves(histories, "val_loss", title=f"Loss, {words}" if words else "")
    counts = {row["network"]: row["parameters"] for row in result.rows if row.get("parameters")}
    if "histories" in data and len(set(counts.values())) > 1:
        yield parameter_bars(counts)
    for name, history in data.get("learning", {"": data["history"]} if "history" in data else {}).items():
        yield learning_curves(history, title=f"Learning curves of {name}" if name else "Learning curves")


def _images(result: Result, data: dict[str, Any]) -> Iterator[go.Figure]:
    """Draw the image that went through the network."""
    if "input" in data:
        name = data["class_names"][data["label"]]
        yield image_gallery(data["input"], [0], [name], title="The image")


def _filters(result: Result, data: dict[str, Any]) -> Iterator[go.Figure]:
    """Draw how filters changed, and what they became."""
    for key in sorted(key for key in data if key.startswith("snapshots")):
        patterns = key.removeprefix("snapshots").strip("_").upper()
        yield filter_grid(_thinned(data[key]), title=f"Filters over time, patterns {patterns}")
        yield filter_evolution(data[key], title=f"Weights by epoch, patterns {patterns}")
    for name, weights in data.get("kernels", {}).items():
        names = data.get("kernel_names", {}).get(name)
        yield filters(weights, names, title=f"Learned filters, {name}")


def _maps(result: Result, data: dict[str, Any]) -> Iterator[go.Figure]:
    """Draw the maps of one image, layer by layer, and the probabilities they lead to."""
    for name, values in data.get("maps", data if "conv1" in data else {}).items():
        words = MAPS.get(name.rstrip("0123456789"))
        if words and isinstance(values, np.ndarray) and values.ndim == 4:
            yield feature_maps(values[0], names=(words, ""), title=f"Maps of {name}")
    if "softmax" in data:
        yield probability_bars(data["softmax"][0], data["class_names"], data["label"])


def _answers(result: Result, data: dict[str, Any]) -> Iterator[go.Figure]:
    """Draw what the networks answered."""
    matrices = data.get("confusion", {})
    for name, matrix in (matrices if isinstance(matrices, dict) else {"": matrices}).items():
        title = f"Confusion, {name}" if name else "Confusion matrix"
        names = data.get("classes")
        yield confusion_matrix(matrix, names and names[: len(matrix)], title=title)
    if "misclassified" in data:
        wrong = data["misclassified"]
        yield image_gallery(wrong["images"], wrong["true"], predicted=wrong["predicted"])


def _thinned(snapshots: dict[int, Any], most: int = 7) -> dict[int, Any]:
    """Keep at most seven snapshots, the first and the last among them."""
    epochs = sorted(snapshots)
    chosen = {epochs[round(k)] for k in np.linspace(0, len(epochs) - 1, min(most, len(epochs)))}
    return {epoch: snapshots[epoch] for epoch in sorted(chosen)}
