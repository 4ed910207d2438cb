"""Define the base class of the classifier and the regressor."""

from __future__ import annotations

import contextlib
import copy
import math
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from neocog.data.batches import Augmentation, batches
from neocog.data.split import Split
from neocog.estimators.early_stopping import Scores, hold_out
from neocog.estimators.images import flattened, image_shape_of, read_rows
from neocog.estimators.networks import led_by, make_optimizer
from neocog.kernels import BACKENDS, kernels_for, use_kernels, use_threads
from neocog.layers import Container
from neocog.layers.base import as_dtype
from neocog.layers.normalization import normalize_for
from neocog.losses import Loss
from neocog.optimizers import Optimizer
from neocog.representation import say
from neocog.training.by_name import make_augmentation, plateau
from neocog.training.callbacks import EarlyStopping, KeepBest, Progress
from neocog.training.checks import check_batch_sizes
from neocog.training.diagnosis import NonFiniteLossError
from neocog.training.evaluation import EVALUATION_BATCH, estimated_seconds
from neocog.training.history import History
from neocog.training.loop import fit, make_step
from neocog.training.state import Callback, TrainingState
from neocog.training.symptoms import Diagnose
from neocog.validation import integer, number, one_of, unmasked

_SEEDS = 2**31 - 1


def has_partial_fit(model: ConvNet) -> bool:
    """Return True if a model has ``partial_fit``; raise AttributeError if not."""
    if model.early_stopping:
        raise AttributeError("early_stopping must be False for partial_fit, which holds no images out.")
    return True


