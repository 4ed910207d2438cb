"""Define the commands that inspect a model, and those of the studies."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

import neocog
from neocog import runs
from neocog.cli.answers import SEPARATOR, Answers
from neocog.cli.common import (
    Json,
    Kernels,
    Layers,
    Model,
    Output,
    app,
    class_names,
    escaped,
    image_shape,
    picture_shape,
    report_errors,
    say,
    to_json,
)
from neocog.data import load_image
from neocog.inspection.attribution_maps import ATTRIBUTIONS, attribution_maps
from neocog.kernels import use_kernels
from neocog.layers import Container, Sigmoid, Softmax
from neocog.layers.outputs import INDEPENDENT, WEIGHTED, before_last, classes_of, count_outputs
from neocog.losses.outputs import loss_of_kind
from neocog.models.by_name import CLASSIC_NETWORKS, NETWORKS, build_network
from neocog.representation import is_terminal
from neocog.validation import one_of


def _model_or_name(model: str, layers: list[str] | None) -> Container:
    """Load a model, or build a network by its name."""
    if model in CLASSIC_NETWORKS and not Path(model).exists():
        return CLASSIC_NETWORKS[model](rng=42)
    if model in NETWORKS and not Path(model).exists():
        classes = 3 if model.startswith("tiny") else 10
        return build_network(model, classes, (1, 8, 8), seed=42)
    if not Path(model).exists() and ".onnx:" not in model.lower():
        one_of("MODEL", model, ["a path", *NETWORKS])
    return runs.open_model(model, layers or ())


ModelOrName = Annotated[
    str,
    typer.Argument(help=f"A model file, a run directory, or one of {', '.join(NETWORKS)}.", metavar="MODEL"),
]


@app.command()
@report_errors
def summary(model: ModelOrName, layers: Layers = None, as_json: Json = False) -> None:
    """Show each layer's output shape, parameters, FLOPs and receptive field.

    Example: [bold]neocog summary tiny-cnn[/]
    """
    network = _model_or_name(model, layers)
    table = network.summary((1, *image_shape(model, network)), show=not as_json)
    if as_json:
        print(to_json(table.to_dict()))


@app.command()
@report_errors
def explain(
    model: Model,
    image: Annotated[Path, typer.Argument(help="An image file of any size and colour.")],
    at: Annotated[
        str,
        typer.Option(
            help="A layer, input, softmax or sigmoid, loss, or a parameter such as conv1.weight; default the "
            "answer, softmax as a rule.",
            show_default=False,
        ),
    ] = "",
    index: Annotated[
        str,
        typer.Option(
            help="The entry, as 2,3,4 (channel, row, column), 2 or a class; default the largest.",
        ),
    ] = "",
    of: Annotated[str, typer.Option(help="activation, or gradient of the loss.")] = "activation",
    label: Annotated[
        str,
        typer.Option(
            help="True class, for gradients and the loss; of independent labels all that apply, as cat;dog; "
            "of values these, as 0.5;2.",
        ),
    ] = "",
    top: Annotated[int, typer.Option(min=1, help="How many terms to show.")] = 12,
    down: Annotated[int, typer.Option(min=0, help="Explain the largest term in turn, so many times.")] = 0,
    invert: Annotated[bool, typer.Option("--invert", help="Swap dark and bright.")] = False,
    output: Output = "",
    layers: Layers = None,
    as_json: Json = False,
) -> None:
    """Show the arithmetic behind one number of a network: the terms that add up to it.

    Example: [bold]neocog explain runs/digits seven.png --at conv1 --index 2,3,4[/]

    Example: [bold]neocog explain runs/digits seven.png --at conv1.weight --of gradient --label 7 --down 2[/]
    """
    from neocog import inspection

    network = runs.open_model(model, layers or (), output)
    shape = picture_shape(model, network)
    x = load_image(image, network.preprocessing or shape, invert=invert)[None].astype("float64")
    network = network.astype("float64")
    t = None
    if label:
        t = _target(label, network, shape)
        if before_last(network.output_kind) != network.output_kind:  # the loss takes logits
            network = network.without_last(Softmax, Sigmoid)
    if of == "gradient" and t is None:
        raise ValueError("--label is missing: there is no gradient without the true class.")
    inquiry = inspection.Inquiry(inspection.trace(network, x, t))
    at = at or inquiry.answer
    place: tuple[int, ...] | None = None
    if index:
        of_classes = (inquiry.answer, inquiry.output, f"{inquiry.output}.bias")
        place = _place(index, network.class_names or () if at in of_classes else ())
        if at not in network.params and at != "loss":
            place = (0, *place)  # the one image
    answer = inquiry.ask(at, place, of=of)
    chain = [answer]
    for _ in range(down):
        if not any(part.number for term in answer.terms[:1] for part in term.parts):
            break
        answer = answer.explain()
        chain.append(answer)
    if as_json:
        print(to_json([link.to_dict() for link in chain] if down else chain[0].to_dict()))
        return
    for link in chain:
        link.print(top)
    if at == inquiry.answer and network.class_names:
        names = ", ".join(f"{k} {escaped(name)}" for k, name in enumerate(network.class_names))
        say(f"classes: {names}")
    if network.class_weight is not None:
        made = before_last(network.output_kind) != network.output_kind
        say(WEIGHTED)
        if made:
            say("the numbers of its last layer are those of the weighted classes, not these probabilities")


def _place(index: str, names: Sequence[str]) -> tuple[int, ...]:
    """Parse ``--index``: integers, or a class, which stands at its place among the outputs."""
    try:
        return tuple(int(part) for part in index.split(","))
    except ValueError:
        if index in names:
            return (names.index(index),)
        classes = f" or a class, one of {', '.join(names)}" if names else ""
        raise ValueError(f"--index must be integers such as 2,3,4{classes}, got {index!r}.") from None


def _names(network: Container, shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Return the names of the classes, labels or values that a network gives for an image."""
    count = count_outputs(network, shape)
    if count is None:
        raise ValueError(
            f"the model must give a number for each class, gives {network.output_shape((1, *shape))}."
        )
    return class_names(network, classes_of(network.output_kind, count))


