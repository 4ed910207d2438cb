"""The ready-made networks by the names that the command line and the estimators know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from neocog.layers import Sequential
from neocog.models.alexnet import alexnet
from neocog.models.lenet import lenet5
from neocog.models.resnet import resnet18, resnet50, resnet_cifar
from neocog.models.tiny import conv_net, digits_cnn, small_cnn, tiny_cnn, tiny_mlp
from neocog.models.vgg import vgg16
from neocog.validation import image_shape as check_image_shape
from neocog.validation import one_of

ROAD: dict[str, Callable[..., Sequential]] = {
    "lenet5": lenet5,
    "alexnet": alexnet,
    "vgg16": vgg16,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "resnet20": partial(resnet_cifar, 20),
}
"""The road's networks, for images of their size."""
NETWORKS = ("digits-cnn", "small-cnn", "conv-net", "tiny-cnn", "tiny-mlp", *ROAD)


def build_network(
    name: str,
    seed: int,
    image_shape: tuple[int, ...],
    classes: int,
    filters: Sequence[int] | None = None,
    **dtype: Any,
) -> Sequential:
    """Make a network by its name, for images of a shape (C, H, W).

    Parameters
    ----------
    name : str
        One of ``NETWORKS``.
    seed : int
        Of its weights.
    image_shape : (C, H, W)
    classes : int
    filters : sequence of int, optional
        Channels of the convolutions of "conv-net", default (8, 16).
    dtype : floating point type, optional
        Default: the network's own.

    Raises
    ------
    ValueError
        If there is no such network, or it cannot see such images.

    Examples
    --------
    >>> build_network("resnet20", 0, (3, 32, 32), 10).output_shape((1, 3, 32, 32))
    (1, 10)
    """
    one_of("network", name, NETWORKS)
    shape = C, H, W = check_image_shape(tuple(image_shape))
    if name in ("digits-cnn", "small-cnn"):
        return (digits_cnn if name == "digits-cnn" else small_cnn)(seed, classes, shape, **dtype)
    if name == "conv-net":
        return conv_net(filters or (8, 16), classes, shape, seed, **dtype)
    if name in ROAD:
        return ROAD[name](classes, shape, rng=seed, **dtype)
    if C != 1 or H != W:
        raise ValueError(f"network {name!r} needs square grey images, got images of shape {shape}.")
    return (tiny_cnn if name == "tiny-cnn" else tiny_mlp)(seed, classes, size=H, **dtype)
