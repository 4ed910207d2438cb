"""Convert softmax and its logarithm, whose dim may be None in PyTorch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from neocog.interop.torch.graph_builder import TracedValue, UnsupportedError
from neocog.interop.torch.registry import Chain, imports, register_layer
from neocog.layers import LogSoftmax, Softmax


@register_layer(Softmax)
def _to_softmax(layer: Softmax) -> nn.Softmax:
    return nn.Softmax(layer.axis)


@imports(nn.Softmax, F.softmax, torch.softmax, "softmax")
def softmax(x: TracedValue, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Chain:
    return Softmax(_axis(dim, dtype))


@register_layer(LogSoftmax)
def _to_log_softmax(layer: LogSoftmax) -> nn.LogSoftmax:
    return nn.LogSoftmax(layer.axis)


@imports(nn.LogSoftmax, F.log_softmax, torch.log_softmax, "log_softmax")
def log_softmax(x: TracedValue, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Chain:
    return LogSoftmax(_axis(dim, dtype))


def _axis(dim: int | None, dtype: Any) -> int:
    if dim is None or dtype is not None:
        raise UnsupportedError("it needs a dim, and no dtype")
    return dim
