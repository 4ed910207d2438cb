"""Compute statistics of the activations and gradients of each layer, once or after every epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from neocog.inspection.trace import Trace, trace
from neocog.layers.base import Array
from neocog.training.state import Callback
from neocog.validation import check_images, one_of, unmasked

if TYPE_CHECKING:
    from neocog.training.state import TrainingState

__all__ = ["LayerStatistics", "StatisticsLog", "layer_statistics"]


@dataclass(frozen=True)
class LayerStatistics:
    """Statistics of one layer.

    Attributes
    ----------
    name, kind : str
        The layer's dotted name and its class.
    mean, std, zeros : float
        Of the outputs: mean, standard deviation, fraction that is exactly 0.
    gradient_norm : float
        ``||dL/dy||``, the root of the sum of squares; NaN without labels.
    parameter_norm : float
        ``||(w, b)||``; NaN without parameters.
    parameter_gradient_norm : float
        ``||(dw, db)||``; NaN without parameters or labels.
    """

    name: str
    kind: str
    mean: float
    std: float
    zeros: float
    gradient_norm: float
    parameter_norm: float
    parameter_gradient_norm: float


def layer_statistics(trace: Trace) -> dict[str, LayerStatistics]:
    """Compute statistics of the activations and gradients of each layer.

    Parameters
    ----------
    trace : Trace

    Returns
    -------
    dict of str to LayerStatistics
        By dotted name, in the order of computation.

    Notes
    -----
    Initialization should keep standard deviations and gradient norms from growing or shrinking by a factor
    from layer to layer: X. Glorot, Y. Bengio, "Understanding the difficulty of training deep
    feedforward neural networks", 2010.

    Examples
    --------
    >>> from neocog.inspection.trace import trace
    >>> from neocog.models import tiny_cnn
    >>> layer_statistics(trace(tiny_cnn(), np.zeros((1, 1, 8, 8))))["relu1"].zeros
    1.0
    """
    return {
        record.name: LayerStatistics(
            record.name,
            type(record.layer).__name__,
            float(record.y.mean(dtype=np.float64)),
            float(record.y.std(dtype=np.float64)),
            float(np.count_nonzero(record.y == 0) / record.y.size),
            _norm([] if record.dy is None else [record.dy]),
            _norm(record.layer.params.values()),
            _norm(record.grads.values()),
        )
        for record in trace
    }


def _norm(arrays: Iterable[Array]) -> float:
    """Return the norm of several arrays as one vector; NaN if there are none."""
    squares = [np.square(array, dtype=np.float64).sum() for array in arrays]
    return math.sqrt(sum(squares)) if squares else math.nan


class StatisticsLog(Callback):
    """Record :func:`layer_statistics` of one fixed batch after every epoch, in inference.

    Parameters
    ----------
    images : floating point array (N, C, H, W), or lazy images, which are read once
    labels : array (N,), optional
        Without them there are no gradients.

    Attributes
    ----------
    statistics : dict of int to (dict of str to LayerStatistics)
        By the number of epochs trained; 0 is the initialisation.

    Raises
    ------
    TypeError, ValueError
        If the images are no floating point array; when training starts, if they do not fit the network.
    """

    def __init__(self, images: Array, labels: Array | None = None) -> None:
        self.images = np.asarray(check_images("images", images))
        self.labels = None if labels is None else np.asarray(unmasked("labels", labels))
        self.reset()

    def reset(self) -> None:
        self.statistics: dict[int, dict[str, LayerStatistics]] = {}

    def on_epoch(self, run: TrainingState) -> str | None:
        seen = trace(run.network, self.images, self.labels, loss=run.loss)
        self.statistics[run.epoch] = layer_statistics(seen)
        return None

    def series(self, layer: str, quantity: str) -> tuple[Array, Array]:
        """Return the epochs and one quantity of one layer after each of them.

        Raises
        ------
        ValueError
            If there is no such layer or quantity.
        """
        one_of("quantity", quantity, [field.name for field in fields(LayerStatistics)[2:]])
        epochs = sorted(self.statistics)
        if epochs:
            one_of("layer", layer, self.statistics[epochs[0]])
        values = [getattr(self.statistics[epoch][layer], quantity) for epoch in epochs]
        return np.array(epochs, dtype=int), np.array(values, dtype=float)

    def state_dict(self) -> dict[str, Any]:
        return {
            str(epoch): {name: asdict(row) for name, row in rows.items()}
            for epoch, rows in self.statistics.items()
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        self.statistics = {
            int(epoch): {name: LayerStatistics(**row) for name, row in rows.items()}
            for epoch, rows in saved.items()
        }
