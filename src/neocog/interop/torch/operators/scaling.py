"""Convert fixed factors and offsets, which are numbers or buffers."""

from __future__ import annotations

from neocog.interop.torch import modules
from neocog.interop.torch.graph_builder import TracedValue
from neocog.interop.torch.registry import Chain, imports_module, register_layer
from neocog.layers import Rescale


@register_layer(Rescale)
def _to_rescale(layer: Rescale) -> modules.Rescale:
    return modules.Rescale(layer.scale, layer.offset)


@imports_module(modules.Rescale)
def _from_rescale(module: modules.Rescale, x: TracedValue) -> Chain:
    tensors = dict(module.named_buffers())
    given = {name: tensors.get(name, getattr(module, name)) for name in ("scale", "offset")}
    return Rescale(**{name: v.tolist() if name in tensors else v for name, v in given.items()})
