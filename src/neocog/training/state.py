"""What a training run is made of, and what is said when it goes wrong."""

from __future__ import annotations

import copy
import functools
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neocog.data.batches import Augmentation
from neocog.data.split import Split
from neocog.layers import Layer
from neocog.layers.base import as_dtype
from neocog.losses import Loss
from neocog.optimizers import Optimizer
from neocog.training.callbacks import Callback
from neocog.training.engine import Engine
from neocog.training.history import History


class NonFiniteLossError(FloatingPointError):
    """The loss became NaN or infinite; the message says when and where."""


@dataclass
class TrainingState:
    """All that a training run is made of; callbacks are handed this.

    Attributes
    ----------
    epoch : int
        Epochs completed.
    batch_losses : list of float
        Losses of the batches completed in the epoch under way.
    epoch_rng_state : dict
        The generator's state at the start of the epoch under way, from which a resumed run draws it again.
    engine : Engine
        What takes the steps; see :mod:`neocog.training.engine`.
    kernels : str
        The kernels that ``auto`` has chosen; a resumed run goes on with them.
    began_as : dict
        Of a run with checkpoints, what it was before callbacks changed it: whoever resumes it begins so, too.
    requested_stop : str
        What a signal asked for since the last step.
    stop : str
        Why the run should end; empty while it should not.
    failed : bool
        Whether it ended by an exception.
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
    requested_stop: str = ""
    stop: str = ""
    failed: bool = False

    @functools.cached_property
    def fingerprint(self) -> str:
        """What tells the data from other data."""
        weights = [w.tobytes() for w in (self.sample_weight, self.validation_weight) if w is not None]
        return self.data.fingerprint() + (hashlib.sha256(b"".join(weights)).hexdigest() if weights else "")

    @property
    def batches_per_epoch(self) -> int:
        """Steps in an epoch."""
        return math.ceil(len(self.data.train[1]) / self.batch_size)


def described(thing: Any) -> str:
    """Return a thing's repr; without its address, which is another one each time, if it has no better one."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(thing))


def alike(state: TrainingState) -> dict[str, Any]:
    """What several processes that train together must have in common."""
    return {
        "data": state.fingerprint,
        "network": described(state.network),
        "loss": described(state.loss),
        "optimizer": described(state.optimizer),
        "epochs": state.epochs,
        "batch_size": state.batch_size,
        "place": (state.epoch, len(state.batch_losses)),
    }


def diagnosis(state: TrainingState, x: Any, training: bool) -> NonFiniteLossError:
    """Say in which layer the first number that is not finite arose."""
    state.engine.synchronize()
    found: list[str] = []

    def visit(name: str, layer: Layer, value: Any) -> Any:
        y = layer.forward(value, training=training)[0]
        if not found and not np.isfinite(y).all():
            non_finite = [key for key, array in layer.params.items() if not np.isfinite(array).all()]
            cause = f", whose {' and '.join(non_finite)} had already overflowed" if non_finite else ""
            found.append(f"layer {name!r} ({type(layer).__name__}){cause}")
        return y

    bad_input = training and not np.isfinite(x).all()  # by augmentation: fit has checked what it was given
    if bad_input:
        found.append("the images as they were augmented")
    twin = copy.deepcopy(state.network)  # whose running statistics and generators may move
    for start in range(0, len(x), 256):
        if not found:
            twin.walk(visit, as_dtype(x[start : start + 256], twin.dtype))
    where = found[0] if found else "the loss itself; every layer's output is finite"
    advice = "" if bad_input else " A lower learning rate usually helps."
    when = (
        f"in epoch {state.epoch + 1}, batch {len(state.batch_losses) + 1}"
        if training
        else (f"after epoch {state.epoch}, batch {len(state.batch_losses)}")
    )
    return NonFiniteLossError(
        f"the loss is not finite {when}, at learning rate {state.optimizer.last_lr:g}; it arose in "
        f"{where}.{advice}"
    )
