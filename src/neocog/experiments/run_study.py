"""List studies and run them, with several seeds in parallel."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from neocog.experiments.study import STUDIES, Outcome, Study, find_study
from neocog.experiments.study_result import Result
from neocog.kernels import active_kernels, missing_numba, use_kernels
from neocog.validation import integer

if TYPE_CHECKING:
    from rich.table import Table

THEMES = (
    "comparison",
    "classes",
    "features",
    "architecture",
    "optimisation",
    "generalisation",
    "depth",
    "digits",
    "pytorch",
    "transfer",
)
Progress: TypeAlias = "Callable[[int, int], object] | bool | None"
PROCESSES_PAY_FROM = 8.0
"""Seconds of work from which other processes are started, each of which takes some seconds to start."""


def list_experiments() -> list[Study]:
    """Return all studies, theme by theme.

    Examples
    --------
    >>> [study.name for study in list_experiments()][:2]
    ['cnn-vs-mlp', 'mlp-capacity']
    """
    order = {theme: i for i, theme in enumerate(THEMES)}
    return sorted(STUDIES.values(), key=lambda study: order.get(study.theme, len(order)))


def experiments_table() -> Table:
    """Return the list of studies as a Rich table."""
    from rich.table import Table
    from rich.text import Text

    table = Table("name", "theme", "question")
    for study in list_experiments():
        table.add_row(Text(study.name, no_wrap=True), study.theme, Text(study.question))
    return table


def run(
    name: str, seeds: int | None = None, jobs: int = -1, progress: Progress = None, **parameters: Any
) -> Result:
    """Run a study, by default with ten seeds.

    Parameters
    ----------
    name : str
        See :func:`list_experiments`.
    seeds : int, optional
        Number of repetitions; by default the study's own number, ten unless that takes too long. Repetition 0
        has the textbook's seeds; repetition r adds 100 r to the seeds of the weights and of the batches. The
        data stay the same.
    jobs : int
        Number of parallel processes; -1 for as many as there are cores, where starting them pays. The result
        does not depend on it.
    progress : function (done, total), or True for a bar on standard error
        Called at the start and after each repetition.
    **parameters
        Change the study's parameters, whose defaults are the textbook's protocol.

    Raises
    ------
    ValueError
        If there is no such study, or an argument is out of range.
    TypeError
        If the study has no such parameter.
    ImportError
        If the study needs a package that is not installed.

    Notes
    -----
    A study without randomness (``random`` is False) is run once, whatever ``seeds``. Where the kernels are
    ``auto``, a study computes with the ``fused`` ones if Numba is there.

    Examples
    --------
    >>> result = run("shapes-and-parameters")
    >>> result.rows[0]["by_formula"]
    '16 x 8 x 28 x 28'
    """
    study = find_study(name)
    settings = study.settings(parameters)
    count = study.seeds if seeds is None else integer("seeds", seeds)
    jobs = -1 if jobs == -1 else integer("jobs", jobs)
    count = count if study.random else 1
    with _reporter(progress, study.name) as report:
        report(0, count)
        outcomes = []
        for outcome in _outcomes(study, settings, count, jobs):
            outcomes.append(outcome)
            report(len(outcomes), count)
    return Result.of(study, settings, outcomes)


def _outcomes(study: Study, settings: dict[str, Any], count: int, jobs: int) -> Iterator[Outcome]:
    """Yield the outcome of every repetition, in order: the first two are computed here."""
    kernels = "fused" if active_kernels() == "auto" and not missing_numba() else active_kernels()
    tasks = [(study.function, repetition, settings, kernels) for repetition in range(count)]
    began = 0.0
    for task in tasks[:2]:
        began = time.process_time()  # of the second, after all kernels are compiled
        yield _repeat(*task)
    rest = tasks[2:]
    if not rest:
        return
    if jobs == 1 or (time.process_time() - began) * len(rest) < PROCESSES_PAY_FROM:
        yield from (_repeat(*task) for task in rest)
        return
    from joblib import Parallel, delayed

    with warnings.catch_warnings():  # harmless: joblib replaces a worker that has loaded a large package
        warnings.filterwarnings("ignore", "A worker stopped", UserWarning)
        yield from Parallel(n_jobs=jobs, return_as="generator")(delayed(_repeat)(*task) for task in rest)


def _repeat(
    function: Callable[..., Outcome], repetition: int, settings: dict[str, Any], kernels: str
) -> Outcome:
    with use_kernels(kernels):
        return function(repetition=repetition, **settings)


@contextlib.contextmanager
def _reporter(progress: Progress, name: str) -> Iterator[Callable[[int, int], object]]:
    """Provide the function to call after each repetition."""
    if progress is not True:
        yield progress if callable(progress) else lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
