"""Animate a convolution: the kernel that slides over a picture, and its gradient made of stamped kernels."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from neocog.figures import checks
from neocog.figures.animation import BOTTOM, add_slider
from neocog.figures.image_grid import LINE_HEIGHT, WIDTH, ImageGrid, Rectangles, corners
from neocog.figures.style import FAINT, GREEN, INK, LINE, MUTED, Scale, grey, symmetric
from neocog.figures.style import number as short
from neocog.kernels.geometry import output_size
from neocog.validation import number, pair, sides

MOST = 14  # cells in a row, so that the numbers stay legible on a phone
LARGEST, SMALLEST = 7.0, 5.5  # sides of a cell, in units of the grid
GAP = 8.0  # between two pictures, with room for a sign
HIGHLIGHTED = "window"
LETTERS = 50  # in a line of the sum


def sliding_kernel(
    x: Any, w: Any, bias: float = 0.0, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1
) -> go.Figure:
    """Animate a convolution of one picture with one kernel, every number shown.

    ``y[i, j] = bias + sum over p, q of w[p, q] x[i sH + p dH - top, j sW + q dW - left]``, 0 outside of x.

    Parameters
    ----------
    x : array (H, W)
        The picture; H and W are at most 14 with the padding.
    w : array (kH, kW)
        The kernel.
    bias : float
    stride : int or (int, int)
    padding : int, (int, int) or ((top, bottom), (left, right))
        Zeros around x.
    dilation : int or (int, int)

    Returns
    -------
    plotly Figure
        A frame per position of the window, row by row, named "i, j". It opens at the first.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, a picture that is too large to show its numbers, or a kernel that is larger than the
        padded picture.

    Examples
    --------
    >>> figure = sliding_kernel([[1, 2], [3, 4]], [[1, 1]], bias=1)
    >>> [frame.name for frame in figure.frames]
    ['0, 0', '1, 0']
    """
    x, w = checks.array("x", x, 2).astype(float), checks.array("w", w, 2).astype(float)
    bias = number("bias", bias)
    borders = sides("padding", padding)
    (sH, sW), (dH, dW) = pair("stride", stride), pair("dilation", dilation)
    padded = np.pad(x, borders)
    _small("x", padded, " with its padding")
    (H, W), (kH, kW) = x.shape, w.shape
    h = output_size(H, kH, sH, borders[0], dH)
    v = output_size(W, kW, sW, borders[1], dW)
    if h < 1 or v < 1:
        raise ValueError(
            f"w must fit into the padded picture of {padded.shape[0]} × {padded.shape[1]}, got a kernel of "
            f"{kH} × {kW} that spans {dH * (kH - 1) + 1} × {dW * (kW - 1) + 1}."
        )
    places = [(i, j) for i in range(h) for j in range(v)]
    patches = {
        (i, j): padded[i * sH : i * sH + dH * kH : dH, j * sW : j * sW + dW * kW : dW][:kH, :kW]
        for i, j in places
    }
    y = np.array([[(patches[i, j] * w).sum() + bias for j in range(v)] for i in range(h)])

    grid = ImageGrid("A kernel slides over a picture", options(stride, padding, dilation, (H, W), (h, v)))
    side, beside = _side(padded.shape[1], v)
    brightness = grey(x) if x.min() >= 0 else symmetric(x)
    size = f", padded to {padded.shape[0]} × {padded.shape[1]}" if padded.shape != x.shape else ""
    grid.text(f"<b>picture</b>  {H} × {W}{size}", 0, 0)
    _padded_picture(grid, x, borders, 0, LINE_HEIGHT, side, brightness)
    window = grid.outlines(_window((0, 0), (sH, sW), (dH, dW), w.shape, side), GREEN, 3)
    left, top = (padded.shape[1] * side + GAP, 0.0) if beside else (0.0, grid.height + 2.0)
    grid.text(f"<b>output</b>  {h} × {v}", left, top)
    top += LINE_HEIGHT
    output = _numbers(grid, _so_far(y, 0), left, top, side, symmetric(y, label="output"), "output")
    grid.figure.data[output].update(_written(_so_far(y, 0), y))
    here = grid.outlines([(left, top, side, side)], GREEN, 3)

    top_row = grid.height + 2.5
    products = {place: patch * w + 0.0 for place, patch in patches.items()}
    panels = {
        "window": (patches[0, 0], brightness),
        "kernel": (w, symmetric(w)),
        "products": (products[0, 0], symmetric(*products.values())),
    }
    shown = _equation(grid, panels, "×=", top_row)
    sums = {place: _sum(patches[place], w, bias, y[place]) for place in places}
    written = _words(grid, sums)

    frames = [
        go.Frame(
            name=f"{i}, {j}",
            traces=[window, output, here, shown["window"], shown["products"], written],
            data=[
                go.Scatter(corners(_window((i, j), (sH, sW), (dH, dW), w.shape, side))),
                go.Heatmap(_written(_so_far(y, i * v + j), y)),
                go.Scatter(corners([(left + j * side, top + i * side, side, side)])),
                go.Heatmap(_written(patches[i, j])),
                go.Heatmap(_written(products[i, j])),
                go.Scatter(text=[sums[i, j]]),
            ],
        )
        for i, j in places
    ]
    return add_slider(grid.finish(bottom=BOTTOM), frames, "output ")


def options(stride: Any, padding: Any, dilation: Any, before: tuple[int, int], after: tuple[int, int]) -> str:
    """Return the options of a convolution and what they do to the size, in words.

    Examples
    --------
    >>> options(2, 0, 1, (5, 5), (2, 2))
    'stride 2: 5 × 5 → 2 × 2'
    """
    words = [f"stride {stride}"]
    words += [f"padding {padding}"] if padding != 0 else []
    words += [f"dilation {dilation}"] if dilation != 1 else []
    return f"{', '.join(words)}: {before[0]} × {before[1]} → {after[0]} × {after[1]}"


def _small(name: str, values: np.ndarray, how: str = "") -> None:
    if max(values.shape) > MOST:
        raise ValueError(
            f"{name} must be at most {MOST} × {MOST}{how} to be shown in numbers, got {values.shape}."
        )


def _side(first: int, second: int) -> tuple[float, bool]:
    """Return the side of a cell of two pictures, and whether these fit beside each other."""
    side = min(LARGEST, (WIDTH - GAP) / (first + second))
    return (side, True) if side >= SMALLEST else (min(LARGEST, WIDTH / max(first, second)), False)


def _numbers(
    grid: ImageGrid,
    values: np.ndarray,
    x: float,
    y: float,
    side: float,
    scale: Scale,
    name: str,
) -> int:
    """Draw an array with its numbers and return the index of its trace; NaN is an empty cell."""
    grid.picture(values, x, y, values.shape[1] * side, scale, name, gaps=True)
    grid.figure.data[-1].update(**_written(values), texttemplate="%{text}")
    index = len(grid.figure.data) - 1
    if np.isnan(values).any():
        grid.outlines(_cells(x, y, side, np.ones(values.shape, bool)), LINE, 1)
    return index


def _written(values: np.ndarray, final: np.ndarray | None = None) -> dict[str, Any]:
    """Return an array and its numbers as a heat map has them.

    Cells still empty (NaN) are as wide as the longest number of ``final``: letters keep their size.
    """
    empty = "\N{NO-BREAK SPACE}" * max(len(short(v)) for v in (values if final is None else final).flat)
    return {"z": values, "text": [[empty if np.isnan(v) else short(v) for v in row] for row in values]}


def _equation(
    grid: ImageGrid, panels: Mapping[str, tuple[np.ndarray, Scale]], signs: str, y: float
) -> dict[str, int]:
    """Draw arrays of numbers with signs between them and return the indices of their traces."""
    columns = sum(values.shape[1] for values, _ in panels.values())
    side = min(LARGEST, (WIDTH - GAP * len(signs)) / columns)
    middle = y + LINE_HEIGHT + max(values.shape[0] for values, _ in panels.values()) * side / 2
    left, found = 0.0, {}
    for k, (name, (values, scale)) in enumerate(panels.items()):
        if k:
            grid.text(signs[k - 1], left - GAP / 2, middle, 18, MUTED, "center", "middle")
        top = middle - values.shape[0] * side / 2
        grid.text(f"<b>{name}</b>", left, top - LINE_HEIGHT)
        found[name] = _numbers(grid, values, left, top, side, scale, name)
        if name == HIGHLIGHTED:
            grid.outlines([(left, top, values.shape[1] * side, values.shape[0] * side)], GREEN, 3)
        left += values.shape[1] * side + GAP
    return found


def _words(grid: ImageGrid, sums: Mapping[Any, str]) -> int:
    """Write the first of some texts below everything else, with room for the longest of them."""
    top = grid.height + 1.6
    grid.reach(top + LINE_HEIGHT * (0.3 + max(words.count("<br>") + 1 for words in sums.values())))
    return grid.words([next(iter(sums.values()))], [(0.0, top)], "bottom right", size=13, color=INK)


def _padded_picture(
    grid: ImageGrid, x: np.ndarray, borders: Any, left: float, top: float, side: float, scale: Scale
) -> None:
    """Draw a picture with its numbers and, around it, the zeros of the padding in dashed cells."""
    (above, _), (before, _) = borders
    padding = np.pad(np.zeros(x.shape, bool), borders, constant_values=True)
    _numbers(grid, x, left + before * side, top + above * side, side, scale, "picture")
    grid.reach(top + padding.shape[0] * side)
    if padding.any():
        inset = 0.06 * side
        cells = list(_cells(left, top, side, padding, inset))
        grid.outlines(cells, LINE, 1, "dot", FAINT)
        middles = [(cx + cw / 2, cy + ch / 2) for cx, cy, cw, ch in cells]
        grid.words(["0"] * len(cells), middles, "middle center", size=12, color=MUTED)


def _cells(x: float, y: float, side: float, where: np.ndarray, inset: float = 0.0) -> Rectangles:
    """Return the cells of a grid where a mask is true."""
    inner = side - 2 * inset
    return [
        (x + j * side + inset, y + i * side + inset, inner, inner) for i, j in np.argwhere(where).tolist()
    ]


def _window(
    place: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    shape: tuple[int, ...],
    side: float,
) -> Rectangles:
    """Return the window at an output position: one rectangle, or its cells if dilation leaves gaps."""
    left, top = place[1] * stride[1] * side, LINE_HEIGHT + place[0] * stride[0] * side
    if dilation == (1, 1):
        return [(left, top, shape[1] * side, shape[0] * side)]
    return [
        (left + q * dilation[1] * side, top + p * dilation[0] * side, side, side)
        for p in range(shape[0])
        for q in range(shape[1])
    ]


def _so_far(y: np.ndarray, last: int) -> np.ndarray:
    """Return an array of which only the entries up to ``last`` are known; the others are NaN."""
    return np.where(np.arange(y.size).reshape(y.shape) <= last, y, np.nan)


def _factor(value: float) -> str:
    return short(value) if value >= 0 else f"({short(value)})"


def _sum(patch: np.ndarray, w: np.ndarray, bias: float, y: float) -> str:
    """Return the sum in words."""
    factors = zip(patch.ravel(), w.ravel(), strict=True)
    terms = [f"{_factor(a)}·{_factor(b)}" for a, b in factors] + [f"bias {_factor(bias)}"]
    return _lines(" + ".join(terms)) + f" = <b>{short(y)}</b>"


def _lines(words: str) -> str:
    """Break words into lines that fit a narrow page; a plus stays with the term that follows it."""
    kept = words.replace("+ ", "+\N{NO-BREAK SPACE}").replace("bias ", "bias\N{NO-BREAK SPACE}")
    return "<br>".join(textwrap.wrap(kept, LETTERS, break_long_words=False))
