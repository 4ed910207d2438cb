"""Write Dense; read Gemm and MatMul."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from neocog.initializers import zeros
from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node, reads
from neocog.interop.onnx.operators.bias import add_constant
from neocog.interop.onnx.symbolic import Known, SymbolicValue
from neocog.interop.onnx.weights import dense_with
from neocog.layers import Add, Conv2D, Dense, Layer, MatMul, Transpose


@writes(Dense, operators="Gemm")
def write_dense(w: Writer, layer: Dense, x: Tensor) -> str:
    """Write Gemm, whose weights are (in, out) by default, as those of Dense."""
    return w.node("Gemm", x, *(w.array(array) for array in layer.params.values()))


@reads("Gemm")
def read_gemm(node: Node) -> SymbolicValue:
    """Read ``alpha A B + beta C`` with the input A and weights B, each possibly transposed."""
    (x, factor), weight = _without_factor(node), node.weights(1)
    if x.rank != 2 or weight.ndim != 2:
        node.fail(f"it needs matrices, got shapes {x.sizes} and {weight.shape}")
    if node.flag("transA"):
        x = node.apply(Transpose((1, 0)), x, place=f"{node.place}_transpose")
    if node.flag("transB"):
        weight = weight.T
    alpha, beta = node.get("alpha", 1.0) * factor, node.get("beta", 1.0)
    offset = node.weights(2) if node.has(2) and isinstance(node.inputs[2], Known) else None
    if offset is not None and beta != 1:
        offset = offset * offset.dtype.type(beta)
    out = weight.shape[1]
    per_feature = offset is not None and (offset.size == 1 or offset.size == out == offset.shape[-1])
    bias = np.broadcast_to(offset.ravel(), out) if offset is not None and per_feature else None

    def make() -> Layer:
        offsets = None if bias is None else node.builder.copied(bias, weight.dtype)
        copies = (node.builder.copied(weight), offsets)
        if alpha != 1:
            copies[0][:] *= alpha
        return dense_with(*copies)

    key = ("Gemm", *node.identities(1, 2), node.flag("transB"), alpha, beta, per_feature)
    layer = node.builder.with_parameters(key, make)
    y = node.apply(layer, x, place=node.learned_place())
    if not node.has(2) or per_feature:
        return y
    if offset is not None:
        return add_constant(node, y, offset)
    if beta != 1:
        node.unsupported(f"beta must be 1 where C is computed from the network's input, got {beta}")
    return node.apply(Add(), y, node.value(2), place=f"{node.place}_add")


@reads("MatMul")
def read_matmul(node: Node) -> SymbolicValue:
    """Read the product of the input's last axis and a matrix of weights, or of two computed values."""
    if all(isinstance(source, SymbolicValue) for source in node.inputs):
        return node.apply(MatMul(), node.value(0), node.value(1))
    (x, factor), weight = _without_factor(node), node.weights(1)
    if weight.ndim not in (1, 2) or x.rank == 0:
        node.fail(f"its weights must be one matrix, got shape {weight.shape}")
    if x.sizes[-1] != weight.shape[0]:
        node.fail(f"shapes {x.sizes} and {weight.shape} do not fit")
    matrix = weight if weight.ndim == 2 else weight[:, None]
    if x.rank == len(x.held[0]) == 4 and weight.ndim == 2:
        return _over_pixels(node, x, weight, factor)

    def make() -> Layer:
        copy = node.builder.copied(matrix)
        if factor != 1:
            copy *= factor
        return dense_with(copy, None)

    layer = node.builder.with_parameters(("MatMul", *node.identities(1), factor), make)
    rows = x if x.rank == 2 else x.viewed(lambda s: (math.prod(s[:-1]), s[-1]))
    y = node.apply(layer, rows, place=node.learned_place())
    first, second = ((*sizes[:-1], *weight.shape[1:]) for sizes in x.shape)
    return y.reshaped((first, second), node.place)


def _over_pixels(node: Node, x: SymbolicValue, weight: np.ndarray, factor: float) -> SymbolicValue:
    """Read the product as a 1 x 1 convolution of images (N, H, W, C) between two transpositions."""
    add = node.follow("Add") or []
    bias = None
    if add:
        other = add[0].inputs[1 - [*add[0].proto.input].index(node.proto.output[0])]
        if isinstance(other, Known) and other.is_fixed and other.arrays[0].shape == weight.shape[1:]:
            bias = other.arrays[0]

    def make() -> Layer:
        layer = Conv2D(
            weight.shape[0], weight.shape[1], 1, bias=bias is not None, init=zeros, dtype=weight.dtype
        )
        layer.params["weight"] = node.builder.copied(np.ascontiguousarray(weight.T)[:, :, None, None])
        if factor != 1:
            layer.params["weight"] *= factor
        if bias is not None:
            layer.params["bias"] = node.builder.copied(bias, weight.dtype)
        return layer

    names = *node.identities(1), *(add[0].proto.input if bias is not None else ())
    layer = node.builder.with_parameters(("pixels", names, factor), make)
    place = f"{node.place}_transpose"
    moved = node.apply(Transpose((0, 3, 1, 2)), x, place=place)
    y = node.apply(layer, moved, place=node.learned_place())
    y = node.apply(Transpose((0, 2, 3, 1)), y, place=place)
    return y if bias is None else node.take(add, y)


def _without_factor(node: Node) -> tuple[SymbolicValue, float]:
    """Return the input without its constant factor, and the factor, if it has no other reader."""
    y = node.value(0)
    if y.shared or y.node not in node.builder.multiples or node.builder.uses[node.proto.input[1]] > 1:
        return y, 1.0
    x, factor = node.builder.multiples[y.node]
    return replace(x, shape=y.shape, view=y.view), factor
