"""Build networks and optimizers from the estimators' parameters."""

from __future__ import annotations

import copy
import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from neocog.estimators.images import ImageShape
from neocog.layers import Container, Layer, Normalize, Sequential
from neocog.layers.base import generator_places
from neocog.models.by_name import NETWORKS, build_network
from neocog.models.image_cnn import image_cnn, suited_filters
from neocog.optimizers import Optimizer
from neocog.training import by_name
from neocog.validation import number, one_of

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adamw": functools.partial(by_name.OPTIMIZERS["adamw"], momentum=0.9),
    "adam": functools.partial(by_name.OPTIMIZERS["adam"], momentum=0.9),
    "nadam": functools.partial(by_name.OPTIMIZERS["nadam"], momentum=0.9),
    "rmsprop": functools.partial(by_name.OPTIMIZERS["rmsprop"], momentum=0.0),
    "sgd": functools.partial(by_name.OPTIMIZERS["nesterov"], momentum=0.9),
}


def make_network(
    network: Any, filters: Any, image_shape: ImageShape, outputs: int, seed: int, dtype: Any
) -> Container:
    """Build the network to train.

    Parameters
    ----------
    network : None, str, Layer or function
        See :class:`~neocog.ConvNetClassifier`.
    filters : int, sequence of int or None
        Channels of the default network, None for those that suit the images; with another one, leave out.
    image_shape : (C, H, W)
    outputs : int
    seed : int
        Seeds the weights of a new network, and the draws of layers such as dropout in any.
    dtype : floating point type
        Type of the parameters, if the network has that argument.

    Raises
    ------
    ValueError, TypeError
        If there is no such network, or it does not fit the images, or has another number of outputs.
    """
    known = {"image_shape": image_shape, "classes": outputs, "outputs": outputs}
    known |= {"seed": seed, "rng": np.random.default_rng(seed), "dtype": dtype}
    if network is not None and filters is not None:
        raise ValueError(
            f"filters must be left out where network is given, which has its own, got {filters!r} and "
            f"network={network!r}."
        )
    if network is None:
        channels = suited_filters(image_shape) if filters is None else tuple(np.atleast_1d(filters).tolist())
        made: Any = image_cnn(channels, outputs, image_shape, seed, dtype)
    elif isinstance(network, Layer):
        made = copy.deepcopy(network)
    elif isinstance(network, str):
        one_of("network", network, NETWORKS)
        try:
            made = build_network(network, outputs, image_shape, seed, dtype=dtype)
        except ValueError as error:
            message = f"network {network!r} must fit images of shape {image_shape}, but {error}"
            raise ValueError(message) from None
    elif callable(network):
        made = copy.deepcopy(_call(network, known))  # it might return the same network at every call
        if not isinstance(made, Layer):
            raise TypeError(f"network must return a neocog Layer, got {made!r}.")
    else:
        raise TypeError(f"network must be None, a name, a Layer or a function, got {network!r}.")
    if not isinstance(made, Container):
        made = Sequential(made)
    _check_fit(made, image_shape, outputs)
    _reseed(made, seed)
    made.input_shape = image_shape
    trained: Container = made
    return trained


def led_by(normalize: Normalize, network: Container) -> Container:
    """Return the network with a layer before its first one."""
    inner = dict(network.children) if isinstance(network, Sequential) else {"network": network}
    led = Sequential(normalize=normalize.astype(network.dtype), **inner)._taking_after(network)
    led.output_kind = network.output_kind
    return led


def _call(build: Callable[..., Any], known: Mapping[str, Any]) -> Any:
    """Call a function with those of the known arguments that it has; TypeError if it needs others."""
    parameters = inspect.signature(build).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return build(**known)
    needed = {p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL}
    if unknown := needed - set(known):
        raise TypeError(
            f"network must be a function of arguments among {', '.join(known)}, got one that needs "
            f"{', '.join(sorted(unknown))}."
        )
    return build(**{p.name: known[p.name] for p in parameters if p.name in known})


def _reseed(network: Layer, seed: int) -> None:
    """Give the layers new generators from the seed; layers that share one still share one."""
    new: dict[int, np.random.Generator] = {}
    for layer, name, rng in generator_places(network):
        new.setdefault(id(rng), np.random.default_rng([seed, len(new)]))
        setattr(layer, name, new[id(rng)])


def _check_fit(network: Container, image_shape: ImageShape, outputs: int) -> None:
    """Raise ValueError if a network does not accept such images, or has another number of outputs."""
    try:
        shape = tuple(network.output_shape((1, *image_shape)))
    except ValueError as error:
        raise ValueError(f"network must fit images of shape {image_shape}, but {error}") from None
    if shape != (1, outputs):
        raise ValueError(
            f"network must give {outputs} outputs for images of shape {image_shape}, got one with the output "
            f"shape (N, {', '.join(map(str, shape[1:]))})."
        )


def make_optimizer(
    optimizer: Any, lr: float, weight_decay: float, schedule: str, steps: int, clip_norm: float | None = None
) -> Optimizer:
    """Build the optimizer for a number of steps.

    Raises
    ------
    ValueError, TypeError
        If a name is unknown, a number out of range, or a function returns something else.
    """
    rate = by_name.make_schedule(schedule, lr, steps)
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
    if clip_norm is not None:
        made.clip_norm = number("clip_norm", clip_norm, 0, math.inf, True, True)
    return made
