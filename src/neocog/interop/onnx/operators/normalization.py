"""Write and read batch normalisation and local response normalisation."""

from __future__ import annotations

import math

from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node, reads, reads_pattern
from neocog.interop.onnx.symbolic import SymbolicValue
from neocog.layers import BatchNorm1D, BatchNorm2D, LocalResponseNorm


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
