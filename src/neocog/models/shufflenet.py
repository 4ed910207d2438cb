"""Build ShuffleNetV2: half of the channels pass a block unchanged, and all are shuffled after it."""

from __future__ import annotations

from typing import Any

from neocog.initializers import Initializer, he_normal
from neocog.layers import (
    ChannelShuffle,
    Concat,
    Dense,
    GlobalAvgPool2D,
    Graph,
    MaxPool2D,
    ReLU,
    Sequential,
    Slice,
)
from neocog.models.blocks import IMAGENET, conv_norm
from neocog.validation import RandomSource, generator
from neocog.validation import image_shape as check_image_shape

BLOCKS = (4, 8, 4)
"""Of the three stages, whatever their width."""


def shufflenet_v2_x0_5(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = IMAGENET,
    *,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build ShuffleNetV2 x0.5, about half as wide; 1 366 792 parameters.

    For shapes, arguments, errors and source see :func:`shufflenet_v2_x1_0`.
    """
    return _shufflenet_v2((48, 96, 192), classes, image_shape, init, rng, dtype)


def shufflenet_v2_x1_0(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = IMAGENET,
    *,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build ShuffleNetV2 x1.0; 2 278 604 parameters.

    A block splits its channels in halves: one passes unchanged, the other through a depthwise convolution
    between two of 1 x 1; joined, they are shuffled. The arrays have torchvision's names;
    :func:`load_torchvision` reads its weights.

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
    Source: N. Ma et al., "ShuffleNet V2: practical guidelines for efficient CNN architecture design", 2018.

    Examples
    --------
    >>> from neocog.initializers import zeros
    >>> shufflenet_v2_x1_0(init=zeros).parameter_count
    2278604
    """
    return _shufflenet_v2((116, 232, 464), classes, image_shape, init, rng, dtype)


def _shufflenet_v2(
    widths: tuple[int, int, int],
    classes: int,
    image_shape: tuple[int, int, int],
    init: Initializer,
    rng: RandomSource,
    dtype: Any,
) -> Sequential:
    """Build a ShuffleNetV2 whose three stages have these channels."""
    new: dict[str, Any] = {"init": init, "rng": generator(rng), "dtype": dtype}
    shape, channels = check_image_shape(image_shape), 24
    stages = {}
    for k, (width, blocks) in enumerate(zip(widths, BLOCKS, strict=True), start=2):
        rest = [_block(width, new) for _ in range(blocks - 1)]
        stages[f"stage{k}"] = Sequential(_first_block(channels, width, new), *rest)
        channels = width
    network = Sequential(
        conv1=conv_norm(shape[0], 24, 3, new, ReLU(), stride=2),
        maxpool=MaxPool2D(3, stride=2, padding=1),
        **stages,
        conv5=conv_norm(channels, 1024, 1, new, ReLU()),
        avgpool=GlobalAvgPool2D(),
        fc=Dense(1024, classes, **new),
    )
    network.input_shape = shape
    return network


def _block(channels: int, new: dict[str, Any]) -> Graph:
    """Build a block that keeps the shape: the second half of the channels is computed anew."""
    half = channels // 2
    return Graph(
        {
            "unchanged": (Slice(0, half), "input"),
            "second": (Slice(half), "input"),
            "branch2": (_branch(half, half, 1, new), "second"),
            "concat": (Concat(), "unchanged", "branch2"),
            "shuffle": (ChannelShuffle(2), "concat"),
        }
    )


def _first_block(in_channels: int, out_channels: int, new: dict[str, Any]) -> Graph:
    """Build a stage's first block: two branches see all channels, and halve the size of the maps."""
    half = out_channels // 2
    branch1 = Sequential(
        *conv_norm(in_channels, in_channels, 3, new, stride=2, groups=in_channels),
        *conv_norm(in_channels, half, 1, new, ReLU()),
    )
    return Graph(
        {
            "branch1": (branch1, "input"),
            "branch2": (_branch(in_channels, half, 2, new), "input"),
            "concat": (Concat(), "branch1", "branch2"),
            "shuffle": (ChannelShuffle(2), "concat"),
        }
    )


def _branch(in_channels: int, width: int, stride: int, new: dict[str, Any]) -> Sequential:
    return Sequential(
        *conv_norm(in_channels, width, 1, new, ReLU()),
        *conv_norm(width, width, 3, new, stride=stride, groups=width),
        *conv_norm(width, width, 1, new, ReLU()),
    )
