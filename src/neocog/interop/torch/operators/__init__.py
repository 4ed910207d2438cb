"""What PyTorch and neocog do not have one to one, by family, the two directions beside each other.

A function that bears the name of one of PyTorch's takes its arguments.
"""

from neocog.interop.torch.operators import (
    convolution,
    dense,
    dropout,
    normalization,
    padding,
    pooling,
    shape,
    softmax,
)

__all__ = ["convolution", "dense", "dropout", "normalization", "padding", "pooling", "shape", "softmax"]
