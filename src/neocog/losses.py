"""Losses: a number to make small, and its derivative.

A loss is called as ``value, dz = loss(z, t)`` with the network's outputs ``z`` and the targets ``t``; with a
weight for each image, ``loss(z, t, weight)``, it is the mean of the images' losses, each times its weight.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from neocog.layers.base import Array, Layer, Shape
from neocog.layers.prediction import ends_in_softmax
from neocog.validation import number

__all__ = ["Loss", "MeanSquaredError", "SoftmaxCrossEntropy"]


class Loss(Protocol):
    """What the training loop asks of a loss."""

    def __call__(self, z: Array, t: Array, weight: Array | None = None) -> tuple[Any, Array]:
        """Return the mean loss of the batch and its derivative in ``z``."""
        ...

    def correct(self, z: Array, t: Array) -> Array | None:
        """Say which answers are right, (N,) booleans; None where that has no meaning."""
        ...


def check_weights(weight: Any, N: int) -> Array:
    """Return weights of images as float64.

    Raises
    ------
    ValueError
        If there is not one an image, or one is negative or not finite.
    """
    weight = np.asarray(weight, np.float64)
    if weight.shape != (N,):
        raise ValueError(f"weight must have shape ({N},), one an image, got {weight.shape}.")
    wrong = weight[~((weight >= 0) & np.isfinite(weight))]
    if wrong.size:
        raise ValueError(f"weight must be finite and at least 0, got {wrong[0]}.")
    return weight


def check_logits(network: Layer, loss: Loss) -> None:
    """Raise ValueError if the softmax of a network's outputs would be taken twice."""
    if isinstance(loss, SoftmaxCrossEntropy) and ends_in_softmax(network):
        raise ValueError(
            "the network must end in logits for SoftmaxCrossEntropy, which holds the softmax itself, got one "
            "that ends in Softmax; take network.without_softmax(), which shares its weights."
        )


class SoftmaxCrossEntropy:
    """How surprised a classifier is by the right classes.

    ``L = -1/N sum_{n,k} q[n,k] log p[n,k]`` with the probabilities ``p = softmax(z)`` and the targets
    ``q = onehot(t)``, or ``q = (1 - s) onehot(t) + s / K`` with label smoothing ``s``; computed by
    log-sum-exp, so that no probability underflows. With weights, image n is counted ``w[n]`` times.

    Derivative: ``dz = (p - q) / N``, times ``w[n]``.

    Parameters
    ----------
    label_smoothing : float in [0, 1)

    Raises
    ------
    ValueError, TypeError
        If a target is no class index, or ``z`` and ``t`` do not match.

    Notes
    -----
    Shapes: z (N, K), t (N,), weight (N,) -> a number, dz (N, K).

    Source: J. Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990;
    label smoothing: C. Szegedy et al., "Rethinking the Inception architecture", 2016.

    Examples
    --------
    >>> value, dz = SoftmaxCrossEntropy()(np.array([[0.0, 0.0]]), np.array([1]))
    >>> round(value, 6), dz
    (0.693147, array([[ 0.5, -0.5]]))
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = number("label_smoothing", label_smoothing, 0, 1, exclusive_maximum=True)

    def __call__(self, z: Array, t: Array, weight: Array | None = None) -> tuple[Any, Array]:
        t = self.targets(z.shape, t)
        N, K = z.shape
        smoothing = self.label_smoothing
        rows = np.arange(N)

        # The ufuncs' reduce is what max() and sum() call, without their overhead.
        highest = np.maximum.reduce(z.real if z.dtype.kind == "c" else z, axis=1, keepdims=True)
        shifted = z - highest
        p = np.exp(shifted)
        total = np.add.reduce(p, axis=1, keepdims=True)
        log_total = np.log(total)

        losses = log_total[:, 0] - shifted[rows, t] * (1 - smoothing)
        if smoothing:
            losses -= shifted.sum(axis=1) * (smoothing / K)
        p /= total
        if smoothing:
            p -= smoothing / K
        p[rows, t] -= 1 - smoothing
        if weight is None:
            p /= N
            return np.add.reduce(losses).item() / N, p
        share = check_weights(weight, N) / N
        p *= share[:, None]
        return (losses @ share).item(), p

    def targets(self, shape: Shape, t: Any) -> Array:
        """Return ``t`` as class indices that fit logits of a shape; raise if it is anything else."""
        t = np.asarray(t)
        if len(shape) != 2:
            raise ValueError(f"logits must have shape (N, classes), got {tuple(shape)}.")
        N, K = shape
        if t.dtype.kind not in "iu":
            raise TypeError(f"labels must be integers, got {t.dtype}.")
        if t.shape != (N,):
            raise ValueError(f"labels must have shape ({N},), one an image, got {t.shape}.")
        if N == 0:
            raise ValueError("the loss of an empty batch is not defined: got 0 images.")
        # One reduction finds both ends: a negative index is huge as an unsigned number.
        if np.maximum.reduce(t.astype(np.uint64)) >= K:
            wrong = t[(t < 0) | (t >= K)][0]
            raise ValueError(f"labels must be in 0..{K - 1}, got {wrong}.")
        return t

    def correct(self, z: Array, t: Array) -> Array:
        """Say of each image whether the largest logit is that of its class."""
        return z.argmax(axis=1) == t

    def __repr__(self) -> str:
        smoothing = f"label_smoothing={self.label_smoothing}" if self.label_smoothing else ""
        return f"SoftmaxCrossEntropy({smoothing})"


class MeanSquaredError:
    """Mean squared distance between outputs and targets.

    ``L = 1/M sum (z - t)^2`` over all M numbers. With weights, image n is counted ``w[n]`` times.

    Derivative: ``dz = 2 (z - t) / M``.

    Raises
    ------
    ValueError
        If the shapes differ or the batch is empty.

    Notes
    -----
    Shapes: z and t of any equal shape, weight (N,) -> a number, dz of that shape.

    Source: A.-M. Legendre, 1805; C. F. Gauss, 1809.

    Examples
    --------
    >>> MeanSquaredError()(np.array([[1.0, 4.0]]), np.array([[1.0, 2.0]]))
    (2.0, array([[0., 2.]]))
    """

    def __call__(self, z: Array, t: Array, weight: Array | None = None) -> tuple[Any, Array]:
        t = self.targets(z.shape, t)
        difference = z - t.astype(z.dtype, copy=False)
        if weight is None:
            return (difference * difference).sum().item() / z.size, difference * (2 / z.size)
        share = check_weights(weight, len(z)) / z.size
        weighted = difference * share.astype(z.dtype).reshape(-1, *(1,) * (z.ndim - 1))
        return (weighted * difference).sum().item(), 2 * weighted

    def targets(self, shape: Shape, t: Any) -> Array:
        """Return ``t`` as numbers that fit outputs of a shape; raise if it is anything else."""
        t = np.asarray(t)
        if tuple(shape) != t.shape:
            raise ValueError(f"targets must have the outputs' shape {tuple(shape)}, got {t.shape}.")
        if t.size == 0:
            raise ValueError("the loss of an empty batch is not defined: got 0 outputs.")
        return t

    def correct(self, z: Array, t: Array) -> None:
        """Return None: a regression has no right or wrong answers."""
        return

    def __repr__(self) -> str:
        return "MeanSquaredError()"
