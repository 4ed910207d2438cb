"""Convert activations of several forms, and PReLU as a function, which is given its weight."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from neocog.interop.torch.graph_builder import TracedValue, UnsupportedError
from neocog.interop.torch.operators.arguments import loaded, parameter
from neocog.interop.torch.registry import Chain, imports, register_layer
from neocog.layers import Abs, Clip, Exp, Hardsigmoid, PReLU, Softplus, Sqrt


@imports(F.prelu, torch.prelu, "prelu")
def prelu(x: TracedValue, weight: Any) -> Chain:
    weight = parameter("weight", weight)
    if weight.ndim != 1:
        raise UnsupportedError(f"its weight must have shape (1,) or (C,), got {tuple(weight.shape)}")
    return loaded(PReLU(len(weight)), weight, None)


@imports(nn.ReLU6, F.relu6)
def relu6(x: TracedValue, inplace: bool = False) -> Chain:
    return Clip(0.0, 6.0)


@imports(torch.clamp, torch.clip, torch.clamp_, "clamp", "clip", "clamp_")
def clamp(x: TracedValue, min: Any = None, max: Any = None) -> Chain:  # noqa: A002 - PyTorch's names
    """Convert clamp by two numbers, whose gradient differs from Clip's at the bounds themselves only."""
    for name, bound in (("min", min), ("max", max)):
        if not isinstance(bound, float | int | None):
            raise UnsupportedError(f"its {name} must be a number, got {bound!r}")
    return Clip(min, max)


@imports(torch.clamp_min, "clamp_min")
def clamp_min(x: TracedValue, min: Any) -> Chain:  # noqa: A002
    return clamp(x, min)


@imports(torch.clamp_max, "clamp_max")
def clamp_max(x: TracedValue, max: Any) -> Chain:  # noqa: A002
    return clamp(x, None, max)


@register_layer(Clip)
def clip_module(layer: Clip) -> nn.Module:
    return nn.ReLU6() if layer.bounds == (0, 6) else nn.Hardtanh(*layer.bounds)


@imports(nn.Hardtanh, F.hardtanh, F.hardtanh_)
def hardtanh(x: TracedValue, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Chain:
    return Clip(*(None if math.isinf(bound) else bound for bound in (min_val, max_val)))


@imports(nn.Hardsigmoid, F.hardsigmoid)
def hardsigmoid(x: TracedValue, inplace: bool = False) -> Chain:
    return Hardsigmoid()


@register_layer(Softplus)
def softplus_module(layer: Softplus) -> nn.Module:
    """Make PyTorch's module with a threshold from which x is exact in float64."""
    return nn.Softplus(layer.beta, threshold=40.0)


@imports(nn.Softplus, F.softplus)
def softplus(x: TracedValue, beta: float = 1.0, threshold: float = 20.0) -> Chain:
    """Convert Softplus; from its usual threshold on PyTorch returns x, which is less by 2e-9."""
    if threshold < 20:
        raise UnsupportedError(f"its threshold must be at least 20, got {threshold}")
    return Softplus(beta)


@imports(torch.exp, torch.exp_, "exp", "exp_")
def exp(x: TracedValue) -> Chain:
    return Exp()


@imports(torch.sqrt, torch.sqrt_, "sqrt", "sqrt_")
def sqrt(x: TracedValue) -> Chain:
    return Sqrt()


@imports(torch.abs, torch.abs_, "abs", "abs_")
def abs_(x: TracedValue) -> Chain:
    return Abs()
