"""Save and restore checkpoints: a resumed run ends bit for bit like one that never stopped."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neocog.budgets import allowance
from neocog.layers import Container, Layer
from neocog.layers.base import random_generators
from neocog.model_file import ModelFileError, blaming, read, write
from neocog.representation import counted, printable
from neocog.serialization import arrays_of, describe, rebuild
from neocog.training.history import COLUMNS, History
from neocog.training.state import Callback, TrainingState, described
from neocog.validation import integer, number

__all__ = ["Checkpoint", "beginning", "load_checkpoint", "save_checkpoint"]


class Checkpoint(Callback):
    """Save all that a resumed run needs, every few epochs and at the end.

    Parameters
    ----------
    path : path
        A single file, replaced each time.
    every : int
        Number of epochs between two checkpoints.

    Notes
    -----
    It runs after all other callbacks, whatever its place in the list, so that their state is up to date.
    """

    runs_last = True

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        self.path = path
        self.every = integer("every", every)

    def on_start(self, state: TrainingState) -> None:
        state.began_as = state.began_as or beginning(state)

    def on_epoch(self, state: TrainingState) -> str | None:
        if state.epoch % self.every == 0:
            self._save(state)
        return None

    def on_end(self, state: TrainingState) -> None:
        if not state.failed:  # after an error the last good checkpoint stays
            self._save(state)

    def _save(self, state: TrainingState) -> None:
        save_checkpoint(self.path, state)


def save_checkpoint(path: str | os.PathLike[str], state: TrainingState) -> None:
    """Write weights, optimizer, generators, history, callbacks and the position in the epoch to a file."""
    arrays: dict[str, np.ndarray] = {}
    saved = {
        "arrays": arrays_of(state.network),
        "optimizer": state.optimizer.state_dict(),
        "rng": state.rng.bit_generator.state,
        "layer_rngs": [rng.bit_generator.state for rng in random_generators(state.network)],
        "history": state.history.rows,
        "epoch": state.epoch,
        "batch_losses": state.batch_losses,
        "epoch_rng_state": state.epoch_rng_state,
        "seconds": state.seconds,
        "kernels": state.kernels,
        "stop": "" if state.stop == "interrupted" else state.stop,
        "began_as": state.began_as,
        "settings": {name: layer.config() for name, layer in state.network.leaves()},
        "data": state.fingerprint,
        "callbacks": [
            {"type": type(callback).__name__, "state": callback.state_dict()}
            for callback in _stateful(state.callbacks)
        ],
    }
    network = describe(state.network)
    write(path, {"kind": "checkpoint", "network": network, "state": _pack(saved, "", arrays)}, arrays)


def network_in(path: str | os.PathLike[str]) -> Any:
    """Return the network of a checkpoint, as it was when that was saved.

    Raises
    ------
    FileNotFoundError, ModelFileError
        If there is no such file, or it is not a checkpoint.
    """
    header, arrays = read(path)
    if header.get("kind") != "checkpoint":
        raise ModelFileError(f"{path} is a {printable(header.get('kind'))}, not a checkpoint.")
    with blaming(path):
        return rebuild(header["network"], _unpack(header["state"]["arrays"], arrays))


def load_checkpoint(path: str | os.PathLike[str], state: TrainingState) -> None:
    """Restore the state of training from a checkpoint.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If it is not a checkpoint, or one of another network, optimizer or list of callbacks.
    """
    header, arrays = read(path)
    if header.get("kind") != "checkpoint":
        raise ModelFileError(f"{path} is a {printable(header.get('kind'))}, not a checkpoint.")
    with blaming(path):
        _restore(state, _unpack(header["state"], arrays), path)
        if isinstance(state.network, Container):
            state.network.freeze_only(header["network"].get("frozen", {}))  # callbacks may have changed it


def _restore(state: TrainingState, saved: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    began_as, now = saved["began_as"], _as_json(beginning(state))
    if began_as["layers"] != now["layers"]:
        raise ModelFileError(f"{path} is a checkpoint of another network.")
    callbacks = _stateful(state.callbacks)
    types = [type(callback).__name__ for callback in callbacks]
    saved_types = [callback["type"] for callback in saved["callbacks"]]
    if types != saved_types:
        raise ModelFileError(f"{path} was saved with the callbacks {saved_types}, got {types}.")
    for name in ("optimizer", "loss", "augment", "batch_size", "frozen"):
        if (before := began_as.get(name, {})) != now[name]:
            raise ModelFileError(f"{path} was saved with {name} {before}, got {now[name]}.")
    if not state.has_fingerprint(saved["data"]):
        raise ModelFileError(f"{path} was saved with data {saved['data']}, got {state.fingerprint}.")
    if saved["epoch"] > state.epochs:
        raise ModelFileError(
            f"{path} has {counted(saved['epoch'], 'epoch')} behind it already, got epochs={state.epochs}."
        )

    _check_progress(state, saved)
    parameters = {name: saved["arrays"][name] for name in state.network.params}
    buffers = {name: saved["arrays"][name] for name in state.network.buffers}
    state.optimizer.load_state_dict(saved["optimizer"])
    for memory, remembered in state.optimizer.state.items():
        for name, array in remembered.items():
            shape = parameters[name].shape
            if array.shape != shape or array.dtype.kind != "f":
                raise ValueError(
                    f"the optimizer's {memory} of {name!r} must be floating point of shape {shape}, got "
                    f"{array.dtype} of shape {array.shape}"
                )
    state.network.load(parameters, buffers)
    _restore_settings(state.network, saved["settings"])
    state.began_as = began_as
    state.rng.bit_generator.state = saved["rng"]
    for rng, rng_state in zip(random_generators(state.network), saved["layer_rngs"], strict=True):
        rng.bit_generator.state = rng_state
    state.history = History(saved["history"])
    state.stop = saved["stop"]
    state.epoch, state.seconds = saved["epoch"], saved["seconds"]
    state.kernels = saved.get("kernels", "")
    state.batch_losses, state.epoch_rng_state = saved["batch_losses"], saved["epoch_rng_state"]
    for callback, remembered in zip(callbacks, saved["callbacks"], strict=True):
        callback.load_state_dict(remembered["state"])


def _check_progress(state: TrainingState, saved: Mapping[str, Any]) -> None:
    """Raise ValueError or TypeError if what counts and measures the epochs is of a wrong kind."""
    epoch, losses = integer("epoch", saved["epoch"], 0), saved["batch_losses"]
    number("seconds", saved["seconds"])
    if not isinstance(losses, list) or len(losses) > state.batches_per_epoch:
        raise ValueError(f"batch_losses must be at most {state.batches_per_epoch} numbers, got {losses!r}")
    for loss in losses:
        number("batch_losses", loss)
    rows = saved["history"]
    if not isinstance(rows, list) or len(rows) != epoch + 1:
        raise ValueError("history must have a row for each epoch")
    for k, row in enumerate(rows):
        if row["epoch"] != k:
            raise ValueError(f"row {k} of history must be of epoch {k}, got {row['epoch']!r}")
        if set(row) != set(COLUMNS) or not all(isinstance(value, int | float) for value in row.values()):
            raise ValueError(f"history must have rows of numbers, got {row!r}")
    for name in ("stop", "kernels"):
        if not isinstance(saved.get(name, ""), str):
            raise TypeError(f"{name} must be text, got {saved[name]!r}")


def _stateful(callbacks: Sequence[Callback]) -> list[Callback]:
    """Return the callbacks that have a state; the others may differ when a run is resumed."""
    return [callback for callback in callbacks if type(callback).state_dict is not Callback.state_dict]


def beginning(state: TrainingState) -> dict[str, Any]:
    """Describe the settings that a resumed run must have in common with the original one."""
    settings = {"optimizer": state.optimizer, "loss": state.loss, "augment": state.augment}
    texts = {name: described(value) for name, value in settings.items()}
    network = describe(state.network)
    return texts | {
        "batch_size": state.batch_size,
        "layers": network["layers"],
        "frozen": network.get("frozen", {}),
    }


def _restore_settings(network: Layer, saved: Mapping[str, Any]) -> None:
    """Restore the settings of layers that callbacks had changed."""
    for name, layer in network.leaves():
        now = _as_json(layer.config())
        changed = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in saved[name].items()
            if now[key] != value
        }
        if changed:
            with allowance(layer.parameter_count):
                type(layer).from_config(layer.config() | changed)  # raises if a setting is out of range
        for key, value in changed.items():
            setattr(layer, key, value)


def _pack(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """Convert nested data to JSON data, and collect its arrays in ``arrays``."""
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return {"$array": path}
    if isinstance(value, Mapping):
        return {key: _pack(item, f"{path}/{key}" if path else key, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_pack(item, f"{path}/{i}", arrays) for i, item in enumerate(value)]
    return value


def _unpack(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Replace the references made by :func:`_pack` by the arrays."""
    if isinstance(value, dict):
        if "$array" in value:
            return arrays[value["$array"]]
        return {key: _unpack(item, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_unpack(item, arrays) for item in value]
    return value


def _as_json(value: Any) -> Any:
    """Convert tuples to lists, as a round trip through JSON does."""
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_as_json(item) for item in value]
    return value
