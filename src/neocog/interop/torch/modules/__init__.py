"""Define modules for the layers that PyTorch lacks, one family a file."""

from neocog.interop.torch.modules.activation import Hardsigmoid, ScaledTanh
from neocog.interop.torch.modules.channels import PadChannels, Slice
from neocog.interop.torch.modules.containers import Graph, GraphOfSeveralInputs, Residual
from neocog.interop.torch.modules.convolution import CroppedConvTranspose2d, PaddedConv2d, SparseConv2d
from neocog.interop.torch.modules.dropout import StochasticDepth
from neocog.interop.torch.modules.merge import Add, Concat, MatMul, Maximum, Minimum, Multiply
from neocog.interop.torch.modules.normalization import LayerNorm, Normalize
from neocog.interop.torch.modules.pooling import (
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    PaddedAvgPool2d,
    PaddedMaxPool2d,
    WindowPool2d,
)
from neocog.interop.torch.modules.radial import RadialBasis
from neocog.interop.torch.modules.reduction import Mean, Sum
from neocog.interop.torch.modules.scaling import Bias, Rescale, Scale
from neocog.interop.torch.modules.shape import Permute, Reshape

__all__ = [
    "Add",
    "Bias",
    "Concat",
    "CroppedConvTranspose2d",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "Graph",
    "GraphOfSeveralInputs",
    "Hardsigmoid",
    "LayerNorm",
    "MatMul",
    "Maximum",
    "Mean",
    "Minimum",
    "Multiply",
    "Normalize",
    "PadChannels",
    "PaddedAvgPool2d",
    "PaddedConv2d",
    "PaddedMaxPool2d",
    "Permute",
    "RadialBasis",
    "Rescale",
    "Reshape",
    "Residual",
    "Scale",
    "ScaledTanh",
    "Slice",
    "SparseConv2d",
    "StochasticDepth",
    "Sum",
    "WindowPool2d",
]
