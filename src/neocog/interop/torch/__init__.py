"""Convert networks to PyTorch and back."""

try:
    import torch as _torch  # noqa: F401
except ImportError:
    raise ImportError('neocog.interop.torch needs PyTorch: pip install "neocog[torch]".') from None

from neocog.interop.torch import layers, operators  # noqa: F401, they fill the registries
from neocog.interop.torch.exporting import counterpart, load_from_torch, to_torch
from neocog.interop.torch.graph_builder import ConversionWarning, UnsupportedError
from neocog.interop.torch.importing import from_torch
from neocog.interop.torch.registry import register_layer, register_module

__all__ = [
    "ConversionWarning",
    "UnsupportedError",
    "counterpart",
    "from_torch",
    "load_from_torch",
    "register_layer",
    "register_module",
    "to_torch",
]
