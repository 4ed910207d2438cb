"""Write and read normalization: by fixed numbers, over batches, in images, over neighbouring channels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node, reads, reads_pattern
from neocog.interop.onnx.operators.layer_norm import write_spelt_out_layer_norm
from neocog.interop.onnx.symbolic import Known, SymbolicValue
from neocog.layers import (
    BatchNorm1D,
    BatchNorm2D,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
    Normalize,
)


@writes(Normalize, operators="Sub, Div or Unsqueeze, Unsqueeze, Sub, Div")
def write_normalize(w: Writer, layer: Normalize, x: Tensor) -> str:
    """Write Sub and Div of the two buffers, which keep their names and their shape."""
    axes = range(1, len(x.shape) - 1)
    lift = w.integers("axes", axes) if axes else ""
    mean, std = (
        w.node("Unsqueeze", w.array(array), lift) if axes else w.array(array)
        for array in layer.buffers.values()
    )
    return w.node("Div", w.node("Sub", x, mean), std)


@reads_pattern("Sub")
def read_normalize(node: Node) -> SymbolicValue | None:
    """Read Sub and Div of constants that are named mean and std: numbers of a layer that it does not learn.

    Constants of other names are learned, as all are whose use is not known.
    """
    chain = node.follow("Div")
    if chain is None or not (isinstance(node.inputs[0], SymbolicValue) and node.has(1) and chain[0].has(1)):
        return None
    x, constants = node.inputs[0], [node.inputs[1], chain[0].inputs[1]]
    if not all(isinstance(each, Known) and each.is_fixed for each in constants):
        return None
    (mean, std), names = ([getattr(each, key) for each in constants] for key in ("arrays", "label"))
    stems = {name.rpartition(".")[0] for name in names}
    C = x.sizes[1] if x.rank > 1 else None
    if [name.rpartition(".")[2] for name in names] != ["mean", "std"] or len(stems) > 1 or C is None:
        return None
    channels = (C, *(1,) * (x.rank - 2))
    arrays = [each[0] for each in (mean, std)]
    fits = all(array.dtype.kind == "f" and array.shape in (channels, (1, *channels)) for array in arrays)
    if not fits or not (np.isfinite(arrays).all() and (arrays[1] > 0).all()):
        return None
    layer = Normalize(*(array.ravel().tolist() for array in arrays), dtype=arrays[0].dtype)
    return node.take(chain, node.apply(layer, x, place=stems.pop()))


@writes(BatchNorm1D, BatchNorm2D, operators="BatchNormalization")
def write_batch_norm(w: Writer, layer: BatchNorm1D | BatchNorm2D, x: Tensor) -> str:
    """Write BatchNormalization; its momentum weighs the old statistics, a layer's the new ones."""
    arrays = [*layer.params.values(), *layer.buffers.values()]
    return w.node(
        "BatchNormalization",
        x,
        *(w.array(array) for array in arrays),
        epsilon=layer.eps,
        momentum=1 - layer.momentum,
    )


@reads("BatchNormalization")
def read_batch_norm(node: Node) -> SymbolicValue:
    """Read BatchNormalization in inference; inputs of other ranks are reshaped to (N, C, 1, ...)."""
    x = node.value()
    is_test = node.flag("is_test") if node.opset < 7 else not node.flag("training_mode")
    if not is_test:
        node.unsupported("it is in training mode; export the model for inference")
    if not node.flag("spatial", 1):
        node.unsupported("spatial must be 1: one mean and variance for each channel")
    arrays = [node.weights(k) for k in (1, 2, 3, 4)]
    if x.rank < 2 or len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 1:
        node.fail(
            f"it needs an input (N, C, ...) and four arrays (C,), got {x.sizes} and "
            f"{[array.shape for array in arrays]}"
        )
    make = BatchNorm1D if x.rank == 2 else BatchNorm2D
    eps, momentum = node.get("epsilon", 1e-5), round(1 - node.get("momentum", 0.9), 9)
    layer = make(len(arrays[0]), eps, momentum, dtype=arrays[0].dtype)
    copies = [node.builder.copied(array) for array in arrays]
    layer.params.update(zip(("weight", "bias"), copies[:2], strict=True))
    layer.buffers.update(zip(("running_mean", "running_var"), copies[2:], strict=True))
    shape = x.shape
    if x.rank not in (2, 4):
        x = x.viewed(lambda s: (s[0], s[1], 1, math.prod(s[2:])))
    return node.apply(layer, x, place=node.learned_place()).reshaped(shape)


