"""Write Resize; read Resize and Upsample in the modes that are exactly the layer's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.graph_builder import check_values
from neocog.interop.onnx.import_node import Node, reads, shortest
from neocog.interop.onnx.symbolic import Shape, SymbolicValue
from neocog.layers import Upsample

MODES = {"nearest": "nearest", "linear": "bilinear"}
"""The layer's mode of each of ONNX's that has one."""

ROUNDINGS: dict[str, Callable[[float], int]] = {
    "round_prefer_floor": lambda r: math.ceil(r - 0.5),
    "round_prefer_ceil": lambda r: math.floor(r + 0.5),
    "floor": math.floor,
    "ceil": math.ceil,
}
"""ONNX's ``nearest_mode``: the pixel at a place."""

PLACES: dict[str, Callable[[int, int, int, float], float]] = {
    "half_pixel": lambda i, n, m, scale: (i + 0.5) / scale - 0.5,
    "half_pixel_symmetric": lambda i, n, m, scale: n / 2 * (1 - m / (n * scale)) + (i + 0.5) / scale - 0.5,
    "pytorch_half_pixel": lambda i, n, m, scale: (i + 0.5) / scale - 0.5 if m > 1 else 0.0,
    "asymmetric": lambda i, n, m, scale: i / scale,
    "align_corners": lambda i, n, m, scale: i * (n - 1) / (n * scale - 1) if m > 1 else 0.0,
    "tf_half_pixel_for_nn": lambda i, n, m, scale: (i + 0.5) / scale,
}
"""ONNX's ``coordinate_transformation_mode``: where output i of m is read, among n pixels."""


@writes(Upsample, operators="Resize or Shape, Slice, Concat, Resize")
def write_upsample(w: Writer, layer: Upsample, x: Tensor) -> str:
    """Write Resize with scales, or with sizes: batch and channels as they are, and those given."""
    names = {"nearest": "asymmetric", "bilinear": "half_pixel"}
    attributes: dict[str, Any] = {
        "mode": "nearest" if layer.mode == "nearest" else "linear",
        "coordinate_transformation_mode": "align_corners" if layer.align_corners else names[layer.mode],
        "nearest_mode": "floor" if layer.mode == "nearest" else None,
    }
    if layer.scale is not None:
        return w.node("Resize", x, "", w.floats("scales", (1, 1, *layer.scale)), **attributes)
    ends = w.integers("begin", [0]), w.integers("end", [2])
    kept = w.node("Slice", w.node("Shape", x), *ends)
    sizes = w.node("Concat", kept, w.integers("size", layer.size), axis=0)
    return w.node("Resize", x, "", "", sizes, **attributes)


@reads("Resize", "Upsample")
def read_resize(node: Node) -> SymbolicValue:
    """Read Resize and Upsample of images, and of rows, where they read the places that the layer reads."""
    x = node.value()
    if x.rank not in (3, 4):
        node.unsupported(f"its input must be images (N, C, H, W) or rows (N, C, L), got shape {x.sizes}")
    stated = node.get("mode", "nearest")
    if stated not in MODES:
        node.unsupported(f"mode {stated!r} has no layer; {' and '.join(map(repr, MODES))} have")
    mode = MODES[stated]
    scale, size = _target(node, x)
    where, rounding = "asymmetric", "floor"
    if node.opset >= 11:
        where = node.get("coordinate_transformation_mode", "half_pixel")
        rounding = node.get("nearest_mode", "round_prefer_floor")
    layer = Upsample(scale, size, mode, mode == "bilinear" and where == "align_corners")
    images = x.lifted() if x.rank == 3 else x
    for shape in images.shape:
        check_values((layer.output_shape(shape),) * 2, "its output")
        if not _reads_the_same(layer, shape, where, rounding, node.flag("antialias")):
            node.unsupported(
                f"its pixels are not those of Upsample: mode {stated!r}, "
                f"coordinate_transformation_mode {where!r}, nearest_mode {rounding!r}, antialias "
                f"{node.get('antialias', 0)}, from {shape[2:]} to {layer.output_shape(shape)[2:]}"
            )
    y = node.apply(layer, images)
    return y.lowered() if x.rank == 3 else y


def _target(node: Node, x: SymbolicValue) -> tuple[Any, Any]:
    """Return factors of height and width and None, or None and the sizes."""
    axes = [axis % x.rank for axis in node.get("axes", range(x.rank))]
    place = 1 if node.opset < 11 else 2
    if node.has(3) and node.opset >= 11:
        if node.get("keep_aspect_ratio_policy", "stretch") != "stretch":
            node.unsupported("keep_aspect_ratio_policy must be 'stretch'")
        found = []
        for shape, array in zip(x.shape, node.known(3).arrays, strict=True):
            if array.size != len(axes):
                node.fail(f"sizes must be {len(axes)} integers, got {array.ravel().tolist()}")
            found.append(dict(enumerate(shape)) | dict(zip(axes, map(int, array.ravel()), strict=True)))
            batches = shape[0], x.shape[0][0]  # that of the exported model may be written as a number
            if found[-1][0] not in batches or found[-1][1] != shape[1]:
                node.unsupported(f"it may not resize batch or channels, got sizes {array.ravel().tolist()}")
        if any(found[0][k] != found[1][k] for k in range(2, x.rank)):
            node.unsupported("its sizes may not depend on the batch")
        return None, (found[0][2], found[0][3] if x.rank == 4 else 1)
    given = node.get("scales") or [shortest(scale) for scale in node.array(place).ravel()]
    if len(given) != len(axes):
        node.fail(f"scales must be {len(axes)} numbers, got {given}")
    factors = dict(enumerate([1.0] * 4)) | dict(zip(axes, given, strict=True))
    if factors[0] != 1 or factors[1] != 1:
        node.unsupported(f"it may not resize batch or channels, got scales {given}")
    return (factors[2], factors[3]), None


def _reads_the_same(layer: Upsample, x_shape: Shape, where: str, rounding: str, antialias: bool) -> bool:
    """Return whether ONNX reads images of a shape at the layer's places, in the layer's shares."""
    if where not in PLACES or rounding not in ROUNDINGS:
        return False
    out = layer.output_shape(x_shape)[2:]
    scales = layer.scale or tuple(m / n for n, m in zip(x_shape[2:], out, strict=True))
    if antialias and min(scales) < 1:
        return False
    for n, m, scale, places in zip(x_shape[2:], out, scales, layer.places(x_shape), strict=True):
        theirs = [PLACES[where](i, n, m, scale) for i in range(m)]
        if layer.mode == "nearest":
            theirs = [ROUNDINGS[rounding](round(r, 9)) for r in theirs]
        ours = [first + share for first, _, share in zip(*places, strict=True)]
        if any(abs(min(max(r, 0), n - 1) - own) > 1e-6 for r, own in zip(theirs, ours, strict=True)):
            return False
    return True
