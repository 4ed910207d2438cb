"""Measure how time grows with the batch, the image and the threads, and memory with the data set."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from networks import NETWORKS
from timing import in_own_process, memory, take_turns
from works import Competitor, Work, competitors

PEERS = ("neocog", "torch", "jax", "onnxruntime", "openvino")
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
SIDES = (8, 16, 32, 64, 112, 224)
THREADS = range(1, (os.cpu_count() or 1) + 1)
THREADED = (
    Work("digits", "step", 64),
    Work("LeNet-5", "step", 64),
    Work("ResNet-50", "inference", 1),
    Work("ResNet-50", "inference", 8),
)
MEBIBYTES = (64, 128, 256, 512, 1024, 2048)  # of a data set
DATA_SHAPE = (3, 64, 64)


def points(quick: bool) -> Iterator[tuple[str, int, Work, int | None]]:
    """Yield ``(axis, where on it, work, threads)``; with ``quick`` the ends of the first two axes only."""
    for task in ("step",) if quick else ("step", "inference"):
        for batch in (BATCHES[0], BATCHES[-1]) if quick else BATCHES:
            yield "batch", batch, Work("digits", task, batch), None
        for side in (SIDES[0], SIDES[-1]) if quick else SIDES:
            yield "image side", side, Work("digits", task, 8, side), None
    for work in () if quick else THREADED:
        for threads in THREADS:
            yield "threads", threads, work, threads


def measure(
    axis: str, where: int, work: Work, threads: int | None, rounds: int, seconds: float
) -> dict[str, Any]:
    """Measure a point; return its row with ``axis`` and ``where``."""
    chosen: list[Competitor] = [c for c in competitors(work, quick=True, threads=threads) if c.peer in PEERS]
    return take_turns(work, chosen, rounds, seconds) | {"axis": axis, "where": where}


def measure_data_set(mebibytes: int, rounds: int) -> dict[str, Any]:
    """Train on a data set in a memory-mapped file; return its size, the peak and the speed by round."""
    results = [json.loads(in_own_process("scaling.py", str(mebibytes))) for _ in range(rounds)]
    return {"mebibytes": mebibytes} | {key: [result[key] for result in results] for key in results[0]}


def train_from_file(mebibytes: int) -> dict[str, float]:
    """Train the digits' network for an epoch in this process, its images in a file."""
    import neocog

    neocog.use_kernels("auto")
    count = (mebibytes << 20) // (4 * int(np.prod(DATA_SHAPE)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "images.npy")
        write_images(file, count)
        images, labels = np.load(file, mmap_mode="r"), np.arange(count) % NETWORKS["digits"].classes
        network = neocog.models.digits_cnn(image_shape=DATA_SHAPE)
        before, began = memory("RssAnon"), time.perf_counter()
        with Watch() as watch:
            neocog.fit(network, (images, labels), epochs=1, batch_size=64, rng=0)
        return {"peak": watch.peak - before, "images_per_second": count / (time.perf_counter() - began)}


def write_images(file: Path, count: int) -> None:
    """Write random images, piece by piece."""
    images = np.lib.format.open_memmap(file, "w+", np.float32, (count, *DATA_SHAPE))
    rng = np.random.default_rng(0)
    for start in range(0, count, 1024):
        part = images[start : start + 1024]
        part[...] = rng.random(part.shape, np.float32)
    images.flush()


class Watch:
    """The peak of a process's own memory, sampled every few milliseconds.

    Pages of a mapped file are not its own: the system takes them back when it needs room, but ``ru_maxrss``
    counts them.
    """

    def __enter__(self) -> Watch:
        self.peak, self._done = memory("RssAnon"), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._done.wait(0.005):
            self.peak = max(self.peak, memory("RssAnon"))

    def __exit__(self, *_: Any) -> None:
        self._done.set()
        self._thread.join()


if __name__ == "__main__":
    print(json.dumps(train_from_file(int(sys.argv[1]))))
