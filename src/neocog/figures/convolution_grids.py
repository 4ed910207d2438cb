"""Draw what stride, padding and dilation do: the window on the input, and the size of the output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from neocog.figures.checks import mapping
from neocog.figures.image_grid import LINE_HEIGHT, WIDTH, ImageGrid, cells
from neocog.figures.style import BLUE, FAINT, LINE, MUTED, ORANGE
from neocog.kernels.geometry import output_size
from neocog.validation import one_of, pair, sides

OPTIONS = ("stride", "padding", "dilation")
LARGEST, SMALLEST = 4.4, 3.0  # sides of a cell, in units of the grid
GAP = 5.0  # from the input to the output: an arrow
BETWEEN = 4.0  # cases beside each other
DOT = 0.24  # side of a dot, in cells
FILLS = {BLUE: "rgba(0, 114, 178, 0.14)", ORANGE: "rgba(230, 159, 0, 0.16)"}


def convolution_grids(
    cases: Mapping[str, Mapping[str, Any]],
    size: int | tuple[int, int] = 5,
    kernel_size: int | tuple[int, int] = 3,
    title: str = "Where the kernel looks",
) -> go.Figure:
    """Draw the input, the first two positions of the window, and the output of some convolutions.

    Dots are the cells that a position touches, in its colour; its output has the same colour. Padding is
    dashed. An output has ``floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1`` rows.

    Parameters
    ----------
    cases : dict of label to dict
        The options of each convolution: ``stride``, ``padding``, ``dilation``, each as in ``Conv2D``.
    size : int or (int, int)
        Of the input.
    kernel_size : int or (int, int)
    title : str

    Raises
    ------
    ValueError, TypeError
        If a case has another option, or its kernel does not fit into its padded input.

    Examples
    --------
    >>> figure = convolution_grids({"stride 2": {"stride": 2}})
    >>> figure.layout.annotations[0].text
    '<b>stride 2</b>: 5 → 2'
    """
    given = mapping("cases", cases, "of label to options")
    convolutions = {
        str(label): _Convolution(label, found, size, kernel_size) for label, found in given.items()
    }
    widest = max(one.padded[1] + one.output[1] for one in convolutions.values())
    columns = 2 if len(convolutions) > 1 else 1
    side = min(LARGEST, ((WIDTH - BETWEEN) / 2 - GAP) / widest)
    if side < SMALLEST:
        columns, side = 1, min(LARGEST, (WIDTH - GAP) / widest)
    grid = ImageGrid(title, "first position blue, second orange; padding dashed")
    y = 0.0
    for k, (label, one) in enumerate(convolutions.items()):
        if k % columns == 0 and k:
            y = grid.height + 3.0
        one.draw(grid, label, k % columns * (WIDTH + BETWEEN) / 2, y, side)
    return grid.finish()


class _Convolution:
    """Know the geometry of one case and draw it."""

    def __init__(self, label: Any, options: Any, size: Any, kernel_size: Any) -> None:
        name = f"cases[{label!r}]"
        if not isinstance(options, Mapping):
            raise TypeError(f"{name} must be a dict of options, got {type(options).__name__}.")
        for option in options:
            one_of(f"an option of {name}", option, OPTIONS)
        self.size = pair("size", size)
        self.kernel = pair("kernel_size", kernel_size)
        self.stride = pair(f"stride of {name}", options.get("stride", 1))
        self.dilation = pair(f"dilation of {name}", options.get("dilation", 1))
        self.padding = sides(f"padding of {name}", options.get("padding", 0))
        self.padded = tuple(n + sum(border) for n, border in zip(self.size, self.padding, strict=True))
        self.spans = tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True))
        self.output = tuple(
            output_size(*axis)
            for axis in zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        )
        if min(self.output) < 1:
            raise ValueError(
                f"{name} must have a kernel that fits into its padded input of {_words(self.padded)}, got "
                f"one that spans {_words(self.spans)}."
            )

    def draw(self, grid: ImageGrid, label: str, x: float, y: float, side: float) -> None:
        """Draw the input, two positions of the window on it, and the output."""
        grid.text(f"<b>{label}</b>: {_words(self.size)} → {_words(self.output)}", x, y)
        y += LINE_HEIGHT + 0.6
        (above, _), (before, _) = self.padding
        padding = np.pad(np.zeros(self.size, bool), self.padding, constant_values=True)
        if padding.any():
            grid.outlines(
                cells(x, y, side, padding, 0.07 * side), LINE, 1, "dot", FAINT, name=f"{label}, padding"
            )
        inside = cells(x + before * side, y + above * side, side, np.ones(self.size, bool))
        grid.outlines(inside, LINE, 1, name=f"{label}, input")
        grid.reach(y + self.padded[0] * side)

        left = x + self.padded[1] * side + GAP
        places = [
            place for place in ((0, 0), (0, 1) if self.output[1] > 1 else (1, 0)) if self._exists(place)
        ]
        outputs = np.ones(self.output, bool)
        grid.outlines(cells(left, y, side, outputs), LINE, 1, name=f"{label}, output")
        arrow = y + side * min(self.padded[0], self.output[0]) / 2
        grid.text("→", left - GAP / 2, arrow, 16, MUTED, "center", "middle")
        for k, (place, colour) in enumerate(zip(places, (BLUE, ORANGE), strict=False)):
            top, start = (at * step * side for at, step in zip(place, self.stride, strict=True))
            inset = 0.05 * side * (1 + k)
            height, width = (span * side - 2 * inset for span in self.spans)
            window = (x + start + inset, y + top + inset, width, height)
            name = f"{label}, position {k + 1}"
            grid.outlines([window], colour, 2, fill=FILLS[colour], name=name)
            aside = (0.18 if k else -0.18) * (len(places) > 1)  # a cell may be touched twice
            corner = (0.5 + aside - DOT / 2) * side
            touched = [
                (
                    x + start + q * self.dilation[1] * side + corner,
                    y + top + p * self.dilation[0] * side + corner,
                )
                for p in range(self.kernel[0])
                for q in range(self.kernel[1])
            ]
            dots = [(*place, DOT * side, DOT * side) for place in touched]
            grid.outlines(dots, colour, 1, fill=colour, name=f"{name}, touches")
            cell = (left + place[1] * side, y + place[0] * side, side, side)
            grid.outlines([cell], colour, 1, fill=colour, name=f"{name}, output")
        grid.reach(y + self.output[0] * side)

    def _exists(self, place: tuple[int, int]) -> bool:
        return all(at < n for at, n in zip(place, self.output, strict=True))


def _words(size: tuple[int, ...]) -> str:
    """Return "5" of a square, "5 × 4" of a rectangle."""
    return str(size[0]) if size[0] == size[1] else f"{size[0]} × {size[1]}"
