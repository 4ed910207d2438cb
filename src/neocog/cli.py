"""The command ``neocog``.

Exit codes: 0 done; 1 a gradient check failed, the loss became NaN, or another process of the job was lost;
2 bad input; 130 interrupted.
"""

from __future__ import annotations

import functools
import json
import math
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

import neocog
from neocog import runs
from neocog.data import load_image
from neocog.kernels import BACKENDS, use_kernels
from neocog.layers import Container
from neocog.training import NonFiniteLossError, evaluate
from neocog.validation import one_of

if TYPE_CHECKING:
    from neocog.sweeps import Sweep

app = typer.Typer(
    name="neocog",
    help="Convolutional networks you can see through: train on your images, look inside, carry the model on.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]
Model = Annotated[Path, typer.Argument(help="A model file or a run directory.", metavar="MODEL")]
Kernels = Annotated[str, typer.Option(help=f"Kernel backend: {', '.join(BACKENDS)}.")]

Command = TypeVar("Command", bound=Callable[..., None])


def _explained(command: Command) -> Command:
    """Turn errors that the user can mend into one line and an exit code."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (NonFiniteLossError, ValueError, TypeError, IndexError, OSError, ImportError) as error:
            if kwargs.get("as_json"):
                print(_json({"error": str(error)}))
            Console(stderr=True, highlight=False).print(f"[red]Error:[/] {_escaped(error)}", soft_wrap=True)
            raise typer.Exit(1 if isinstance(error, NonFiniteLossError | ConnectionError) else 2) from None

    return run  # type: ignore[return-value]


def _escaped(text: object) -> str:
    from rich.markup import escape

    return escape(str(text))


def _json(data: Any) -> str:
    """JSON as other programs read it: what is not a finite number is null."""

    def plain(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list | tuple) else value

    return json.dumps(plain(data), allow_nan=False)


def _say(text: str) -> None:
    Console(highlight=False).print(text, soft_wrap=True)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        print(neocog.__version__)
        raise typer.Exit


@app.command()
@_explained
def train(
    source: Annotated[
        str,
        typer.Argument(
            help="digits, lines, lines-b, folder:PATH (a sub-folder a class), npz:PATH or idx:PATH.",
            show_default=False,
        ),
    ] = "",
    recipe: Annotated[
        str | None,
        typer.Option(
            help="How to train: plain (SGD), or best (the network small-cnn, AdamW with one cycle of "
            "learning rates, label smoothing, images turned, moved, stretched and slanted a little)."
        ),
    ] = None,
    network: Annotated[str | None, typer.Option(help=f"One of {', '.join(runs.NETWORKS)}.")] = None,
    filters: Annotated[
        str | None,
        typer.Option(
            help="Channels of the convolutions of conv-net, as 8-16; without --network it is meant."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs in all.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    momentum: Annotated[
        float | None, typer.Option(help="Momentum, 0 to below 1; AdamW's first beta.")
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Decay of the weights, not of biases.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the weights and of the batches.")] = None,
    kernels: Annotated[str | None, typer.Option(help=f"Kernel backend: {', '.join(BACKENDS)}.")] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Height and width of a folder's images; default the first's, at most 64."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="What computes: neocog, or torch; under torchrun its processes share the batches."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Where the engine torch computes: cpu, cuda, cuda:1 ...")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run directory; default runs/SOURCE.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this directory.")] = None,
    write_report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write report.html at the end.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Train a network and leave model, history, settings and log in a run directory.

    Options left out take the values that suit the recipe and the source.

    Ctrl-C ends training after the current batch and saves; --resume goes on.

    Example: [bold]neocog train digits[/]

    Example: [bold]neocog train digits --recipe best[/]

    Example: [bold]neocog train folder:photos --epochs 30 --out runs/photos[/]

    Example: [bold]neocog train --resume runs/photos --epochs 60[/]
    """
    options = {
        "recipe": recipe,
        "network": network,
        "filters": None if filters is None else runs.parse_filters(filters),
        "epochs": epochs,
        "lr": lr,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "batch_size": batch_size,
        "seed": seed,
        "kernels": kernels,
        "size": size,
        "engine": engine,
        "device": device,
    }
    chosen: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    stream = sys.stderr if as_json else sys.stdout
    if resume is not None:
        fixed = (
            [name for name in chosen if name != "epochs"] + ["source"] * bool(source) + ["out"] * bool(out)
        )
        if fixed:
            raise ValueError(f"with --resume only --epochs may change, got also {', '.join(fixed)}.")
        result = runs.resume(resume, epochs, stream)
    else:
        if not source:
            raise ValueError("SOURCE is missing: digits, lines, lines-b, folder:PATH, npz:PATH or idx:PATH.")
        result = runs.train(runs.settings_for(source, **chosen), out, stream)
    if result is None:  # another process leads
        return
    page = None
    if write_report and result.history.stopped != "interrupted":
        from neocog.report import write_report as write

        page = write(result.directory.path)
    _report_training(result, page, as_json)
    if result.history.stopped == "interrupted":
        Console(stderr=True, highlight=False).print(
            f"go on with: neocog train --resume {_escaped(result.directory.path)}", soft_wrap=True
        )
        raise typer.Exit(130)


def _report_training(result: runs.Result, page: Path | None, as_json: bool) -> None:
    last = {name: None if value != value else value for name, value in result.history.last.items()}
    if as_json:
        report = {
            "run": str(result.directory.path),
            "model": str(result.directory.model),
            "report": None if page is None else str(page),
            "parameters": result.network.parameter_count,
            "stopped": result.history.stopped,
        }
        print(_json(report | last))
        return
    accuracy = last["val_accuracy"]
    shown = "" if accuracy is None else f", validation accuracy [bold]{accuracy:.3f}[/]"
    images = " x ".join(map(str, result.network.input_shape or ()))
    _say(f"{result.network.parameter_count} parameters, images {images}, {last['epoch']:.0f} epochs{shown}")
    _say(f"model:  [bold]{_escaped(result.directory.model)}[/]")
    if page is not None:
        _say(f"report: [bold]{_escaped(page)}[/]")


@app.command()
@_explained
def sweep(
    source: Annotated[
        str,
        typer.Argument(help="digits, lines, lines-b, folder:PATH, npz:PATH or idx:PATH.", show_default=False),
    ] = "",
    grid: Annotated[
        list[str] | None,
        typer.Option(
            help="A setting and its values, as lr=0.01,0.1, or filters=8,8-16 for one convolution of 8 "
            "channels, and two of 8 and 16; once for each setting.",
            metavar="KEY=VALUES",
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Train each with so many seeds, from 0; default 1.")
    ] = None,
    validation: Annotated[
        float | None, typer.Option(help="The part of the training images to choose by; default 0.2.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes at once; -1 for one a core.")] = -1,
    dask: Annotated[
        str | None,
        typer.Option(help="Train on the workers of this Dask scheduler.", metavar="tcp://HOST:PORT"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="JSONL file of the results; default sweeps/SOURCE.jsonl. If it is there, go on."),
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the sweep of this file.")] = None,
    show: Annotated[Path | None, typer.Option(help="Show the sweep of this file, and train nothing.")] = None,
    as_json: Json = False,
) -> None:
    """Train every setting of a grid with several seeds, and say which is the best.

    They are compared on a part of the training images; what the source holds out is not looked at.

    Each result is written as it comes. Ctrl-C ends; --resume goes on, also after a crash.

    Example: [bold]neocog sweep digits --grid lr=0.01,0.05,0.1 --grid filters=4,8,16 --seeds 3[/]

    Example: [bold]neocog sweep --resume sweeps/digits.jsonl --dask tcp://10.0.0.1:8786[/]
    """
    from neocog import sweeps

    described = source or grid or seeds is not None or validation is not None
    stream = sys.stderr if as_json else sys.stdout
    engine: dict[str, Any] = {
        "jobs": jobs,
        "dask": dask,
        "progress": functools.partial(print, file=stream, flush=True),
    }
    if show is not None:
        if described or resume or out or dask:
            raise ValueError("with --show nothing else may be given but --json.")
        found = sweeps.open_sweep(show)
    elif resume is not None and not described:
        if out is not None:
            raise ValueError("with --resume there is no --out: the results go into the same file.")
        found = sweeps.resume(resume, **engine)
    else:
        if not source:
            raise ValueError("SOURCE is missing: digits, lines, lines-b, folder:PATH, npz:PATH or idx:PATH.")
        if resume is not None:
            if out is not None or not resume.exists():
                raise ValueError(f"--resume must name a file that is there, without --out, got {resume}.")
            out = resume
        found = sweeps.sweep(
            source,
            sweeps.parse_grid(grid or []),
            1 if seeds is None else seeds,
            validation_fraction=0.2 if validation is None else validation,
            out=out or runs.numbered_path("sweeps", source, ".jsonl"),
            **engine,
        )
    _report_sweep(found, as_json)
    if found.stopped or (found.failures and found.path):
        reason = found.stopped or f"{len(found.failures)} points failed"
        command = shlex.join(["neocog", "sweep", "--resume", str(found.path)])
        Console(stderr=True, highlight=False).print(
            f"{reason}; go on with: {_escaped(command)}", soft_wrap=True
        )
        raise typer.Exit(130 if found.stopped == "interrupted" else 1)


def _report_sweep(found: Sweep, as_json: bool) -> None:
    page = None
    if found.best is not None and found.path is not None:
        from neocog import figures

        page = figures.save(found.figure(), found.path.with_suffix(".html"), width=900)
    if as_json:
        print(_json(found.to_dict() | {"figure": None if page is None else str(page)}))
        return
    Console().print(found.table())
    _say(f"results: [bold]{_escaped(found.path)}[/]")
    if page is not None:
        _say(f"figure:  [bold]{_escaped(page)}[/]")
        _say(f"train the best on all training images: [bold]{_escaped(found.train_command)}[/]")
    if found.failures:
        _say(_escaped(f"\nThe first failure:\n{found.failures[0].traceback or found.failures[0].error}"))


@app.command()
@_explained
def report(
    run: Annotated[Path, typer.Argument(help="A run directory.", metavar="RUN")],
    out: Annotated[Path | None, typer.Option(help="The HTML file; default report.html in the run.")] = None,
    as_json: Json = False,
) -> None:
    """Write a run's report: one HTML page with its curves, filters, mistakes, one image's way, a proof.

    Example: [bold]neocog report runs/digits[/]
    """
    from neocog.report import write_report

    path = write_report(run, out)
    if as_json:
        print(_json({"report": str(path)}))
    else:
        _say(f"report: [bold]{_escaped(path)}[/]")


@app.command()
@_explained
def warmup(as_json: Json = False) -> None:
    """Compile the fused kernels for this machine and keep them on disk, so that no job has to wait for it.

    Example: [bold]neocog warmup[/]
    """
    from neocog.kernels.fused import warm_up

    seconds = {dtype: round(warm_up(dtype), 1) for dtype in ("float32", "float64")}
    if as_json:
        print(_json({"seconds": seconds}))
        return
    for dtype, duration in seconds.items():
        _say(f"{dtype} kernels ready after {duration} s")


@app.command("evaluate")
@_explained
def evaluate_command(
    model: Model,
    source: Annotated[str, typer.Argument(help="Data; default: what the run was trained on.")] = "",
    kernels: Kernels = "auto",
    as_json: Json = False,
) -> None:
    """Measure a model: on what its run held out, or on a source.

    Of a source that sets images apart (digits, lines, npz or idx with a test part) these are taken, else all.

    Example: [bold]neocog evaluate runs/digits[/]

    Example: [bold]neocog evaluate model.neocog folder:photos[/]
    """
    from neocog.inspection import confusion

    network = runs.open_model(model)
    if model.is_dir() and source and runs.RunDirectory(model).is_trained_on(source):
        source = ""  # else the images it was trained on would be among them
    if source:
        # Files have no part that this model has not seen but those they set apart themselves: measure on all.
        data = runs.open_source(source, image_shape=network.input_shape, validation_fraction=0)
        images, labels = data.validation or data.train
        names, described = list(data.class_names), source
    else:
        if not model.is_dir():
            raise ValueError("SOURCE is missing: a model file does not say what it was trained on.")
        images, labels = runs.RunDirectory(model).held_out()
        names = list(network.class_names or ())
        described = runs.RunDirectory(model).settings().source
    if list(network.class_names or names) != names:
        raise ValueError(f"the model tells {list(network.class_names or ())} apart, the data hold {names}.")
    with use_kernels(kernels):
        result = evaluate(network, images, labels)
        matrix = confusion(network, images, labels).matrix[: len(names), : len(names)]
    right, counts = matrix.diagonal(), matrix.sum(axis=1)
    if as_json:
        per_class = {
            name: {"images": int(n), "accuracy": float(r / n) if n else None}
            for name, n, r in zip(names, counts, right, strict=True)
        }
        print(
            _json(
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
    table = Table("class", title=f"{len(labels)} images of {described}", title_justify="left")
    for column in ("images", "right", "accuracy"):
        table.add_column(column, justify="right")
    for name, n, r in zip(names, counts, right, strict=True):
        table.add_row(_escaped(name), str(n), str(r), f"{r / n:.3f}" if n else "")
    Console().print(table)
    _say(f"loss {result.loss:.4f}, accuracy [bold]{result.accuracy:.3f}[/]")


@app.command()
@_explained
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
    as_json: Json = False,
) -> None:
    """Classify images; each is turned grey or coloured and resized as the model needs.

    Example: [bold]neocog predict runs/digits seven.png --invert[/]
    """
    network = runs.open_model(model)
    if network.input_shape is None:
        raise ValueError(
            f"{model} does not say what images it sees; train it with neocog.fit, or set input_shape."
        )
    batch = np.stack([load_image(path, network.input_shape, invert=invert) for path in images])
    probabilities = network.predict_proba(batch)
    names = network.class_names or ()
    names += tuple(str(k) for k in range(len(names), probabilities.shape[1]))
    answers: list[dict[str, Any]] = []
    for path, row in zip(images, probabilities, strict=True):
        best = np.argsort(-row, kind="stable")[:top]
        classes = [{"class": names[k], "probability": float(row[k])} for k in best]
        answers.append({"image": str(path), "classes": classes})
    if as_json:
        print(_json(answers))
        return
    for answer in answers:
        shown = "  ".join(f"{_escaped(c['class'])} {c['probability']:.1%}" for c in answer["classes"])
        _say(f"{_escaped(answer['image'])}: [bold]{shown.partition('  ')[0]}[/]  {shown.partition('  ')[2]}")


def _model_or_name(model: str) -> Container:
    """Load a model, or build a network by its name."""
    if model in runs.ROAD and not Path(model).exists():
        return runs.ROAD[model](rng=42)
    if model in runs.NETWORKS and not Path(model).exists():
        classes = 3 if model.startswith("tiny") else 10
        return runs.build_network(model, 42, (1, 8, 8), classes)
    if not Path(model).exists():
        one_of("MODEL", model, ["a path", *runs.NETWORKS])
    return runs.open_model(model)


ModelOrName = Annotated[
    str,
    typer.Argument(
        help=f"A model file, a run directory, or one of {', '.join(runs.NETWORKS)}.", metavar="MODEL"
    ),
]


@app.command()
@_explained
def summary(model: ModelOrName, as_json: Json = False) -> None:
    """Show each layer's output shape, parameters, FLOPs and receptive field.

    Example: [bold]neocog summary tiny-cnn[/]
    """
    table = _model_or_name(model).summary(show=not as_json)
    if as_json:
        print(_json(table.to_dict()))


@app.command()
@_explained
def explain(
    model: Model,
    image: Annotated[Path, typer.Argument(help="An image file of any size and colour.")],
    at: Annotated[
        str, typer.Option(help="A layer, input, softmax, loss, or a parameter such as conv1.weight.")
    ] = "softmax",
    index: Annotated[
        str, typer.Option(help="The entry, as 2,3,4 (channel, row, column) or 2; default the largest.")
    ] = "",
    of: Annotated[str, typer.Option(help="activation, or gradient of the loss.")] = "activation",
    label: Annotated[str, typer.Option(help="True class, for gradients and the loss.")] = "",
    top: Annotated[int, typer.Option(min=1, help="How many terms to show.")] = 12,
    down: Annotated[int, typer.Option(min=0, help="Go on to the largest term so many times.")] = 0,
    invert: Annotated[bool, typer.Option("--invert", help="Swap dark and bright.")] = False,
    as_json: Json = False,
) -> None:
    """Show the arithmetic behind one number of a network: the terms that add up to it.

    Example: [bold]neocog explain runs/digits seven.png --at conv1 --index 2,3,4[/]

    Example: [bold]neocog explain runs/digits seven.png --at conv1.weight --of gradient --label 7 --down 2[/]
    """
    from neocog import inspection

    network = runs.open_model(model)
    if network.input_shape is None:
        raise ValueError(f"{model} does not say what images it sees.")
    x = load_image(image, network.input_shape, invert=invert)[None].astype("float64")
    network = network.astype("float64")
    t = None
    if label:
        names = network.class_names or tuple(str(k) for k in range(network.output_shape(x.shape)[1]))
        t = [list(names).index(one_of("label", label, names))]
    if of == "gradient" and t is None:
        raise ValueError("--label is missing: there is no gradient without the true class.")
    inquiry = inspection.Inquiry(inspection.trace(network, x, t))
    place: tuple[int, ...] | None = None
    if index:
        try:
            place = tuple(int(part) for part in index.split(","))
        except ValueError:
            raise ValueError(f"--index must be integers such as 2,3,4, got {index!r}.") from None
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
        print(_json([link.to_dict() for link in chain] if down else chain[0].to_dict()))
        return
    for link in chain:
        link.print(top)


@app.command("check-gradients")
@_explained
def check_gradients(
    model: ModelOrName,
    method: Annotated[
        str, typer.Option(help="complex (complex step) or central (central differences).")
    ] = "complex",
    max_entries: Annotated[
        int, typer.Option(min=1, help="Check at most so many entries of each array, drawn at random.")
    ] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the images and labels.")] = 123,
    kernels: Kernels = "auto",
    as_json: Json = False,
) -> None:
    """Prove a network's gradients on four random images, in float64; exit code 1 if one is wrong.

    Example: [bold]neocog check-gradients digits-cnn[/]
    """
    network = _model_or_name(model).astype("float64")
    if network.input_shape is None:
        raise ValueError(f"{model} does not say what images it sees.")
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4, *network.input_shape))
    classes = network.output_shape(x.shape)[1]
    with use_kernels(kernels):
        report = neocog.check_gradients(
            network, x, rng.integers(classes, size=4), method=method, max_entries=max_entries
        )
    if as_json:
        print(_json(report.to_dict()))
    else:
        report.print()
    if not report.passed:
        raise typer.Exit(1)


@app.command()
@_explained
def export(
    model: Model,
    out: Annotated[Path, typer.Argument(help="The file to write; its suffix says the format: .onnx.")],
    as_json: Json = False,
) -> None:
    """Write a model for other runtimes: ONNX Runtime and all that read its format.

    Example: [bold]neocog export runs/digits digits.onnx[/]
    """
    one_of("format", out.suffix, [".onnx"])
    from neocog.interop.onnx import to_onnx

    network = runs.open_model(model)
    written = to_onnx(network.astype("float32"), out)
    operators = sorted({node.op_type for node in written.graph.node})
    if as_json:
        print(_json({"file": str(out), "bytes": out.stat().st_size, "operators": operators}))
        return
    _say(f"{len(written.graph.node)} nodes: {', '.join(operators)}")
    _say(f"model: [bold]{_escaped(out)}[/], {out.stat().st_size / 1e3:.0f} kB, float32")


@app.command()
@_explained
def experiment(
    name: Annotated[str, typer.Argument(help="A study; without a name all are listed.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Repeat with so many seeds, and show the spread.")] = 1,
    jobs: Annotated[int, typer.Option(help="Processes at once; -1 for one a core.")] = -1,
    out: Annotated[Path | None, typer.Option(help="Also write an HTML page with its figures.")] = None,
    as_json: Json = False,
) -> None:
    """Run a study: its question, its table, its finding, and the answer with its reasons.

    Example: [bold]neocog experiment cnn-vs-mlp[/]

    Example: [bold]neocog experiment learning-rates --seeds 10 --out rates.html[/]
    """
    from neocog import experiments

    if not name:
        if as_json:
            print(_json([{"name": s.name, "question": s.question} for s in experiments.list_experiments()]))
        else:
            Console().print(experiments.experiments_table())
        return
    try:
        result = experiments.run(name, seeds, jobs, progress=sys.stderr.isatty() and seeds > 1)
    except ImportError as error:
        raise ValueError(str(error)) from error
    if out is not None:
        from neocog.report import write_study

        write_study(result, out)
    if as_json:
        print(_json(result.to_dict()))
    else:
        Console().print(result)
        if out is not None:
            _say(f"page: [bold]{_escaped(out)}[/]")


def main() -> None:
    """Run the command line."""
    app()
