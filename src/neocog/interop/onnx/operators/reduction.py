"""Write means and sums along axes; :mod:`.global_pooling` reads them."""

from __future__ import annotations

from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.layers import Mean, Sum


@writes(Mean, operators="ReduceMean")
def write_mean(w: Writer, layer: Mean, x: Tensor) -> str:
    """Write ReduceMean."""
    return w.node("ReduceMean", x, _axes(w, layer, x), keepdims=int(layer.keepdims))


@writes(Sum, operators="ReduceSum")
def write_sum(w: Writer, layer: Sum, x: Tensor) -> str:
    """Write ReduceSum."""
    return w.node("ReduceSum", x, _axes(w, layer, x), keepdims=int(layer.keepdims))


def _axes(w: Writer, layer: Mean | Sum, x: Tensor) -> str:
    return w.integers("axes", layer.over(x.shape))
