"""State the arithmetic of each layer, one number at a time: the terms that add up to it.

A rule names the terms behind one output (``forward``), behind one entry of dx (``input_gradient``) and
behind one entry of a parameter's gradient (``parameter_gradient``). It is written from the formula in the
layer's docstring, with plain loops, and calls no kernel: that its terms add up to what the kernels computed
is a second proof of them. Each file holds the rules of the layers in the file of :mod:`neocog.layers` of the
same name; importing it registers them. ``jacobian`` is the default for a layer without a rule.
"""

from neocog.inspection.rules import (  # noqa: F401
    activation,
    bias,
    channels,
    convolution,
    dense,
    dropout,
    global_pooling,
    jacobian,
    merge,
    normalization,
    padding,
    pooling,
    radial,
    reduction,
    scaling,
    shape,
    softmax,
    sparse,
    transposed_convolution,
    upsampling,
)
from neocog.inspection.rules.base import (
    Factor,
    Index,
    Rule,
    Term,
    dy_at,
    explained_by,
    formula_of,
    parameter_at,
    product,
    rule_for,
    x_at,
)

__all__ = [
    "Factor",
    "Index",
    "Rule",
    "Term",
    "dy_at",
    "explained_by",
    "formula_of",
    "parameter_at",
    "product",
    "rule_for",
    "x_at",
]
