"""Lower the layers to compiled operations, one family a file, named as in :mod:`neocog.layers`.

Each class registers itself by :func:`neocog.compilation.emitter.lowers`; importing this package is enough.
"""

from neocog.compilation.lowerings import (
    activation,
    bias,
    channels,
    convolution,
    dense,
    dropout,
    global_pooling,
    losses,
    merge,
    normalization,
    optimizers,
    padding,
    pooling,
    reduction,
    scaling,
    shape,
    transposed_convolution,
    upsampling,
)

__all__ = [
    "activation",
    "bias",
    "channels",
    "convolution",
    "dense",
    "dropout",
    "global_pooling",
    "losses",
    "merge",
    "normalization",
    "optimizers",
    "padding",
    "pooling",
    "reduction",
    "scaling",
    "shape",
    "transposed_convolution",
    "upsampling",
]
