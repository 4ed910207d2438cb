"""Define ready-made callbacks: the best epoch, early stopping, lower rates, snapshots, a CSV log, progress.

The base class is :class:`neocog.training.Callback`; :class:`neocog.training.Checkpoint` saves checkpoints.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

import numpy as np

from neocog.layers import Conv2D
from neocog.representation import counted, is_terminal, printable, say, sentence
from neocog.training.history import COLUMNS
from neocog.training.state import Callback, TrainingState
from neocog.validation import integer, number, one_of

__all__ = ["CSVLog", "EarlyStopping", "KeepBest", "KernelSnapshots", "Progress", "ReduceLROnPlateau"]


MEASURES = [name for name in COLUMNS if name.endswith(("loss", "accuracy"))]


def monitored(state: TrainingState, column: str) -> float:
    """Return the last value of a column; NaN before the first epoch, if it is measured during one.

    Raises
    ------
    ValueError
        If the column holds no number: a callback that waits for it to improve would wait for ever.
    """
    row = state.history.last
    value = row[column]
    later = {"running_loss"} if state.epoch == 0 else set()
    if math.isnan(value) and column not in later:
        held = [name for name in MEASURES if name in later or not math.isnan(row[name])]
        raise ValueError(
            f"monitor must be a column that holds numbers, got {column!r}, which is empty with the loss "
            f"{state.loss!r}; this run has {', '.join(map(repr, held))}."
        )
    return value


class KeepBest(Callback):
    """Restore the weights of the best epoch at the end of training.

    Parameters
    ----------
    monitor : str
        A column of the history: an accuracy, to be maximized, or a loss, to be minimized.
    min_delta : float
        The smallest change that counts as an improvement.

    Attributes
    ----------
    best : float
        The best value.
    best_epoch : int
        Its epoch; 0 is the untrained network. The first of several equal ones.

    Raises
    ------
    ValueError
        If there is no such column, no validation data for it, or it holds no numbers (a regression has no
        accuracy).

    Examples
    --------
    >>> from neocog import SGD, fit, models
    >>> from neocog.data import line_patterns
    >>> best = KeepBest("val_accuracy")
    >>> history = fit(
    ...     models.tiny_cnn(), line_patterns("a"), optimizer=SGD(lr=3.0), epochs=4, rng=0, callbacks=[best]
    ... )
    >>> best.best == max(history["val_accuracy"])
    True
    """

    def __init__(self, monitor: str = "val_loss", min_delta: float = 0.0) -> None:
        self.monitor = one_of("monitor", monitor, MEASURES)
        self.min_delta = number("min_delta", min_delta, 0)
        self.reset()

    def reset(self) -> None:
        self.best, self.best_epoch = math.nan, 0
        self._weights: dict[str, np.ndarray] = {}

    def on_start(self, state: TrainingState) -> None:
        if self.monitor.startswith("val") and state.data.validation is None:
            raise ValueError(
                f"{type(self).__name__} monitors {self.monitor!r}, but there is no validation data."
            )

    def on_epoch(self, state: TrainingState) -> str | None:
        value = monitored(state, self.monitor)
        if math.isnan(value):
            return None
        gain = value - self.best if self.monitor.endswith("accuracy") else self.best - value
        if math.isnan(self.best) or gain > self.min_delta:
            self.best, self.best_epoch = value, state.epoch
            arrays = {**state.network.params, **state.network.buffers}
            self._weights = {name: array.copy() for name, array in arrays.items()}
        return None

    def on_end(self, state: TrainingState) -> None:
        # An interrupted run is resumed from its last weights, not from the best ones.
        if self._weights and state.stop != "interrupted":
            for name, array in {**state.network.params, **state.network.buffers}.items():
                array[...] = self._weights[name]

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch, "weights": self._weights}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        self.best, self.best_epoch = saved["best"], saved["best_epoch"]
        self._weights = dict(saved["weights"])


class EarlyStopping(KeepBest):
    """Stop when a measure has not improved for some epochs, and restore the best weights.

    Parameters
    ----------
    monitor : str
        A column of the history: an accuracy, to be maximized, or a loss, to be minimized.
    patience : int
        Number of epochs without improvement to wait.
    min_delta : float
        The smallest change that counts as an improvement.
    restore_best : bool
        Restore the parameters and buffers of the best epoch at the end.

    Attributes
    ----------
    best : float
        The best value.
    best_epoch : int
        Its epoch.

    Raises
    ------
    ValueError
        If there is no such column, no validation data for it, or it holds no numbers (a regression has no
        accuracy).
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 10,
        min_delta: float = 0.0,
        restore_best: bool = True,
    ) -> None:
        self.patience = integer("patience", patience)
        self.restore_best = bool(restore_best)
        super().__init__(monitor, min_delta)

    def on_epoch(self, state: TrainingState) -> str | None:
        super().on_epoch(state)
        if state.epoch - self.best_epoch >= self.patience:
            return (
                f"{self.monitor} has not improved for {counted(self.patience, 'epoch')}; "
                f"best {self.best:.6g} after epoch {self.best_epoch}"
            )
        return None

    def on_end(self, state: TrainingState) -> None:
        if self.restore_best:
            super().on_end(state)


