"""Build RegNetY: residual blocks with grouped convolutions and gates, of widths that lie on a line."""

from __future__ import annotations

from typing import Any

from neocog.initializers import Initializer, he_normal
from neocog.layers import Add, Dense, GlobalAvgPool2D, Graph, ReLU, Sequential
from neocog.models.blocks import IMAGENET, conv_norm, squeeze_excitation
from neocog.validation import RandomSource, generator
from neocog.validation import image_shape as check_image_shape

Y_400MF = ((48, 1), (104, 3), (208, 6), (440, 6))
"""Of 400 million multiply-adds: each stage as (channels, blocks); groups of 8 channels."""
Y_800MF = ((64, 1), (144, 3), (320, 8), (784, 2))
"""Of 800 million; groups of 16 channels."""


def regnet_y_400mf(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = IMAGENET,
    *,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build RegNetY-400MF; 4 344 144 parameters.

    Four stages of residual blocks: 1 x 1, 3 x 3 in groups of 8 channels, gates for the channels (squeeze and
    excitation), 1 x 1. Depths and widths follow a rule with few numbers instead of a search of each. The
    arrays have torchvision's names; :func:`load_torchvision` reads its weights.

    Shapes: (N, C, H, W) -> (N, classes), whatever H and W; the last maps have a 32nd of their size, at
    32 x 32 and below one pixel: batch norm then needs batches of many images, the last of an epoch, too.

    Parameters
    ----------
    classes : int
    image_shape : (channels, height, width)
        Only the channels decide what is built.
    init : initializer
        Default He normal; batch norm follows each convolution, so that the scale decides little.
    rng : Generator, int or None
    dtype : floating point type

    Raises
    ------
    ValueError, TypeError
        On an argument out of range.

    Notes
    -----
    Source: I. Radosavovic et al., "Designing network design spaces", 2020, table 6.

    Examples
    --------
    >>> from neocog.initializers import zeros
    >>> regnet_y_400mf(init=zeros).parameter_count
    4344144
    """
    return _regnet_y(Y_400MF, 8, classes, image_shape, init, rng, dtype)


def regnet_y_800mf(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = IMAGENET,
    *,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build RegNetY-800MF; 6 432 512 parameters.

    For shapes, arguments, errors and source see :func:`regnet_y_400mf`.
    """
    return _regnet_y(Y_800MF, 16, classes, image_shape, init, rng, dtype)


def _regnet_y(
    stages: tuple[tuple[int, int], ...],
    group_width: int,
    classes: int,
    image_shape: tuple[int, int, int],
    init: Initializer,
    rng: RandomSource,
    dtype: Any,
) -> Sequential:
    """Build a RegNetY of these stages, in whose 3 x 3 convolutions a group has so many channels."""
    new: dict[str, Any] = {"init": init, "rng": generator(rng), "dtype": dtype}
    shape, channels = check_image_shape(image_shape), 32
    trunk = {}
    for k, (width, count) in enumerate(stages, start=1):
        blocks = {}
        for block in range(count):
            stride = 2 if block == 0 else 1
            blocks[f"block{k}-{block}"] = _block(channels, width, stride, group_width, new)
            channels = width
        trunk[f"block{k}"] = Sequential(**blocks)
    network = Sequential(
        stem=conv_norm(shape[0], 32, 3, new, ReLU(), stride=2),
        trunk_output=Sequential(**trunk),
        avgpool=GlobalAvgPool2D(),
        fc=Dense(channels, classes, **new),
    )
    network.input_shape = shape
    return network


def _block(in_channels: int, width: int, stride: int, group_width: int, new: dict[str, Any]) -> Graph:
    """Build ``y = relu(f(x) + x)``, or with a convolution for ``x`` where the shape changes."""
    body = Sequential(
        a=conv_norm(in_channels, width, 1, new, ReLU()),
        b=conv_norm(width, width, 3, new, ReLU(), stride, groups=width // group_width),
        se=squeeze_excitation(width, round(in_channels / 4), new),
        c=conv_norm(width, width, 1, new),
    )
    nodes: dict[str, tuple[Any, ...]] = {"f": (body, "input")}
    shortcut = "input"
    if stride > 1 or in_channels != width:
        shortcut = "proj"
        nodes[shortcut] = (conv_norm(in_channels, width, 1, new, stride=stride), "input")
    nodes["add"] = (Add(), "f", shortcut)
    nodes["activation"] = (ReLU(), "add")
    return Graph(nodes)
