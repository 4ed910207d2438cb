"""Find correct, wrong and uncertain predictions of a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from neocog.deprecation import accepts_old_names
from neocog.inspection.arguments import check_batch, class_indices
from neocog.layers import Container
from neocog.layers.base import Array
from neocog.layers.outputs import INDEPENDENT
from neocog.validation import integer, unmasked

__all__ = [
    "Confusion",
    "LabelScores",
    "Predictions",
    "confusion",
    "label_scores",
    "least_certain",
    "misclassified",
]


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

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], class_names: tuple[str, ...]) -> Self:
        """Return what :meth:`to_dict` has made plain data of."""
        return cls(np.array(data["confusion_matrix"], int), class_names)

    @property
    def images(self) -> int:
        """How many images there are."""
        return int(self.matrix.sum())

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


@dataclass(frozen=True)
class LabelScores:
    """How often each label was predicted, and how often rightly, where an image may have several labels.

    Attributes
    ----------
    counts : int array (K, 2, 2)
        ``counts[k, t, p]`` images that have label k (t = 1) or not (t = 0), and are predicted to have it (p).
    exact : int
        Images of which all labels are right.
    class_names : tuple of str
    label_accuracy, recall, precision, f1 : array (K,)
        Of each label: the fraction of images for which it is right; of those that have it, the fraction for
        which it is predicted; of those for which it is predicted, the fraction that have it; their harmonic
        mean. NaN where there are none.
    accuracy : float
        The fraction of images of which all labels are right, as scikit-learn's ``accuracy_score``.
    accuracy_interval : (float, float)
    macro_f1 : float
        The mean of ``f1``, labels without images left out.

    Examples
    --------
    >>> found = LabelScores(np.array([[[5, 1], [0, 4]], [[9, 0], [1, 0]]]), 8, ("cat", "dog"))
    >>> found.images, found.accuracy, found.label_accuracy, found.recall
    (10, 0.8, array([0.9, 0.9]), array([1., 0.]))
    """

    counts: Array
    exact: int
    class_names: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the number of images, the accuracy with its interval, and the counts as plain data."""
        return {
            "images": self.images,
            "accuracy": self.accuracy,
            "accuracy_interval": self.accuracy_interval,
            "exact": self.exact,
            "macro_f1": self.macro_f1,
            "confusion_matrices": self.counts.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], class_names: tuple[str, ...]) -> Self:
        """Return what :meth:`to_dict` has made plain data of."""
        return cls(np.array(data["confusion_matrices"], int), int(data["exact"]), class_names)

    @property
    def images(self) -> int:
        """How many images there are."""
        return int(self.counts[0].sum())

    @property
    def having(self) -> Array:
        """How many images have each label."""
        having: Array = self.counts[:, 1].sum(axis=1)
        return having

    @property
    def label_accuracy(self) -> Array:
        return (self.counts[:, 0, 0] + self.counts[:, 1, 1]) / self.images

    @property
    def recall(self) -> Array:
        return _ratio(self.counts[:, 1, 1], self.having)

    @property
    def precision(self) -> Array:
        return _ratio(self.counts[:, 1, 1], self.counts[:, :, 1].sum(axis=1))

    @property
    def f1(self) -> Array:
        return _ratio(2 * self.counts[:, 1, 1], self.having + self.counts[:, :, 1].sum(axis=1))

    @property
    def macro_f1(self) -> float:
        some = self.f1[self.having > 0]
        return float(some.mean()) if len(some) else float("nan")

    @property
    def accuracy(self) -> float:
        return self.exact / self.images

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        return _wilson(self.exact, self.images)

    @classmethod
    def of(cls, true: Array, predicted: Array, class_names: tuple[str, ...]) -> Self:
        """Count labels: (N, K) of 0 and 1, the true ones and the predicted ones."""
        true, predicted = np.asarray(true) > 0, np.asarray(predicted) > 0
        pairs = [[(~true & ~predicted), (~true & predicted)], [(true & ~predicted), (true & predicted)]]
        counts = np.array([[each.sum(axis=0) for each in row] for row in pairs])  # (2, 2, K)
        return cls(counts.transpose(2, 0, 1), int((true == predicted).all(axis=1).sum()), class_names)


def label_scores(network: Container, x: Any, y: Any) -> LabelScores:
    """Count how often each of several labels is told rightly.

    Parameters
    ----------
    network : Container
        Of several independent outputs: see :attr:`neocog.layers.Container.output_kind`.
    x : floating point array (N, C, H, W), or lazy images
    y : array (N, labels) of 0 and 1

    Raises
    ------
    TypeError, ValueError
        If images or labels are empty or do not fit each other or the network, or the outputs exclude each
        other.
    """
    outputs = network.predict_logits(check_batch(network, x, "x"))
    if network.output_kind not in INDEPENDENT or outputs.shape[1] < 2:
        raise ValueError(
            f"the network must have an independent output for each label, its {outputs.shape[1]} are "
            f"{network.output_kind}; use confusion."
        )
    y = np.asarray(unmasked("y", y))
    if y.shape != outputs.shape or y.dtype.kind not in "biuf" or not np.isin(y, (0, 1)).all():
        raise ValueError(f"y must be 0 and 1, of shape {outputs.shape}, got {y.dtype} of shape {y.shape}.")
    return LabelScores.of(y, network.answers(outputs), _names(network, y.shape[1]))


def measure(network: Container, x: Any, y: Any) -> Confusion | LabelScores:
    """Return the scores of each label where images may have several, else the confusion matrix."""
    return label_scores(network, x, y) if np.ndim(y) == 2 else confusion(network, x, y)


def _names(network: Container, classes: int) -> tuple[str, ...]:
    names = network.class_names
    return names if names is not None and len(names) == classes else tuple(str(k) for k in range(classes))


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
    return Confusion(count_pairs(y, predicted, K), _names(network, K))


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
    probabilities, predicted = network.probabilities(outputs), network.answers(outputs)
    if predicted.ndim == 2:
        raise ValueError(
            f"the network's {outputs.shape[1]} outputs say independent labels, of which an image may have "
            "several; use label_scores."
        )
    y = np.asarray(unmasked("y", y))
    if y.ndim == 0:
        raise ValueError(f"y must have shape ({len(x)},), one an image, got ().")
    return probabilities, predicted, class_indices("y", y, *probabilities.shape)


def _chosen(order: Array, true: Array, predicted: Array, highest: Array, count: int | None) -> Predictions:
    if count is not None:
        order = order[: integer("count", count)]
    return Predictions(order, true[order], predicted[order], highest[order])
