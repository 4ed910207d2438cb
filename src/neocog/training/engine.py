"""Choose the engine that computes the steps of training: neocog's own layers, or another library."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from neocog.interop import processes
from neocog.interop.engine import Engine
from neocog.layers import Layer
from neocog.losses import Loss
from neocog.optimizers import Optimizer
from neocog.validation import flag, one_of

__all__ = ["ENGINES", "Engine", "check_engine", "leads", "torch_engine"]

ENGINES = ("neocog", "torch")


def torch_engine(
    network: Layer, loss: Loss, optimizer: Optimizer, device: str | None
) -> AbstractContextManager[Engine]:
    """Open PyTorch's engine; ImportError if PyTorch is not installed."""
    from neocog.interop.torch.engine import TorchEngine

    return TorchEngine(network, loss, optimizer, device)


def check_engine(engine: Any, device: Any, checkpoint_activations: Any = False) -> str:
    """Return the engine's name; ValueError or TypeError if there is none, or it has not what is asked for."""
    name: str = one_of("engine", engine, ENGINES)
    if device is not None and name != "torch":
        raise ValueError(f"device must be left out, but for engine='torch', got {device!r}.")
    if device is not None and not isinstance(device, str):
        raise TypeError(f"device must be a text such as 'cuda' or 'cuda:1', got {device!r}.")
    if flag("checkpoint_activations", checkpoint_activations) and name != "neocog":
        raise ValueError(f"checkpoint_activations must be left out, but for engine='neocog', got {name!r}.")
    return name


def leads(engine: str) -> bool:
    """Return whether this process writes files and prints; ValueError if several cannot train together."""
    rank, size = processes()
    if engine != "torch" and size > 1:
        raise ValueError(f"engine must be 'torch' for {size} processes to train together, got {engine!r}.")
    return rank == 0
