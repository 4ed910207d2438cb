"""Define the textbook's protocols: data, seeds, number of epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neocog.data import Split, line_patterns
from neocog.experiments.study import Row
from neocog.layers import Layer, Sequential
from neocog.models import tiny_cnn, tiny_mlp
from neocog.optimizers import SGD, Optimizer
from neocog.training import Callback, History, evaluate, fit
from neocog.validation import one_of

# Repetition r adds r times this to the seeds: far enough that no seed of one repetition, nor its
# neighbours, from which the deeper layers are drawn, comes again in another.
SEED_STEP = 100

THREE = ("vertical", "horizontal", "diagonal")
FOUR = (*THREE, "dot")
FIVE = (*FOUR, "cross")

# Patterns A with the seeds of chapter 24, B with those of chapter 25; (weights, batches) of each network.
CNN_SEEDS = {"a": (42, 0), "b": (3, 11)}
MLP_SEEDS = (5, 13)


@dataclass(frozen=True)
class Trained:
    """A trained network with its history."""

    name: str
    network: Sequential
    history: History

    def row(self, **more: Any) -> Row:
        """Return its row of a table: size, last measures, first epoch at 100 % validation accuracy."""
        last = self.history.last
        return {
            "network": self.name,
            "parameters": self.network.parameter_count,
            "train_accuracy": last["train_accuracy"],
            "val_accuracy": last["val_accuracy"],
            "train_loss": last["train_loss"],
            "val_loss": last["val_loss"],
            "first_at_100": first_perfect(self.history),
        } | more


@dataclass(frozen=True)
class Lines:
    """The protocol of the line patterns.

    Parameters
    ----------
    patterns : {"a", "b"}
        Decides the images and the seeds: chapter 24 or chapter 25.
    repetition : int
    epochs, lr, batch_size
    """

    patterns: str
    repetition: int = 0
    epochs: int = 80
    lr: float = 0.12
    batch_size: int = 18

    def __post_init__(self) -> None:
        one_of("patterns", self.patterns, CNN_SEEDS)

    @property
    def seed(self) -> int:
        """Seed of TinyCNN's convolution; the next layers take the next ones."""
        return CNN_SEEDS[self.patterns][0] + SEED_STEP * self.repetition

    @property
    def batch_seed(self) -> int:
        """Seed of the batches of a convolutional network."""
        return CNN_SEEDS[self.patterns][1] + SEED_STEP * self.repetition

    def data(self, classes: Sequence[str] = THREE) -> Split:
        """Return the images, the same for every repetition."""
        return line_patterns(self.patterns, classes)

    def cnn(self, **changes: Any) -> Sequential:
        """Return an untrained TinyCNN."""
        return tiny_cnn(self.seed, **changes)

    def mlp(self, **changes: Any) -> Sequential:
        """Return an untrained TinyMLP."""
        return tiny_mlp(MLP_SEEDS[0] + SEED_STEP * self.repetition, **changes)

    def train(
        self,
        name: str,
        network: Sequential,
        data: Split,
        *,
        optimizer: Optimizer | None = None,
        mlp: bool = False,
        callbacks: Sequence[Callback] = (),
    ) -> Trained:
        """Train a network, by default with plain gradient descent."""
        seed = MLP_SEEDS[1] + SEED_STEP * self.repetition if mlp else self.batch_seed
        optimizer = SGD(self.lr) if optimizer is None else optimizer
        history = train(network, data, optimizer, self.epochs, self.batch_size, seed, callbacks)
        return Trained(name, network, history)


def train(
    network: Sequential,
    data: Split,
    optimizer: Optimizer,
    epochs: int,
    batch_size: int,
    rng: int | np.random.Generator,
    callbacks: Sequence[Callback] = (),
) -> History:
    """Train with :func:`neocog.fit`; raise KeyboardInterrupt if training was interrupted."""
    history = fit(
        network,
        data,
        optimizer=optimizer,
        epochs=epochs,
        batch_size=batch_size,
        rng=rng,
        callbacks=callbacks,
    )
    if history.stopped == "interrupted":
        raise KeyboardInterrupt
    return history


def held_out(data: Split) -> tuple[np.ndarray, np.ndarray]:
    """Return the validation images and labels."""
    assert data.validation is not None
    return np.asarray(data.validation[0]), data.validation[1]


def first_perfect(history: History) -> int | None:
    """Return the first epoch after which all validation images were classified correctly, or None."""
    return next((int(row["epoch"]) for row in history if row["val_accuracy"] == 1.0), None)


def accuracy_of(network: Sequential, part: tuple[Any, Any]) -> float:
    """Return the fraction of images that are classified correctly."""
    return float(evaluate(network, *part).accuracy)


def after(network: Sequential, images: Any, layer: str) -> np.ndarray:
    """Return the activations after a layer."""
    names = list(network.children)
    return np.asarray(network[: names.index(layer) + 1](np.asarray(images)))


def dead_units(network: Sequential, images: Any, layer: str = "relu1") -> int:
    """Count the channels (or units) of a ReLU that are 0 for every image at every position."""
    y = after(network, images, layer)
    return int((y.max(axis=(0, *range(2, y.ndim))) <= 0).sum())


def chain(network: Sequential, layers: dict[str, Layer]) -> Sequential:
    """Build a network of these layers for the same images."""
    other = Sequential(**layers)
    other.input_shape = network.input_shape
    return other


def replaced(network: Sequential, **layers: Layer | None) -> Sequential:
    """Return a network with some layers replaced, or left out where None is given."""
    changed: dict[str, Layer | None] = {**network.children, **layers}
    return chain(network, {name: layer for name, layer in changed.items() if layer is not None})


def histories(trained: Sequence[Trained]) -> dict[str, History]:
    """Return the histories by the networks' names."""
    return {one.name: one.history for one in trained}
