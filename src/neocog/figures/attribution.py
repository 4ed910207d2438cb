"""Draw images beside attribution maps and beside the responses of kernels."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from neocog.figures import checks
from neocog.figures.image_grid import LINE_HEIGHT, ImageGrid, flat, tiles
from neocog.figures.style import DIVERGING, HEAT, HEAT_OVERLAY, MUTED, OVERLAY, Scale, grey, symmetric
from neocog.validation import one_of


def responses(
    image: Any,
    maps: Mapping[str, Any],
    kernels: Mapping[str, Any] | None = None,
    title: str = "Responses",
    ink: bool = True,
) -> go.Figure:
    """Draw an image beside the responses of some kernels to it.

    Parameters
    ----------
    image : array (H, W) or (C, H, W)
    maps : dict of name to array (H', W')
        The responses, all on one scale around zero.
    kernels : dict of name to array (kH, kW), optional
        The kernels themselves, under their responses, with their values.
    title : str
    ink : bool
        Whether 1 is black, as in drawings, or white, as in photographs.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, or a kernel without a response.
    """
    picture = checks.image("image", image)
    answers = {
        str(name): checks.array(f"maps[{name!r}]", value, 2)
        for name, value in checks.mapping("maps", maps, "of name to response (H, W)").items()
    }
    shown = {}
    for name, kernel in (kernels or {}).items():
        shown[one_of("a name of kernels", name, answers)] = checks.array(f"kernels[{name!r}]", kernel, 2)
    grid = ImageGrid(title)
    lefts, width = tiles(1 + len(answers), 3.0, 40.0)
    scale = symmetric(*answers.values(), label="response")
    grid.colour_bar(scale)
    grid.text("image", 0, 0)
    tall = grid.picture(flat(picture), 0, LINE_HEIGHT, width, grey(picture, ink), "image")
    for x, (name, answer) in zip(lefts[1:], answers.items(), strict=True):
        grid.text(name, x, 0)
        grid.picture(answer, x, LINE_HEIGHT, width, scale, name)
        if name in shown:
            kernel = shown[name]
            near = symmetric(*shown.values(), label="weight")
            y = LINE_HEIGHT + tall + 3.0
            grid.text("kernel", x, y, 11.5, MUTED)
            values = ".3~g" if kernel.shape[1] <= 5 else ""
            side = min(width, 20.0)
            grid.picture(kernel, x, y + LINE_HEIGHT, side, near, f"kernel of {name}", values, gaps=True)
    return grid.finish()


def heat_overlay(
    image: Any, heat: Any, kind: str = "auto", label: str = "attribution", title: str = "", ink: bool = True
) -> go.Figure:
    """Draw an image, an attribution map of it, and the map over the image.

    Parameters
    ----------
    image : array (H, W) or (C, H, W)
    heat : array (h, w)
        May be coarser than the image, as Grad-CAM's is.
    kind : {"auto", "diverging", "sequential"}
        A scale around zero, or one from zero up; "auto" takes the first if there are negative values.
    label : str
        The quantity that the map shows, for its colour bar.
    title : str
    ink : bool
        Whether 1 is black, as in drawings, or white, as in photographs.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, an unknown kind, or negative values on a scale from zero up.
    """
    picture = checks.image("image", image)
    heat = checks.array("heat", heat, 2)
    one_of("kind", kind, ("auto", "diverging", "sequential"))
    if kind == "sequential" and heat.min() < 0:
        raise ValueError(f"heat must not be negative on a sequential scale, got {heat.min():g}.")
    if kind == "diverging" or (kind == "auto" and heat.min() < 0):
        scale = symmetric(heat, label=label, colours=DIVERGING)
        over = symmetric(heat, label=label, colours=OVERLAY)
    else:
        high = float(heat.max()) or 1.0
        scale, over = Scale(0.0, high, HEAT, label), Scale(0.0, high, HEAT_OVERLAY, label)
    grid = ImageGrid(title or f"{label[:1].upper() + label[1:]} of the pixels")
    grid.colour_bar(scale)
    lefts, width = tiles(3, 3.0)
    for x, words in zip(lefts, ("image", label, "both"), strict=True):
        grid.text(words, x, 0)
    tall = width * picture.shape[1] / picture.shape[2]
    grid.picture(flat(picture), lefts[0], LINE_HEIGHT, width, grey(picture, ink), "image")
    grid.picture(heat, lefts[1], LINE_HEIGHT, width, scale, label, height=tall)
    grid.picture(flat(picture), lefts[2], LINE_HEIGHT, width, _pale(grey(picture, ink)), "image")
    grid.picture(heat, lefts[2], LINE_HEIGHT, width, over, label, height=tall)
    return grid.finish()


def attribution_grid(
    x: Any,
    maps: Mapping[str, Any],
    image_names: Sequence[str] | None = None,
    title: str = "What the prediction rests on",
    ink: bool | None = None,
) -> go.Figure:
    """Draw images, a row each, beside their attribution maps, a column each method.

    Each map has its own scale, its largest value: orange pixels raise the logit and blue ones lower it.

    Parameters
    ----------
    x : array (N, H, W) or (N, C, H, W)
    maps : dict of name to array (N, h, w)
        May be coarser than the images.
    image_names : sequence of str, optional
        What stands above each row.
    title : str
    ink : bool, optional
        As in :func:`~neocog.figures.image_gallery`.

    Raises
    ------
    ValueError, TypeError
        If the maps or the names are not as many as the images.
    """
    ink = checks.ink(ink, x)
    pictures = checks.images("x", x)
    N = len(pictures)
    found = {
        str(name): checks.array(f"maps[{name!r}]", value, 3)
        for name, value in checks.mapping("maps", maps, "of method to maps (N, H, W)").items()
    }
    for name, heat in found.items():
        if len(heat) != N:
            raise ValueError(f"maps[{name!r}] must be {N}, one an image, got {len(heat)}.")
    if image_names is not None and len(image_names) != N:
        raise ValueError(f"image_names must be {N}, one an image, got {len(image_names)}.")
    grid = ImageGrid(title, "orange raises the logit, blue lowers it, white is 0; each map on its own scale")
    lefts, width = tiles(1 + len(found), 2.0, 24.0)
    tall = width * pictures.shape[2] / pictures.shape[3]
    heads = [name.replace(" ", "<br>") for name in ("image", *found)]
    y = LINE_HEIGHT * max(1 + head.count("<br>") for head in heads)
    for left, head in zip(lefts, heads, strict=True):
        grid.text(head, left, y - LINE_HEIGHT, 11.5, MUTED)
    for k, picture in enumerate(pictures):
        if image_names is not None:
            grid.text(html.escape(html.unescape(str(image_names[k])), quote=False), 0, y)
            y += LINE_HEIGHT
        grid.picture(flat(picture), lefts[0], y, width, grey(picture, ink), f"image {k}")
        for left, (name, heat) in zip(lefts[1:], found.items(), strict=True):
            grid.picture(heat[k], left, y, width, symmetric(heat[k], label=name), name, height=tall)
        y += tall + 2.0
    return grid.finish()


def _pale(scale: Scale) -> Scale:
    """Return a pale scale of greys, over which colours are drawn."""
    stops = [(at, "#ffffff" if name == "#ffffff" else "#b0b0b0") for at, name in scale.colours]
    return Scale(scale.low, scale.high, stops, scale.label)
