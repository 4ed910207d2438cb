"""Write the elements of an SVG document: lines, areas, rectangles, texts."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import plotly.io as pio

Points: TypeAlias = Sequence[tuple[float, float]]

_LOOK = pio.templates["neocog"].layout  # of neocog.figures.style, whose figures are drawn here
INK, FONT, PALETTE = _LOOK.font.color, _LOOK.font.family, _LOOK.colorway
LINE, FAINT, MUTED = _LOOK.xaxis.linecolor, _LOOK.xaxis.gridcolor, _LOOK.xaxis.tickfont.color

LETTER = 0.56  # width of a letter, in parts of the font's size
DASHES = {"dash": "9 5", "dot": "2 4", "dashdot": "9 4 2 4", "longdash": "14 6"}


class Canvas:
    """Collect the elements of a picture."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def line(
        self, points: Points, colour: str, width: float, dash: str | None = None, opacity: float = 1.0
    ) -> None:
        more = f' stroke-dasharray="{DASHES[dash]}"' if dash in DASHES else ""
        more += f' opacity="{opacity}"' if opacity < 1 else ""
        self.parts.append(
            f'<path d="{path(points)}" fill="none" stroke="{css(colour)}" stroke-width="{width}"{more}/>'
        )

    def area(self, data: str, fill: str, more: str = "") -> None:
        """Fill what a path encloses."""
        self.parts.append(f'<path d="{data}" fill="{css(fill)}"{more}/>')

    def rectangle(self, x: Sequence[float], y: Sequence[float], fill: str, more: str = "") -> None:
        """Fill a rectangle, given the ends of its sides in any order."""
        (x0, x1), (y0, y1) = sorted(x), sorted(y)
        box = f'x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}"'
        self.parts.append(f'<rect {box} fill="{css(fill)}"{more}/>')

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
        place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size:.3g}" fill="{css(colour)}" text-anchor="{anchor}"'
        spans = []
        for k, line in enumerate(words.split("<br>")):
            start = f' x="{x:.1f}" dy="{1.3 * size:.1f}"' if k else ""
            spans.append(f"<tspan{start}>{_rich(line)}</tspan>")
        self.parts.append(f'<text {place}{more} xml:space="preserve">{"".join(spans)}</text>')

    def document(self, width: int, height: float) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" '
            f'width="{width}" height="{height:.0f}" font-family="{html.escape(FONT)}">'
            f'<rect width="100%" height="100%" fill="white"/>{"".join(self.parts)}</svg>'
        )


def path(points: Points) -> str:
    """Return points as the data of an SVG path."""
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)


def text_width(words: str, size: float) -> float:
    """Return about how wide a text is, in pixels."""
    plain = html.unescape(re.sub(r"<[^>]*>", "", words))
    return len(plain) * size * LETTER


def css(colour: Any) -> str:
    """Return a colour as the value of an attribute."""
    return html.escape(str(colour))


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
    if text.count("<tspan") == text.count("</tspan>"):
        return text
    return html.escape(html.unescape(words), quote=False)
