"""Measure what the lessons ask for and show: numbers computed from the network at hand, never written down.

``web/lessons.js`` has the same measures under the same names, for pages without Python;
``tests/studio/test_lessons.py`` compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from neocog.inspection.explain import Inquiry
from neocog.inspection.trace import Trace, trace
from neocog.layers import Layer
from neocog.layers.prediction import ends_in_softmax
from neocog.validation import one_of

__all__ = ["MEASURES", "Scene", "largest_path", "measure", "pushed"]

NUDGE = 1e-3
"""How far a pixel is moved to both sides for its slope."""


@dataclass(frozen=True)
class Scene:
    """What a measure looks at: a network, the image that is shown, and all that the page holds.

    Parameters
    ----------
    network : Layer
        Taken in float64.
    image : array (C, H, W)
    samples : array (N, C, H, W)
        The images that the page offers.
    runs : dict of str to dict of str to list of float
        The columns of the history of each run of the lesson, the run that is shown first.
    """

    network: Layer
    image: np.ndarray
    samples: np.ndarray
    runs: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.network.dtype not in (None, np.float64):  # as the page computes
            object.__setattr__(self, "network", self.network.astype("float64"))

    @cached_property
    def seen(self) -> Trace:
        """The forward pass of the image."""
        return trace(self.network, np.asarray(self.image, float)[None])

    @cached_property
    def head(self) -> str:
        """The name of the output, before a softmax if the network ends in one."""
        names = [record.name for record in self.seen]
        return names[-2] if ends_in_softmax(self.network) else names[-1]

    def values(self, node: str) -> np.ndarray:
        """Return the output of a node for the image."""
        if node == "input":
            return np.asarray(self.image, float)
        known = [record.name for record in self.seen]
        return np.asarray(self.seen[one_of("a node", node, known)].y[0])

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return the logits of images (N, C, H, W); of a network that ends in Softmax its probabilities."""
        return np.asarray(self.network(np.asarray(images, float)))


