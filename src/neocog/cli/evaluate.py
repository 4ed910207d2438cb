"""Define the commands that measure a model and that classify images by it."""

from __future__ import annotations

import csv
import glob
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from neocog import runs
from neocog.atomic import atomic_write
from neocog.budgets import limit
from neocog.cli.answers import Answers, joined
from neocog.cli.common import (
    Json,
    Kernels,
    Layers,
    Model,
    Output,
    app,
    escaped,
    picture_shape,
    report_errors,
    say,
    to_json,
    warn,
)
from neocog.cli.results import print_mistakes, print_results, results_json
from neocog.data import LazyImages
from neocog.data.folder import IMAGE_SUFFIXES
from neocog.data.identity import count_common, image_name
from neocog.data.layout import listed, pictures_in
from neocog.data.sources import open_source
from neocog.inspection.predictions import Confusion, LabelScores, count_pairs
from neocog.kernels import use_kernels
from neocog.layers import Container, Sigmoid, Softmax
from neocog.layers.outputs import INDEPENDENT, WEIGHTED, as_logits, before_last, count_outputs
from neocog.losses.outputs import loss_of_kind
from neocog.model_file import blaming
from neocog.representation import printable
from neocog.serialization import check_values

BATCH = 64

Csv = Annotated[
    Path | None,
    typer.Option(
        "--csv", help="Also write a table: a row an image, with each class's probability, or the values."
    ),
]


SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out images that cannot be read; they are listed.")
]


@dataclass(frozen=True)
class Measured:
    """The images to measure a model on, with labels that are indices of the model's classes."""

    images: Any
    labels: np.ndarray
    described: str
    origin: str
    kind: str = "image"


@app.command("evaluate")
@report_errors
def evaluate_command(
    model: Model,
    source: Annotated[str, typer.Argument(help="Data; default: what the run was trained on.")] = "",
    mistakes: Annotated[
        bool, typer.Option("--mistakes", help="List the images that are classified wrongly.")
    ] = False,
    table: Csv = None,
    skip_bad: SkipBad = False,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--images", help="The folder of the files that a table names; default: where the table is."
        ),
    ] = None,
    output: Output = "",
    layers: Layers = None,
    kernels: Kernels = "auto",
    as_json: Json = False,
) -> None:
    """Measure a model on the images that its run held out, or on a source.

    A source with a held-out part of its own (as digits, or MNIST's files) is measured on that part, any other
    on all images. It may hold only some of the model's classes.

    Example: [bold]neocog evaluate runs/digits --mistakes[/]

    Example: [bold]neocog evaluate model.neocog photos --csv photos.csv[/]
    """
    network = runs.open_model(model, layers or (), output)
    if folder is not None and not source:
        raise ValueError(f"--images is for a SOURCE that is a table, got {folder} without one.")
    reading = {"skip_bad": True} if skip_bad else {}
    measured = _measured(model, network, source, reading | {"images": folder})
    if network.input_shape is None:  # else the file's reader has measured it
        with blaming(model):
            check_values(network, measured.images.shape[1:])
    with use_kernels(kernels):
        made = before_last(network.output_kind) != network.output_kind  # by the last layer
        bare = network.without_last(Softmax, Sigmoid) if made else network  # whose loss is exact
        outputs = bare.predict_logits(measured.images).astype(np.float64)
    kind, labels = bare.output_kind, measured.labels
    if kind == "values":
        raise ValueError(
            f"{model}: its outputs are values, and no source has values to compare them with; if they are "
            "something else, say what by --output."
        )
    answers = Answers(bare, outputs)
    if answers.several and labels.ndim == 1:  # each image happens to have one label
        labels = np.eye(len(answers.names), dtype=int)[labels]
    if (labels.ndim == 2) != answers.several or (answers.several and labels.shape != answers.numbers.shape):
        raise ValueError(
            f"{model} must have an independent output for each label to be measured on images with several, "
            f"its {outputs.shape[1]} outputs are {kind}; the labels are {labels.shape}."
        )
    names = answers.names
    found: Confusion | LabelScores
    if answers.several:
        predicted = answers.applying
        found = LabelScores.of(labels, predicted, names)
        true = [joined([names[k] for k in np.flatnonzero(row)]) for row in labels]
        mistaken = (labels != predicted).sum(axis=1)
    else:
        found = Confusion(count_pairs(labels, answers.order[:, 0], len(names)), names)
        true = [names[label] for label in labels]
        mistaken = labels != answers.order[:, 0]
    rows = [
        {"image": image_name(measured.images, k, measured.kind), "true": label, **answers.cells(k)}
        for k, label in enumerate(true)
    ]
    if table is not None:
        _write_csv(table, rows, answers.numbers, names)
    z = as_logits(kind, outputs)
    if network.class_weight is not None:  # as predict_proba does
        weight = np.log(network.class_weight)
        z = z - (weight if z.shape[1] > 1 else weight[1] - weight[0])
    loss = float(loss_of_kind(kind)(z, labels)[0])
    # The surest mistakes come first; of several labels, the images with the most wrong ones.
    worst = np.argsort(-np.where(answers.several, mistaken, answers.numbers.max(axis=1)), kind="stable")
    wrong = [rows[k] | ({"wrong": int(mistaken[k])} if answers.several else {}) for k in worst if mistaken[k]]
    if as_json:
        listed = {"mistakes": wrong} if mistakes else {}
        about = {"source": measured.described, "origin": measured.origin, "loss": loss}
        print(to_json(about | {"output": network.output_kind} | results_json(found) | listed))
        return
    print_results(found, f"{len(rows)} images of {escaped(measured.described)}: {escaped(measured.origin)}")
    say(f"loss {loss:.4f}")
    say(Answers(network, outputs[:0]).meaning)
    _say_class_weights(network)
    if mistakes:
        print_mistakes(wrong, len(wrong), len(rows))
    if table is not None:
        say(f"table: [bold]{escaped(table)}[/]")


