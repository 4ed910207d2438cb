"""The arithmetic of each layer, one number at a time: the terms that add up to it.

A rule answers three questions about one entry: which terms made this output (``forward``), which terms made
this entry of dx (``input_gradient``), which made this entry of a parameter's gradient
(``parameter_gradient``). It is written from the formula in the layer's docstring, with plain loops, and calls
no kernel: that its terms add up to what the kernels computed is a second proof of them.
"""

from __future__ import annotations

from neocog.inspection.rules.activation import ActivationRule, DropoutRule, LogSoftmaxRule, SoftmaxRule
from neocog.inspection.rules.base import Factor, Index, Rule, Term
from neocog.inspection.rules.convolution import Conv2DRule, SparseConv2DRule
from neocog.inspection.rules.dense import DenseRule, RadialBasisRule
from neocog.inspection.rules.merge import AddRule, BiasRule
from neocog.inspection.rules.normalization import BatchNormRule, LocalResponseNormRule
from neocog.inspection.rules.pooling import (
    AvgPool2DRule,
    GlobalAvgPool2DRule,
    GlobalMaxPool2DRule,
    MaxPool2DRule,
)
from neocog.inspection.rules.shape import ConcatRule, Pad2DRule, PadChannelsRule, ReshapeRule, TransposeRule
from neocog.layers import (
    GELU,
    Add,
    AvgPool2D,
    BatchNorm1D,
    BatchNorm2D,
    Bias,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    Layer,
    LeakyReLU,
    LocalResponseNorm,
    LogSoftmax,
    MaxPool2D,
    Pad2D,
    PadChannels,
    RadialBasis,
    ReLU,
    Reshape,
    ScaledTanh,
    Sigmoid,
    Softmax,
    SparseConv2D,
    Tanh,
    Transpose,
)

__all__ = ["RULES", "Factor", "Index", "Rule", "Term", "rule_for"]

RULES: dict[type[Layer], Rule] = {
    Add: AddRule(),
    AvgPool2D: AvgPool2DRule(),
    BatchNorm1D: BatchNormRule(),
    BatchNorm2D: BatchNormRule(),
    Bias: BiasRule(),
    Concat: ConcatRule(),
    Conv2D: Conv2DRule(),
    Dense: DenseRule(),
    Dropout: DropoutRule(),
    Flatten: ReshapeRule("y[n, (c H + i) W + j] = x[n,c,i,j]", "dx[n,c,i,j] = dy[n, (c H + i) W + j]"),
    GELU: ActivationRule("y = x Phi(x)"),
    GlobalAvgPool2D: GlobalAvgPool2DRule(),
    GlobalMaxPool2D: GlobalMaxPool2DRule(),
    LeakyReLU: ActivationRule("y = x if x > 0 else a x"),
    LocalResponseNorm: LocalResponseNormRule(),
    LogSoftmax: LogSoftmaxRule(),
    MaxPool2D: MaxPool2DRule(),
    Pad2D: Pad2DRule(),
    PadChannels: PadChannelsRule(),
    RadialBasis: RadialBasisRule(),
    ReLU: ActivationRule("y = max(x, 0)"),
    Reshape: ReshapeRule("y[k] = x[k], counted row by row", "dx[k] = dy[k], counted row by row"),
    ScaledTanh: ActivationRule("y = a tanh(s x)"),
    Sigmoid: ActivationRule("y = 1 / (1 + exp(-x))"),
    Softmax: SoftmaxRule(),
    SparseConv2D: SparseConv2DRule(),
    Tanh: ActivationRule("y = tanh(x)"),
    Transpose: TransposeRule(),
}


def rule_for(layer: Layer) -> Rule:
    """Return the rule of a layer, or of the nearest class it derives from; TypeError if there is none."""
    for cls in type(layer).__mro__:
        if cls in RULES:
            return RULES[cls]
    raise TypeError(f"there is no rule to explain a {type(layer).__name__}; there are {_names()}.")


def _names() -> str:
    return ", ".join(cls.__name__ for cls in RULES)
