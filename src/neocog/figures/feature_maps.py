"""Draw feature maps before and after activation and pooling."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from neocog.figures import checks
from neocog.figures.image_grid import LINE_HEIGHT, ImageGrid, tiles
from neocog.figures.style import INK, MUTED, symmetric
from neocog.validation import integer, pair


def feature_maps(
    before: Any,
    after: Any = None,
    names: tuple[str, str] = ("before ReLU", "after ReLU"),
    columns: int | None = None,
    title: str = "Feature maps",
) -> go.Figure:
    """Draw the maps of a layer before and after its activation, on one scale around zero.

    Parameters
    ----------
    before, after : array (F, H, W)
        ``after`` may be left out.
    names : (str, str)
        Labels of the two rows.
    columns : int, optional
        Maps side by side, by default 8 at most.
    title : str

    Raises
    ------
    ValueError, TypeError
        If the two are not of one shape.
    """
    first = checks.array("before", before, 3)
    rows = [first]
    if after is not None:
        rows.append(checks.array("after", after, 3))
        if rows[1].shape != first.shape:
            raise ValueError(f"after must have before's shape {first.shape}, got {rows[1].shape}.")
    F, H, W = first.shape
    columns = min(F, 8) if columns is None else min(F, integer("columns", columns))
    scale = symmetric(*rows, label="activation")
    grid = ImageGrid(title, f"{F} maps of {H} × {W}")
    grid.colour_bar(scale)
    lefts, width = tiles(columns, 2.0, 30.0)
    y = 0.0
    for start in range(0, F, columns):
        for words, maps in zip(names, rows, strict=False):
            grid.text(words, 0, y, 12, MUTED)
            y += LINE_HEIGHT + 0.2
            for f in range(start, min(start + columns, F)):
                tall = grid.picture(
                    maps[f], lefts[f - start], y, width, scale, f"map {f}, {words}", gaps=max(H, W) <= 16
                )
            y += tall + 1.6
        y += 1.4
    return grid.finish()


def max_pooling(
    x: Any,
    y: Any,
    argmax: Any,
    kernel_size: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    title: str = "Max pooling",
) -> go.Figure:
    """Draw a map, the winner of each window, and the pooled map.

    Parameters
    ----------
    x : array (H, W)
    y : array (h, w)
        The pooled map.
    argmax : int array (h, w)
        The winner's row-major position in its window, which ``MaxPool2D`` keeps for its backward pass.
    kernel_size : int or (int, int), optional
        Default: ``(H // h, W // w)``.
    stride : int or (int, int), optional
        Default: ``kernel_size``. Padding is not drawn.
    title : str

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, or if a winner is not in the map or not equal to the pooled value.
    """
    x, y = checks.array("x", x, 2), checks.array("y", y, 2)
    winners = checks.array("argmax", argmax, 2)
    (H, W), (h, w) = x.shape, y.shape
    if winners.dtype.kind not in "iu" or winners.shape != y.shape:
        raise ValueError(f"argmax must be integers of y's shape {y.shape}, got {winners.shape}.")
    if h > H or w > W:
        raise ValueError(f"y must be no larger than x, got {y.shape} of {x.shape}.")
    kH, kW = (H // h, W // w) if kernel_size is None else pair("kernel_size", kernel_size)
    sH, sW = (kH, kW) if stride is None else pair("stride", stride)
    down, right = np.divmod(winners.astype(int), kW)
    rows, columns = np.arange(h)[:, None] * sH + down, np.arange(w) * sW + right
    inside = (down >= 0) & (down < kH) & (rows < H) & (columns < W)
    if not inside.all() or not np.array_equal(x[rows, columns], y):
        raise ValueError(
            "argmax must point, within each window, at the pixel of x that y holds; are kernel_size "
            f"{(kH, kW)} and stride {(sH, sW)} right?"
        )
    scale = symmetric(x, label="activation")
    grid = ImageGrid(title, f"windows of {kH} × {kW}; the winner of each has a frame")
    grid.colour_bar(scale)
    left, gap = 54.0, 8.0
    cell = left / W
    values = ".2f" if cell >= 5.5 else ""
    grid.text(f"map, {H} × {W}", 0, 0)
    grid.picture(x, 0, LINE_HEIGHT, left, scale, "map", values, gaps=True)
    if (sH, sW) == (kH, kW):
        for i in range(h):
            for j in range(w):
                grid.frame(j * kW * cell, LINE_HEIGHT + i * kH * cell, kW * cell, kH * cell, MUTED, 1.5)
    inset = 0.07 * cell
    for i, j in zip(rows.ravel(), columns.ravel(), strict=True):
        side = cell - 2 * inset
        grid.frame(j * cell + inset, LINE_HEIGHT + i * cell + inset, side, side, INK, 2.5)
    start = left + gap
    width = min(100 - start, max(w * cell * 1.2, 20.0))
    top = LINE_HEIGHT + max(0.0, (H * cell - width * h / w) / 2)
    grid.text("→", left + gap / 2, LINE_HEIGHT + H * cell / 2, 20, MUTED, "center", "middle")
    grid.text(f"pooled, {h} × {w}", start, top - LINE_HEIGHT)
    grid.picture(y, start, top, width, scale, "pooled", ".2f" if width / w >= 5.5 else "", gaps=True)
    return grid.finish()
