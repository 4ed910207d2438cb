"""Read and write the geometry of windows: kernel_shape, strides, pads, dilations, auto_pad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from neocog.interop.onnx.graph_builder import check_values
from neocog.interop.onnx.import_node import Node
from neocog.interop.onnx.symbolic import SymbolicValue
from neocog.kernels.geometry import Padding, same_padding

LARGEST = 2**20  # larger strides, kernels and paddings are taken for malicious


@dataclass(frozen=True)
class WindowGeometry:
    """Windows over an image, of a convolution or a pooling."""

    x: SymbolicValue
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding
    dilation: tuple[int, int]
    is_row: bool
    """Whether the image is a row of numbers, (N, C, L), read as (N, C, L, 1)."""
    output_padding: tuple[int, int] = (0, 0)
    """Of a transposed convolution."""

    def result(self, y: SymbolicValue) -> SymbolicValue:
        """Return a result with the rank of the operator's input."""
        return y.lowered() if self.is_row else y


def read_windows(
    node: Node, kernel_shape: list[int] | None = None, transposed: bool = False
) -> WindowGeometry:
    """Read the attributes of a convolution, a transposed one, or a pooling.

    Raises
    ------
    OnnxImportError
        If the input is no image or an attribute is out of range.
    """
    x = node.value()
    axes = x.rank - 2
    if axes not in (1, 2):
        node.unsupported(f"its input must be images (N, C, H, W) or rows (N, C, L), got shape {x.sizes}")

    def sizes(name: str, default: int, count: int = axes, minimum: int = 1) -> list[int]:
        values: list[int] = node.get(name, [default] * count)
        if len(values) != count or not all(minimum <= value <= LARGEST for value in values):
            node.fail(f"{name} must be {count} integers from {minimum} to {LARGEST}, got {values}")
        return values

    kernel = sizes("kernel_shape", 0) if kernel_shape is None else kernel_shape
    if kernel_shape is not None and sizes("kernel_shape", 1) != kernel and node.get("kernel_shape"):
        node.fail(f"kernel_shape must be that of the weights, {kernel}, got {node.get('kernel_shape')}")
    strides, dilations = sizes("strides", 1), sizes("dilations", 1)
    pads = sizes("pads", 0, 2 * axes, minimum=0)
    padding = [(pads[k], pads[k + axes]) for k in range(axes)]
    automatic = node.get("auto_pad", "NOTSET")
    if automatic not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        node.fail(f"auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER, got {automatic!r}")
    more = sizes("output_padding", 0, minimum=0) if transposed else [0] * axes
    asked = node.get("output_shape") if transposed else None
    if asked and len(asked) not in (axes, axes + 2):
        node.fail(f"output_shape must be {axes} integers, got {asked}")
    if asked or (transposed and automatic.startswith("SAME")):
        for k, (length, step) in enumerate(zip(x.sizes[2:], strides, strict=True)):
            if length is None:
                node.fail("output_shape and auto_pad need images of a known size: pass input_shape=(C, H, W)")
            wanted = asked[k - axes] if asked else length * step
            whole = (length - 1) * step + more[k] + dilations[k] * (kernel[k] - 1) + 1
            cut = max(whole - wanted, 0)
            less, rest = cut // 2, cut - cut // 2
            padding[k] = (less, rest) if automatic == "SAME_UPPER" else (rest, less)
            more[k] += max(wanted - whole, 0)
    elif automatic.startswith("SAME"):
        padding = [
            _same(node, x.sizes[2 + k], kernel[k], strides[k], dilations[k], automatic == "SAME_UPPER")
            for k in range(axes)
        ]
    elif automatic == "VALID":
        padding = [(0, 0)] * axes
    padded = [
        (*shape[:2], *(size + sum(padding[k]) for k, size in enumerate(shape[2:]))) for shape in x.shape
    ]
    check_values((padded[0], padded[1]), f"padding of {padding}, to an image of shape {padded[0][2:]},")
    is_row = axes == 1
    if is_row:
        x = x.lifted()
        kernel, strides, dilations = [*kernel, 1], [*strides, 1], [*dilations, 1]
        padding, more = [*padding, (0, 0)], [*more, 0]
    return WindowGeometry(
        x,
        (kernel[0], kernel[1]),
        (strides[0], strides[1]),
        (padding[0], padding[1]),
        (dilations[0], dilations[1]),
        is_row,
        (more[0], more[1]),
    )


def _same(
    node: Node, size: int | None, kernel: int, stride: int, dilation: int, upper: bool
) -> tuple[int, int]:
    """Return padding for ``ceil(size / stride)`` windows; an odd pixel is at the end for SAME_UPPER."""
    if size is None and stride > 1:
        node.fail("auto_pad with a stride needs images of a known size: pass input_shape=(C, H, W)")
    small, large = same_padding(size or kernel, kernel, stride, dilation)
    return (small, large) if upper else (large, small)


def plain(padding: Padding) -> Any:
    """Return the padding as one number for each direction where both sides are the same."""
    (top, bottom), (left, right) = padding
    return (top, left) if (top, left) == (bottom, right) else padding


def pads(padding: Padding) -> list[int]:
    """Return the padding in ONNX's order: all beginnings, then all ends."""
    (top, bottom), (left, right) = padding
    return [top, left, bottom, right]
