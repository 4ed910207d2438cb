"""Define the losses of classes: cross-entropy and focal loss of a softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neocog.deprecation import accepts_old_names
from neocog.layers.base import Array, Shape
from neocog.layers.softmax import softmax
from neocog.losses.base import LossTerm, check_weights, of_rows
from neocog.representation import constructor_call
from neocog.validation import label_hint, number


class SoftmaxLoss:
    """Base of the losses that compare the softmax of logits (N, K) with class indices (N,)."""

    output_kind = "logits"

    def targets(self, shape: Shape, t: Any) -> Array:
        """Return ``t`` as class indices that fit logits of a shape; raise if it is anything else."""
        t = np.asarray(t)
        if len(shape) != 2:
            raise ValueError(f"logits must have shape (N, classes), got {tuple(shape)}.")
        N, K = shape
        if t.dtype.kind not in "iu":
            raise TypeError(f"labels must be integers, got {t.dtype}{label_hint(t)}.")
        if t.shape != (N,):
            raise ValueError(f"labels must have shape ({N},), one an image, got {t.shape}{label_hint(t)}.")
        if N == 0:
            raise ValueError("the loss of an empty batch is not defined: got 0 images.")
        # One reduction finds both ends: a negative index is huge as an unsigned number.
        if np.maximum.reduce(t.astype(np.uint64)) >= K:
            wrong = t[(t < 0) | (t >= K)][0]
            raise ValueError(f"labels must be in 0..{K - 1}, got {wrong}.")
        return t

    @of_rows
    def correct(self, z: Array, t: Array) -> Array:
        """Return for each image whether the largest logit is that of its class."""
        return z.argmax(axis=1) == t


class SoftmaxCrossEntropy(SoftmaxLoss):
    """Cross-entropy of the true classes under the softmax of the logits.

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
    Shapes: z (N, K), t (N,), sample_weight (N,) -> a number, dz (N, K).

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

    @accepts_old_names
    @of_rows
    def __call__(self, z: Array, t: Array, sample_weight: Array | None = None) -> tuple[Any, Array]:
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
        if sample_weight is None:
            p /= N
            return np.add.reduce(losses).item() / N, p
        share = check_weights(sample_weight, N) / N
        p *= share[:, None]
        return (losses @ share).item(), p

    def gradient_terms(self, z: Array, t: Array, index: Shape) -> list[LossTerm]:
        """Return the two terms of ``dz[n,k] = p / N - q / N``."""
        n, k = index
        N, K = z.shape
        q = self.label_smoothing / K + (1 - self.label_smoothing) * float(k == t[n])
        return [
            LossTerm({"p": float(softmax(z)[index]), "1/N": 1 / N}, "the network's output"),
            LossTerm({"-q": -q, "1/N": 1 / N}, "the label"),
        ]

    def __repr__(self) -> str:
        return constructor_call(self, {"label_smoothing": self.label_smoothing})


class FocalLoss(SoftmaxLoss):
    """Cross-entropy that weighs an image less, the higher the probability of its class.

    ``L = -1/N sum_n a[t] (1 - p_t)^gamma log p_t`` with the probability ``p_t`` of image n's class ``t``,
    ``p = softmax(z)``. With ``gamma = 0`` and without ``alpha`` it is the cross-entropy. With weights, image
    n is counted ``w[n]`` times.

    Derivative: ``dz[n,k] = m / N (p_k - [k=t])``, times ``w[n]``, with
    ``m = a[t] ((1 - p_t)^gamma - gamma p_t (1 - p_t)^(gamma-1) log p_t)``.

    Parameters
    ----------
    gamma : float at least 0, default 2.0
    alpha : sequence of float, optional
        A weight for each class; default 1 each.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, ``alpha`` has not one weight a class, a target is no class index, or
        ``z`` and ``t`` do not match.

    Notes
    -----
    Shapes: z (N, K), t (N,), sample_weight (N,) -> a number, dz (N, K).

    Source: T.-Y. Lin et al., "Focal loss for dense object detection", 2017.

    Examples
    --------
    >>> value, dz = FocalLoss()(np.array([[0.0, 0.0]]), np.array([1]))
    >>> round(value, 6), dz.round(6)  # log(2) / 4; m = 1/4 + log(2) / 2
    (0.173287, array([[ 0.298287, -0.298287]]))
    """

    def __init__(self, gamma: float = 2.0, alpha: Sequence[float] | None = None) -> None:
        self.gamma = number("gamma", gamma, 0, exclusive_maximum=True)
        self.alpha = None if alpha is None else tuple(number("alpha", a, 0) for a in alpha)

    @accepts_old_names
    @of_rows
    def __call__(self, z: Array, t: Array, sample_weight: Array | None = None) -> tuple[Any, Array]:
        t = self.targets(z.shape, t)
        N, K = z.shape
        share = np.full(N, 1 / N) if sample_weight is None else check_weights(sample_weight, N) / N
        if self.alpha is not None:
            if len(self.alpha) != K:
                raise ValueError(f"alpha must hold {K} weights, one a class, got {len(self.alpha)}.")
            share *= np.array(self.alpha)[t]
        p, rest, log_p = self._probabilities(z, t)
        dz = p * (share * self._slope(rest, log_p)).astype(z.dtype, copy=False)[:, None]
        return -(share @ (rest**self.gamma * log_p)).item(), dz

    @staticmethod
    def _probabilities(z: Array, t: Array) -> tuple[Array, Array, Array]:
        """Return ``p - onehot(t)``, ``1 - p_t`` and ``log p_t``, to full precision where p_t is almost 1."""
        rows = np.arange(len(z))
        shifted = z - (z.real if z.dtype.kind == "c" else z).max(axis=1, keepdims=True)
        p = np.exp(shifted)
        total = p.sum(axis=1)
        log_p = shifted[rows, t] - np.log(total)
        p[rows, t] = 0
        rest = p.sum(axis=1) / total
        p /= total[:, None]
        p[rows, t] = -rest
        small = rest.real < 0.5
        return p, rest, np.where(small, np.log1p(-np.where(small, rest, 0)), log_p)

    def _slope(self, rest: Array, log_p: Array) -> Array:
        """Return ``m`` without alpha; as ``rest`` goes to 0, ``log_p / rest`` goes to -1."""
        ratio = np.where(rest == 0, -1, log_p / np.where(rest == 0, 1, rest))
        return rest**self.gamma * (1 - self.gamma * (1 - rest) * ratio)

    def gradient_terms(self, z: Array, t: Array, index: Shape) -> list[LossTerm]:
        """Return the two terms of ``dz[n,k] = p m / N - [k=t] m / N``."""
        n, k = index
        _, rest, log_p = self._probabilities(z[n : n + 1], t[n : n + 1])
        alpha = 1.0 if self.alpha is None else self.alpha[t[n]]
        m = alpha * float(self._slope(rest, log_p)[0])
        return [
            LossTerm({"p": float(softmax(z)[index]), "m": m, "1/N": 1 / len(z)}, "the network's output"),
            LossTerm({"-q": -float(k == t[n]), "m": m, "1/N": 1 / len(z)}, "the label"),
        ]

    def __repr__(self) -> str:
        return constructor_call(self, {"gamma": self.gamma, "alpha": self.alpha})
