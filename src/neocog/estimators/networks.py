"""Networks and optimizers by the estimators' parameters."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from neocog import models
from neocog.estimators.images import ImageShape
from neocog.layers import Container, Dense, Layer, Sequential
from neocog.optimizers import SGD, Adam, AdamW, Optimizer
from neocog.schedules import Cosine, OneCycle
from neocog.validation import one_of


def _square(build: Callable[..., Sequential]) -> Callable[..., Sequential]:
    """Let a network of the textbook, for square grey images, be built as all others are."""

    def built(image_shape: ImageShape, classes: int, seed: int, dtype: Any) -> Sequential:
        return build(seed=seed, classes=classes, size=image_shape[1], dtype=dtype)

    return built


NETWORKS: dict[str, Callable[..., Layer]] = {
    "digits-cnn": models.digits_cnn,
    "small-cnn": models.small_cnn,
    "tiny-cnn": _square(models.tiny_cnn),
    "tiny-mlp": _square(models.tiny_mlp),
    "lenet5": models.lenet5,
    "alexnet": models.alexnet,
    "vgg16": models.vgg16,
    "resnet18": models.resnet18,
    "resnet50": models.resnet50,
    "resnet20": functools.partial(models.resnet_cifar, 20),
}
"""The names are those of ``neocog train --network``."""

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adamw": AdamW,
    "adam": Adam,
    "sgd": functools.partial(SGD, momentum=0.9, nesterov=True),
}

SCHEDULES: dict[str, Callable[[float, int], Any]] = {
    "constant": lambda lr, steps: lr,
    "cosine": Cosine,
    "one-cycle": OneCycle,
}


def build_network(
    network: Any, filters: Sequence[int], image_shape: ImageShape, outputs: int, seed: int, dtype: Any
) -> Container:
    """Make the network that is to be trained.

    Parameters
    ----------
    network : None, str, Layer or function
        See :class:`~neocog.ConvNetClassifier`.
    filters : sequence of int
        Of the network that None stands for.
    image_shape : (C, H, W)
    outputs : int
    seed : int
    dtype : floating point type
        Of the parameters, where the network lets us choose.

    Raises
    ------
    ValueError, TypeError
        If there is no such network, or it does not fit the images, or has another number of outputs.
    """
    known = {"image_shape": image_shape, "classes": outputs, "outputs": outputs}
    known |= {"seed": seed, "rng": np.random.default_rng(seed), "dtype": dtype}
    if network is None:
        made: Any = models.conv_net(filters, outputs, image_shape, seed, dtype)
    elif isinstance(network, Layer):
        made = copy.deepcopy(network)
    elif isinstance(network, str):
        made = _call(NETWORKS[one_of("network", network, NETWORKS)], known)
    elif callable(network):
        made = copy.deepcopy(_call(network, known))  # it might give the same one at every call
        if not isinstance(made, Layer):
            raise TypeError(f"network must return a neocog Layer, got {made!r}.")
    else:
        raise TypeError(f"network must be None, a name, a Layer or a function, got {network!r}.")
    if not isinstance(made, Container):
        made = Sequential(made)
    _check_fit(made, image_shape, outputs)
    made.input_shape = image_shape
    trained: Container = made
    return trained


def _call(build: Callable[..., Any], known: Mapping[str, Any]) -> Any:
    """Call a function with those of the known arguments that it has."""
    return build(**{name: known[name] for name in inspect.signature(build).parameters if name in known})


def _check_fit(network: Container, image_shape: ImageShape, outputs: int) -> None:
    """Raise ValueError if a network cannot see such images, or has another number of outputs."""
    try:
        shape = tuple(network.output_shape((1, *image_shape)))
    except ValueError as error:
        raise ValueError(f"network must fit images of shape {image_shape}, but {error}") from None
    if shape != (1, outputs):
        raise ValueError(
            f"network must give {outputs} outputs for images of shape {image_shape}, got one with the output "
            f"shape (N, {', '.join(map(str, shape[1:]))})."
        )


def ending_in_dense(network: Container, outputs: int) -> Container:
    """Return the network with a dense layer at its end, which does nothing yet, unless it has one.

    A layer that stands at several places does not count, nor does one without a bias.
    """
    leaves = [leaf for _, leaf in network.leaves()]
    last = leaves[-1]
    at_end = isinstance(network, Sequential) and network[-1] is last and sum(x is last for x in leaves) == 1
    if at_end and type(last) is Dense and last.bias:
        return network
    dense = Dense(outputs, outputs, dtype=network.dtype or np.float64)
    dense.params["weight"][...] = np.eye(outputs)
    longer = Sequential(network=network, dense=dense)
    longer.input_shape = network.input_shape
    return longer


def make_optimizer(optimizer: Any, lr: float, weight_decay: float, schedule: str, steps: int) -> Optimizer:
    """Make the optimizer of a run of so many steps.

    Raises
    ------
    ValueError, TypeError
        If a name is unknown, a number out of range, or a function returns something else.
    """
    rate = SCHEDULES[one_of("schedule", schedule, SCHEDULES)](lr, steps)
    if isinstance(optimizer, str):
        make = OPTIMIZERS[one_of("optimizer", optimizer, OPTIMIZERS)]
    elif callable(optimizer):
        make = optimizer
    else:
        raise TypeError(
            f"optimizer must be {', '.join(map(repr, OPTIMIZERS))} or a function (lr, weight_decay) -> "
            f"Optimizer, got {optimizer!r}."
        )
    made = make(lr=rate, weight_decay=weight_decay)
    if not isinstance(made, Optimizer):
        raise TypeError(f"optimizer must return a neocog Optimizer, got {made!r}.")
    return made
