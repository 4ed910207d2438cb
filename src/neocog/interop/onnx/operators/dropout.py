"""Dropout."""

from __future__ import annotations

from neocog.interop.onnx.reader import Node, reads
from neocog.interop.onnx.values import Value
from neocog.interop.onnx.writer import Tensor, Writer, writes
from neocog.layers import Dropout


@writes(Dropout)
def write_dropout(w: Writer, layer: Dropout, x: Tensor) -> str:
    """Nothing happens in inference, but who reads the model can train it."""
    return w.node("Dropout", x, w.number("ratio", layer.p))


@reads("Dropout")
def read_dropout(node: Node) -> Value:
    """A layer that drops in training; the ratio is an attribute before opset 12."""
    if node.has(2) and bool(node.number(2)) and node.number(1, 0.5) > 0:
        node.fail("training_mode must be false; export the model for inference")
    if node.opset < 7 and not node.flag("is_test") and len([o for o in node.proto.output if o]) > 1:
        node.fail("is_test must be 1; export the model for inference")
    ratio = node.get("ratio") if node.get("ratio") is not None else node.number(1, 0.5)
    return node.elementwise(Dropout(ratio, rng=node.building.rng))
