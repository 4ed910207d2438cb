"""Convert the function of dropout, which has a mode, and the dropout of branches of other libraries."""

from __future__ import annotations

from typing import Any

from torch.nn import functional as F

from neocog.interop.torch.graph_builder import TracedValue, UnsupportedError
from neocog.interop.torch.registry import Chain, imports, imports_module
from neocog.layers import Dropout, StochasticDepth

IN_TRAINING = "in training"
"""The value of ``training`` of a function that was given the module's own."""


@imports(F.dropout)
def dropout(x: TracedValue, p: float = 0.5, training: Any = True, inplace: bool = False) -> Chain:
    if training is True:
        raise UnsupportedError("it drops in evaluation too; with training=self.training it is supported")
    return Dropout(p) if training == IN_TRAINING else ()


@imports_module("torchvision.ops.stochastic_depth.StochasticDepth")
def _from_stochastic_depth(module: Any, x: TracedValue) -> Chain:
    return StochasticDepth(module.p, module.mode)


@imports_module("timm.layers.drop.DropPath")
def _from_drop_path(module: Any, x: TracedValue) -> Chain:
    if module.drop_prob and not module.scale_by_keep:
        raise UnsupportedError("scale_by_keep=False has no counterpart; True is supported")
    return StochasticDepth(module.drop_prob or 0.0)
