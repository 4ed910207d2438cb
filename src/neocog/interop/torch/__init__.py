"""Networks carried to PyTorch and back."""

try:
    import torch as _torch  # noqa: F401
except ImportError:
    raise ImportError('neocog.interop.torch needs PyTorch: pip install "neocog[torch]".') from None

from neocog.interop.torch.from_leaves import register_module
from neocog.interop.torch.from_module import from_torch
from neocog.interop.torch.graph_builder import UnsupportedError
from neocog.interop.torch.to_leaves import register_layer
from neocog.interop.torch.to_module import load_from_torch, to_torch

__all__ = [
    "UnsupportedError",
    "from_torch",
    "load_from_torch",
    "register_layer",
    "register_module",
    "to_torch",
]
