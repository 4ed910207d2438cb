"""Define losses: a number to minimize, and its derivative.

A loss is called as ``value, dz = loss(z, t)`` with the network's outputs ``z`` and the targets ``t``; with a
weight for each image, ``loss(z, t, sample_weight)``, it is the mean of the images' losses, each times its
weight.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from neocog.deprecation import accepts_old_names
from neocog.layers.activation import Sigmoid
from neocog.layers.base import Array, Layer, Shape
from neocog.layers.outputs import INDEPENDENT, flat_shape, last_layer
from neocog.layers.prediction import Predictor, ends_in_softmax
from neocog.layers.softmax import Softmax, softmax
from neocog.representation import constructor_call
from neocog.validation import label_hint, number, unmasked

__all__ = [
    "BinaryCrossEntropy",
    "FocalLoss",
    "Loss",
    "LossTerm",
    "MeanSquaredError",
    "SoftmaxCrossEntropy",
    "SoftmaxLoss",
]


class LossTerm(NamedTuple):
    """A product that contributes to an entry of ``dz``: its factors by symbol, and where it comes from.

    A factor "p" is the probability at that entry, by softmax or sigmoid, and "z" the output itself; an
    explanation continues from there. A symbol with a minus sign before it is the target's. Others are
    constants.
    """

    factors: Mapping[str, float]
    note: str


class Loss(Protocol):
    """Protocol of a loss, as the training loop calls it.

    A loss may also have ``gradient_terms(z, t, index)``, a list of :class:`LossTerm` that add up to
    ``dz[index]``. Explanations show them; without it the derivative is one term. And it may say by
    ``output_kind``, one of :data:`neocog.layers.outputs.OUTPUT_KINDS`, what the outputs are of a network that
    is trained with it.
    """

    def __call__(self, z: Array, t: Array, sample_weight: Array | None = None, /) -> tuple[Any, Array]:
        """Return the mean loss of the batch and its derivative in ``z``."""
        ...

    def correct(self, z: Array, t: Array) -> Array | None:
        """Return which outputs are correct, (N,) booleans; None where that has no meaning."""
        ...


def check_weights(weight: Any, N: int) -> Array:
    """Return weights of images as float64.

    Raises
    ------
    ValueError
        If there is not one an image, or one is negative or not finite.
    """
    weight = np.asarray(unmasked("sample_weight", weight), np.float64)
    if weight.shape != (N,):
        raise ValueError(f"sample_weight must have shape ({N},), one an image, got {weight.shape}.")
    wrong = weight[~((weight >= 0) & np.isfinite(weight))]
    if wrong.size:
        raise ValueError(f"sample_weight must be finite and at least 0, got {wrong[0]}.")
    return weight


Call = TypeVar("Call", bound=Callable[..., Any])


def of_rows(method: Call) -> Call:
    """Have a loss take outputs (N, K, 1, 1), as fully convolutional networks have, for (N, K)."""

    @functools.wraps(method)
    def call(self: Any, z: Array, t: Array, *rest: Any, **named: Any) -> Any:
        shape = z.shape
        if len(shape) == 2 or np.ndim(t) > 2:
            return method(self, z, t, *rest, **named)
        found = method(self, z.reshape(flat_shape(shape)), t, *rest, **named)
        return (found[0], found[1].reshape(shape)) if isinstance(found, tuple) else found

    return call  # type: ignore[return-value]


def kind_of_loss(loss: Loss) -> str | None:
    """Return what the outputs are that a loss compares with targets; None if it does not say."""
    kind: str | None = getattr(loss, "output_kind", None)
    return kind


_INCLUDED: dict[str | None, tuple[type[Layer], ...]] = {
    "logits": (Softmax,),
    "independent-logits": (Softmax, Sigmoid),
}
"""The layers at a network's end that losses of logits hold themselves."""


def check_logits(network: Layer, loss: Loss) -> None:
    """Raise ValueError if the softmax, or the sigmoid, of a network's outputs would be taken twice."""
    last = last_layer(network)
    if isinstance(last, _INCLUDED.get(kind_of_loss(loss), ())):
        own, end = "softmax" if isinstance(loss, SoftmaxLoss) else "sigmoid", type(last).__name__
        take = "without_softmax()" if isinstance(last, Softmax) else "without_last(neocog.layers.Sigmoid)"
        raise ValueError(
            f"the network must end in logits for {type(loss).__name__}, which holds the {own} itself, got "
            f"one that ends in {end}; take network.{take}, which shares its weights."
        )


def network_for_loss(network: Layer, loss: Loss) -> Layer:
    """Return the network without a last layer that the loss holds itself, to be measured by the loss."""
    kinds = _INCLUDED.get(kind_of_loss(loss), ())
    return network.without_last(*kinds) if isinstance(network, Predictor) and kinds else network


def state_output(network: Layer, loss: Loss) -> None:
    """Have a network say what its outputs are by the loss that it is trained with.

    Squared errors of a softmax leave probabilities what they are.
    """
    kind = kind_of_loss(loss)
    if isinstance(network, Predictor) and kind and not (kind == "values" and ends_in_softmax(network)):
        network.output_kind = kind


def loss_of_kind(kind: str) -> Loss:
    """Return the loss by which a network is measured if none is named, by what its outputs are.

    Examples
    --------
    >>> loss_of_kind("probabilities"), loss_of_kind("independent-logits"), loss_of_kind("values")
    (SoftmaxCrossEntropy(), BinaryCrossEntropy(), MeanSquaredError())
    """
    if kind in INDEPENDENT:
        return BinaryCrossEntropy()
    return MeanSquaredError() if kind == "values" else SoftmaxCrossEntropy()


def gradient_terms(loss: Loss, z: Array, t: Array, index: Shape) -> list[LossTerm] | None:
    """Return the terms of ``dz[index]`` that a loss states itself.

    None if it states none, or its class computes something else than the base class that states them.
    """
    for kind in type(loss).__mro__:
        if "gradient_terms" in vars(kind):
            terms: list[LossTerm] = loss.gradient_terms(z, t, index)  # type: ignore[attr-defined]
            return terms
        if "__call__" in vars(kind):
            break
    return None


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
    Shapes: z and t of any equal shape, sample_weight (N,) -> a number, dz of that shape.

    Source: A.-M. Legendre, 1805; C. F. Gauss, 1809.

    Examples
    --------
    >>> MeanSquaredError()(np.array([[1.0, 4.0]]), np.array([[1.0, 2.0]]))
    (2.0, array([[0., 2.]]))
    """

    output_kind = "values"

    @accepts_old_names
    @of_rows
    def __call__(self, z: Array, t: Array, sample_weight: Array | None = None) -> tuple[Any, Array]:
        t = self.targets(z.shape, t)
        difference = z - t.astype(z.dtype, copy=False)
        if sample_weight is None:
            return (difference * difference).sum().item() / z.size, difference * (2 / z.size)
        share = check_weights(sample_weight, len(z)) / z.size
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

    def gradient_terms(self, z: Array, t: Array, index: Shape) -> list[LossTerm]:
        """Return the two terms of ``dz = 2/M z - 2/M t``."""
        return [
            LossTerm({"z": float(z[index]), "2/M": 2 / z.size}, "the network's output"),
            LossTerm({"-t": -float(t[index]), "2/M": 2 / z.size}, "the target"),
        ]

    def correct(self, z: Array, t: Array) -> None:
        """Return None: outputs of a regression are not correct or wrong."""
        return

    def __repr__(self) -> str:
        return constructor_call(self, {})
