"""Draw the activations of one image, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from neocog.figures import checks
from neocog.figures.image_grid import LINE_HEIGHT, ImageGrid, flat, tiles
from neocog.figures.style import BLUE, LINE, MUTED, grey, number, symmetric
from neocog.inspection.trace import Trace
from neocog.layers.outputs import INDEPENDENT
from neocog.layers.prediction import Predictor
from neocog.validation import integer

# Each begins a new scale, as its outputs are of another size than its inputs.
SCALING = ("Conv2D", "Dense", "BatchNorm1D", "BatchNorm2D", "GroupNorm", "InstanceNorm", "LayerNorm")
MOST_CLASSES = 20
LETTERS = 15  # of a class name beside its bar
NAME = 20  # letters of a layer's name
LARGEST = 64  # pixels of a map's side; larger ones are drawn by the means of blocks of pixels


def trace(
    seen: Trace,
    index: int = 0,
    class_names: Sequence[str] | None = None,
    most: int = 16,
    ink: bool | None = None,
    title: str = "One image, layer by layer",
    layers: int | None = None,
) -> go.Figure:
    """Draw the activations of one image, layer by layer, down to the probabilities.

    Maps from one convolution or normalization to the next share a scale around zero. Layers that change
    nothing in a picture (flatten, dropout) are left out.

    Parameters
    ----------
    seen : Trace
        Of :func:`neocog.inspection.trace`.
    index : int
        Which image of the batch.
    class_names : sequence of str, optional
    most : int
        Maps shown of a layer.
    ink : bool, optional
        Whether 1 is black, as in drawings, or white, as in photographs. Default: as the network's
        preprocessing says, black without one.
    title : str
    layers : int, optional
        Layers drawn at most: of more, some from the first to the last. Default: all.

    Raises
    ------
    TypeError, ValueError
        If it is no trace, of a network of several inputs, or there is no such image.
    """
    if not isinstance(seen, Trace):
        raise TypeError(f"seen must be a Trace of neocog.inspection.trace, got {type(seen).__name__}.")
    if isinstance(seen.x, tuple):
        raise TypeError("a trace of a network of several inputs cannot be drawn.")
    steps = list(seen)
    x = np.asarray(seen.x)
    if integer("index", index, 0) >= len(x):
        raise ValueError(f"index must be below {len(x)}, the number of images, got {index}.")
    integer("most", most)
    ink = checks.ink(ink, seen.network)
    blocks = _blocks(steps[:-1], index)
    words = _verdict(seen, index, class_names)
    if layers is not None and integer("layers", layers) < len(blocks):
        words += f"{'; ' if words else ''}{layers} of the {len(blocks)} layers that can be drawn"
        blocks = [blocks[k] for k in np.linspace(0, len(blocks) - 1, layers).round().astype(int)]
    grid = ImageGrid(title, words)
    depths = [min(most, len(values)) if values.ndim == 3 else 99 for _, values, *_ in blocks]
    aside = x.ndim == 4 and x.shape[1] in (1, 3) and len(depths) > 1 and max(depths) <= 4
    left = 30.0 if aside else 0.0  # a network of few maps has room for its input beside them
    y = _input(grid, x[index], ink) if x.ndim == 4 and not aside else 0.0
    shown: set[int] = set()  # blocks whose scale is drawn, beside the first of their layers
    for step, values, block, bound in blocks:
        y = _layer(grid, step, values, bound, most, left, y, block not in shown)
        shown.add(block)
    if aside:
        _input(grid, x[index], ink, 24.0)
        tall = 24.0 * x.shape[2] / x.shape[3]
        grid.text("→", 27, LINE_HEIGHT + tall / 2, 20, MUTED, "center", "middle")
    output = np.asarray(steps[-1].y)[index]
    if output.ndim == 1:
        single = len(output) == 1 and seen.probabilities is not None  # of which the second class is told
        names = checks.class_names(class_names, len(output) + single)[-len(output) :]
        _answer(grid, seen, index, output, names, steps[-1].name, y)
    return grid.finish()


_KINDS = {"logits": "logits", "independent-logits": "log-odds", "values": "values"} | dict.fromkeys(
    ("probabilities", "independent-probabilities"), "probabilities"
)


def _verdict(seen: Any, index: int, class_names: Sequence[str] | None) -> str:
    """Return the prediction and the label in words."""
    if seen.probabilities is None:
        return ""
    chances = np.asarray(seen.probabilities)[index]
    names, chosen = checks.class_names(class_names, len(chances)), int(chances.argmax())
    if seen.output_kind in INDEPENDENT and len(chances) == np.asarray(seen.output).size // len(seen.output):
        over = seen.network.applying(chances) if isinstance(seen.network, Predictor) else chances > 0.5
        applying = [f"{names[k]} ({chances[k]:.1%})" for k in np.argsort(-chances) if over[k]]
        words = ", ".join(applying) or "no label"
        return words if seen.t is None else f"{words}; has {_named(np.asarray(seen.t)[index], names)}"
    words = f"classified as {names[chosen]} ({chances[chosen]:.1%})"
    return words if seen.t is None else f"{words}, is {names[int(np.asarray(seen.t).ravel()[index])]}"


def _named(labels: np.ndarray, names: Sequence[str]) -> str:
    return ", ".join(name for name, label in zip(names, labels, strict=True) if label > 0.5) or "no label"


def _answer(
    grid: ImageGrid, seen: Any, index: int, output: np.ndarray, names: list[str], layer: str, y: float
) -> None:
    """Draw the logits and the probabilities, of the ten most likely classes if there are many."""
    order = np.arange(len(output)) if len(output) <= MOST_CLASSES else output.argsort()[::-1][:10]
    shown = [checks.shortened(names[k], LETTERS) for k in order]
    labels = min(34.0, max(6.0, 2.1 * max(map(len, shown)) + 3))
    chosen = int(output.argmax())
    colours = [BLUE if k == chosen else LINE for k in order]
    width = (100 - labels - 4) / 2
    texts = [f"{output[k]:.2f}".replace("-", "\N{MINUS SIGN}") for k in order]
    top = y + LINE_HEIGHT + 0.4
    kind = seen.output_kind
    grid.text(f"<b>{layer}</b>  {_KINDS[kind]}", labels, y)
    grid.bars(output[order], shown, texts, 0, top, labels + width, colours, labels, numbers=12)
    if seen.probabilities is None:
        return
    every = np.asarray(seen.probabilities)[index]
    chances = every[-len(output) :][order]  # of a single output, that of the second class
    percent = [f"{p:.1%}" for p in chances]
    made = "sigmoid" if kind in INDEPENDENT else "softmax"
    grid.text(f"<b>{made}</b>" + "  probability" * (labels < 20), labels + width + 4, y)
    grid.bars(chances, shown, percent, labels + width + 4, top, width, colours, 0, limit=1.0, numbers=13)


def _input(grid: ImageGrid, image: np.ndarray, ink: bool, width: float = 17.0) -> float:
    C, H, W = image.shape
    grid.text(f"<b>input</b>  {C} × {H} × {W}".replace("  1 × ", "  "), 0, 0)
    if C not in (1, 3):
        return LINE_HEIGHT + 1.0
    return LINE_HEIGHT + 2.4 + grid.picture(flat(image), 0, LINE_HEIGHT, width, grey(image, ink), "input")


def _blocks(steps: list[Any], index: int) -> list[tuple[Any, np.ndarray, int, float]]:
    """Return the layers to draw, each with its values, its block, and the bound of the block's scale."""
    found: list[tuple[Any, np.ndarray, int]] = []
    bounds: dict[int, float] = {}
    block = 0
    for step in steps:
        kind = type(step.layer).__name__
        values = np.asarray(step.y)[index]
        if kind in SCALING:
            block += 1
        if kind in ("Flatten", "Dropout", "StochasticDepth"):
            continue
        bounds[block] = max(bounds.get(block, 0.0), float(np.abs(values).max()))
        found.append((step, values, block))
    return [(step, values, block, bounds[block] or 1.0) for step, values, block in found]


