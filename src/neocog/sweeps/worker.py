"""Train one point of a sweep, in any process that it is sent to."""

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
from dataclasses import dataclass
from typing import Any, TypeAlias

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

import neocog
from neocog.data import Split, stratified_split
from neocog.data.sources import open_source
from neocog.kernels import get_threads, set_threads
from neocog.runs import choosing_callbacks, draw_sample, fit_as, network_for, training_split
from neocog.settings import Settings
from neocog.training import Callback, NonFiniteLossError, TrainingState, evaluate

PointRow: TypeAlias = dict[str, Any]
MEASURES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


@dataclass(frozen=True)
class Task:
    """Describe a point in few bytes, so that it can be sent to any worker, and sent again.

    The worker's data must have this ``fingerprint``, and its neocog this ``version``.
    """

    point: int
    settings: Settings
    validation_fraction: float
    fingerprint: str
    version: str = neocog.__version__


@dataclass(frozen=True)
class Failure:
    """Describe an error that does not depend on the point's settings; the point will be tried again."""

    point: int
    error: str
    traceback: str = ""


Reading: TypeAlias = tuple[tuple[str, Any], ...]


def reading_of(settings: Settings) -> Reading:
    """Return how a point's images are read, as pairs of option and value: a key of the data."""
    return (*settings.reading.items(), ("validation_fraction", settings.held_out))


Work: TypeAlias = Callable[[Task], "PointRow | Failure"]


def selection_data(source: str, reading: Reading, validation_fraction: float) -> Split:
    """Open a source and split its *training* images: into some to train on, and some to compare by.

    The source's own held-out images are not used: they are for the one network that is chosen. The split is
    stratified, and the same for all points.

    Raises
    ------
    ValueError, OSError
        If there is no such source, or it cannot be split so.
    """
    data = open_source(source, **dict(reading))
    split = stratified_split(*data.train, validation_fraction, 0, data.class_names, data.groups)
    split.preprocessing = data.preprocessing
    return split


@functools.lru_cache(maxsize=1)
def _data(source: str, reading: Reading, validation_fraction: float, fingerprint: str) -> Split:
    """Open the data, once in each process."""
    data = selection_data(source, reading, validation_fraction)
    if data.fingerprint() != fingerprint:
        raise ValueError(
            f"the data of {source} on {platform.node()} are not those that the sweep began with."
        )
    return data


class _Watch(Callback):
    """Keep a reference to the run, also if it fails."""

    def on_start(self, run: TrainingState) -> None:
        self.run = run


def train_point(task: Task) -> PointRow:
    """Train one point, as ``neocog train`` would, and return its row.

    A loss that is not finite is a result: ``stopped`` is "diverged" and ``error`` says where.
    """
    if task.version != neocog.__version__:
        raise RuntimeError(f"{platform.node()} has neocog {neocog.__version__}, the sweep {task.version}.")
    settings = task.settings
    data = _data(settings.source, reading_of(settings), task.validation_fraction, task.fingerprint)
    split = training_split(settings, data)
    network = network_for(settings, split)
    _, rng = draw_sample(settings, len(split.train[1]))
    watch, error = _Watch(), None
    start = time.perf_counter()
    try:
        fit_as(settings, split, network, rng, [*choosing_callbacks(settings), watch])
    except NonFiniteLossError as problem:
        error = str(problem)
    seconds = time.perf_counter() - start
    run = watch.run
    if run.stop == "interrupted":
        raise KeyboardInterrupt
    row: PointRow = {"point": task.point, **settings.to_dict()}
    row |= {"epoch": run.epoch, "parameters": network.parameter_count}
    last, accuracies = run.history.last, run.history["val_accuracy"]
    row |= {name: None if error else last[name] for name in MEASURES}
    if settings.validation and not error:  # other images have chosen the epoch: these measure what was kept
        images, labels = data.validation or data.train  # selection_data has always both
        compared = evaluate(network, images, labels)
        row |= {"val_loss": compared.loss, "val_accuracy": compared.accuracy}
    row["best_val_accuracy"] = None if error else max(accuracies)
    row["best_epoch"] = None if error else accuracies.index(max(accuracies))
    row |= {"seconds": round(seconds, 3), "worker": f"{platform.node()}:{os.getpid()}"}
    return row | {"stopped": "diverged" if error else "", "error": error}


def attempt(task: Task) -> PointRow | Failure:
    """Train one point; errors are returned as a Failure, not raised."""
    try:
        return train_point(task)
    except Exception as error:
        return Failure(task.point, f"{type(error).__name__}: {error}", traceback.format_exc())


def attempt_in_worker(task: Task) -> PointRow | Failure:
    """Train one point in a worker process, and limit that process to one thread."""
    # Not only during this point: another thread of the process may be training another one.
    set_threads(1)
    threadpool_limits(1)
    return attempt(task)


def attempt_in_child(task: Task, parent: int, work: Work = attempt_in_worker) -> PointRow | Failure:
    """Train one point in a child of the process that began the sweep; exit when that process exits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its children
    _end_with(parent)
    return work(task)


@functools.cache
def _end_with(parent: int) -> None:
    """Exit when the parent is gone: killed, it cannot end its children, and joblib's wait for minutes."""

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
