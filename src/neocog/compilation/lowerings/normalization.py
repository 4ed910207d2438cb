"""Lower normalization: by fixed numbers, over the batch, and within each image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neocog.compilation.emitter import Emitter, Lowering, Use, lowers
from neocog.compilation.lowerings.scaling import array_operand
from neocog.compilation.nodes import LayerNode, Uncompilable
from neocog.kernels.fused import lowering
from neocog.kernels.fused.operations import broadcasting
from neocog.kernels.fused.program import Maps
from neocog.layers import (
    BatchNorm1D,
    BatchNorm2D,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
    Normalize,
)
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
    takes_clip = True
    undoes_clip = True
    any_layout = True

    def supports(self, layer: Any, input_shapes: Sequence[Shape], output_shape: Shape, use: Use) -> None:
        N, _, *sizes = input_shapes[0]
        if use.training and N * math.prod(sizes) == 1:
            raise Uncompilable("batch norm of one value")  # which the layer refuses

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        layer, x, y = node.layer, node.input.place, emit.maps(node.output)
        if node.channels_last:
            ones = (1,) * (len(node.input.array_shape) - 2)
            scale, shift = (
                array_operand(each.astype(emit.program.dtype).reshape(-1, *ones), node.input)
                for each in fixed_terms(layer)
            )
            lowering.combine(emit.program, broadcasting.MULTIPLY, x, scale, y)
            lowering.combine(emit.program, broadcasting.ADD, y, shift, y)
            emit.clip(y, node.bounds)
            return
        mean, inv_std = (emit.program.memory(y.C) for _ in range(2))
        node.memo.update(mean=mean, inv_std=inv_std)
        emit.pointwise(
            "normalise",
            6.0,
            x=x,
            y=y,
            training=int(node.training),
            weight=layer.params["weight"],
            bias=layer.params["bias"],
            running_mean=layer.buffers["running_mean"],
            running_var=layer.buffers["running_var"],
            mean=mean,
            inv_std=inv_std,
            momentum=0.0 if emit.again else layer.momentum,  # running statistics move once
            eps=layer.eps,
            low=node.bounds[0],
            high=node.bounds[1],
        )

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        fields = {
            "x": node.input.place,
            "dy": dy,
            "training": int(node.training),
            "weight": node.layer.params["weight"],
            "mean": node.memo["mean"],
            "inv_std": node.memo["inv_std"],
            "d_weight": emit.gradient(node, "weight") if node.learns else None,
            "d_bias": emit.gradient(node, "bias") if node.learns else None,
        }
        if node.clip and not emit.pooling_undoes_relu(node):
            fields |= {"clipped": node.output.place, "low": node.bounds[0], "high": node.bounds[1]}
        if not node.input.wanted:
            emit.pointwise("normalise_back", 8.0, **fields)
            return
        with emit.into(node.input) as dx:
            emit.pointwise("normalise_back", 8.0, **fields, dx=dx)


def fixed_terms(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the scale and the shift of each channel by the running statistics, in float64."""
    exact = {name: array.astype(np.float64) for name, array in {**layer.params, **layer.buffers}.items()}
    scale = exact["weight"] / np.sqrt(exact["running_var"] + layer.eps)
    return scale, exact["bias"] - exact["running_mean"] * scale


