"""Define losses: a number to minimize, and its derivative.

A loss is called as ``value, dz = loss(z, t)`` with the network's outputs ``z`` and the targets ``t``; with a
weight for each image, ``loss(z, t, sample_weight)``, it is the mean of the images' losses, each times its
weight.
"""

from neocog.losses.base import Loss, LossTerm, check_weights
from neocog.losses.binary import BinaryCrossEntropy
from neocog.losses.softmax import FocalLoss, SoftmaxCrossEntropy, SoftmaxLoss
from neocog.losses.squared import MeanSquaredError

__all__ = [
    "BinaryCrossEntropy",
    "FocalLoss",
    "Loss",
    "LossTerm",
    "MeanSquaredError",
    "SoftmaxCrossEntropy",
    "SoftmaxLoss",
    "check_weights",
]
