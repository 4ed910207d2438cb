"""Gemm, MatMul, Add, Sum, Sub, Mul, Div: Dense, Bias, Add, RadialBasis."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from neocog.initializers import zeros
from neocog.interop.onnx.building import Building
from neocog.interop.onnx.operators.activation import read_scaled_tanh, read_spelt_out_gelu
from neocog.interop.onnx.operators.normalization import read_even_response_norm
from neocog.interop.onnx.reader import Node, reads
from neocog.interop.onnx.values import Known, Value
from neocog.interop.onnx.writer import Tensor, Writer, writes
from neocog.layers import (
    Add,
    AvgPool2D,
    BatchNorm1D,
    BatchNorm2D,
    Bias,
    Conv2D,
    Dense,
    Layer,
    RadialBasis,
    Transpose,
)


@writes(Dense)
def write_dense(w: Writer, layer: Dense, x: Tensor) -> str:
    """Our weights are (in, out), as Gemm has them by default."""
    return w.node("Gemm", x, *(w.array(array) for array in layer.params.values()))


@writes(Bias)
def write_bias(w: Writer, layer: Bias, x: Tensor) -> str:
    """An Add of a constant."""
    return w.node("Add", x, w.array(layer.params["bias"]))


@writes(Add)
def write_add(w: Writer, layer: Add, x: tuple[Tensor, ...]) -> str:
    """Add takes two inputs, Sum any number."""
    return w.node("Add" if len(x) == 2 else "Sum", *x)


@writes(RadialBasis)
def write_radial_basis(w: Writer, layer: RadialBasis, x: Tensor) -> str:
    """``-sum_i (x[n,1,i] - c[k,i])^2``, operator by operator."""
    lifted = w.node("Unsqueeze", x, w.integers("axis", [1]))
    steps = w.node("Sub", lifted, w.array(layer.buffers["centers"]))
    squares = w.node("ReduceSumSquare", steps, w.integers("over", [2]), keepdims=0)
    return w.node("Neg", squares)


def read_radial_basis(node: Node) -> Value | None:
    """What :func:`write_radial_basis` writes, if these are the nodes."""
    chain = node.follow("Sub", "ReduceSumSquare", "Neg")
    x = node.value()
    if chain is None or x.rank != 2 or node.integers("axes", 1) != [1]:
        return None
    sub, total, _ = chain
    if not sub.has(1) or not isinstance(sub.inputs[1], Known):
        return None
    centers = sub.weights(1)
    if centers.ndim != 2 or total.integers("axes", 1) not in ([2], [-1]) or total.get("keepdims", 1):
        return None
    layer = RadialBasis(centers.shape[1], centers.shape[0], init=zeros, dtype=centers.dtype)
    layer.buffers["centers"] = node.building.copied(centers)
    return node.take(chain, node.apply(layer, x, place=node.place))


def _dense(weight: np.ndarray, bias: np.ndarray | None) -> Dense:
    """A layer that learns these very arrays."""
    ins, outs = weight.shape
    layer = Dense(ins, outs, bias is not None, init=zeros, dtype=weight.dtype)
    layer.params["weight"] = weight
    if bias is not None:
        layer.params["bias"] = bias
    return layer


@reads("Gemm")
def read_gemm(node: Node) -> Value:
    """``alpha A B + beta C``, A the input and B the weights, each transposed if so asked."""
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
        copies = (node.building.copied(weight), _copied_bias(node.building, bias, weight.dtype))
        if alpha != 1:
            copies[0][:] *= alpha
        return _dense(*copies)

    key = ("Gemm", *node.identities(1, 2), node.flag("transB"), alpha, beta, per_feature)
    layer = node.building.with_parameters(key, make)
    y = node.apply(layer, x, place=node.learned_place())
    if not node.has(2) or per_feature:
        return y
    if offset is not None:
        return _plus_constant(node, y, offset)
    if beta != 1:
        node.fail(f"beta must be 1 where C is computed from the network's input, got {beta}")
    return node.apply(Add(), y, node.value(2), place=f"{node.place}_add")


def _without_factor(node: Node) -> tuple[Value, float]:
    """The input, and a factor for the weights in its place if nobody else sees it."""
    y = node.value(0)
    if y.shared or y.node not in node.building.multiples or node.building.uses[node.proto.input[1]] > 1:
        return y, 1.0
    x, factor = node.building.multiples[y.node]
    return replace(x, shape=y.shape, view=y.view), factor


@reads("MatMul")
def read_matmul(node: Node) -> Value:
    """The input by a matrix of weights, along the input's last axis."""
    (x, factor), weight = _without_factor(node), node.weights(1)
    if weight.ndim not in (1, 2) or x.rank == 0:
        node.fail(f"its weights must be one matrix, got shape {weight.shape}")
    if x.sizes[-1] != weight.shape[0]:
        node.fail(f"shapes {x.sizes} and {weight.shape} do not fit")
    matrix = weight if weight.ndim == 2 else weight[:, None]

    def make() -> Layer:
        copy = node.building.copied(matrix)
        if factor != 1:
            copy *= factor
        return _dense(copy, None)

    layer = node.building.with_parameters(("MatMul", *node.identities(1), factor), make)
    rows = x if x.rank == 2 else x.viewed(lambda s: (math.prod(s[:-1]), s[-1]))
    y = node.apply(layer, rows, place=node.learned_place())
    first, second = ((*sizes[:-1], *weight.shape[1:]) for sizes in x.shape)
    return y.reshaped((first, second), node.place)


