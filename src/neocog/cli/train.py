"""Define the commands that train a network and compile its kernels."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console

from neocog import representation, runs
from neocog.cli.common import INTERRUPTED, Json, Source, app, escaped, report_errors, say, to_json, warn
from neocog.cli.options import with_settings
from neocog.cli.results import print_mistakes, print_results, results_json
from neocog.data.identity import image_name
from neocog.data.sources import source_forms
from neocog.data.summary import DataSummary
from neocog.inspection.predictions import Confusion, LabelScores, misclassified
from neocog.representation import counted
from neocog.settings import settings_for

MOST_MISTAKES = 5
"""Mistakes that are listed after training."""


@app.command()
@report_errors
@with_settings
def train(
    chosen: dict[str, Any],
    source: Source = "",
    out: Annotated[Path | None, typer.Option(help="Run directory; default runs/SOURCE.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue the run in this directory.")] = None,
    write_report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write report.html and page.html at the end.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Train a network and write model, history, settings and log into a run directory.

    Options left out take the values that suit the recipe and the source. Some are chosen to suit the images:
    what was chosen is said, and written down.

    Ctrl-C ends training after the current batch and saves; --resume continues.

    Example: [bold]neocog train digits[/]

    Example: [bold]neocog train digits --recipe best[/]

    Example: [bold]neocog train photos --epochs 30 --out runs/photos[/]

    Example: [bold]neocog train --resume runs/photos[/]
    """
    stream = sys.stderr if as_json else sys.stdout
    if resume is not None:
        fixed = (
            [name for name in chosen if name != "epochs"] + ["source"] * bool(source) + ["out"] * bool(out)
        )
        if fixed:
            raise ValueError(f"with --resume only --epochs may change, got also {', '.join(fixed)}.")
        result = runs.resume(resume, chosen.get("epochs"), stream)
    else:
        if not source:
            raise ValueError(
                f"SOURCE is missing: the path of a folder or file, or one of {', '.join(source_forms())}."
            )
        result = runs.train(settings_for(source, **chosen), out, stream)
    if result is None:  # another process of the job reports
        return
    pages: dict[str, Path] = {}
    if write_report and result.history.stopped != "interrupted":
        pages = _write_pages(result.directory.path, stream)
    _report_training(result, pages, as_json)
    if result.history.stopped == "interrupted":
        Console(stderr=True, highlight=False).print(
            f"continue with: neocog train --resume {escaped(result.directory.path)}", soft_wrap=True
        )
        raise typer.Exit(INTERRUPTED)


def _write_pages(run: Path, stream: TextIO | None) -> dict[str, Path]:
    """Write the living page of a run, then the report, which links it.

    What fails in them costs neither the run nor its exit code.
    """
    representation.say(stream, "writing the report ...")
    found: dict[str, Path] = {}
    for name in ("page", "report"):
        try:
            if name == "page":
                from neocog.studio.page import write_page

                found[name] = write_page(run)
            else:
                from neocog.report import write_report

                found[name] = write_report(run)
        except Exception as error:
            words = f"no {name}: {type(error).__name__}: {error}; try again: neocog {name} {run}"
            warn(words)
    return found


def _report_training(result: runs.RunResult, pages: dict[str, Path], as_json: bool) -> None:
    last = {name: None if value != value else value for name, value in result.history.last.items()}
    if as_json:
        report = {
            "run": str(result.directory.path),
            "model": str(result.directory.model),
            "report": str(pages["report"]) if "report" in pages else None,
            "page": str(pages["page"]) if "page" in pages else None,
            "data": None if result.data is None else DataSummary.of(result.data).to_dict(),
            "parameters": result.network.parameter_count,
            "stopped": result.history.stopped,
            "chosen": result.chosen,
            "kept_epoch": result.kept_epoch,
            "held_out": None if result.held_out is None else results_json(result.held_out),
            "baselines": result.baselines,
        }
        print(to_json(report | last))
        return
    if result.held_out is not None:
        _print_held_out(result, result.held_out)
    images = " x ".join(map(str, result.network.input_shape or ()))
    epochs = counted(int(result.history.last["epoch"]), "epoch")
    say(f"{result.network.parameter_count} parameters, images {images}, {epochs}")
    say(f"model:  [bold]{escaped(result.directory.model)}[/]")
    if "report" in pages:
        say(f"report: [bold]{escaped(pages['report'])}[/]")
    if "page" in pages:
        say(f"page:   [bold]{escaped(pages['page'])}[/] (open it: the network, to draw for and to look into)")


def _print_held_out(result: runs.RunResult, found: Confusion | LabelScores) -> None:
    """Print how the network does on the held-out images, and the first of its mistakes."""
    print_results(found, f"{found.images} held-out images")
    if result.data is None or result.data.validation is None or isinstance(found, LabelScores):
        return
    images, labels = result.data.validation
    wrong = misclassified(result.network, images, labels, MOST_MISTAKES)
    names = found.class_names
    rows = [
        {
            "image": image_name(images, k, "held-out image"),
            "true": names[true],
            "predicted": names[answer],
            "probability": p,
        }
        for k, true, answer, p in zip(
            wrong.index, wrong.true, wrong.predicted, wrong.probability, strict=True
        )
    ]
    count = int(found.matrix.sum() - found.matrix.trace())
    print_mistakes(rows, count, int(found.matrix.sum()))
    if count > len(rows):
        say(f"  all of them: neocog evaluate {escaped(shlex.quote(str(result.directory.path)))} --mistakes")


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
