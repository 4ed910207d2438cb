"""Write self-contained HTML pages of a run or a study, which open offline and can be printed."""

from __future__ import annotations

import html
import json
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from neocog import figures
from neocog.atomic import atomic_write
from neocog.experiments import Result
from neocog.gradcheck import check_gradients
from neocog.inspection import Inquiry, confusion, misclassified, trace
from neocog.layers import Container, Conv2D, Layer
from neocog.model_file import ModelFileError, blaming
from neocog.runs import RunDirectory, open_model
from neocog.settings import train_command
from neocog.training import History, load_snapshots

MOST_MISTAKES = 36
CHECKED_ENTRIES = 20
_DRAWN = "The figures are of the textbook's seed, unless they say how many runs they show."

_STYLE = """
:root { color-scheme: light; --ink: #1f2933; --muted: #5c6773; --line: #dde2e6; --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem; color: var(--ink); background: #fff;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; padding-top: .8rem; border-top: 1px solid var(--line); }
p { margin: .5rem 0; max-width: 44rem; }
.lead { color: var(--muted); margin-bottom: 1.2rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .8rem;
  margin: 1rem 0; }
.fact { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.fact b { display: block; font-size: 1.45rem; line-height: 1.2; }
.fact span { color: var(--muted); font-size: .85rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; margin: .6rem 0; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { color: var(--muted); font-weight: 600; }
td.n, th.n { text-align: right; }
pre { background: #f5f7f8; border-radius: .5rem; padding: .8rem 1rem; overflow-x: auto; font-size: .85rem; }
.good { color: #00704f; font-weight: 600; } .bad { color: #b3401b; font-weight: 600; }
.figure { margin: .6rem 0; }
@media print { body { max-width: none; padding: 0; } h2 { break-after: avoid; }
  .figure, table { break-inside: avoid; } }
"""


def write_report(
    run: str | Path, path: str | Path | None = None, layers: Iterable[str | type[Layer]] = ()
) -> Path:
    """Write the report of a run directory.

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
    directory = RunDirectory(run)
    network = open_model(directory.path, layers)
    settings = directory.settings()
    train, (images, labels) = directory.open_data()
    names = list(network.class_names or ())

    sections = [
        _if_sound(_training, directory, network, len(names)),
        _settings(directory),
        _summary(network),
        _sample(directory, train, names),
        _filters(network),
        _if_sound(_evolution, directory, network),
        _results(network, images, labels, names),
        _trace(network, images, labels, names),
        _explained(network, images),
        _gradients(network, images, labels),
        _reproduce(directory),
    ]
    title = f"{settings.network} on {settings.source}"
    lead = "A training run of neocog. Every figure is computed from the files in its directory."
    target = directory.path / "report.html" if path is None else Path(path)
    atomic_write(target, _page(title, lead, sections))
    return target


def write_study(result: Result, path: str | Path) -> Path:
    """Write a study as a page: its table, finding and figures, and the answer with its reasons.

    Parameters
    ----------
    result : Result
        See :func:`neocog.experiments.run`.
    path : path of the HTML file

    Returns
    -------
    Path

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    ranges = None if len(result.columns) <= 5 else {result.study.measure}  # a wide table scrolls
    columns = result.shown_columns
    rows = result.cells(columns, ranges)
    drawn = figures.study(result)
    header = [column.replace("val_", "validation ").replace("_", " ") for column in columns]
    sections = [
        f"<p><b>{_text(result.over_seeds or result.finding)}</b></p>",
        f"<p>{_text(result.note)}</p>" if result.note else "",
        _table(header, rows, lambda k: k > 0),
        f"<p>{_text(result.textbook)}</p>" if result.over_seeds else "",
        f"<p>{_DRAWN}</p>" if result.seeds > 1 and drawn else "",
        *(_figure(figure) for figure in drawn),
        f"<h2>Answer</h2><p>{_text(result.answer)} {_text(result.explanation)}</p>",
        f"<h2>Reproduce</h2><pre>neocog experiment {_text(result.name)} --seeds {result.seeds}</pre>",
    ]
    target = Path(path)
    atomic_write(target, _page(result.question, f"The study {result.name}.", sections))
    return target


