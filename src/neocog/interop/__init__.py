"""Convert networks to other libraries, and back."""

import importlib
import os
from typing import Any

__all__ = ["onnx", "processes", "torch"]


def __getattr__(name: str) -> Any:
    """Import ``neocog.interop.torch`` or ``neocog.interop.onnx`` on first access."""
    if name in ("torch", "onnx"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}.")


def processes() -> tuple[int, int]:
    """Return this process's rank and the number of processes that a launcher such as ``torchrun`` has set."""
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys():
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
