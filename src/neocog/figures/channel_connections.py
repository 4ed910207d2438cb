"""Draw which output channels of a convolution see which input channels."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from neocog.figures.checks import mapping
from neocog.figures.image_grid import LINE_HEIGHT, ImageGrid, tiles
from neocog.figures.style import INK, MUTED, ORANGE, PURPLE, SKY, YELLOW, colour
from neocog.validation import integer

MOST = 32  # channels in a column
PITCH, HEIGHT = 6.4, 70.0  # of channels, in units of the grid; of the highest column
NUMBERED = 10  # channels in a column whose discs have room for a number
BRIGHT = (ORANGE, PURPLE, SKY, YELLOW)  # on which letters are dark
NARROW = 18  # letters of a title that has room in a third of a narrow page


def channel_connections(
    groups: Mapping[str, int],
    in_channels: int,
    out_channels: int,
    title: str = "Which channels see which",
) -> go.Figure:
    """Draw the channels of a convolution and a line for each weight that a position of its kernel has.

    With g groups, output channel o sees the input channels of its own group only: ``in_channels / g``
    instead of ``in_channels``. So each position of the kernel has ``in_channels out_channels / g`` weights.

    Parameters
    ----------
    groups : dict of label to int
        The groups of each convolution: 1 connects all, ``in_channels`` is depthwise.
    in_channels, out_channels : int
        At most 32.
    title : str

    Raises
    ------
    ValueError, TypeError
        If groups do not divide both numbers of channels.

    Examples
    --------
    >>> figure = channel_connections({"all": 1, "depthwise": 4}, 4, 4)
    >>> [note.text for note in figure.layout.annotations if "weights" in note.text]
    ['4·4/1 = 16 weights', '4·4/4 = 4 weights']
    """
    counts = {
        "in_channels": integer("in_channels", in_channels),
        "out_channels": integer("out_channels", out_channels),
    }
    for name, count in counts.items():
        if count > MOST:
            raise ValueError(f"{name} must be at most {MOST} to be drawn, got {count}.")
    panels = {}
    for label, g in mapping("groups", groups, "of label to groups").items():
        panels[str(label)] = integer(f"groups[{label!r}]", g)
        for name, count in counts.items():
            if count % g:
                raise ValueError(f"groups[{label!r}] must divide {name}, {count}, got {g}.")
    titles = {
        label: f"{in_channels}·{out_channels}/{g} = {in_channels * out_channels // g} weights"
        for label, g in panels.items()
    }
    longest = max(map(len, [*titles, *titles.values()]))
    columns = min(len(panels), 3 if longest <= NARROW else 2)
    lefts, width = tiles(columns, 4.0, 46.0)
    grid = ImageGrid(title, "a line is one weight, for each position of the kernel")
    y = 0.0
    for k, (label, g) in enumerate(panels.items()):
        if k and k % columns == 0:
            y = grid.height + 3.0
        x = lefts[k % columns]
        grid.text(f"<b>{label}</b>", x, y)
        grid.text(titles[label], x, y + LINE_HEIGHT, 11.5, MUTED)
        _connections(grid, label, g, in_channels, out_channels, x, y + 2 * LINE_HEIGHT, width)
    return grid.finish()


def _connections(
    grid: ImageGrid, label: str, g: int, ins: int, outs: int, x: float, y: float, width: float
) -> None:
    """Draw one convolution."""
    left, right = x + 3.0, x + min(width - 4.0, 30.0)
    grid.text("in", left, y, 11.5, MUTED, "center")
    grid.text("out", right, y, 11.5, MUTED, "center")
    most = max(ins, outs)
    pitch = min(PITCH, HEIGHT / most)
    top = y + LINE_HEIGHT + 0.8
    places = {
        side: [(at, top + (k + 0.5 + (most - count) / 2) * pitch) for k in range(count)]
        for side, at, count in (("in", left, ins), ("out", right, outs))
    }
    for group in range(g):
        mine = {
            side: found[group * len(found) // g : (group + 1) * len(found) // g]
            for side, found in places.items()
        }
        grid.lines(
            [(*start, *end) for start in mine["in"] for end in mine["out"]],
            colour(group),
            1.6 if most <= NUMBERED else 1,
            f"{label}, group {group}",
        )
    for side, found in places.items():
        colours = [colour(k * g // len(found)) for k in range(len(found))]
        name = f"{label}, {side}"
        if most <= NUMBERED:
            font = {"size": 11, "color": [INK if shade in BRIGHT else "white" for shade in colours]}
            texts = [str(k) for k in range(len(found))]
            grid.dots(found, 18, colours, name, mode="markers+text", text=texts, textfont=font)
        else:
            grid.dots(found, 6, colours, name)
    grid.reach(top + most * pitch)