def _class_index(option: str, name: str, network: Container, shape: tuple[int, int, int]) -> int:
    """Return the index of a class."""
    names = _names(network, shape)
    return names.index(one_of(option, name, names))


def _target(label: str, network: Container, shape: tuple[int, int, int]) -> np.ndarray:
    """Return what one image is said to be: a class, the labels that apply, or values."""
    kind, count = network.output_kind, count_outputs(network, shape)
    several = [part.strip() for part in label.split(SEPARATOR) if part.strip()]
    if kind == "values":
        try:
            return np.array([[float(part) for part in several]])
        except ValueError:
            raise ValueError(f"label must be numbers such as 0.5;2, got {label!r}.") from None
    if kind in INDEPENDENT and count != 1:
        names = _names(network, shape)
        applying = {one_of("label", part, names) for part in several}
        return np.array([[int(name in applying) for name in names]])
    return np.array([_class_index("label", label, network, shape)])


@app.command()
@report_errors
def attribute(
    model: Model,
    image: Annotated[Path, typer.Argument(help="An image file of any size and colour.")],
    method: Annotated[str, typer.Option(help=f"One of {', '.join(ATTRIBUTIONS)}.")] = "grad-cam",
    of: Annotated[str, typer.Option(help="The class; default the predicted one.")] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            help="The figure, .html, .png, .svg or .pdf; default IMAGE-METHOD.html in the current folder."
        ),
    ] = None,
    invert: Annotated[bool, typer.Option("--invert", help="Swap dark and bright.")] = False,
    output: Output = "",
    layers: Layers = None,
    as_json: Json = False,
) -> None:
    """Draw which pixels of an image make the network answer as it does.

    Example: [bold]neocog attribute runs/photos cat.jpg --method occlusion[/]

    Example: [bold]neocog attribute runs/photos cat.jpg --of dog --out dog.png[/]
    """
    from neocog import figures

    network = runs.open_model(model, layers or (), output)
    one_of("method", method, ATTRIBUTIONS)
    shape = picture_shape(model, network)
    x = load_image(image, network.preprocessing or shape, invert=invert)[None]
    names = _names(network, shape)
    answers = Answers(network, network.predict_logits(x))
    k = _class_index("of", of, network, shape) if of else answers.best(0)
    single = len(names) != count_outputs(network, shape)  # one output for two classes
    heat = attribution_maps(network, x, method, 0 if single else k)[0]
    path = out or Path(f"{image.stem}-{method}.html")
    title = f"{method} for {names[1] if single else names[k]}"
    ink = network.preprocessing is None or network.preprocessing.tone == "ink"
    figures.save(figures.heat_overlay(x[0], heat, label=method, title=title, ink=ink), path)
    if as_json:
        said = {"class": names[k], "probability": float(answers.numbers[0, k])}
        if answers.kind == "values":
            said = {"value of": names[k], "value": float(answers.numbers[0, k])}
        shown = {"output": answers.kind, **said, "attributed": names[1] if single else names[k]}
        print(
            to_json(
                {"image": str(image), "method": method, "figure": str(path)} | shown | {"map": heat.tolist()}
            )
        )
        return
    number = f"{answers.numbers[0, k]:.6g}" if answers.kind == "values" else f"{answers.numbers[0, k]:.1%}"
    say(f"{escaped(image)}: [bold]{escaped(names[k])}[/] {number}")
    say(ATTRIBUTIONS[method].shows)
    if not heat.any():
        others = ", ".join(name for name in ATTRIBUTIONS if name != method)
        say(f"The map is 0 everywhere: by this method no place speaks for the class. Others: {others}.")
    if network.class_weight is not None:
        say(WEIGHTED)
    if single:
        say(f"What raises the one output speaks for {escaped(names[1])}, against {escaped(names[0])}.")
    if answers.kind == "values":
        say("The output is a value: read logit as value.")
    say(f"figure: [bold]{escaped(path)}[/]")