def _measured(model: Path, network: Container, source: str, how: dict[str, Any]) -> Measured:
    run = runs.RunDirectory(model) if model.is_dir() else None
    if run is not None and (not source or (run.is_trained_on(source) and how["images"] is None)):
        # With another split, training images would be among the held-out ones.
        _, (images, labels) = run.open_data()
        origin = "the run held them out of training"
        source = run.settings().source
        return Measured(images, labels, source, origin, "held-out image")  # by their own numbers
    if not source:
        raise ValueError("SOURCE is missing: a model file does not say what it was trained on.")
    several = network.output_kind in INDEPENDENT and count_outputs(network, network.input_shape) != 1
    reading = {"several_labels": several} | ({} if run is None else run.settings().reading)
    # Which images of a file without a held-out part the model has seen is unknown: measure on all.
    data = open_source(
        source,
        image_shape=network.input_shape,
        preprocessing=network.preprocessing,
        class_names=network.class_names,
        validation_fraction=0,
        **reading | how,
    )
    images, labels = data.validation or data.train
    labels = _as_model_classes(data.class_names, network, labels, source, model)
    return Measured(images, labels, source, _origin(run, images))


def _as_model_classes(
    names: Sequence[str], network: Container, labels: np.ndarray, source: str, model: Path
) -> np.ndarray:
    """Return labels as indices of the model's classes, which are found by their names."""
    known = list(network.class_names or names)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"{model}: the model's classes are {known}; {source} has others: {unknown}. Rename the classes, "
            "or leave these out."
        )
    indices = np.array([known.index(name) for name in names])
    if labels.ndim == 1:
        found: np.ndarray = indices[labels]
        return found
    of_model = np.zeros((len(labels), len(known)), labels.dtype)
    of_model[:, indices] = labels
    return of_model


def _origin(run: runs.RunDirectory | None, images: Any) -> str:
    """Say whether the model was trained on some images."""
    if run is None:
        return "whether the model was trained on them is not known"
    try:
        (trained, _), _ = run.open_data()
    except (OSError, ValueError):
        return "whether the run trained on them is not known, for its own images have changed"
    if tuple(trained.shape[1:]) != tuple(images.shape[1:]):
        return "the run trained on images of another shape"
    seen = count_common(images, trained)
    known = ", for which these figures are too good" if seen else ""
    return f"the run trained on {seen or 'none'} of them{known}"


def _say_class_weights(network: Container) -> None:
    if network.class_weight is not None:
        say(WEIGHTED)


