"""Write and read Pad."""

from __future__ import annotations

from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node, reads
from neocog.interop.onnx.symbolic import SymbolicValue
from neocog.layers import Pad2D, PadChannels

# ONNX's name of each mode of Pad2D.
MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
MOST_PADDING = 2**20


@writes(Pad2D, operators="Pad")
def write_pad(w: Writer, layer: Pad2D, x: Tensor) -> str:
    """Write Pad of the last two axes."""
    w.require(19 if layer.mode == "circular" else 13, "Pad with mode 'wrap'")
    (top, bottom), (left, right) = layer.padding
    pads = w.integers("pads", [0, 0, top, left, 0, 0, bottom, right])
    return w.node("Pad", x, pads, w.number("value", layer.value), mode=MODES[layer.mode])


@writes(PadChannels, operators="Pad")
def write_pad_channels(w: Writer, layer: PadChannels, x: Tensor) -> str:
    """Write Pad with zeros after the last channel."""
    return w.node("Pad", x, w.integers("pads", [0, 0, 0, 0, 0, layer.channels, 0, 0]))


@reads("Pad")
def read_pad(node: Node) -> SymbolicValue:
    """Read Pad around images and rows, or with further channels of zeros."""
    x = node.value()
    mode = node.get("mode", "constant")
    names = {theirs: ours for ours, theirs in MODES.items()}
    if mode not in names:
        node.fail(f"mode must be one of {', '.join(names)}, got {mode!r}")
    sides, value = _pads(node, x.rank)
    if not any(map(any, sides)):
        return x
    if max(map(max, sides)) > MOST_PADDING or min(map(min, sides)) < 0:
        node.unsupported(f"pads must be from 0 to {MOST_PADDING}, got {sides}; there is no layer that crops")
    value = value if mode == "constant" else 0.0
    if x.rank == 4 and [k for k in range(4) if any(sides[k])] == [1] and not sides[1][0]:
        if value or mode != "constant":
            node.unsupported("further channels must be zeros")
        return node.apply(PadChannels(sides[1][1]), x)
    if x.rank not in (3, 4) or any(map(any, sides[:2])):
        node.unsupported(
            f"only the sides of images (N, C, H, W) are padded, got pads {sides} of shape {x.sizes}"
        )
    if x.rank == 3:
        return node.apply(Pad2D((sides[2], (0, 0)), value, names[mode]), x.lifted()).lowered()
    return node.apply(Pad2D((sides[2], sides[3]), value, names[mode]), x)


def _pads(node: Node, rank: int) -> tuple[list[tuple[int, int]], float]:
    """Return (before, after) of each axis, and the constant; attributes before opset 11, inputs since."""
    if node.opset < 11:
        pads, value = node.get("pads", node.get("paddings")), node.get("value", 0.0)
        axes: list[int] = list(range(rank))
    else:
        pads, value = [int(size) for size in node.array(1).ravel()], node.number(2, 0.0)
        axes = [int(axis) for axis in node.array(3).ravel()] if node.has(3) else list(range(rank))
    axes = [axis + rank if axis < 0 else axis for axis in axes]
    if (
        pads is None
        or len(pads) != 2 * len(axes)
        or len({*axes}) < len(axes)
        or not {*axes} <= {*range(rank)}
    ):
        node.fail(f"pads must be two integers for each of the axes {axes} of {rank}, got {pads}")
    sides = [(0, 0)] * rank
    for k, axis in enumerate(axes):
        sides[axis] = (pads[k], pads[k + len(axes)])
    return sides, value
