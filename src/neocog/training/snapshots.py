"""Keep all parameters at some epochs of a run, in one file, within a budget of bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from neocog.model_file import ModelFileError, blaming, read, write
from neocog.representation import printable
from neocog.serialization import arrays_of
from neocog.training.state import Callback, TrainingState
from neocog.validation import integer

__all__ = ["Snapshots", "load_snapshots"]

BUDGET = 32 * 2**20
GROWTH = 1.5


class Snapshots(Callback):
    """Keep copies of all parameters and buffers after epochs 0, 1, 2, 3, 4, 6, 9, 13, 19 ... and the last.

    The distance grows by half from one epoch to the next, as most of what happens in training happens early.
    The last snapshot is float32, older ones are float16 (an array that float16 cannot hold stays float32). If
    they exceed the budget, every second one is dropped, the first and the last excepted; a network of which
    two exceed it has none.

    Parameters
    ----------
    budget : int
        In bytes.

    Attributes
    ----------
    snapshots : dict of int to dict of str to array
        By the number of epochs trained, and by the arrays' dotted names.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self.budget = integer("budget", budget, 0)
        self.reset()

    def reset(self) -> None:
        self.snapshots: dict[int, dict[str, np.ndarray]] = {}

    def on_epoch(self, state: TrainingState) -> str | None:
        if _is_kept(state.epoch):
            self.add(state.epoch, arrays_of(state.network))
        return None

    def on_end(self, state: TrainingState) -> None:
        if not state.batch_losses:  # the parameters between two epochs belong to neither
            self.add(state.epoch, arrays_of(state.network))

    def add(self, epoch: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Take a snapshot of arrays after an epoch, the last by now."""
        if 6 * sum(array.size for array in arrays.values()) > self.budget:
            self.snapshots = {}
            return
        older = {e: kept for e, kept in self.snapshots.items() if e != epoch}
        if older:  # of which the last alone is not halved yet
            older[max(older)] = _halved(older[max(older)])
        self.snapshots = older
        self.snapshots[epoch] = {name: array.astype(np.float32) for name, array in arrays.items()}
        while len(self.snapshots) > 2 and _bytes(self.snapshots) > self.budget:
            epochs = sorted(self.snapshots)
            for epoch in epochs[1:-1:2]:
                del self.snapshots[epoch]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the snapshots to a file that :func:`load_snapshots` reads; do nothing if there are none."""
        if self.snapshots:
            arrays = {
                f"{epoch}/{name}": array
                for epoch, snapshot in sorted(self.snapshots.items())
                for name, array in snapshot.items()
            }
            write(path, {"kind": "snapshots", "epochs": sorted(self.snapshots)}, arrays)

    def state_dict(self) -> dict[str, Any]:
        return {"snapshots": {str(epoch): arrays for epoch, arrays in self.snapshots.items()}}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        snapshots = {int(epoch): dict(arrays) for epoch, arrays in saved["snapshots"].items()}
        if not all(
            isinstance(array, np.ndarray) for arrays in snapshots.values() for array in arrays.values()
        ):
            raise TypeError("snapshots must be arrays.")
        self.snapshots = {epoch: arrays for epoch, arrays in snapshots.items() if _is_kept(epoch)}


def load_snapshots(path: str | os.PathLike[str]) -> dict[int, dict[str, np.ndarray]]:
    """Read the snapshots of a run: epoch, name of the array, array.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If it is damaged, or holds something else.
    """
    header, arrays = read(path)
    if header.get("kind") != "snapshots":
        raise ModelFileError(f"{path} is a {printable(header.get('kind'))}, not the snapshots of a run.")
    with blaming(path):
        found: dict[int, dict[str, np.ndarray]] = {int(epoch): {} for epoch in header["epochs"]}
        for key, array in arrays.items():
            epoch, _, name = key.partition("/")
            found[int(epoch)][name] = array
    return found


def _is_kept(epoch: int) -> bool:
    kept = 0
    while kept < epoch:
        kept = max(kept + 1, int(GROWTH * kept))
    return kept == epoch


def _halved(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays as float16, those excepted that would overflow."""
    largest = float(np.finfo(np.float16).max)
    fits = {name: bool(np.all(np.abs(array) <= largest)) for name, array in arrays.items()}
    return {name: array.astype(np.float16) if fits[name] else array for name, array in arrays.items()}


def _bytes(snapshots: Mapping[int, Mapping[str, np.ndarray]]) -> int:
    return sum(array.nbytes for arrays in snapshots.values() for array in arrays.values())
