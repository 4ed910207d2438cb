"""Recognise models that take images in another layout, and read them as models of images (N, C, H, W)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from neocog.interop.onnx.model_file import tensor_array
from neocog.interop.onnx.symbolic import Known

ARITHMETIC = ("Add", "Div", "Mul", "Sub")


@dataclass(frozen=True)
class Turned:
    """A model without the node that brings its input into the layout (N, C, H, W)."""

    nodes: list[onnx.NodeProto]
    constants: dict[str, Known]
    """Constants before that node which have a number for each channel, in the other layout."""
    sizes: list[int | None] | None
    """Of the input, None where open."""


def turned(
    nodes: Sequence[onnx.NodeProto],
    name: str,
    sizes: Sequence[int | None] | None,
    constants: Mapping[str, Known],
) -> Turned | None:
    """Return a model without the first node of an input, if that turns it; None for any other.

    It is a Transpose of images (N, H, W, C), or a Reshape that does the same for images of one channel, or
    that makes images of rows of pixels. Only conversions and arithmetic by numbers may come before it.
    """
    arrays = {key: value.arrays[0] for key, value in constants.items()}
    for node in nodes:
        if node.op_type == "Constant":
            tensors = [each.t for each in node.attribute if each.name == "value"]
            arrays.update((node.output[0], tensor_array(tensor)) for tensor in tensors)
    readers: dict[str, list[int]] = {}
    for k, node in enumerate(nodes):
        for source in dict.fromkeys(node.input):
            readers.setdefault(source, []).append(k)
    result, moved = list(nodes), dict[str, Known]()
    channels = sizes[-1] if sizes is not None and len(sizes) == 4 else None
    while len(found := readers.get(name, [])) == 1:
        (k,) = found
        node = nodes[k]
        shape = _turned_sizes(node, sizes, arrays)
        if shape is not None:
            result[k] = helper.make_node("Identity", [name], [node.output[0]], node.name)
            return Turned(result, moved, shape or None)
        if node.op_type in ARITHMETIC and len(node.input) == 2:
            place = 1 - list(node.input).index(name)
            operand = node.input[place]
            array = arrays.get(operand)
            if array is None or (array.size > 1 and (array.size, *array.shape[-1:]) != (channels, channels)):
                return None
            if array.size > 1:
                result[k] = onnx.NodeProto.FromString(node.SerializeToString())
                result[k].input[place] = f"{operand} of channels"
                moved[result[k].input[place]] = Known.constant(array.reshape(-1, 1, 1), operand)
        elif node.op_type not in ("Cast", "Identity"):
            return None
        name = node.output[0]
    return None


def _turned_sizes(
    node: onnx.NodeProto, sizes: Sequence[int | None] | None, arrays: Mapping[str, np.ndarray]
) -> list[int | None] | None:
    """Return (N, C, H, W) if a node makes that of an input, nothing where unknown; None if it does not."""
    if node.op_type == "Transpose":
        if not any(each.name == "perm" and list(each.ints) == [0, 3, 1, 2] for each in node.attribute):
            return None
        if sizes is None or len(sizes) != 4:
            return []
        N, H, W, C = sizes
        return [N, C, H, W]
    if node.op_type != "Reshape" or sizes is None or len(node.input) < 2 or node.input[1] not in arrays:
        return None
    target = [int(size) for size in arrays[node.input[1]].ravel()]
    known = [size for size in sizes[1:] if size is not None]
    if len(target) != 4 or min(target[1:]) < 1 or len(known) < len(sizes) - 1:
        return None
    one_channel = len(sizes) == 4 and target[1:] == [sizes[3], *known[:2]] == [1, *target[2:]]
    rows = len(sizes) in (2, 3) and math.prod(target[1:]) == math.prod(known)
    return [sizes[0], *target[1:]] if target[0] in (-1, 0, 1, sizes[0]) and (one_channel or rows) else None
