"""What can be done along the way.

A callback is told of the start, of each batch and epoch, and of the end; it returns a reason from
``on_epoch`` if it wishes to stop. Callbacks end in the reverse of their order, so that a checkpoint, which
runs last, is saved before early stopping puts the best weights back. What a callback must remember over a
restart it gives out in ``state_dict``.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

import numpy as np

from neocog.layers import Conv2D
from neocog.training.history import COLUMNS
from neocog.validation import integer, number, one_of

if TYPE_CHECKING:
    from neocog.training.state import TrainingState

__all__ = ["CSVLog", "Callback", "Checkpoint", "EarlyStopping", "KernelSnapshots", "Progress"]


class Callback:
    """Base of all callbacks; every method may stay as it is."""

    runs_last: ClassVar[bool] = False
    """Whether the callback must see what all others have done."""

    def reset(self) -> None:
        """Forget an earlier run; called first of all."""

    def on_start(self, state: TrainingState) -> None:
        """Before the first epoch, or the first one after a restart."""

    def on_batch(self, state: TrainingState) -> None:
        """After each step; another engine than neocog's brings its weights back only after an epoch."""

    def on_epoch(self, state: TrainingState) -> str | None:
        """After each epoch, when its row is in the history; return a reason to stop, or None."""

    def on_end(self, state: TrainingState) -> None:
        """At the end, however it came."""

    def state_dict(self) -> dict[str, Any]:
        """Return what must survive a restart: numbers, strings, arrays, and dicts of these."""
        return {}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""


class EarlyStopping(Callback):
    """Stop when a measure has not improved for some epochs, and go back to the best weights.

    Parameters
    ----------
    monitor : str
        A column of the history; of an accuracy the highest is best, of a loss the lowest.
    patience : int
        Epochs without improvement that are allowed.
    min_delta : float
        The least change that counts.
    restore_best : bool
        Put the best epoch's parameters and buffers back at the end.

    Attributes
    ----------
    best, best_epoch : the best value and its epoch

    Raises
    ------
    ValueError
        If there is no such column, or nothing in it (no validation data).
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 10,
        min_delta: float = 0.0,
        restore_best: bool = True,
    ) -> None:
        measures = [name for name in COLUMNS if name.endswith(("loss", "accuracy"))]
        self.monitor = one_of("monitor", monitor, measures)
        self.patience = integer("patience", patience)
        self.min_delta = number("min_delta", min_delta, 0)
        self.restore_best = bool(restore_best)
        self.reset()

    def reset(self) -> None:
        self.best, self.best_epoch = math.nan, 0
        self._weights: dict[str, np.ndarray] = {}

    def on_start(self, state: TrainingState) -> None:
        if self.monitor.startswith("val") and state.data.validation is None:
            raise ValueError(f"EarlyStopping monitors {self.monitor!r}, but there is no validation data.")

    def on_epoch(self, state: TrainingState) -> str | None:
        value = state.history.last[self.monitor]
        gain = value - self.best if self.monitor.endswith("accuracy") else self.best - value
        if math.isnan(self.best) or gain > self.min_delta:
            self.best, self.best_epoch = value, state.epoch
            arrays = {**state.network.params, **state.network.buffers}
            self._weights = {name: array.copy() for name, array in arrays.items()}
        elif state.epoch - self.best_epoch >= self.patience:
            return (
                f"{self.monitor} has not improved for {self.patience} epochs; "
                f"best {self.best:.6g} after epoch {self.best_epoch}"
            )
        return None

    def on_end(self, state: TrainingState) -> None:
        # An interrupted run goes on from where it was, not from its best epoch.
        if self.restore_best and self._weights and state.stop != "interrupted":
            for name, array in {**state.network.params, **state.network.buffers}.items():
                array[...] = self._weights[name]

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch, "weights": self._weights}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        self.best, self.best_epoch = saved["best"], saved["best_epoch"]
        self._weights = dict(saved["weights"])


class KernelSnapshots(Callback):
    """Keep copies of a convolution's kernels along the way.

    Parameters
    ----------
    epochs : iterable of int
        After how many epochs; 0 is the initialisation. The last epoch is always kept.
    parameter : str, optional
        Default: the weight of the first convolution.

    Attributes
    ----------
    snapshots : dict of int to array
        By the number of epochs trained.

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


class Checkpoint(Callback):
    """Save all that a resumed run needs, after every few epochs and at the end.

    Parameters
    ----------
    path : path
        One file, replaced each time.
    every : int
        Epochs between two savings.

    Notes
    -----
    It runs after all other callbacks, wherever it stands, so that it saves what they have seen.
    """

    runs_last = True

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        self.path = path
        self.every = integer("every", every)

    def on_start(self, state: TrainingState) -> None:
        from neocog.training.checkpoint import beginning

        state.began_as = state.began_as or beginning(state)

    def on_epoch(self, state: TrainingState) -> str | None:
        if state.epoch % self.every == 0:
            self._save(state)
        return None

    def on_end(self, state: TrainingState) -> None:
        if not state.failed:  # after an error the last good checkpoint stays
            self._save(state)

    def _save(self, state: TrainingState) -> None:
        from neocog.training.checkpoint import save_checkpoint

        save_checkpoint(self.path, state)


class CSVLog(Callback):
    """Keep a CSV file of the history up to date.

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
    """Show how training goes: a bar on a terminal, a plain line an epoch elsewhere.

    Parameters
    ----------
    stream : text stream, default standard output
        A copy writes to the same one; a pickle takes the standard streams alone along, by name.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream
        self._bar: Any = None

    def __deepcopy__(self, memo: Any) -> Progress:
        return type(self)(self.stream)

    def __getstate__(self) -> dict[str, Any]:
        names = [name for name in ("stdout", "stderr") if self.stream is getattr(sys, name)]
        return {"stream": names[0] if names else self.stream}

    def __setstate__(self, state: dict[str, Any]) -> None:
        stream = state["stream"]
        self.stream, self._bar = getattr(sys, stream) if isinstance(stream, str) else stream, None

    def on_start(self, state: TrainingState) -> None:
        self._out = self.stream or sys.stdout
        if self._out.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(file=self._out, highlight=False), transient=True)
            total = state.epochs * state.batches_per_epoch
            done = state.epoch * state.batches_per_epoch + len(state.batch_losses)
            self._task = self._bar.add_task("training", total=total, completed=done)
            self._bar.start()

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, soft_wrap=True, markup=False)
        else:
            print(text, file=self._out, flush=True)

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
            text += f"  | validation: loss {row['val_loss']:.4f}"
            if not math.isnan(row["val_accuracy"]):
                text += f"  accuracy {row['val_accuracy']:.3f}"
        self._say(text + (f"  | {row['seconds']:.2f} s" if state.epoch else "  | untrained"))
        return None

    def on_end(self, state: TrainingState) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if state.stop:
            self._say(f"stopped: {state.stop}")
