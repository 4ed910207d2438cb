"""Draw galleries of images with their labels and predictions."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from neocog.data.lines import PATTERNS, base_pattern
from neocog.deprecation import accepts_old_names
from neocog.figures import checks
from neocog.figures.image_grid import LINE_HEIGHT, ImageGrid, flat, tiles
from neocog.figures.style import (
    LINE,
    MUTED,
    VERMILLION,
    grey,
)
from neocog.validation import integer, one_of

if TYPE_CHECKING:
    from neocog.data.split import Split

LONGEST = 24  # letters of a line that is not cut


@accepts_old_names
def image_gallery(
    x: Any,
    y: Any = None,
    class_names: Sequence[str] | None = None,
    predicted: Any = None,
    probabilities: Any = None,
    columns: int | None = None,
    title: str = "",
    ink: bool | None = None,
    image_names: Sequence[str] | None = None,
) -> go.Figure:
    """Draw images in a grid, with their labels and predictions.

    A wrong prediction has a red frame. Many pixels are drawn as PNG pictures, without their numbers.

    Parameters
    ----------
    x : array (N, C, H, W) or (N, H, W)
        Of 1 or 3 channels.
    y : int array (N,), optional
        True classes.
    class_names : sequence of str, optional
    predicted : int array (N,), optional
        Predicted classes.
    probabilities : array (N,) or (N, classes), optional
        Of the predicted class, or of every class.
    columns : int, optional
        Default: 6, or fewer if the class names are long.
    title : str
    ink : bool, optional
        Grey images: whether 1 is black, as in drawings, or white, as in photographs. Default: as their
        preprocessing says, and black for an array.
    image_names : sequence of str, optional
        The images' own names, such as those of their files: the end of each stands above its image, the whole
        is shown on hovering. The captions are shorter then.

    Raises
    ------
    ValueError, TypeError
        If labels, predictions or probabilities do not fit the images.
    """
    ink = checks.ink(ink, x)
    pictures = checks.images("x", x)
    N = len(pictures)
    if image_names is not None and len(image_names) != N:
        raise ValueError(f"image_names must be {N}, one an image, got {len(image_names)}.")
    given = {"y": y, "predicted": predicted}
    known = {name: checks.labels(name, found, N) for name, found in given.items() if found is not None}
    names = checks.class_names(class_names, max((int(k.max()) + 1 for k in known.values()), default=0))
    certain = _certainty(probabilities, known.get("predicted"), N)
    if not title:
        title = "Misclassified images" if len(known) == 2 else "Sample images"
        if len(known) == 2 and (known["y"] == known["predicted"]).any():
            title = "Images and predictions"
    verb = "classified as" if image_names is None else "→"
    captions = [_caption(k, known, names, certain, verb) for k in range(N)]
    if columns is None:  # as many as the captions have room for; the longest are cut
        longest = max(len(html.unescape(line)) for caption in captions for line in caption.split("<br>"))
        columns = 4 if longest > LONGEST else int(np.clip(100 // (1.75 * longest + 1), 2, 6))
        columns = min(N, columns)
    lefts, width = tiles(integer("columns", columns), 2.4, 40.0)
    grid = ImageGrid(title)
    lines = max(caption.count("<br>") + 1 if caption else 0 for caption in captions)
    above = LINE_HEIGHT if image_names is not None else 0.0
    pitch = width * pictures.shape[2] / pictures.shape[3] + above + lines * LINE_HEIGHT + 2.0
    room = max(LONGEST if columns < 3 else 8, int(width / 1.9))
    scale = grey(pictures, ink)
    for k, picture in enumerate(pictures):
        row, column = divmod(k, columns)
        wrong = len(known) == 2 and known["y"][k] != known["predicted"][k]
        name = f"image {k}" + (f": {captions[k].replace('<br>', ', ')}" if captions[k] else "")
        x, y = lefts[column], row * pitch + above
        if image_names is not None:
            own = html.escape(str(image_names[k]), quote=False)
            name = f"{own}<br>{captions[k]}" if captions[k] else own
            grid.text(_ending(str(image_names[k]), room), x + width / 2, y - above, 11, MUTED, "center")
        tall = grid.picture(flat(picture), x, y, width, scale, name, frame=VERMILLION if wrong else LINE)
        if captions[k]:
            cut = "<br>".join(checks.shortened(line, room) for line in captions[k].split("<br>"))
            grid.text(cut, x + width / 2, y + tall + 0.3, 11.5, anchor="center", valign="top")
    return grid.finish()


def class_examples(
    split: Split,
    count: int = 4,
    bases: Mapping[str, Any] | None = None,
    title: str = "The classes",
    ink: bool | None = None,
) -> go.Figure:
    """Draw, for each class, its clean pattern and the first training images of it.

    Parameters
    ----------
    split : Split
    count : int
        Images a class.
    bases : dict of class name to array (H, W) or (C, H, W), optional
        The clean patterns. Default: those of the line patterns, where the classes are such.
    title : str
    ink : bool, optional
        Whether 1 is black, as in drawings, or white, as in photographs; by default as the split says.

    Raises
    ------
    ValueError, TypeError
        If the split is one of a regression, or a base has another size than the images.
    """
    if not split.class_names:
        raise ValueError("split must be one of classes, got a regression.")
    integer("count", count)
    ink = checks.ink(ink, split)
    H, W = split.image_shape[1:]
    if bases is None and H == W and split.image_shape[0] == 1 and set(split.class_names) <= set(PATTERNS):
        bases = {name: base_pattern(name, H) for name in split.class_names}
    bases = {name: checks.image(f"bases[{name!r}]", image) for name, image in (bases or {}).items()}
    for name, base in bases.items():
        one_of("a class of bases", name, split.class_names)
        if base.shape[-2:] != (H, W):
            raise ValueError(f"bases[{name!r}] must be {H} x {W} like the images, got {base.shape[-2:]}.")
    images, labels = split.train
    grid = ImageGrid(title, "the clean pattern, then training images" if bases else "training images")
    left = 20.0
    lefts, width = tiles(count + bool(bases), 2.0, 24.0, left)
    tall = width * H / W
    for row, name in enumerate(split.class_names):
        y = row * (tall + 2.0)
        grid.text(name, 0, y + tall / 2, 12.5, valign="middle")
        chosen = np.flatnonzero(labels == row)[:count]
        pictures = [checks.image(f"image {k}", images[[k]][0]) for k in chosen]
        shown = [f"{name}, training image {k}" for k in chosen]
        if name in bases:
            grid.picture(
                flat(bases[name]), lefts[0], y, width, grey(bases[name], ink), f"{name}, clean", frame=MUTED
            )
        for k, (picture, words) in enumerate(zip(pictures, shown, strict=True), bool(bases)):
            grid.picture(flat(picture), lefts[k], y, width, grey(picture, ink), words)
    return grid.finish()


def _ending(name: str, letters: int) -> str:
    """Return the end of a name, in which files of one folder differ."""
    short = name if len(name) <= letters else f"…{name[1 - letters :]}"
    return html.escape(short, quote=False)


def _certainty(probabilities: Any, predicted: np.ndarray | None, N: int) -> np.ndarray | None:
    """Return the probability of each predicted class."""
    if probabilities is None:
        return None
    found = checks.array("probabilities", probabilities, 1, 2)
    if predicted is None:
        raise ValueError("probabilities are of predicted classes: pass predicted too.")
    if len(found) != N:
        raise ValueError(f"probabilities must be {N}, one an image, got {len(found)}.")
    if found.ndim == 2:
        if predicted.max() >= found.shape[1]:
            raise ValueError(f"probabilities must be of {predicted.max() + 1} classes, got {found.shape[1]}.")
        found = found[np.arange(N), predicted]
    return found


def _caption(
    k: int, known: dict[str, np.ndarray], names: list[str], certain: np.ndarray | None, verb: str
) -> str:
    """Return the caption of an image."""
    lines = []
    if "predicted" in known:
        if "y" in known:
            lines.append(f"is {names[known['y'][k]]}")
        lines.append(f"{verb} {names[known['predicted'][k]]}")
        if certain is not None:
            lines.append(f"{certain[k]:.0%}")
    elif "y" in known:
        lines.append(names[known["y"][k]])
    return "<br>".join(lines)