@app.command("check-gradients")
@report_errors
def check_gradients(
    model: ModelOrName,
    method: Annotated[
        str, typer.Option(help="complex (complex step) or central (central differences).")
    ] = "complex",
    max_entries: Annotated[
        int, typer.Option(min=1, help="Check at most so many entries of each array, drawn at random.")
    ] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the images and labels.")] = 123,
    layers: Layers = None,
    kernels: Kernels = "auto",
    as_json: Json = False,
) -> None:
    """Check a network's gradients on four random images, in float64; exit code 1 if one is wrong.

    Example: [bold]neocog check-gradients digits-cnn[/]
    """
    network = _model_or_name(model, layers).astype("float64")
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4, *image_shape(model, network)))
    count, kind = network.output_shape(x.shape)[1], network.output_kind
    targets: np.ndarray
    if kind == "values":
        targets = rng.normal(size=network.output_shape(x.shape))
    elif kind in INDEPENDENT:
        targets = rng.integers(2, size=(4, count))
    else:
        targets = rng.integers(count, size=4)
    with use_kernels(kernels):
        report = neocog.check_gradients(
            network, x, targets, loss=loss_of_kind(kind), method=method, max_entries=max_entries
        )
    if as_json:
        print(to_json(report.to_dict()))
    else:
        report.print()
    if not report.passed:
        raise typer.Exit(1)


@app.command()
@report_errors
def experiment(
    name: Annotated[str, typer.Argument(help="A study; without a name all are listed.")] = "",
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of seeds; by default ten, or fewer where ten take long.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes at once; -1 for one a core.")] = -1,
    out: Annotated[Path | None, typer.Option(help="Also write an HTML page with its figures.")] = None,
    as_json: Json = False,
) -> None:
    """Run a study with ten seeds: its question, its table, what it found, and the answer with its reasons.

    Example: [bold]neocog experiment cnn-vs-mlp[/]

    Example: [bold]neocog experiment learning-rates --out rates.html[/]

    Example: [bold]neocog experiment filters --seeds 1[/]
    """
    from neocog import experiments

    if not name:
        if as_json:
            print(to_json([{"name": s.name, "question": s.question} for s in experiments.list_experiments()]))
        else:
            Console().print(experiments.experiments_table())
        return
    try:
        result = experiments.run(name, seeds, jobs, progress=is_terminal(sys.stderr) and seeds != 1)
    except ImportError as error:
        raise ValueError(str(error)) from error
    if out is not None:
        from neocog.report import write_study

        write_study(result, out)
    if as_json:
        print(to_json(result.to_dict()))
    else:
        Console().print(result)
        if out is not None:
            say(f"page: [bold]{escaped(out)}[/]")
