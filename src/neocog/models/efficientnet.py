"""Build EfficientNet-B0: MobileNet's blocks with gates, at the scale that a search found."""

from __future__ import annotations

from typing import Any

from neocog.initializers import Initializer, he_normal
from neocog.layers import (
    Container,
    Dense,
    Dropout,
    GlobalAvgPool2D,
    Layer,
    Sequential,
    SiLU,
    StochasticDepth,
)
from neocog.models.blocks import IMAGENET, chain, conv_norm, squeeze_excitation
from neocog.validation import RandomSource, generator
from neocog.validation import image_shape as check_image_shape

B0 = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)
"""Table 1 of the paper: a stage as (expansion, kernel, out_channels, blocks, stride of the first)."""


def efficientnet_b0(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = IMAGENET,
    *,
    dropout: float = 0.2,
    stochastic_depth: float = 0.2,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build EfficientNet-B0; 5 288 548 parameters.

    A block widens its maps sixfold, filters each on its own, weighs the channels by gates (squeeze and
    excitation) and narrows them again; in training, blocks with a shortcut are left out at random, the later
    the more often. The arrays have torchvision's names; :func:`load_torchvision` reads its weights.

    Shapes: (N, C, H, W) -> (N, classes), whatever H and W; the last maps have a 32nd of their size, at
    32 x 32 and below one pixel: batch norm then needs batches of many images, the last of an epoch, too.

    Parameters
    ----------
    classes : int
    image_shape : (channels, height, width)
        Only the channels decide what is built.
    dropout : float in [0, 1)
        The part of the features that is dropped in training before the last layer.
    stochastic_depth : float in [0, 1)
        How often a block after the last one would be left out; of block k of n it is k/n of that.
    init : initializer
        Default He normal; batch norm follows each convolution, so that the scale decides little.
    rng : Generator, int or None
        Of the weights; dropout and stochastic depth get generators of their own from it.
    dtype : floating point type

    Raises
    ------
    ValueError, TypeError
        On an argument out of range.

    Notes
    -----
    Source: M. Tan, Q. Le, "EfficientNet: rethinking model scaling for convolutional neural networks", 2019.

    Examples
    --------
    >>> from neocog.initializers import zeros
    >>> efficientnet_b0(init=zeros).parameter_count
    5288548
    """
    rng = generator(rng)
    new: dict[str, Any] = {"init": init, "rng": rng, "dtype": dtype}
    shape = check_image_shape(image_shape)
    channels, built, total = 32, 0, sum(blocks for *_, blocks, _ in B0)
    features: list[Layer] = [conv_norm(shape[0], channels, 3, new, SiLU(), stride=2)]
    for expansion, kernel, out_channels, blocks, stride in B0:
        stage: list[Layer] = []
        for block in range(blocks):
            step, left_out = (stride if block == 0 else 1), stochastic_depth * built / total
            stage.append(_block(channels, out_channels, expansion, kernel, step, left_out, new))
            channels, built = out_channels, built + 1
        features.append(Sequential(*stage))
    features.append(conv_norm(channels, 4 * channels, 1, new, SiLU()))
    network = Sequential(
        features=Sequential(*features),
        avgpool=GlobalAvgPool2D(),
        classifier=Sequential(Dropout(dropout, rng=rng.spawn(1)[0]), Dense(4 * channels, classes, **new)),
    )
    network.input_shape = shape
    return network


def _block(
    in_channels: int,
    out_channels: int,
    expansion: int,
    kernel: int,
    stride: int,
    left_out: float,
    new: dict[str, Any],
) -> Container:
    """Build one block, which is left out in training with this probability."""
    width = expansion * in_channels
    layers: list[Layer] = [conv_norm(in_channels, width, 1, new, SiLU())] if expansion > 1 else []
    layers += [
        conv_norm(width, width, kernel, new, SiLU(), stride, groups=width),
        squeeze_excitation(width, max(1, in_channels // 4), new, SiLU()),
        conv_norm(width, out_channels, 1, new),
    ]
    block: dict[str, Layer] = {"block": Sequential(*layers)}
    shortcut = stride == 1 and in_channels == out_channels
    if shortcut:
        block["stochastic_depth"] = StochasticDepth(left_out, rng=new["rng"].spawn(1)[0])
    return chain(block, shortcut)
