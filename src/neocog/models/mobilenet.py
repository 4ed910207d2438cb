"""Build the MobileNets: depthwise convolutions between 1 x 1 ones, for telephones."""

from __future__ import annotations

from typing import Any

from neocog.initializers import Initializer, he_normal
from neocog.layers import (
    Clip,
    Container,
    Dense,
    Dropout,
    GlobalAvgPool2D,
    Hardsigmoid,
    Hardswish,
    Layer,
    ReLU,
    Sequential,
)
from neocog.models.blocks import IMAGENET, chain, conv_norm, divisible, squeeze_excitation
from neocog.validation import RandomSource, generator
from neocog.validation import image_shape as check_image_shape

V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Table 2 of MobileNetV2's paper: a stage as (expansion, out_channels, blocks, stride of the first)."""

V3_SMALL = (
    (3, 16, 16, True, ReLU, 2),
    (3, 72, 24, False, ReLU, 2),
    (3, 88, 24, False, ReLU, 1),
    (5, 96, 40, True, Hardswish, 2),
    (5, 240, 40, True, Hardswish, 1),
    (5, 240, 40, True, Hardswish, 1),
    (5, 120, 48, True, Hardswish, 1),
    (5, 144, 48, True, Hardswish, 1),
    (5, 288, 96, True, Hardswish, 2),
    (5, 576, 96, True, Hardswish, 1),
    (5, 576, 96, True, Hardswish, 1),
)
"""Table 2 of MobileNetV3's paper: a block as (kernel, width, out_channels, gates, activation, stride)."""

V3_LARGE = (
    (3, 16, 16, False, ReLU, 1),
    (3, 64, 24, False, ReLU, 2),
    (3, 72, 24, False, ReLU, 1),
    (5, 72, 40, True, ReLU, 2),
    (5, 120, 40, True, ReLU, 1),
    (5, 120, 40, True, ReLU, 1),
    (3, 240, 80, False, Hardswish, 2),
    (3, 200, 80, False, Hardswish, 1),
    (3, 184, 80, False, Hardswish, 1),
    (3, 184, 80, False, Hardswish, 1),
    (3, 480, 112, True, Hardswish, 1),
    (3, 672, 112, True, Hardswish, 1),
    (5, 672, 160, True, Hardswish, 2),
    (5, 960, 160, True, Hardswish, 1),
    (5, 960, 160, True, Hardswish, 1),
)
"""Table 1 of that paper."""

V3_NORM = {"eps": 0.001, "momentum": 0.01}


