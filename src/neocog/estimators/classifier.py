"""Define the classifier for scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from scipy.sparse import issparse
from scipy.special import log_expit, log_softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from neocog.data.batches import Augmentation
from neocog.estimators.base import ConvNet, has_partial_fit
from neocog.estimators.documentation import share_documentation
from neocog.estimators.networks import make_network
from neocog.layers import Container
from neocog.layers.prediction import ends_in_softmax
from neocog.losses import BinaryCrossEntropy, SoftmaxCrossEntropy
from neocog.losses.outputs import check_logits
from neocog.training.state import Callback, TrainingState
from neocog.validation import unmasked


@share_documentation
class ConvNetClassifier(ClassifierMixin, ConvNet):  # type: ignore[misc]
    """Convolutional network that classifies images, for scikit-learn.

    It minimizes the cross-entropy of the softmax of the network's outputs by minibatch gradient descent. If
    an image may have several labels, y (N, labels) of 0 and 1, it minimizes the binary cross-entropy of each
    output's sigmoid; answers and probabilities have y's shape then, and score is the fraction of images of
    which all labels are right.

    Parameters
    ----------
    %(network)s
    %(training)s
    label_smoothing : float in [0, 1), default 0
        The part of each label that is spread evenly over all of them.
    class_weight : dict, "balanced" or None, default None
        Weights of the labels; None: all labels have the same weight. With weights w ``predict`` chooses the
        class of the highest ``w_k p_k``, of the least expected cost if a mistake on a label costs its weight;
        ``predict_proba`` gives the p_k themselves, for labels as frequent as in y. Where an image may have
        several, w_k is what the images with label k count beside those without: "balanced" as much in all,
        and ``predict`` says labels whose p_k is over ``1 / (1 + w_k)``.
    %(fitting)s

    Attributes
    ----------
    classes_ : (K,)
        The labels, in the order of the network's outputs; of several labels an image their columns in y.
    %(fitted)s
    validation_scores_ : list of float, or None
        Accuracy on the part held out, weighted, after each epoch of the last fit, if it held out any.

    Raises
    ------
    ValueError, TypeError
        From fit, if a parameter is out of range.

    See Also
    --------
    ConvNetRegressor : the same for numbers.

    Notes
    -----
    %(notes)s

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from neocog import ConvNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
    >>> model = ConvNetClassifier(image_shape=(8, 8), random_state=0).fit(X_train, y_train)
    >>> model.score(X_test, y_test) > 0.97
    True
    """

    _of_class: tuple[float, ...] | None
    _labels_as: np.dtype[Any] | None = None  # y's, if an image may have several labels

    def __init__(
        self,
        network: Any = None,
        *,
        filters: Any = None,
        image_shape: tuple[int, ...] | None = None,
        epochs: int = 20,
        batch_size: int = 32,
        lr: float = 0.01,
        schedule: str = "one-cycle",
        optimizer: Any = "adamw",
        weight_decay: float = 0.01,
        clip_norm: float | None = None,
        label_smoothing: float = 0.0,
        class_weight: Any = None,
        augment: Augmentation | str | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int | None = 10,
        warm_start: bool = False,
        callbacks: Sequence[Callback] = (),
        random_state: Any = None,
        n_jobs: int | None = None,
        kernels: str = "auto",
        verbose: bool = False,
    ) -> None:
        super().__init__(
            network,
            filters=filters,
            image_shape=image_shape,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            schedule=schedule,
            optimizer=optimizer,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            augment=augment,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            patience=patience,
            warm_start=warm_start,
            callbacks=callbacks,
            random_state=random_state,
            n_jobs=n_jobs,
            kernels=kernels,
            verbose=verbose,
        )
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight

    @property
    def _loss(self) -> SoftmaxCrossEntropy | BinaryCrossEntropy:  # type: ignore[override]
        if self._labels_as is None:
            return SoftmaxCrossEntropy(self.label_smoothing)
        return BinaryCrossEntropy(self.label_smoothing, self._of_class)

    @available_if(has_partial_fit)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Take one step for each batch of X, at the learning rate ``lr``, with the current optimizer.

        Nothing is evaluated and no callback is called: it is for data that arrive in parts.

        Parameters
        ----------
        X : (N, C, H, W), (N, H, W) or (N, features)
        y : (N,), or (N, labels) of 0 and 1
        classes : (K,)
            All classes that may occur in any call; needed in the first one. Of several labels ``range(K)``.
        sample_weight : (N,), optional
            Factor of each image's loss; unlike in fit, weights are not scaled to mean 1.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a parameter is out of range, X, y and the network do not fit each other, the first call has no
            ``classes``, or the class weight is "balanced".
        NonFiniteLossError
            If the loss becomes NaN or infinite.
        """
        if classes is None and not hasattr(self, "network_"):
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return self._partial_fit(X, y, sample_weight, classes)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each image: (N,).

        Of several labels, 1 for each that is more probable than not: (N, labels). With ``class_weight`` the
        answers of the least expected cost.
        """
        z = self._forward(X)
        if self._labels_as is not None:
            return (z > 0).astype(self._labels_as)
        chosen = z.argmax(axis=1)
        labels: np.ndarray = self.classes_[chosen]
        return labels

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, in the order of ``classes_``: (N, classes).

        It is corrected for ``class_weight``: see :meth:`neocog.layers.Container.predict_proba`. Several
        labels of an image have a probability each, which do not add up to 1.
        """
        z = self._forward(X)
        probabilities: np.ndarray = self._network.probabilities(z)
        return probabilities

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of the probability of each class, finite where that is 0: (N, classes)."""
        z = self._forward(X)
        if self._network.class_weight is not None:
            z = z - np.log(self._network.class_weight).astype(z.dtype)
        logarithms: np.ndarray = log_softmax(z, axis=1) if self._labels_as is None else log_expit(z)
        return logarithms

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the logits (N, classes); of two classes the log-odds of the second one, (N,).

        Of several labels the log-odds of each: (N, labels).

        With ``class_weight`` they are those of the weighted labels, by which ``predict`` chooses.
        """
        z = self._forward(X)
        return z[:, 1] - z[:, 0] if z.shape[1] == 2 and self._labels_as is None else z

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the fraction classified correctly; of several labels all of an image's must be right."""
        accuracy: float = super().score(X, unmasked("y", y), unmasked("sample_weight", sample_weight))
        return accuracy

    def _read_targets(self, y: np.ndarray, again: bool, classes: Any) -> np.ndarray:
        check_classification_targets(y)
        several = type_of_target(y) == "multilabel-indicator"
        if again and several != (self._labels_as is not None):
            before = "(N,)" if self._labels_as is None else "(N, labels) of 0 and 1"
            raise ValueError(f"y must be {before}, as it was in fit, got shape {y.shape}.")
        if not again:
            self._labels_as = None
        if several:
            return self._read_labels(y, again, classes)
        y = column_or_1d(y, warn=True)  # raises for several classes an image
        if not again:
            self.classes_ = np.unique(y if classes is None else classes)
            if len(self.classes_) < 2:
                only = self.classes_.tolist()
                raise ValueError(f"y must hold samples of at least two classes, got one class: {only}.")
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes must be those of the first call, {self.classes_}, got {classes}.")
        known = np.isin(y, self.classes_)
        if not known.all():
            raise ValueError(f"y must hold the classes {self.classes_} alone, got {y[~known].tolist()[0]!r}.")
        return np.searchsorted(self.classes_, y)

    def _read_labels(self, y: Any, again: bool, classes: Any) -> np.ndarray:
        """Return labels (N, K) of 0 and 1 as integers; see :meth:`_read_targets`."""
        y = y.toarray() if issparse(y) else np.asarray(y)
        if not np.isin(y, (0, 1)).all():
            raise ValueError(
                f"y must hold 0 and 1 where an image may have several labels, got {np.unique(y)}."
            )
        if again and y.shape[1] != len(self.classes_):
            raise ValueError(f"y must have {len(self.classes_)} labels, as before, got {y.shape[1]}.")
        if classes is not None and not np.array_equal(np.unique(classes), np.arange(y.shape[1])):
            raise ValueError(f"classes must be range({y.shape[1]}), y's columns, got {classes}.")
        if not again:
            self.classes_, self._labels_as = np.arange(y.shape[1]), y.dtype
        labels: np.ndarray = y.astype(np.intp)
        return labels

    def _weights(self, t: np.ndarray, weight: np.ndarray | None, passing: bool) -> np.ndarray | None:
        self._of_class = None
        if self.class_weight is None:
            return weight
        several = self._labels_as is not None
        balanced = isinstance(self.class_weight, str) and self.class_weight == "balanced"
        if passing and balanced:
            raise ValueError(
                "class_weight must not be 'balanced' for partial_fit, which does not see all labels; pass "
                "compute_class_weight('balanced', classes=classes, y=y) as a dict."
            )
        # Balanced by the weights of the images, so that omitting one and a weight of 0 are the same.
        if balanced and several:
            counts = np.average(t, axis=0, weights=weight)  # the shares of images with each label
            of_class = np.divide(
                1 - counts, counts, out=np.ones_like(counts), where=(counts > 0) & (counts < 1)
            )
        elif balanced:
            counts = np.bincount(t, weight, minlength=len(self.classes_)).astype(np.float64)
            present = np.count_nonzero(counts)
            of_class = np.divide(counts.sum(), present * counts, out=np.zeros_like(counts), where=counts > 0)
        else:  # not by y, in which a class may be missing
            of_class = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_)
            if not (np.isfinite(of_class).all() and of_class.min() >= 0 and (of_class.all() or not several)):
                least = "above 0 for several labels an image" if several else "of at least 0"
                raise ValueError(f"class_weight must hold finite numbers {least}, got {self.class_weight}.")
        # A class without a weight is not learned; what its probability is divided by means nothing.
        self._of_class = tuple(np.where(of_class > 0, of_class, 1.0).tolist())
        if several:
            return weight
        result: np.ndarray = of_class[t]
        return result if weight is None else result * weight

    def _new_network(self, seed: int, dtype: Any) -> Container:
        network = make_network(self.network, self.filters, self.image_shape_, len(self.classes_), seed, dtype)
        if ends_in_softmax(network):
            raise ValueError(
                "network must end in logits, as the estimator computes the softmax itself, got one that "
                "ends in Softmax; pass network.without_softmax()."
            )
        check_logits(network, self._loss)
        network.output_kind = self._loss.output_kind
        network.class_names = tuple(str(label) for label in self.classes_)
        return network

    def _finish(self, network: Container, rows: list[dict[str, float]], again: bool) -> None:
        network.class_weight = self._of_class
        super()._finish(network, rows, again)

    def _score_held_out(self, state: TrainingState) -> float:
        return state.history.last["val_accuracy"]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
