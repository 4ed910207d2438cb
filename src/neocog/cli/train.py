"""Define the commands that train a network and compile its kernels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console

from neocog import representation, runs
from neocog.cli.common import INTERRUPTED, Json, Source, app, escaped, report_errors, say, to_json
from neocog.data.sources import source_forms
from neocog.kernels import BACKENDS
from neocog.models.by_name import NETWORKS
from neocog.settings import parse_filters, settings_for


@app.command()
@report_errors
def train(
    source: Source = "",
    recipe: Annotated[
        str | None,
        typer.Option(
            help="How to train: plain (SGD), or best (the network small-cnn, AdamW with one cycle of "
            "learning rates, label smoothing, and small random rotations, shifts, scalings and shears)."
        ),
    ] = None,
    network: Annotated[str | None, typer.Option(help=f"One of {', '.join(NETWORKS)}.")] = None,
    filters: Annotated[
        str | None,
        typer.Option(help="Channels of the convolutions of conv-net, as 8-16; implies --network conv-net."),
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
    resume: Annotated[Path | None, typer.Option(help="Continue the run in this directory.")] = None,
    write_report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write report.html at the end.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Train a network and write model, history, settings and log into a run directory.

    Options left out take the values that suit the recipe and the source.

    Ctrl-C ends training after the current batch and saves; --resume continues.

    Example: [bold]neocog train digits[/]

    Example: [bold]neocog train digits --recipe best[/]

    Example: [bold]neocog train folder:photos --epochs 30 --out runs/photos[/]

    Example: [bold]neocog train --resume runs/photos --epochs 60[/]
    """
    options = {
        "recipe": recipe,
        "network": network,
        "filters": None if filters is None else parse_filters(filters),
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
            raise ValueError(f"SOURCE is missing: one of {', '.join(source_forms())}.")
        result = runs.train(settings_for(source, **chosen), out, stream)
    if result is None:  # another process of the job reports
        return
    page = None
    if write_report and result.history.stopped != "interrupted":
        page = _write_report(result.directory.path, stream)
    _report_training(result, page, as_json)
    if result.history.stopped == "interrupted":
        Console(stderr=True, highlight=False).print(
            f"continue with: neocog train --resume {escaped(result.directory.path)}", soft_wrap=True
        )
        raise typer.Exit(INTERRUPTED)


def _write_report(run: Path, stream: TextIO | None) -> Path | None:
    """Write the report of a run; what fails in it costs neither the run nor its exit code."""
    representation.say(stream, "writing the report ...")
    try:
        from neocog.report import write_report

        return write_report(run)
    except Exception as error:
        words = f"no report: {type(error).__name__}: {error}; try again: neocog report {run}"
        Console(stderr=True, highlight=False).print(escaped(words), soft_wrap=True)
        return None


def _report_training(result: runs.RunResult, page: Path | None, as_json: bool) -> None:
    last = {name: None if value != value else value for name, value in result.history.last.items()}
    if as_json:
        report = {
            "run": str(result.directory.path),
            "model": str(result.directory.model),
            "report": None if page is None else str(page),
            "parameters": result.network.parameter_count,
            "stopped": result.history.stopped,
        }
        print(to_json(report | last))
        return
    accuracy = last["val_accuracy"]
    shown = "" if accuracy is None else f", validation accuracy [bold]{accuracy:.3f}[/]"
    images = " x ".join(map(str, result.network.input_shape or ()))
    say(f"{result.network.parameter_count} parameters, images {images}, {last['epoch']:.0f} epochs{shown}")
    say(f"model:  [bold]{escaped(result.directory.model)}[/]")
    if page is not None:
        say(f"report: [bold]{escaped(page)}[/]")


@app.command()
@report_errors
def warmup(as_json: Json = False) -> None:
    """Compile the fused kernels for this machine and cache them on disk, so that no run has to wait.

    Example: [bold]neocog warmup[/]
    """
    from neocog.kernels.fused import warm_up

    seconds = {dtype: round(warm_up(dtype), 1) for dtype in ("float32", "float64")}
    if as_json:
        print(to_json({"seconds": seconds}))
        return
    for dtype, duration in seconds.items():
        say(f"{dtype} kernels ready after {duration} s")
