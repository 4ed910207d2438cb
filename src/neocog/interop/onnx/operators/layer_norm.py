"""Write and read LayerNorm operator by operator, as it is before opset 17."""

from __future__ import annotations

import numpy as np

from neocog.interop.onnx.export_graph import Tensor, Writer
from neocog.interop.onnx.import_node import Node, reads_pattern
from neocog.interop.onnx.symbolic import Known, SymbolicValue
from neocog.layers import LayerNorm


def write_spelt_out_layer_norm(w: Writer, layer: LayerNorm, x: Tensor) -> str:
    """Write ``w (x - m) / sqrt(v + eps) + b``, operator by operator."""
    rank = len(x.shape)
    first, end = layer.span(rank)
    over = w.integers("over", range(first, end))
    centred = w.node("Sub", x, w.node("ReduceMean", x, over))
    variance = w.node("ReduceMean", w.node("Mul", centred, centred), over)
    deviation = w.node("Sqrt", w.node("Add", variance, w.number("eps", layer.eps)))
    lift = w.integers("axes", range(end - first, rank - first)) if end < rank else ""
    scale, shift = (
        w.node("Unsqueeze", w.array(array), lift) if lift else w.array(array)
        for array in layer.params.values()
    )
    return w.node("Add", w.node("Mul", w.node("Div", centred, deviation), scale), shift)


@reads_pattern("ReduceMean")
def read_spelt_out_layer_norm(node: Node) -> SymbolicValue | None:
    """Read ``(x - m) / sqrt(v + eps)``, with the Mul and the Add that may follow, as a LayerNorm."""
    x, centre, axes = node.value(), node.follow("Sub"), node.kept_axes(node.value().rank)
    if centre is None or list(centre[0].proto.input) != [node.proto.input[0], *node.proto.output]:
        return None
    centred = centre[0].proto.output[0]
    squares = [proto for proto in node.builder.readers[centred] if proto.op_type in ("Mul", "Pow")]
    square = Node(squares[0], node.builder) if squares else None
    chain = square and square.follow("ReduceMean", "Add", "Sqrt", "Div")
    if square is None or not chain:
        return None
    mean, plus, root, quotient = chain
    eps = next((e for e in (plus.scalar(0, x.rank), plus.scalar(1, x.rank)) if e is not None), None)
    by_itself = [*square.proto.input] == [centred] * 2
    squared = by_itself or (square.operator == "Pow" and square.scalar(1, x.rank) == 2)
    uses = 2 + by_itself
    if not squared or eps is None or mean.kept_axes(x.rank) != axes or node.builder.uses[centred] != uses:
        return None
    if [*quotient.proto.input] != [centred, root.proto.output[0]]:
        return None
    first, end = (axes[0], axes[-1] + 1) if axes else (0, 0)
    sizes = x.shape[0][first:end]
    if not first or axes != [*range(first, end)] or None in x.sizes[first:end]:
        return None
    affine = quotient.follow("Mul", "Add") or []
    steps = zip([quotient, *affine], affine, strict=False)
    found = [_learned(step, before, (*sizes, *(1,) * (x.rank - end))) for before, step in steps]
    learned = [array.reshape(sizes) for array in found if array is not None]
    if len(learned) < 2:
        affine, learned = [], []
    layer = LayerNorm(
        sizes, eps, None if end == x.rank else first, dtype=learned[0].dtype if learned else "float32"
    )
    for name, array in zip(("weight", "bias"), learned, strict=False):
        layer.params[name] = node.builder.copied(array)
    place = affine[0].learned_place(_other(affine[0], quotient)) if affine else ""
    return node.take([*centre, square, *chain, *affine], node.apply(layer, x, place=place))


def _other(step: Node, before: Node) -> int:
    """Return the place of the operand that is not the result of the node before."""
    return 1 - [*step.proto.input].index(before.proto.output[0])


def _learned(step: Node, before: Node, sizes: tuple[int, ...]) -> np.ndarray | None:
    """Return the constant that a step multiplies by or adds, broadcast to these sizes; None if it cannot."""
    k = _other(step, before)
    constant = step.inputs[k] if step.has(k) else None
    if not isinstance(constant, Known) or not constant.is_fixed or constant.arrays[0].dtype.kind != "f":
        return None
    array = constant.arrays[0]
    padded = (1,) * (len(sizes) - array.ndim) + array.shape
    ones = len(padded) - len(sizes)
    fits = all(a in (1, b) for a, b in zip(padded[ones:], sizes, strict=True))
    if {*padded[:ones], 1} != {1} or not fits:
        return None
    return np.broadcast_to(array.reshape(padded[ones:]), sizes)
