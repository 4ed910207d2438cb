"""Build the network that the settings of a run name, and fit it as they say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neocog.budgets import charging, check_budget
from neocog.data import Split
from neocog.data.split import images_of_classes
from neocog.kernels import use_kernels
from neocog.layers import Container, Normalize, Sequential
from neocog.layers.normalization import normalize_for
from neocog.models.by_name import build_network
from neocog.optimizers import Optimizer
from neocog.resolution import outputs_for
from neocog.runs.starting import Start
from neocog.settings import PRETRAINED, Settings, parse_rates, shown
from neocog.training import Callback, EarlyStopping, History, KeepBest, fit
from neocog.training.by_name import make_augmentation, make_optimizer, make_schedule, plateau

# Training images that a report shows; drawn before anything else, as in the digits' protocol.
SAMPLE_SIZE = 36
# Training images whose channels are averaged: reading more pictures would not change the first three digits.
NORMALIZED_IMAGES = 2000
NORMALIZED_NUMBERS = 2**26  # of large images fewer, so that they fit into memory


def network_for(settings: Settings, data: Split) -> Container:
    """Build the network that the settings name, for a :func:`training_split`.

    It has random weights; for those of ``settings.pretrained`` see :func:`started_network`.

    With ``settings.normalize`` a layer ``normalize`` leads it, whose numbers are those of the training
    images; of more than ``NORMALIZED_IMAGES``, or ``NORMALIZED_NUMBERS`` in them, those of so many, at equal
    distances.

    Raises
    ------
    ValueError
        If it does not accept such images.
    BudgetError
        If it has more weights than the budget "weights", or more layers than the budget "layers".
    """
    classes, filters = outputs_for(settings, data), settings.filters
    named = f"network {settings.network!r}"
    if filters:
        check_budget(
            "layers", 3 * len(filters), f"{named} of {len(filters)} filters"
        )  # each with ReLU and pooling
        named += f" of the filters {shown(filters[:8])}{'...' * (len(filters) > 8)}"
    with charging("weights", f"{named}, for images of shape {data.image_shape},"):
        network = build_network(settings.network, classes, data.image_shape, settings.seed, filters)
    return adapted(network, settings, data)


def started_network(start: Start, settings: Settings, data: Split) -> tuple[Container, list[str]]:
    """Return a pretrained network for a :func:`training_split`, and what was made of it, a line each.

    Raises
    ------
    ValueError
        If it does not accept such images, or has no layers that ``settings.freeze`` names.
    """
    network, lines = start.fitted_to(data)
    if settings.normalize != PRETRAINED and isinstance(network, Sequential):
        first = next(iter(network.children), "")
        if isinstance(network.children.get(first), Normalize):
            network = network[1:]._taking_after(network)
    network = adapted(network, settings, data)
    if settings.freeze is not None:
        learned = sum(array.size for array in network.trainable_params.values())
        lines.append(
            f"frozen: {settings.freeze}; {learned:,} of {network.parameter_count:,} parameters learn"
        )
    return network, lines


def adapted(network: Container, settings: Settings, data: Split) -> Container:
    """Return a network with the normalization, class weights and frozen layers that the settings name."""
    if settings.normalize == "channels":
        images, shape = data.train[0], network.input_shape
        most = min(len(images), NORMALIZED_IMAGES, max(1, NORMALIZED_NUMBERS // math.prod(data.image_shape)))
        some = images[np.linspace(0, len(images) - 1, most).astype(int)]
        leading = normalize_for(np.asarray(some, network.dtype))
        inner = dict(network.children) if isinstance(network, Sequential) else {"network": network}
        network = Sequential(normalize=leading, **inner)
        network.input_shape = shape
    network.class_weight = _class_weight(settings, data)
    if settings.freeze is not None:
        network.freeze(part.strip() for part in settings.freeze.split(","))
    return network


def _class_weight(settings: Settings, data: Split) -> tuple[float, ...] | None:
    """Return the weight of each class's images: ``N / (K n_k)``, so that all K classes count the same.

    Of several labels ``(N - n_k) / n_k`` for the images with label k, so that they count as the others do.
    """
    if settings.class_weight == "none":
        return None
    counts = images_of_classes(data.train[1], len(data.class_names))
    if data.is_multilabel:
        without = len(data.train[1]) - counts
        return tuple(np.where(counts * without, without / np.maximum(counts, 1), 1.0).tolist())
    weights = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return tuple(np.where(counts > 0, weights, 1.0).tolist())


def optimizer_for(settings: Settings, steps: int) -> Optimizer:
    """Return the optimizer of the settings, with its learning rates spread over so many steps."""
    rate = make_schedule(settings.schedule, settings.lr, steps)
    clip_norm = settings.clip_norm or None
    rates = parse_rates(settings.rates)
    return make_optimizer(
        settings.optimizer, rate, settings.momentum, settings.weight_decay, clip_norm, rates
    )


def choosing_callbacks(settings: Settings) -> list[Callback]:
    """Return the callbacks that choose: the epoch, by the validation images, and lower learning rates."""
    callbacks: list[Callback] = []
    if settings.schedule == "plateau":
        callbacks.append(plateau("val_loss" if settings.validation else "train_loss"))
    keeps = settings.keep_best != "none"
    measure = f"val_{settings.keep_best if keeps else 'loss'}"
    if settings.early_stopping:
        callbacks.append(EarlyStopping(measure, settings.early_stopping, restore_best=keeps))
    elif keeps:
        callbacks.append(KeepBest(measure))
    return callbacks


def draw_sample(settings: Settings, images: int) -> tuple[np.ndarray, np.random.Generator]:
    """Draw the training images that a report shows; return them and the generator that draws the batches."""
    rng = np.random.default_rng(settings.seed)
    return rng.choice(images, min(SAMPLE_SIZE, images), replace=False), rng


def fit_as(
    settings: Settings,
    data: Split,
    network: Container,
    rng: np.random.Generator,
    callbacks: Sequence[Callback] = (),
    checkpoint: Path | None = None,
) -> History:
    """Train a network in place by the settings.

    Parameters
    ----------
    settings : Settings
        With nothing left to be chosen.
    data : Split
        As :func:`training_split` returns it.
    network : Container
        As :func:`network_for` returns it.
    rng : Generator
    callbacks : sequence of Callback
        Such as :func:`choosing_callbacks`.
    checkpoint : path, optional
        From which to go on.

    Raises
    ------
    NonFiniteLossError
        If the loss becomes NaN or infinite.
    """
    steps = settings.epochs * math.ceil(len(data.train[1]) / settings.batch_size)
    weights, loss = None, settings.make_loss()
    if network.class_weight is not None and data.is_multilabel:
        loss = settings.make_loss(network.class_weight)
    elif network.class_weight is not None:
        of_class = np.array(network.class_weight)
        measured = None
        if settings.validation and data.validation is not None:  # as it is in training
            measured = of_class[data.validation[1]]
        weights = of_class[data.train[1]], measured
    with use_kernels(settings.kernels):
        return fit(
            network,
            data,
            loss=loss,
            optimizer=optimizer_for(settings, steps),
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            rng=rng,
            augment=make_augmentation(settings.augment, data.image_shape),
            callbacks=callbacks,
            resume=checkpoint,
            sample_weight=weights,
            engine=settings.engine,
            device=settings.device,
            checkpoint_activations=settings.checkpoint_activations,
        )
