"""Time whole jobs beside PyTorch's, from the start of a process to the accuracy: images in, network learned.

neocog's are run with an empty cache of compiled kernels (cold) and once more (warm); PyTorch has none.

    python benchmarks/whole.py JOB LIBRARY FOLDER      # is what a process is started with
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from networks import NETWORKS
from timing import WorkerError, in_own_process

JOBS = {"MNIST": "8000 images of 28 x 28, 5 epochs", "photographs": "400 photographs in a folder, 5 epochs"}
TARGETS = {"MNIST": {"warm": 5, "cold": 2.2}, "photographs": {}}
EPOCHS, BATCH = 5, {"MNIST": 64, "photographs": 32}


def prepare(job: str, folder: Path, count: int | None = None) -> None:
    """Write the images of a job into a folder; ``count`` instead of all of them."""
    if job == "MNIST":
        from sklearn.datasets import load_digits

        # Scanned digits, three times as large, each moved and with noise: no two are the same.
        rng, (small, labels) = np.random.default_rng(0), load_digits(return_X_y=True)
        chosen = rng.integers(0, len(small), (count or 8000) + 1000)
        large = np.kron(small[chosen].reshape(-1, 8, 8), np.ones((3, 3))) / 16
        x = rng.normal(0.1, 0.1, (len(chosen), 1, 28, 28))
        for image, digit, (i, j) in zip(x[:, 0], large, rng.integers(0, 5, (len(chosen), 2)), strict=True):
            image[i : i + 24, j : j + 24] += digit
        np.savez(folder / "images.npz", x=x.astype(np.float32), y=labels[chosen])
        return
    from loading import make_pictures

    make_pictures(folder, count or 400)
    for k, path in enumerate(sorted(folder.glob("*.jpg"))):  # they alternate
        (folder / "ab"[k % 2]).mkdir(exist_ok=True)
        path.rename(folder / "ab"[k % 2] / path.name)


def with_neocog(job: str, folder: Path) -> float:
    """Learn the images in a folder; return the accuracy on those held out."""
    import neocog
    from competitors.neocog_ import build

    neocog.use_kernels("auto")  # as it comes
    network = NETWORKS[job]
    if job == "MNIST":
        with np.load(folder / "images.npz") as file:
            x, y = file["x"], file["y"]
        train, held_out = (x[1000:], y[1000:]), (x[:1000], y[:1000])
    else:
        split = neocog.data.image_folder(folder, network.image)
        train, held_out = split.train, split.validation
    made = build(network)
    neocog.fit(made, train, optimizer=neocog.SGD(**network.sgd), epochs=EPOCHS, batch_size=BATCH[job], rng=0)
    return neocog.evaluate(made, *held_out).accuracy


def with_torch(job: str, folder: Path) -> float:
    """Do the same with PyTorch: MNIST's images are in memory, photographs are read by two processes."""
    import torch

    from competitors.torch_ import build

    network, generator = NETWORKS[job], torch.Generator().manual_seed(0)
    made = build(network, channels_last=False)
    optimizer, loss = torch.optim.SGD(made.parameters(), **network.sgd), torch.nn.CrossEntropyLoss()
    if job == "MNIST":
        with np.load(folder / "images.npz") as file:
            x, y = torch.from_numpy(file["x"]), torch.from_numpy(file["y"])
        held_out = [(x[:1000], y[:1000])]

        def epoch():
            for chosen in (torch.randperm(len(x) - 1000, generator=generator) + 1000).split(BATCH[job]):
                yield x[chosen], y[chosen]
    else:
        from loading import loader

        paths = sorted(folder.glob("*/*.jpg"), key=lambda path: path.name)
        labels = [int(path.parent.name == "b") for path in paths]
        parts = [[k for k in range(len(paths)) if (k // 2 % 5 == 0) == out] for out in (False, True)]
        epochs, held_out = (
            loader([paths[k] for k in part], True, [labels[k] for k in part]) for part in parts
        )

        def epoch():
            return epochs

    for _ in range(EPOCHS):
        for images, t in epoch():
            optimizer.zero_grad()
            loss(made(images), t).backward()
            optimizer.step()
    made.eval()
    with torch.inference_mode():
        right = torch.cat([made(images).argmax(1) == t for images, t in held_out])
    return right.float().mean().item()


def run(job: str, library: str, folder: str) -> None:
    """Run a job in this process; print its accuracy."""
    accuracy = {"neocog": with_neocog, "torch": with_torch}[library](job, Path(folder))
    print(json.dumps(accuracy))


def measure(job: str, rounds: int, count: int | None = None) -> dict[str, Any]:
    """Time a job in turns; return ``{title, targets, figures}``.

    Each figure has the seconds by round, ``cold`` and ``warm``, and the accuracies; PyTorch's is warm.
    """
    figures: list[dict[str, Any]] = [
        {"peer": peer, "cold": [], "warm": [], "accuracy": []} for peer in ("neocog", "torch")
    ]
    with tempfile.TemporaryDirectory() as folder:
        prepare(job, Path(folder), count)
        for _ in range(rounds):
            for figure in figures:
                with tempfile.TemporaryDirectory() as cache:
                    for state in ("cold", "warm") if figure["peer"] == "neocog" else ("warm",):
                        began = time.perf_counter()
                        try:
                            told = in_own_process(
                                "whole.py", job, figure["peer"], folder, NUMBA_CACHE_DIR=cache
                            )
                        except WorkerError as failure:
                            figure["failed"] = str(failure)
                            break
                        figure[state].append(time.perf_counter() - began)
                        figure["accuracy"].append(json.loads(told))
    return {"title": JOBS[job], "targets": TARGETS[job], "figures": figures}


if __name__ == "__main__":
    run(*sys.argv[1:])
