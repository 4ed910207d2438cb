"""Draw figures as SVG without a browser: the still picture that an exported notebook shows.

It draws what this library's figures are made of: pixels, lines, bars, texts, shapes, and axes of numbers, of
their logarithms and of categories. Other traces of Plotly have no still picture here.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio

from neocog.figures.pixels import colour_pixels, png

_LOOK = pio.templates["neocog"].layout  # of neocog.figures.style, whose figures are drawn here
INK, FONT, PALETTE = _LOOK.font.color, _LOOK.font.family, _LOOK.colorway
LINE, FAINT, MUTED = _LOOK.xaxis.linecolor, _LOOK.xaxis.gridcolor, _LOOK.xaxis.tickfont.color

DRAWN = {"bar", "contour", "heatmap", "image", "scatter"}
WIDTH = 700
LETTER = 0.56  # width of a letter, in parts of the font's size
DASHES = {"dash": "9 5", "dot": "2 4", "dashdot": "9 4 2 4", "longdash": "14 6"}


def to_svg(figure: go.Figure, width: int = WIDTH) -> str | None:
    """Return a figure as an SVG document; None if it holds a trace that is not drawn here.

    Examples
    --------
    >>> to_svg(go.Figure(go.Bar(y=[1, 2])))[:4]
    '<svg'
    >>> to_svg(go.Figure(go.Surface(z=[[1]]))) is None
    True
    """
    if any(trace.type not in DRAWN for trace in figure.data):
        return None
    return _Drawing(figure, width).finish()


@dataclass
class _Axis:
    """Map the numbers of an axis to pixels.

    ``start`` and ``end`` are the pixels of ``low`` and ``high``, which are exponents where ``log`` is true.
    """

    settings: Any
    names: list[str]
    log: bool
    low: float
    high: float
    start: float = 0.0
    end: float = 1.0

    def __call__(self, value: Any) -> float:
        at = self.number(value)
        return self.start + (at - self.low) / ((self.high - self.low) or 1.0) * (self.end - self.start)

    def number(self, value: Any) -> float:
        if self.names and isinstance(value, str):
            return float(self.names.index(value)) if value in self.names else math.nan
        found = float(value)
        if self.log:
            return math.log10(found) if found > 0 else math.nan
        return found

    def ticks(self) -> list[tuple[float, str]]:
        """Return where the ticks are, in the axis's numbers, and their labels."""
        low, high = sorted((self.low, self.high))
        if self.settings.tickvals is not None:
            values = [self.number(value) for value in self.settings.tickvals]
            texts = self.settings.ticktext
            labels = [self._label(v) for v in values] if texts is None else [str(text) for text in texts]
            found = list(zip(values, labels, strict=False))
        elif self.names:
            found = [(float(k), name) for k, name in enumerate(self.names)]
        elif self.log:
            found = [(float(k), self._label(k)) for k in range(math.ceil(low), math.floor(high) + 1)]
        else:
            step = _step((high - low) / (self.settings.nticks or 6))
            first = math.ceil(low / step - 1e-9)
            found = [
                (k * step, self._label(k * step)) for k in range(first, math.floor(high / step + 1e-9) + 1)
            ]
        slack = 1e-9 * (high - low)
        return [(at, label) for at, label in found if low - slack <= at <= high + slack]

    def _label(self, at: float) -> str:
        value, form = (10.0**at if self.log else at), self.settings.tickformat or ""
        if form == "~s" or (not form and abs(value) >= 1e5):
            power = min(int(math.log10(abs(value)) // 3), 4) if abs(value) >= 1 else 0
            return f"{value / 1000**power:.4g}{('', 'k', 'M', 'G', 'T')[power]}"
        words = (
            f"{value:,.0f}" if form == "," else f"{value:{form}}" if form.endswith("%") else f"{value:.6g}"
        )
        return words.replace("-", "\N{MINUS SIGN}")


def _step(size: float) -> float:
    """Return the round number, 1, 2 or 5 times a power of ten, that is at least this size."""
    power = 10.0 ** math.floor(math.log10(size)) if size > 0 else 1.0
    return next(k * power for k in (1, 2, 5, 10) if k * power >= size * (1 - 1e-9))


class _Drawing:
    """Collect the elements of a picture."""

    def __init__(self, figure: go.Figure, width: int) -> None:
        self.figure, self.layout, self.width = figure, figure.layout, width
        template = figure.layout.template.layout
        board = self.layout.meta or {}
        self.height = float(self.layout.height or 420)
        if "edges" in board:  # as on a page of this width
            high = board["height"] * (width - 32) / 100.8 + board["edges"]
            self.height = min(high, board.get("most", high))
        sides = {"l": 60.0, "r": 16.0, "t": 72.0, "b": 46.0}
        for side in sides:
            for found in (template.margin[side], self.layout.margin[side]):
                sides[side] = float(found) if found is not None else sides[side]
        self.sides = sides
        self.parts: list[str] = []
        self.axes: dict[str, _Axis] = {}
        for letter in "xy":
            for name in sorted({getattr(t, f"{letter}axis") or letter for t in figure.data} | {letter}):
                self.axes[name] = self._axis(name)
        self._place()

    def finish(self) -> str:
        for name, axis in self.axes.items():
            if axis.settings.visible is not False:
                self._draw_axis(name, axis)
        for shape in self.layout.shapes:
            if shape.layer == "below":
                self._shape(shape)
        kinds = [trace for trace in self.figure.data if trace.visible in (None, True)]
        for k, trace in enumerate(kinds):
            getattr(self, f"_{trace.type}")(trace, PALETTE[k % len(PALETTE)])
        for shape in self.layout.shapes:
            if shape.layer != "below":
                self._shape(shape)
        for note in self.layout.annotations:
            self._note(note)
        self._legend(kinds)
        title = self.layout.title
        if title.text:
            self.text(title.text, 16, 28, 17, INK, "start", bold=True)
        if title.subtitle.text:
            self.text(title.subtitle.text, 16, 50, 12.5, MUTED)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height:.0f}" '
            f'width="{self.width}" height="{self.height:.0f}" font-family="{html.escape(FONT)}">'
            f'<rect width="100%" height="100%" fill="white"/>{"".join(self.parts)}</svg>'
        )

    # Axes

    def _traces(self, name: str) -> list[Any]:
        return [t for t in self.figure.data if (getattr(t, f"{name[0]}axis") or name[0]) == name]

    def _axis(self, name: str) -> _Axis:
        letter = name[0]
        settings = self.layout[f"{letter}axis{name[1:]}"]
        log = settings.type == "log"
        if settings.range is not None and None not in settings.range:
            low, high = (float(end) for end in settings.range)
            return _Axis(settings, [], log, low, high)
        values = [value for trace in self._traces(name) for value in _extent(trace, letter)]
        names = list(dict.fromkeys(v for v in values if isinstance(v, str)))
        axis = _Axis(settings, names, log, 0.0, 1.0)
        numbers = [at for at in (axis.number(v) for v in values) if math.isfinite(at)] or [0.0, 1.0]
        low, high = min(numbers), max(numbers)
        kinds = {trace.type for trace in self._traces(name)}
        if names:
            low, high = -0.5, len(names) - 0.5
        elif not kinds <= {"heatmap", "image", "contour"}:
            space = 0.05 * (high - low) or 0.5
            bars = "bar" in kinds and letter == ("x" if self._traces(name)[0].orientation == "h" else "y")
            zero = not log and (settings.rangemode == "tozero" or bars)
            low = 0.0 if zero and low >= 0 else low - space
            high += space
        axis.low, axis.high = (high, low) if settings.autorange == "reversed" else (low, high)
        return axis

    def _place(self) -> None:
        """Give the axes their pixels: within margins that leave room for labels."""
        room = self.sides
        for name, axis in self.axes.items():
            if axis.settings.visible is False or self.layout.margin.autoexpand is False:
                continue
            labels = [_width(label, 12) for _, label in axis.ticks()]
            extra = 22.0 if axis.settings.title.text else 0.0
            if name[0] == "y":
                room["l"] = max(room["l"], 14.0 + max(labels, default=0.0) + extra)
            else:
                room["b"] = max(room["b"], 30.0 + extra + self._slant(axis, labels))
        left, right = room["l"], self.width - room["r"]
        top, bottom = room["t"], self.height - room["b"]
        for name, axis in self.axes.items():
            first, last = axis.settings.domain or (0, 1)
            if name[0] == "x":
                axis.start, axis.end = left + first * (right - left), left + last * (right - left)
            else:
                axis.start, axis.end = bottom - first * (bottom - top), bottom - last * (bottom - top)
        if "y" in self.axes and self.axes["y"].settings.scaleanchor == "x":
            self._same_scale(self.axes["x"], self.axes["y"])

    def _slant(self, axis: _Axis, labels: list[float]) -> float:
        """Return the height that turned labels need, 0 if they stand side by side."""
        room = (self.width - self.sides["l"] - self.sides["r"]) / max(len(labels), 1)
        return max(labels) if labels and max(labels) > room else 0.0

    @staticmethod
    def _same_scale(x: _Axis, y: _Axis) -> None:
        unit = min(abs(a.end - a.start) / (abs(a.high - a.low) or 1.0) for a in (x, y))
        for axis, sign in ((x, 1.0), (y, -1.0)):
            length, free = unit * abs(axis.high - axis.low), abs(axis.end - axis.start)
            toward = axis.settings.constraintoward
            before = {"left": 0.0, "bottom": 0.0, "right": 1.0, "top": 1.0}.get(toward, 0.5) * (free - length)
            axis.start += sign * before
            axis.end = axis.start + sign * length

    def _draw_axis(self, name: str, axis: _Axis) -> None:
        """Draw grid, line, labels and title of an axis."""
        letter, settings = name[0], axis.settings
        other = self.axes.get(settings.anchor or ("y" if letter == "x" else "x"))
        if other is None:
            other = self.axes["y" if letter == "x" else "x"]
        low, high = (other.start, other.end)
        edge = low
        size = settings.tickfont.size or 12
        colour = settings.tickfont.color or MUTED
        labels = axis.ticks()
        turned = letter == "x" and self._slant(axis, [_width(label, size) for _, label in labels]) > 0
        deepest = 0.0
        for at, label in labels:
            place = axis.start + (at - axis.low) / ((axis.high - axis.low) or 1.0) * (axis.end - axis.start)
            if letter == "x":
                if settings.showgrid is not False and not axis.names:
                    self.line([(place, low), (place, high)], FAINT, 1)
                self.text(label, place, edge + 18, size, colour, "end" if turned else "middle", turned=turned)
                deepest = max(deepest, _width(label, size) if turned else 16)
            else:
                if settings.showgrid is not False and not axis.names:
                    self.line([(low, place), (high, place)], FAINT, 1)
                self.text(label, edge - 8, place + size * 0.35, size, colour, "end")
                deepest = max(deepest, _width(label, size))
        ends = (
            [(axis.start, edge), (axis.end, edge)]
            if letter == "x"
            else [(edge, axis.start), (edge, axis.end)]
        )
        if settings.showline is not False:
            self.line(ends, LINE, 1)
        if settings.title.text:
            middle = (axis.start + axis.end) / 2
            if letter == "x":
                self.text(settings.title.text, middle, edge + deepest + 22, 13, INK, "middle")
            else:
                x = edge - deepest - 20
                self.text(settings.title.text, x, middle, 13, INK, "middle", turned=True)

    # Traces

    def _of(self, trace: Any) -> tuple[_Axis, _Axis]:
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
                words = f"{value:{form[1].replace('~', '').replace('.3g', '.3g')}}" if form else str(value)
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
        shade = trace.line.color or _one(trace.marker.color) or colour
        if trace.fill and trace.fill != "none":
            fill = trace.fillcolor or shade
            area = points if trace.fill == "toself" else [*points, *_floor(points, vertical(0))]
            for piece in _pieces(area):
                path = _path(piece) + "Z"
                self.parts.append(f'<path d="{path}" fill="{_css(fill)}" fill-opacity="{opacity}"/>')
        width = 2.0 if trace.line.width is None else trace.line.width
        if "lines" in mode and width:
            for piece in _pieces(points):
                self.line(piece, shade, width, trace.line.dash, opacity)
        if "markers" in mode:
            self._markers(trace, points, colour, opacity)
        if "text" in mode and trace.text is not None:
            self._texts(trace, points)

    def _markers(
        self, trace: Any, points: Sequence[tuple[float, float]], colour: str, opacity: float
    ) -> None:
        marker = trace.marker
        if marker.opacity == 0:
            return
        for k, (x, y) in enumerate(points):
            if not (math.isfinite(x) and math.isfinite(y)):
                continue
            found = _one(marker.color, k)
            shade = found if isinstance(found, str) else trace.line.color or colour
            radius = (_one(marker.size, k) or 6) / 2
            seen = opacity * (1.0 if marker.opacity is None else _one(marker.opacity, k))
            place = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"'
            self.parts.append(f'<circle {place} fill="{_css(shade)}" opacity="{seen:.3g}"/>')

    def _texts(self, trace: Any, points: Sequence[tuple[float, float]]) -> None:
        size, colour = trace.textfont.size or 12, trace.textfont.color or INK
        for k, (x, y) in enumerate(points):
            words, position = _one(trace.text, k), _one(trace.textposition, k) or "middle center"
            anchor = "start" if "right" in position else "end" if "left" in position else "middle"
            dy = {"t": -4.0, "b": _one(size, k) + 2.0}.get(position[0], _one(size, k) * 0.35)
            if words and math.isfinite(x) and math.isfinite(y):
                self.text(str(words), x, y + dy, _one(size, k), _one(colour, k), anchor)

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
            width = _one(trace.width, k) or share
            middle, base = across.number(place) + shift, float(_one(trace.base, k) or 0.0)
            sides = [across(middle - width / 2), across(middle + width / 2)]
            ends = [along.start if along.log else along(base), along(base + float(length))]
            (x0, x1), (y0, y1) = (sorted(ends), sorted(sides)) if flat else (sorted(sides), sorted(ends))
            shade = _one(trace.marker.color, k) or colour
            box = f'x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}"'
            self.parts.append(f'<rect {box} fill="{_css(shade)}"/>')
            if trace.text is not None:
                self._beside(trace, k, (x0, x1, y0, y1), flat)

    def _beside(self, trace: Any, k: int, box: tuple[float, float, float, float], flat: bool) -> None:
        """Write the text of a bar at its end."""
        x0, x1, y0, y1 = box
        inside = _one(trace.textposition, k) == "inside"
        words = str(_one(trace.text, k))
        if flat:
            x, anchor = (x1 - 6, "end") if inside else (x1 + 6, "start")
            self.text(words, x, (y0 + y1) / 2 + 4, 12, "#ffffff" if inside else INK, anchor)
        else:
            self.text(words, (x0 + x1) / 2, y0 - 5, 12, INK, "middle")

    # What lies over and under them

    def _shape(self, shape: Any) -> None:
        def x(value: float) -> float:
            return self._at(shape.xref, "x", value)

        def y(value: float) -> float:
            return self._at(shape.yref, "y", value)

        line, fill = shape.line, shape.fillcolor or "none"
        stroke = (
            f'stroke="{_css(line.color or LINE)}" stroke-width="{2 if line.width is None else line.width}"'
        )
        if shape.type == "path":
            numbers = iter(re.findall(r"-?[\d.]+(?:e-?\d+)?|[A-Za-z]", shape.path))
            words = [
                word if word.isalpha() else f"{x(float(word)):.1f},{y(float(next(numbers))):.1f}"
                for word in numbers
            ]
            self.parts.append(f'<path d="{" ".join(words)}" fill="{_css(fill)}" {stroke}/>')
            return
        x0, x1, y0, y1 = x(shape.x0), x(shape.x1), y(shape.y0), y(shape.y1)
        if shape.type == "line":
            self.line(
                [(x0, y0), (x1, y1)], line.color or LINE, 2 if line.width is None else line.width, line.dash
            )
            return
        (x0, x1), (y0, y1) = sorted((x0, x1)), sorted((y0, y1))
        box = f'x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}"'
        self.parts.append(f'<rect {box} fill="{_css(fill)}" {stroke}/>')

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
        self.parts.append(f'<path d="{_path([tip, *sides])}Z" fill="{_css(colour)}"/>')

    def _legend(self, traces: Iterable[Any]) -> None:
        named = [(k, t) for k, t in enumerate(traces) if t.name and t.type in ("scatter", "bar")]
        entries = [(k, t) for k, t in named if t.showlegend is not False]
        if self.layout.showlegend is False or (
            len(entries) < 2 and not any(t.showlegend for _, t in entries)
        ):
            return
        rows: list[list[tuple[int, Any]]] = [[]]
        used = 0.0
        for k, trace in entries:
            width = 46 + _width(trace.name, 12)
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
                shade = shade or _one(trace.marker.color) or PALETTE[k % len(PALETTE)]
                dash = trace.line.dash if trace.type == "scatter" else None
                self.line([(x, y - 4), (x + 26, y - 4)], shade, 3, dash)
                self.text(trace.name, x + 32, y, 12, INK)
                x += 46 + _width(trace.name, 12)
            y += 19

    # Elements

    def line(
        self,
        points: Sequence[tuple[float, float]],
        colour: str,
        width: float,
        dash: str | None = None,
        opacity: float = 1.0,
    ) -> None:
        more = f' stroke-dasharray="{DASHES[dash]}"' if dash in DASHES else ""
        more += f' opacity="{opacity}"' if opacity < 1 else ""
        self.parts.append(
            f'<path d="{_path(points)}" fill="none" stroke="{_css(colour)}" stroke-width="{width}"{more}/>'
        )

    def text(
        self,
        words: str,
        x: float,
        y: float,
        size: float,
        colour: str = INK,
        anchor: str = "start",
        bold: bool = False,
        turned: bool = False,
    ) -> None:
        more = ' font-weight="600"' if bold else ""
        more += f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
        place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size:.3g}" fill="{_css(colour)}" text-anchor="{anchor}"'
        spans = []
        for k, line in enumerate(words.split("<br>")):
            start = f' x="{x:.1f}" dy="{1.3 * size:.1f}"' if k else ""
            spans.append(f"<tspan{start}>{_rich(line)}</tspan>")
        self.parts.append(f'<text {place}{more} xml:space="preserve">{"".join(spans)}</text>')


