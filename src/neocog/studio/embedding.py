"""Put living pages into notebooks and into pages of a course: a frame that holds all it needs."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neocog.atomic import atomic_write
from neocog.inspection.arguments import class_indices, prepare_batch
from neocog.layers import Container
from neocog.serialization import arrays_of
from neocog.studio.answers import plain
from neocog.studio.lesson_page import lesson_page
from neocog.studio.page import MOST_SAMPLES, living_page
from neocog.training import History, Snapshots
from neocog.validation import integer

__all__ = ["LivingPage", "page_content", "show_lesson", "show_network"]

Frames = Snapshots | Mapping[int, Mapping[str, np.ndarray]] | None


class LivingPage:
    """A living page: shown in a frame where it is the last line of a notebook's cell.

    The frame may run the page's own script and nothing else: it loads nothing, and cannot touch the page
    around it.

    Attributes
    ----------
    html : str
        The page.
    title : str
    height : int
        Of the frame, in pixels.
    """

    def __init__(self, page: str, title: str, height: int) -> None:
        self.html, self.title, self.height = page, title, integer("height", height)

    def __repr__(self) -> str:
        return f"LivingPage({self.title!r}, {len(self.html) / 1000:.0f} KB)"

    def save(self, path: str | Path) -> Path:
        """Write the page to a file that any browser opens."""
        atomic_write(Path(path), self.html)
        return Path(path)

    def _repr_html_(self) -> str:
        title, style = html.escape(self.title), f"border: 0; width: 100%; height: {self.height}px"
        return (
            f'<iframe class="living-page" title="{title}" sandbox="allow-scripts" loading="lazy" '
            f'style="{style}" srcdoc="{html.escape(self.html)}"></iframe>'
        )


def show_lesson(lesson: str, *, step: int = 1, height: int = 760) -> LivingPage:
    """Train the network of a lesson, in a few seconds, and show the lesson.

    Parameters
    ----------
    lesson : str
        Its name, or the path of your own one; see :mod:`neocog.studio.lessons`.
    step : int
        Where it begins, counted from 1.
    height : int
        In pixels.

    Raises
    ------
    ValueError
        If there is no such lesson, or its file is none.

    Examples
    --------
    >>> show_lesson("convolution")
    LivingPage('What a convolution is', ... KB)
    """
    title, page = lesson_page(lesson, begin=f"step={integer('step', step)}")
    return LivingPage(page, title, height)


def show_network(
    network: Container,
    x: Any,
    y: Any = None,
    *,
    snapshots: Frames = None,
    history: History | None = None,
    title: str = "neocog",
    begin: str = "",
    height: int = 760,
) -> LivingPage:
    """Show a network with some images, computed in the page.

    Parameters
    ----------
    network : Container
    x : floating point array (N, C, H, W)
        The first 36 are shown.
    y : labels (N,), optional
    snapshots : Snapshots, or dict of int to dict of str to array, optional
        The parameters at some epochs, to go through; see :class:`neocog.training.Snapshots`.
    history : History, optional
        Its curves are drawn.
    title : str
    begin : str
        What is shown first, as in the address of a living page: ``"at=conv1:0,2,3&sample=4&hide=input"``.
    height : int
        In pixels.

    Raises
    ------
    ValueError, TypeError
        If images or labels do not fit the network.

    Examples
    --------
    >>> from neocog.models import tiny_cnn
    >>> show_network(tiny_cnn(), np.zeros((1, 1, 8, 8)), title="TinyCNN")
    LivingPage('TinyCNN', ... KB)
    """
    content = page_content(network, x, y, snapshots, history)
    return LivingPage(living_page(network, **content, title=title, begin=begin), title, height)


def page_content(
    network: Container, x: Any, y: Any, snapshots: Frames, history: History | None
) -> dict[str, Any]:
    """Return what a page of a network holds, as :func:`neocog.studio.page.living_page` takes it."""
    images = prepare_batch(network, x[:MOST_SAMPLES]).astype(np.float32)
    labels = None
    if y is not None:
        classes = network.output_shape(images.shape)[1]
        labels = class_indices("y", np.asarray(y)[: len(images)], len(images), classes)
    samples = [
        {"name": f"image {k}", "label": None if labels is None else int(labels[k]), "predicted": None}
        for k in range(len(images))
    ]
    frames = dict(snapshots.snapshots if isinstance(snapshots, Snapshots) else snapshots or {})
    last = max([0, *frames])
    columns: dict[str, Any] = {}
    if history is not None and len(history):
        last = max(last, int(history.last["epoch"]))
        shown = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy")
        columns = {name: plain(history[name]) for name in shown}
    frames[last] = {name: array.astype(np.float32) for name, array in arrays_of(network).items()}
    return {"frames": frames, "images": images, "samples": samples, "history": columns}
