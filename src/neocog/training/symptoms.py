"""Say during training what goes wrong, and what helps: one line each, once."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from neocog.layers import Layer, ReLU
from neocog.layers.base import as_dtype
from neocog.losses.base import kind_of_loss
from neocog.representation import printable, say
from neocog.training.state import Callback, TrainingState

__all__ = ["Diagnose"]

# Dead units: looked for on an eighth of the training images, at most and at least so many, after epochs
# 1, 2, 4, 8 ... and the last, so that it takes less than a hundredth of the time of training.
MOST_SAMPLED, FEWEST_SAMPLED = 128, 16
DEAD_SHARE = 0.5
# No better than chance: judged after so many epochs and steps, or epochs at the end.
CHANCE_EPOCHS, CHANCE_STEPS = 5, 100
# Overfitting: so many epochs above the lowest validation loss, by this factor, while the training loss fell.
OVERFITTING_EPOCHS, OVERFITTING_FACTOR = 5, 1.2
# Rate too high: the median training loss of so many epochs is this multiple of the lowest before, and has
# risen by this part of the first. A single jump may be that of a warm-up, and be made good.
JUMP_EPOCHS, JUMP_FACTOR, JUMP_SHARE = 3, 2.0, 0.25


class Diagnose(Callback):
    """Say once each, in one line with the remedy, what goes wrong in training.

    After each epoch these are looked for:

    - *dead units*: more than half of the channels or features of a ReLU are 0 at every position of every
      image of a sample of the training images;
    - *no better than chance*: in five epochs and a hundred steps, or in all of at least five epochs, no
      training accuracy above that of always answering the most frequent class, by more than twice its
      standard error (for a regression: no loss below that of the mean of the targets by 2 %);
    - *overfitting*: for five epochs the validation loss has been above its lowest value, now by a fifth, and
      no validation accuracy was as good as then, while the training loss fell;
    - *learning rate too high*: the median training loss of three epochs is twice the lowest value before, and
      above it by a quarter of the value before training; with a schedule, also above that value. A loss that
      is not finite ends training with :class:`NonFiniteLossError`.

    They are rules of thumb: a line is a hint, and nothing is changed. A resumed run may repeat a line.

    Parameters
    ----------
    *streams : text stream or None
        Where to write; None, and none given, stands for standard output. As in
        :class:`neocog.training.Progress`, anything with ``write`` will do.

    Attributes
    ----------
    messages : dict of str to str
        The lines said so far, by "dead units", "chance", "overfitting" and "learning rate".

    Examples
    --------
    >>> import io
    >>> from neocog import SGD, fit, models
    >>> from neocog.data import line_patterns
    >>> data, diagnose = line_patterns("a"), Diagnose(io.StringIO())
    >>> history = fit(models.tiny_cnn(), data, optimizer=SGD(lr=0.12), epochs=8, rng=0, callbacks=[diagnose])
    >>> list(diagnose.messages)
    []
    >>> history = fit(models.tiny_cnn(), data, optimizer=SGD(lr=30.0), epochs=8, rng=0, callbacks=[diagnose])
    >>> print(diagnose.messages["dead units"])
    3 of 3 units of 'relu1' are dead after epoch 1: ... Lower the learning rate, 30, ...
    """

    def __init__(self, *streams: Any) -> None:
        self.streams = streams or (None,)
        self.reset()

    def reset(self) -> None:
        self.messages: dict[str, str] = {}
        self._is_learning = False

    def on_epoch(self, state: TrainingState) -> str | None:
        checks = {
            "dead units": _dead_units,
            "chance": self._no_better_than_chance,
            "overfitting": _overfitting,
            "learning rate": _rate_too_high,
        }
        for name, check in checks.items():
            if name not in self.messages and (text := check(state)):
                self.messages[name] = text
                for stream in self.streams:
                    say(sys.stdout if stream is None else stream, f"hint: {printable(text)}")
        return None

    def _no_better_than_chance(self, state: TrainingState) -> str:
        epochs, rows = state.epoch, state.history.rows
        is_last = epochs == state.epochs
        if self._is_learning or epochs < CHANCE_EPOCHS:
            return ""
        if epochs * state.batches_per_epoch < CHANCE_STEPS and not is_last:
            return ""
        accuracy = max(row["train_accuracy"] for row in rows)
        if not state.data.is_classification:
            chance, best = _loss_of_the_mean(state), min(row["train_loss"] for row in rows)
            self._is_learning = best < 0.98 * chance
            answer, measures = "the mean of the targets", (f"loss {best:.4g}", f"{chance:.4g}")
        else:
            answer, chance, error = _most_frequent(state)
            self._is_learning = not accuracy <= chance + 2 * error  # also if a loss counts no right answers
            measures = f"accuracy {accuracy:.3f}", f"{chance:.3f}"
        if self._is_learning:
            return ""
        return (
            f"After {epochs} epochs the network is no better than chance: {measures[0]} at best on the "
            f"training images, {measures[1]} for always answering {answer}. Try a tenth and ten times the "
            f"learning rate, {state.optimizer.last_lr:.2g}, bring the pixels to mean 0 (a layer Normalize), "
            "and look at the labels."
        )


def _most_frequent(state: TrainingState) -> tuple[str, float, float]:
    """Return the most frequent class, the accuracy of answering it always, and its standard error."""
    labels, weight = state.data.train[1], state.sample_weight
    names = state.data.class_names
    if state.data.is_multilabel:
        sets, labels = np.unique(labels, axis=0, return_inverse=True)
        names = tuple(", ".join(name for name, has in zip(names, row, strict=True) if has) for row in sets)
    counts = np.bincount(labels, weight)
    chance = float(counts.max() / counts.sum())
    effective = len(labels) if weight is None else float(weight.sum() ** 2 / np.square(weight).sum())
    error = math.sqrt(chance * (1 - chance) / effective)
    return repr(names[int(counts.argmax())]), chance, error


def _loss_of_the_mean(state: TrainingState) -> float:
    """Return the loss of always answering the mean of the targets, in a regression or of probabilities."""
    targets, weight = state.data.train[1], state.sample_weight
    mean = np.average(targets, axis=0, weights=weight)
    if kind_of_loss(state.loss) == "independent-logits":
        mean = np.clip(mean, 1e-6, 1 - 1e-6)
        mean = np.log(mean / (1 - mean))
    z = np.broadcast_to(mean, targets.shape)
    value, _ = state.loss(z, targets) if weight is None else state.loss(z, targets, weight)
    return float(value)


def _dead_units(state: TrainingState) -> str:
    """Find the layer with the largest share of units that are 0 on all images of a sample."""
    epoch = state.epoch
    if epoch == 0 or (epoch & (epoch - 1) and epoch != state.epochs):  # powers of 2, and the last
        return ""
    images = state.data.train[0]
    count = min(len(images), MOST_SAMPLED, max(FEWEST_SAMPLED, len(images) // 8))
    sample = images[np.linspace(0, len(images) - 1, count).astype(int)]
    worst = max(_dead_shares(state.network, sample), default=(0.0, "", 0, 0))
    share, name, dead, units = worst
    if share <= DEAD_SHARE:
        return ""
    return (
        f"{dead} of {units} units of {name!r} are dead after epoch {epoch}: 0 everywhere on {count} training "
        f"images, so that they learn no more. Lower the learning rate, {state.optimizer.last_lr:.2g}, give "
        "the pixels mean 0 (a layer Normalize), or train anew with LeakyReLU or batch norm."
    )


def _dead_shares(network: Layer, sample: Any) -> Iterator[tuple[float, str, int, int]]:
    """Yield the share of dead units, the layer's name, and the numbers of dead and of all units."""
    found: dict[str, np.ndarray] = {}

    def visit(name: str, layer: Layer, value: Any) -> Any:
        y = layer.forward(value)[0]
        if isinstance(layer, ReLU) and y.ndim > 1:
            active = (y > 0).any(axis=tuple(axis for axis in range(y.ndim) if axis != 1))
            found[name] = found[name] | active if name in found else active
        return y

    network.walk(visit, as_dtype(np.asarray(sample), network.dtype))
    for name, active in found.items():
        dead = int(active.size - np.count_nonzero(active))
        yield dead / active.size, name, dead, active.size


