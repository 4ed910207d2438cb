"""The base class of what computes the steps of a training run: neocog's layers, or another library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["Engine"]


class Engine:
    """Takes the steps of a training run and measures the network.

    The defaults are those of an engine of one process that computes in neocog's own arrays. Where several
    processes train together, each runs the same loop over the same batches, of which its engine computes a
    part; one of them leads: it alone has callbacks.
    """

    leads: bool = True

    def step(self, x: Any, t: Any, weight: Any = None) -> float:
        """Return the loss of a batch; move the weights if it is finite."""
        raise NotImplementedError

    def evaluate(self, x: Any, t: Any, weight: Any = None) -> tuple[float, float]:
        """Return mean loss and accuracy in inference."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Bring weights, running statistics and the optimizer's memory up to date in neocog's own arrays."""

    def begin(self, rng: np.random.Generator, alike: Callable[[], Mapping[str, Any]]) -> None:
        """Let all processes draw as the leader does; ValueError if not all were given what it was given."""

    def follow(self) -> None:
        """Take over what callbacks have changed, weights and settings, in all processes."""

    def agree(self, stop: str) -> str:
        """Return why all processes stop; empty if none wishes to."""
        return stop
