"""What the classifier and the regressor share."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Self

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from neocog.data.batches import Augmentation, batches
from neocog.data.split import Split
from neocog.estimators.images import flattened, image_shape_of, read_rows, with_channels
from neocog.estimators.networks import make_optimizer
from neocog.kernels import kernels_for, use_kernels, use_threads
from neocog.layers import Container
from neocog.layers.base import as_dtype
from neocog.losses import Loss
from neocog.optimizers import Optimizer
from neocog.training.callbacks import Callback, EarlyStopping, Progress
from neocog.training.evaluation import EVALUATION_BATCH, estimated_seconds
from neocog.training.history import History
from neocog.training.loop import NonFiniteLossError, fit, make_step
from neocog.validation import integer, number

_SEEDS = 2**31 - 1


class ConvNet(BaseEstimator):  # type: ignore[misc]
    """Base of the estimators, which describe the parameters."""

    _loss: Loss
    network_: Container
    history_: History
    image_shape_: tuple[int, int, int]
    _optimizer: Optimizer

    def __init__(
        self,
        network: Any = None,
        *,
        filters: Sequence[int] = (16, 32),
        image_shape: tuple[int, ...] | None = None,
        epochs: int = 20,
        batch_size: int = 32,
        lr: float = 0.005,
        schedule: str = "constant",
        optimizer: Any = "adamw",
        weight_decay: float = 0.01,
        augment: Augmentation | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        warm_start: bool = False,
        callbacks: Sequence[Callback] = (),
        random_state: Any = None,
        n_jobs: int | None = None,
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
        self.augment = augment
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    # What the two define for themselves

    def _read_targets(self, y: np.ndarray, again: bool, classes: Any) -> np.ndarray:
        """Return the network's targets; learn what its outputs stand for, unless it is ``again``."""
        raise NotImplementedError

    def _weights(self, y: np.ndarray, weight: np.ndarray | None, passing: bool) -> np.ndarray | None:
        """Return how much each image counts; None if all count alike."""
        return weight

    def _new_network(self, seed: int, dtype: Any) -> Container:
        """Return a new network with the outputs that the targets need."""
        raise NotImplementedError

    def _in_training(
        self, network: Container, t: np.ndarray, weight: np.ndarray | None, again: bool
    ) -> AbstractContextManager[np.ndarray]:
        """Within the block the network is as it is trained; yield the targets that it is trained on."""
        return contextlib.nullcontext(t)

    def _validation_scores(self, t: np.ndarray, history: History) -> list[float]:
        """Return the score that each row of the history stands for."""
        raise NotImplementedError

    # Training

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new network; with ``warm_start``, go on with the one at hand.

        Parameters
        ----------
        X : (N, C, H, W), (N, H, W) or (N, features)
        y : (N,), or (N, targets) for a regressor
        sample_weight : (N,), optional
            How much each image counts; one of weight 0 is left out.

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
            On Ctrl-C, after the batch under way; what was learned till then is kept.
        """
        again = bool(self.warm_start) and hasattr(self, "network_")
        network, x, t, weight = self._start(X, y, sample_weight, again)
        train, held_out = self._split(t)
        steps = self.epochs * math.ceil(len(t[train]) / self.batch_size)
        self._optimizer = self._make_optimizer(self.schedule, steps)
        stopping = EarlyStopping("val_loss", self.patience)
        with self._in_training(network, t, weight, again) as t, self._threads():
            history = fit(
                network,
                Split(
                    (x[train], t[train]),
                    (x[held_out], t[held_out]) if self.early_stopping else None,
                    network.class_names,
                ),
                loss=self._loss,
                optimizer=self._optimizer,
                epochs=self.epochs,
                batch_size=self.batch_size,
                rng=self._rng,
                callbacks=[
                    *self.callbacks,
                    *([stopping] if self.early_stopping else []),
                    *([Progress()] if self.verbose else []),
                ],
                augment=self.augment,
                sample_weight=None if weight is None else weight[train],
            )
            scores = self._validation_scores(t[held_out], history) if self.early_stopping else None
        self._finish(network, history.rows[1:] if again else history.rows, again)
        self.history_.stopped = history.stopped
        self.validation_scores_ = scores and scores[1:]
        self.best_validation_score_ = scores and scores[stopping.best_epoch]
        if history.stopped == "interrupted":
            raise KeyboardInterrupt("training was interrupted; what was learned till then is in network_.")
        return self

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, classes: Any = None) -> Self:
        """Take one step for each batch of X."""
        if self.early_stopping:
            raise ValueError("early_stopping must be False for partial_fit, which holds no images out.")
        again = hasattr(self, "network_")
        network, x, t, weight = self._start(X, y, sample_weight, again, classes, passing=True)
        optimizer = self._optimizer if again else self._make_optimizer("constant", 1)
        optimizer.lr = self.lr  # a schedule of fit has come to its end
        start = time.perf_counter()
        quietly = np.errstate(over="ignore", invalid="ignore")  # overflow is not lost: the loss is checked
        with self._in_training(network, t, weight, again) as t, self._threads(), quietly:
            step = make_step(network, self._loss, optimizer)
            losses = []
            for images, rows in batches(
                x, np.arange(len(t)), self.batch_size, rng=self._rng, augment=self.augment
            ):
                losses.append(step(images, t[rows], None if weight is None else weight[rows]))
                if not math.isfinite(losses[-1]):
                    raise NonFiniteLossError(
                        f"the loss is not finite in batch {len(losses)}; a lower lr than {self.lr} may help."
                    )
        self._optimizer = optimizer
        self._finish(
            network,
            [{"running_loss": float(np.mean(losses)), "lr": self.lr, "seconds": time.perf_counter() - start}],
            again,
        )
        if self.verbose:
            print(f"epoch {self.n_iter_}  loss {self.loss_curve_[-1]:.4f} while training")
        return self

    def _start(
        self, X: Any, y: Any, sample_weight: Any, again: bool, classes: Any = None, passing: bool = False
    ) -> tuple[Container, np.ndarray, np.ndarray, np.ndarray | None]:
        """Check everything; return the network, images, targets and weights."""
        self._check_parameters()
        X, found = flattened(X)
        tags = self.__sklearn_tags__().target_tags
        X, y = read_rows(self, X, y, reset=not again, multi_output=tags.multi_output)
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
            if (weight < 0).any():
                raise ValueError(f"sample_weight must not be negative, got {weight.min()}.")
        t = self._read_targets(y, again, classes)
        weight = self._weights(y, weight, passing)
        if again:
            network = self.network_
            self._check_shape(found)
        else:
            source = check_random_state(self.random_state)
            seed, order, self._split_seed = source.randint(_SEEDS, size=3).tolist()
            self._rng = np.random.default_rng(order)
            self.image_shape_ = image_shape_of(self.image_shape, found, self.n_features_in_)
            network = self._new_network(seed, X.dtype)
        x = as_dtype(X.reshape(-1, *self.image_shape_), network.dtype)
        if weight is not None and not weight.all():
            if not weight.any():
                raise ValueError("the weights of the images must not all be zero.")
            x, t, weight = x[weight > 0], t[weight > 0], weight[weight > 0]
        return network, x, t, weight

    def _finish(self, network: Container, rows: list[dict[str, float]], again: bool) -> None:
        """Keep what has been trained, and how it went."""
        self.network_ = network
        if not again:
            self.history_ = History()
        for row in rows:
            epoch = self.history_.last["epoch"] + 1 if self.history_.rows else row.get("epoch", 1)
            self.history_.append(**row | {"epoch": epoch})

    def _split(self, t: np.ndarray) -> tuple[Any, Any]:
        """Choose the images to train on, and those to hold out."""
        if not self.early_stopping:
            return slice(None), None
        classes = t if t.dtype.kind == "i" else None
        train, held_out = train_test_split(
            np.arange(len(t)),
            test_size=self.validation_fraction,
            stratify=classes,
            random_state=self._split_seed,
        )
        return train, held_out

    def _make_optimizer(self, schedule: str, steps: int) -> Optimizer:
        return make_optimizer(self.optimizer, self.lr, self.weight_decay, schedule, steps)

    def _check_parameters(self) -> None:
        """Raise ValueError or TypeError for what nothing else checks before it is used."""
        integer("epochs", self.epochs)
        integer("batch_size", self.batch_size)
        integer("patience", self.patience)
        number("lr", self.lr, 0, exclusive_minimum=True, exclusive_maximum=True)
        number("validation_fraction", self.validation_fraction, 0, 1, True, True)
        if self.augment is not None and not callable(self.augment):
            raise TypeError(
                f"augment must be a function (images, rng) -> images or None, got {self.augment!r}."
            )
        if self.n_jobs is not None and integer("n_jobs", self.n_jobs, -(2**31)) == 0:
            raise ValueError("n_jobs must be None or an integer other than 0, got 0.")

    def _threads(self) -> AbstractContextManager[None]:
        """Use as many threads as ``n_jobs`` says, which joblib understands in its own way."""
        return use_threads(effective_n_jobs(self.n_jobs))

    # Use

    def _forward(self, X: Any) -> np.ndarray:
        """Run the network: images to its outputs (N, outputs)."""
        check_is_fitted(self, "network_")
        X, found = flattened(X)
        X = read_rows(self, X, reset=False)
        self._check_shape(found)
        x = as_dtype(X.reshape(-1, *self.image_shape_), self.network_.dtype)
        seconds = estimated_seconds(self.network_, (1, *self.image_shape_), len(x), EVALUATION_BATCH)
        with self._threads(), use_kernels(kernels_for(seconds)):
            outputs: np.ndarray = self.network_.predict_logits(x)
        return outputs

    def _check_shape(self, found: tuple[int, ...] | None) -> None:
        """Raise ValueError if images are not of the shape that the network was made for."""
        if found is not None and with_channels(found) != self.image_shape_:
            raise ValueError(
                f"X must hold images of shape {self.image_shape_}, as they were in fit, got {found}."
            )

    @property
    def n_iter_(self) -> int:
        """Epochs trained."""
        return int(self.history_.last["epoch"])

    @property
    def loss_curve_(self) -> list[float]:
        """Mean loss of the batches of each epoch, as the weights moved."""
        return [row["running_loss"] for row in self.history_.rows if row["epoch"] > 0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags
