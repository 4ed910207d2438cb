"""The classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from scipy.special import log_softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets

from neocog.data.batches import Augmentation
from neocog.estimators.base import ConvNet, has_partial_fit
from neocog.estimators.networks import FILTERS, make_network
from neocog.layers import Container
from neocog.layers.activation import softmax
from neocog.layers.prediction import ends_in_softmax
from neocog.losses import SoftmaxCrossEntropy
from neocog.training.state import Callback, TrainingState


class ConvNetClassifier(ClassifierMixin, ConvNet):  # type: ignore[misc]
    """Convolutional network that classifies images, for scikit-learn.

    It minimises the cross-entropy of the softmax of the network's outputs, by minibatch gradient descent.

    Parameters
    ----------
    network : None, str, function or Layer, default None
        What is trained. None: blocks of 3 x 3 convolution, ReLU and 2 x 2 max pooling, one for each of
        ``filters``, then a dense layer. A name: one of ``neocog train --network``, such as "small-cnn" or
        "resnet20". A function that returns a network: it is called with those of the arguments
        ``image_shape``, ``classes`` or ``outputs`` (how many), ``seed`` or ``rng``, and ``dtype`` that it
        has, or all if it has ``**kwargs``, so that the functions of :mod:`neocog.models` fit. A network:
        each fit trains a copy of it, from the weights that it has.
    filters : int or sequence of int, default (16, 32)
        Channels of the convolutions that the network None has; with another network it must be left alone.
    image_shape : (C, H, W) or (H, W), optional
        What the rows of a table X are; see the notes.
    epochs : int, default 20
        Passes over the images in a call of fit.
    batch_size : int, default 32
    lr : float, default 0.005
        Learning rate; of a schedule the highest.
    schedule : {"constant", "cosine", "one-cycle"}, default "constant"
        How the learning rate changes over the epochs of fit; see :mod:`neocog.schedules`.
    optimizer : {"adamw", "adam", "sgd"} or function, default "adamw"
        "sgd" has Nesterov's momentum of 0.9. A function is called with ``lr=`` (a number, or a schedule) and
        ``weight_decay=``; the classes in :mod:`neocog.optimizers` are such functions.
    weight_decay : float, default 0.01
        What it does depends on the optimizer: 0.01 suits "adamw", 0.0001 the others.
        From one ``partial_fit`` to the next ``lr`` may be changed, optimizer and weight decay go on.
    class_weight : dict, "balanced" or None, default None
        How much the images of each label count, or that all labels count alike.
    augment : function (images, rng) -> images, optional
        Changes each batch for training; see :mod:`neocog.data.augmentation`.
    early_stopping : bool, default False
        Whether to hold out a part of the images, stop when the loss there has not improved for some epochs,
        and put the best epoch's weights back. There is no ``partial_fit`` then.
    validation_fraction : float in (0, 1), default 0.1
        The part held out, at least one image for each class, and of every class the same share, where that
        is possible. Weights count in it as in training.
    patience : int, default 10
        Epochs without improvement that are allowed.
    warm_start : bool, default False
        Whether a further fit goes on with the weights of the last one. The optimizer starts anew.
    callbacks : sequence of Callback, default ()
        See :class:`neocog.training.Callback`. A search clones them with the estimator.
    random_state : int, RandomState or None, default None
        Decides the first weights, the order of the images, what is held out, and what augmentation and
        layers such as dropout draw.
    n_jobs : int or None, default None
        Threads of the compiled kernels, which long jobs take: one, or what
        :func:`joblib.parallel_config` says; -1 for all cores. Results do not depend on it.
    kernels : {"auto", "im2col", "fused", "reference"}, default "auto"
        What computes; see :class:`neocog.use_kernels`. "auto": what is in use where the estimator is called,
        and by default the compiled ``fused`` for long jobs alone. Set here, it holds in the processes of a
        search, too.
    verbose : bool, default False
        Whether to show a line an epoch.

    Attributes
    ----------
    classes_ : (K,)
        The labels, in the order of the network's outputs.
    network_ : Container
        The trained network, to be inspected, drawn, and saved: ``neocog.save(model.network_, path)``.
    history_ : History
        A row an epoch since the network was new.
    loss_curve_ : list of float
        Mean loss of the batches of each epoch, as the weights moved.
    n_iter_ : int
        Epochs trained.
    validation_scores_ : list of float, or None
        Accuracy on the part held out, weighted, after each epoch of the last fit, if it held out any.
    best_validation_score_ : float or None
        That of the epoch whose weights were put back.
    image_shape_ : (C, H, W)
    n_features_in_ : int
        Numbers in an image.
    feature_names_in_ : (features,)
        Names of the columns, if X was a DataFrame with such.

    Raises
    ------
    ValueError, TypeError
        From fit, if a parameter is out of range.

    See Also
    --------
    ConvNetRegressor : the same for numbers.

    Notes
    -----
    X may be images (N, C, H, W); grey images (N, H, W); or a table (N, features), in which a row holds the
    numbers of an image in the order of ``image_shape``, that is row-major. Without ``image_shape`` a row of
    the table is a signal, an image of one line (1, 1, features): nothing is guessed. A table in which the
    channels seem to come last, as in (28, 28, 3), is refused.

    uint8 is the type of pixels 0..255, which are divided by 255 and computed with in float32, whatever their
    values. Other numbers are taken as they are; float32 is computed with in float32, all else in float64, as
    scikit-learn does. What was pixels in fit must be so, or 0..1, ever after, and what was not must not.
    Numbers between -1 and 1 or so train best: divide pixels by the highest, or put a scaler before.

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

    _loss = SoftmaxCrossEntropy()

    def __init__(
        self,
        network: Any = None,
        *,
        filters: Any = FILTERS,
        image_shape: tuple[int, ...] | None = None,
        epochs: int = 20,
        batch_size: int = 32,
        lr: float = 0.005,
        schedule: str = "constant",
        optimizer: Any = "adamw",
        weight_decay: float = 0.01,
        class_weight: Any = None,
        augment: Augmentation | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
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
        self.class_weight = class_weight

    @available_if(has_partial_fit)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Take one step for each batch of X, at the learning rate ``lr``; weights and optimizer go on.

        Nothing is measured and no callback is asked: it is for data that come bit by bit.

        Parameters
        ----------
        X : (N, C, H, W), (N, H, W) or (N, features)
        y : (N,)
        classes : (K,)
            All classes that will ever come; needed in the first call.
        sample_weight : (N,), optional
            How much each image counts, as a factor of its loss; nothing is scaled to a mean of 1, as in fit.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a parameter is out of range, X, y and the network do not fit each other, the first call has no
            ``classes``, or the class weight "balanced" is asked for.
        NonFiniteLossError
            If the loss becomes NaN or infinite.
        """
        if classes is None and not hasattr(self, "network_"):
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return self._partial_fit(X, y, sample_weight, classes)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each image: (N,)."""
        chosen = self._forward(X).argmax(axis=1)
        labels: np.ndarray = self.classes_[chosen]
        return labels

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, in the order of ``classes_``: (N, classes)."""
        probabilities: np.ndarray = softmax(self._forward(X))
        return probabilities

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of the probability of each class, finite where that is 0: (N, classes)."""
        logarithms: np.ndarray = log_softmax(self._forward(X), axis=1)
        return logarithms

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the logits (N, classes); of two classes the log-odds of the second one, (N,)."""
        z = self._forward(X)
        return z[:, 1] - z[:, 0] if z.shape[1] == 2 else z

    def _read_targets(self, y: np.ndarray, again: bool, classes: Any) -> np.ndarray:
        check_classification_targets(y)
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

    def _weights(self, t: np.ndarray, weight: np.ndarray | None, passing: bool) -> np.ndarray | None:
        if self.class_weight is None:
            return weight
        balanced = isinstance(self.class_weight, str) and self.class_weight == "balanced"
        if passing and balanced:
            raise ValueError(
                "class_weight must not be 'balanced' for partial_fit, which does not see all labels; pass "
                "compute_class_weight('balanced', classes=classes, y=y) as a dict."
            )
        if balanced:  # by what the images count, so that leaving out and a weight of 0 are the same
            counts = np.bincount(t, weight, minlength=len(self.classes_)).astype(np.float64)
            present = np.count_nonzero(counts)
            of_class = np.divide(counts.sum(), present * counts, out=np.zeros_like(counts), where=counts > 0)
        else:  # not by y, which may lack a class
            of_class = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_)
            if not (np.isfinite(of_class).all() and of_class.min() >= 0):
                raise ValueError(
                    f"class_weight must hold finite numbers of at least 0, got {self.class_weight}."
                )
        result: np.ndarray = of_class[t]
        return result if weight is None else result * weight

    def _new_network(self, seed: int, dtype: Any) -> Container:
        network = make_network(self.network, self.filters, self.image_shape_, len(self.classes_), seed, dtype)
        if ends_in_softmax(network):
            raise ValueError(
                "network must end in logits, of which the estimator takes the softmax itself, got one that "
                "ends in Softmax; pass network.without_softmax()."
            )
        network.class_names = tuple(str(label) for label in self.classes_)
        return network

    def _score_held_out(self, state: TrainingState) -> float:
        return state.history.last["val_accuracy"]