class ReduceLROnPlateau(Callback):
    """Lower a constant learning rate when a measure has not improved for some epochs.

    After the epoch in which the number of epochs without improvement exceeds ``patience``,
    ``lr <- max(factor lr, min_lr)``. For ``cooldown`` epochs after that none is counted. A loss improves if
    it is below ``best (1 - threshold)``, an accuracy if it is above ``best (1 + threshold)``. Names and
    numbers are those of PyTorch's ``ReduceLROnPlateau``; the untrained network does not count.

    Parameters
    ----------
    monitor : str
        A column of the history: an accuracy, to be maximized, or a loss, to be minimized.
    factor : float in (0, 1)
    patience : int
        Number of epochs without improvement that are waited for.
    threshold : float
        The smallest relative change that counts as an improvement.
    cooldown : int
        Number of epochs after a reduction in which none is counted.
    min_lr : float
        The lowest learning rate.

    Attributes
    ----------
    best : float
        The best value; NaN at first.
    bad_epochs : int
        Epochs since without an improvement.
    cooling : int
        Epochs left of the cooldown.

    Raises
    ------
    ValueError
        If there is no such column, no validation data for it, it holds no numbers, or the learning rate
        follows a schedule.

    Examples
    --------
    >>> from neocog import SGD, fit, models
    >>> from neocog.data import line_patterns
    >>> halve = ReduceLROnPlateau("train_loss", factor=0.5, patience=1)
    >>> network, optimizer = models.tiny_cnn(), SGD(lr=4.0)
    >>> history = fit(
    ...     network, line_patterns("a"), optimizer=optimizer, epochs=8, rng=0, callbacks=[halve]
    ... )
    >>> optimizer.lr < 4.0
    True
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        self.monitor = one_of("monitor", monitor, MEASURES)
        self.factor = number("factor", factor, 0, 1, True, True)
        self.patience = integer("patience", patience, 0)
        self.threshold = number("threshold", threshold, 0)
        self.cooldown = integer("cooldown", cooldown, 0)
        self.min_lr = number("min_lr", min_lr, 0)
        self.reset()

    def reset(self) -> None:
        self.best, self.bad_epochs, self.cooling = math.nan, 0, 0

    def on_start(self, state: TrainingState) -> None:
        if self.monitor.startswith("val") and state.data.validation is None:
            raise ValueError(f"ReduceLROnPlateau monitors {self.monitor!r}, but there is no validation data.")
        if callable(state.optimizer.lr):
            raise ValueError(
                f"ReduceLROnPlateau needs a constant learning rate, got {state.optimizer.lr!r}; leave out "
                "one of them."
            )

    def on_epoch(self, state: TrainingState) -> str | None:
        value = monitored(state, self.monitor)
        if state.epoch == 0:
            return None
        if math.isnan(self.best) or self._improves(value):
            self.best, self.bad_epochs = value, 0
        else:
            self.bad_epochs += 1
        if self.cooling:
            self.cooling, self.bad_epochs = self.cooling - 1, 0
        if self.bad_epochs > self.patience:
            self.cooling, self.bad_epochs = self.cooldown, 0
            self._reduce(state)
        return None

    def _improves(self, value: float) -> bool:
        if self.monitor.endswith("accuracy"):
            return value > self.best * (1 + self.threshold)
        return value < self.best * (1 - self.threshold)

    def _reduce(self, state: TrainingState) -> None:
        lr = state.optimizer.current_lr
        lower = max(self.factor * lr, self.min_lr)
        if lr - lower > 1e-8:  # PyTorch's eps: smaller steps are left out
            state.optimizer.lr = lower

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "bad_epochs": self.bad_epochs, "cooling": self.cooling}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        self.best = number("best", saved["best"]) if saved["best"] == saved["best"] else math.nan
        self.bad_epochs = integer("bad_epochs", saved["bad_epochs"], 0)
        self.cooling = integer("cooling", saved["cooling"], 0)


class KernelSnapshots(Callback):
    """Keep copies of a convolution's kernels during training.

    Parameters
    ----------
    epochs : iterable of int
        After which epochs; 0 is the initialization. The last epoch is always kept.
    parameter : str, optional
        Name of the parameter; default: the weight of the first convolution.

    Attributes
    ----------
    snapshots : dict of int to array
        Keyed by the number of epochs trained.

    Raises
    ------
    ValueError
        If the network has no such parameter.
    """

    def __init__(self, epochs: Iterable[int] = (0, 1, 5, 15, 40), parameter: str | None = None) -> None:
        self.epochs = frozenset(integer("epochs", epoch, 0) for epoch in epochs)
        self.parameter = parameter
        self.reset()

    def reset(self) -> None:
        self.snapshots: dict[int, np.ndarray] = {}
        self._name = ""

    def on_start(self, state: TrainingState) -> None:
        if self.parameter is not None:
            self._name = one_of("parameter", self.parameter, state.network.params)
            return
        for name, layer in state.network.leaves():
            if isinstance(layer, Conv2D):
                self._name = f"{name}.weight" if name else "weight"
                return
        raise ValueError("the network has no convolution to take snapshots of; name a parameter.")

    def _take(self, state: TrainingState) -> None:
        self.snapshots[state.epoch] = state.network.params[self._name].copy()

    def on_epoch(self, state: TrainingState) -> str | None:
        if state.epoch in self.epochs:
            self._take(state)
        return None

    def on_end(self, state: TrainingState) -> None:
        if not state.batch_losses:  # the kernels between two epochs belong to neither
            self._take(state)

    def state_dict(self) -> dict[str, Any]:
        return {"snapshots": {str(epoch): kernels for epoch, kernels in self.snapshots.items()}}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        snapshots = {int(epoch): kernels for epoch, kernels in saved["snapshots"].items()}
        self.snapshots = {epoch: kernels for epoch, kernels in snapshots.items() if epoch in self.epochs}


class CSVLog(Callback):
    """Write the history to a CSV file after every epoch.

    Parameters
    ----------
    path : path
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path

    def on_epoch(self, state: TrainingState) -> str | None:
        state.history.to_csv(self.path)
        return None