def _layer(
    grid: ImageGrid,
    step: Any,
    values: np.ndarray,
    bound: float,
    most: int,
    left: float,
    y: float,
    with_scale: bool,
) -> float:
    """Draw one layer's output and return where the next one begins."""
    kind = type(step.layer).__name__
    maps = values if values.ndim == 3 else values.reshape(1, 1, -1)
    F, H, W = maps.shape
    shape = f"{F} × {H} × {W}" if values.ndim == 3 else f"{values.size}"
    count = f", {most} shown" if most < F else ""
    small = _smaller(maps[0]).shape
    count += f", drawn at {small[0]} × {small[1]}" if small != (H, W) else ""
    scale = symmetric(np.array(bound), label="activation")
    grid.text(f"<b>{_ending(step.name)}</b>  {kind}, {shape}{count}", left, y)
    if with_scale:
        grid.strip(scale, 81.0, y + LINE_HEIGHT - 2.4, 9.0)
        grid.text(f"±{number(bound)}", 90.7, y, 11, MUTED)
    y += LINE_HEIGHT + 0.1
    if values.ndim != 3:
        grid.picture(maps[0], 0, y, 100, scale, step.name, gaps=W <= 64, height=3.2)
        return y + 5.4
    shown = min(F, most)
    lefts, width = tiles(min(shown, 8), 1.6, 22.0 if left else 17.0, left)
    for f in range(shown):
        row, column = divmod(f, len(lefts))
        tall = width * H / W
        top = y + row * (tall + 1.4)
        grid.picture(
            _smaller(maps[f]), lefts[column], top, width, scale, f"{step.name}, map {f}", gaps=max(H, W) <= 16
        )
    return float(y + (row + 1) * (tall + 1.4) + 1.2)


def _smaller(image: np.ndarray) -> np.ndarray:
    """Return a map of at most LARGEST pixels a side, by the means of blocks, without what is left over."""
    H, W = image.shape
    down, right = (-(-H // LARGEST), -(-W // LARGEST)) if H > 1 else (1, 1)
    whole = image[: H // down * down, : W // right * right]
    smaller: np.ndarray = whole.reshape(H // down, down, W // right, right).mean(axis=(1, 3))
    return smaller


def _ending(name: str) -> str:
    """Return the end of a layer's name, which says more of it than the beginning."""
    return name if len(name) <= NAME else f"…{name[1 - NAME :]}"
