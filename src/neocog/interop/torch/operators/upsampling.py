"""Convert upsampling, of the modes that a layer has."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn import functional as F

from neocog.interop.torch.graph_builder import TracedValue, UnsupportedError, known
from neocog.interop.torch.operators.arguments import size as plain
from neocog.interop.torch.registry import Chain, imports, register_layer
from neocog.layers import Upsample


@register_layer(Upsample)
def _to_upsample(layer: Upsample) -> nn.Upsample:
    align_corners = layer.align_corners if layer.mode == "bilinear" else None
    return nn.Upsample(layer.size, layer.scale, layer.mode, align_corners)


@imports(F.interpolate, F.upsample, nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d)
def interpolate(
    x: TracedValue,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Chain:
    size, scale = plain(size), plain(scale_factor)
    whole = scale is not None and all(factor == int(factor) for factor in _both(scale))
    if mode == "nearest-exact" and whole:  # the pixel around the middle of a copy is the same
        mode = "nearest"
    if mode not in ("nearest", "bilinear"):
        raise UnsupportedError(f"mode={mode!r} has no counterpart; 'nearest' and 'bilinear' are supported")
    if antialias:
        raise UnsupportedError("antialias=True has no counterpart; False is supported")
    if recompute_scale_factor and not whole:
        *_, H, W = known(x, "recompute_scale_factor=True")
        (v, h), scale = _both(scale), None
        size = int(H * v), int(W * h)
    return Upsample(scale, size, mode, bool(align_corners))


def _both(factors: Any) -> tuple[float, float]:
    return tuple(factors) if isinstance(factors, tuple | list) else (factors, factors)
