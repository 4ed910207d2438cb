"""Softmax, whose dim PyTorch leaves open, and the functions of PReLU and of dropout, which has a mode."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from neocog.interop.torch.graph_builder import UnsupportedError, Value
from neocog.interop.torch.operators.arguments import loaded, parameter
from neocog.interop.torch.registry import Chain, imports, register_layer
from neocog.layers import Dropout, LogSoftmax, PReLU, Softmax

IN_TRAINING = "in training"
"""The value of ``training`` of a function that was given the module's own."""


@register_layer(Softmax)
def _to_softmax(layer: Softmax) -> nn.Softmax:
    return nn.Softmax(layer.axis)


@imports(nn.Softmax, F.softmax, torch.softmax, "softmax")
def softmax(x: Value, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Chain:
    return Softmax(_axis(dim, dtype))


@register_layer(LogSoftmax)
def _to_log_softmax(layer: LogSoftmax) -> nn.LogSoftmax:
    return nn.LogSoftmax(layer.axis)


@imports(nn.LogSoftmax, F.log_softmax, torch.log_softmax, "log_softmax")
def log_softmax(x: Value, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Chain:
    return LogSoftmax(_axis(dim, dtype))


def _axis(dim: int | None, dtype: Any) -> int:
    if dim is None or dtype is not None:
        raise UnsupportedError("it needs a dim, and no dtype")
    return dim


@imports(F.dropout)
def dropout(x: Value, p: float = 0.5, training: Any = True, inplace: bool = False) -> Chain:
    if training is True:
        raise UnsupportedError("it drops in evaluation too; with training=self.training it is supported")
    return Dropout(p) if training == IN_TRAINING else ()


@imports(F.prelu, torch.prelu, "prelu")
def prelu(x: Value, weight: Any) -> Chain:
    weight = parameter("weight", weight)
    if weight.ndim != 1:
        raise UnsupportedError(f"its weight must have shape (1,) or (C,), got {tuple(weight.shape)}")
    return loaded(PReLU(len(weight)), weight, None)
