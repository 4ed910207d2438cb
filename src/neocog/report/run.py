"""Write the report of a run directory."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from neocog import figures
from neocog.atomic import atomic_write
from neocog.inspection.predictions import Confusion, LabelScores
from neocog.layers import Conv2D, Layer
from neocog.layers.outputs import WEIGHTED
from neocog.model_file import ModelFileError, blaming
from neocog.report import held_out, numbers
from neocog.report.material import Material
from neocog.report.page import Part, facts, page, paragraph, table, text, untitled
from neocog.representation import counted, sentence
from neocog.runs import outcome
from neocog.settings import train_command
from neocog.training import load_snapshots

MOST_FILTERS = 32
NOTHING_HELD_OUT = "no images are held out: these accuracies say nothing of new images"
LONG = 30  # rows of a table that scrolls by itself


def write_report(
    run: str | Path, path: str | Path | None = None, layers: Iterable[str | type[Layer]] = ()
) -> Path:
    """Write the report of a run directory.

    A part that cannot be made says why in its place; the others are written.

    Parameters
    ----------
    run : path of a run directory
    path : path, optional
        The HTML file; default ``report.html`` in the run directory.
    layers : iterable of Layer classes, or of their names as package.module:Class
        Your own layers that the model holds; see :func:`neocog.load`.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError, ValueError
        If the run is not complete, or its data have changed.
    """
    material = Material.open(run, layers)
    settings = material.directory.settings()
    target = material.directory.path / "report.html" if path is None else Path(path)
    parts: list[tuple[str, Callable[[Material], Sequence[Part]]]] = [
        ("", lambda material: [*_facts(material), *_link(material, target)]),
        ("What was chosen, and why", _chosen),
        ("Learning curves", _curves),
        ("What it was trained on", held_out.sample),
        ("Correct and wrong", held_out.results),
        ("Misclassified images", held_out.mistakes),
        ("What the predictions rest on", held_out.attributions),
        ("Filters", _filters),
        ("One image, layer by layer", held_out.layer_by_layer),
        ("One number explained", numbers.explained),
        ("Gradients", numbers.gradients),
        ("The network", _summary),
        ("Settings", _settings),
        ("Reproduce", _reproduce),
    ]
    sections = [(heading, _made(make, material)) for heading, make in parts]
    title = f"{settings.network} on {settings.source}"
    lead = "A training run of neocog. Every figure is computed from the files in its directory."
    atomic_write(target, page(title, lead, sections))
    return target


def _made(make: Callable[[Material], Sequence[Part]], material: Material) -> Sequence[Part]:
    """Return what stands in a section, or why it is missing."""
    try:
        return make(material)
    except Exception as error:  # whatever it is, it must not cost the other parts
        return [missing(error)]


def missing(error: Exception) -> str:
    """Say that a part is missing, and why."""
    expected = isinstance(error, (ValueError, OSError))
    words = str(error) if expected else f"{type(error).__name__}: {error}"
    return f"<p><b>A part is missing here:</b> {text(words)}</p>"


def _facts(material: Material) -> list[Part]:
    found = material.scores
    several = isinstance(found, LabelScores)
    right = f"of the {material.kind} images {'with all labels right' if several else 'correct'}"
    shown = [(found.accuracy, found.accuracy_interval, right)]
    if isinstance(found, Confusion):
        shown.append((found.balanced_accuracy, found.balanced_accuracy_interval, "balanced accuracy"))
    boxes = [
        (f"{value:.1%}", f"{words} (95 %: {low:.1%} to {high:.1%})") for value, (low, high), words in shown
    ]
    if isinstance(found, LabelScores):
        boxes.append((f"{found.label_accuracy.mean():.1%}", "of all labels right"))
        boxes.append((f"{found.macro_f1:.3f}", "F1, the mean over the labels"))
    boxes.append((f"{material.network.parameter_count:,}", "parameters"))
    try:
        history = material.history
    except (ModelFileError, OSError):  # said under "Learning curves"
        return [facts(boxes)]
    epochs = int(history.last["epoch"])
    boxes.append((str(epochs), counted(epochs, "epoch").split()[1]))
    boxes.append((f"{sum(history['seconds']):.1f} s", "of training steps"))
    lines = outcome(material.config, material.directory.settings(), int(history.last["epoch"]))
    if history.stopped:
        lines.insert(0, f"training stopped early: {history.stopped}")
    if not material.held_out:
        lines.insert(0, NOTHING_HELD_OUT)
    if material.network.class_weight is not None:
        lines.append(WEIGHTED)
    return [facts(boxes), *(paragraph(sentence(line)) for line in lines)]


def _link(material: Material, target: Path) -> list[Part]:
    """Link the living page, if it lies beside the report."""
    run = material.directory.path.resolve()
    if target.resolve().parent != run or not (run / "page.html").exists():
        return []
    return [
        '<p><a href="page.html">The living page</a>: draw for this network, go through its epochs, and ask '
        "any number where it comes from.</p>"
    ]


def _curves(material: Material) -> list[Part]:
    figure = figures.learning_curves(
        material.history,
        classes=None if material.multilabel else len(material.names) or None,
        kept=material.kept_epoch,
        val="validation" if material.config.get("images", {}).get("validation") else "held out",
    )
    return [untitled(figure)]


def _chosen(material: Material) -> list[Part]:
    lines = "".join(f"<li>{text(line)}</li>" for line in material.config.get("chosen") or ())
    return [f"<ul>{lines}</ul>"] if lines else []


def _filters(material: Material) -> list[Part]:
    """Draw the kernels of the first convolution, with a slider through training if there are snapshots."""
    name, layer = material.first_convolution
    if layer is None:
        return []
    weights = layer.params["weight"]
    shown = f", the first {MOST_FILTERS} of {len(weights)}" if len(weights) > MOST_FILTERS else ""
    words = f"The kernels of {name}, the first convolution, after training{shown}."
    try:
        kernels = _snapshots(material, name, layer)
    except (ModelFileError, OSError) as error:
        return [paragraph(words), untitled(figures.filters(weights[:MOST_FILTERS])), missing(error)]
    if len(kernels) < 2:
        return [paragraph(words), untitled(figures.filters(weights[:MOST_FILTERS]))]
    words = words.replace("after training", "as they changed in training: move the slider")
    return [paragraph(words), untitled(figures.filter_evolution(kernels))]


def _snapshots(material: Material, name: str, layer: Conv2D) -> dict[int, object]:
    path = material.directory.snapshots
    if not path.exists():
        return {}
    weight = f"{name}.weight" if name else "weight"
    with blaming(path, "set of snapshots of this network"):
        found = {epoch: arrays[weight] for epoch, arrays in sorted(load_snapshots(path).items())}
        if any(array.shape != layer.params["weight"].shape for array in found.values()):
            raise ValueError(f"{weight} has another shape")
    return {epoch: array[:MOST_FILTERS].astype("float32") for epoch, array in found.items()}


def _summary(material: Material) -> list[Part]:
    summary = material.summary
    rows = [
        [
            row.name,
            row.layer,
            " × ".join(map(str, row.output_shape)),
            f"{row.parameters:,}" if row.parameters else "",
            f"{row.flops:,}" if row.flops else "",
            " × ".join(map(str, row.receptive_field or ())),
        ]
        for row in summary.rows
    ]
    rows.append(["total", "", "", f"{summary.parameters:,}", f"{summary.flops:,}", ""])
    header = ["name", "layer", "output shape", "parameters", "FLOPs", "receptive field"]
    return [table(header, rows, lambda k: k > 2, high=len(rows) > LONG)]


def _settings(material: Material) -> list[Part]:
    config = material.config
    rows = [
        [name.replace("_", " "), value] for name, value in config["settings"].items() if value is not None
    ]
    rows += [[f"{part} images", count] for part, count in config.get("images", {}).items() if count]
    rows += [[name, value] for name, value in config["versions"].items()]
    half = (len(rows) + 1) // 2  # two tables side by side where there is room
    tables = "".join(table([], part) for part in (rows[:half], rows[half:]))
    return [f'<div class="pair">{tables}</div>']


def _reproduce(material: Material) -> list[Part]:
    settings = dict(material.config["settings"])
    out = f"{material.directory.path.resolve().name}-again"
    source = settings.pop("source")
    commands = f"{train_command(source, settings | {'out': out})}\nneocog evaluate {shlex.quote(out)}"
    words = (
        "The same seed gives the same weights on the same machine, and the same figures to many digits on "
        "any other."
    )
    return [paragraph(words), f"<pre>{text(commands)}</pre>"]
