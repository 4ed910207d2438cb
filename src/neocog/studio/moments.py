"""Store the states of a training to go back to: few, and small enough together."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from neocog.layers.base import random_generators
from neocog.serialization import arrays_of
from neocog.studio.protocol import LIMITS
from neocog.training.state import TrainingState

__all__ = ["Moment", "thinned"]


@dataclass(frozen=True)
class Moment:
    """The state of training at a place, from which it goes on as if it had never been elsewhere.

    ``exact`` is false of one that was read from a file and holds weights only, rounded: from there on the
    optimizer's memory begins at zero, and the order of the images anew.
    """

    epoch: int
    arrays: Mapping[str, np.ndarray]
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    rng: Mapping[str, Any] = field(default_factory=dict)
    layer_rngs: tuple[Any, ...] = ()
    batch_losses: tuple[float, ...] = ()
    epoch_rng_state: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 0
    exact: bool = True

    @classmethod
    def of(cls, state: TrainingState) -> Moment:
        """Copy the state of training."""
        epoch = min(state.epoch, max(len(state.history.rows) - 1, 0))  # of which the row is there
        return cls(
            epoch,
            {name: array.copy() for name, array in arrays_of(state.network).items()},
            state.optimizer.state_dict(),
            copy.deepcopy(state.rng.bit_generator.state),
            tuple(copy.deepcopy(rng.bit_generator.state) for rng in random_generators(state.network)),
            tuple(state.batch_losses),
            copy.deepcopy(state.epoch_rng_state),
            state.batch_size,
        )

    @cached_property
    def nbytes(self) -> int:
        """The bytes of its arrays."""
        memories = self.optimizer.get("state", {}).values()
        held = [*self.arrays.values(), *(array for arrays in memories for array in arrays.values())]
        return sum(array.nbytes for array in held)


def thinned(moments: Mapping[int, Moment]) -> dict[int, Moment]:
    """Drop moments until they are few and small enough: those that lie close together, and far back.

    The first and the last stay.
    """
    kept = dict(sorted(moments.items()))
    size = sum(moment.nbytes for moment in kept.values())
    while len(kept) > 2 and (len(kept) > LIMITS["snapshots"] or size > LIMITS["snapshot_bytes"]):
        epochs = list(kept)
        gaps = [
            (after - before) / (epochs[-1] - epoch + 1)
            for before, epoch, after in zip(epochs, epochs[1:-1], epochs[2:], strict=False)
        ]
        size -= kept.pop(epochs[1 + int(np.argmin(gaps))]).nbytes
    return kept
