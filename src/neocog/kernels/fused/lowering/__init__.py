"""Lower what layers compute into operations of a program."""

from neocog.kernels.fused.lowering.broadcasting import Operand, combine, operand, reduce, repeat
from neocog.kernels.fused.lowering.convolution import Convolution
from neocog.kernels.fused.lowering.copies import copy, load, rearrange, store, strides, transfer
from neocog.kernels.fused.lowering.dense import dense, dense_input, dense_weight
from neocog.kernels.fused.lowering.pixels import add_pixel_product
from neocog.kernels.fused.lowering.pooling import LARGEST_WINDOW, counts_padding, pool, pool_back
from neocog.kernels.fused.lowering.products import NARROW, shifted
from neocog.kernels.fused.lowering.resampling import resample, resample_back
from neocog.kernels.fused.lowering.windows import ConvolutionWindows

__all__ = [
    "LARGEST_WINDOW",
    "NARROW",
    "Convolution",
    "ConvolutionWindows",
    "Operand",
    "add_pixel_product",
    "combine",
    "copy",
    "counts_padding",
    "dense",
    "dense_input",
    "dense_weight",
    "load",
    "operand",
    "pool",
    "pool_back",
    "rearrange",
    "reduce",
    "repeat",
    "resample",
    "resample_back",
    "shifted",
    "store",
    "strides",
    "transfer",
]
