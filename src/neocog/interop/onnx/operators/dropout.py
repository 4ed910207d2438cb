"""Write and read Dropout."""

from __future__ import annotations

from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.interop.onnx.import_node import Node, reads
from neocog.interop.onnx.symbolic import SymbolicValue
from neocog.layers import Dropout, StochasticDepth


@writes(Dropout, operators="Dropout")
def write_dropout(w: Writer, layer: Dropout, x: Tensor) -> str:
    """Write Dropout, which does nothing in inference but lets an importer train the model."""
    return w.node("Dropout", x, w.number("ratio", layer.p))


@writes(StochasticDepth, operators="Identity")
def write_stochastic_depth(w: Writer, layer: StochasticDepth, x: Tensor) -> str:
    """Write Identity, as it does nothing in inference; ONNX's Dropout drops single numbers only."""
    return w.node("Identity", x)


@reads("Dropout")
def read_dropout(node: Node) -> SymbolicValue:
    """Read Dropout for training; the ratio is an attribute before opset 12."""
    if node.has(2) and bool(node.number(2)) and node.number(1, 0.5) > 0:
        node.unsupported("training_mode must be false; export the model for inference")
    if node.opset < 7 and not node.flag("is_test") and len([o for o in node.proto.output if o]) > 1:
        node.unsupported("is_test must be 1; export the model for inference")
    ratio = node.get("ratio") if node.get("ratio") is not None else node.number(1, 0.5)
    return node.elementwise(Dropout(ratio, rng=node.builder.rng))