@writes(
    GroupNorm,
    operators="Reshape, InstanceNormalization, Reshape, Mul, Add or "
    "Reshape, InstanceNormalization, Reshape, Unsqueeze, Unsqueeze, Mul, Add or "
    "Reshape, InstanceNormalization, Reshape",
)
def write_group_norm(w: Writer, layer: GroupNorm, x: Tensor) -> str:
    """Write a group as one channel of InstanceNormalization, then Mul and Add, as PyTorch does.

    GroupNormalization has a scale for each channel since opset 21, but ONNX infers no shape of its output;
    its first form was withdrawn.
    """
    _, C, *places = x.shape
    groups = layer.num_groups
    rows = w.node("Reshape", x, w.integers("rows", (0, groups, C // groups * math.prod(places))))
    plain = w.numbers("ones", np.ones(groups)), w.numbers("zeros", np.zeros(groups))
    normal = w.node("InstanceNormalization", rows, *plain, epsilon=layer.eps)
    maps = w.node("Reshape", normal, w.integers("maps", (0, C, *places)))
    if not layer.affine:
        return maps
    lift = w.integers("axes", range(1, 1 + len(places)))
    scale, shift = (
        w.node("Unsqueeze", w.array(array), lift) if places else w.array(array)
        for array in layer.params.values()
    )
    return w.node("Add", w.node("Mul", maps, scale), shift)


@writes(InstanceNorm, operators="InstanceNormalization")
def write_instance_norm(w: Writer, layer: InstanceNorm, x: Tensor) -> str:
    """Write InstanceNormalization; its scale and bias are ones and zeros where the layer learns none."""
    C = layer.num_features
    arrays = [w.array(array) for array in layer.params.values()]
    arrays = arrays or [w.numbers("ones", np.ones(C)), w.numbers("zeros", np.zeros(C))]
    return w.node("InstanceNormalization", x, *arrays, epsilon=layer.eps)


@reads("InstanceNormalization")
def read_instance_norm(node: Node) -> SymbolicValue:
    """Read InstanceNormalization, whose channels may be groups of those that the network holds.

    Mul and Add, which follow where it stands for a GroupNorm, go into the layer as they do for others.
    """
    x = node.value()
    groups = x.sizes[1] if x.rank > 1 else None
    if groups is None:
        node.fail(f"it needs an input (N, C, ...), got {x.sizes}")
    held = x.held
    channels = held[0][1] if len(held[0]) > 1 else 0
    grouped = all(mine[0] == shape[0] for mine, shape in zip(held, x.shape, strict=True))
    if grouped and channels and held[1][1] == channels and channels % groups == 0:
        return _group_norm(node, replace(x, shape=held), groups, channels).reshaped(x.shape)
    return _group_norm(node, x, groups, groups)


@reads("GroupNormalization")
def read_group_norm(node: Node) -> SymbolicValue:
    """Read GroupNormalization of opset 21 or later, which has a scale and a bias for each channel."""
    x = node.value()
    groups, channels = node.get("num_groups", 0), x.sizes[1] if x.rank > 1 else None
    if channels is None or groups < 1 or channels % groups:
        node.fail(f"it needs an input (N, C, ...) with a multiple of {groups} channels, got {x.sizes}")
    return _group_norm(node, x, groups, channels)


def _group_norm(node: Node, x: SymbolicValue, groups: int, channels: int) -> SymbolicValue:
    """Append a GroupNorm with the node's scale and bias, one for each group or for each channel."""
    scale, bias = node.weights(1), node.weights(2)
    wanted = groups if node.operator == "InstanceNormalization" else channels
    if scale.shape != (wanted,) or bias.shape != (wanted,):
        node.fail(f"it needs a scale and a bias of shape ({wanted},), got {scale.shape} and {bias.shape}")
    eps, affine = node.get("epsilon", 1e-5), not _is_plain(node, scale, bias)
    layer = (
        InstanceNorm(channels, eps, affine, dtype=scale.dtype)
        if groups == channels and x.rank == 4
        else GroupNorm(groups, channels, eps, affine, dtype=scale.dtype)
    )
    if affine:
        for name, array in (("weight", scale), ("bias", bias)):
            layer.params[name] = node.builder.copied(np.repeat(array, channels // wanted))
    return node.apply(layer, x, place="" if channels > wanted or not affine else node.learned_place())


def _is_plain(node: Node, scale: np.ndarray, bias: np.ndarray) -> bool:
    """Return whether ones and zeros stand for a layer that learns none: nothing names or multiplies them."""
    named = any(node.known(k).label.endswith((".weight", ".bias")) for k in (1, 2))
    learned = named or node.follow("Mul") or node.follow("Reshape", "Mul")
    return not learned and bool((scale == 1).all() and (bias == 0).all())


@writes(
    LayerNorm,
    operators="LayerNormalization or Transpose, LayerNormalization, Transpose or "
    "ReduceMean, Sub, Mul, ReduceMean, Add, Sqrt, Div, Mul, Add",
)
def write_layer_norm(w: Writer, layer: LayerNorm, x: Tensor) -> str:
    """Write LayerNormalization of the last axes, to which others are moved, and back."""
    if w.opset < 17:
        return write_spelt_out_layer_norm(w, layer, x)
    rank = len(x.shape)
    first, end = layer.span(rank)
    arrays = [w.array(array) for array in layer.params.values()]
    options = {"axis": first - end, "epsilon": layer.eps}
    if end == rank:
        return w.node("LayerNormalization", x, *arrays, **options)
    perm = (*range(first), *range(end, rank), *range(first, end))
    turned = w.node("Transpose", x, perm=perm)
    normal = w.node("LayerNormalization", turned, *arrays, **options)
    return w.node("Transpose", normal, perm=np.argsort(perm).tolist())


@reads("LayerNormalization")
def read_layer_norm(node: Node) -> SymbolicValue:
    """Read LayerNormalization; a scale or a bias that is repeated is learned for each place on its own."""
    return _layer_norm(node, node.value())


@reads_pattern("Transpose")
def read_channel_norm(node: Node) -> SymbolicValue | None:
    """Read LayerNormalization of the channels, which come last for it, as a layer of axis 1."""
    chain = node.follow("LayerNormalization", "Transpose")
    if chain is None or node.get("perm") != [0, 2, 3, 1] or chain[1].get("perm") != [0, 3, 1, 2]:
        return None
    norm, _ = chain
    if norm.axis(-1, 4) != 3 or len(norm.proto.output) > 1:
        return None
    return node.take(chain, _layer_norm(norm, node.value(), axis=1))


def _layer_norm(node: Node, x: SymbolicValue, axis: int | None = None) -> SymbolicValue:
    """Append a LayerNorm with the node's scale and bias, of the last axes, or of the one that is given."""
    first = node.axis(-1, x.rank) if axis is None else axis
    end = x.rank if axis is None else axis + 1
    if first == 0 or None in x.sizes[first:end]:
        node.unsupported(f"it may not normalise over the batch, got axis {first} of {x.sizes}")
    sizes = x.shape[0][first:end]
    scale = node.weights(1)
    layer = LayerNorm(sizes, node.get("epsilon", 1e-5), axis, dtype=scale.dtype)
    for name, array in (
        ("weight", scale),
        ("bias", node.weights(2) if node.has(2) else np.zeros_like(scale)),
    ):
        whole = (1,) * (len(sizes) - array.ndim) + array.shape
        if len(whole) > len(sizes) or any(k not in (1, size) for k, size in zip(whole, sizes, strict=True)):
            node.fail(f"its {name} must be of shape {sizes}, got {array.shape}")
        layer.params[name] = node.builder.copied(np.broadcast_to(array, sizes))
    return node.apply(layer, x, place=node.learned_place())


@writes(LocalResponseNorm, operators="LRN or Mul, Reshape, AveragePool, Reshape, Mul, Add, Pow, Div")
def write_local_response_norm(w: Writer, layer: LocalResponseNorm, x: Tensor) -> str:
    """Write LRN for an odd size; for an even one, where ONNX's window begins elsewhere, several nodes."""
    if layer.size % 2:
        return w.node("LRN", x, size=layer.size, alpha=layer.alpha, beta=layer.beta, bias=layer.k)
    _, C, H, W = x.shape
    squares = w.node("Mul", x, x)
    # Channels become rows of an image, so that the mean over a window of channels is a pooling.
    rows = w.node("Reshape", squares, w.integers("rows", (0, 1, C, H * W)))
    kernel = {"kernel_shape": [layer.size, 1], "pads": [layer.size // 2, 0, (layer.size - 1) // 2, 0]}
    means = w.node("AveragePool", rows, count_include_pad=1, **kernel)
    maps = w.node("Reshape", means, w.integers("maps", (0, C, H, W)))
    sums = w.node("Add", w.node("Mul", maps, w.number("alpha", layer.alpha)), w.number("k", layer.k))
    return w.node("Div", x, w.node("Pow", sums, w.number("beta", layer.beta)))


@reads_pattern("Mul")
def read_even_response_norm(node: Node) -> SymbolicValue | None:
    """Read the nodes that :func:`write_local_response_norm` writes for an even size."""
    operators = ("Reshape", "AveragePool", "Reshape", "Mul", "Add", "Pow", "Div")
    if len(set(node.proto.input)) != 1:
        return None
    chain = node.follow(*operators)
    if chain is None or list(chain[-1].proto.input) != [node.proto.input[0], chain[-2].proto.output[0]]:
        return None
    rows, pool, maps, times, plus, power, _ = chain
    x = node.value()
    alpha, k, beta = times.scalar(1, 4), plus.scalar(1, 4), power.scalar(1, 4)
    if x.rank != 4 or None in x.sizes[1:] or alpha is None or k is None or beta is None:
        return None
    _, C, H, W = x.sizes
    size = pool.get("kernel_shape", [0])[0]
    same = (
        list(rows.array(1)) == [0, 1, C, H * W]  # type: ignore[operator]
        and list(maps.array(1)) == [0, C, H, W]
        and pool.get("kernel_shape") == [size, 1]
        and pool.get("pads") == [size // 2, 0, (size - 1) // 2, 0]
        and pool.get("count_include_pad") == 1
        and {pool.get("ceil_mode", 0), *pool.get("strides", [1]), *pool.get("dilations", [1])} <= {0, 1}
    )
    return node.take(chain, node.apply(LocalResponseNorm(size, alpha, beta, k), x)) if same else None


@reads("LRN")
def read_local_response_norm(node: Node) -> SymbolicValue:
    """Read LRN of an odd size, whose window is the same in ONNX and here."""
    size = node.get("size", 0)
    if size % 2 == 0:
        node.unsupported(
            f"size must be odd, got {size}: of an even one ONNX's window begins one channel later than ours"
        )
    layer = LocalResponseNorm(size, node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0))
    return node.apply(layer, node.value())
