"""Convert the layers that do not map one to one, by family, in both directions.

A function named like one of PyTorch's takes the same arguments.
"""

from neocog.interop.torch.operators import (
    activation,
    channels,
    convolution,
    dense,
    dropout,
    merge,
    normalization,
    padding,
    pooling,
    reduction,
    scaling,
    shape,
    softmax,
    statistics,
    transposed_convolution,
    upsampling,
)

__all__ = [
    "activation",
    "channels",
    "convolution",
    "dense",
    "dropout",
    "merge",
    "normalization",
    "padding",
    "pooling",
    "reduction",
    "scaling",
    "shape",
    "softmax",
    "statistics",
    "transposed_convolution",
    "upsampling",
]
