"""Save a session of the studio as a run directory like any other."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from neocog.data import Split
from neocog.inspection.predictions import measure
from neocog.layers import Container
from neocog.runs import RunDirectory, RunResult, draw_sample
from neocog.serialization import save
from neocog.settings import OF_BLOCKS, Settings
from neocog.studio.live import Live
from neocog.studio.work import Work
from neocog.training import Snapshots
from neocog.training.checkpoint import beginning, save_checkpoint
from neocog.training.state import TrainingState

__all__ = ["save_run"]


def save_run(
    path: Path, work: Work, live: Live, state: TrainingState, journal: Iterable[str]
) -> RunDirectory:
    """Write all that was trained, between two batches, so that it is found as it is and goes on from here.

    Images that came by the page are written beside it, as ``images.npz``.

    Parameters
    ----------
    path : path
        The directory; what a session has saved there before is replaced.
    work : Work
    live : Live
    state : TrainingState
    journal : iterable of str
        What was done by hand, a line each, for the log.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path.mkdir(parents=True, exist_ok=True)
    directory, network = RunDirectory(path), work_network(state)
    settings, data = saved_settings(work, directory, state.epoch), work.data
    with directory.open_log() as log:
        log.write("".join(f"{line}\n" for line in journal))
        if work.own:
            data = save_images(directory, work.data)
        held_out = None
        if data.validation is not None:
            with contextlib.suppress(ValueError):  # weights that give no numbers; what came before is kept
                held_out = measure(network, *data.validation)
        result = RunResult(directory, network, state.history, list(work.notes), held_out)
        session = {
            "data": work.name,
            "blocks": work.blocks,
            "start": work.start,
            "labels": work.labels,
            "swapped": dict(work.swapped),
        }
        sample, _ = draw_sample(settings, len(data.train[1]))
        save(network, directory.model)
        snapshots = Snapshots()
        for epoch, moment in live.moments.items():
            snapshots.add(epoch, moment.arrays)
        snapshots.save(directory.snapshots)
        kept = copy.copy(state)
        kept.callbacks = [snapshots]  # as `neocog train` has it, which can go on from here, too
        kept.began_as = beginning(state)  # the settings of now
        save_checkpoint(directory.checkpoint, kept)
        state.history.to_csv(directory.history_csv)
        directory.write_config(settings, data, network, sample, {**result.to_dict(), "studio": session})
        state.history.to_json(directory.history_json)
    return directory


def work_network(state: TrainingState) -> Container:
    """Return the network that is trained."""
    network = state.network
    assert isinstance(network, Container)
    return network


def saved_settings(work: Work, directory: RunDirectory, epochs: int) -> Settings:
    """Return the settings of the run: what was trained, from where, as it is now."""
    settings = replace(work.settings, epochs=epochs)
    if work.own:
        settings = replace(settings, source=f"npz:{directory.path.absolute() / 'images.npz'}")
    if work.swapped:  # built by its name it would be another network
        settings = replace(settings, network=OF_BLOCKS, filters=None)
    return settings


def save_images(directory: RunDirectory, data: Split) -> Split:
    """Write images that no source has, and return them as they will be read: as arrays of numbers 0 to 1."""
    arrays = {"x_train": np.asarray(data.train[0]), "y_train": data.train[1]}
    if data.validation is not None:
        arrays |= {"x_test": np.asarray(data.validation[0]), "y_test": data.validation[1]}
    path = directory.path / "images.npz"
    arrays |= {"class_names": np.array(data.class_names), "channels_last": np.array(False)}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return Split(data.train, data.validation, data.class_names)
