"""Define the loss of independent labels: binary cross-entropy of sigmoids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neocog.deprecation import accepts_old_names
from neocog.layers.activation import Sigmoid
from neocog.layers.base import Array, Shape
from neocog.losses.base import LossTerm, check_weights, of_rows
from neocog.representation import constructor_call
from neocog.validation import number


class BinaryCrossEntropy:
    """Cross-entropy of labels that do not exclude each other, under the sigmoid of each output.

    ``L = -1/(N K) sum_{n,k} v q log p + (1 - q) log(1 - p)`` at ``[n,k]``, with the probabilities
    ``p = sigmoid(z)`` and the targets ``q = t``, or ``q = (1 - s) t + s / 2`` with label smoothing ``s``;
    ``v[k]`` is ``pos_weight``. It is computed as ``(1 - q) z + (1 + (v - 1) q) log(1 + exp(-z))``, so that no
    probability underflows. With weights, image n is counted ``w[n]`` times.

    Derivative: ``dz = (p (1 + (v - 1) q) - v q) / (N K)``, times ``w[n]``; ``(p - q) / (N K)`` without ``v``.

    Parameters
    ----------
    label_smoothing : float in [0, 1)
    pos_weight : float or sequence of float, optional
        How often a label that applies counts, for all labels or for each; default 1.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, a target is not in 0..1, or ``z`` and ``t`` do not match.

    Notes
    -----
    Shapes: z (N, K), t (N, K) of 0 and 1 or of probabilities, or for K = 1 also (N,), sample_weight (N,) -> a
    number, dz (N, K). Accuracy is the fraction of images of which all labels are right.

    Source: D. Cox, "The regression analysis of binary sequences", 1958.

    Examples
    --------
    >>> value, dz = BinaryCrossEntropy()(np.array([[0.0, 0.0]]), np.array([[1, 0]]))
    >>> round(value, 6), dz
    (0.693147, array([[-0.25,  0.25]]))
    """

    output_kind = "independent-logits"

    def __init__(
        self, label_smoothing: float = 0.0, pos_weight: float | Sequence[float] | None = None
    ) -> None:
        self.label_smoothing = number("label_smoothing", label_smoothing, 0, 1, exclusive_maximum=True)
        self.pos_weight: float | tuple[float, ...] | None = None
        if isinstance(pos_weight, Sequence | np.ndarray):
            weights = np.asarray(pos_weight).tolist()
            self.pos_weight = tuple(number("pos_weight", weight, 0, np.inf, True, True) for weight in weights)
        elif pos_weight is not None:
            self.pos_weight = number("pos_weight", pos_weight, 0, np.inf, True, True)

    @accepts_old_names
    @of_rows
    def __call__(self, z: Array, t: Array, sample_weight: Array | None = None) -> tuple[Any, Array]:
        q, v = self.smoothed(self.targets(z.shape, t), z.real.dtype)
        share = np.full(len(z), 1 / z.size)
        if sample_weight is not None:
            share = check_weights(sample_weight, len(z)) / z.size
        column = share.astype(z.real.dtype)[:, None]
        positive = z.real >= 0
        decay = np.exp(np.where(positive, -z, z))  # never above 1
        p = np.where(positive, 1, decay) / (1 + decay)
        softplus = np.log1p(decay) - np.where(positive, 0, z)  # log(1 + exp(-z))
        times = 1 + (v - 1) * q
        losses = (1 - q) * z + times * softplus
        return (share @ losses.sum(axis=1)).item(), column * (p * times - v * q)

    def targets(self, shape: Shape, t: Any) -> Array:
        """Return ``t`` (N, K) as probabilities that fit logits of a shape; raise if it is anything else."""
        t = np.asarray(t)
        if len(shape) != 2:
            raise ValueError(f"logits must have shape (N, labels), got {tuple(shape)}.")
        if t.shape == shape[:1] and shape[1] == 1:
            t = t[:, None]
        if t.shape != tuple(shape):
            raise ValueError(
                f"labels must have the outputs' shape {tuple(shape)}, 1 where one applies and 0 elsewhere, "
                f"got {t.shape}."
            )
        if t.dtype.kind not in "biuf":
            raise TypeError(f"labels must be 0 and 1, or probabilities, got {t.dtype}.")
        if t.size == 0:
            raise ValueError("the loss of an empty batch is not defined: got 0 labels.")
        wrong = t[~((t >= 0) & (t <= 1))]
        if wrong.size:
            raise ValueError(f"labels must be in 0..1, got {wrong[0]}.")
        return t

    def weights_of(self, labels: int) -> Array:
        """Return how often each label counts where it applies; ValueError if that is not said of each."""
        weights: Array = np.ones(labels)
        if self.pos_weight is not None:
            weights = np.atleast_1d(np.asarray(self.pos_weight, float))
        if weights.shape not in ((1,), (labels,)):
            raise ValueError(f"pos_weight must hold {labels} weights, one a label, got {len(weights)}.")
        return np.broadcast_to(weights, (labels,))

    def smoothed(self, t: Array, dtype: Any) -> tuple[Array, Array]:
        """Return ``q`` and ``v`` of targets (N, K), in a floating point type."""
        s = self.label_smoothing
        return (t * (1 - s) + s / 2).astype(dtype), self.weights_of(t.shape[1]).astype(dtype)

    @of_rows
    def correct(self, z: Array, t: Array) -> Array:
        """Return for each image whether all its labels are right: above 0 if they are above one half."""
        right: Array = ((z.real > 0) == (self.targets(z.shape, t) > 0.5)).all(axis=1)
        return right

    def gradient_terms(self, z: Array, t: Array, index: Shape) -> list[LossTerm]:
        """Return the two terms of ``dz[n,k] = p m / (N K) - v q / (N K)``, ``m = 1 + (v - 1) q``."""
        targets, weights = self.smoothed(self.targets(z.shape, t), z.real.dtype)
        q, v, p = float(targets[index]), float(weights[index[1]]), float(Sigmoid().forward(z)[0][index])
        own: dict[str, float] = {} if self.pos_weight is None else {"m": 1 + (v - 1) * q}
        label: dict[str, float] = {} if self.pos_weight is None else {"v": v}
        return [
            LossTerm({"p": p, **own, "1/NK": 1 / z.size}, "the network's output"),
            LossTerm({"-q": -q, **label, "1/NK": 1 / z.size}, "the label"),
        ]

    def __repr__(self) -> str:
        return constructor_call(self, vars(self))
