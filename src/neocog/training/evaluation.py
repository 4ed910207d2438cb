"""Evaluate a network on data."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from neocog.data.batches import batches
from neocog.deprecation import accepts_old_names
from neocog.kernels import kernels_for, use_kernels
from neocog.layers import Layer
from neocog.layers.base import Array, as_dtype, check_network
from neocog.layers.prediction import Predictor
from neocog.losses import Loss, check_weights
from neocog.losses.outputs import loss_of_kind, network_for_loss
from neocog.validation import check_images, integer, unmasked


class Evaluation(NamedTuple):
    """Mean loss and, for a classifier, the fraction classified correctly (NaN for a regression).

    Of several labels an image, the fraction of images of which all labels are right.
    """

    loss: float
    accuracy: float


EVALUATION_BATCH = 64


def estimated_seconds(
    network: Layer, input_shape: tuple[int, ...], images: int, batch_size: int, training: bool = False
) -> float:
    """Estimate the seconds that the ``im2col`` kernels take for a number of images.

    The model: the FLOPs that the layers state at 45 GFLOP/s, 1.5 nanoseconds per number of an output, and 9
    microseconds per layer and batch. A training step counts as three forward passes.
    """
    outputs: list[int] = []

    def count(name: str, layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
        outputs.append(math.prod(layer.output_shape(shape)))
        return layer.output_shape(shape)

    network.walk(count, input_shape)
    passes = 3 if training else 1
    steps = math.ceil(images / batch_size)
    of_image = network.flops(input_shape) / 45e9 + sum(outputs) * 1.5e-9
    return passes * (images * of_image + steps * len(outputs) * 9e-6)


def evaluate(
    network: Layer,
    x: Any,
    y: Any,
    *,
    loss: Loss | None = None,
    batch_size: int = EVALUATION_BATCH,
    sample_weight: Any = None,
) -> Evaluation:
    """Compute loss and accuracy in inference mode.

    Parameters
    ----------
    network : Layer
    x : floating point array (N, C, H, W), or lazy images
    y : labels (N,), of several labels an image (N, labels) of 0 and 1, or values
    loss : default SoftmaxCrossEntropy()
        BinaryCrossEntropy() for a network of independent outputs, MeanSquaredError() for one of values. What
        it includes, a Softmax or a Sigmoid at the end of the network, is left out then.
    batch_size : int
    sample_weight : (N,), optional
        Weight of each image.

    Raises
    ------
    TypeError, ValueError
        If images or labels are empty, not finite, or do not fit each other or the network.

    Examples
    --------
    >>> from neocog.data import line_patterns
    >>> from neocog.models import tiny_cnn
    >>> round(evaluate(tiny_cnn(42), *line_patterns("a").validation).accuracy, 3)
    0.4
    """
    x, y = check_images("x", x), np.asarray(unmasked("y", y))
    integer("batch_size", batch_size)
    check_network(network)
    if y.ndim == 0:
        raise ValueError(f"y must have shape (N,), one label an image, got a single number, {y}.")
    if len(y) == 0:
        raise ValueError("x and y must not be empty.")
    if loss is None:
        loss = loss_of_kind(network.output_kind if isinstance(network, Predictor) else "logits")
    network = network_for_loss(network, loss)
    weights = np.ones(len(y)) if sample_weight is None else check_weights(sample_weight, len(y))
    if not weights.any():
        raise ValueError("sample_weight must not be all 0.")
    everything = np.add.reduce(weights).item()
    total, correct = 0.0, 0.0
    with use_kernels(kernels_for(estimated_seconds(network, (1, *x.shape[1:]), len(y), batch_size))):
        for k, (images, labels) in enumerate(batches(x, y, batch_size)):
            z = network(as_dtype(images, network.dtype))
            here = weights[k * batch_size : (k + 1) * batch_size]
            value, _ = loss(z, labels) if sample_weight is None else loss(z, labels, here)
            total += value * len(labels)
            right = loss.correct(z, labels)
            if right is not None and np.shape(right) != (len(labels),):
                raise TypeError(
                    f"{type(loss).__name__}.correct must return one truth value for each of {len(labels)} "
                    f"outputs, got shape {np.shape(right)}."
                )
            correct += math.nan if right is None else np.add.reduce(here[right]).item()
    return Evaluation(total / everything, correct / everything)


@accepts_old_names
def predict(network: Predictor, x: Array, batch_size: int = 256) -> Array:
    """Return the answer for each image, as a rule the most probable class: ``network.predict``."""
    return network.predict(x, batch_size)


@accepts_old_names
def predict_proba(network: Predictor, x: Array, batch_size: int = 256) -> Array:
    """Return the probability of each class for each image: ``network.predict_proba``."""
    return network.predict_proba(x, batch_size)
