"""Find correct, wrong and uncertain predictions of a classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neocog.deprecation import accepts_old_names
from neocog.inspection.arguments import check_batch, class_indices
from neocog.layers import Container
from neocog.layers.base import Array
from neocog.validation import integer, unmasked

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
        Recall: the fraction of each class's images that were classified correctly; NaN for a class without
        images.
    precision : array (K,)
        The fraction of the images predicted to be of a class that are; NaN for a class never predicted.
    accuracy : float
    accuracy_interval : (float, float)
    balanced_accuracy : float
    balanced_accuracy_interval : (float, float)

    Notes
    -----
    Sources: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927;
    G. Y. Zou, A. Donner, "Construction of confidence limits about effect measures: a general approach", 2008.

    Examples
    --------
    >>> found = Confusion(np.array([[8, 2], [0, 90]]), ("cat", "dog"))
    >>> found.accuracy, round(found.balanced_accuracy, 3)
    (0.98, 0.9)
    >>> [round(limit, 3) for limit in found.balanced_accuracy_interval]
    [0.744, 0.972]
    """

    matrix: Array
    class_names: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the number of images, both accuracies with their intervals, and the matrix as plain data."""
        return {
            "images": int(self.matrix.sum()),
            "accuracy": self.accuracy,
            "accuracy_interval": self.accuracy_interval,
            "balanced_accuracy": self.balanced_accuracy,
            "balanced_accuracy_interval": self.balanced_accuracy_interval,
            "confusion_matrix": self.matrix.tolist(),
        }

    @property
    def per_class(self) -> Array:
        """Diagonal entries divided by the row sums."""
        return _ratio(np.diag(self.matrix), self.matrix.sum(axis=1))

    @property
    def precision(self) -> Array:
        """Diagonal entries divided by the column sums."""
        return _ratio(np.diag(self.matrix), self.matrix.sum(axis=0))

    @property
    def accuracy(self) -> float:
        """Sum of the diagonal divided by the sum of all entries."""
        return float(np.trace(self.matrix) / self.matrix.sum())

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """Wilson's interval, which holds the true accuracy in 95 % of such samples of images."""
        return _wilson(int(np.trace(self.matrix)), int(self.matrix.sum()))

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the recalls of the classes that have images: chance is 1/K, however uneven they are."""
        return float(np.nanmean(self.per_class))

    @property
    def balanced_accuracy_interval(self) -> tuple[float, float]:
        """Interval of 95 % for the mean recall: Wilson's of each class, combined as Zou and Donner do.

        With recalls p_k, their limits l_k and u_k, and K classes that have images:
        ``mean p - sqrt(sum (p_k - l_k)^2) / K  ..  mean p + sqrt(sum (u_k - p_k)^2) / K``.
        """
        rows = [(int(row[k]), int(row.sum())) for k, row in enumerate(self.matrix) if row.sum()]
        recall = np.array([right / images for right, images in rows])
        limits = np.array([_wilson(right, images) for right, images in rows])
        below, above = np.sqrt(np.square(limits - recall[:, None]).sum(axis=0)) / len(rows)
        return self.balanced_accuracy - float(below), self.balanced_accuracy + float(above)


def _ratio(part: Array, whole: Array) -> Array:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _wilson(right: int, images: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    low, high = binomtest(right, images).proportion_ci(0.95, method="wilson")
    return float(low), float(high)


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


@accepts_old_names
def confusion(network: Container, x: Any, y: Any) -> Confusion:
    """Count the pairs of true and predicted classes (scikit-learn's ``confusion_matrix``).

    Parameters
    ----------
    network : Container
    x : floating point array (N, C, H, W), or lazy images
    y : integer array (N,)

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
    probabilities, predicted, y = _predict(network, x, y)
    K = probabilities.shape[1]
    names = network.class_names
    if names is None or len(names) != K:
        names = tuple(str(k) for k in range(K))
    return Confusion(count_pairs(y, predicted, K), names)


def count_pairs(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return how many images there are of each pair (true class, predicted class), as a matrix.

    Examples
    --------
    >>> count_pairs(np.array([0, 1, 1]), np.array([0, 0, 1]), 2)
    array([[1, 0],
           [1, 1]])
    """
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (true, predicted), 1)
    return counts


@accepts_old_names
def misclassified(network: Container, x: Any, y: Any, count: int | None = None) -> Predictions:
    """List the images that are classified wrongly, those of the highest probability first.

    Parameters
    ----------
    network : Container
    x : floating point array (N, C, H, W), or lazy images
    y : integer array (N,)
    count : int, default all

    Raises
    ------
    TypeError, ValueError
        If images or labels are empty or do not fit each other or the network.
    """
    probabilities, predicted, y = _predict(network, x, y)
    highest = probabilities[np.arange(len(y)), predicted]
    wrong = np.flatnonzero(predicted != y)
    return _chosen(wrong[np.argsort(-highest[wrong], kind="stable")], y, predicted, highest, count)


@accepts_old_names
def least_certain(network: Container, x: Any, y: Any, count: int | None = 10) -> Predictions:
    """List the images whose predicted class has the lowest probability, the lowest first.

    Parameters
    ----------
    network : Container
    x : floating point array (N, C, H, W), or lazy images
    y : integer array (N,)
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
    probabilities, predicted, y = _predict(network, x, y)
    highest = probabilities[np.arange(len(y)), predicted]
    return _chosen(np.argsort(highest, kind="stable"), y, predicted, highest, count)


def _predict(network: Container, x: Any, y: Any) -> tuple[Array, Array, Array]:
    """Return the probabilities, the predicted and the true classes."""
    x = check_batch(network, x, "x")
    outputs = network.predict_logits(x)
    probabilities, predicted = network.probabilities(outputs), outputs.argmax(axis=1)
    y = np.asarray(unmasked("y", y))
    if y.ndim == 0:
        raise ValueError(f"y must have shape ({len(x)},), one an image, got ().")
    return probabilities, predicted, class_indices("y", y, *probabilities.shape)


def _chosen(order: Array, true: Array, predicted: Array, highest: Array, count: int | None) -> Predictions:
    if count is not None:
        order = order[: integer("count", count)]
    return Predictions(order, true[order], predicted[order], highest[order])