def _page(title: str, lead: str, sections: list[str]) -> str:
    """Assemble a page, with Plotly's script embedded once."""
    from plotly.offline import get_plotlyjs

    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style><script>{get_plotlyjs()}</script></head><body>\n"
        f'<h1>{_text(title)}</h1><p class="lead">{_text(lead)}</p>\n'
        + "\n".join(filter(None, sections))
        + "\n</body></html>\n"
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _text(value: Any) -> str:
    return html.escape(str(value))


def _figure(figure: Any) -> str:
    return f'<div class="figure">{figures.to_html(figure, script=False)}</div>'


def _table(header: list[str], rows: list[list[Any]], numeric: Callable[[int], bool]) -> str:
    def cells(tag: str, row: list[Any]) -> str:
        marks = [' class="n"' if numeric(k) else "" for k in range(len(row))]
        return "".join(f"<{tag}{mark}>{_text(v)}</{tag}>" for mark, v in zip(marks, row, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    head = f"<thead><tr>{cells('th', header)}</tr></thead>" if header else ""
    return f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>'


def _if_sound(section: Callable[..., str], *arguments: Any) -> str:
    """Return a section, or what is wrong with the file that it is made from."""
    try:
        return section(*arguments)
    except (ModelFileError, OSError) as error:
        return f"<p><b>A part is missing here:</b> {_text(error)}</p>"


def _training(directory: RunDirectory, network: Container, classes: int) -> str:
    history = History.from_json(directory.history_json)
    if not len(history):
        raise ModelFileError(f"{directory.history_json} is not a history: it has no rows.")
    return _facts(network, history) + _curves(history, classes)


def _facts(network: Container, history: History) -> str:
    last = history.last
    facts = [
        (f"{last['val_accuracy']:.1%}", "of the held-out images classified correctly"),
        (f"{network.parameter_count:,}", "parameters"),
        (f"{last['epoch']:.0f}", "epochs"),
        (f"{sum(history['seconds']):.1f} s", "of training steps"),
    ]
    boxes = "".join(f'<div class="fact"><b>{_text(a)}</b><span>{_text(b)}</span></div>' for a, b in facts)
    stopped = f"<p>Training stopped early: {_text(history.stopped)}.</p>" if history.stopped else ""
    return f'<div class="facts">{boxes}</div>{stopped}'


def _curves(history: History, classes: int) -> str:
    figure = figures.learning_curves(history, classes=classes or None)
    return f"<h2>Learning curves</h2>{_figure(figure)}"


def _settings(directory: RunDirectory) -> str:
    config = json.loads(directory.config.read_text(encoding="utf-8"))
    rows = [
        [name.replace("_", " "), value] for name, value in config["settings"].items() if value is not None
    ]
    rows += [["training images", config["training_images"]], ["held-out images", config["validation_images"]]]
    rows += [[name, value] for name, value in config["versions"].items()]
    half = (len(rows) + 1) // 2  # two tables side by side where there is room
    tables = "".join(_table([], part, lambda k: False) for part in (rows[:half], rows[half:]))
    return f'<h2>Settings</h2><div class="facts">{tables}</div>'


def _summary(network: Container) -> str:
    summary = network.summary(show=False)
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
    return f"<h2>The network</h2>{_table(header, rows, lambda k: k > 2)}"


def _sample(directory: RunDirectory, train: tuple[Any, Any], names: list[str]) -> str:
    config = json.loads(directory.config.read_text(encoding="utf-8"))
    chosen = np.array(config["sample"], int)
    figure = figures.image_gallery(train[0][chosen], train[1][chosen], names)
    return f"<h2>What it was trained on</h2><p>{len(chosen)} of the training images.</p>{_figure(figure)}"


def _filters(network: Container) -> str:
    name, layer = _first_convolution(network)
    if layer is None:
        return ""
    text = f"<h2>Filters</h2><p>The kernels of {_text(name)}, the first convolution, after training.</p>"
    return text + _figure(figures.filters(layer.params["weight"]))


def _first_convolution(network: Container) -> tuple[str, Conv2D | None]:
    return next(((n, layer) for n, layer in network.leaves() if isinstance(layer, Conv2D)), ("", None))


def _evolution(directory: RunDirectory, network: Container) -> str:
    name, layer = _first_convolution(network)
    if layer is None or not directory.snapshots.exists():
        return ""
    weight = f"{name}.weight" if name else "weight"
    with blaming(directory.snapshots, "set of snapshots of this network"):
        snapshots = load_snapshots(directory.snapshots)
        kernels = {epoch: arrays[weight].astype(float) for epoch, arrays in sorted(snapshots.items())}
        if any(array.shape != layer.params["weight"].shape for array in kernels.values()):
            raise ValueError(f"{weight} has another shape")
    if len(kernels) < 2:
        return ""
    return (
        f"<p>How they changed in training: move the slider.</p>{_figure(figures.filter_evolution(kernels))}"
    )


def _results(network: Container, images: Any, labels: np.ndarray, names: list[str]) -> str:
    found = confusion(network, images, labels)
    text = f"<h2>Correct and wrong</h2>{_figure(figures.confusion_matrix(found.matrix, names))}"
    wrong = misclassified(network, images, labels)
    if not len(wrong):
        return text + f"<p>All {len(labels)} held-out images are classified correctly.</p>"
    shown = "" if len(wrong) <= MOST_MISTAKES else f" The {MOST_MISTAKES} with the highest probability:"
    text += f"<p>{len(wrong)} of {len(labels)} held-out images are misclassified.{shown}</p>"
    few = slice(MOST_MISTAKES)
    gallery = figures.image_gallery(
        images[wrong.index[few]], wrong.true[few], names, wrong.predicted[few], wrong.probability[few]
    )
    return text + _figure(gallery)


def _trace(network: Container, images: Any, labels: np.ndarray, names: list[str]) -> str:
    """Trace the correct and the wrong prediction of the highest probability through the network."""
    probabilities = network.predict_proba(images)
    predicted = network.ranking(probabilities)[:, 0]
    sure, right = probabilities[np.arange(len(labels)), predicted], predicted == labels
    text = "<h2>One image, layer by layer</h2>"
    for verdict, chosen in (("correctly", right), ("wrongly", ~right)):
        if chosen.any():
            index = int(np.flatnonzero(chosen)[sure[chosen].argmax()])
            seen = trace(network, images[index : index + 1])
            text += f"<p>Image {index}, {_text(names[int(labels[index])])}: classified {verdict}.</p>"
            text += _figure(figures.trace(seen, class_names=names))
    return text


def _explained(network: Container, images: Any) -> str:
    """Explain the logit of the predicted class of image 0, and the first convolution's largest number."""
    inquiry = Inquiry(trace(network.astype("float64"), np.asarray(images[:1], float)))
    answer = inquiry.ask("softmax")
    text = (
        "<h2>One number explained</h2><p>Every number of the network can be explained. This is the sum "
        "behind the predicted class of image 0.</p>"
    )
    text += _figure(figures.explanation(answer.explain()))
    first = next((name for name, layer in network.leaves() if isinstance(layer, Conv2D)), None)
    if first is not None:
        text += f"<p>And the largest number of {_text(first)}, as a sum over pixels:</p>"
        text += _figure(figures.explanation(inquiry.ask(first)))
    return text


def _gradients(network: Container, images: Any, labels: np.ndarray) -> str:
    x = np.asarray(images[:4], float)
    classes = network.output_shape(x.shape)[1]
    # At the true labels the gradients of a trained network are almost zero; wrong labels give some to check.
    t = (labels[:4] + 1) % classes
    report = check_gradients(network.astype("float64"), x, t, max_entries=CHECKED_ENTRIES)
    rows = [[a.name, a.checked, f"{a.relative_error:.1e}"] for a in report.arrays]
    verdict = '<span class="good">passed</span>' if report.passed else '<span class="bad">failed</span>'
    return (
        f"<h2>Gradients</h2><p>Backward against a complex step in float64, {CHECKED_ENTRIES} entries of each "
        f"array on four images with wrong labels: {verdict}, the worst relative error is "
        f"{report.max_relative_error:.1e}.</p>"
        + _table(["array", "entries", "relative error"], rows, lambda k: k > 0)
    )


def _reproduce(directory: RunDirectory) -> str:
    settings = json.loads(directory.config.read_text(encoding="utf-8"))["settings"]
    out = f"{directory.path.resolve().name}-again"
    source = settings.pop("source")
    commands = f"{train_command(source, settings | {'out': out})}\nneocog evaluate {shlex.quote(out)}"
    return (
        "<h2>Reproduce</h2><p>The same seed gives the same weights on the same machine, and the same figures "
        f"to many digits on any other.</p><pre>{_text(commands)}</pre>"
    )
