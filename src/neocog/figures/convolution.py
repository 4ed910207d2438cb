"""Animate a convolution: the kernel that slides over a picture, and its gradient made of stamped kernels."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from neocog.figures import checks
from neocog.figures.animation import BOTTOM, add_slider
from neocog.figures.image_grid import LINE_HEIGHT, WIDTH, ImageGrid, Rectangles, cells, corners
from neocog.figures.style import FAINT, GREEN, INK, LINE, MUTED, Scale, grey, symmetric
from neocog.figures.style import number as short
from neocog.kernels.geometry import output_size
from neocog.validation import number, pair, sides

MOST = 14  # cells in a row, so that the numbers stay legible on a phone
LARGEST, SMALLEST = 7.0, 5.5  # sides of a cell, in units of the grid
GAP = 8.0  # between two pictures, with room for a sign
PHONE = 3.68  # pixels of a unit of the grid on a page of 400
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
        (i, j): padded[i * sH : i * sH + dH * kH : dH, j * sW : j * sW + dW * kW : dW] for i, j in places
    }
    y = np.array([[(patches[i, j] * w).sum() + bias for j in range(v)] for i in range(h)])

    grid = ImageGrid("A kernel slides over a picture", options(stride, padding, dilation, (H, W), (h, v)))
    side, beside = _side(padded.shape[1], v)
    brightness = grey(x) if x.min() >= 0 else symmetric(x)
    grid.text(f"<b>picture</b>  {H} × {W}" + (", padded" if padded.shape != x.shape else ""), 0, 0)
    _padded_picture(grid, x, borders, 0, LINE_HEIGHT, side, brightness)
    window = grid.outlines(_window((0, 0), (sH, sW), (dH, dW), w.shape, side), GREEN, 3)
    left, top = (padded.shape[1] * side + GAP, 0.0) if beside else (0.0, grid.height + 2.0)
    grid.text(f"<b>output</b>  {h} × {v}", left, top)
    top += LINE_HEIGHT
    output = _numbers(grid, _so_far(y, 0), left, top, side, symmetric(y, label="output"), "output", y)
    here = grid.outlines([(left, top, side, side)], GREEN, 3)

    products = {place: patch * w + 0.0 for place, patch in patches.items()}
    panels = {
        "window": (patches[0, 0], brightness, x),
        "kernel": (w, symmetric(w), w),
        "products": (products[0, 0], symmetric(*products.values()), np.array([*products.values()])),
    }
    shown = _equation(grid, panels, "×=")
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


def stamping(dy: Any, w: Any, *, stride: Any = 1) -> go.Figure:
    """Animate the gradient of a convolution with respect to its picture: each dy stamps its kernel.

    ``dx[i sH + p, j sW + q] += dy[i, j] w[p, q]`` for every i, j, p and q, without padding.

    Parameters
    ----------
    dy : array (H, W)
        The derivative of the loss with respect to the output.
    w : array (kH, kW)
        The kernel.
    stride : int or (int, int)

    Returns
    -------
    plotly Figure
        A frame per number of dy, row by row, named "i, j". It opens at the first.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, or if dx is larger than 14 x 14: too large to show its numbers.

    Examples
    --------
    >>> figure = stamping([[1, -1]], [[2, 1]])
    >>> figure.frames[1].data[1].z.tolist()
    [[2.0, -1.0, -1.0]]
    """
    dy, w = checks.array("dy", dy, 2).astype(float), checks.array("w", w, 2).astype(float)
    sH, sW = pair("stride", stride)
    (H, W), (kH, kW) = dy.shape, w.shape
    dx = np.zeros(((H - 1) * sH + kH, (W - 1) * sW + kW))
    _small("dy", dx, " after stamping")
    stamps, rows, after = {}, {}, {}
    before = dict.fromkeys(np.ndindex(H, W), np.zeros((kH, kW)))
    for i, j in before:
        stamps[i, j] = dy[i, j] * w + 0.0
        rows[i, j] = slice(i * sH, i * sH + kH), slice(j * sW, j * sW + kW)
        before[i, j] = dx[rows[i, j]].copy()
        dx[rows[i, j]] += stamps[i, j]
        after[i, j] = dx.copy()
    grid = ImageGrid(
        "The gradient, stamp by stamp", f"stride {stride}: every dy adds its multiple of the kernel"
    )
    side, beside = _side(W, dx.shape[1])
    grid.text(f"<b>dy</b>  {H} × {W}", 0, 0)
    _numbers(grid, dy, 0, LINE_HEIGHT, side, symmetric(dy), "dy")
    here = grid.outlines([(0, LINE_HEIGHT, side, side)], GREEN, 3)
    left, top = (W * side + GAP, 0.0) if beside else (0.0, grid.height + 2.0)
    grid.text(f"<b>dx</b>  {dx.shape[0]} × {dx.shape[1]}", left, top)
    top += LINE_HEIGHT
    gradient = _numbers(grid, after[0, 0], left, top, side, symmetric(*after.values()), "dx")
    window = grid.outlines(_window((0, 0), (sH, sW), (1, 1), w.shape, side, left, top), GREEN, 3)
    every = np.array([*after.values()])
    scale = symmetric(every, *stamps.values())
    first, patch = stamps[0, 0], rows[0, 0]
    panels = {
        "dy[i, j]": (dy[:1, :1], symmetric(dy), dy),
        "kernel": (w, symmetric(w), w),
        "stamp": (first, scale, np.array([*stamps.values()])),
    }
    shown = _equation(grid, panels, "×=")
    panels = {
        "dx before": (before[0, 0], scale, every),
        "stamp ": (first, scale, np.array([*stamps.values()])),
        "dx after": (after[0, 0][patch], scale, every),
    }
    added = _equation(grid, panels, "+=")
    code = {
        place: f"dx[{r.start}:{r.stop}, {c.start}:{c.stop}] += {short(dy[place])} * w"
        for place, (r, c) in rows.items()
    }
    written = _words(grid, code)
    traces = [here, gradient, window, shown["dy[i, j]"], shown["stamp"], *added.values(), written]
    frames = [
        go.Frame(
            name=f"{i}, {j}",
            traces=traces,
            data=[
                go.Scatter(corners([(j * side, LINE_HEIGHT + i * side, side, side)])),
                go.Heatmap(_written(after[i, j])),
                go.Scatter(corners(_window((i, j), (sH, sW), (1, 1), w.shape, side, left, top))),
                go.Heatmap(_written(dy[i : i + 1, j : j + 1])),
                go.Heatmap(_written(stamps[i, j])),
                go.Heatmap(_written(before[i, j])),
                go.Heatmap(_written(stamps[i, j])),
                go.Heatmap(_written(after[i, j][rows[i, j]])),
                go.Scatter(text=[code[i, j]]),
            ],
        )
        for i, j in stamps
    ]
    return add_slider(grid.finish(bottom=BOTTOM), frames, "dy ")


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
    final: np.ndarray | None = None,
) -> int:
    """Draw an array with its numbers and return the index of its trace.

    NaN is an empty cell; ``final`` are the numbers that frames will write, by default those of ``values``.
    """
    grid.picture(values, x, y, values.shape[1] * side, scale, name, gaps=True)
    trace = grid.figure.data[-1]
    trace.update(**_written(values, final), texttemplate="%{text}")
    if 1 in values.shape:  # Plotly fits letters to cells only where there are several rows and columns
        trace.textfont = {"size": min(13, int(PHONE * side / (0.55 * _longest(values, final))))}
    index = len(grid.figure.data) - 1
    if np.isnan(values).any():
        grid.outlines(cells(x, y, side, np.ones(values.shape, bool)), LINE, 1)
    return index


def _written(values: np.ndarray, final: np.ndarray | None = None) -> dict[str, Any]:
    """Return an array and its numbers as a heat map has them.

    Cells still empty (NaN) are as wide as the longest number of ``final``: letters keep their size.
    """
    empty = "\N{NO-BREAK SPACE}" * _longest(values, final)
    return {"z": values, "text": [[empty if np.isnan(v) else short(v) for v in row] for row in values]}


def _longest(values: np.ndarray, final: np.ndarray | None) -> int:
    return max(len(short(v)) for v in (values if final is None else final).flat)


def _equation(
    grid: ImageGrid, panels: Mapping[str, tuple[np.ndarray, Scale, np.ndarray]], signs: str
) -> dict[str, int]:
    """Draw arrays with signs between them, below everything else, the first one framed.

    A panel is what it shows, its scale and all numbers that frames will write. Returns the indices of traces.
    """
    shapes = [values.shape for values, _, _ in panels.values()]
    side = min(LARGEST, (WIDTH - GAP * len(signs)) / sum(width for _, width in shapes))
    middle = grid.height + 2.5 + LINE_HEIGHT + max(height for height, _ in shapes) * side / 2
    left, found = 0.0, {}
    for k, (name, (values, scale, final)) in enumerate(panels.items()):
        height, width = (side * size for size in values.shape)
        if k:
            grid.text(signs[k - 1], left - GAP / 2, middle, 18, MUTED, "center", "middle")
        top = middle - height / 2
        grid.text(f"<b>{name}</b>", left, top - LINE_HEIGHT)
        found[name] = _numbers(grid, values, left, top, side, scale, name, final)
        if not k:
            grid.outlines([(left, top, width, height)], GREEN, 3)
        left += width + GAP
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
        zeros = cells(left, top, side, padding, inset)
        grid.outlines(zeros, LINE, 1, "dot", FAINT)
        middles = [(cx + cw / 2, cy + ch / 2) for cx, cy, cw, ch in zeros]
        grid.words(["0"] * len(zeros), middles, "middle center", size=12, color=MUTED)


def _window(
    place: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    shape: tuple[int, ...],
    side: float,
    x: float = 0.0,
    y: float = LINE_HEIGHT,
) -> Rectangles:
    """Return the window at an output position: one rectangle, or its cells if dilation leaves gaps.

    (x, y) is the upper left corner of the picture.
    """
    left, top = x + place[1] * stride[1] * side, y + place[0] * stride[0] * side
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
