"""The regressor."""

from __future__ import annotations

from typing import Any, Self, cast

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array
from sklearn.utils.metaestimators import available_if

from neocog.estimators.base import ConvNet, has_partial_fit
from neocog.estimators.networks import make_network
from neocog.estimators.target_scaling import (
    TargetScaler,
    change_scaling,
    ending_in_dense,
    with_scaling,
    without_scaling,
)
from neocog.layers import Container
from neocog.losses import MeanSquaredError
from neocog.training.state import TrainingState


class ConvNetRegressor(RegressorMixin, ConvNet):  # type: ignore[misc]
    """Convolutional network that tells numbers from images, for scikit-learn.

    It minimises the mean squared error, by minibatch gradient descent. It is trained on targets of mean 0 and
    variance 1, whatever their units. The trained network gets a last layer that takes the units back, so
    that what it says is in the units of y. The losses in ``loss_curve_`` and ``history_`` are those of
    training, so that the loss of one target is 1 - R^2.

    Parameters
    ----------
    network : None, str, function or Layer, default None
        What is trained. None: blocks of 3 x 3 convolution, ReLU and 2 x 2 max pooling, one for each of
        ``filters``, then a dense layer. A name: one of ``neocog train --network``, such as "small-cnn" or
        "resnet20". A function that returns a network: it is called with those of the arguments
        ``image_shape``, ``classes`` or ``outputs`` (how many), ``seed`` or ``rng``, and ``dtype`` that it
        has, or all if it has ``**kwargs``, so that the functions of :mod:`neocog.models` fit. A network:
        each fit trains a copy of it, from the weights that it has. What it says is taken to be in the units
        of y if it is the ``network_`` of a regressor, else in those of training. One that does not end in a
        dense layer gets one.
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
    augment : function (images, rng) -> images, optional
        Changes each batch for training; see :mod:`neocog.data.augmentation`.
    early_stopping : bool, default False
        Whether to hold out a part of the images, stop when the loss there has not improved for some epochs,
        and put the best epoch's weights back. There is no ``partial_fit`` then.
    validation_fraction : float in (0, 1), default 0.1
        The part held out, at least two images. Weights count in it as in training.
    patience : int, default 10
        Epochs without improvement that are allowed.
    warm_start : bool, default False
        Whether a further fit goes on with the weights of the last one. The optimizer starts anew.
    callbacks : sequence of Callback, default ()
        See :class:`neocog.training.Callback`. A search clones them with the estimator. They see the
        network in training, whose outputs are those units.
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
    n_outputs_ : int
        Number of targets.
    network_ : Container
        The trained network, to be inspected, drawn, and saved: ``neocog.save(model.network_, path)``.
    history_ : History
        A row an epoch since the network was new.
    loss_curve_ : list of float
        Mean loss of the batches of each epoch, as the weights moved.
    n_iter_ : int
        Epochs trained.
    validation_scores_ : list of float, or None
        R^2 on the part held out, weighted, and the mean over the targets, after each epoch of the last fit,
        if it held out any.
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
    ConvNetClassifier : the same for labels.

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
    Where in a picture a spot of light is:

    >>> from neocog import ConvNetRegressor
    >>> rng = np.random.default_rng(0)
    >>> y = rng.uniform(1, 6, (300, 2))
    >>> rows, columns = np.indices((8, 8))
    >>> distance = np.hypot(rows - y[:, 0, None, None], columns - y[:, 1, None, None])
    >>> X = np.exp(-(distance**2) / 2) + rng.normal(0, 0.05, (300, 8, 8))
    >>> model = ConvNetRegressor(random_state=0).fit(X[:200], y[:200])
    >>> model.score(X[200:], y[200:]) > 0.97
    True
    """

    _loss = MeanSquaredError()
    _target_scaler: TargetScaler

    @available_if(has_partial_fit)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Take one step for each batch of X, at the learning rate ``lr``; weights and optimizer go on.

        Nothing is measured and no callback is asked: it is for data that come bit by bit. The targets of the
        first call say where zero is and how long one is, so it should hold enough of them.

        Parameters
        ----------
        X : (N, C, H, W), (N, H, W) or (N, features)
        y : (N,) or (N, targets)
        sample_weight : (N,), optional
            How much each image counts, as a factor of its loss; nothing is scaled to a mean of 1, as in fit.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a parameter is out of range, or X, y and the network do not fit each other.
        NonFiniteLossError
            If the loss becomes NaN or infinite.
        """
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: Any) -> np.ndarray:
        """Return the target of each image: (N,), or (N, targets) if y had columns; float64."""
        outputs = self._forward(X)
        y = self._target_scaler.inverse_transform(outputs)
        return y if self._columns else y[:, 0]

    def _read_targets(self, y: np.ndarray, again: bool, classes: Any) -> np.ndarray:
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        targets: np.ndarray = y if y.ndim == 2 else y[:, np.newaxis]
        if not again:
            self.n_outputs_, self._columns = targets.shape[1], y.ndim == 2
        elif targets.shape[1] != self.n_outputs_:
            raise ValueError(f"y must have {self.n_outputs_} targets, as before, got {targets.shape[1]}.")
        return targets

    def _new_network(self, seed: int, dtype: Any) -> Container:
        network = make_network(self.network, self.filters, self.image_shape_, self.n_outputs_, seed, dtype)
        network, self._first_scaler = without_scaling(network)
        network.class_names = None  # of a classifier that it may have been
        return ending_in_dense(network, self.n_outputs_)

    def _scaled(
        self, t: np.ndarray, weight: np.ndarray | None, network: Container, again: bool
    ) -> np.ndarray:
        if not again:
            scaler = TargetScaler.of(t, weight)
            scaler.check(network.dtype)
            if self._first_scaler is not None:  # of a network that an estimator has trained
                change_scaling(network, self._first_scaler, scaler)
            self._target_scaler = scaler
        return self._target_scaler.transform(t)

    def _shown(self, network: Container) -> Container:
        return with_scaling(network, self._target_scaler)

    def _score_held_out(self, state: TrainingState) -> float:
        network, held_out = cast("Container", state.network), cast("tuple[Any, Any]", state.data.validation)
        x, t = held_out
        return float(r2_score(t, network.predict_logits(x), sample_weight=state.validation_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
