"""Write and read RadialBasis, which is several nodes."""

from __future__ import annotations

from neocog.initializers import zeros
from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node, reads_pattern
from neocog.interop.onnx.symbolic import Known, SymbolicValue
from neocog.layers import RadialBasis


@writes(RadialBasis, operators="Unsqueeze, Sub, ReduceSumSquare, Neg")
def write_radial_basis(w: Writer, layer: RadialBasis, x: Tensor) -> str:
    """Write ``-sum_i (x[n,1,i] - c[k,i])^2``, operator by operator."""
    lifted = w.node("Unsqueeze", x, w.integers("axis", [1]))
    steps = w.node("Sub", lifted, w.array(layer.buffers["centers"]))
    squares = w.node("ReduceSumSquare", steps, w.integers("over", [2]), keepdims=0)
    return w.node("Neg", squares)


@reads_pattern("Unsqueeze")
def read_radial_basis(node: Node) -> SymbolicValue | None:
    """Read the nodes that :func:`write_radial_basis` writes."""
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
    layer.buffers["centers"] = node.builder.copied(centers)
    return node.take(chain, node.apply(layer, x, place=node.place))
