"""What PyTorch and neocog do not have one to one, by family, the two directions beside each other.

A function that bears the name of one of PyTorch's takes its arguments.
"""

from neocog.interop.torch.operators import (
    activation,
    convolution,
    dense,
    normalization,
    pooling,
    shape,
)

__all__ = ["activation", "convolution", "dense", "normalization", "pooling", "shape"]
