"""Convert batch norm, some of whose options in PyTorch have no counterpart."""

from __future__ import annotations

from torch import nn

from neocog.interop.torch.graph_builder import UnsupportedError, Value
from neocog.interop.torch.registry import Chain, imports_module, register_layer
from neocog.layers import BatchNorm1D, BatchNorm2D


@register_layer(BatchNorm1D)
def _to_batch_norm1d(layer: BatchNorm1D) -> nn.BatchNorm1d:
    return nn.BatchNorm1d(layer.num_features, layer.eps, layer.momentum)


@register_layer(BatchNorm2D)
def _to_batch_norm2d(layer: BatchNorm2D) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(layer.num_features, layer.eps, layer.momentum)


@imports_module(nn.BatchNorm1d, nn.BatchNorm2d)
def _from_batch_norm(module: nn.BatchNorm1d | nn.BatchNorm2d, x: Value) -> Chain:
    if not module.affine:
        raise UnsupportedError("affine=False has no counterpart; affine=True is supported")
    if not module.track_running_stats or module.running_mean is None:
        raise UnsupportedError("track_running_stats=False has no counterpart; True is supported")
    if module.momentum is None:
        raise UnsupportedError("momentum=None, a cumulative mean, has no counterpart; a number is supported")
    layer = BatchNorm1D if isinstance(module, nn.BatchNorm1d) else BatchNorm2D
    return layer(module.num_features, module.eps, module.momentum)
