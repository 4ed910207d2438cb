"""Draw a network as boxes, from its input down to its output."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from neocog.figures.diagram import LINE_HEIGHT, WIDTH, Diagram, Words, text_width
from neocog.figures.network_plan import STAGES, Arc, Box, Plan, Shape
from neocog.figures.style import FAINT, INK, MUTED
from neocog.layers import Conv2D, ConvTranspose2D, Dense, Layer, SparseConv2D
from neocog.validation import integer

CONVOLUTION, DENSE = "#e6f1f8", "#fdf1de"  # fills of boxes with such layers
WIDE, COLUMN, ASIDE = 240.0, 212.0, 134.0  # widths of the boxes: alone, beside others, on a shortcut
GAP = 27.0  # between two boxes
LEAVE = 7.0  # from the end of a box to the arc that leaves below
PLUS = 7.0  # radius of the circle where a shortcut around one box ends
SIZE, SMALL = 12.5, 11.5  # of the letters
LONGEST = 200  # characters of a layer's description on hovering


def network_diagram(
    network: Layer, input_shape: Sequence[int] | None = None, title: str = "The network", most: int = 14
) -> go.Figure:
    """Draw a network, or a part of one, from top to bottom: layers as boxes, shapes of the values between.

    A shortcut is an arc beside the boxes that it passes, with its own layers in a box on it. A network of
    many layers is drawn coarser until it has ``most`` boxes, if that is possible: first activations,
    normalisations and dropout share the box of the layer before them, then a block with a shortcut becomes
    one box (which counts as two) and equal boxes one after another become one, with their number; at last the
    blocks of a stage do, whose first one may have layers on its shortcut.

    Parameters
    ----------
    network : Layer
        A ``Sequential``, ``Graph`` or ``Residual``, a network of :mod:`neocog.models`, a single layer.
    input_shape : (channels, height, width) or (features,), optional
        With or without the number of images before it; by default the network's own.
    title : str
    most : int
        Boxes.

    Returns
    -------
    plotly Figure
        ``figure.data[0].customdata`` has (name, output shape, parameters) for each box.

    Raises
    ------
    ValueError, TypeError
        If it is no layer, it has several inputs, or the shape is missing or does not fit.

    Examples
    --------
    >>> from neocog.models import tiny_cnn
    >>> [tuple(row) for row in network_diagram(tiny_cnn()).data[0].customdata][1:3]
    [('conv1', '3 × 6 × 6', 30), ('relu1', '3 × 6 × 6', 0)]
    """
    if not isinstance(network, Layer):
        raise TypeError(f"network must be a neocog Layer, got {type(network).__name__}.")
    if network.several_inputs:
        raise TypeError("a network of several inputs cannot be drawn.")
    integer("most", most)
    shape = _input_shape(network, input_shape)
    network.output_shape(shape)  # raises an error with the layer's name if the shape does not fit
    for coarseness in range(STAGES + 1):
        plan = Plan(network, shape, coarseness)
        if plan.size <= most:
            break
    diagram = Diagram(title, f"{network.parameter_count:,} parameters")
    _draw(diagram, plan, _times(shape[1:]))
    return diagram.finish()


def _input_shape(network: Layer, given: Any) -> Shape:
    """Return the shape of one image, or of one row of features, with the number 1 before it."""
    shape = getattr(network, "input_shape", None) if given is None else given
    if shape is None:
        raise ValueError("input_shape must be given, as the network does not know its own.")
    if not isinstance(shape, tuple | list) or len(shape) not in (1, 2, 3, 4):
        raise ValueError(f"input_shape must be (channels, height, width) or (features,), got {shape!r}.")
    sizes = tuple(integer("input_shape", size) for size in shape)
    return (1, *(sizes if len(sizes) in (1, 3) else sizes[1:]))


def _draw(diagram: Diagram, plan: Plan, input_shape: str) -> None:
    """Draw the boxes beneath each other, then the arrows and arcs."""
    around = [Arc(k - 1, k, box.aside) for k, box in enumerate(plan.boxes) if box.bypassed]
    arcs = [*plan.arcs, *around]
    column, middle = WIDE, WIDTH / 2
    if any(arc.aside for arc in arcs):
        column, middle = COLUMN, COLUMN / 2 + 2
    edge, beside = middle + column / 2, WIDTH - 2 - ASIDE / 2
    height = LINE_HEIGHT + 8
    ends = [height]  # where the arrow to the next box begins: of the input, then of each box
    _end(diagram, middle, 0, "input", input_shape)
    places: list[tuple[float, float]] = []  # top and bottom of each box
    for box in plan.boxes:
        lines = _lines(box, column)
        top, bottom = ends[-1] + GAP, ends[-1] + GAP + LINE_HEIGHT * len(lines) + 8
        places.append((top, bottom))
        diagram.arrow([(middle, ends[-1]), (middle, top)])
        data = [_names(box), _times(box.shape), box.parameters]
        diagram.box(middle, top, column, bottom - top, lines, _hover(box), data, _fill(box.layers))
        ends.append(bottom + 2.5 * PLUS if box.bypassed else bottom)
        if box.bypassed:
            diagram.arrow([(middle, bottom), (middle, bottom + PLUS / 2)])
            diagram.circle(middle, bottom + 1.5 * PLUS, PLUS, "+")
        if box is not plan.boxes[-1]:
            diagram.text(_times(box.shape), middle - 8, ends[-1] + GAP / 2 - 1, SMALL, MUTED, "right")
    diagram.arrow([(middle, ends[-1]), (middle, ends[-1] + GAP)])
    _end(diagram, middle, ends[-1] + GAP, "output", _times(plan.boxes[-1].shape))
    for k, arc in enumerate(arcs):
        top, bottom = places[arc.end]
        alone = k >= len(plan.arcs)
        last = (middle + PLUS, bottom + 1.5 * PLUS) if alone else (edge, (top + bottom) / 2)
        inside = sum(other is not arc and _within(other, arc) for other in plan.arcs)
        lane = beside if arc.aside else min(edge + 18 + 12 * inside, WIDTH - 2)
        begin = ends[arc.start + 1] + LEAVE
        diagram.arc((middle, begin), lane, last)
        if arc.aside:
            lines = _lines(arc.aside, ASIDE, SMALL)
            tall = LINE_HEIGHT * len(lines) + 6
            data = [_names(arc.aside), _times(arc.aside.shape), arc.aside.parameters]
            y = (begin + last[1] - tall) / 2
            fill = _fill(arc.aside.layers)
            diagram.box(beside, y, ASIDE, tall, lines, _hover(arc.aside), data, fill)


def _end(diagram: Diagram, x: float, y: float, name: str, shape: str) -> None:
    """Draw the input or the output."""
    lines = [(f"{name}  {shape}", SIZE, INK)]
    diagram.box(x, y, 160, LINE_HEIGHT + 8, lines, f"{name}<br>{shape}", [name, shape, 0], FAINT, FAINT)


def _within(inner: Arc, outer: Arc) -> bool:
    """Tell whether an arc must lie between the boxes and another arc."""
    return outer.start <= inner.start and inner.end <= outer.end and inner.aside is None


def _lines(box: Box, width: float, size: float = SIZE) -> list[Words]:
    """Return the text in a box: its name and kind, then the rest, wrapped."""
    name, count = _names(box), f"{box.parameters:,} parameters"
    words = box.kind + "s" * (box.bypassed and len(box.names) > 1)
    rest = [words, ", ".join(box.more), count if box.parameters else ""]
    head = f"<b>{name}</b>"
    if text_width(f"{name}  {words}", size + 0.6) < width - 8:
        head += f"  {words}"
        rest = rest[1:]
    lines: list[str] = []
    for part in filter(None, rest):
        pieces = part.split(", ") if text_width(part, SMALL) > width - 8 else [part]
        for k, piece in enumerate(pieces):
            link = ", " if k else " · "
            if lines and text_width(lines[-1] + link + piece, SMALL) < width - 8:
                lines[-1] += link + piece
            else:
                lines.append(piece)
    return [(head, size, INK), *((line, SMALL, MUTED) for line in lines)]


def _names(box: Box) -> str:
    """Return the names of the layers or blocks in a box."""
    first, last = box.names[0], box.names[-1]
    if len(box.names) > 1:
        stage, _, number = last.rpartition(".")
        same = stage and first.startswith(f"{stage}.")
        first += f" to {number if same else last}  × {len(box.names)}"
    return html.escape(first, quote=False)


def _hover(box: Box) -> str:
    """Return a box's description: its first layer or block, its output and its parameters."""
    words = " ".join(repr(box.layers[0]).split())
    words = words if len(words) <= LONGEST else words[:LONGEST] + " ..."
    parts = [_names(box), html.escape(words, quote=False), f"output {_times(box.shape)}"]
    return "<br>".join([*parts, f"{box.parameters:,} parameters"])


def _fill(layers: Sequence[Layer]) -> str:
    leaves = [leaf for layer in layers for _, leaf in layer.leaves()]
    if any(isinstance(leaf, Conv2D | ConvTranspose2D | SparseConv2D) for leaf in leaves):
        return CONVOLUTION
    return DENSE if any(isinstance(leaf, Dense) for leaf in leaves) else "white"


def _times(shape: Shape) -> str:
    return " × ".join(map(str, shape))