def _write_csv(
    path: Path, rows: Iterable[dict[str, Any]], probabilities: Iterable[np.ndarray], names: Sequence[str]
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for number, (row, shares) in enumerate(zip(rows, probabilities, strict=True)):
        if number == 0:
            writer.writerow([*row, *names])
        cells = [printable(value) if isinstance(value, str) else value for value in row.values()]
        writer.writerow([*cells, *(f"{share:.6g}" for share in shares)])
    atomic_write(path, text.getvalue())


@app.command()
@report_errors
def predict(
    model: Model,
    images: Annotated[
        list[str], typer.Argument(help="Image files of any size and colour, folders of them, or patterns.")
    ],
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 3,
    invert: Annotated[
        bool,
        typer.Option(
            "--invert", help="Swap dark and bright, as for ink on paper and a model of light on dark."
        ),
    ] = False,
    table: Csv = None,
    skip_bad: SkipBad = False,
    output: Output = "",
    layers: Layers = None,
    as_json: Json = False,
) -> None:
    """Classify images; each is turned grey or coloured and resized as the model needs.

    A model may also tell independent labels, of which all over one half are listed, or values: what its
    outputs are taken for is said.

    A folder stands for all images in it and below, a pattern such as 'photos/*.jpg' for those it fits.

    Example: [bold]neocog predict runs/digits seven.png --invert[/]

    Example: [bold]neocog predict runs/photos new --csv new.csv[/]
    """
    network = runs.open_model(model, layers or (), output)
    shape = picture_shape(model, network)
    if count_outputs(network, shape) is None:
        gives = network.output_shape((1, *shape))[1:]
        raise ValueError(f"{model} must give a number for each class to predict by, gives {gives}.")
    form = network.preprocessing or shape
    paths = list(_files(images))
    if skip_bad and (bad := dict(LazyImages(paths, form).problems())):
        paths = [path for path in paths if path not in bad]
        warn(f"Left out {len(bad)}: {'; '.join(f'{path} {reason}' for path, reason in bad.items())}")
        if not paths:
            raise ValueError("none of the images can be read.")
    parts: list[np.ndarray] = []
    most = max(1, min(BATCH, limit("values") // math.prod(shape)))
    at_once = not as_json and table is None  # a table is written before anything is printed: a pipe may close
    for start in range(0, len(paths), most):
        try:
            batch = LazyImages(paths[start : start + most], form, invert)[:]  # decoded by all threads
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            unread = [f"{path} {reason}" for path, reason in LazyImages(paths, form).problems()]
            text = listed(unread, separator="; ") or str(error)
            raise type(error)(f"{text} (--skip-bad leaves out what cannot be read)") from error
        parts.append(network.predict_logits(batch))
        if at_once:
            _say_answers(paths[start:], Answers(network, parts[-1]), top)
    answers = Answers(network, np.concatenate(parts))
    if table is not None:
        rows = [{"image": str(path), **answers.cells(k)} for k, path in enumerate(paths)]
        _write_csv(table, rows, answers.numbers, answers.names)
    if as_json:
        print(to_json([{"image": str(path), **answers.to_dict(k, top)} for k, path in enumerate(paths)]))
        return
    if not at_once:
        _say_answers(paths, answers, top)
    say(answers.meaning)
    _say_class_weights(network)
    if table is not None:
        say(f"table: [bold]{escaped(table)}[/]")


def _say_answers(paths: Sequence[Path], answers: Answers, top: int) -> None:
    for n, path in enumerate(paths[: len(answers.numbers)]):
        say(f"{escaped(path)}: {answers.line(n, top)}")


def _files(arguments: Iterable[str]) -> Iterator[Path]:
    """Yield the images that the arguments name: files, those in folders, those that patterns fit."""
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            found = pictures_in(path)
            if not found:
                raise ValueError(f"{path} must hold image files ({', '.join(IMAGE_SUFFIXES)}), holds none.")
        elif not path.exists() and glob.has_magic(argument):
            found = sorted(Path(name) for name in glob.glob(argument, recursive=True) if Path(name).is_file())
            if not found:
                raise FileNotFoundError(f"no file fits the pattern {argument!r}.")
        else:
            found = [path]
        yield from found
