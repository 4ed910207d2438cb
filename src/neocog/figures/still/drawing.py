"""Draw what a figure holds: traces, shapes, annotations, legend and title."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from neocog.figures.pixels import colour_pixels, png
from neocog.figures.still.axes import Axis, one
from neocog.figures.still.frame import Frame
from neocog.figures.still.svg import INK, LINE, MUTED, PALETTE, Points, css, path, text_width


class Drawing(Frame):
    """Draw a figure from the back to the front."""

    def finish(self) -> str:
        """Return the document."""
        self.draw_axes()
        self._shapes(below=True)
        seen = [trace for trace in self.figure.data if trace.visible in (None, True)]
        for k, trace in enumerate(seen):
            getattr(self, f"_{trace.type}")(trace, PALETTE[k % len(PALETTE)])
        self._shapes(below=False)
        for note in self.layout.annotations:
            self._note(note)
        self._legend(seen)
        title = self.layout.title
        if title.text:
            self.text(title.text, 16, 28, 17, INK, "start", bold=True)
        if title.subtitle.text:
            self.text(title.subtitle.text, 16, 50, 12.5, MUTED)
        return self.document(self.width, self.height)

    # Traces

    def _of(self, trace: Any) -> tuple[Axis, Axis]:
        return self.axes[trace.xaxis or "x"], self.axes[trace.yaxis or "y"]

    def _heatmap(self, trace: Any, _: str) -> None:
        shown = trace
        z = np.asarray(trace.z, float)
        if trace.zmin is None or not trace.colorscale:
            shown = go.Heatmap(
                z=z,
                zmin=float(np.nanmin(z)) if trace.zmin is None else trace.zmin,
                zmax=float(np.nanmax(z)) if trace.zmax is None else trace.zmax,
                colorscale=trace.colorscale or [(0, "#ffffff"), (1, "#0b5a8c")],
            )
        self._pixels(trace, colour_pixels(shown), sharp=trace.type == "heatmap")
        if trace.type == "heatmap" and trace.texttemplate:
            self._values(trace, colour_pixels(shown))

    _contour = _heatmap

    def _image(self, trace: Any, _: str) -> None:
        self._pixels(trace, None if trace.source else np.asarray(trace.z, np.uint8), source=trace.source)

    def _pixels(
        self, trace: Any, pixels: np.ndarray | None, sharp: bool = True, source: str | None = None
    ) -> None:
        (x0, x1), (y0, y1) = (self._edges(trace, letter, pixels, source) for letter in "xy")
        if y0 > y1 and pixels is not None:  # y grows upwards
            pixels = pixels[::-1]
        if x0 > x1 and pixels is not None:
            pixels = pixels[:, ::-1]
        style = ' style="image-rendering: pixelated"' if sharp else ""
        source = png(pixels) if pixels is not None else source
        self.parts.append(
            f'<image x="{min(x0, x1):.1f}" y="{min(y0, y1):.1f}" width="{abs(x1 - x0):.1f}" '
            f'height="{abs(y1 - y0):.1f}" preserveAspectRatio="none"{style} href="{source}"/>'
        )

    def _edges(
        self, trace: Any, letter: str, pixels: np.ndarray | None, source: str | None
    ) -> tuple[float, float]:
        """Return the outer edges of pixels along an axis."""
        axis = self._of(trace)[letter == "y"]
        count = pixels.shape[letter == "x"] if pixels is not None else _size(source or "")[letter == "y"]
        centres = getattr(trace, letter, None)
        if centres is not None and len(centres) > 1:
            first, step = axis(centres[0]), (axis(centres[-1]) - axis(centres[0])) / (len(centres) - 1)
        else:
            start, width = getattr(trace, f"{letter}0"), getattr(trace, f"d{letter}")
            start, width = 0.0 if start is None else float(start), 1.0 if width is None else float(width)
            first, step = axis(start), axis(start + width) - axis(start)
        return first - step / 2, first + (count - 0.5) * step

    def _values(self, trace: Any, pixels: np.ndarray) -> None:
        """Write a value, or a text, in each pixel."""
        (x0, x1), (y0, y1) = (self._edges(trace, letter, pixels, None) for letter in "xy")
        H, W = pixels.shape[:2]
        form = re.search(r"%\{z:(.*?)\}", trace.texttemplate)
        size = trace.textfont.size or max(6.0, min(12.0, abs(x1 - x0) / W * 0.3))
        for i in range(H):
            for j in range(W):
                value = trace.z[i][j] if form else trace.text[i][j]
                words = f"{value:{form[1].replace('~', '')}}" if form else str(value)
                light = pixels[i, j, :3] @ np.array([0.3, 0.59, 0.11]) > 130
                x, y = x0 + (j + 0.5) * (x1 - x0) / W, y0 + (i + 0.5) * (y1 - y0) / H
                self.text(words, x, y + size * 0.35, size, INK if light else "#ffffff", "middle")

    def _scatter(self, trace: Any, colour: str) -> None:
        horizontal, vertical = self._of(trace)
        ys = trace.y if trace.y is not None else []
        xs = trace.x if trace.x is not None else range(len(ys))
        points = [
            (math.nan, math.nan) if x is None or y is None else (horizontal(x), vertical(y))
            for x, y in zip(xs, ys, strict=False)
        ]
        mode = trace.mode or "lines+markers"
        opacity = 1.0 if trace.opacity is None else trace.opacity
        shade = trace.line.color or one(trace.marker.color) or colour
        if trace.fill and trace.fill != "none":
            fill = trace.fillcolor or shade
            area = points if trace.fill == "toself" else [*points, *_floor(points, vertical(0))]
            for piece in _pieces(area):
                self.area(path(piece) + "Z", fill, f' fill-opacity="{opacity}"')
        width = 2.0 if trace.line.width is None else trace.line.width
        if "lines" in mode and width:
            for piece in _pieces(points):
                self.line(piece, shade, width, trace.line.dash, opacity)
        if "markers" in mode:
            self._markers(trace, points, colour, opacity)
        if "text" in mode and trace.text is not None:
            self._texts(trace, points)

    def _markers(self, trace: Any, points: Points, colour: str, opacity: float) -> None:
        marker = trace.marker
        if marker.opacity == 0:
            return
        for k, (x, y) in enumerate(points):
            if not (math.isfinite(x) and math.isfinite(y)):
                continue
            found = one(marker.color, k)
            shade = found if isinstance(found, str) else trace.line.color or colour
            radius = (one(marker.size, k) or 6) / 2
            seen = opacity * (1.0 if marker.opacity is None else one(marker.opacity, k))
            place = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"'
            self.parts.append(f'<circle {place} fill="{css(shade)}" opacity="{seen:.3g}"/>')

    def _texts(self, trace: Any, points: Points) -> None:
        size, colour = trace.textfont.size or 12, trace.textfont.color or INK
        for k, (x, y) in enumerate(points):
            words, position = one(trace.text, k), one(trace.textposition, k) or "middle center"
            anchor = "start" if "right" in position else "end" if "left" in position else "middle"
            dy = {"t": -4.0, "b": one(size, k) + 2.0}.get(position[0], one(size, k) * 0.35)
            if words and math.isfinite(x) and math.isfinite(y):
                self.text(str(words), x, y + dy, one(size, k), one(colour, k), anchor)

    def _bar(self, trace: Any, colour: str) -> None:
        flat = trace.orientation == "h"
        along, across = self._of(trace) if flat else self._of(trace)[::-1]
        lengths, places = (trace.x, trace.y) if flat else (trace.y, trace.x)
        places = range(len(lengths)) if places is None else places
        mates = [
            t
            for t in self.figure.data
            if t.type == "bar" and (t.xaxis, t.yaxis) == (trace.xaxis, trace.yaxis)
        ]
        grouped = self.layout.barmode in (None, "group") and len(mates) > 1
        share, shift = 0.8, 0.0
        if grouped:
            share = 0.65 / len(mates)
            shift = (mates.index(trace) - (len(mates) - 1) / 2) * share
        for k, (length, place) in enumerate(zip(lengths, places, strict=False)):
            width = one(trace.width, k) or share
            middle, base = across.number(place) + shift, float(one(trace.base, k) or 0.0)
            sides = [across(middle - width / 2), across(middle + width / 2)]
            ends = [along.start if along.log else along(base), along(base + float(length))]
            x, y = (ends, sides) if flat else (sides, ends)
            self.rectangle(x, y, one(trace.marker.color, k) or colour)
            if trace.text is not None:
                self._beside(trace, k, x, y, flat)

    def _beside(self, trace: Any, k: int, x: list[float], y: list[float], flat: bool) -> None:
        """Write the text of a bar at its end."""
        inside = one(trace.textposition, k) == "inside"
        words = str(one(trace.text, k))
        if flat:
            end, anchor = (max(x) - 6, "end") if inside else (max(x) + 6, "start")
            self.text(words, end, sum(y) / 2 + 4, 12, "#ffffff" if inside else INK, anchor)
        else:
            self.text(words, sum(x) / 2, min(y) - 5, 12, INK, "middle")

    # What lies over and under them

    def _shapes(self, below: bool) -> None:
        for shape in self.layout.shapes:
            if (shape.layer == "below") == below:
                self._shape(shape)

    def _shape(self, shape: Any) -> None:
        def x(value: float) -> float:
            return self._at(shape.xref, "x", value)

        def y(value: float) -> float:
            return self._at(shape.yref, "y", value)

        line, fill = shape.line, shape.fillcolor or "none"
        colour, width = line.color or LINE, 2 if line.width is None else line.width
        stroke = f' stroke="{css(colour)}" stroke-width="{width}"'
        if shape.type == "path":
            numbers = iter(re.findall(r"-?[\d.]+(?:e-?\d+)?|[A-Za-z]", shape.path))
            words = [
                word if word.isalpha() else f"{x(float(word)):.1f},{y(float(next(numbers))):.1f}"
                for word in numbers
            ]
            self.area(" ".join(words), fill, stroke)
            return
        xs, ys = (x(shape.x0), x(shape.x1)), (y(shape.y0), y(shape.y1))
        if shape.type == "line":
            self.line(list(zip(xs, ys, strict=True)), colour, width, line.dash)
        else:
            self.rectangle(xs, ys, fill, stroke)

    def _at(self, reference: str | None, letter: str, value: Any) -> float:
        reference = reference or letter
        if reference == "paper":
            room = self.sides
            if letter == "x":
                return float(room["l"] + value * (self.width - room["l"] - room["r"]))
            return float(self.height - room["b"] - value * (self.height - room["t"] - room["b"]))
        name = reference.split()[0]
        axis = self.axes.get(name) or self.axes[letter]
        if reference.endswith("domain"):
            return float(axis.start + value * (axis.end - axis.start))
        return axis(value)

    def _note(self, note: Any) -> None:
        x, y = self._at(note.xref, "x", note.x), self._at(note.yref, "y", note.y)
        if note.axref not in (None, "pixel") and note.showarrow is not False:
            tail = self._at(note.axref, "x", note.ax), self._at(note.ayref, "y", note.ay)
            self._arrow(tail, (x, y), note.arrowcolor or MUTED)
        if not note.text:
            return
        x, y = x + (note.xshift or 0), y - (note.yshift or 0)
        size = note.font.size or 12
        lines = note.text.split("<br>")
        high = 1.3 * size
        anchor = {"left": "start", "right": "end"}.get(note.xanchor, "middle")
        first = y + {"top": size + 1, "bottom": -0.3 * size - (len(lines) - 1) * high}.get(
            note.yanchor, 0.35 * size - (len(lines) - 1) * high / 2
        )
        self.text(note.text, x, first, size, note.font.color or INK, anchor)

    def _arrow(self, tail: tuple[float, float], tip: tuple[float, float], colour: str) -> None:
        self.line([tail, tip], colour, 1.4)
        angle = math.atan2(tip[1] - tail[1], tip[0] - tail[0])
        sides = [(tip[0] - 7 * math.cos(angle + s), tip[1] - 7 * math.sin(angle + s)) for s in (-0.45, 0.45)]
        self.area(f"{path([tip, *sides])}Z", colour)

    def _legend(self, traces: Sequence[Any]) -> None:
        entries = [
            (k, trace)
            for k, trace in enumerate(traces)
            if trace.name and trace.type in ("scatter", "bar") and trace.showlegend is not False
        ]
        wanted = len(entries) > 1 or any(trace.showlegend for _, trace in entries)
        if self.layout.showlegend is False or not wanted:
            return
        rows: list[list[tuple[int, Any]]] = [[]]
        used = 0.0
        for k, trace in entries:
            width = 46 + text_width(trace.name, 12)
            if rows[-1] and used + width > self.width - self.sides["l"] - self.sides["r"]:
                rows.append([])
                used = 0.0
            rows[-1].append((k, trace))
            used += width
        y = self.sides["t"] - 10 - 19 * (len(rows) - 1)
        for row in rows:
            x = self.sides["l"]
            for k, trace in row:
                shade = trace.line.color if trace.type == "scatter" else None
                shade = shade or one(trace.marker.color) or PALETTE[k % len(PALETTE)]
                dash = trace.line.dash if trace.type == "scatter" else None
                self.line([(x, y - 4), (x + 26, y - 4)], shade, 3, dash)
                self.text(trace.name, x + 32, y, 12, INK)
                x += 46 + text_width(trace.name, 12)
            y += 19


def _pieces(points: Points) -> Iterator[list[tuple[float, float]]]:
    """Yield the parts of a line between its gaps."""
    piece: list[tuple[float, float]] = []
    for point in [*points, (math.nan, math.nan)]:
        if all(map(math.isfinite, point)):
            piece.append(point)
        elif piece:
            yield piece
            piece = []


def _floor(points: Points, y: float) -> list[tuple[float, float]]:
    found = [x for x, _ in points if math.isfinite(x)]
    return [(found[-1], y), (found[0], y)] if found else []


def _size(source: str) -> tuple[int, int]:
    """Return width and height of a PNG file in a data URI."""
    head = base64.b64decode(source.partition(",")[2][:64])
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
