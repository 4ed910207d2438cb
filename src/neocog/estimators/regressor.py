"""Define the regressor for scikit-learn."""

from __future__ import annotations

from typing import Any, Self, cast

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array
from sklearn.utils.metaestimators import available_if

from neocog.estimators.base import ConvNet, has_partial_fit
from neocog.estimators.documentation import share_documentation
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
from neocog.validation import unmasked


@share_documentation
class ConvNetRegressor(RegressorMixin, ConvNet):  # type: ignore[misc]
    """Convolutional network that predicts numbers from images, for scikit-learn.

    It minimizes the mean squared error by minibatch gradient descent, on targets standardized to mean 0 and
    variance 1. The trained network gets a last layer that restores the units of y. The losses in
    ``loss_curve_`` and ``history_`` are those of training, so that the loss of a single target is 1 - R^2.

    Parameters
    ----------
    %(network)s
    %(training)s
    %(fitting)s

    Attributes
    ----------
    n_outputs_ : int
        Number of targets.
    %(fitted)s
    validation_scores_ : list of float, or None
        R^2 on the part held out, weighted, and the mean over the targets, after each epoch of the last fit,
        if it held out any.

    Raises
    ------
    ValueError, TypeError
        From fit, if a parameter is out of range.

    See Also
    --------
    ConvNetClassifier : the same for labels.

    Notes
    -----
    The outputs of a given ``network`` are taken to be in the units of y if it is the ``network_`` of a
    regressor, else standardized. One that does not end in a dense layer gets one. Callbacks see the network
    in training, whose outputs are standardized.

    %(notes)s

    Examples
    --------
    Find the position of a spot of light:

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
        """Take one step for each batch of X, at the learning rate ``lr``, with the current optimizer.

        Nothing is evaluated and no callback is called: it is for data that arrive in parts. The targets of
        the
        first call set the mean and the scale of the standardization, so it should hold enough of them.

        Parameters
        ----------
        X : (N, C, H, W), (N, H, W) or (N, features)
        y : (N,) or (N, targets)
        sample_weight : (N,), optional
            Factor of each image's loss; unlike in fit, weights are not scaled to mean 1.

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

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination R^2, 1 at best."""
        r2: float = super().score(X, unmasked("y", y), unmasked("sample_weight", sample_weight))
        return r2

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
        network.class_names = None  # from a classifier that the network may have been in
        return ending_in_dense(network, self.n_outputs_)

    def _scaled(
        self, t: np.ndarray, weight: np.ndarray | None, network: Container, again: bool
    ) -> np.ndarray:
        if not again:
            scaler = TargetScaler.of(t, weight)
            scaler.check(network.dtype)
            if self._first_scaler is not None:  # a network trained by an estimator
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
