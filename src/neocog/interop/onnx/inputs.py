"""Determine the shapes of a model's inputs, and handle sizes that it leaves open."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import onnx

from neocog.budgets import check_budget
from neocog.interop.onnx.errors import OnnxImportError
from neocog.interop.onnx.model_file import float32_for_half
from neocog.interop.onnx.symbolic import Shapes

# Two sizes to try for each open axis: primes and twice other primes, so that no two products are equal by
# chance, and so that what is left of a division by 2 or by 3 is not the same for both.
SIZES = [(1009, 2042), (1013, 2038), (1019, 2026), (1021, 2066), (1031, 2098), (1033, 2078)]
MOST_PIXELS = 2**20  # along one axis of the input


def declared_sizes(value: onnx.ValueInfoProto) -> list[int | None] | None:
    """Return the sizes of an input, None where they are open; None if it has no shape at all."""
    tensor = value.type.tensor_type
    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
    if not value.type.HasField("tensor_type") or float32_for_half(tensor.elem_type) not in kinds:
        raise OnnxImportError(f"input {value.name!r} must be a tensor of floating point numbers.")
    if not tensor.HasField("shape"):
        return None
    return [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in tensor.shape.dim
    ]


def two_sizes(declared: Mapping[str, Any], fixed_batch: bool) -> dict[str, Shapes]:
    """Return two shapes of each input, which differ in the batch and in all sizes that are open."""
    shapes: dict[str, Shapes] = {}
    for name, sizes in declared.items():
        if len(sizes) > len(SIZES) or max((size or 0 for size in sizes), default=0) > MOST_PIXELS:
            raise OnnxImportError(f"input {name!r} has shape {sizes}, larger than a network accepts.")
        check_budget(
            "values", math.prod(size or 1 for size in sizes[1:]), f"input {name!r}, of shape {sizes},"
        )
        first, second = [], []
        for axis, size in enumerate(sizes):
            a, b = (size, size) if size is not None else SIZES[axis]
            if axis == 0 and size is not None and not fixed_batch:
                b = SIZES[0][1]
            first.append(a)
            second.append(b)
        shapes[name] = (tuple(first), tuple(second))
    return shapes


def of_open_sizes(message: str, declared: Sequence[Any], layout: str) -> str:
    """Write N for an open batch in a message, and add the image size that was assumed, if any."""
    if all(sizes[:1] == [None] for sizes in declared):
        message = re.sub(rf"(?<=[(\[]){SIZES[0][0]}\b", "N", message)
    images_are_open = len(declared) == 1 and len(declared[0]) == 4 and None in declared[0][1:]
    if images_are_open and "input_shape" not in message:
        ((assumed, _),) = two_sizes({"": declared[0]}, fixed_batch=True).values()
        message += (
            f" The model leaves the size of its images open, and was read for {assumed[1:]}: pass "
            f"input_shape={layout}."
        )
    return message
