"""What a training loop is driven by: neocog's own layers, or another library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from neocog.interop import processes
from neocog.layers import Layer
from neocog.losses import Loss
from neocog.optimizers import Optimizer
from neocog.validation import one_of

__all__ = ["ENGINES", "Engine", "check_engine", "leads", "torch_engine"]

ENGINES = ("neocog", "torch")


class Engine(Protocol):
    """Takes the steps and measures the network.

    Where several processes train together, each runs the same loop over the same batches, of which its
    engine computes a part; one of them leads: it alone has callbacks.
    """

    leads: bool

    def step(self, x: Any, t: Any, weight: Any = None) -> float:
        """Return the loss of a batch; move the weights if it is finite."""
        ...

    def evaluate(self, x: Any, t: Any, weight: Any = None) -> tuple[float, float]:
        """Return mean loss and accuracy in inference."""
        ...

    def synchronize(self) -> None:
        """Bring weights, running statistics and the optimizer's memory up to date in neocog's own arrays."""
        ...

    def begin(self, rng: np.random.Generator, alike: Callable[[], Mapping[str, Any]]) -> None:
        """Let all processes draw as the leader does; ValueError if not all were given what it was given."""
        ...

    def follow(self) -> None:
        """Take over what callbacks have changed, weights and settings, in all processes."""
        ...

    def agree(self, stop: str) -> str:
        """Return why all processes stop; empty if none wishes to."""
        ...


def torch_engine(
    network: Layer, loss: Loss, optimizer: Optimizer, device: str | None
) -> AbstractContextManager[Engine]:
    """Open PyTorch's engine; ImportError if PyTorch is not installed."""
    from neocog.interop.torch.engine import TorchEngine

    return TorchEngine(network, loss, optimizer, device)


def check_engine(engine: Any, device: Any) -> str:
    """Return the engine's name; ValueError or TypeError if there is none, or it has no devices."""
    name: str = one_of("engine", engine, ENGINES)
    if device is not None and name != "torch":
        raise ValueError(f"device must be left out, but for engine='torch', got {device!r}.")
    if device is not None and not isinstance(device, str):
        raise TypeError(f"device must be a text such as 'cuda' or 'cuda:1', got {device!r}.")
    return name


def leads(engine: str) -> bool:
    """Whether this process is the one that writes and speaks; ValueError if several cannot train together."""
    rank, size = processes()
    if engine != "torch" and size > 1:
        raise ValueError(f"engine must be 'torch' for {size} processes to train together, got {engine!r}.")
    return rank == 0
