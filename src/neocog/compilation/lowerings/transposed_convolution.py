"""Lower transposed convolutions: forward is a convolution's input gradient, backward its forward."""

from __future__ import annotations

from neocog.compilation.emitter import Emitter, Lowering, lowers
from neocog.compilation.lowerings.convolution import after, folded
from neocog.compilation.lowerings.normalization import BatchNormalization
from neocog.compilation.nodes import LayerNode, wider
from neocog.kernels.fused import lowering
from neocog.kernels.fused.program import Maps
from neocog.layers import ConvTranspose2D


@lowers(ConvTranspose2D)
class TransposedConvolution(Lowering):
    """The convolution that makes the layer's inputs of its outputs, run the other way.

    In inference it is fused with the clip after it, frozen also with batch norm.
    """

    settings = ("stride", "sides", "dilation", "groups")
    takes_clip = True

    def plan(self, emit: Emitter, node: LayerNode) -> None:
        layer = node.layer
        conv = node.memo["conv"] = lowering.Convolution(
            emit.program,
            (emit.N, *node.output.shape),
            layer.params["weight"].shape,
            layer.stride,
            layer.sides,
            layer.dilation,
            layer.groups,
        )
        node.memo["border"] = conv.output_border
        node.input.border = wider(node.input.border, conv.output_border)
        node.output.gradient_border = conv.input_border

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        x, conv, params = node.input.place, node.memo["conv"], node.layer.params
        weight, bias = params["weight"], params.get("bias")
        if emit.program.frozen and (norm := after(node, BatchNormalization)):
            weight, bias = folded(node, norm, axis=1)
            node = norm
        conv.input_gradient(x, weight, emit.maps(node.output), bias=bias, bounds=node.bounds)

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        conv, x = node.memo["conv"], node.input.place
        windows = conv.windows(dy, x.row)
        if node.learns:
            conv.weight_gradient(windows, x, emit.gradient(node, "weight"))
        emit.bias_backward(node, dy)
        if node.input.wanted:
            adding = node.input.gradient
            dx = adding or emit.gradient_maps(node.input)
            conv.forward(windows, node.layer.params["weight"], None, dx, init=adding)