class ConvNet(BaseEstimator):  # type: ignore[misc]
    """Base class of the estimators; see :mod:`neocog.estimators.documentation` for the parameters."""

    _loss: Loss
    network_: Container
    history_: History
    image_shape_: tuple[int, int, int]
    _network: Container  # the network in training
    _optimizer: Optimizer
    _rng: np.random.Generator

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
        self.network = network
        self.filters = filters
        self.image_shape = image_shape
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.schedule = schedule
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.augment = augment
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.kernels = kernels
        self.verbose = verbose

    # Defined by the subclasses

    def _read_targets(self, y: np.ndarray, again: bool, classes: Any) -> np.ndarray:
        """Return the targets for training; set the attributes that describe the outputs, unless ``again``."""
        raise NotImplementedError

    def _weights(self, t: np.ndarray, weight: np.ndarray | None, passing: bool) -> np.ndarray | None:
        """Return the weight of each image; None if all are equal."""
        return weight

    def _new_network(self, seed: int, dtype: Any) -> Container:
        """Return a new network with the outputs that the targets need."""
        raise NotImplementedError

    def _scaled(
        self, t: np.ndarray, weight: np.ndarray | None, network: Container, again: bool
    ) -> np.ndarray:
        """Return the targets as the network is trained on them."""
        return t

    def _shown(self, network: Container) -> Container:
        """Return the trained network, with outputs in the units of y."""
        return network

    def _score_held_out(self, state: TrainingState) -> float:
        """Return the score on the images held out, after an epoch."""
        raise NotImplementedError

    # Training

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new network, or with ``warm_start`` train the current one further.

        If it fails, the estimator is unchanged.

        Parameters
        ----------
        X : (N, C, H, W), (N, H, W) or (N, features)
        y : (N,), (N, targets) for a regressor, or (N, labels) of 0 and 1 for a classifier
        sample_weight : (N,), optional
            Relative weight of each image; one of weight 0 is left out.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a parameter is out of range, or X, y and the network do not fit each other.
        NonFiniteLossError
            If the loss becomes NaN or infinite.
        KeyboardInterrupt
            On Ctrl-C or SIGTERM, after the current batch; the network trained so far is kept.
        """
        work = copy.copy(self)
        work._fit(X, y, sample_weight)
        self.__dict__ = work.__dict__
        if self.history_.stopped == "interrupted":
            raise KeyboardInterrupt("training was interrupted; the network trained so far is in network_.")
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        again = bool(self.warm_start) and hasattr(self, "network_")
        network, x, t, weight = self._start(X, y, sample_weight, again)
        train, held_out = self._split(t, network.class_names)
        t = self._scaled(t, weight, network, again)
        steps = self.epochs * math.ceil(len(t[train]) / self.batch_size)
        self._optimizer = self._make_optimizer(self.schedule, steps)
        stops = self.early_stopping
        stopping, scores = self._keep_best(), Scores(self._score_held_out)
        with self._computing():
            history = fit(
                network,
                Split(
                    (x[train], t[train]),
                    (x[held_out], t[held_out]) if stops else None,
                    network.class_names,
                ),
                loss=self._loss,
                optimizer=self._optimizer,
                epochs=self.epochs,
                batch_size=self.batch_size,
                rng=self._rng,
                callbacks=[
                    *self.callbacks,
                    *self._plateau(),
                    *([stopping, scores] if stops else []),
                    *([Progress(), Diagnose()] if self.verbose else []),
                ],
                augment=self._augmentation(),
                sample_weight=None
                if weight is None
                else (weight[train], weight[held_out] if stops else None),
            )
        self._finish(network, history.rows[1:] if again else history.rows, again)
        self.history_.stopped = history.stopped
        self.validation_scores_ = scores.values[1:] if stops else None
        self.best_validation_score_ = scores.values[stopping.best_epoch] if stops else None

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, classes: Any = None) -> Self:
        """Take one step for each batch of X; on an error the estimator is unchanged."""
        work = copy.copy(self)
        work._pass(X, y, sample_weight, classes)
        self.__dict__ = work.__dict__
        if self.verbose:
            say(sys.stdout, f"epoch {self.n_iter_}  loss {self.loss_curve_[-1]:.4f} while training")
        return self

    def _pass(self, X: Any, y: Any, sample_weight: Any, classes: Any) -> None:
        again = hasattr(self, "network_")
        network, x, t, weight = self._start(X, y, sample_weight, again, classes, passing=True)
        t = self._scaled(t, weight, network, again)
        check_batch_sizes(network, self.image_shape_, len(t), self.batch_size)
        # After fit, the optimizer that it ended with; its schedule has ended.
        optimizer = copy.deepcopy(self._optimizer) if again else self._make_optimizer("constant", 1)
        optimizer.lr = self.lr
        shape = (1, *self.image_shape_)
        before = getattr(self, "_work", 0.0) if again else 0.0  # many short calls add up to a long job
        self._work = before + estimated_seconds(network, shape, len(t), self.batch_size, training=True)
        start, losses = time.perf_counter(), []
        quietly = np.errstate(over="ignore", invalid="ignore")  # an overflow is noticed: the loss is checked
        with self._computing(self._work), quietly:
            step = make_step(network, self._loss, optimizer)
            order = np.arange(len(t))
            for images, rows in batches(
                x, order, self.batch_size, rng=self._rng, augment=self._augmentation()
            ):
                losses.append(step(images, t[rows], None if weight is None else weight[rows]))
                if not math.isfinite(losses[-1]):
                    raise NonFiniteLossError(
                        f"the loss is not finite in batch {len(losses)}; a lower lr than {self.lr} may help."
                    )
        self._optimizer = optimizer
        row = {"running_loss": np.mean(losses).item(), "lr": self.lr, "seconds": time.perf_counter() - start}
        self._finish(network, [row], again)

    def _start(
        self, X: Any, y: Any, sample_weight: Any, again: bool, classes: Any = None, passing: bool = False
    ) -> tuple[Container, np.ndarray, np.ndarray, np.ndarray | None]:
        """Check parameters and data; return the network, images, targets and weights."""
        self._check_parameters()
        X, found = flattened(X, self.image_shape_ if again else None)
        unmasked("y", y)
        tags = self.__sklearn_tags__()
        several = tags.target_tags.multi_output or getattr(tags.classifier_tags, "multi_label", False)
        X, y = read_rows(self, X, y, reset=not again, multi_output=several)
        weight = None
        if sample_weight is not None:
            unmasked("sample_weight", sample_weight)
            weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
            if (weight < 0).any():
                raise ValueError(f"sample_weight must not be negative, got {weight.min()}.")
        t = self._read_targets(y, again, classes)
        weight = self._weights(t, weight, passing)
        if weight is not None and not weight.any() and not passing:
            raise ValueError("the weights of the images must not all be zero.")
        if again:
            network, self._rng = copy.deepcopy((self._network, self._rng))
        else:
            source = check_random_state(self.random_state)
            seed, order, self._split_seed = source.randint(_SEEDS, size=3).tolist()
            self._rng = np.random.default_rng(order)
            self.image_shape_ = image_shape_of(self.image_shape, found, self.n_features_in_)
            network = self._new_network(seed, X.dtype)
        x = as_dtype(X.reshape(-1, *self.image_shape_), network.dtype)
        if weight is not None and not passing and not weight.all():
            x, t, weight = x[weight > 0], t[weight > 0], weight[weight > 0]
        if self.network is None and not again:
            weighted = weight is not None and weight.any()
            network = led_by(normalize_for(x, weight if weighted else None), network)
        return network, x, t, weight

    def _finish(self, network: Container, rows: list[dict[str, float]], again: bool) -> None:
        """Set the attributes that describe the trained network."""
        self._network, self.network_ = network, self._shown(network)
        self.history_ = History(list(self.history_.rows) if again else [])
        for row in rows:
            epoch = self.history_.last["epoch"] + 1 if self.history_.rows else row.get("epoch", 1)
            self.history_.append(**row | {"epoch": epoch})

    def _split(self, t: np.ndarray, class_names: Sequence[str] | None) -> tuple[Any, Any]:
        """Return the indices of the images to train on, and of those to hold out."""
        if not self.early_stopping:
            return slice(None), None
        return hold_out(t, self.validation_fraction, class_names, self._split_seed)

    def _make_optimizer(self, schedule: str, steps: int) -> Optimizer:
        return make_optimizer(self.optimizer, self.lr, self.weight_decay, schedule, steps, self.clip_norm)

    def _keep_best(self) -> KeepBest:
        """Return the callback that restores the best epoch, and stops early unless ``patience`` is None."""
        return KeepBest("val_loss") if self.patience is None else EarlyStopping("val_loss", self.patience)

    def _plateau(self) -> list[Callback]:
        if self.schedule != "plateau":
            return []
        return [plateau("val_loss" if self.early_stopping else "train_loss")]

    def _augmentation(self) -> Augmentation | None:
        if isinstance(self.augment, str):
            return make_augmentation(self.augment, self.image_shape_)
        return self.augment

    def _check_parameters(self) -> None:
        """Raise ValueError or TypeError for parameters that nothing else checks before use."""
        integer("epochs", self.epochs)
        integer("batch_size", self.batch_size)
        if self.patience is not None:
            integer("patience", self.patience)
        number("lr", self.lr, 0, exclusive_minimum=True, exclusive_maximum=True)
        number("validation_fraction", self.validation_fraction, 0, 1, True, True)
        one_of("kernels", self.kernels, BACKENDS)
        if not isinstance(self.early_stopping, bool | np.bool_):
            raise TypeError(f"early_stopping must be True or False, got {self.early_stopping!r}.")
        if isinstance(self.augment, str):
            make_augmentation(self.augment, (1, 8, 8))
        elif self.augment is not None and not callable(self.augment):
            raise TypeError(
                "augment must be a function (images, rng) -> images, a name such as 'shift', or None, got "
                f"{self.augment!r}."
            )
        if not isinstance(self.callbacks, tuple | list):
            raise TypeError(
                f"callbacks must be a list or tuple of callbacks, () for none, got {self.callbacks!r}."
            )
        if self.n_jobs is not None and integer("n_jobs", self.n_jobs, -(2**31)) == 0:
            raise ValueError("n_jobs must be None or an integer other than 0, got 0.")

    @contextlib.contextmanager
    def _computing(self, seconds: float | None = None) -> Iterator[None]:
        """Use the threads and the kernels that the parameters name.

        Kernels "auto" are those in use where the estimator is called. If these are ``auto``, too, they are
        chosen here for a job of ``seconds``, or left to the called function if that is None.
        """
        with contextlib.ExitStack() as chosen:
            chosen.enter_context(use_threads(effective_n_jobs(self.n_jobs)))  # joblib's meaning of None
            if self.kernels != "auto":
                chosen.enter_context(use_kernels(self.kernels))
            if seconds is not None:
                chosen.enter_context(use_kernels(kernels_for(seconds)))
            yield

    # Use

    def _forward(self, X: Any) -> np.ndarray:
        """Run the network: images to its outputs (N, outputs)."""
        check_is_fitted(self, "network_")
        X, _ = flattened(X, self.image_shape_)
        X = read_rows(self, X, reset=False)
        x = as_dtype(X.reshape(-1, *self.image_shape_), self._network.dtype)
        seconds = estimated_seconds(self._network, (1, *self.image_shape_), len(x), EVALUATION_BATCH)
        with self._computing(seconds):
            outputs: np.ndarray = self._network.predict_logits(x)
        return outputs

    @property
    def n_iter_(self) -> int:
        """Number of epochs trained."""
        return int(self.history_.last["epoch"])

    @property
    def loss_curve_(self) -> list[float]:
        """Mean loss of the batches of each epoch during training."""
        return [row["running_loss"] for row in self.history_.rows if row["epoch"] > 0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags
