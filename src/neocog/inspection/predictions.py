"""Correct, wrong and uncertain predictions of a classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neocog.inspection.arguments import check_batch, class_indices
from neocog.layers import Container
from neocog.layers.base import Array
from neocog.validation import integer

__all__ = ["Confusion", "Predictions", "confusion", "least_certain", "misclassified"]


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix: how often each class was predicted for each true class.

    Attributes
    ----------
    matrix : int array (K, K)
        ``matrix[t, p]`` images of class t were predicted to be p.
    class_names : tuple of str
    per_class : array (K,)
        Fraction of each class's images that were classified correctly; NaN for a class without images.
    accuracy : float
    """

    matrix: Array
    class_names: tuple[str, ...]

    @property
    def per_class(self) -> Array:
        """Diagonal entries divided by the row sums."""
        totals = self.matrix.sum(axis=1)
        return np.where(totals > 0, np.diag(self.matrix) / np.maximum(totals, 1), np.nan)

    @property
    def accuracy(self) -> float:
        """Sum of the diagonal divided by the sum of all entries."""
        return float(np.trace(self.matrix) / self.matrix.sum())


@dataclass(frozen=True)
class Predictions:
    """The predictions for some images, one entry for each image.

    Attributes
    ----------
    index : int array (M,)
        Index of the image in the given images.
    true, predicted : int array (M,)
    probability : array (M,)
        Of the predicted class.
    """

    index: Array
    true: Array
    predicted: Array
    probability: Array

    def __len__(self) -> int:
        return len(self.index)


def confusion(network: Container, images: Any, labels: Any) -> Confusion:
    """Count the pairs of true and predicted classes (scikit-learn's ``confusion_matrix``).

    Parameters
    ----------
    network : Container
    images : floating point array (N, C, H, W), or lazy images
    labels : integer array (N,)

    Returns
    -------
    Confusion
        Over all classes the network has an output for.

    Raises
    ------
    TypeError, ValueError
        If images or labels are empty or do not fit each other or the network.

    Examples
    --------
    >>> from neocog.data import line_patterns
    >>> from neocog.models import tiny_cnn
    >>> confusion(tiny_cnn(42), *line_patterns("a").validation).matrix.sum().item()
    90
    """
    from sklearn.metrics import confusion_matrix

    probabilities, labels = _predict(network, images, labels)
    K = probabilities.shape[1]
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1), labels=np.arange(K))
    names = network.class_names
    if names is None or len(names) != K:
        names = tuple(str(k) for k in range(K))
    return Confusion(matrix, names)


def misclassified(network: Container, images: Any, labels: Any, count: int | None = None) -> Predictions:
    """List the images that are classified wrongly, those of the highest probability first.

    Parameters
    ----------
    network : Container
    images : floating point array (N, C, H, W), or lazy images
    labels : integer array (N,)
    count : int, default all

    Raises
    ------
    TypeError, ValueError
        If images or labels are empty or do not fit each other or the network.
    """
    probabilities, labels = _predict(network, images, labels)
    predicted, highest = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    return _chosen(wrong[np.argsort(-highest[wrong], kind="stable")], labels, predicted, highest, count)


def least_certain(network: Container, images: Any, labels: Any, count: int | None = 10) -> Predictions:
    """List the images whose predicted class has the lowest probability, the lowest first.

    Parameters
    ----------
    network : Container
    images : floating point array (N, C, H, W), or lazy images
    labels : integer array (N,)
    count : int or None
        None for all.

    Raises
    ------
    TypeError, ValueError
        If images or labels are empty or do not fit each other or the network.

    Notes
    -----
    Source: D. Lewis, W. Gale, "A sequential algorithm for training text classifiers", 1994.
    """
    probabilities, labels = _predict(network, images, labels)
    predicted, highest = probabilities.argmax(axis=1), probabilities.max(axis=1)
    return _chosen(np.argsort(highest, kind="stable"), labels, predicted, highest, count)


def _predict(network: Container, images: Any, labels: Any) -> tuple[Array, Array]:
    images = check_batch(network, images, "images")
    probabilities = network.predict_proba(images)
    labels = np.asarray(labels)
    if labels.ndim == 0:
        raise ValueError(f"labels must have shape ({len(images)},), one an image, got ().")
    return probabilities, class_indices("labels", labels, *probabilities.shape)


def _chosen(order: Array, true: Array, predicted: Array, highest: Array, count: int | None) -> Predictions:
    if count is not None:
        order = order[: integer("count", count)]
    return Predictions(order, true[order], predicted[order], highest[order])
