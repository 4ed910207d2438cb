"""Draw the frame of a figure: its axes, within margins that leave room for their labels."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from neocog.figures.still.axes import Axis, same_scale
from neocog.figures.still.svg import FAINT, INK, LINE, MUTED, Canvas, text_width


class Frame(Canvas):
    """Give a figure of a width its height, its margins (``sides``) and its ``axes`` by name."""

    def __init__(self, figure: go.Figure, width: int) -> None:
        super().__init__()
        self.figure, self.layout, self.width = figure, figure.layout, width
        board = self.layout.meta or {}
        self.height = float(self.layout.height or 420)
        if "edges" in board:  # as on a page of this width
            high = board["height"] * (width - 32) / 100.8 + board["edges"]
            self.height = min(high, board.get("most", high))
        self.sides = {"l": 60.0, "r": 16.0, "t": 72.0, "b": 46.0}
        for margin in (self.layout.template.layout.margin, self.layout.margin):
            self.sides |= {side: float(margin[side]) for side in self.sides if margin[side] is not None}
        self.axes = {name: self._axis(name) for letter in "xy" for name in self._names(letter)}
        self._place()

    def _names(self, letter: str) -> list[str]:
        return sorted({getattr(t, f"{letter}axis") or letter for t in self.figure.data} | {letter})

    def _axis(self, name: str) -> Axis:
        letter = name[0]
        traces = [t for t in self.figure.data if (getattr(t, f"{letter}axis") or letter) == name]
        return Axis.of(letter, self.layout[f"{letter}axis{name[1:]}"], traces)

    def _place(self) -> None:
        """Give the axes their pixels: within margins that leave room for labels."""
        room = self.sides
        for name, axis in self.axes.items():
            if axis.settings.visible is False or self.layout.margin.autoexpand is False:
                continue
            labels = [text_width(label, 12) for _, label in axis.ticks()]
            extra = 22.0 if axis.settings.title.text else 0.0
            if name[0] == "y":
                room["l"] = max(room["l"], 14.0 + max(labels, default=0.0) + extra)
            else:
                room["b"] = max(room["b"], 30.0 + extra + self._slant(labels))
        left, right = room["l"], self.width - room["r"]
        top, bottom = room["t"], self.height - room["b"]
        for name, axis in self.axes.items():
            first, last = axis.settings.domain or (0, 1)
            if name[0] == "x":
                axis.start, axis.end = left + first * (right - left), left + last * (right - left)
            else:
                axis.start, axis.end = bottom - first * (bottom - top), bottom - last * (bottom - top)
        if self.axes["y"].settings.scaleanchor == "x":
            same_scale(self.axes["x"], self.axes["y"])

    def _slant(self, labels: list[float]) -> float:
        """Return the height that labels of these widths need if turned, 0 if they stand side by side."""
        room = (self.width - self.sides["l"] - self.sides["r"]) / max(len(labels), 1)
        return max(labels) if labels and max(labels) > room else 0.0

    def draw_axes(self) -> None:
        for name, axis in self.axes.items():
            if axis.settings.visible is not False:
                self._draw_axis(name[0], axis)

    def _draw_axis(self, letter: str, axis: Axis) -> None:
        """Draw grid, line, labels and title of an axis."""
        settings, across = axis.settings, "y" if letter == "x" else "x"
        other = self.axes.get(settings.anchor or across) or self.axes[across]
        edge, far = other.start, other.end
        grid = settings.showgrid is not False and not axis.names
        size = settings.tickfont.size or 12
        colour = settings.tickfont.color or MUTED
        labels = axis.ticks()
        turned = letter == "x" and self._slant([text_width(label, size) for _, label in labels]) > 0
        deepest = 0.0
        for at, label in labels:
            place, wide = axis.place(at), text_width(label, size)
            if letter == "x":
                if grid:
                    self.line([(place, edge), (place, far)], FAINT, 1)
                self.text(label, place, edge + 18, size, colour, "end" if turned else "middle", turned=turned)
                deepest = max(deepest, wide if turned else 16)
            else:
                if grid:
                    self.line([(edge, place), (far, place)], FAINT, 1)
                self.text(label, edge - 8, place + size * 0.35, size, colour, "end")
                deepest = max(deepest, wide)
        if settings.showline is not False:
            ends: list[tuple[Any, Any]] = [(axis.start, edge), (axis.end, edge)]
            self.line(ends if letter == "x" else [(y, x) for x, y in ends], LINE, 1)
        if settings.title.text:
            middle = (axis.start + axis.end) / 2
            if letter == "x":
                self.text(settings.title.text, middle, edge + deepest + 22, 13, INK, "middle")
            else:
                x = edge - deepest - 20
                self.text(settings.title.text, x, middle, 13, INK, "middle", turned=True)
