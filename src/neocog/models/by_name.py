"""Build the ready-made networks by name, for the command line and the estimators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from neocog.layers import Sequential
from neocog.models.alexnet import alexnet
from neocog.models.convnext import convnext_tiny
from neocog.models.efficientnet import efficientnet_b0
from neocog.models.image_cnn import image_cnn, suited_filters
from neocog.models.lenet import lenet5
from neocog.models.mobilenet import mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small
from neocog.models.regnet import regnet_y_400mf
from neocog.models.resnet import resnet18, resnet50, resnet_cifar
from neocog.models.shufflenet import shufflenet_v2_x0_5, shufflenet_v2_x1_0
from neocog.models.tiny import conv_net, digits_cnn, small_cnn, tiny_cnn, tiny_mlp
from neocog.models.vgg import vgg16
from neocog.validation import image_shape as check_image_shape
from neocog.validation import one_of

CLASSIC_NETWORKS: dict[str, Callable[..., Sequential]] = {
    "lenet5": lenet5,
    "alexnet": alexnet,
    "vgg16": vgg16,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "resnet20": partial(resnet_cifar, 20),
    "mobilenet-v2": mobilenet_v2,
    "mobilenet-v3-small": mobilenet_v3_small,
    "mobilenet-v3-large": mobilenet_v3_large,
    "efficientnet-b0": efficientnet_b0,
    "shufflenet-v2": shufflenet_v2_x1_0,
    "shufflenet-v2-x0.5": shufflenet_v2_x0_5,
    "regnet-y-400mf": regnet_y_400mf,
    "convnext-tiny": convnext_tiny,
}
"""The networks from LeNet-5 to ConvNeXt, for images of their size."""
OF_FILTERS: dict[str, Callable[..., Sequential]] = {"conv-net": conv_net, "image-cnn": image_cnn}
"""The networks whose channels can be chosen."""
NETWORKS = ("digits-cnn", "small-cnn", *OF_FILTERS, "tiny-cnn", "tiny-mlp", *CLASSIC_NETWORKS)


def build_network(
    name: str,
    classes: int,
    image_shape: tuple[int, ...],
    seed: int,
    filters: Sequence[int] | None = None,
    **dtype: Any,
) -> Sequential:
    """Make a network by its name, for images of a shape (C, H, W).

    Parameters
    ----------
    name : str
        One of ``NETWORKS``.
    classes : int
    image_shape : (C, H, W)
    seed : int
        Draws the weights.
    filters : sequence of int, optional
        Channels of a network of ``OF_FILTERS``, default (8, 16) for "conv-net" and those that suit the images
        for "image-cnn".
    dtype : floating point type, optional
        Default: the network's own.

    Raises
    ------
    ValueError
        If there is no such network, or it does not accept such images.

    Examples
    --------
    >>> build_network("resnet20", 10, (3, 32, 32), seed=0).output_shape((1, 3, 32, 32))
    (1, 10)
    """
    one_of("network", name, NETWORKS)
    shape = C, H, W = check_image_shape(tuple(image_shape))
    if name in ("digits-cnn", "small-cnn"):
        return (digits_cnn if name == "digits-cnn" else small_cnn)(seed, classes, shape, **dtype)
    if name in OF_FILTERS:
        suited = (8, 16) if name == "conv-net" else suited_filters(shape)
        return OF_FILTERS[name](tuple(filters or suited), classes, shape, seed, **dtype)
    if name in CLASSIC_NETWORKS:
        return CLASSIC_NETWORKS[name](classes, shape, rng=seed, **dtype)
    if C != 1 or H != W:
        raise ValueError(f"network {name!r} needs square grey images, got images of shape {shape}.")
    return (tiny_cnn if name == "tiny-cnn" else tiny_mlp)(seed, classes, size=H, **dtype)