@lowers(LocalResponseNorm)
class ResponseNormalization(Lowering):
    """``y = x s^-beta``, s of the neighbouring channels; in training s is kept."""

    settings = ("size", "alpha", "beta", "k")

    @staticmethod
    def _fields(emit: Emitter, node: LayerNode) -> dict[str, Any]:
        layer, lanes = node.layer, node.input.place.lanes
        emit.program.scratch = max(emit.program.scratch, 8 * lanes)  # a row of float64
        window = {"before": layer.size // 2, "after": (layer.size - 1) // 2}
        return {**window, "share": layer.alpha / layer.size, "beta": layer.beta}

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        x, y = node.input.place, emit.maps(node.output)
        node.memo["s"] = s = emit.program.maps(*x.shape) if emit.training else None
        fields = self._fields(emit, node) | ({"s": s} if s else {})
        emit.pointwise("normalise_response", 60.0, **fields, x=x, y=y, k=node.layer.k)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        if node.input.wanted:
            known = {"x": node.input.place, "y": node.output.place, "s": node.memo["s"], "dy": dy}
            with emit.into(node.input) as dx:
                emit.pointwise("normalise_response_back", 60.0, **self._fields(emit, node), **known, dx=dx)


class SampleNormalization(Lowering):
    """Each set of numbers of an image becomes a lane of a plane; forward and backward are of these planes."""

    def planes(self, layer: Any, maps: Maps) -> Maps:
        """Return maps as planes, with a row for each number of a set."""
        raise NotImplementedError

    def weights(self, layer: Any, maps: Maps) -> tuple[int, int]:
        """Return how many neighbours in a set share a weight, and the number of weights to the next set."""
        raise NotImplementedError

    def flat(self, node: LayerNode, training: bool) -> tuple[bool, bool]:
        return True, True

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        layer, maps = node.layer, emit.maps(node.output)
        x, y = self.planes(layer, node.input.place), self.planes(layer, maps)
        mean, inv_std = (emit.program.memory(y.C * y.lanes, size=8) for _ in range(2))
        node.memo.update(mean=mean, inv_std=inv_std, weight=self._weight(emit, node))
        repeat, step = self.weights(layer, maps)
        emit.pointwise(
            "normalise_sets",
            8.0,
            x=x,
            y=y,
            weight=node.memo["weight"],
            bias=layer.params["bias"] if layer.params else np.zeros_like(node.memo["weight"]),
            mean=mean,
            inv_std=inv_std,
            repeat=repeat,
            plane_step=step,
            eps=layer.eps,
        )

    @staticmethod
    def _weight(emit: Emitter, node: LayerNode) -> np.ndarray:
        """Return the weights, ones where the layer learns none."""
        C = node.input.shape[0]
        weight: np.ndarray = node.layer.params.get("weight", np.ones(C, emit.program.dtype))
        return weight

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        layer, weight = node.layer, node.memo["weight"]
        repeat, step = self.weights(layer, dy)
        x, dy = self.planes(layer, node.input.place), self.planes(layer, dy)
        names = layer.params if node.learns else ()
        gradients = {name: emit.gradient(node, name) for name in names}
        # Weights that all sets have: their gradients, set by set side by side, are added up afterwards.
        shared = {name: emit.program.maps(weight.size, 1, dy.C, 1) for name in names if dy.C > 1 and not step}
        places = gradients | {name: parts.memory for name, parts in shared.items()}
        fields = {
            "x": x,
            "dy": dy,
            "weight": weight,
            "mean": node.memo["mean"],
            "inv_std": node.memo["inv_std"],
            "sums": emit.program.memory(2 * dy.C * dy.lanes, size=8),
            "d_weight": places.get("weight"),
            "d_bias": places.get("bias"),
            "repeat": repeat,
            "plane_step": step,
            "d_plane_step": 1 if shared else step,
            "d_row_step": dy.C if shared else 1,
        }
        if node.input.wanted:
            with emit.into(node.input) as dx:
                emit.pointwise("normalise_sets_back", 12.0, **fields, dx=self.planes(layer, dx))
        else:
            emit.pointwise("normalise_sets_back", 12.0, **fields)
        for name, parts in shared.items():
            emit.pointwise("plane_sum", 1.0, dy=parts, d_bias=gradients[name])


@lowers(GroupNorm, InstanceNorm)
class GroupNormalization(SampleNormalization):
    """A set is a group of channels, whose weights are its own."""

    settings = ("eps", "num_groups")

    def planes(self, layer: GroupNorm, maps: Maps) -> Maps:
        return maps.reshaped(layer.num_groups, maps.C * maps.H * maps.W // layer.num_groups, 1)

    def weights(self, layer: GroupNorm, maps: Maps) -> tuple[int, int]:
        return maps.H * maps.W, layer.num_channels // layer.num_groups


@lowers(LayerNorm)
class LayerNormalization(SampleNormalization):
    """A set is what lies along some neighbouring axes; all sets have the same weights."""

    settings = ("eps", "axis")

    def flat(self, node: LayerNode, training: bool) -> tuple[bool, bool]:
        return not _of_channels(node.layer), not _of_channels(node.layer)

    def planes(self, layer: LayerNorm, maps: Maps) -> Maps:
        if _of_channels(layer):
            return _Across(maps.memory, maps.H, maps.C, maps.W, maps.N, maps.border, maps.begin, gap=maps.gap)
        numbers, each = maps.C * maps.H * maps.W, math.prod(layer.normalized_shape)
        before = numbers // each if layer.axis is None else math.prod(maps.shape[: layer.axis - 1])
        return maps.reshaped(before, each, numbers // before // each)

    def weights(self, layer: LayerNorm, maps: Maps) -> tuple[int, int]:
        return 1, 0


def _of_channels(layer: LayerNorm) -> bool:
    return layer.axis == 1 and len(layer.normalized_shape) == 1


class _Across(Maps):
    """Maps cut the other way: a plane for each row of pixels, in which the rows are the channels."""

    @property
    def plane(self) -> int:
        return (self.border[2] + self.W + self.border[3]) * self.N

    @property
    def row(self) -> int:
        return (self.border[0] + self.C + self.border[1]) * self.plane + self.gap

    @property
    def origin(self) -> tuple[Any, int]:
        return self.memory, self.begin + self.border[0] * self.plane + self.border[2] * self.N
