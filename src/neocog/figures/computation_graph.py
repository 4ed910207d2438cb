"""Draw a computation graph, with values forward and gradients backward."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import plotly.graph_objects as go

from neocog.figures.checks import mapping
from neocog.figures.diagram import LINE_HEIGHT, WIDTH, Diagram, Words, along, text_width
from neocog.figures.style import BLUE, FAINT, INK, LINE, MUTED, VERMILLION, number
from neocog.validation import number as check_number
from neocog.validation import one_of

VALUE, GRADIENT = BLUE, VERMILLION
PARTS = ("label", "value", "gradient", "at")
GAP = 56.0  # between two rows of boxes, where the local derivatives are written
MARGIN = 12.0  # between two boxes of a row
WIDEST, NARROWEST = 130.0, 52.0  # of a box

OF = 'of name to {"label": ..., "value": ..., "gradient": ..., "at": (column, row)}'

Place = tuple[float, float]
Edge = tuple[str, str, str]
Detour = tuple[float, float, float]
"""The x of an edge led around boxes, and from where to where."""


def computation_graph(
    nodes: Mapping[str, Mapping[str, Any]],
    edges: Sequence[tuple[str, str] | tuple[str, str, str]],
    title: str = "Computation graph",
) -> go.Figure:
    """Draw a computation graph: a box for each node, an arrow for each use of a value.

    In a box are the node's label, its value (blue, computed forward) and beneath it the gradient of the last
    node's value with respect to it (orange, computed backward); on an arrow is its local derivative. A node's
    gradient is the sum, over the arrows that leave it, of the local derivative times the gradient of the node
    that the arrow reaches.

    Parameters
    ----------
    nodes : dict of name to dict
        ``{"label": "y = w x", "value": 6, "gradient": 2, "at": (column, row)}``; label, value and gradient
        may be left out (the label is then the name), and a value or gradient may be a number or a text.
    edges : sequence of (from, to) or (from, to, text of the local derivative)
        All must lead to a greater column, or all to a greater row. Drawn is the graph from top to bottom, so
        that a narrow page shows it: columns become rows where the edges lead from column to column.
    title : str

    Raises
    ------
    ValueError, TypeError
        If a node lacks its place or two have one, an edge names no node, or the edges lead in several
        directions.

    Examples
    --------
    >>> nodes = {"w": {"value": 3, "gradient": 2, "at": (0, 0)}, "y": {"label": "y = 2 w", "at": (0, 1)}}
    >>> figure = computation_graph(nodes, [("w", "y", "2")])
    >>> figure.data[0].hovertext
    ('w<br>value 3<br>gradient 2', 'y = 2 w')
    """
    found = {str(name): _node(name, node) for name, node in mapping("nodes", nodes, OF).items()}
    arrows = [_edge(edge, found) for edge in edges]
    places = _downwards({name: node["at"] for name, node in found.items()}, arrows)
    columns, rows = ([place[k] for place in places.values()] for k in (0, 1))
    pitch = WIDTH / (max(columns) - min(columns) + 1)
    texts = {name: _words(node) for name, node in found.items()}
    longest = max(text_width(_plain(words), size) for lines in texts.values() for words, size, _ in lines)
    box = (
        min(max(NARROWEST, longest + 16), WIDEST, pitch - MARGIN),
        LINE_HEIGHT * max(map(len, texts.values())) + 12,
    )
    gap = GAP if any(words for *_, words in arrows) else 34.0
    middles = {
        name: ((column - min(columns) + 0.5) * pitch, (row - min(rows)) * (box[1] + gap))
        for name, (column, row) in places.items()
    }
    marked = (
        any("value" in node for node in found.values()),
        any("gradient" in node for node in found.values()),
    )
    diagram = Diagram(title, _legend(*marked, any(words for *_, words in arrows)))
    taken: list[Detour] = []
    for edge in arrows:
        shared = sum(edge[0] == start for start, *_ in arrows) > 1
        _arrow(diagram, middles, box, edge, shared, taken)
    for name, node in found.items():
        hover = "<br>".join([node["label"], *(f"{p} {_number(node[p])}" for p in PARTS[1:3] if p in node)])
        data = [node.get("value"), node.get("gradient")]
        last = all(name != start for start, *_ in arrows)
        diagram.box(
            *middles[name],
            *box,
            texts[name],
            hover,
            data,
            FAINT if last else "white",
            MUTED if last else LINE,
        )
    return diagram.finish()


def _node(name: Any, node: Any) -> dict[str, Any]:
    """Return a node's parts, checked; the label is its name if it has none."""
    label = f"nodes[{name!r}]"
    parts = mapping(label, node, "of label, value, gradient and at")
    for part in parts:
        one_of(f"a part of {label}", part, PARTS)
    at = parts.get("at")
    if not isinstance(at, tuple | list) or len(at) != 2:
        raise ValueError(f'{label}["at"] must be (column, row), got {at!r}.')
    parts["at"] = tuple(check_number(f'{label}["at"]', place) for place in at)
    return {"label": str(name)} | {part: value for part, value in parts.items() if value is not None}


