"""Define the base class of engines, which compute the steps of a training run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["Engine"]


class Engine:
    """Base of engines: compute the steps of a training run, and evaluate the network.

    The defaults are those of an engine of one process that computes in neocog's own arrays. Where several
    processes train together, each runs the same loop over the same batches, of which its engine computes a
    part; one of them leads: it alone has callbacks.
    """

    leads: bool = True

    def step(self, x: Any, t: Any, sample_weight: Any = None) -> float:
        """Return the loss of a batch; update the weights if it is finite."""
        raise NotImplementedError

    def evaluate(self, x: Any, t: Any, sample_weight: Any = None) -> tuple[float, float]:
        """Return mean loss and accuracy in inference."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Copy weights, running statistics and the optimizer's memory into neocog's own arrays."""

    def begin(self, rng: np.random.Generator, alike: Callable[[], Mapping[str, Any]]) -> None:
        """Copy the leader's random state to all processes; ValueError if their arguments differ from its."""

    def follow(self) -> None:
        """Apply the changes that callbacks made to weights and settings, in all processes."""

    def agree(self, stop: str) -> str:
        """Return why all processes stop; empty if none asked to."""
        return stop
