"""Measure time and memory of a work: every competitor in a process of its own, in turns.

Taking turns (A B C A B C ...), a machine that slows down slows down for all. A process builds its network,
does the work until it is warm, then times chunks of calls; its figure is the median. Every process also
returns what it has computed, and all must agree.

    python benchmarks/timing.py '{"library": ...}'      # is what a worker is started with
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from works import Competitor, Work

CHUNK = 0.01  # seconds; shorter calls are timed together
TOLERANCE = 0.01  # of results; batch norm magnifies rounding from step to step


class WorkerError(Exception):
    """A worker that did not finish; the message is its last line."""


# In the worker


def memory(kind: str) -> int:
    """Return VmRSS (now), VmHWM (the peak) or RssAnon (now, without files mapped into memory), in bytes.

    Where Linux does not say, the peak so far, ``ru_maxrss``; on Linux a child's begins with its parent's.
    """
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(kind))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << (0 if sys.platform == "darwin" else 10)


def forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def perform(
    library: str, name: str, task: str, batch: int, side: int | None, options: dict[str, bool], seconds: float
) -> dict[str, Any]:
    """Run one competitor's work in this process; return seconds a call, memory, and results."""
    network = Work(name, task, batch, side).network
    module = importlib.import_module(f"competitors.{library}_")
    imported = memory("VmRSS")
    images, labels = network.images(*([network.epoch] if task == "epoch" else []), batch)
    arrays = [images] if task == "inference" else [images, labels]
    getattr(module, "prepare", lambda network: None)(network)

    began = time.perf_counter()
    call = getattr(module, task)(network, *arrays, **options)
    forget_peak()
    answer = [call()]
    first = time.perf_counter() - began
    if task.startswith("step"):  # the second loss tells whether the first step went the right way
        answer.append(call())
    else:  # the first image's outputs, or the loss of the epoch's first step
        answer = answer[0][:1]
    per_call = timed(call, seconds)
    return {
        "seconds": per_call / (network.epoch if task == "epoch" else 1),
        "first": first,
        "imported": imported,
        "peak": memory("VmHWM"),
        "answer": None if network.draws and task != "inference" else np.ravel(answer).tolist(),
    }


def timed(call: Callable[[], Any], seconds: float) -> float:
    """Return the seconds of a call: the median over chunks."""
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < 0.3 * seconds or calls < 1:
        call()
        calls += 1
    chunk = max(1, round(CHUNK * calls / (time.perf_counter() - began)))
    times: list[float] = []
    start = time.perf_counter()
    while time.perf_counter() - start < seconds or len(times) < 3:
        began = time.perf_counter()
        for _ in range(chunk):
            call()
        times.append((time.perf_counter() - began) / chunk)
    return statistics.median(times)


# In the parent


def use_threads(count: int) -> dict[str, str]:
    """Return the environment of a worker that may use so many threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NEOCOG_NUM_THREADS")
    return dict.fromkeys(names, str(count))


def in_own_process(script: str, *arguments: str, **environment: str) -> str:
    """Run a script of this folder; return the last line that it prints."""
    command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        named = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
        raise WorkerError((named or lines)[-1])
    return (done.stdout.splitlines() or [""])[-1]


def take_turns(
    row: Work, competitors: list[Competitor], rounds: int, seconds: float, title: str = ""
) -> dict[str, Any]:
    """Measure a work; return it with ``figures``, one a competitor, in lists with an entry a round."""
    figures: list[dict[str, Any]] = [
        {"peer": c.peer, "setting": c.setting, "seconds": [], "first": [], "imported": [], "peak": []}
        for c in competitors
    ]
    for _ in range(rounds):
        for competitor, figure in zip(competitors, figures, strict=True):
            if "failed" in figure:
                continue
            try:
                result = in_competitor(competitor, row, seconds)
            except WorkerError as failure:
                figure["failed"] = str(failure)
                continue
            figure["answer"] = result.pop("answer")
            for key, value in result.items():
                figure[key].append(value)
    check(figures)
    return {
        "title": title or row.title,
        "name": row.name,
        "task": row.task,
        "batch": row.batch,
        "side": row.side or row.network.image[1],
        "targets": row.targets,
        "figures": figures,
    }


def in_competitor(competitor: Competitor, row: Work, seconds: float) -> dict[str, Any]:
    """Start a worker; return what it measured."""
    task = {
        "library": competitor.library,
        "name": row.name,
        "task": competitor.task or row.task,
        "batch": row.batch,
        "side": row.side,
        "options": competitor.options,
        "seconds": seconds,
    }
    environment = {} if competitor.threads is None else use_threads(competitor.threads)
    result: dict[str, Any] = json.loads(in_own_process("timing.py", json.dumps(task), **environment))
    return result


def check(figures: list[dict[str, Any]]) -> None:
    """Discard competitors whose outputs, or first losses, differ from the median of all."""
    answers = [figure.pop("answer", None) or [] for figure in figures]
    longest = max(map(len, answers))  # an epoch only tells its first loss
    table = np.array([answer + [np.nan] * (longest - len(answer)) for answer in answers])
    told = [figure for figure, answer in zip(figures, answers, strict=True) if answer]
    table = table[[bool(answer) for answer in answers]]
    for figure, answer in zip(told, table, strict=True):
        wanted = np.nanmedian(table, axis=0)
        far = np.nanmax(np.abs(answer - wanted)) / np.abs(wanted).max()
        if not far < TOLERANCE:
            figure |= {"failed": f"its results differ by {far:.1%}", "seconds": []}


if __name__ == "__main__":
    print(json.dumps(perform(**json.loads(sys.argv[1]))))
