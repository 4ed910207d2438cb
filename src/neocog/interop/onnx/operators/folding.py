"""Fold the arithmetic on constants and shapes that exporters leave in a graph."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import helper

from neocog.interop.onnx.import_node import Node, folds


@folds("Constant")
def constant(node: Node) -> np.ndarray:
    """Fold Constant: return its tensor, number or list of numbers."""
    for name, dtype in (
        ("value", None),
        ("value_float", np.float32),
        ("value_floats", np.float32),
        ("value_int", np.int64),
        ("value_ints", np.int64),
    ):
        value = node.get(name)
        if value is not None:
            return np.asarray(value, dtype)
    return node.fail("it holds no tensor of numbers")


@folds("ConstantOfShape")
def constant_of_shape(node: Node, shape: np.ndarray) -> np.ndarray:
    """Fold ConstantOfShape: return an array of one repeated value."""
    sizes = [int(size) for size in shape.ravel()]
    if min(sizes, default=0) < 0:
        node.fail(f"shape must have sizes of 0 or more, got {sizes}")
    value = np.float32(0) if node.get("value") is None else node.get("value").ravel()[0]
    node.builder.charge(math.prod(sizes) * value.itemsize)
    return np.broadcast_to(value, sizes)


@folds("Identity")
def identity(node: Node, x: np.ndarray) -> np.ndarray:
    """Fold Identity: return the constant."""
    return x


@folds("Shape")
def shape(node: Node, x: np.ndarray) -> np.ndarray:
    """Fold Shape: return the sizes, from ``start`` to ``end``."""
    return np.array(x.shape[slice(node.get("start", 0), node.get("end"))], np.int64)


@folds("Cast")
def cast(node: Node, x: np.ndarray) -> np.ndarray:
    """Fold Cast: convert the constant to another type."""
    dtype = helper.tensor_dtype_to_np_dtype(node.get("to"))
    if dtype.kind not in "fiub":
        node.fail(f"to must be a type of numbers, got {dtype}")
    node.builder.charge(x.size * dtype.itemsize)
    return x.astype(dtype)


@folds("Gather")
def gather(node: Node, x: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Fold Gather: take entries along an axis."""
    axis = node.axis(0, x.ndim)
    node.builder.charge(x.nbytes // max(x.shape[axis], 1) * indices.size)
    return np.take(x, indices, axis)


@folds("Slice")
def slice_(node: Node, x: np.ndarray, *bounds: Any) -> np.ndarray:
    """Fold Slice; its bounds are attributes before opset 10."""
    if bounds:
        starts, ends, axes, steps = (*bounds, None, None)[:4]
    else:
        starts, ends, axes, steps = node.get("starts"), node.get("ends"), node.get("axes"), None
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    parts = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        # -size - 1 and below means up to and including the first entry, None in Python.
        stop = None if step < 0 and end < -x.shape[int(axis)] else int(end)
        parts[int(axis)] = slice(int(start), stop, int(step))
    return x[tuple(parts)]


@folds("Concat")
def concat(node: Node, *xs: np.ndarray) -> np.ndarray:
    """Fold Concat: join constants along an axis."""
    node.builder.charge(sum(x.size for x in xs) * np.result_type(*xs).itemsize)
    return np.concatenate(xs, node.axis(1, xs[0].ndim))


@folds("Squeeze")
def squeeze(node: Node, x: np.ndarray, *_: np.ndarray) -> np.ndarray:
    """Fold Squeeze: remove axes of size 1."""
    axes = node.integers("axes", 1)
    return np.squeeze(x, None if axes is None else tuple(axes))


@folds("Unsqueeze")
def unsqueeze(node: Node, x: np.ndarray, *_: np.ndarray) -> np.ndarray:
    """Fold Unsqueeze: insert axes of size 1."""
    return np.expand_dims(x, tuple(node.integers("axes", 1) or ()))


@folds("Reshape")
def reshape(node: Node, x: np.ndarray, *sizes: np.ndarray) -> np.ndarray:
    """Fold Reshape; 0 copies a size unless ``allowzero`` is set."""
    wanted = [int(size) for size in sizes[0].ravel()] if sizes else node.get("shape")
    if not node.flag("allowzero"):
        wanted = [x.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    return _reshaped(node, x, wanted)


@folds("Flatten")
def flatten(node: Node, x: np.ndarray) -> np.ndarray:
    """Fold Flatten: reshape the constant to two dimensions."""
    axis = node.axis(1, x.ndim, last=True)
    return _reshaped(node, x, [math.prod(x.shape[:axis]), math.prod(x.shape[axis:])])


def _reshaped(node: Node, x: np.ndarray, sizes: list[int]) -> np.ndarray:
    """Reshape an array; count the bytes if NumPy must copy it."""
    if not x.flags.c_contiguous:
        node.builder.charge(x.nbytes)
    return x.reshape(sizes)


@folds("Transpose")
def transpose(node: Node, x: np.ndarray) -> np.ndarray:
    """Fold Transpose: permute the axes."""
    return np.transpose(x, node.get("perm"))


@folds("Add", "Sub", "Mul", "Div")
def arithmetic(node: Node, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Fold Add, Sub, Mul or Div; integers are divided towards zero."""
    numbers = math.prod(np.broadcast_shapes(x.shape, y.shape))
    node.builder.charge(numbers * np.result_type(x, y).itemsize)
    with np.errstate(all="ignore"):
        if node.operator == "Div" and x.dtype.kind in "iu":
            whole: np.ndarray = (np.sign(x) * np.sign(y) * (abs(x) // abs(y))).astype(x.dtype)
            return whole
        operation = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}[node.operator]
        result: np.ndarray = operation(x, y)
        return result


@folds("ScatterND")
def scatter(node: Node, x: np.ndarray, places: np.ndarray, updates: np.ndarray) -> np.ndarray:
    """Fold ScatterND: write entries into a copy, as those of a SparseConv2D into its bank."""
    if node.get("reduction", "none") != "none":
        node.unsupported("reduction must be none")
    node.builder.charge(x.nbytes)
    result = np.array(x)
    result[tuple(places.T)] = updates
    return result
