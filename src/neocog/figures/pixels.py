"""Turn arrays of numbers into PNG pictures."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import plotly.graph_objects as go
from PIL import Image


def as_picture(trace: Any) -> go.Image:
    """Turn a heat map, or an image of numbers, into an image trace that holds a PNG file.

    The colours are the same up to 1/255; a pixel that is no number becomes transparent.

    Examples
    --------
    >>> heat = go.Heatmap(z=[[0, 1]], zmin=0, zmax=1, colorscale=[(0, "#000000"), (1, "#ffffff")])
    >>> as_picture(heat).source[:22]
    'data:image/png;base64,'
    """
    pixels = np.asarray(trace.z) if trace.type == "image" else colour_pixels(trace)
    place = {name: trace[name] for name in ("x0", "dx", "y0", "dy")}
    return go.Image(
        source=png(pixels),
        name=trace.name,
        hovertemplate=f"{trace.name}<extra></extra>" if trace.name else None,
        hoverinfo=None if trace.name else "skip",
        **place,
    )


def colour_pixels(trace: Any) -> np.ndarray:
    """Return the colours of a heat map as uint8 (H, W, 3), or (H, W, 4) where some are transparent."""
    z = np.asarray(trace.z, float)
    low, high = float(trace.zmin), float(trace.zmax)
    at = np.clip((z - low) / ((high - low) or 1.0), 0, 1)
    stops = np.array([stop for stop, _ in trace.colorscale])
    colours = np.array([_channels(name) for _, name in trace.colorscale])
    found = np.stack([np.interp(np.nan_to_num(at), stops, colours[:, k]) for k in range(4)], axis=-1)
    found[np.isnan(z), 3] = 0
    pixels = found.round().astype(np.uint8)
    return pixels if (pixels[..., 3] < 255).any() else pixels[..., :3]


def png(pixels: np.ndarray) -> str:
    """Return pixels, uint8 (H, W), (H, W, 3) or (H, W, 4), as a PNG file in a data URI."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _channels(colour: str) -> tuple[float, float, float, float]:
    """Return red, green, blue and opacity, 0..255, of "#rrggbb" or "rgba(r, g, b, a)"."""
    if colour.startswith("#"):
        return *map(float, bytes.fromhex(colour[1:])), 255.0  # type: ignore[return-value]
    red, green, blue, alpha = (float(part) for part in colour[5:-1].split(","))
    return red, green, blue, 255 * alpha