def pushed(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Push an image (C, H, W) down and right, or up and left if negative; what comes in repeats the edge.

    Examples
    --------
    >>> pushed(np.array([[[1, 2], [3, 4]]]), 0, 1).tolist()
    [[[1, 1], [3, 3]]]
    """
    _, H, W = image.shape
    down, right = (np.clip(np.arange(n) - by, 0, n - 1) for n, by in ((H, rows), (W, columns)))
    return np.asarray(image[:, down][:, :, right])


def _value(scene: Scene, place: Sequence[Any]) -> float:
    """Return the number at a place, [node, index ...]."""
    return float(scene.values(place[0])[tuple(place[1:])])


def _without(scene: Scene, place: Sequence[Any], pixel: Sequence[int]) -> float:
    """Return what the number at a place would be if a pixel were 0, in all channels."""
    image = np.array(scene.image, float)
    image[:, pixel[0], pixel[1]] = 0
    return _value(Scene(scene.network, image, scene.samples), place)


def _strongest(scene: Scene, node: str) -> int:
    """Return which map holds the largest number, counted from 1, as the page does."""
    return int(scene.values(node).max(axis=(1, 2)).argmax()) + 1


def _silent(scene: Scene, node: str) -> int:
    """Return how many maps are 0 everywhere for the image."""
    return int((scene.values(node) == 0).all(axis=(1, 2)).sum())


def _dead(scene: Scene, node: str) -> int:
    """Return how many maps are 0 everywhere for every sample."""
    maps = np.asarray(trace(scene.network, np.asarray(scene.samples, float))[node].y)
    return int((maps == 0).all(axis=(0, 2, 3)).sum())


def _change(scene: Scene, node: str, rows: int = 0, columns: int = 0) -> float:
    """Return by how many percent a node's numbers change when the image is pushed."""
    before = scene.values(node)
    after = Scene(scene.network, pushed(scene.image, rows, columns), scene.samples).values(node)
    return float(100 * np.abs(after - before).sum() / np.abs(before).sum())


def _pushes(scene: Scene) -> int:
    """Return after how many pushes to the right the class changes; 0 if it never does."""
    image = np.asarray(scene.image)
    first = scene.logits(image[None])[0].argmax()
    for k in range(1, image.shape[2]):
        if scene.logits(pushed(image, 0, k)[None])[0].argmax() != first:
            return k
    return 0


def _best_epoch(scene: Scene, run: str, column: str) -> int:
    """Return the epoch at which a column of a run's history is lowest."""
    history = scene.runs[run]
    return int(history["epoch"][int(np.nanargmin(history[column]))])


def _best_run(scene: Scene, column: str) -> str:
    """Return the run of which a column comes down furthest."""
    lowest = {name: np.nanmin(history[column]) for name, history in scene.runs.items()}
    return min(lowest, key=lambda name: lowest[name])


def _guessing(scene: Scene) -> float:
    """Return the loss of a network that gives all K classes one probability: log K."""
    return float(np.log(scene.logits(scene.image[None]).shape[1]))


def largest_path(scene: Scene) -> list[tuple[str, tuple[int, ...]]]:
    """Follow the largest term from the predicted class down to a pixel.

    The largest term is that of the largest magnitude among those that lead on, so that biases are passed
    over; of equal ones the first is taken.

    Returns
    -------
    list of (node, index)
        From the network's output to the input.
    """
    inquiry = Inquiry(scene.seen)
    node = scene.head
    index: tuple[int, ...] = (int(scene.values(node).argmax()),)
    path = [(node, index)]
    while node != "input":
        answer = inquiry.ask(node, (0, *index))
        leading = [
            (abs(term.value), part.number)
            for term in answer.terms
            for part in term.parts
            if part.number is not None
            and part.number.of == "activation"
            and (part.number.at == "input" or part.number.at in inquiry.sources)
        ]
        _, number = max(leading, key=lambda one: one[0])
        node, index = number.at, tuple(number.index[1:])
        path.append((node, index))
    return path


def _pixel(scene: Scene) -> tuple[int, int]:
    """Return row and column of the pixel at the end of the largest path, counted from 1."""
    row, column = largest_path(scene)[-1][1][-2:]
    return row + 1, column + 1


def _slope(scene: Scene, pixel: Sequence[int]) -> float:
    """Return how fast the predicted class's logit rises with a pixel, by central difference."""
    node = scene.head
    k = int(scene.values(node).argmax())
    found = []
    for side in (1, -1):
        image = np.array(scene.image, float)
        image[:, pixel[0], pixel[1]] += side * NUDGE
        found.append(Scene(scene.network, image, scene.samples).values(node)[k])
    return float((found[0] - found[1]) / (2 * NUDGE))


def _direction(scene: Scene, pixel: Sequence[int]) -> str:
    """Return whether more ink in a pixel raises the predicted class's logit or lowers it."""
    slope = _slope(scene, pixel)
    return "raises" if slope > 0 else "lowers" if slope < 0 else "neither"


MEASURES: dict[str, Callable[..., Any]] = {
    "value": _value,
    "without": _without,
    "strongest": _strongest,
    "silent": _silent,
    "dead": _dead,
    "change": _change,
    "pushes": _pushes,
    "best-epoch": _best_epoch,
    "best-run": _best_run,
    "guessing": _guessing,
    "pixel": _pixel,
    "slope": _slope,
    "direction": _direction,
}
"""What can be measured, by name: a function of the scene and of named arguments."""


def measure(scene: Scene, name: str, **arguments: Any) -> Any:
    """Measure something of a scene.

    Parameters
    ----------
    scene : Scene
    name : str
        One of ``MEASURES``.
    **arguments
        Of the measure.

    Returns
    -------
    int, float, str or tuple of int
    """
    return MEASURES[one_of("name", name, MEASURES)](scene, **arguments)