class Progress(Callback):
    """Show the progress of training: a bar on a terminal, otherwise one line per epoch.

    Parameters
    ----------
    stream : text stream, default standard output
        Anything with ``write``. Where there is no standard output, as under pythonw, or the stream is closed,
        nothing is shown. A copy writes to the same stream; a pickle keeps only the standard streams, by name.
    measured : str
        What the images are called that are measured after each epoch.
    """

    def __init__(self, stream: TextIO | None = None, measured: str = "validation") -> None:
        self.stream = stream
        self.measured = measured
        self._bar: Any = None

    def __deepcopy__(self, memo: Any) -> Progress:
        return type(self)(self.stream, self.measured)

    def __getstate__(self) -> dict[str, Any]:
        names = [name for name in ("stdout", "stderr") if self.stream is getattr(sys, name)]
        stream = names[0] if names and self.stream is not None else self.stream
        return {"stream": stream, "measured": self.measured}

    def __setstate__(self, state: dict[str, Any]) -> None:
        stream = state["stream"]
        self.stream, self._bar = getattr(sys, stream) if isinstance(stream, str) else stream, None
        self.measured = state["measured"]

    def on_start(self, state: TrainingState) -> None:
        self._out = sys.stdout if self.stream is None else self.stream
        if is_terminal(self._out) and hasattr(self._out, "flush"):
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(file=self._out, highlight=False), transient=True)
            total = state.epochs * state.batches_per_epoch
            done = state.epoch * state.batches_per_epoch + len(state.batch_losses)
            self._task = self._bar.add_task("training", total=total, completed=done)
            self._bar.start()
        for note in state.notes:
            self._say(sentence(note))

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, soft_wrap=True, markup=False)
        else:
            say(self._out, text)

    def on_batch(self, state: TrainingState) -> None:
        if self._bar is not None:
            self._bar.advance(self._task)

    def on_epoch(self, state: TrainingState) -> str | None:
        row = state.history.last
        width = len(str(state.epochs))
        text = f"epoch {state.epoch:{width}d}/{state.epochs}  loss {row['train_loss']:.4f}"
        if not math.isnan(row["train_accuracy"]):
            text += f"  accuracy {row['train_accuracy']:.3f}"
        if not math.isnan(row["val_loss"]):
            text += f"  | {self.measured}: loss {row['val_loss']:.4f}"
            if not math.isnan(row["val_accuracy"]):
                text += f"  accuracy {row['val_accuracy']:.3f}"
        self._say(text + (f"  | {row['seconds']:.2f} s" if state.epoch else "  | untrained"))
        return None

    def on_end(self, state: TrainingState) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if state.stop:
            self._say(f"stopped: {printable(state.stop)}")
