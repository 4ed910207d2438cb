"""Measure neocog beside PyTorch, JAX, ONNX Runtime and OpenVINO: time, memory, whole jobs, scaling.

    python benchmarks/bench.py [--quick] [--rows WORDS] [--json FILE]
    python benchmarks/results.py FILE [FILE ...]                          # makes RESULTS.md of it

Each competitor runs in a process of its own, in turns; see timing.py.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jobs
import machine
import results
import scaling
import timing
import whole
import works

KINDS = ("rows", "jobs", "whole", "scaling", "data_sets")
QUICK = ("TinyCNN", "digits", "LeNet-5", "AlexNet inference, 1 image", "ResNet-50 inference, 1 image")


def plan(options: argparse.Namespace) -> Iterator[tuple[str, str, Callable[[], dict]]]:
    """Yield ``(kind, title, how to measure it)``, in the order of the page."""
    quick, rounds, seconds = options.quick, options.rounds, options.seconds
    for work, threads in itertools.product(works.WORKS, options.threads or [None]):
        if not quick or work.title.startswith(QUICK):
            them = works.competitors(work, quick, threads)
            title = work.title + works.with_threads(threads)
            yield "rows", title, functools.partial(timing.take_turns, work, them, rounds, seconds, title)

    few = (rounds + 1) // 2
    for name, epochs in jobs.JOBS[:1] if quick else jobs.JOBS:
        yield "jobs", f"job {name}, {epochs} epochs", functools.partial(jobs.measure, name, epochs, few)
    for job, title in () if quick else whole.JOBS.items():
        yield "whole", f"whole job: {title}", functools.partial(whole.measure, job, few)
    for point in scaling.points(quick):
        axis, where, work, _ = point
        title = f"scaling {axis} {where}: {work.title}"
        yield "scaling", title, functools.partial(scaling.measure, *point, few, seconds)
    for size in scaling.MEBIBYTES[:1] if quick else scaling.MEBIBYTES:
        yield "data_sets", f"data set of {size} MiB", functools.partial(scaling.measure_data_set, size, few)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="one short round of the smaller works: 2 minutes"
    )
    parser.add_argument("--kind", choices=KINDS, help="only these tables")
    parser.add_argument("--rows", default="", metavar="WORDS", help="only what has these words in its title")
    parser.add_argument("--rounds", type=int, help="of turns (default 5; 3 for jobs and scaling)")
    parser.add_argument("--seconds", type=float, help="of timing in each process (default 0.5)")
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        metavar="N",
        help="measure the rows with these numbers of threads (default: as many as each library chooses)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (0.1 if options.quick else 0.5)
    return options


def main() -> None:
    options = parse()
    run = {
        "machine": machine.describe(),
        "options": {name: getattr(options, name) for name in ("quick", "rounds", "seconds", "threads")},
        **{kind: [] for kind in KINDS},
    }
    chosen = [
        row
        for row in plan(options)
        if options.rows.lower() in row[1].lower() and options.kind in (None, row[0])
    ]
    if options.threads and len(options.threads) == 1:  # for what is not a row, too
        os.environ |= timing.use_threads(*options.threads)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NEOCOG_BENCH_FOLDER"] = folder  # where workers leave files for each other
        for k, (kind, title, measure) in enumerate(chosen, start=1):
            began = time.perf_counter()
            try:
                run[kind].append(measure())
            except timing.WorkerError as failure:
                title = f"{title} FAILED ({failure})"
            print(f"{k}/{len(chosen)} {title}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
            if options.json:
                options.json.write_text(json.dumps(run))
    print(results.markdown([run]))


if __name__ == "__main__":
    main()
