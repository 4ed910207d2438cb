"""Write and read ConvTranspose."""

from __future__ import annotations

from neocog.initializers import zeros
from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node, reads
from neocog.interop.onnx.symbolic import SymbolicValue
from neocog.interop.onnx.windows import pads, plain, read_windows
from neocog.layers import ConvTranspose2D, Layer


@writes(ConvTranspose2D, operators="ConvTranspose")
def write_transposed_convolution(w: Writer, layer: ConvTranspose2D, x: Tensor) -> str:
    """Write ConvTranspose; its weights have the same layout, (in, out / groups, kH, kW)."""
    return w.node(
        "ConvTranspose",
        x,
        *(w.array(array) for array in layer.params.values()),
        kernel_shape=layer.kernel_size,
        strides=layer.stride,
        pads=pads(layer.sides),
        output_padding=layer.output_padding,
        dilations=layer.dilation,
        group=layer.groups,
    )


@reads("ConvTranspose")
def read_transposed_convolution(node: Node) -> SymbolicValue:
    """Read ConvTranspose of images, and of rows as images of width 1."""
    weight = node.weights(1)
    bias = node.weights(2) if node.has(2) else None
    if weight.ndim < 3:
        node.fail(f"its weights must have shape (in, out / group, kernel ...), got {weight.shape}")
    windows = read_windows(node, list(weight.shape[2:]), transposed=True)
    if windows.is_row:
        weight = weight[..., None]
    groups = node.get("group", 1)
    out_channels = weight.shape[1] * groups
    if bias is not None and bias.shape != (out_channels,):
        node.fail(f"its bias must have shape {(out_channels,)}, got {bias.shape}")
    padding, output_padding = windows.padding, windows.output_padding
    if any(more >= s for more, s in zip(output_padding, windows.stride, strict=True)):
        node.unsupported(
            f"output_padding must be smaller than the stride {windows.stride}, got {output_padding}"
        )

    def make() -> Layer:
        layer = ConvTranspose2D(
            weight.shape[0],
            out_channels,
            windows.kernel_size,
            windows.stride,
            plain(padding),
            output_padding,
            groups,
            bias is not None,
            windows.dilation,
            init=zeros,
            dtype=weight.dtype,
        )
        layer.params["weight"] = node.builder.copied(weight)
        if bias is not None:
            layer.params["bias"] = node.builder.copied(bias, weight.dtype)
        return layer

    geometry = (windows.stride, padding, output_padding, windows.dilation, groups, windows.is_row)
    layer = node.builder.with_parameters(("ConvTranspose", *node.identities(1, 2), geometry), make)
    return windows.result(node.apply(layer, windows.x, place=node.learned_place()))
