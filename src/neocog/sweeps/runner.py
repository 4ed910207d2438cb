"""Run a sweep, or continue one."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import neocog
from neocog.data.sources import split_source
from neocog.resolution import resolve
from neocog.runs import network_for, training_split
from neocog.settings import Settings
from neocog.sweeps.executors import (
    ClusterLostError,
    Outcomes,
    run_here,
    run_on_cores,
    run_on_dask,
    sigterm_as_ctrl_c,
)
from neocog.sweeps.grid import at_point, checked_grid, checked_seeds, named, points
from neocog.sweeps.journal import FileLostError, Journal, read
from neocog.sweeps.result import Sweep
from neocog.sweeps.worker import Failure, PointRow, Reading, Task, reading_of, selection_data
from neocog.training.by_name import make_optimizer
from neocog.training.engine import torch_engine
from neocog.validation import integer


def sweep(
    source: str,
    grid: Mapping[str, Sequence[Any]],
    seeds: int | Sequence[int] | None = None,
    *,
    validation_fraction: float = 0.2,
    jobs: int = -1,
    dask: str | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: Callable[[str], object] | None = None,
) -> Sweep:
    """Train every setting of a grid with every seed.

    Parameters
    ----------
    source : str
        See :func:`neocog.data.sources.open_source`. Only its training images are used: the same stratified
        part of them is held out for all points, to choose by. The source's own held-out part is reserved
        for the network that is chosen.
    grid : dict of setting to values
        See ``GRID_KEYS``; other settings take the values that suit the source and the recipe. An
        empty grid is one setting. The values of ``seed`` are the seeds. Where ``held_out`` or how images are
        read varies, points are compared by different images.
    seeds : int, or sequence of int, optional
        Their number, from 0, or the seeds themselves. A seed draws the weights and the batches. Default:
        those of the grid, or the seed 0.
    validation_fraction : float in (0, 1)
        The fraction of the training images to compare by.
    jobs : int
        Points at once, each in a process of its own with one thread; -1 for as many as there are cores; 1 for
        no other process. The results do not depend on it.
    dask : str, optional
        Address of a Dask scheduler, such as "tcp://10.0.0.1:8786", whose workers train the points instead. A
        file's source must lie at the same path for them.
    out : path, optional
        A JSONL file to which each row is appended at once; its name ends in ``.jsonl``. An existing one is
        continued, if it is the same sweep's, begun by the same version of neocog.
    progress : function (str), optional
        Called with a line for each point as it comes, as ``print`` is.

    Returns
    -------
    Sweep
        With the points done so far if Ctrl-C, a full disk or the loss of the cluster ended it; ``stopped``
        holds the reason.

    Raises
    ------
    ValueError, TypeError
        Before anything is trained, if there are more than 100 000 points; if one is not allowed, or does not
        fit the images, or its engine or device is not there; or if ``out`` is another file.
    OSError
        If the data, the file or the cluster cannot be reached.
    ImportError
        If the engine "torch" is named and PyTorch is not installed, or ``dask`` is given and
        ``distributed`` is not installed.

    Examples
    --------
    >>> found = sweep("lines-b", {"lr": [0.03, 0.12], "epochs": [2]}, seeds=2, jobs=1)
    >>> found.best.values
    {'lr': 0.12, 'epochs': 2}
    """
    if not isinstance(source, str):
        raise TypeError(f"source must be a text such as 'digits' or 'folder:PATH', got {source!r}.")
    kind, place = split_source(source)
    source = f"{kind}:{place}" if place else source
    grid = checked_grid(grid)
    if seeds is not None and "seed" in grid:
        raise ValueError(f"seeds must be left out where the grid names them, got {seeds}.")
    of_grid = grid.pop("seed", 1)
    seeds = checked_seeds(of_grid if seeds is None else seeds)
    jobs = -1 if jobs == -1 else integer("jobs", jobs)
    if dask is not None and not re.fullmatch(r"\w+://.+:\d+", dask):
        raise ValueError(f"dask must be a scheduler's address such as tcp://10.0.0.1:8786, got {dask!r}.")
    if dask is not None and importlib.util.find_spec("distributed") is None:
        raise ImportError('a Dask cluster needs distributed: pip install "neocog[dask]".')
    if dask is not None and jobs != -1:
        raise ValueError(f"jobs must be left out with dask, whose workers decide, got {jobs}.")
    path = None if out is None else Path(out)
    if path is not None and path.suffix != ".jsonl":
        raise ValueError(f"out must end in .jsonl, got {path.name!r}.")
    settings = points(source, grid, seeds)
    say = progress or (lambda line: None)
    # A cluster's workers may have a GPU that is not here.
    tasks, images = _prepare(settings, grid, validation_fraction, engines=dask is None)
    header = {
        "source": source,
        "grid": grid,
        "seeds": seeds,
        "validation_fraction": validation_fraction,
        "data": tasks[0].fingerprint,
        "images": images,
        "versions": {
            "neocog": neocog.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    failures: list[Failure] = []
    stopped = ""
    with Journal(path, header) as journal:
        _check_rows(journal.rows, tasks, path)
        done = {row["point"] for row in journal.rows}
        missing = [task for task in tasks if task.point not in done]
        if done:
            say(f"{len(done)} of {len(tasks)} points are done already")
        try:
            with sigterm_as_ctrl_c(), contextlib.closing(_executor(missing, jobs, dask, say)) as outcomes:
                for outcome in outcomes:
                    if isinstance(outcome, Failure):
                        failures.append(outcome)
                    else:
                        journal.append(outcome)
                    say(_line(outcome, settings, grid, len(journal.rows) + len(failures)))
        except KeyboardInterrupt:
            stopped = "interrupted"
        except (ClusterLostError, FileLostError) as error:
            stopped = str(error)
    # The file decides: Ctrl-C may have come after a row was written and before it was appended here.
    rows = journal.rows if path is None else read(path)[1]
    rows = sorted(rows, key=lambda row: int(row["point"]))
    return Sweep(journal.header, rows, sorted(failures, key=lambda f: f.point), stopped, path)


def resume(
    path: str | os.PathLike[str],
    *,
    jobs: int = -1,
    dask: str | None = None,
    progress: Callable[[str], object] | None = None,
) -> Sweep:
    """Continue the sweep of a file: train the missing points.

    Raises
    ------
    ValueError, OSError
        If it is no sweep's file, or its data have changed.
    """
    header, _ = read(path)
    grid = dict(header["grid"])
    return sweep(
        header["source"],
        grid,
        header["seeds"],
        validation_fraction=header["validation_fraction"],
        jobs=jobs,
        dask=dask,
        out=path,
        progress=progress,
    )


def open_sweep(path: str | os.PathLike[str]) -> Sweep:
    """Read the file of a sweep, finished or not, and train nothing.

    Raises
    ------
    ValueError, OSError
        If it is no sweep's file.
    """
    header, rows = read(path)
    return Sweep(header, sorted(rows, key=lambda row: int(row["point"])), [], "", Path(path))


def _prepare(
    settings: list[Settings], keys: Iterable[str], validation_fraction: float, engines: bool
) -> tuple[list[Task], dict[str, int]]:
    """Build every network once, so that one that does not fit the images is found before any is trained.

    With ``engines``, also open every engine once.
    """
    data: dict[Reading, Any] = {}
    seen = set()
    chosen: list[Settings] = []
    for left_open in settings:
        with at_point({key: getattr(left_open, key) for key in keys}):
            reading = reading_of(left_open)
            if reading not in data:
                data[reading] = selection_data(left_open.source, reading, validation_fraction)
            point, _ = resolve(left_open, data[reading])
            point = replace(point, minutes=left_open.minutes)  # which became the epochs
            chosen.append(point)
            case = (reading, point.network, point.filters, point.normalize, point.engine, point.device)
            if case in seen:
                continue
            seen.add(case)
            network = network_for(point, training_split(point, data[reading]))
            if engines and point.engine == "torch":
                loss, optimizer = (
                    point.make_loss(),
                    make_optimizer(point.optimizer, point.lr),
                )
                torch_engine(network, loss, optimizer, point.device)
    prints = {reading: split.fingerprint() for reading, split in data.items()}
    split = data[reading_of(settings[0])]
    images = {"training": len(split.train[1]), "validation": len(split.validation[1])}
    tasks = [Task(k, point, validation_fraction, prints[reading_of(point)]) for k, point in enumerate(chosen)]
    return tasks, images


def _executor(tasks: list[Task], jobs: int, dask: str | None, say: Callable[[str], object]) -> Outcomes:
    if dask is not None and tasks:
        return run_on_dask(tasks, dask, say)
    if jobs == -1:
        from joblib import cpu_count

        jobs = cpu_count()
    jobs = min(jobs, len(tasks))
    if tasks:
        say(f"{len(tasks)} {'point' if len(tasks) == 1 else 'points'}, {jobs} at once")
    return run_here(tasks) if jobs <= 1 else run_on_cores(tasks, jobs)


def _check_rows(rows: list[PointRow], tasks: list[Task], path: Path | None) -> None:
    """Raise ValueError if a row of the file was trained otherwise than its point would be now."""
    for row in rows:
        for name, value in tasks[row["point"]].settings.to_dict().items():
            value = list(value) if isinstance(value, tuple) else value
            if row.get(name) != value:
                raise ValueError(
                    f"{path} is the file of another sweep: its point {row['point']} has the {name} "
                    f"{row.get(name)!r}, not {value!r}."
                )


def _line(outcome: PointRow | Failure, settings: list[Settings], grid: Mapping[str, Any], done: int) -> str:
    """Format a line of progress for a finished point."""
    point = outcome.point if isinstance(outcome, Failure) else outcome["point"]
    chosen = {key: getattr(settings[point], key) for key in (*grid, "seed")}
    text = f"{done:{len(str(len(settings)))}d}/{len(settings)}  {named(chosen)}  "
    if isinstance(outcome, Failure):
        return f"{text}FAILED: {outcome.error}"
    if outcome["error"]:
        return f"{text}diverged: {outcome['error']}"
    return f"{text}validation accuracy {outcome['val_accuracy']:.4f}  {outcome['seconds']:.1f} s"
