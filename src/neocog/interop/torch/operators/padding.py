"""Convert padding of maps and of channels, in every mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.nn import functional as F

from neocog.interop.torch.graph_builder import TracedValue, UnsupportedError
from neocog.interop.torch.registry import Chain, imports, imports_module, register_layer
from neocog.layers import Pad2D, PadChannels, Transpose

PADDINGS: dict[str, type[nn.ReflectionPad2d | nn.ReplicationPad2d | nn.CircularPad2d]] = {
    "reflect": nn.ReflectionPad2d,
    "replicate": nn.ReplicationPad2d,
    "circular": nn.CircularPad2d,
}
"""The modules of the padding modes that have no value."""


@register_layer(Pad2D)
def _to_pad2d(
    layer: Pad2D,
) -> nn.ConstantPad2d | nn.ReflectionPad2d | nn.ReplicationPad2d | nn.CircularPad2d:
    (top, bottom), (left, right) = layer.padding
    sides = (left, right, top, bottom)
    if layer.mode == "constant":
        return nn.ConstantPad2d(sides, layer.value)
    return PADDINGS[layer.mode](sides)


@imports_module(nn.ConstantPad2d, nn.ZeroPad2d, *PADDINGS.values())
def _from_pad2d(module: Any, x: TracedValue) -> Chain:
    modes = {module_class: mode for mode, module_class in PADDINGS.items()}
    return pad(x, module.padding, modes.get(type(module), "constant"), getattr(module, "value", None))


@imports(F.pad)
def pad(x: TracedValue, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Chain:
    sides = [*pad, *[0] * (6 - len(pad))]
    left, right, top, bottom, before, after = sides
    if len(sides) > 6:
        raise UnsupportedError(f"pad={tuple(pad)} pads the batch; three axes or fewer are supported")
    if not before and not after:
        return Pad2D(((top, bottom), (left, right)), value or 0.0, mode)
    if mode != "constant" or value or any(sides[:4]):
        raise UnsupportedError(f"pad={tuple(pad)}: maps of zeros cannot be joined with other padding")
    if not before:
        return PadChannels(after)
    # Channels are moved last and back, as Pad2D pads the last axes.
    return Transpose((0, 2, 3, 1)), Pad2D(((0, 0), (before, after))), Transpose((0, 3, 1, 2))
