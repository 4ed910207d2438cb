"""Time whole small jobs, from the start of a process to its end, under each choice of kernels.

Compiled kernels must be compiled: an empty cache makes a short job slow. "cold" is a run with an empty cache,
"warm" the same run once more.

    python benchmarks/jobs.py NETWORK EPOCHS KERNELS      # is what a process is started with
"""

from __future__ import annotations

import sys
import tempfile
import time
from typing import Any

from timing import WorkerError, in_own_process

KERNELS = ("im2col", "fused", "auto")
WORST = 1.2  # the most that a job under auto may take, as a multiple of the better of im2col and fused

# Networks and epochs; the first job of TinyCNN and of the digits is the book's own.
JOBS = (
    *(("TinyCNN", epochs) for epochs in (80, 240, 800, 2400, 8000)),
    *(("digits", epochs) for epochs in (10, 30, 100, 300, 1000)),
    *(("LeNet-5", epochs) for epochs in (1, 3, 10, 30)),
)


def run(name: str, epochs: int, kernels: str) -> None:
    """Run a job in this process."""
    import numpy as np

    import neocog

    neocog.use_kernels(kernels)
    if name == "TinyCNN":
        data, network = neocog.data.line_patterns("b"), neocog.models.tiny_cnn(seed=3)
        neocog.fit(network, data, optimizer=neocog.SGD(lr=0.12), epochs=epochs, batch_size=18, rng=11)
        return
    data = neocog.data.digits()
    network = neocog.models.digits_cnn(seed=42)
    if name == "LeNet-5":  # on 28 x 28 pixels: every pixel three times as large, and an edge
        (x, t), network = data.train, neocog.models.lenet5(rng=42)
        large = np.kron(x, np.ones((3, 3), x.dtype))
        data = np.pad(large, ((0, 0), (0, 0), (2, 2), (2, 2))), t
    optimizer = neocog.SGD(lr=0.05, momentum=0.9, weight_decay=1e-4)
    neocog.fit(network, data, optimizer=optimizer, epochs=epochs, batch_size=64, rng=42)


def measure(name: str, epochs: int, rounds: int) -> dict[str, Any]:
    """Time a job in turns; return ``{name, epochs, figures: [{kernels, cold, warm}]}``, seconds by round."""
    figures: list[dict[str, Any]] = [{"kernels": kernels, "cold": [], "warm": []} for kernels in KERNELS]
    for _ in range(rounds):
        for figure in figures:
            with tempfile.TemporaryDirectory() as cache:
                for state in ("cold", "warm"):
                    began = time.perf_counter()
                    try:
                        in_own_process("jobs.py", name, str(epochs), figure["kernels"], NUMBA_CACHE_DIR=cache)
                    except WorkerError as failure:
                        figure["failed"] = str(failure)
                        break
                    figure[state].append(time.perf_counter() - began)
    return {"name": name, "epochs": epochs, "figures": figures}


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), sys.argv[3])
