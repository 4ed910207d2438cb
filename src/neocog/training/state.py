"""Define the state of training, and the base class of callbacks.

:func:`neocog.fit` passes one :class:`TrainingState` to every callback. A callback returns a reason from
``on_epoch`` to request a stop. Callbacks end in the reverse of their order, so that a checkpoint, which runs
last, is saved before early stopping restores the best weights.
"""

from __future__ import annotations

import functools
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from neocog.data.batches import Augmentation
from neocog.data.split import Split
from neocog.layers import Layer
from neocog.losses import Loss
from neocog.optimizers import Optimizer
from neocog.training.engine import Engine
from neocog.training.features import Features
from neocog.training.history import History


@dataclass
class TrainingState:
    """Hold everything that :func:`neocog.fit` works on; it is passed to every callback.

    Attributes
    ----------
    epoch : int
        Epochs completed.
    batch_losses : list of float
        Losses of the batches completed in the current epoch.
    epoch_rng_state : dict
        The generator's state at the start of the current epoch, from which a resumed run draws its batches.
    engine : Engine
        Computes the steps; see :mod:`neocog.training.engine`.
    kernels : str
        The kernels in use; a resumed run keeps those that ``auto`` had chosen.
    began_as : dict
        With checkpoints, the settings before callbacks changed them, with which a run must be resumed.
    features : Features or None
        The outputs of the frozen part, computed once, from which the engine trains the rest.
    frozen : dict
        What of the network was frozen when the features were computed.
    notes : list of str
        What is said before the first epoch.
    requested_stop : str
        Set by a signal handler: the reason to stop after the current batch.
    stop : str
        Why training ends early; empty while it goes on.
    failed : bool
        Whether training ended by an exception.
    checkpoint_activations : bool
        Whether the engine keeps few values for the backward pass, and computes the others again.
    """

    network: Layer
    data: Split
    loss: Loss
    optimizer: Optimizer
    epochs: int
    batch_size: int
    rng: np.random.Generator
    augment: Augmentation | None
    callbacks: Sequence[Callback]
    sample_weight: np.ndarray | None = None
    validation_weight: np.ndarray | None = None
    history: History = field(default_factory=History)
    epoch: int = 0
    batch_losses: list[float] = field(default_factory=list)
    epoch_rng_state: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    engine: Engine = field(init=False, repr=False)
    kernels: str = ""
    began_as: dict[str, Any] = field(default_factory=dict)
    features: Features | None = field(default=None, repr=False)
    frozen: dict[str, bool] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    requested_stop: str = ""
    stop: str = ""
    failed: bool = False
    checkpoint_activations: bool = False

    @functools.cached_property
    def fingerprint(self) -> str:
        """Return a digest of the data and of the sample weights."""
        weights = [w.tobytes() for w in (self.sample_weight, self.validation_weight) if w is not None]
        return self.data.fingerprint() + (hashlib.sha256(b"".join(weights)).hexdigest() if weights else "")

    def has_fingerprint(self, fingerprint: str) -> bool:
        """Return whether a :attr:`fingerprint` is that of these data and weights."""
        if fingerprint == self.fingerprint:
            return True
        weights = self.fingerprint.removeprefix(self.data.fingerprint())
        return fingerprint.endswith(weights) and self.data.has_fingerprint(fingerprint.removesuffix(weights))

    @property
    def inputs(self) -> tuple[Any, Any]:
        """What the engine computes from: the images to train on and to validate on, or their features."""
        if self.features is not None:
            return self.features.train, self.features.validation
        return self.data.train[0], None if self.data.validation is None else self.data.validation[0]

    @property
    def batches_per_epoch(self) -> int:
        """Number of steps in an epoch."""
        return math.ceil(len(self.data.train[1]) / self.batch_size)


class Callback:
    """Base class of all callbacks; override the methods that you need."""

    runs_last: ClassVar[bool] = False
    """Whether the callback runs after all others, whatever its place in the list."""

    def reset(self) -> None:
        """Clear what was recorded in an earlier call of ``fit``; called first."""

    def on_start(self, state: TrainingState) -> None:
        """Handle the start, before the first epoch or the first one after a restart."""

    def on_batch(self, state: TrainingState) -> None:
        """Handle the end of a step; PyTorch's engine updates neocog's arrays only after an epoch."""

    def on_epoch(self, state: TrainingState) -> str | None:
        """Handle the end of an epoch, whose row is in the history; return a reason to stop, or None."""

    def on_end(self, state: TrainingState) -> None:
        """Handle the end of training, also after an exception."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a checkpoint must keep: numbers, strings, arrays, and dicts of these."""
        return {}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""


def described(thing: Any) -> str:
    """Return the repr without memory addresses, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(thing))


def alike(state: TrainingState) -> dict[str, Any]:
    """Return the settings that must be equal in all processes that train together."""
    return {
        "data": state.fingerprint,
        "network": described(state.network),
        "loss": described(state.loss),
        "optimizer": described(state.optimizer),
        "epochs": state.epochs,
        "batch_size": state.batch_size,
        "place": (state.epoch, len(state.batch_losses)),
    }
