"""Convert the function of dropout, which has a mode."""

from __future__ import annotations

from typing import Any

from torch.nn import functional as F

from neocog.interop.torch.graph_builder import TracedValue, UnsupportedError
from neocog.interop.torch.registry import Chain, imports
from neocog.layers import Dropout

IN_TRAINING = "in training"
"""The value of ``training`` of a function that was given the module's own."""


@imports(F.dropout)
def dropout(x: TracedValue, p: float = 0.5, training: Any = True, inplace: bool = False) -> Chain:
    if training is True:
        raise UnsupportedError("it drops in evaluation too; with training=self.training it is supported")
    return Dropout(p) if training == IN_TRAINING else ()
