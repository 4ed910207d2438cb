"""Lower transposed convolutions: forward is a convolution's input gradient, backward its forward."""

from __future__ import annotations

from neocog.compilation.emitter import Emitter, Lowering, lowers
from neocog.compilation.nodes import LayerNode, wider
from neocog.kernels.fused import lowering
from neocog.kernels.fused.program import Maps
from neocog.layers import ConvTranspose2D


@lowers(ConvTranspose2D)
class TransposedConvolution(Lowering):
    """The convolution that makes the layer's inputs of its outputs, run the other way."""

    settings = ("stride", "sides", "dilation", "groups")

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
        params = node.layer.params
        y = emit.maps(node.output)
        node.memo["conv"].input_gradient(node.input.place, params["weight"], y, bias=params.get("bias"))

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        conv, x = node.memo["conv"], node.input.place
        windows = conv.windows(dy, x.row)
        conv.weight_gradient(windows, x, emit.gradient(node, "weight"))
        emit.bias_backward(node, dy)
        if node.input.wanted:
            adding = node.input.gradient
            dx = adding or emit.gradient_maps(node.input)
            conv.forward(windows, node.layer.params["weight"], None, dx, init=adding)
