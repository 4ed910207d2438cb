"""Normalise forms of arguments that PyTorch's functions share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from neocog.interop.torch.graph_builder import TracedValue, UnsupportedError, known
from neocog.interop.torch.registry import Loaded
from neocog.layers import Layer


def size(value: Any) -> Any:
    """Return 3 for ``(3,)``, which PyTorch accepts instead."""
    return value[0] if isinstance(value, tuple | list) and len(value) == 1 else value


def listed(args: tuple[Any, ...]) -> Sequence[Any]:
    """Return ``(2, 3)`` for ``((2, 3),)``, which PyTorch accepts instead."""
    return args[0] if len(args) == 1 and isinstance(args[0], tuple | list) else args


def axis_of(x: TracedValue, dim: int) -> int:
    """Return an axis counted from the first, the batch."""
    return dim if dim >= 0 else dim + len(known(x, f"dim={dim}")) + 1


def is_learned(tensor: Any) -> bool:
    """Return whether a tensor is a parameter, or all of one in another shape."""
    if isinstance(tensor, nn.Parameter):
        return True
    base = tensor._base if isinstance(tensor, Tensor) else None
    return isinstance(base, nn.Parameter) and tensor.is_contiguous() and tensor.numel() == base.numel()


def parameter(name: str, tensor: Any) -> Tensor:
    """Return a tensor; raise UnsupportedError if it is none with known numbers."""
    if not isinstance(tensor, Tensor):
        raise UnsupportedError(f"its {name} is {tensor!r}; a parameter of the module is supported")
    return tensor


def loaded(layer: Layer, weight: Tensor, bias: Any) -> Loaded:
    """Pair a layer with the weight, and the bias unless it is None, that a function was given."""
    tensors: dict[str, Tensor] = {"weight": weight}
    if bias is not None:
        tensors["bias"] = parameter("bias", bias)
    return Loaded(layer, tensors)
