"""Write factors and offsets, learned and fixed; :mod:`.products` and :mod:`.bias` read them."""

from __future__ import annotations

from typing import Any

from neocog.interop.onnx.export_graph import Tensor, Writer, writes
from neocog.layers import Rescale, Scale


@writes(Scale, operators="Mul")
def write_scale(w: Writer, layer: Scale, x: Tensor) -> str:
    """Write Mul by the learned array."""
    return w.node("Mul", x, w.array(layer.params["weight"]))


@writes(Rescale, operators="Mul or Add or Mul, Add")
def write_rescale(w: Writer, layer: Rescale, x: Tensor) -> str:
    """Write Mul by the scale and Add of the offset, each left out where it changes nothing."""

    def term(name: str, value: Any) -> str:
        return w.number(name, value) if isinstance(value, float) else w.array(value)

    scale, offset = layer.terms()
    if isinstance(offset, float) and offset == 0:
        return w.node("Mul", x, term("scale", scale))
    if isinstance(scale, float) and scale == 1:
        return w.node("Add", x, term("offset", offset))
    return w.node("Add", w.node("Mul", x, term("scale", scale)), term("offset", offset))
