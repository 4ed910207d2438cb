"""Arrange many small images on one pair of axes, so that every pixel is square at any width.

The grid is 100 units wide; y grows downwards. Titles and bars have the same units.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import plotly.graph_objects as go

from neocog.figures.pixels import as_picture
from neocog.figures.style import INK, LINE, MUTED, Scale, new_figure, number

WIDTH = 100.0
PIXELS = 6.7  # a unit, on a page of about 700 pixels
LINE_HEIGHT = 4.3  # of a line of text, also on a narrow page
BAR_WIDTH, BAR_HEIGHT = 36.0, 7.6  # of the colour bar
BAR_PITCH = 5.0  # of horizontal bars, whose names must not touch on a narrow page
LETTERS = 58  # in a line of the subtitle, on a narrow page
MOST_HOVER = 64 * 64  # pixels of a picture whose row and column are shown on hovering
OF_PIXELS = ("heatmap", "image")  # traces
MOST_NUMBERS = 12_000  # pixels of a figure that are kept as numbers; larger figures hold pictures

Rectangles: TypeAlias = Iterable[tuple[float, float, float, float]]
"""Left, top, width and height of each, in units of the grid."""


class ImageGrid:
    """Build a figure of many images; :meth:`finish` returns it."""

    def __init__(self, title: str, subtitle: str = "") -> None:
        lines = textwrap.wrap(subtitle, LETTERS)
        self.figure = new_figure(title, "<br>".join(lines))
        self.top = 54.0 + (22.0 + 17.0 * (len(lines) - 1) if lines else 0.0)
        self.height = 0.0
        self._offset = 0.0
        self._scale: Scale | None = None
        self._shapes: list[dict[str, Any]] = []
        self._notes: list[dict[str, Any]] = []

    def picture(
        self,
        image: np.ndarray,
        x: float,
        y: float,
        width: float,
        scale: Scale,
        name: str = "",
        values: str = "",
        frame: str = LINE,
        gaps: bool = False,
        height: float | None = None,
        hover: bool = True,
    ) -> float:
        """Draw an image (H, W) or (3, H, W) and return its height in the grid.

        Parameters
        ----------
        image : array
        x, y, width : float
            Place of its upper left corner and its size.
        scale : Scale
        name : str
            Shown on hovering.
        values : str
            Number format, to write the value in each pixel.
        frame : str
            Colour of the line around it; a strong colour makes a strong line; "" for none.
        gaps : bool
            Leave a thin gap between pixels.
        height : float
            Default: pixels are square.
        hover : bool
            Show each pixel's row, column and value on hovering.
        """
        H, W = image.shape[-2:]
        dx = width / W
        dy = dx if height is None else height / H
        place = {"x0": x + dx / 2, "dx": dx, "y0": self._offset + y + dy / 2, "dy": dy}
        if image.ndim == 3:
            span = scale.high - scale.low
            z = np.clip((image - scale.low) / span * 255, 0, 255).astype(np.uint8).transpose(1, 2, 0)
            self.figure.add_trace(go.Image(z=z, name=name, hovertemplate="%{z}<extra></extra>", **place))
        else:
            text = f"{name}<br>" if name else ""
            where = None
            if hover and H * W <= MOST_HOVER:
                where = [[f"row {i}, column {j}" for j in range(W)] for i in range(H)]
                text += "%{hovertext}<br>"
            self.figure.add_trace(
                go.Heatmap(
                    z=image,
                    name=name,
                    hovertext=where,
                    hovertemplate=text + "%{z:.4g}<extra></extra>",
                    texttemplate=f"%{{z:{values}}}" if values else None,
                    showscale=False,
                    xgap=1 if gaps else 0,
                    ygap=1 if gaps else 0,
                    **scale.settings,
                    **place,
                )
            )
        if frame:
            self.frame(x, y, W * dx, H * dy, frame, 1 if frame == LINE else 2.5)
        self.reach(y + H * dy)
        return float(H * dy)

    def frame(
        self, x: float, y: float, width: float, height: float, colour: str = LINE, line: float = 1
    ) -> None:
        """Draw a rectangle."""
        y += self._offset
        corners = {"x0": x, "x1": x + width, "y0": y, "y1": y + height}
        self._shapes.append({"type": "rect", **corners, "line": {"color": colour, "width": line}})

    def outlines(
        self,
        rectangles: Rectangles,
        colour: str,
        line: float = 2.5,
        dash: str = "solid",
        fill: str | None = None,
        name: str = "",
    ) -> int:
        """Draw rectangles as one trace, which frames can move, and return its index."""
        return self._trace(
            go.Scatter(
                **corners(rectangles, self._offset),
                name=name,
                mode="lines",
                line={"color": colour, "width": line, "dash": dash},
                fill="toself" if fill else None,
                fillcolor=fill,
                hoverinfo="skip",
                showlegend=False,
            )
        )

    def words(
        self, texts: Sequence[str], places: Sequence[tuple[float, float]], position: str, **font: Any
    ) -> int:
        """Write texts as one trace, which frames can change, and return its index."""
        return self._trace(
            go.Scatter(
                x=[x for x, _ in places],
                y=[self._offset + y for _, y in places],
                text=list(texts),
                mode="text",
                textposition=position,
                textfont=font,
                cliponaxis=False,
                hoverinfo="skip",
                showlegend=False,
            )
        )

    def dots(
        self, places: Sequence[tuple[float, float]], size: float, colours: Any, name: str = "", **more: Any
    ) -> int:
        """Draw discs of a size in pixels as one trace and return its index."""
        return self._trace(
            go.Scatter(
                x=[x for x, _ in places],
                y=[self._offset + y for _, y in places],
                name=name,
                marker={"size": size, "color": colours, "opacity": 1},
                hoverinfo="skip",
                showlegend=False,
                **{"mode": "markers"} | more,
            )
        )

    def lines(
        self, ends: Iterable[tuple[float, float, float, float]], colour: str, width: float, name: str = ""
    ) -> int:
        """Draw lines from (x0, y0) to (x1, y1) as one trace and return its index."""
        xs: list[float | None] = []
        ys: list[float | None] = []
        for x0, y0, x1, y1 in ends:
            xs += [x0, x1, None]
            ys += [self._offset + y0, self._offset + y1, None]
        return self._trace(
            go.Scatter(
                x=xs,
                y=ys,
                name=name,
                mode="lines",
                line={"color": colour, "width": width},
                hoverinfo="skip",
                showlegend=False,
            )
        )

    def _trace(self, trace: Any) -> int:
        self.figure.add_trace(trace)
        return len(self.figure.data) - 1

    def text(
        self,
        words: str,
        x: float,
        y: float,
        size: float = 12,
        colour: str = INK,
        anchor: str = "left",
        valign: str = "line",
    ) -> None:
        """Write a text; ``anchor`` and ``valign`` select which of its points is at (x, y).

        With ``valign="line"`` it is at the bottom of a line that begins at y: a heading of the part drawn at
        ``y + LINE_HEIGHT``.
        """
        if valign == "line":
            y, valign = y + LINE_HEIGHT, "bottom"
        font = {"size": size, "color": colour}
        place = {"x": x, "y": self._offset + y, "xanchor": anchor, "yanchor": valign}
        align = {"left": "left", "right": "right"}.get(anchor, "center")
        self._notes.append({"text": words, "showarrow": False, "font": font, "align": align, **place})
        lines = 1 + words.count("<br>")
        self.reach(y + LINE_HEIGHT * {"top": lines, "middle": lines / 2}.get(valign, 0))

    def bars(
        self,
        values: np.ndarray,
        names: list[str],
        texts: list[str],
        x: float,
        y: float,
        width: float,
        colours: list[str],
        labels: float = 18,
        limit: float | None = None,
        numbers: float = 13,
        size: float = 12,
    ) -> None:
        """Draw horizontal bars with their names at the left and their values at the ends.

        The values themselves are the trace's ``customdata``. Negative bars extend left from zero. ``labels``
        is the width of the names and ``size`` their size, ``numbers`` is the width of a number, ``limit`` the
        value of the longest bar.
        """
        pitch = BAR_PITCH
        low, high = min(0.0, float(values.min())), limit or max(0.0, float(values.max()))
        sides = (low < 0) + (high > 0)  # where numbers are written
        left = x + labels + (numbers if low < 0 else 0)
        unit = (width - labels - numbers * max(sides, 1)) / ((high - low) or 1.0)
        zero = left - low * unit
        middles = [y + pitch * (k + 0.5) for k in range(len(values))]
        self.figure.add_trace(
            go.Bar(
                orientation="h",
                base=[zero] * len(values),
                x=values * unit,
                y=[self._offset + middle for middle in middles],
                width=pitch * 0.72,
                marker={"color": colours, "line": {"width": 0}},
                customdata=values,
                hovertext=names,
                hovertemplate="%{hovertext}: %{customdata:.6g}<extra></extra>",
                showlegend=False,
            )
        )
        for value, name, text, middle in zip(values, names, texts, middles, strict=True):
            end, side = zero + float(value) * unit, "right" if value < 0 else "left"
            if labels:
                self.text(name, x, middle, size, anchor="left", valign="middle")
            self.text(
                text, end + (-0.8 if value < 0 else 0.8), middle, 11.5, MUTED, anchor=side, valign="middle"
            )
        bottom = y + pitch * len(values)
        self.frame(zero, y, 0, bottom - y)
        self.reach(bottom)

    def _pack(self) -> None:
        """Turn pixels into PNG pictures if there are many of them."""
        traces = self.figure.data
        pixels = {k: np.shape(t.z)[0] * np.shape(t.z)[1] for k, t in enumerate(traces) if t.type in OF_PIXELS}
        if sum(pixels.values()) <= MOST_NUMBERS:
            return
        written = {k for k, t in enumerate(traces) if t.type == "heatmap" and t.texttemplate}
        packed = [as_picture(t) if k in pixels and k not in written else t for k, t in enumerate(traces)]
        self.figure.data = []
        self.figure.add_traces(packed)

    def colour_bar(self, scale: Scale) -> None:
        """Show a colour bar above everything else."""
        self._scale = scale
        self._offset = BAR_HEIGHT

    def strip(self, scale: Scale, x: float, y: float, width: float) -> None:
        """Draw the colours of a scale from its low end to its high one."""
        steps = np.linspace(scale.low, scale.high, 65)[None]
        self.picture(steps, x, y, width, scale, scale.label, height=1.6, hover=False)

    def _draw_scale(self, scale: Scale) -> None:
        self._offset = 0.0
        self.strip(scale, 0, 0.3, BAR_WIDTH)
        middle = (scale.low + scale.high) / 2
        for at, value, anchor in (
            (0.0, scale.low, "left"),
            (0.5, middle, "center"),
            (1.0, scale.high, "right"),
        ):
            self.text(number(value), at * BAR_WIDTH, 1.9, 11, MUTED, anchor, "top")
        self.text(scale.label, BAR_WIDTH + 2.0, 1.1, 12, valign="middle")

    def reach(self, y: float) -> None:
        """Make the grid at least this high."""
        self.height = max(self.height, self._offset + y)

    def finish(self, bottom: float = 16, numbers: bool = False) -> go.Figure:
        """Return the figure.

        ``numbers`` keeps all pixels as numbers, for frames to change. Otherwise those of a large figure
        become PNG pictures in its file, with a hundredth of the bytes.
        """
        if self._scale is not None:
            self._draw_scale(self._scale)
        if not numbers:
            self._pack()
        hidden = {"visible": False, "fixedrange": True, "constrain": "domain"}
        self.figure.update_layout(
            height=round(self.height * PIXELS + self.top + bottom),
            margin={"l": 16, "r": 16, "t": self.top, "b": bottom, "autoexpand": False},
            xaxis={**hidden, "range": [-0.4, WIDTH + 0.4], "constraintoward": "left"},
            yaxis={
                **hidden,
                "range": [self.height + 0.4, -0.4],
                "constraintoward": "top",
                "scaleanchor": "x",
            },
            shapes=self._shapes,
            annotations=self._notes,
            meta={"height": self.height + 0.8, "edges": self.top + bottom},
            dragmode=False,
            barmode="overlay",
        )
        return self.figure


def corners(rectangles: Rectangles, offset: float = 0.0) -> dict[str, list[float | None]]:
    """Return the x and y of the outlines of rectangles, with a gap after each.

    Examples
    --------
    >>> corners([(0, 0, 2, 1)])
    {'x': [0, 2, 2, 0, 0, None], 'y': [0.0, 0.0, 1.0, 1.0, 0.0, None]}
    """
    xs: list[float | None] = []
    ys: list[float | None] = []
    for x, y, width, height in rectangles:
        top, bottom = offset + y, offset + y + height
        xs += [x, x + width, x + width, x, x, None]
        ys += [top, top, bottom, bottom, top, None]
    return {"x": xs, "y": ys}


def cells(
    x: float, y: float, side: float, where: np.ndarray, inset: float = 0.0
) -> list[tuple[float, float, float, float]]:
    """Return the cells of a grid where a mask is true."""
    inner = side - 2 * inset
    return [
        (x + j * side + inset, y + i * side + inset, inner, inner) for i, j in np.argwhere(where).tolist()
    ]


def tiles(columns: int, gap: float, widest: float = WIDTH, left: float = 0.0) -> tuple[list[float], float]:
    """Return the left edges and the width of ``columns`` pictures side by side."""
    width = min((WIDTH - left - gap * (columns - 1)) / columns, widest)
    return [left + k * (width + gap) for k in range(columns)], width


def flat(image: np.ndarray) -> np.ndarray:
    """Drop the channel axis where there is one channel."""
    found: np.ndarray = image[0] if len(image) == 1 else image
    return found
