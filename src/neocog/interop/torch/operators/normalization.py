"""Convert normalization, some of whose options in PyTorch have no counterpart."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn import functional as F

from neocog.interop.torch import modules
from neocog.interop.torch.graph_builder import TracedValue, UnsupportedError, known
from neocog.interop.torch.operators.arguments import loaded, parameter
from neocog.interop.torch.operators.dropout import IN_TRAINING
from neocog.interop.torch.registry import Chain, Loaded, imports, imports_module, register_layer
from neocog.layers import (
    BatchNorm1D,
    BatchNorm2D,
    Bias,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    Normalize,
    Scale,
)

FIXED: dict[str, Any] = {"weight": None, "bias": None}
"""The arrays of a layer norm that neither scales nor shifts: they stay 1 and 0."""


@register_layer(Normalize)
def _to_normalize(layer: Normalize) -> modules.Normalize:
    return modules.Normalize(layer.mean, layer.std)


@imports_module(modules.Normalize)
def _from_normalize(module: modules.Normalize, x: TracedValue) -> Chain:
    return Normalize(module.mean.tolist(), module.std.tolist())


@register_layer(BatchNorm1D)
def _to_batch_norm1d(layer: BatchNorm1D) -> nn.BatchNorm1d:
    return nn.BatchNorm1d(layer.num_features, layer.eps, layer.momentum)


@register_layer(BatchNorm2D)
def _to_batch_norm2d(layer: BatchNorm2D) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(layer.num_features, layer.eps, layer.momentum)


@imports_module(nn.BatchNorm1d, nn.BatchNorm2d)
def _from_batch_norm(module: nn.BatchNorm1d | nn.BatchNorm2d, x: TracedValue) -> Chain:
    if not module.affine:
        raise UnsupportedError("affine=False has no counterpart; affine=True is supported")
    if not module.track_running_stats or module.running_mean is None:
        raise UnsupportedError("track_running_stats=False has no counterpart; True is supported")
    if module.momentum is None:
        raise UnsupportedError("momentum=None, a cumulative mean, has no counterpart; a number is supported")
    layer = BatchNorm1D if isinstance(module, nn.BatchNorm1d) else BatchNorm2D
    return layer(module.num_features, module.eps, module.momentum)


@imports(F.batch_norm)
def batch_norm(
    x: TracedValue,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: Any = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Chain:
    """Convert batch norm as a function: in its module's mode, or always in evaluation, as if frozen."""
    if training is True:
        raise UnsupportedError("it takes the batch's statistics in evaluation too, which has no counterpart")
    if running_mean is None or running_var is None:
        raise UnsupportedError("without running statistics it has no counterpart")
    if weight is None or bias is None:
        raise UnsupportedError("without weight or bias it has no counterpart; with both it is supported")
    if training != IN_TRAINING:
        raise UnsupportedError(
            "it takes the running statistics in training too; with training=self.training it is supported"
        )
    shape = known(x, "the number of axes")
    layer = (BatchNorm2D if len(shape) == 3 else BatchNorm1D)(len(running_mean), eps, momentum)
    weights = {"weight": parameter("weight", weight), "bias": parameter("bias", bias)}
    return Loaded(layer, weights | {"running_mean": running_mean, "running_var": running_var})


@register_layer(GroupNorm)
def _to_group_norm(layer: GroupNorm) -> nn.GroupNorm:
    return nn.GroupNorm(layer.num_groups, layer.num_channels, layer.eps, layer.affine)


@imports_module(nn.GroupNorm)
def _from_group_norm(module: nn.GroupNorm, x: TracedValue) -> Chain:
    return GroupNorm(module.num_groups, module.num_channels, module.eps, module.affine)


@imports(F.group_norm)
def group_norm(
    x: TracedValue, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Chain:
    if weight is None and bias is None:
        return GroupNorm(num_groups, known(x, "the number of channels")[0], eps, affine=False)
    weight = parameter("weight", weight)
    return loaded(GroupNorm(num_groups, len(weight), eps), weight, parameter("bias", bias))


@register_layer(InstanceNorm)
def _to_instance_norm(layer: InstanceNorm) -> nn.InstanceNorm2d:
    return nn.InstanceNorm2d(layer.num_features, layer.eps, affine=layer.affine)


@imports_module(nn.InstanceNorm1d, nn.InstanceNorm2d)
def _from_instance_norm(module: nn.InstanceNorm1d | nn.InstanceNorm2d, x: TracedValue) -> Chain:
    if module.track_running_stats:
        raise UnsupportedError("track_running_stats=True has no counterpart; False is supported")
    C = module.num_features
    if isinstance(module, nn.InstanceNorm1d):
        return GroupNorm(C, C, module.eps, module.affine)
    return InstanceNorm(C, module.eps, module.affine)


@imports(F.instance_norm)
def instance_norm(
    x: TracedValue,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Chain:
    if running_mean is not None or running_var is not None or not use_input_stats:
        raise UnsupportedError("with running statistics it has no counterpart; without, it is supported")
    C, *sizes = known(x, "the number of channels")
    affine = weight is not None or bias is not None
    layer = InstanceNorm(C, eps, affine) if len(sizes) == 2 else GroupNorm(C, C, eps, affine)
    return loaded(layer, parameter("weight", weight), parameter("bias", bias)) if affine else layer


@register_layer(LayerNorm)
def _to_layer_norm(layer: LayerNorm) -> nn.LayerNorm | modules.LayerNorm:
    if layer.axis is None:
        return nn.LayerNorm(layer.normalized_shape, layer.eps)
    return modules.LayerNorm(layer.normalized_shape, layer.eps, axis=layer.axis)


@imports_module(modules.LayerNorm)
def _from_layer_norm_along(module: modules.LayerNorm, x: TracedValue) -> Chain:
    return LayerNorm(tuple(module.normalized_shape), module.eps, module.axis)


@imports_module(nn.LayerNorm)
def _from_layer_norm(module: nn.LayerNorm, x: TracedValue) -> Chain:
    return layer_norm(x, module.normalized_shape, module.weight, module.bias, module.eps)


@imports(F.layer_norm)
def layer_norm(
    x: TracedValue, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Chain:
    """Convert layer norm; where one of weight and bias is missing, the other is a layer of its own."""
    shape = tuple(normalized_shape)
    layer = LayerNorm(shape, eps)
    if weight is not None and bias is not None:
        return loaded(layer, parameter("weight", weight), parameter("bias", bias))
    if weight is not None:
        return Loaded(layer, FIXED), Loaded(Scale(shape), {"weight": parameter("weight", weight)})
    if bias is not None:
        return Loaded(layer, FIXED), Loaded(Bias(shape), {"bias": parameter("bias", bias)})
    return Loaded(layer, FIXED)
