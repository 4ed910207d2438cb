"""Convert PReLU as a function, which is given its weight."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from neocog.interop.torch.graph_builder import TracedValue, UnsupportedError
from neocog.interop.torch.operators.arguments import loaded, parameter
from neocog.interop.torch.registry import Chain, imports
from neocog.layers import PReLU


@imports(F.prelu, torch.prelu, "prelu")
def prelu(x: TracedValue, weight: Any) -> Chain:
    weight = parameter("weight", weight)
    if weight.ndim != 1:
        raise UnsupportedError(f"its weight must have shape (1,) or (C,), got {tuple(weight.shape)}")
    return loaded(PReLU(len(weight)), weight, None)
