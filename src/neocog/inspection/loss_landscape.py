"""Measure the loss in the neighbourhood of the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from neocog.deprecation import accepts_old_names
from neocog.inspection.arguments import prepare_batch
from neocog.layers import Dense, Layer
from neocog.layers.base import Array
from neocog.losses import Loss
from neocog.training.evaluation import evaluate
from neocog.validation import RandomSource, generator, integer, number

__all__ = ["Landscape", "loss_landscape"]


@dataclass(frozen=True)
class Landscape:
    """The result of :func:`loss_landscape`: the loss on a line or a plane through the weights.

    Attributes
    ----------
    offsets : array (steps,)
        The points along each direction; the middle is 0, the weights themselves. A step of 1 moves
        each filter by as much as its own length.
    losses : array (steps,) or (steps, steps)
        ``losses[i, j]`` at ``offsets[i]`` along the first direction and ``offsets[j]`` along the second.
    directions : list of dict of str to array
        By parameter.
    """

    offsets: Array
    losses: Array
    directions: list[dict[str, Array]]

    @property
    def centre(self) -> float:
        """The loss of the network as it is."""
        return float(self.losses[(len(self.offsets) // 2,) * self.losses.ndim])


@accepts_old_names
def loss_landscape(
    network: Layer,
    x: Any,
    y: Any,
    *,
    directions: int = 2,
    steps: int = 11,
    span: float = 1.0,
    loss: Loss | None = None,
    rng: RandomSource = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Landscape:
    """Measure the loss along random directions from the weights, in inference.

    ``f(a, b) = L(w + a d1 + b d2)``; each filter of a direction is normal noise scaled to the length of the
    filter it moves, ``d <- d ||w_f|| / ||d_f||``, so that a network with larger weights does not look flatter
    than it is. Biases and the parameters of batch norms are not moved.

    Parameters
    ----------
    network : Layer
    x : floating point array (N, C, H, W)
    y : labels (N,)
    directions : {1, 2}
    steps : int
        Points along each direction; odd, so that one is the centre.
    span : float
        How far to go to each side.
    loss : default SoftmaxCrossEntropy()
    rng : Generator, int or None
    progress : function (int, int) -> None, optional
        Called before each point, with how many are measured and how many there are; what it raises ends it.

    Returns
    -------
    Landscape

    Raises
    ------
    TypeError, ValueError
        If images or labels do not fit the network, or an argument is out of range.

    Notes
    -----
    Source: H. Li et al., "Visualizing the loss landscape of neural nets", 2018.

    Examples
    --------
    >>> from neocog.models import tiny_cnn
    >>> slice = loss_landscape(tiny_cnn(), np.zeros((1, 1, 8, 8)), np.array([0]), directions=1, steps=3)
    >>> slice.losses.round(6)  # of a black image every logit is a bias, and biases are not moved
    array([1.098612, 1.098612, 1.098612])
    """
    network = network.original  # whose weights may be moved
    x = prepare_batch(network, x)
    if integer("directions", directions) > 2:
        raise ValueError(f"directions must be 1 or 2, got {directions}.")
    if integer("steps", steps) % 2 == 0:
        raise ValueError(f"steps must be odd, so that one is the centre, got {steps}.")
    rng, span = generator(rng), number("span", span, 0, exclusive_minimum=True)
    ways = [_direction(network, rng) for _ in range(directions)]
    offsets = np.linspace(-span, span, steps)
    offsets[steps // 2] = 0
    losses = np.empty((steps,) * directions)
    twin = copy.deepcopy(network)
    for done, index in enumerate(np.ndindex(losses.shape)):
        if progress is not None:
            progress(done, losses.size)
        for name, w in network.params.items():
            moves = [offsets[k] * way[name] for k, way in zip(index, ways, strict=True)]
            twin.params[name][...] = w + sum(moves)
        with np.errstate(over="ignore", invalid="ignore"):  # far away the loss may be infinite
            losses[index] = evaluate(twin, x, y, loss=loss).loss
    return Landscape(offsets, losses, ways)


def _direction(network: Layer, rng: np.random.Generator) -> dict[str, Array]:
    """Draw a direction whose filters have the norms of the network's; zero for biases and batch norms."""
    dense = {f"{name}.weight".lstrip(".") for name, leaf in network.leaves() if isinstance(leaf, Dense)}
    direction = {}
    for name, w in network.params.items():
        if w.ndim < 2:
            direction[name] = np.zeros_like(w)
            continue
        filters = w.ndim - 1 if name in dense else 0  # the axis of the outputs
        others = tuple(axis for axis in range(w.ndim) if axis != filters)
        d = rng.normal(size=w.shape)
        lengths = [np.sqrt(np.square(a).sum(axis=others, keepdims=True)) for a in (w, d)]
        direction[name] = (d * lengths[0] / lengths[1]).astype(w.dtype)
    return direction