@reads("Add", "Sum")
def read_sum(node: Node) -> Value:
    """Of computed values by Add; a constant becomes a bias, the layer's before it where it has none yet."""
    for source in node.inputs:
        if source is None:
            node.fail("an input is missing")
    values = [source for source in node.inputs if isinstance(source, Value)]
    constants = [node.weights(k) for k, source in enumerate(node.inputs) if isinstance(source, Known)]
    y = values[0]
    if len(values) > 1:
        if len({(value.held, value.shape) for value in values}) == 1:
            y = replace(node.building.add(node.place, Add(), *values), shape=y.shape, view=y.view)
        else:
            y = node.apply(Add(), *values)
    for constant in constants:
        y = _plus_constant(node, y, constant)
    return y


@reads("Sub")
def read_difference(node: Node) -> Value:
    """Of a computed value and a constant."""
    if len(node.inputs) == 2 and isinstance(node.inputs[1], Value):
        node.fail("there is no layer for the difference of two computed values, or of a constant and one")
    return _plus_constant(node, node.value(0), -node.weights(1))


def _plus_constant(node: Node, x: Value, constant: np.ndarray) -> Value:
    """Add a constant: as the bias of the layer before, if that has none of its own, or by a layer."""
    biases = (k for k, source in enumerate(node.inputs) if getattr(source, "label", "").endswith(".bias"))
    place = next((node.learned_place(k) for k in biases), "")
    before = node.building.layers.get(x.node, (None,))[0]
    per_feature = None if x.shared else _per_channel(before, x, constant)
    if per_feature is not None and per_feature.size != constant.size:
        per_feature = None  # one number for all is learned as one
    if place == node.place != x.node:
        per_feature = None  # a layer of this name has written its own bias
    if per_feature is not None and isinstance(before, Dense | Conv2D) and not before.bias:
        weight = before.params["weight"]
        biased = _with(before, weight, _copied_bias(node.building, per_feature, weight.dtype))
        node.building.put(biased, x)
        node.building.note_pixels(x, x, offset=constant)
        return x
    own = isinstance(before, BatchNorm1D | BatchNorm2D) or id(before) in node.building.own_biases
    if per_feature is not None and before is not None and own:
        before.params["bias"] += per_feature.astype(before.dtype)  # no other layer has it
        return x
    bias = node.building.copied(constant)
    layer = Bias(constant.shape or (1,), dtype=constant.dtype)
    layer.params["bias"] = bias.reshape(layer.shape)
    if place:
        return node.apply(layer, x, place=place)
    y = node.apply(layer, x)
    node.building.note_pixels(x, y, offset=constant)
    return y


def _copied_bias(building: Building, bias: np.ndarray | None, dtype: Any) -> np.ndarray | None:
    return None if bias is None else building.copied(bias, dtype)


def _per_channel(layer: Layer | None, x: Value, constant: np.ndarray) -> np.ndarray | None:
    """The constant as one number for each feature or channel of a layer's output, None if it is not that."""
    axis = x.rank - 1 if isinstance(layer, Dense) else 1
    if layer is None or min(x.rank, len(x.held[0])) < 2 or constant.ndim > x.rank:
        return None
    # Reshaped or not, what the axis counts must be the layer's outputs.
    for held, shape in zip(x.held, x.shape, strict=True):
        if held[1] != shape[axis] or (axis == 1 and held[0] != shape[0]):
            return None
    padded = (1,) * (x.rank - constant.ndim) + constant.shape
    features = x.shape[0][axis]
    if padded[axis] not in (1, features) or math.prod(padded) != padded[axis]:
        return None
    return np.broadcast_to(constant.ravel(), (features,))


def _with(layer: Dense | Conv2D, weight: np.ndarray, bias: np.ndarray | None) -> Layer:
    """The same layer with other arrays, these very ones."""
    if isinstance(layer, Dense):
        return _dense(weight, bias)
    config = layer.config() | {"bias": bias is not None}
    conv = Conv2D(**config, init=zeros, dtype=weight.dtype)
    conv.params["weight"] = weight
    if bias is not None:
        conv.params["bias"] = bias
    return conv


