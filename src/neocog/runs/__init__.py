"""Train a network by its settings, and keep the model and its history in a run directory.

A run directory holds ``config.json`` (every setting), ``model.neocog``, ``history.csv`` and ``history.json``,
``snapshots.neocog`` (all parameters at some epochs of training), ``log.txt``, and
``checkpoint.neocog``, from which the run can be resumed.
"""

from neocog.runs.directory import RunDirectory, RunResult, numbered_path, open_model
from neocog.runs.fitting import adapted, choosing_callbacks, draw_sample, fit_as, network_for
from neocog.runs.images import open_images, training_split
from neocog.runs.training import outcome, resume, train

__all__ = [
    "RunDirectory",
    "RunResult",
    "adapted",
    "choosing_callbacks",
    "draw_sample",
    "fit_as",
    "network_for",
    "numbered_path",
    "open_images",
    "open_model",
    "outcome",
    "resume",
    "train",
    "training_split",
]
