"""Lower convolutions, with the batch norm and the sum that can be fused into them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neocog.compilation.emitter import Emitter, Lowering, lowers
from neocog.compilation.lowerings.activation import Gate
from neocog.compilation.lowerings.merge import Sum
from neocog.compilation.lowerings.normalization import BatchNormalization, fixed_terms
from neocog.compilation.nodes import LayerNode, wider
from neocog.kernels.fused import lowering
from neocog.kernels.fused.program import Maps
from neocog.layers import Conv2D

_WINOGRAD_ROOM = 96 << 20
"""Bytes by which all kernels transformed by Winograd's method together may exceed the kernels as they were.

A copy for inference keeps them, four times as large. With this bound VGG-16 takes no more memory than in
PyTorch, and every convolution of ResNet-50 that gains by the method still uses it.
"""


@lowers(Conv2D)
class Convolution(Lowering):
    """Convolution, fused with the sum or gate after it in inference, frozen also with batch norm."""

    settings = ("stride", "sides", "dilation", "groups")
    takes_clip = True

    def reads(self, emit: Emitter, node: LayerNode, channels_last: bool) -> bool | None:
        conv = self.convolution(emit, node)
        return None if channels_last and not conv.depthwise and not conv.paired else channels_last

    def layout_costs(self, emit: Emitter, node: LayerNode) -> tuple[float, float]:
        conv = self.convolution(emit, node)
        return conv.cost(False), conv.cost(True)

    def convolution(self, emit: Emitter, node: LayerNode) -> lowering.Convolution:
        """Return the layer as the kernels see it."""
        layer = node.layer
        return lowering.Convolution(
            emit.program,
            (emit.N, *node.input.shape),
            layer.params["weight"].shape,
            layer.stride,
            layer.window_sides(node.input.array_shape),
            layer.dilation,
            layer.groups,
            node.channels_last,
            node.memo.get("winograd", True),
        )

    def plan(self, emit: Emitter, node: LayerNode) -> None:
        conv = node.memo["conv"] = self.convolution(emit, node)
        node.memo["border"] = conv.input_border
        node.input.border = wider(node.input.border, conv.input_border)
        node.output.gradient_border = conv.output_border

    def without_input_gradient(self, emit: Emitter, node: LayerNode) -> None:
        if node.output.shape[2] * emit.N >= lowering.NARROW:  # narrow maps share one border
            node.output.gradient_border = node.memo["conv"].tile_border

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        layer, conv, last = node.layer, node.memo["conv"], node.channels_last
        source = node.input.place
        first, other = node, None
        weight, bias = layer.params["weight"], layer.params.get("bias")
        if emit.program.frozen and (norm := after(node, BatchNormalization)):
            weight, bias = folded(node, norm)
            node = norm
        gated = 0
        if not emit.training and not conv.by_winograd:
            if total := _sum_after(node):
                (value,) = (value for value in total.inputs if value is not node.output)
                emit.arrange(value, last)
                other = value.place
                total.memo["folded"] = True
                node = total
            elif gate := after(node, Gate):
                gated = gate.lowering.kind
                gate.memo["folded"] = True
                node = gate
        y = emit.maps(node.output)
        if last:
            lowering.add_pixel_product(emit.program, conv, source, weight, bias, y, node.bounds, other, gated)
            return
        first.memo["windows"] = windows = conv.windows(source, y.row)
        conv.forward(windows, weight, bias, y, node.bounds, other, emit.clean(node.output), gated)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        conv, weight = node.memo["conv"], node.layer.params["weight"]
        if node.learns:
            conv.weight_gradient(node.memo["windows"], dy, emit.gradient(node, "weight"))
        emit.bias_backward(node, dy)
        if node.input.wanted:
            adding = node.input.gradient is not None
            dx = node.input.gradient or emit.gradient_maps(node.input)
            conv.input_gradient(dy, weight, dx, adding)


def bound_winograd(emit: Emitter, nodes: Sequence[LayerNode]) -> None:
    """Allow Winograd's method, from the largest maps on, while the transformed kernels have room."""
    room = _WINOGRAD_ROOM
    found = [(node.lowering.convolution(emit, node), node) for node in nodes if _is_convolution(node)]
    for conv, node in sorted(found, key=lambda each: -each[0].out[0] * each[0].out[1]):
        node.memo["winograd"] = conv.winograd_bytes <= room
        room -= conv.winograd_bytes * node.memo["winograd"]


def _is_convolution(node: LayerNode) -> bool:
    return isinstance(node.lowering, Convolution) and not node.reason and not node.fused


def _sum_after(node: LayerNode) -> LayerNode | None:
    """Return the sum that alone reads a node's output, if its other inputs are computed before it."""
    if node.clip or not node.output.alone:
        return None
    (total,) = node.output.consumers
    if not isinstance(total.lowering, Sum) or len(total.inputs) != 2:
        return None
    others = [value for value in total.inputs if value is not node.output]
    alike = all(value.array_shape == total.output.array_shape for value in total.inputs)
    alike = alike and total.channels_last == node.channels_last
    return total if alike and len(others) == 1 and others[0].maps is not None else None


def after(node: LayerNode, kind: type[Lowering]) -> LayerNode | None:
    """Return the node of this kind that is the only reader of a node's output."""
    if node.clip or not node.output.alone:
        return None
    (reader,) = node.output.consumers
    return reader if isinstance(reader.lowering, kind) else None


def folded(node: LayerNode, norm: LayerNode, axis: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights and bias of a convolution with the batch norm after it folded in.

    The output channels lie along an axis of the weights, those of one group if it is 1.
    """
    layer, weight, bias = node.layer, node.layer.params["weight"], node.layer.params.get("bias")
    scale, shift = fixed_terms(norm.layer)
    if bias is not None:
        shift += bias * scale
    norm.memo["folded"] = True
    if axis:
        scale = np.repeat(scale.reshape(layer.groups, -1), len(weight) // layer.groups, axis=0)
    scaled = weight * scale.reshape(*scale.shape, *(1,) * (weight.ndim - scale.ndim))
    return scaled.astype(weight.dtype), shift.astype(weight.dtype)
