"""Lower normalization: by fixed numbers, over the batch, and within each image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from neocog.compilation.emitter import Emitter, Lowering, Use, lowers
from neocog.compilation.nodes import LayerNode, Uncompilable
from neocog.kernels.fused.program import Maps
from neocog.layers import BatchNorm1D, BatchNorm2D, GroupNorm, LayerNorm, Normalize
from neocog.layers.base import Shape


@lowers(Normalize)
class Standardization(Lowering):
    """``y = (x - mean) / std``, ``dx = dy / std``."""

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        x, y = node.input.place, emit.maps(node.output)
        emit.pointwise("standardise", 2.0, x=x, y=y, **node.layer.buffers)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        if node.input.wanted:
            with emit.into(node.input) as dx:
                emit.pointwise("standardise", 2.0, x=dy, y=dx, std=node.layer.buffers["std"])


@lowers(BatchNorm1D, BatchNorm2D)
class BatchNormalization(Lowering):
    """Batch normalization, in training by the statistics of the batch, else by the running ones."""

    settings = ("eps", "momentum")
    takes_relu = True
    undoes_relu = True

    def supports(self, layer: Any, input_shapes: Sequence[Shape], output_shape: Shape, use: Use) -> None:
        N, _, *sizes = input_shapes[0]
        if use.training and N * math.prod(sizes) == 1:
            raise Uncompilable("batch norm of one value")  # which the layer refuses

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        layer, x, y = node.layer, node.input.place, emit.maps(node.output)
        mean, inv_std = (emit.program.memory(y.C) for _ in range(2))
        node.memo.update(mean=mean, inv_std=inv_std)
        emit.pointwise(
            "normalise",
            6.0,
            x=x,
            y=y,
            training=int(emit.training),
            weight=layer.params["weight"],
            bias=layer.params["bias"],
            running_mean=layer.buffers["running_mean"],
            running_var=layer.buffers["running_var"],
            mean=mean,
            inv_std=inv_std,
            momentum=layer.momentum,
            eps=layer.eps,
            floor=node.floor,
        )

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        fields = {
            "x": node.input.place,
            "dy": dy,
            "training": int(emit.training),
            "weight": node.layer.params["weight"],
            "mean": node.memo["mean"],
            "inv_std": node.memo["inv_std"],
            "d_weight": emit.gradient(node, "weight"),
            "d_bias": emit.gradient(node, "bias"),
        }
        if node.relu and not emit.pooling_undoes_relu(node):
            fields |= {"relu_output": node.output.place}
        if not node.input.wanted:
            emit.pointwise("normalise_back", 8.0, **fields)
            return
        with emit.into(node.input) as dx:
            emit.pointwise("normalise_back", 8.0, **fields, dx=dx)


class SampleNormalization(Lowering):
    """Each set of numbers of an image becomes a lane of a plane; forward and backward are of these planes."""

    settings = ("eps",)

    def sets(self, layer: Any, shape: tuple[int, int, int]) -> tuple[int, int]:
        """Return the number of sets in an image, and how many neighbours in one share a weight."""
        raise NotImplementedError

    def weights_step(self, layer: Any) -> int:
        """Return the number of weights from one set to the next; 0 if all sets have the same."""
        raise NotImplementedError

    def flat(self, node: LayerNode, training: bool) -> tuple[bool, bool]:
        return True, True

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        y = emit.maps(node.output)
        planes, repeat = self.sets(node.layer, node.input.shape)
        mean, inv_std = (emit.program.memory(planes * y.N, size=8) for _ in range(2))
        node.memo.update(mean=mean, inv_std=inv_std)
        emit.pointwise(
            "normalise_sets",
            8.0,
            x=_planes(node.input.place, planes),
            y=_planes(y, planes),
            weight=node.layer.params["weight"],
            bias=node.layer.params["bias"],
            mean=mean,
            inv_std=inv_std,
            repeat=repeat,
            plane_step=self.weights_step(node.layer),
            eps=node.layer.eps,
        )

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        planes, repeat = self.sets(node.layer, node.input.shape)
        step = self.weights_step(node.layer)
        gradients = {name: emit.gradient(node, name) for name in ("weight", "bias")}
        # Weights that all sets have: their gradients, set by set side by side, are added up afterwards.
        weights = node.layer.params["weight"].size
        shared = {
            name: emit.program.maps(weights, 1, planes, 1) for name in gradients if planes > 1 and not step
        }
        fields = {
            "x": _planes(node.input.place, planes),
            "dy": _planes(dy, planes),
            "weight": node.layer.params["weight"],
            "mean": node.memo["mean"],
            "inv_std": node.memo["inv_std"],
            "sums": emit.program.memory(2 * planes * dy.N, size=8),
            "d_weight": shared["weight"].memory if shared else gradients["weight"],
            "d_bias": shared["bias"].memory if shared else gradients["bias"],
            "repeat": repeat,
            "plane_step": step,
            "d_plane_step": 1 if shared else step,
            "d_row_step": planes if shared else 1,
        }
        if node.input.wanted:
            with emit.into(node.input) as dx:
                emit.pointwise("normalise_sets_back", 12.0, **fields, dx=_planes(dx, planes))
        else:
            emit.pointwise("normalise_sets_back", 12.0, **fields)
        for name, parts in shared.items():
            emit.pointwise("plane_sum", 1.0, dy=parts, d_bias=gradients[name])


def _planes(maps: Maps, count: int) -> Maps:
    """Return maps as so many planes, with a row for each number of one image's part of a plane."""
    return maps.reshaped(count, maps.C * maps.H * maps.W // count, 1)


@lowers(GroupNorm)
class GroupNormalization(SampleNormalization):
    """A set is a group of channels, whose weights are its own."""

    def sets(self, layer: GroupNorm, shape: tuple[int, int, int]) -> tuple[int, int]:
        _, H, W = shape
        return layer.num_groups, H * W

    def weights_step(self, layer: GroupNorm) -> int:
        return layer.num_channels // layer.num_groups


@lowers(LayerNorm)
class LayerNormalization(SampleNormalization):
    """A set is what lies along the last axes; all sets have the same weights."""

    def sets(self, layer: LayerNorm, shape: tuple[int, int, int]) -> tuple[int, int]:
        return math.prod(shape) // math.prod(layer.normalized_shape), 1

    def weights_step(self, layer: LayerNorm) -> int:
        return 0
