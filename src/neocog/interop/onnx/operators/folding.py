"""Fold the arithmetic on constants and shapes that exporters leave in a graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from onnx import helper

from neocog.interop.onnx.import_node import Node, folds
from neocog.interop.onnx.model_file import float32_for_half


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
    """Fold ConstantOfShape: return an array of one repeated value, which takes no memory until it is used."""
    value = np.float32(0) if node.get("value") is None else node.get("value").ravel()[0]
    return _repeated(node, value, _sizes(node, shape))


@folds("Expand")
def expand(node: Node, x: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Fold Expand: repeat the constant along axes of size 1, which takes no memory until it is used."""
    return _repeated(node, x, np.broadcast_shapes(x.shape, tuple(_sizes(node, shape))))


@folds("Tile")
def tile(node: Node, x: np.ndarray, repeats: np.ndarray) -> np.ndarray:
    """Fold Tile: repeat the constant side by side."""
    times = _sizes(node, repeats)
    node.builder.charge(x.nbytes * math.prod(times))
    return np.tile(x, times)


@folds("Range")
def range_(node: Node, start: np.ndarray, limit: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """Fold Range: return numbers at equal distances."""
    first, end, step = (array.reshape(()).item() for array in (start, limit, delta))
    node.builder.charge(max(math.ceil((end - first) / step), 0) * start.itemsize)
    numbers: np.ndarray = np.arange(first, end, step).astype(start.dtype)
    return numbers


def _sizes(node: Node, shape: np.ndarray) -> list[int]:
    sizes = [int(size) for size in shape.ravel()]
    if min(sizes, default=0) < 0:
        node.fail(f"shape must have sizes of 0 or more, got {sizes}")
    return sizes


def _repeated(node: Node, x: Any, sizes: Sequence[int]) -> np.ndarray:
    node.builder.check_count(math.prod(sizes))
    return np.broadcast_to(x, sizes)


@folds("Identity")
def identity(node: Node, x: np.ndarray) -> np.ndarray:
    """Fold Identity: return the constant."""
    return x


@folds("Shape")
def shape(node: Node, x: np.ndarray) -> np.ndarray:
    """Fold Shape: return the sizes, from ``start`` to ``end``."""
    return np.array(x.shape[slice(node.get("start", 0), node.get("end"))], np.int64)


@folds("Size")
def size(node: Node, x: np.ndarray) -> np.ndarray:
    """Fold Size: return the count of numbers."""
    return np.array(x.size, np.int64)


@folds("Cast")
def cast(node: Node, x: np.ndarray) -> np.ndarray:
    """Fold Cast: convert the constant to another type; half precision stays float32."""
    dtype = helper.tensor_dtype_to_np_dtype(float32_for_half(node.get("to")))
    if dtype.kind not in "fiub":
        node.fail(f"to must be a type of numbers, got {dtype}")
    return _converted(node, x, dtype)


@folds("CastLike")
def cast_like(node: Node, x: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Fold CastLike: convert the constant to another's type."""
    return _converted(node, x, like.dtype)


def _converted(node: Node, x: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    if x.dtype == dtype:
        return x
    node.builder.charge(x.size * dtype.itemsize)
    with np.errstate(all="ignore"):
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


@folds("Split")
def split(node: Node, x: np.ndarray, *_: np.ndarray) -> tuple[np.ndarray, ...]:
    """Fold Split: return parts of the constant, by default of one size but for the last."""
    axis, count = node.axis(0, x.ndim), len(node.proto.output)
    whole = x.shape[axis]
    sizes = node.integers("split", 1)
    if sizes is None:
        part = -(-whole // count)
        sizes = [max(min(part, whole - k * part), 0) for k in range(count)]
    if len(sizes) != count or sum(sizes) != whole or min(sizes) < 0:
        node.fail(f"split must be {count} sizes that add up to {whole}, got {sizes}")
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))


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


def _divide(x: np.ndarray, y: np.ndarray) -> Any:
    """Divide; integers towards zero."""
    if x.dtype.kind in "iu":
        return (np.sign(x) * np.sign(y) * (abs(x) // abs(y))).astype(x.dtype)
    return np.divide(x, y)


ONE_BY_ONE: dict[str, Callable[..., Any]] = {
    **{"Abs": np.abs, "Ceil": np.ceil, "Exp": np.exp, "Floor": np.floor, "Log": np.log, "Neg": np.negative},
    **{"Not": np.logical_not, "Reciprocal": np.reciprocal, "Relu": lambda x: np.maximum(x, x.dtype.type(0))},
    **{"Round": np.rint, "Sign": np.sign, "Sqrt": np.sqrt},
    **{"Add": np.add, "And": np.logical_and, "Div": _divide, "Equal": np.equal, "Greater": np.greater},
    **{"GreaterOrEqual": np.greater_equal, "Less": np.less, "LessOrEqual": np.less_equal, "Max": np.maximum},
    **{"Min": np.minimum, "Mul": np.multiply, "Or": np.logical_or, "Sub": np.subtract, "Sum": np.add},
    **{"Pow": lambda x, y: np.power(x, y).astype(x.dtype), "Where": np.where, "Xor": np.logical_xor},
}
"""What each operator makes of numbers at the same place."""

OF_ANY_NUMBER = {"Max", "Min", "Sum"}


@folds(*ONE_BY_ONE)
def one_by_one(node: Node, *xs: np.ndarray) -> np.ndarray:
    """Fold arithmetic, comparisons and logic, number by number."""
    numbers = math.prod(np.broadcast_shapes(*(x.shape for x in xs)))
    node.builder.charge(numbers * np.result_type(*xs).itemsize)
    operation = ONE_BY_ONE[node.operator]
    with np.errstate(all="ignore"):
        return np.asarray(reduce(operation, xs) if node.operator in OF_ANY_NUMBER else operation(*xs))


@folds("Mod")
def modulo(node: Node, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Fold Mod; the remainder has the sign of the divisor, unless ``fmod`` is set."""
    numbers = math.prod(np.broadcast_shapes(x.shape, y.shape))
    node.builder.charge(numbers * np.result_type(x, y).itemsize)
    with np.errstate(all="ignore"):
        return np.asarray(np.fmod(x, y) if node.flag("fmod") else np.mod(x, y))


REDUCTIONS: dict[str, Callable[..., Any]] = {
    **{"ReduceMax": np.max, "ReduceMean": np.mean, "ReduceMin": np.min},
    **{"ReduceProd": np.prod, "ReduceSum": np.sum},
}


@folds(*REDUCTIONS)
def reduction(node: Node, x: np.ndarray, *_: np.ndarray) -> np.ndarray:
    """Fold a sum, product, mean, maximum or minimum over axes, by default all."""
    axes = node.integers("axes", 1, [])
    if not axes and node.flag("noop_with_empty_axes"):
        return x
    node.builder.charge(x.nbytes)  # of the time that it takes
    over, keepdims = tuple(axes) if axes else None, node.flag("keepdims", 1)
    return np.asarray(REDUCTIONS[node.operator](x, axis=over, keepdims=keepdims), x.dtype)


@folds("ScatterND")
def scatter(node: Node, x: np.ndarray, places: np.ndarray, updates: np.ndarray) -> np.ndarray:
    """Fold ScatterND: write entries into a copy, as those of a SparseConv2D into its bank."""
    if node.get("reduction", "none") != "none":
        node.unsupported("reduction must be none")
    node.builder.charge(x.nbytes)
    result = np.array(x)
    result[tuple(places.T)] = updates
    return result


@folds("BatchNormalization")
def batch_norm(
    node: Node, x: np.ndarray, scale: np.ndarray, bias: np.ndarray, *rest: np.ndarray
) -> np.ndarray:
    """Fold BatchNormalization, by its own statistics in training mode: of weights that are standardised."""
    node.builder.charge(2 * x.nbytes)
    places = (-1, *(1,) * (x.ndim - 2))
    over = tuple(k for k in range(x.ndim) if k != 1)
    mean, var = (x.mean(over), x.var(over)) if node.flag("training_mode") else rest
    factor = scale / np.sqrt(var + node.get("epsilon", 1e-5))
    return np.asarray((x - mean.reshape(places)) * factor.reshape(places) + bias.reshape(places), x.dtype)
