"""Draw the terms of one number, as computed by :func:`neocog.inspection.explain`."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from neocog.figures.image_grid import LINE_HEIGHT, WIDTH, ImageGrid
from neocog.figures.style import BLUE, INK, MUTED, ORANGE, symmetric
from neocog.figures.style import number as short
from neocog.inspection import Explanation
from neocog.validation import integer

LONG, SHORT = "d loss / d ", "d "  # a derivative of the loss, on a narrow page
LETTERS = 32  # of a term's name, on a narrow page; those of longer ones are smaller


def explanation(answer: Explanation, top: int = 12, title: str = "") -> go.Figure:
    """Draw the terms of a number: its largest contributions, the rest, and the sum.

    For an output of a convolution, the patch, the kernel and their products are drawn above, for the input
    channel that contributes most.

    Parameters
    ----------
    answer : Explanation
    top : int
        How many terms are drawn individually.
    title : str
        Default: the number and its value.

    Raises
    ------
    TypeError
        If it is no explanation.
    ValueError
        If there are no terms to draw: a pixel, or a parameter.
    """
    if not isinstance(answer, Explanation):
        raise TypeError(f"answer must be an Explanation, got {answer!r}.")
    integer("top", top)
    if not answer.terms:
        raise ValueError(f"{answer.number} is {answer.formula}: it has no terms to draw.")
    subtitle = answer.contradiction or f"{answer.layer}: {answer.formula}"
    grid = ImageGrid(title or f"{answer.number} = {short(answer.value)}".replace(LONG, SHORT), subtitle)
    y = _products(grid, answer)

    terms, rest = answer.terms[:top], answer.terms[top:]
    names = [" × ".join(part.name for part in term.parts) for term in terms]
    notes = [f", {term.note}" if term.note not in ("", "bias") else "" for term in terms]
    layer = f"{answer.number.at}."  # its own parameters need no first name
    names = [
        name.replace(layer, "").replace(LONG, SHORT) + note for name, note in zip(names, notes, strict=True)
    ]
    values = [term.value + 0.0 for term in terms]  # no -0
    if rest:
        names.append(f"{len(rest)} smaller terms")
        values.append(sum(term.value for term in rest))
    names.append("sum")
    values.append(answer.total)
    colours = [ORANGE if value >= 0 else BLUE for value in values]
    colours[-1] = INK
    longest = max(map(len, names))
    labels, size = min(62.0, 3.0 + 1.9 * longest), 12.0 if longest <= LETTERS else 12.0 * LETTERS / longest
    grid.bars(
        np.array(values), names, [short(value) for value in values], 0, y, WIDTH, colours, labels, size=size
    )
    return grid.finish()


def _products(grid: ImageGrid, answer: Explanation) -> float:
    """Draw patch times kernel = products, if the terms are those of a convolution; return the height used."""
    entries = {}
    for term in answer.terms:
        found = {part.symbol: part for part in term.parts}
        if set(found) == {"x", "w"} and found["w"].number is not None and len(found["w"].number.index) == 4:
            entries[found["w"].number.index[1:]] = (found["x"].value, found["w"].value)
    if answer.number.of != "activation" or not entries:
        return 0.0
    C, kH, kW = (1 + max(index[axis] for index in entries) for axis in range(3))
    patch, kernel = np.full((C, kH, kW), np.nan), np.full((C, kH, kW), np.nan)
    for index, (x, w) in entries.items():
        patch[index], kernel[index] = x, w
    products = patch * kernel
    channel = int(np.nansum(np.abs(products), axis=(1, 2)).argmax())
    panels = (("patch", patch), ("kernel", kernel), ("products", products))
    width, gap = 22.0, 7.0
    if C > 1:
        grid.text(f"input channel {channel} of {C}, which contributes most", 0, 0, 11.5, MUTED)
    y = LINE_HEIGHT if C > 1 else 0.0
    height = 0.0
    for k, (name, array) in enumerate(panels):
        x = k * (width + gap)
        grid.text(name, x, y)
        scale = symmetric(np.nan_to_num(array[channel]), label=name)
        values = ".2f" if kW <= 5 else ""
        height = grid.picture(array[channel], x, y + LINE_HEIGHT, width, scale, name, values, gaps=True)
        if k:
            sign = "×" if k == 1 else "="
            grid.text(sign, x - gap / 2, y + LINE_HEIGHT + height / 2, 18, MUTED, "center", "middle")
    return y + LINE_HEIGHT + height + 2.5
