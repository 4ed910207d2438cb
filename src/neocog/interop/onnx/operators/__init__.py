"""The table: every operator beside its layer, each with the way there and the way back."""

from neocog.interop.onnx.operators import (
    activation,
    convolution,
    dense,
    folding,
    normalization,
    pooling,
    shape,
)

__all__ = ["activation", "convolution", "dense", "folding", "normalization", "pooling", "shape"]
