"""Write a lesson as a living page: its network, trained in a few seconds, and the lesson in one HTML file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neocog.atomic import atomic_write
from neocog.studio.architecture import describe
from neocog.studio.lessons import find
from neocog.studio.measures import Scene
from neocog.studio.page import living_page
from neocog.training import predict

__all__ = ["lesson_page", "write_lesson_page"]

SAMPLES = 20


def write_lesson_page(lesson: str, path: str | Path) -> Path:
    """Train the network of a lesson, and write the lesson as a living page.

    Parameters
    ----------
    lesson : str
        Its name, or the path of your own one; see :mod:`neocog.studio.lessons`.
    path : path
        The HTML file.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If there is no such lesson, or its file is none.
    """
    atomic_write(Path(path), lesson_page(lesson)[1])
    return Path(path)


def lesson_page(lesson: str, begin: str = "") -> tuple[str, str]:
    """Train the network of a lesson; return its title and its page as text.

    Parameters
    ----------
    lesson : str
    begin : str
        What is shown first, as the part of an address behind ``#``.
    """
    found = find(lesson)
    trained = found.train()
    network, held_out = trained.network, trained.data.validation
    assert held_out is not None  # the built-in sources have some
    classes = range(len(trained.data.class_names))
    queues = [np.flatnonzero(held_out[1] == k)[: max(2, SAMPLES // len(classes))] for k in classes]
    chosen = [int(queue[turn]) for turn in range(len(queues[0])) for queue in queues]
    images, labels = np.asarray(held_out[0][chosen], np.float32), held_out[1][chosen]
    samples = [
        {"name": f"image {k}", "label": int(label), "predicted": int(answer)}
        for k, label, answer in zip(chosen, labels, predict(network, images), strict=True)
    ]
    scene = Scene(network, images[found.sample], images, trained.runs)
    page = living_page(
        network,
        trained.snapshots.snapshots,
        images,
        samples,
        history=next(iter(trained.runs.values())),
        title=found.title,
        ink=True,
        held_out=True,
        lesson=found.bind(describe(network), scene),
        begin=begin,
    )
    return found.title, page