@reads("Mul", "Div")
def read_product(node: Node) -> Value:
    """By a constant, which the layer before takes into its weights; or the first node of several."""
    whole = read_spelt_out_gelu(node)
    if node.operator == "Mul" and whole is None:
        whole = read_scaled_tanh(node) or read_even_response_norm(node)
    if whole is not None:
        return whole
    swapped = node.operator == "Mul" and isinstance(node.inputs[0], Known)
    if len(node.inputs) == 2 and not any(isinstance(source, Known) for source in node.inputs):
        kind = "products" if node.operator == "Mul" else "quotients"
        node.fail(f"{kind} of two computed values have no layer")
    x, factor = node.value(int(swapped)), node.weights(int(not swapped))
    if node.operator == "Div":
        if not factor.all():
            node.fail("it divides by zero")
        factor = 1 / factor
    rank = factor.ndim
    y = _product(node, x, factor.reshape(()) if factor.size == 1 else factor)
    return y if rank <= x.rank else node.viewed(y, lambda s: (*[1] * (rank - x.rank), *s))


def _product(node: Node, x: Value, factor: np.ndarray) -> Value:
    """Multiply by a constant: in the weights of the layer before, or by a layer."""
    before = node.building.layers.get(x.node, (None,))[0]
    scaled = None if x.shared else _scaled(node.building, before, x, factor)
    if scaled is not None:
        node.building.put(scaled, x)
        node.building.note_pixels(x, x, scale=factor)
        return x
    C = x.sizes[1] if x.rank == 4 else None
    if C is None and x.rank and factor.size == 1:
        return _multiple(node, x, factor)
    if C is None or factor.ndim > 4 or math.prod(factor.shape) not in (1, C):
        node.fail("there is no layer for it but where it scales the channels of images or a layer's outputs")
    if factor.size > 1 and (1,) * (4 - factor.ndim) + factor.shape != (1, C, 1, 1):
        node.fail(f"it must scale whole channels, got a factor of shape {factor.shape}")
    weight = node.building.copied(np.broadcast_to(factor.ravel(), (C,))).reshape(C, 1, 1, 1)
    depthwise = Conv2D(C, C, 1, groups=C, bias=False, init=zeros, dtype=factor.dtype)
    depthwise.params["weight"] = weight
    y = node.apply(depthwise, x)
    node.building.note_pixels(x, y, scale=factor)
    return y


def _multiple(node: Node, x: Value, factor: np.ndarray) -> Value:
    """Numbers of any shape times one that is learned: by a convolution of them as an image of one channel."""
    image = x.viewed(lambda s: (s[0], 1, 1, math.prod(s[1:])))
    product = Conv2D(1, 1, 1, bias=False, init=zeros, dtype=factor.dtype)
    product.params["weight"] = node.building.copied(factor).reshape(1, 1, 1, 1)
    y = node.apply(product, image)
    node.building.multiples[y.node] = x, factor.item()
    return y.reshaped(x.shape, node.place)


def _scaled(building: Building, layer: Layer | None, x: Value, factor: np.ndarray) -> Layer | None:
    """The layer with its outputs ``x`` scaled, if it can take that."""
    if isinstance(layer, AvgPool2D) and factor.size == 1 and layer.count_include_pad and not layer.ceil_mode:
        divided = layer.divisor_override or math.prod(layer.kernel_size)
        size = divided / factor.item() if factor.item() > 0 else 0
        divisor = round(size)
        config = layer.config() | {"divisor_override": divisor}
        return AvgPool2D(**config) if divisor and abs(size - divisor) < 1e-6 * divisor else None
    scale = _per_channel(layer, x, factor)
    if layer is None or scale is None:
        return None
    building.charge(sum(array.nbytes for array in layer.params.values()))
    if isinstance(layer, Dense | Conv2D):
        weight = layer.params["weight"]
        across = scale if isinstance(layer, Dense) else scale[:, None, None, None]
        bias = layer.params["bias"] * scale if layer.bias else None
        return _with(layer, weight * across, bias)
    if isinstance(layer, BatchNorm1D | BatchNorm2D):
        twin = type(layer)(layer.num_features, layer.eps, layer.momentum, dtype=layer.dtype)
        twin.params.update({name: array * scale for name, array in layer.params.items()})
        twin.buffers.update(layer.buffers)
        return twin
    return None


@reads("Erf", "Neg", "Pow", "ReduceSumSquare")
def read_part(node: Node) -> Value:
    """Only with the nodes around it."""
    whole = read_spelt_out_gelu(node) if node.operator == "Pow" else None
    if whole is None:
        node.fail(
            "it is read only among the nodes that a GELU, a RadialBasis or a LocalResponseNorm is written as"
        )
    return whole