def mobilenet_v2(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = IMAGENET,
    *,
    dropout: float = 0.2,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build MobileNetV2; 3 504 872 parameters.

    A block widens its maps sixfold by a 1 x 1 convolution, filters each map on its own (a depthwise
    convolution), and narrows them without an activation; its shortcut joins the narrow ends. The arrays have
    torchvision's names; :func:`load_torchvision` reads its weights.

    Shapes: (N, C, H, W) -> (N, classes), whatever H and W; the last maps have a 32nd of their size, at
    32 x 32 and below one pixel: batch norm then needs batches of many images, the last of an epoch, too.

    Parameters
    ----------
    classes : int
    image_shape : (channels, height, width)
        Only the channels decide what is built.
    dropout : float in [0, 1)
        The part of the features that is dropped in training before the last layer.
    init : initializer
        Default He normal; batch norm follows each convolution, so that the scale decides little.
    rng : Generator, int or None
        Of the weights; the dropout gets a generator of its own from it.
    dtype : floating point type

    Raises
    ------
    ValueError, TypeError
        On an argument out of range.

    Notes
    -----
    Source: M. Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018.

    Examples
    --------
    >>> from neocog.initializers import zeros
    >>> mobilenet_v2(init=zeros).parameter_count
    3504872
    """
    rng = generator(rng)
    new: dict[str, Any] = {"init": init, "rng": rng, "dtype": dtype}
    shape = check_image_shape(image_shape)
    channels = 32
    features: list[Layer] = [conv_norm(shape[0], channels, 3, new, Clip(0, 6), stride=2)]
    for expansion, out_channels, blocks, stride in V2:
        for block in range(blocks):
            step = stride if block == 0 else 1
            features.append(_inverted_residual(channels, out_channels, expansion, step, new))
            channels = out_channels
    features.append(conv_norm(channels, 1280, 1, new, Clip(0, 6)))
    network = Sequential(
        features=Sequential(*features),
        avgpool=GlobalAvgPool2D(),
        classifier=Sequential(Dropout(dropout, rng=rng.spawn(1)[0]), Dense(1280, classes, **new)),
    )
    network.input_shape = shape
    return network


def mobilenet_v3_small(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = IMAGENET,
    *,
    dropout: float = 0.2,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build MobileNetV3-small; 2 542 856 parameters.

    MobileNetV2's blocks, found by a search; most have gates for their channels (squeeze and excitation), and
    hard swish instead of ReLU6. The arrays have torchvision's names; :func:`load_torchvision` reads its
    weights. As there, batch norm has eps 0.001 and momentum 0.01.

    For shapes, arguments and errors see :func:`mobilenet_v2`.

    Notes
    -----
    Source: A. Howard et al., "Searching for MobileNetV3", 2019.

    Examples
    --------
    >>> from neocog.initializers import zeros
    >>> mobilenet_v3_small(init=zeros).parameter_count
    2542856
    """
    return _mobilenet_v3(V3_SMALL, 1024, classes, image_shape, dropout, init, rng, dtype)


def mobilenet_v3_large(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = IMAGENET,
    *,
    dropout: float = 0.2,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build MobileNetV3-large; 5 483 032 parameters.

    For shapes, arguments, errors and source see :func:`mobilenet_v3_small`.
    """
    return _mobilenet_v3(V3_LARGE, 1280, classes, image_shape, dropout, init, rng, dtype)


def _mobilenet_v3(
    blocks: tuple[tuple[int, int, int, bool, type[Layer], int], ...],
    hidden: int,
    classes: int,
    image_shape: tuple[int, int, int],
    dropout: float,
    init: Initializer,
    rng: RandomSource,
    dtype: Any,
) -> Sequential:
    """Build a MobileNetV3 of these blocks, with so many hidden units in its head."""
    rng = generator(rng)
    new: dict[str, Any] = {"init": init, "rng": rng, "dtype": dtype}
    shape = check_image_shape(image_shape)
    channels = 16
    features: list[Layer] = [conv_norm(shape[0], channels, 3, new, Hardswish(), stride=2, norm=V3_NORM)]
    for kernel, width, out_channels, gates, activation, stride in blocks:
        features.append(_v3_block(channels, kernel, width, out_channels, gates, activation, stride, new))
        channels = out_channels
    features.append(conv_norm(channels, 6 * channels, 1, new, Hardswish(), norm=V3_NORM))
    classifier = Sequential(
        Dense(6 * channels, hidden, **new),
        Hardswish(),
        Dropout(dropout, rng=rng.spawn(1)[0]),
        Dense(hidden, classes, **new),
    )
    network = Sequential(features=Sequential(*features), avgpool=GlobalAvgPool2D(), classifier=classifier)
    network.input_shape = shape
    return network


def _inverted_residual(
    in_channels: int, out_channels: int, expansion: int, stride: int, new: dict[str, Any]
) -> Container:
    """Build a block of MobileNetV2: wider, filtered, narrower without an activation."""
    width = expansion * in_channels
    layers: list[Layer] = [conv_norm(in_channels, width, 1, new, Clip(0, 6))] if expansion > 1 else []
    layers.append(conv_norm(width, width, 3, new, Clip(0, 6), stride, groups=width))
    layers += conv_norm(width, out_channels, 1, new)
    return chain({"conv": Sequential(*layers)}, shortcut=stride == 1 and in_channels == out_channels)


def _v3_block(
    in_channels: int,
    kernel: int,
    width: int,
    out_channels: int,
    gates: bool,
    activation: type[Layer],
    stride: int,
    new: dict[str, Any],
) -> Container:
    """Build a block of MobileNetV3: wider, filtered, gated, narrower without an activation."""
    layers: list[Layer] = []
    if width != in_channels:
        layers.append(conv_norm(in_channels, width, 1, new, activation(), norm=V3_NORM))
    layers.append(conv_norm(width, width, kernel, new, activation(), stride, groups=width, norm=V3_NORM))
    if gates:
        layers.append(squeeze_excitation(width, divisible(width // 4), new, gate=Hardsigmoid()))
    layers.append(conv_norm(width, out_channels, 1, new, norm=V3_NORM))
    return chain({"block": Sequential(*layers)}, shortcut=stride == 1 and in_channels == out_channels)
