"""Define the command that trains every setting of a grid."""

from __future__ import annotations

import functools
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from neocog import runs
from neocog.cli.common import INTERRUPTED, Json, Source, app, escaped, report_errors, say, to_json
from neocog.cli.options import with_settings
from neocog.data.sources import source_forms
from neocog.settings import OPTIONS

if TYPE_CHECKING:
    from neocog.sweeps import Sweep

# --validation is the part that compares the settings, and --seeds gives the seeds.
_SETTINGS = [name for name, option in OPTIONS.items() if option.axis and name not in ("validation", "seed")]


@app.command()
@report_errors
@functools.partial(with_settings, names=_SETTINGS)
def sweep(
    chosen: dict[str, Any],
    source: Source = "",
    grid: Annotated[
        list[str] | None,
        typer.Option(
            help="A setting and its values, as lr=0.01,0.1, or filters=8,8-16 for one convolution of 8 "
            "channels, and two of 8 and 16; once for each setting. seed=3,7 names the seeds.",
            metavar="KEY=VALUES",
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Number of seeds, from 0, to train each with; default 1.")
    ] = None,
    validation: Annotated[
        float | None, typer.Option(help="Fraction of the training images to compare by; default 0.2.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes at once; -1 for one a core.")] = -1,
    dask: Annotated[
        str | None,
        typer.Option(help="Train on the workers of this Dask scheduler.", metavar="tcp://HOST:PORT"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="JSONL file of the results; default sweeps/SOURCE.jsonl; a file that exists is continued."
        ),
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue the sweep of this file.")] = None,
    show: Annotated[Path | None, typer.Option(help="Show the sweep of this file, and train nothing.")] = None,
    as_json: Json = False,
) -> None:
    """Train every setting of a grid with several seeds, and rank them.

    They are compared on a part of the training images; the source's held-out images are not used.
    A setting that is given as an option, as --epochs 5, is that of all points.

    Each result is written at once. Ctrl-C ends; --resume continues, also after a crash.

    Example: [bold]neocog sweep digits --grid lr=0.01,0.05,0.1 --grid filters=4,8,16 --seeds 3[/]

    Example: [bold]neocog sweep photos --epochs 5 --grid optimizer=sgd,adamw --grid seed=3,7[/]

    Example: [bold]neocog sweep --resume sweeps/digits.jsonl --dask tcp://10.0.0.1:8786[/]
    """
    from neocog import sweeps

    described = source or grid or chosen or seeds is not None or validation is not None
    stream = sys.stderr if as_json else sys.stdout
    how: dict[str, Any] = {
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
        found = sweeps.resume(resume, **how)
    else:
        if not source:
            raise ValueError(f"SOURCE is missing: one of {', '.join(source_forms())}.")
        if resume is not None:
            if out is not None or not resume.exists():
                raise ValueError(f"--resume must name an existing file, without --out, got {resume}.")
            out = resume
        found = sweeps.sweep(
            source,
            _grid(grid or [], chosen),
            seeds,
            validation_fraction=0.2 if validation is None else validation,
            out=out or runs.numbered_path("sweeps", source, ".jsonl"),
            **how,
        )
    _report_sweep(found, as_json)
    if found.stopped or found.failures:
        failed = len(found.failures)
        reason = found.stopped or f"{failed} {'point' if failed == 1 else 'points'} failed"
        command = shlex.join(["neocog", "sweep", "--resume", str(found.path)])
        _warn(f"{reason}; continue with: {command}")
        raise typer.Exit(INTERRUPTED if found.stopped == "interrupted" else 1)
    if found.rows and found.best is None:
        _warn("All points diverged: try a smaller lr.")
        raise typer.Exit(1)


def _grid(texts: list[str], chosen: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the grid, with one value for each setting that is an option."""
    from neocog.sweeps import parse_grid

    grid = parse_grid(texts)
    for name, value in chosen.items():
        if name in grid:
            raise ValueError(f"{name} must be given once, got it in --grid and as {OPTIONS[name].flag}.")
        grid[name] = [value]
    return grid


def _warn(text: str) -> None:
    Console(stderr=True, highlight=False).print(escaped(text), soft_wrap=True)


def _report_sweep(found: Sweep, as_json: bool) -> None:
    if as_json:
        page = _save_page(found)
        print(to_json(found.to_dict() | {"figure": None if page is None else str(page)}))
        return
    Console().print(found.table())
    say(f"results: [bold]{escaped(found.path)}[/]")
    if page := _save_page(found):
        say(f"figure:  [bold]{escaped(page)}[/]")
    if found.best is not None:
        say(f"train the best on all training images: [bold]{escaped(found.train_command)}[/]")
    if found.failures:
        failure = found.failures[0].traceback or found.failures[0].error
        say(escaped(f"\nThe first failure:\n{failure}", lines=True))


def _save_page(found: Sweep) -> Path | None:
    """Save the figure next to the results; warn instead of failing if it cannot be drawn."""
    if found.best is None or found.path is None:
        return None
    from neocog import figures

    name = found.path.with_suffix("").name
    pages = [found.path.with_name(f"{name}.html"), found.path.with_name(f"{name}-sweep.html")]
    try:
        for page in pages:
            if not page.exists() or _is_ours(page):
                return figures.save(found.figure(), page, width=900)
    except OSError as error:
        _warn(f"Warning: the figure is not drawn: {error}")
    else:
        _warn(f"Warning: the figure is not drawn: {pages[0]} and {pages[1]} exist and are not a sweep's.")
    return None


def _is_ours(page: Path) -> bool:
    from neocog.figures.sweep import MARK

    return f'"meta":"{MARK}"' in page.read_text(encoding="utf-8", errors="replace")
