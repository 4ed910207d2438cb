"""Define the layers: the maths of each, its forward and its backward side by side."""

from neocog.layers.activation import (
    ELU,
    GELU,
    SELU,
    Abs,
    Clip,
    Elementwise,
    Exp,
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    Mish,
    Power,
    PReLU,
    ReLU,
    ScaledTanh,
    Sigmoid,
    SiLU,
    Softplus,
    Sqrt,
    Tanh,
)
from neocog.layers.base import Layer
from neocog.layers.bias import Bias
from neocog.layers.channels import ChannelShuffle, Slice
from neocog.layers.containers import Container, Sequential
from neocog.layers.convolution import Conv2D
from neocog.layers.dense import Dense
from neocog.layers.dropout import Dropout, StochasticDepth
from neocog.layers.global_pooling import GlobalAvgPool2D, GlobalMaxPool2D
from neocog.layers.graph import Graph, Residual
from neocog.layers.merge import Add, Concat, MatMul, Maximum, Minimum, Multiply
from neocog.layers.normalization import (
    BatchNorm1D,
    BatchNorm2D,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
    Normalize,
)
from neocog.layers.padding import Pad2D, PadChannels
from neocog.layers.pooling import AvgPool2D, MaxPool2D
from neocog.layers.radial import RadialBasis
from neocog.layers.reduction import Mean, Sum
from neocog.layers.scaling import Rescale, Scale
from neocog.layers.shape import Flatten, Reshape, Transpose
from neocog.layers.softmax import LogSoftmax, Softmax
from neocog.layers.sparse import SparseConv2D
from neocog.layers.transposed_convolution import ConvTranspose2D
from neocog.layers.upsampling import Upsample

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "Abs",
    "Add",
    "AvgPool2D",
    "BatchNorm1D",
    "BatchNorm2D",
    "Bias",
    "ChannelShuffle",
    "Clip",
    "Concat",
    "Container",
    "Conv2D",
    "ConvTranspose2D",
    "Dense",
    "Dropout",
    "Elementwise",
    "Exp",
    "Flatten",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "Graph",
    "GroupNorm",
    "Hardsigmoid",
    "Hardswish",
    "InstanceNorm",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LocalResponseNorm",
    "LogSoftmax",
    "MatMul",
    "MaxPool2D",
    "Maximum",
    "Mean",
    "Minimum",
    "Mish",
    "Multiply",
    "Normalize",
    "PReLU",
    "Pad2D",
    "PadChannels",
    "Power",
    "RadialBasis",
    "ReLU",
    "Rescale",
    "Reshape",
    "Residual",
    "Scale",
    "ScaledTanh",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "SparseConv2D",
    "Sqrt",
    "StochasticDepth",
    "Sum",
    "Tanh",
    "Transpose",
    "Upsample",
]
