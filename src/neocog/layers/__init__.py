"""The maths: every layer with its forward and its backward side by side."""

from neocog.layers.activation import GELU, LeakyReLU, ReLU, Sigmoid, Tanh
from neocog.layers.base import Layer
from neocog.layers.containers import Container, Sequential
from neocog.layers.convolution import Conv2D
from neocog.layers.dense import Dense
from neocog.layers.dropout import Dropout
from neocog.layers.graph import Graph, Residual
from neocog.layers.merge import Add, Concat
from neocog.layers.normalization import BatchNorm1D, BatchNorm2D
from neocog.layers.pooling import AvgPool2D, GlobalAvgPool2D, MaxPool2D
from neocog.layers.shape import Flatten, Pad2D

__all__ = [
    "GELU",
    "Add",
    "AvgPool2D",
    "BatchNorm1D",
    "BatchNorm2D",
    "Concat",
    "Container",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2D",
    "Graph",
    "Layer",
    "LeakyReLU",
    "MaxPool2D",
    "Pad2D",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Tanh",
]
