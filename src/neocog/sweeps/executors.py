"""Train points in this process, on all cores, or on a cluster."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import uuid
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, TypeAlias

from neocog.sweeps.worker import (
    Failure,
    PointRow,
    Task,
    Work,
    attempt,
    attempt_in_child,
    attempt_in_worker,
    one_thread,
)

Outcomes: TypeAlias = "Generator[PointRow | Failure, None, None]"
CONNECT_SECONDS = 10


class ClusterLostError(ConnectionError):
    """The scheduler of the cluster no longer responds."""


def run_here(tasks: Sequence[Task]) -> Outcomes:
    """Train one point after the other."""
    with one_thread():
        for task in tasks:
            yield attempt(task)


def run_on_cores(tasks: Sequence[Task], jobs: int, work: Work = attempt_in_worker) -> Outcomes:
    """Train ``jobs`` points at once, each in a process of joblib's; yield the outcomes in order of arrival.

    If a process dies, joblib stops: the missing points are started again. If none came back, those that were
    running are tried one by one, to find the one that kills its process.

    The processes are ended with the sweep: they have one thread and ignore Ctrl-C, which other users of
    joblib would not expect.
    """
    from joblib.externals.loky import get_reusable_executor

    try:
        yield from _run_on_cores(tasks, jobs, work)
    finally:
        get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)


def _run_on_cores(tasks: Sequence[Task], jobs: int, work: Work) -> Outcomes:
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    missing = {task.point: task for task in tasks}
    while missing:
        before = len(missing)
        try:
            for outcome in _parallel(list(missing.values()), jobs, work):
                del missing[_point(outcome)]
                yield outcome
        except TerminatedWorkerError:
            if len(missing) == before:
                for task in list(missing.values())[:jobs]:
                    del missing[task.point]
                    yield _alone(task, work, TerminatedWorkerError)


def _parallel(tasks: Sequence[Task], jobs: int, work: Work) -> Outcomes:
    from joblib import Parallel, delayed, parallel_config

    with parallel_config(backend="loky", inner_max_num_threads=1):
        parallel = Parallel(n_jobs=jobs, batch_size=1, return_as="generator_unordered")
    with warnings.catch_warnings():
        # Harmless: joblib replaces a worker that has loaded a large package, and cancels tasks after Ctrl-C.
        warnings.filterwarnings("ignore", "A worker stopped|.* tasks which were", UserWarning)
        with _sigint_ignored(), _tracker_is_quiet():  # this starts the processes
            outcomes = parallel(delayed(attempt_in_child)(task, os.getpid(), work) for task in tasks)
        yield from outcomes


@contextlib.contextmanager
def _tracker_is_quiet() -> Iterator[None]:
    """Start joblib's process that removes what a killed sweep leaves behind so that it does not report it."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [before, "ignore:resource_tracker:UserWarning"]))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


@contextlib.contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM interrupt as Ctrl-C does, unless the program handles or ignores it itself."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def _sigint_ignored() -> Iterator[None]:
    """Make processes that are started here ignore Ctrl-C from the start; the parent handles it."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set signals
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _alone(task: Task, work: Work, death: type[Exception]) -> PointRow | Failure:
    try:
        (outcome,) = _parallel([task], 2, work)  # with one job joblib would run it in this process
    except death:
        return Failure(task.point, "the process died; was there enough memory?")
    return outcome


def run_on_dask(
    tasks: Sequence[Task],
    address: str,
    say: Callable[[str], object],
    work: Work = attempt_in_worker,
) -> Outcomes:
    """Train the points on a Dask cluster; yield the outcomes in order of arrival.

    Dask moves the points of a dead worker to others. joblib's own Dask backend does so too, but waits
    forever if Dask gives a point up, as it does when four workers have died of it (joblib 1.6): hence
    Dask's futures.

    Raises
    ------
    OSError
        If there is no scheduler at the address.
    ClusterLostError
        If the connection to the scheduler is lost while points are trained.
    """
    from distributed import Client, KilledWorker, as_completed

    with Client(address, timeout=CONNECT_SECONDS, set_as_default=False) as client:  # type: ignore[no-untyped-call]
        threads = sum(client.nthreads().values())
        say(f"{threads} threads at {address}" if threads else f"{address} has no workers yet: waiting")
        sweep = uuid.uuid4().hex[:8]
        waiting: dict[Any, int] = {}

        def outcomes(tasks: Sequence[Task], attempt: int) -> Outcomes:
            for t in tasks:
                waiting[client.submit(work, t, key=f"point-{t.point}-{attempt}-{sweep}")] = t.point
            for future in as_completed(list(waiting), loop=client.loop):  # type: ignore[no-untyped-call]
                outcome = _outcome(future, waiting.pop(future))
                # otherwise Dask would train a point again if the worker that holds its row dies
                future.release()
                yield outcome

        try:
            suspects = []  # Dask also gives up points that only waited for a worker that died
            for outcome in outcomes(tasks, 1):
                if isinstance(outcome, Failure) and outcome.error.startswith(KilledWorker.__name__):
                    suspects += [task for task in tasks if task.point == outcome.point]
                else:
                    yield outcome
            for task in suspects:
                yield from outcomes([task], 2)
        finally:
            client.cancel(list(waiting), force=True)


def _outcome(future: Any, point: int) -> PointRow | Failure:
    if future.status == "finished":
        outcome: PointRow | Failure = future.result()
        return outcome
    if future.status == "error":
        error = future.exception()
        return Failure(point, f"{type(error).__name__}: {error}")
    raise ClusterLostError("the Dask scheduler is lost")


def _point(outcome: PointRow | Failure) -> int:
    return outcome.point if isinstance(outcome, Failure) else int(outcome["point"])
