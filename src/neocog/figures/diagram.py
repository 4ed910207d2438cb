"""Draw boxes and arrows on one pair of axes whose unit is a pixel.

A diagram is as wide as a narrow page and stays so on a wide one: text and boxes always have the same
proportions. y grows downwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from neocog.figures.style import INK, LINE, MUTED, new_figure

WIDTH = 366.0  # of a diagram; what a page 400 pixels wide leaves
LINE_HEIGHT = 17.0
RADIUS = 8.0  # of the corners of a box
HEAD = 12.0  # length of the last, straight piece of an arrow
CHARACTER = 0.56  # width of a letter, in parts of the font size

Point = tuple[float, float]
Words = tuple[str, float, str]
"""A line of text, its size and its colour."""


class Diagram:
    """Build a figure of boxes and arrows; :meth:`finish` returns it."""

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.figure = new_figure(title, subtitle)
        self.top = 80.0 if subtitle else 56.0
        self.height = 0.0
        self._shapes: list[dict[str, Any]] = []
        self._notes: list[dict[str, Any]] = []
        self._hover: list[tuple[float, float, str, Any]] = []

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        lines: Sequence[Words],
        hover: str,
        data: Any = None,
        fill: str = "white",
        border: str = LINE,
    ) -> None:
        """Draw a rounded box around the middle of whose top edge is at (x, y), with lines of text in it.

        ``hover`` is shown on hovering; ``data`` is kept in the figure beside it.
        """
        self._rounded(x - width / 2, y, width, height, fill, border)
        first = y + (height - LINE_HEIGHT * (len(lines) - 1)) / 2
        for k, (words, size, colour) in enumerate(lines):
            self.text(words, x, first + k * LINE_HEIGHT, size, colour)
        self._hover.append((x, y + height / 2, hover, data))
        self.height = max(self.height, y + height)

    def _rounded(self, x: float, y: float, width: float, height: float, fill: str, border: str) -> None:
        r, right, bottom = min(RADIUS, height / 2), x + width, y + height
        path = (
            f"M {x + r},{y} L {right - r},{y} Q {right},{y} {right},{y + r} L {right},{bottom - r} "
            f"Q {right},{bottom} {right - r},{bottom} L {x + r},{bottom} Q {x},{bottom} {x},{bottom - r} "
            f"L {x},{y + r} Q {x},{y} {x + r},{y} Z"
        )
        self._shapes.append(
            {"type": "path", "path": path, "fillcolor": fill, "line": {"color": border, "width": 1.3}}
        )

    def text(
        self,
        words: str,
        x: float,
        y: float,
        size: float = 12,
        colour: str = INK,
        anchor: str = "center",
        background: str | None = None,
    ) -> None:
        """Write a line of text around the height y."""
        place = {"x": x, "y": y, "xanchor": anchor, "yanchor": "middle"}
        font = {"size": size, "color": colour}
        self._notes.append(
            {"text": words, "showarrow": False, "font": font, "bgcolor": background, "borderpad": 1, **place}
        )

    def arrow(self, points: Sequence[Point], colour: str = MUTED) -> None:
        """Draw an arrow through points, each lower than the last; it leaves and meets them downwards."""
        x1, y1 = points[-1]
        path = f"M {points[0][0]},{points[0][1]}"
        ends = [*points[1:-1], (x1, y1 - HEAD)]
        for (a, b), (c, d) in zip(points, ends, strict=False):
            middle = (b + d) / 2
            path += f" L {c},{d}" if a == c else f" C {a},{middle} {c},{middle} {c},{d}"
        path += f" L {x1},{y1 - HEAD / 2}"
        self._line(path, colour)
        self._head(x1, y1, 0, HEAD, colour)

    def arc(self, start: Point, lane: float, end: Point, colour: str = MUTED) -> None:
        """Draw an arrow that leaves to the right, leads down at x = lane, and comes back to the left."""
        (x0, y0), (x1, y1), r = start, end, RADIUS
        path = (
            f"M {x0},{y0} L {lane - r},{y0} Q {lane},{y0} {lane},{y0 + r} L {lane},{y1 - r} "
            f"Q {lane},{y1} {lane - r},{y1} L {x1 + HEAD / 2},{y1}"
        )
        self._line(path, colour)
        self._head(x1, y1, -HEAD, 0, colour)

    def circle(self, x: float, y: float, radius: float, words: str) -> None:
        """Draw a circle around a point, with a text in it."""
        self._rounded(x - radius, y - radius, 2 * radius, 2 * radius, "white", MUTED)
        self.text(words, x, y, 13)

    def _line(self, path: str, colour: str) -> None:
        line = {"color": colour, "width": 1.4}
        self._shapes.append({"type": "path", "path": path, "line": line, "layer": "below"})

    def _head(self, x: float, y: float, dx: float, dy: float, colour: str) -> None:
        """Draw the head of an arrow that reaches (x, y) in the direction (dx, dy)."""
        tail = {"ax": x - dx, "ay": y - dy, "axref": "x", "ayref": "y", "text": ""}
        head = {"arrowhead": 2, "arrowsize": 1.0, "arrowwidth": 1.4, "arrowcolor": colour}
        self._notes.append({"x": x, "y": y, **tail, **head})

    def finish(self, width: float = WIDTH) -> go.Figure:
        """Return the figure."""
        x, y, hover, data = zip(*self._hover, strict=True)
        self.figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                mode="markers",
                marker={"size": 28, "opacity": 0},
                customdata=data,
                hovertext=hover,
                hovertemplate="%{hovertext}<extra></extra>",
                showlegend=False,
            )
        )
        bottom = 16
        hidden = {"visible": False, "fixedrange": True, "constrain": "domain"}
        height = round(self.height + 4 + self.top + bottom)
        self.figure.update_layout(
            height=height,
            margin={"l": 16, "r": 16, "t": self.top, "b": bottom, "autoexpand": False},
            xaxis={**hidden, "range": [-1, width + 1]},
            yaxis={
                **hidden,
                "range": [self.height + 2, -2],
                "constraintoward": "top",
                "scaleanchor": "x",
            },
            shapes=self._shapes,
            annotations=self._notes,
            meta={
                "height": (self.height + 4) * 100.8 / (width + 2),
                "edges": self.top + bottom,
                "most": height,  # its texts do not grow
            },
            dragmode=False,
        )
        return self.figure


def text_width(words: str, size: float) -> float:
    """Return about how many pixels a text is wide."""
    return len(words) * size * CHARACTER


def along(start: Point, end: Point, t: float) -> Point:
    """Return a point of the arrow from one point to another; t is in 0..1."""
    (x0, y0), (x1, y1) = start, end
    return x0 + (x1 - x0) * (3 - 2 * t) * t**2, y0 + (y1 - y0) * (1.5 * t * (1 - t) + t**3)
