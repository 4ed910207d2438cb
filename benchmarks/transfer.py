"""Measure what pretraining is worth: learn the digits 5 to 9 from a few images, after 0 to 4 or from nothing.

    python benchmarks/transfer.py [--seeds 10] [--json transfer.json]

For each seed a network is trained on all training images of the digits 0 to 4. Then 5, 10 and 20 training
images of each of the digits 5 to 9, drawn anew for each seed, are learned in four ways that see the same
images in the same batches: a new head on the frozen features; a new head, and the features at a tenth of the
rate; a new head, and everything at the same rate; and everything from random weights. What is reported is the
accuracy on all test images of 5 to 9, on the way and at the end: mean and standard deviation over the seeds.
Each way has the learning rate, of 0.001 to 0.1, that is best for 10 images in three other draws, measured on
the training images that were not drawn; the test images choose nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from neocog import fit, use_kernels
from neocog.data import Split, digits
from neocog.layers import Sequential
from neocog.models import small_cnn, with_new_head
from neocog.optimizers import AdamW
from neocog.training import Callback

OLD, NEW = (0, 1, 2, 3, 4), (5, 6, 7, 8, 9)
COUNTS = (5, 10, 20)
PRETRAINING_EPOCHS, BATCH = 20, 32
EPOCHS, FEW = 60, 10
DECAY = 0.05
RATES, CHOOSING = (0.001, 0.003, 0.01, 0.03, 0.1), (100, 101, 102)
MARKS = (1, 2, 5, 10, 20, 40, EPOCHS)
WAYS = ("frozen", "features at a tenth", "unfrozen", "from nothing")


class Curve(Callback):
    """Keep the accuracy on the test images after some epochs."""

    def __init__(self) -> None:
        self.accuracies: list[float] = []

    def on_epoch(self, state) -> None:
        if state.epoch in MARKS:
            self.accuracies.append(float(state.history.last["val_accuracy"]))


def of_classes(data: Split, classes: tuple[int, ...]) -> Split:
    """Return the images of some classes, numbered anew."""

    def part(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chosen = np.isin(labels, classes)
        return images[chosen], np.searchsorted(classes, labels[chosen])

    return Split(part(*data.train), part(*data.validation), tuple(map(str, classes)))


def few_of(data: Split, count: int, seed: int, test: bool) -> Split:
    """Return so many training images of each class, to be measured on the test images, or on those left."""
    images, labels = data.train
    rng = np.random.default_rng(seed)
    chosen = np.concatenate([rng.choice(np.flatnonzero(labels == k), count, replace=False) for k in range(5)])
    left = np.setdiff1d(np.arange(len(labels)), chosen)
    measured = data.validation if test else (images[left], labels[left])
    return Split((images[chosen], labels[chosen]), measured, data.class_names)


def pretrained(data: Split, seed: int) -> Sequential:
    """Train a network on the old classes."""
    network = small_cnn(seed, len(OLD))
    optimizer = AdamW(0.003, weight_decay=DECAY)
    fit(network, data, optimizer=optimizer, epochs=PRETRAINING_EPOCHS, batch_size=BATCH, rng=seed)
    return network


def learn(way: str, parent: Sequential, few: Split, rate: float, seed: int) -> list[float]:
    """Learn the new classes in one way; return the accuracies on the way."""
    network, rates = beginnings(parent, seed)[way]()
    curve = Curve()
    optimizer = AdamW(rate, weight_decay=DECAY, rates=rates)
    fit(network, few, optimizer=optimizer, epochs=EPOCHS, batch_size=FEW, rng=seed, callbacks=[curve])
    return curve.accuracies


def chosen_rates(old: Split, new: Split) -> dict[str, float]:
    """Return the best rate of each way."""
    reached: dict[tuple[str, float], float] = {}
    for seed in CHOOSING:
        parent, few = pretrained(old, seed), few_of(new, 10, seed, test=False)
        for way in WAYS:
            for rate in RATES:
                last = learn(way, parent, few, rate, seed)[-1]
                reached[way, rate] = reached.get((way, rate), 0.0) + last / len(CHOOSING)
    return {way: max(RATES, key=lambda rate: reached[way, rate]) for way in WAYS}


def beginnings(parent: Sequential, seed: int) -> dict[str, Callable[[], tuple[Sequential, dict | None]]]:
    """Return a function for each way: the network to begin with, and the rates of its parts."""

    def new_head() -> Sequential:
        return with_new_head(parent, len(NEW), rng=1000 + seed)

    def frozen() -> tuple[Sequential, None]:
        network = new_head()
        network.freeze("features")
        return network, None

    return {
        "frozen": frozen,
        "features at a tenth": lambda: (new_head(), {"features": 0.1}),
        "unfrozen": lambda: (new_head(), None),
        "from nothing": lambda: (small_cnn(1000 + seed, len(NEW)), None),
    }


def measure(seeds: int) -> dict:
    """Return the accuracies by way and count: an array (seeds, marks) each."""
    data = digits()
    old, new = of_classes(data, OLD), of_classes(data, NEW)
    rates = chosen_rates(old, new)
    print("learning rates:", rates, flush=True)
    curves: dict[str, list[list[float]]] = {}
    for seed in range(seeds):
        parent = pretrained(old, seed)
        for count in COUNTS:
            few = few_of(new, count, seed, test=True)
            for way in WAYS:
                curves.setdefault(f"{way}/{count}", []).append(learn(way, parent, few, rates[way], seed))
        print(f"seed {seed} of {seeds}", flush=True)
    return {"seeds": seeds, "rates": rates, "marks": MARKS, "curves": curves}


def tables(found: dict) -> str:
    """Write the results as two tables in Markdown: at the end, and on the way."""
    curves = {name: 100 * np.array(values) for name, values in found["curves"].items()}
    lines = ["| images of each class | " + " | ".join(WAYS) + " | gain, frozen | gain, unfrozen |"]
    lines.append("|---" * (len(WAYS) + 3) + "|")
    for count in COUNTS:
        last = {way: curves[f"{way}/{count}"][:, -1] for way in WAYS}
        cells = [f"{values.mean():.1f} ± {values.std(ddof=1):.1f}" for values in last.values()]
        for way in ("frozen", "unfrozen"):
            gain = last[way] - last["from nothing"]  # of the same images, with its standard error
            cells.append(f"{gain.mean():+.1f} ± {gain.std(ddof=1) / np.sqrt(len(gain)):.1f}")
        lines.append(f"| {count} | {' | '.join(cells)} |")
    lines += ["", "| images, way | " + " | ".join(f"epoch {mark}" for mark in found["marks"]) + " |"]
    lines.append("|---" * (len(found["marks"]) + 1) + "|")
    for count in COUNTS:
        for way in WAYS:
            means = " | ".join(f"{mean:.1f}" for mean in curves[f"{way}/{count}"].mean(axis=0))
            lines.append(f"| {count}, {way} | {means} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with use_kernels("fused"):
        found = measure(arguments.seeds)
    if arguments.json:
        arguments.json.write_text(json.dumps(found))
    print(tables(found))


if __name__ == "__main__":
    main()
