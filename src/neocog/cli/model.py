"""Define the commands that use a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from neocog import runs
from neocog.cli.common import Json, Kernels, Layers, Model, app, escaped, report_errors, say, to_json
from neocog.data import load_image
from neocog.data.sources import open_source
from neocog.kernels import use_kernels
from neocog.training import evaluate
from neocog.validation import one_of


@app.command("evaluate")
@report_errors
def evaluate_command(
    model: Model,
    source: Annotated[str, typer.Argument(help="Data; default: what the run was trained on.")] = "",
    layers: Layers = None,
    kernels: Kernels = "auto",
    as_json: Json = False,
) -> None:
    """Measure a model on the images that its run held out, or on a source.

    A source with a held-out part of its own (as digits, or MNIST's files) is measured on that part, any other
    on all images.

    Example: [bold]neocog evaluate runs/digits[/]

    Example: [bold]neocog evaluate model.neocog folder:photos[/]
    """
    from neocog.inspection import confusion

    network = runs.open_model(model, layers or ())
    if model.is_dir() and source and runs.RunDirectory(model).is_trained_on(source):
        source = ""  # with another split, training images would be among them
    if source:
        # Which images of a file without a held-out part the model has seen is unknown: measure on all.
        data = open_source(
            source,
            image_shape=network.input_shape,
            preprocessing=network.preprocessing,
            validation_fraction=0,
        )
        images, labels = data.validation or data.train
        names, described = list(data.class_names), source
    else:
        if not model.is_dir():
            raise ValueError("SOURCE is missing: a model file does not say what it was trained on.")
        _, (images, labels) = runs.RunDirectory(model).open_data()
        names = list(network.class_names or ())
        described = runs.RunDirectory(model).settings().source
    if list(network.class_names or names) != names:
        raise ValueError(
            f"{model}: the model's classes are {list(network.class_names or ())}, those of {described} are "
            f"{names}."
        )
    with use_kernels(kernels):
        result = evaluate(network, images, labels)
        matrix = confusion(network, images, labels).matrix[: len(names), : len(names)]
    correct, counts = matrix.diagonal(), matrix.sum(axis=1)
    if as_json:
        per_class = {
            name: {"images": int(n), "accuracy": float(r / n) if n else None}
            for name, n, r in zip(names, counts, correct, strict=True)
        }
        print(
            to_json(
                {
                    "source": described,
                    "images": len(labels),
                    "loss": result.loss,
                    "accuracy": result.accuracy,
                    "classes": per_class,
                    "confusion_matrix": matrix.tolist(),
                }
            )
        )
        return
    table = Table("class", title=f"{len(labels)} images of {escaped(described)}", title_justify="left")
    for column in ("images", "correct", "accuracy"):
        table.add_column(column, justify="right")
    for name, n, r in zip(names, counts, correct, strict=True):
        table.add_row(escaped(name), str(n), str(r), f"{r / n:.3f}" if n else "")
    Console().print(table)
    say(f"loss {result.loss:.4f}, accuracy [bold]{result.accuracy:.3f}[/]")


@app.command()
@report_errors
def predict(
    model: Model,
    images: Annotated[list[Path], typer.Argument(help="Image files of any size and colour.")],
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 3,
    invert: Annotated[
        bool,
        typer.Option(
            "--invert", help="Swap dark and bright, as for ink on paper and a model of light on dark."
        ),
    ] = False,
    layers: Layers = None,
    as_json: Json = False,
) -> None:
    """Classify images; each is turned grey or coloured and resized as the model needs.

    Example: [bold]neocog predict runs/digits seven.png --invert[/]
    """
    network = runs.open_model(model, layers or ())
    if network.input_shape is None:
        raise ValueError(
            f"{model} does not say the shape of its images; train it with neocog.fit, or set input_shape."
        )
    outputs = network.output_shape((1, *network.input_shape))[1:]
    if len(outputs) != 1:
        raise ValueError(f"{model} must give a number for each class to predict by, gives {outputs}.")
    preprocessing = network.preprocessing or network.input_shape
    batch = np.stack([load_image(path, preprocessing, invert=invert) for path in images])
    probabilities = network.predict_proba(batch)
    names = network.class_names or ()
    names += tuple(str(k) for k in range(len(names), probabilities.shape[1]))
    answers: list[dict[str, Any]] = []
    for path, row in zip(images, probabilities, strict=True):
        best = np.argsort(-row, kind="stable")[:top]
        classes = [{"class": names[k], "probability": float(row[k])} for k in best]
        answers.append({"image": str(path), "classes": classes})
    if as_json:
        print(to_json(answers))
        return
    for answer in answers:
        shown = "  ".join(f"{escaped(c['class'])} {c['probability']:.1%}" for c in answer["classes"])
        say(f"{escaped(answer['image'])}: [bold]{shown.partition('  ')[0]}[/]  {shown.partition('  ')[2]}")


@app.command()
@report_errors
def export(
    model: Model,
    out: Annotated[Path, typer.Argument(help="The file to write; its suffix says the format: .onnx.")],
    layers: Layers = None,
    as_json: Json = False,
) -> None:
    """Export a model to ONNX, for ONNX Runtime and others.

    Example: [bold]neocog export runs/digits digits.onnx[/]
    """
    one_of("format", out.suffix, [".onnx"])
    from neocog.interop.onnx import to_onnx

    network = runs.open_model(model, layers or ())
    written = to_onnx(network.astype("float32"), out)
    operators = sorted({node.op_type for node in written.graph.node})
    if as_json:
        print(to_json({"file": str(out), "bytes": out.stat().st_size, "operators": operators}))
        return
    say(f"{len(written.graph.node)} nodes: {', '.join(operators)}")
    say(f"model: [bold]{escaped(out)}[/], {out.stat().st_size / 1e3:.0f} kB, float32")


@app.command()
@report_errors
def report(
    run: Annotated[Path, typer.Argument(help="A run directory.", metavar="RUN")],
    out: Annotated[Path | None, typer.Option(help="The HTML file; default report.html in the run.")] = None,
    layers: Layers = None,
    as_json: Json = False,
) -> None:
    """Write a run's report: an HTML page with curves, filters, mistakes, a traced image, a gradient check.

    Example: [bold]neocog report runs/digits[/]
    """
    from neocog.report import write_report

    path = write_report(run, out, layers or ())
    if as_json:
        print(to_json({"report": str(path)}))
    else:
        say(f"report: [bold]{escaped(path)}[/]")
