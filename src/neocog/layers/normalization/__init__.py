"""Define normalization: by fixed numbers, over batches, in images, over neighbouring channels."""

from neocog.layers.normalization.batch import BatchNorm1D, BatchNorm2D
from neocog.layers.normalization.fixed import Normalize, normalize_for
from neocog.layers.normalization.local_response import LocalResponseNorm
from neocog.layers.normalization.sample import GroupNorm, InstanceNorm, LayerNorm

__all__ = [
    "BatchNorm1D",
    "BatchNorm2D",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "LocalResponseNorm",
    "Normalize",
    "normalize_for",
]