def _rich(words: str) -> str:
    """Turn Plotly's few tags into SVG; every other character stands for itself."""
    found = []
    for piece in re.split(r"(</?[bi]>|</?su[bp]>)", words):
        if re.fullmatch(r"<[bi]>", piece):
            style = 'weight="bold"' if "b" in piece else 'style="italic"'
            found.append(f"<tspan font-{style}>")
        elif re.fullmatch(r"</[bi]>", piece):
            found.append("</tspan>")
        elif not piece.startswith(("<su", "</su")):
            found.append(html.escape(html.unescape(piece), quote=False))
    text = "".join(found)
    return (
        text
        if text.count("<tspan") == text.count("</tspan>")
        else html.escape(html.unescape(words), quote=False)
    )


def _extent(trace: Any, letter: str) -> list[Any]:
    """Return the values of a trace that its axis must show."""
    if trace.type in ("heatmap", "contour", "image"):
        values = getattr(trace, letter, None)
        if values is not None:
            step = abs(values[-1] - values[0]) / max(len(values) - 1, 1) / 2 if trace.type == "heatmap" else 0
            return [values[0] - step, values[-1] + step]
        count = np.shape(trace.z)[letter == "x"]
        start, width = getattr(trace, f"{letter}0") or 0, getattr(trace, f"d{letter}") or 1
        return [start - width / 2, start + (count - 0.5) * width]
    values = getattr(trace, letter)
    if values is None:
        other = getattr(trace, "y" if letter == "x" else "x")
        values = range(0 if other is None else len(other))
    found = [value for value in values if value is not None]
    if trace.type == "bar" and letter == ("x" if trace.orientation == "h" else "y"):
        base = [float(_one(trace.base, k) or 0.0) for k in range(len(found))]
        return [*base, *(b + float(v) for b, v in zip(base, found, strict=True))]
    if trace.type == "bar" and found and not isinstance(found[0], str):
        return [min(found) - 0.5, max(found) + 0.5]
    return found


def _one(values: Any, k: int = 0) -> Any:
    """Return the k-th of several values, or the one value of all."""
    if isinstance(values, (list, tuple, np.ndarray)):
        return values[k] if k < len(values) else None
    return values


def _pieces(points: Sequence[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
    """Yield the parts of a line between its gaps."""
    piece: list[tuple[float, float]] = []
    for point in [*points, (math.nan, math.nan)]:
        if all(map(math.isfinite, point)):
            piece.append(point)
        elif piece:
            yield piece
            piece = []


def _floor(points: Sequence[tuple[float, float]], y: float) -> list[tuple[float, float]]:
    found = [x for x, _ in points if math.isfinite(x)]
    return [(found[-1], y), (found[0], y)] if found else []


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _width(words: str, size: float) -> float:
    plain = html.unescape(re.sub(r"<[^>]*>", "", words))
    return len(plain) * size * LETTER


def _size(source: str) -> tuple[int, int]:
    """Return width and height of a PNG file in a data URI."""
    import base64

    head = base64.b64decode(source.partition(",")[2][:64])
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def _css(colour: Any) -> str:
    return html.escape(str(colour))
