"""Define the operations of a program: compiled loops over arrays, one family a file."""

from neocog.kernels.fused.operations import (
    activation,
    broadcasting,
    elementwise,
    losses,
    normalization,
    optimizers,
    pooling,
    products,
    resampling,
    sampling,
    winograd,
)

__all__ = [
    "activation",
    "broadcasting",
    "elementwise",
    "losses",
    "normalization",
    "optimizers",
    "pooling",
    "products",
    "resampling",
    "sampling",
    "winograd",
]
