"""Draw the figures of a study from its data."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from neocog.experiments import Result
from neocog.figures.bars import parameter_bars
from neocog.figures.confusion import confusion_matrix
from neocog.figures.feature_maps import feature_maps
from neocog.figures.images import image_gallery
from neocog.figures.kernels import filter_evolution
from neocog.figures.training import compare_curves, learning_curves


def study(result: Result) -> list[go.Figure]:
    """Draw everything in the data of a study: curves, parameters, filters, maps, confusions, mistakes.

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
    data, drawn = result.data, []
    if "histories" in data:
        drawn.append(compare_curves(data["histories"], "val_accuracy", title="Validation accuracy"))
        drawn.append(compare_curves(data["histories"], "val_loss", title="Validation loss"))
        counts = {row["network"]: row["parameters"] for row in result.rows if row.get("parameters")}
        if len(set(counts.values())) > 1:
            drawn.append(parameter_bars(counts))
    if "history" in data:
        drawn.append(learning_curves(data["history"]))
    for key in sorted(key for key in data if key.startswith("snapshots")):
        patterns = key.removeprefix("snapshots").strip("_").upper()
        drawn.append(filter_evolution(data[key], title=f"How the filters change, patterns {patterns}"))
    maps = data.get("maps", data if "conv1" in data else {})
    for name, values in maps.items():
        if isinstance(values, np.ndarray) and values.ndim == 4 and name != "input":
            drawn.append(feature_maps(values[0], title=f"Maps of {name}"))
    matrices = data.get("confusion", {})
    for name, matrix in (matrices if isinstance(matrices, dict) else {"": matrices}).items():
        title = f"Confusion matrix of {name}" if name else "Confusion matrix"
        names = data.get("classes")
        drawn.append(confusion_matrix(matrix, names and names[: len(matrix)], title=title))
    if "misclassified" in data:
        wrong = data["misclassified"]
        drawn.append(image_gallery(wrong["images"], wrong["true"], predicted=wrong["predicted"]))
    return drawn
