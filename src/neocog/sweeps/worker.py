"""One point of a sweep, trained in whatever process it is sent to."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

import neocog
from neocog.data import Split, stratified_split
from neocog.data.sources import open_source
from neocog.kernels import get_threads, set_threads
from neocog.runs import draw_sample, fit_as, network_for
from neocog.settings import Settings
from neocog.training import Callback, NonFiniteLossError, TrainingState

Row: TypeAlias = dict[str, Any]
MEASURES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


@dataclass(frozen=True)
class Task:
    """All that a worker needs to know of a point: little, so that it can be sent anywhere, and again.

    ``fingerprint`` is that of the data, which the worker's must have; ``version`` its neocog's.
    """

    point: int
    settings: Settings
    validation_fraction: float
    fingerprint: str
    version: str = neocog.__version__


@dataclass(frozen=True)
class Failure:
    """A point that could not be trained, which says nothing about its settings; it will be tried again."""

    point: int
    error: str
    traceback: str = ""


Work: TypeAlias = Callable[[Task], "Row | Failure"]


def selection_data(source: str, size: int | None, validation_fraction: float) -> Split:
    """Open a source, and cut its *training* images in two: to train on, and to choose by.

    What the source itself holds out is not looked at: it is for the one network that is chosen. The cut is
    stratified, and the same for all points.

    Raises
    ------
    ValueError, OSError
        If there is no such source, or it cannot be cut so.
    """
    data = open_source(source, size=size)
    return stratified_split(*data.train, validation_fraction, rng=0, class_names=data.class_names)


@functools.lru_cache(maxsize=1)
def _data(source: str, size: int | None, validation_fraction: float, fingerprint: str) -> Split:
    """Open the data once a process."""
    data = selection_data(source, size, validation_fraction)
    if data.fingerprint() != fingerprint:
        raise ValueError(
            f"the data of {source} on {platform.node()} are not those that the sweep began with."
        )
    return data


class _Watch(Callback):
    """Keep hold of the run, also if it fails."""

    def on_start(self, run: TrainingState) -> None:
        self.run = run


def train_point(task: Task) -> Row:
    """Train one point, as ``neocog train`` would, and return its row.

    A loss that is not finite is a result: ``stopped`` is "diverged" and ``error`` says where.
    """
    if task.version != neocog.__version__:
        raise RuntimeError(f"{platform.node()} has neocog {neocog.__version__}, the sweep {task.version}.")
    settings = task.settings
    data = _data(settings.source, settings.size, task.validation_fraction, task.fingerprint)
    network = network_for(settings, data)
    _, rng = draw_sample(settings, len(data.train[1]))
    watch, error = _Watch(), None
    start = time.perf_counter()
    try:
        fit_as(settings, data, network, rng, [watch])
    except NonFiniteLossError as problem:
        error = str(problem)
    seconds = time.perf_counter() - start
    run = watch.run
    if run.stop == "interrupted":
        raise KeyboardInterrupt
    row: Row = {"point": task.point, **asdict(settings)}
    row |= {"epoch": run.epoch, "parameters": network.parameter_count}
    last, accuracies = run.history.last, run.history["val_accuracy"]
    row |= {name: None if error else last[name] for name in MEASURES}
    row["best_val_accuracy"] = None if error else max(accuracies)
    row["best_epoch"] = None if error else accuracies.index(max(accuracies))
    row |= {"seconds": round(seconds, 3), "worker": f"{platform.node()}:{os.getpid()}"}
    return row | {"stopped": "diverged" if error else "", "error": error}


def attempt(task: Task) -> Row | Failure:
    """Train one point; whatever goes wrong is told, not raised."""
    try:
        return train_point(task)
    except Exception as error:
        return Failure(task.point, f"{type(error).__name__}: {error}", traceback.format_exc())


def attempt_in_worker(task: Task) -> Row | Failure:
    """Train one point in a process that is there for such work, of a cluster's."""
    # For good, not for the point alone: another thread of the process may be at another point.
    set_threads(1)
    threadpool_limits(1)
    return attempt(task)


def attempt_in_child(task: Task, parent: int, work: Work = attempt_in_worker) -> Row | Failure:
    """Train one point in a child of the process that began the sweep, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its children
    _end_with(parent)
    return work(task)


@functools.cache
def _end_with(parent: int) -> None:
    """Watch for the parent's death: killed, it cannot end its children, and joblib's wait for minutes."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, as the workers do: the sums of BLAS depend on how many it has."""
    before = get_threads()
    set_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        set_threads(before)
