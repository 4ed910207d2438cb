"""Say what the outputs of a network are; whatever makes probabilities or answers of outputs asks here."""

from __future__ import annotations

import contextlib
import math

import numpy as np

from neocog.layers.activation import Sigmoid
from neocog.layers.base import Array, Layer, Shape
from neocog.layers.dropout import Dropout
from neocog.layers.shape import Flatten, Reshape
from neocog.layers.softmax import LogSoftmax, Softmax, softmax

__all__ = [
    "INDEPENDENT",
    "MEANINGS",
    "OUTPUT_KINDS",
    "PASSING",
    "WEIGHTED",
    "as_logits",
    "before_last",
    "classes_of",
    "count_outputs",
    "flat_shape",
    "implied_kind",
    "kind_of",
    "last_layer",
    "log_odds",
    "probabilities_of",
]

MEANINGS = {
    "logits": "logits, of which softmax makes the probabilities of classes that exclude each other",
    "probabilities": "probabilities of classes that exclude each other",
    "independent-logits": "log-odds, of which a sigmoid makes a probability each, independent of the others",
    "independent-probabilities": "probabilities, each independent of the others",
    "values": "values, no probabilities of classes",
}
"""The kinds of outputs, and what they are. LogSoftmax makes logits: the softmax of its outputs is right."""

OUTPUT_KINDS = tuple(MEANINGS)

INDEPENDENT = ("independent-logits", "independent-probabilities")
"""Kinds whose outputs each say whether a label applies; a single output, whether it is the second class."""

WEIGHTED = (
    "trained with class weights, so that no class is neglected: a rare class may be chosen though "
    "another, or none, is more probable; the probabilities are those of the training images' own mixture"
)
"""What is said beside the probabilities of a network with ``class_weight``."""

PASSING = (Flatten, Reshape, Dropout)
"""Layers that change none of the numbers in inference; the last layer before them makes the outputs."""


def last_layer(network: Layer) -> Layer | None:
    """Return the layer that makes a network's outputs; None if nothing but their shape is made."""
    leaves = [leaf for _, leaf in network.leaves()] or [network]  # of a graph, too: all lead to the last one
    return next((leaf for leaf in reversed(leaves) if not isinstance(leaf, PASSING)), None)


def implied_kind(network: Layer, outputs: int | None = None) -> str:
    """Return what a network's outputs are by its end: its last layer, and how many ``outputs`` there are."""
    last = last_layer(network)
    if isinstance(last, Softmax):
        return "probabilities"
    if isinstance(last, Sigmoid):
        return "independent-probabilities"
    return "values" if outputs == 1 and not isinstance(last, LogSoftmax) else "logits"


def kind_of(network: Layer, outputs: int | None = None) -> str:
    """Return what a network's outputs are: what was stated of them, else what its end implies."""
    return getattr(network, "stated_kind", None) or implied_kind(network, outputs)


def flat_shape(shape: Shape) -> Shape:
    """Return the shape (N, K) for outputs (N, K, 1, 1), as fully convolutional networks have; else the same.

    Examples
    --------
    >>> flat_shape((5, 10, 1, 1)), flat_shape((5, 10, 2, 2))
    ((5, 10), (5, 10, 2, 2))
    """
    shape = tuple(shape)
    return shape[:2] if len(shape) > 2 and math.prod(shape[2:]) == 1 else shape


def count_outputs(network: Layer, image_shape: tuple[int, ...] | None) -> int | None:
    """Return how many numbers a network gives for an image; None if it is not known, or they are maps."""
    with contextlib.suppress(ValueError, TypeError):
        shape = flat_shape(network.output_shape((1, *image_shape))) if image_shape else ()
        return shape[1] if len(shape) == 2 else None
    return None


def classes_of(kind: str, outputs: int) -> int:
    """Return of how many classes a network with so many outputs gives probabilities.

    Examples
    --------
    >>> classes_of("logits", 10), classes_of("independent-logits", 10), classes_of("independent-logits", 1)
    (10, 10, 2)
    """
    return 2 if kind in INDEPENDENT and outputs == 1 else outputs


def probabilities_of(kind: str, outputs: Array) -> Array:
    """Return the probability of each class: outputs (N, K) -> (N, classes).

    Raises
    ------
    ValueError
        If the outputs are values.

    Examples
    --------
    >>> probabilities_of("independent-logits", np.log([[1.0, 3.0]])).round(6)
    array([[0.5 , 0.75]])
    >>> probabilities_of("independent-probabilities", np.array([[0.25]]))  # of class 0, and of class 1
    array([[0.75, 0.25]])
    """
    if kind == "values":
        raise ValueError(
            "the network's outputs are values, no probabilities of classes; take predict. If they are "
            "something else, say what: network.output_kind = 'logits', 'independent-logits' ..."
        )
    if kind == "logits":
        return softmax(outputs)
    if kind == "probabilities":
        return outputs
    if kind == "independent-logits":
        if outputs.shape[1] == 1:  # both computed without cancellation
            outputs = np.concatenate([-outputs, outputs], axis=1)
        return Sigmoid().forward(outputs)[0]
    return np.concatenate([1 - outputs, outputs], axis=1) if outputs.shape[1] == 1 else outputs


def as_logits(kind: str, outputs: Array) -> Array:
    """Return the logits, or log-odds, whose probabilities are those of outputs that are no values."""
    if kind == before_last(kind):
        return outputs
    tiny = np.finfo(outputs.dtype).tiny
    logarithms = np.log(np.maximum(outputs, tiny))
    return logarithms - np.log(np.maximum(1 - outputs, tiny)) if kind in INDEPENDENT else logarithms


def log_odds(kind: str, outputs: Array) -> Array:
    """Return numbers that are above 0 where an independent label is more probable than not."""
    return outputs if kind == "independent-logits" else outputs - 0.5


def before_last(kind: str) -> str:
    """Return what the numbers are of which the last layer, a softmax or sigmoid, makes outputs of a kind."""
    return {"probabilities": "logits", "independent-probabilities": "independent-logits"}.get(kind, kind)