def _overfitting(state: TrainingState) -> str:
    rows = state.history.rows
    losses = [row["val_loss"] for row in rows]
    if len(rows) <= OVERFITTING_EPOCHS or math.isnan(losses[-1]):
        return ""
    best = int(np.argmin(losses))
    since = rows[best + 1 :]
    if len(since) < OVERFITTING_EPOCHS or losses[-1] < OVERFITTING_FACTOR * losses[best]:
        return ""
    if rows[-1]["train_loss"] >= rows[best]["train_loss"]:
        return ""
    accuracies = [row["val_accuracy"] for row in rows[best:]]
    if not math.isnan(accuracies[0]) and max(accuracies[1:]) >= accuracies[0]:
        return ""
    epoch = int(rows[best]["epoch"])
    return (
        f"Overfitting: since epoch {epoch} the training loss has fallen from {rows[best]['train_loss']:.3g} "
        f"to {rows[-1]['train_loss']:.3g}, while the validation loss has risen from {losses[best]:.3g} to "
        f"{losses[-1]:.3g}. Keep the best epoch (KeepBest, EarlyStopping), augment the images, raise the "
        "weight decay, or collect more images."
    )


def _rate_too_high(state: TrainingState) -> str:
    losses = state.history["train_loss"]
    epochs = min(JUMP_EPOCHS, state.epochs)
    if not epochs or state.epoch < epochs:
        return ""
    lowest, now = min(losses[:-epochs]), sorted(losses[-epochs:])[epochs // 2]
    if now <= JUMP_FACTOR * lowest or now - lowest <= JUMP_SHARE * losses[0]:
        return ""
    if callable(state.optimizer.lr) and now <= losses[0]:  # a schedule that rises will fall again
        return ""
    rates = [rate for rate in state.history["lr"] if not math.isnan(rate)]
    rate = max(rates, default=state.optimizer.last_lr)  # a schedule may have lowered it since
    return (
        f"The training loss has jumped from {lowest:.3g} to {now:.3g} by epoch {state.epoch}: the learning "
        f"rate, {rate:.2g} at most, is probably too high; try {rate / 10:.2g}, or clip the gradients."
    )
