"""Print how well a model does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from neocog.cli.common import escaped, say
from neocog.inspection.predictions import Confusion, LabelScores

MOST_TAKEN = 3
"""Wrong classes that are named where the whole matrix does not fit the terminal."""


def print_results(found: Confusion | LabelScores, title: str) -> None:
    """Print recall, precision and the confusion matrix, and both accuracies with their intervals of 95 %.

    Of several labels an image, the numbers of each label, and how often all are right.
    """
    say(f"[italic]{title}[/]")
    console = Console()
    if isinstance(found, LabelScores):
        console.print(_label_table(found))
        low, high = found.accuracy_interval
        say(
            f"all labels right for [bold]{found.accuracy:.3f}[/] of the images ({low:.3f} to {high:.3f}; in "
            f"brackets an interval of 95 %), mean F1 [bold]{found.macro_f1:.3f}[/]"
        )
        return
    table = _results_table(found, whole=True)
    if Measurement.get(console, console.options.update(width=10_000), table).maximum > console.width:
        table = _results_table(found, whole=False)
    console.print(table)
    parts = [("accuracy", found.accuracy, found.accuracy_interval)]
    if np.count_nonzero(found.matrix.sum(axis=1)) > 1:
        parts.append(("balanced accuracy", found.balanced_accuracy, found.balanced_accuracy_interval))
    words = [f"{name} [bold]{value:.3f}[/] ({low:.3f} to {high:.3f})" for name, value, (low, high) in parts]
    say(f"{', '.join(words)}; in brackets intervals of 95 %")


def _label_table(found: LabelScores) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("label")
    for column in ("images", "accuracy", "recall", "precision", "F1"):
        table.add_column(column, justify="right", no_wrap=True)
    for k, name in enumerate(found.class_names):
        scores = (found.label_accuracy[k], found.recall[k], found.precision[k], found.f1[k])
        table.add_row(escaped(name), str(found.having[k]), *map(_share, scores))
    return table


def results_json(found: Confusion | LabelScores) -> dict[str, Any]:
    """Return the same as JSON data."""
    if isinstance(found, LabelScores):
        labels = {
            name: {
                "images": int(found.having[k]),
                "accuracy": float(found.label_accuracy[k]),
                "recall": float(found.recall[k]),
                "precision": float(found.precision[k]),
                "f1": float(found.f1[k]),
            }
            for k, name in enumerate(found.class_names)
        }
        return found.to_dict() | {"labels": labels}
    rows = zip(found.class_names, found.matrix.sum(axis=1), found.per_class, found.precision, strict=True)
    classes = {
        name: {"images": int(images), "recall": float(recall), "precision": float(precision)}
        for name, images, recall, precision in rows
    }
    return found.to_dict() | {"classes": classes}


def _results_table(found: Confusion, whole: bool) -> Table:
    """Return a table with the whole confusion matrix, or with what each class is most often taken for."""
    matrix, names = found.matrix, found.class_names
    shown = np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("class")
    for column in ("images", "recall", "precision"):
        table.add_column(column, justify="right", no_wrap=True)
    for k in shown if whole else []:
        table.add_column(escaped(_short(names[k])), justify="right", no_wrap=True)
    if not whole:
        table.add_column("taken for (how many)")
    for k in shown:
        row = [
            escaped(names[k]),
            str(matrix[k].sum()),
            _share(found.per_class[k]),
            _share(found.precision[k]),
        ]
        if whole:
            row += [str(matrix[k, j]) if matrix[k, j] else "·" for j in shown]
        else:
            wrong = np.where(np.arange(len(names)) == k, 0, matrix[k])
            most = [j for j in np.argsort(-wrong, kind="stable")[:MOST_TAKEN] if wrong[j]]
            row.append(", ".join(f"{escaped(names[j])} ({wrong[j]})" for j in most))
        table.add_row(*row)
    if whole:
        table.caption, table.caption_justify = "on the right: how many were taken for which class", "right"
    return table


def _short(name: str, most: int = 9) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _share(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


def print_mistakes(mistakes: Sequence[dict[str, Any]], count: int, images: int) -> None:
    """Print the images that are classified wrongly, one a line, of all ``count`` such or some."""
    if not count:
        say(f"all {images} images are classified correctly")
        return
    first = "the most wrong labels" if any("wrong" in row for row in mistakes) else "the highest probability"
    say(f"{count} of {images} images are classified wrongly, those of {first} first:")
    for row in mistakes:
        if "wrong" in row:
            true, predicted = (escaped(row[key] or "no label") for key in ("true", "predicted"))
            say(f"  {escaped(row['image'])}: {true}, taken for {predicted}")
            continue
        say(
            f"  {escaped(row['image'])}: {escaped(row['true'])}, taken for {escaped(row['predicted'])} "
            f"({row['probability']:.1%})"
        )