def _edge(edge: Any, nodes: Mapping[str, Any]) -> Edge:
    """Return an edge as (from, to, text), checked."""
    if not isinstance(edge, tuple | list) or len(edge) not in (2, 3):
        raise ValueError(f"an edge of edges must be (from, to, text), got {edge!r}.")
    start, end = (one_of("a node of edges", str(name), nodes) for name in edge[:2])
    return start, end, str(edge[2]) if len(edge) == 3 else ""


def _downwards(places: dict[str, Place], edges: Sequence[Edge]) -> dict[str, Place]:
    """Return each node's (column, row), turned if need be so that all edges lead to a greater row."""
    if len(set(places.values())) < len(places):
        raise ValueError(f"nodes must all have different places, got {list(places.values())}.")
    for axis in (1, 0):
        if all(places[start][axis] < places[end][axis] for start, end, _ in edges):
            return {name: (place[1 - axis], place[axis]) for name, place in places.items()}
    raise ValueError("edges must all lead to a greater column, or all to a greater row.")


def _words(node: Mapping[str, Any]) -> list[Words]:
    """Return the lines of a box."""
    lines: list[Words] = [(f"<b>{node['label']}</b>", 12.5, INK)]
    for part, colour in (("value", VALUE), ("gradient", GRADIENT)):
        if part in node:
            lines.append((_number(node[part]), 13, colour))
    return lines


def _number(value: Any) -> str:
    return number(float(value), 4) if isinstance(value, Real) else str(value)


def _plain(words: str) -> str:
    return re.sub("<[^>]*>", "", words)


def _legend(values: bool, gradients: bool, derivatives: bool) -> str:
    """Return what the colours mean."""
    parts = [f"<span style='color:{VALUE}'>value</span>"] * values
    parts += [f"<span style='color:{GRADIENT}'>gradient</span>"] * gradients
    parts += ["on the arrows: local derivatives"] * derivatives
    return ", ".join(parts)


def _arrow(
    diagram: Diagram,
    boxes: dict[str, Place],
    size: Place,
    edge: Edge,
    shared: bool,
    taken: list[Detour],
) -> None:
    """Draw an edge around the boxes in its way, and its local derivative on it.

    A label lies near the end that the edge has for itself; ``shared`` says that others begin where it does.
    """
    start, end, words = edge
    first, last = (boxes[start][0], boxes[start][1] + size[1]), boxes[end]
    others = [place for name, place in boxes.items() if name not in (start, end)]

    def blocked(x: float, y: float) -> bool:
        return any(abs(x - a) < size[0] / 2 + 4 and b - 4 < y < b + size[1] + 4 for a, b in others)

    points = [first, last]
    label = along(first, last, 0.72 if shared else 0.28)
    anchor = "center"
    if any(blocked(*along(first, last, t / 40)) for t in range(41)):
        top, bottom = first[1] + GAP, last[1] - GAP
        heights = [top + t / 40 * (bottom - top) for t in range(41)]
        middle = (first[0] + last[0]) / 2
        asides = (size[0] / 2 + 10 + 24 * k for k in range(4))
        beside = [a + side * aside for aside in asides for a, _ in others for side in (1, -1)]
        for x in sorted(beside, key=lambda x: abs(x - middle)):
            crossed = any(abs(x - a) < 20 and top < d and c < bottom for a, c, d in taken)
            if 0 < x < WIDTH and not crossed and not any(blocked(x, y) for y in heights):
                points = [first, (x, top), (x, bottom), last]
                anchor = "left" if x > middle else "right"
                label = (x + (4 if x > middle else -4), (top + bottom) / 2)
                taken.append((x, top, bottom))
                break
    diagram.arrow(points)
    if words:
        diagram.text(words, *label, anchor=anchor, background="white")
