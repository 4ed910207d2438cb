"""Train networks: the loop, its history, callbacks and checkpoints."""

from neocog.training.callbacks import (
    CSVLog,
    EarlyStopping,
    KeepBest,
    KernelSnapshots,
    Progress,
    ReduceLROnPlateau,
)
from neocog.training.checkpoint import Checkpoint
from neocog.training.diagnosis import NonFiniteLossError
from neocog.training.evaluation import Evaluation, evaluate, predict, predict_proba
from neocog.training.history import History
from neocog.training.loop import fit, make_step
from neocog.training.snapshots import Snapshots, load_snapshots
from neocog.training.state import Callback, TrainingState
from neocog.training.symptoms import Diagnose

__all__ = [
    "CSVLog",
    "Callback",
    "Checkpoint",
    "Diagnose",
    "EarlyStopping",
    "Evaluation",
    "History",
    "KeepBest",
    "KernelSnapshots",
    "NonFiniteLossError",
    "Progress",
    "ReduceLROnPlateau",
    "Snapshots",
    "TrainingState",
    "evaluate",
    "fit",
    "load_snapshots",
    "make_step",
    "predict",
    "predict_proba",
]
