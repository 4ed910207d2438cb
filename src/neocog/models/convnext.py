"""Build ConvNeXt: a residual network with the design of vision transformers."""

from __future__ import annotations

from typing import Any

from neocog.initializers import Initializer, he_normal
from neocog.layers import (
    GELU,
    Container,
    Conv2D,
    Dense,
    GlobalAvgPool2D,
    Layer,
    LayerNorm,
    Scale,
    Sequential,
    StochasticDepth,
)
from neocog.models.blocks import IMAGENET, chain
from neocog.validation import RandomSource, generator
from neocog.validation import image_shape as check_image_shape

TINY = ((96, 3), (192, 3), (384, 9), (768, 3))
"""Each stage as (channels, blocks)."""
SMALL = ((96, 3), (192, 3), (384, 27), (768, 3))

SIDE = 32
"""The least of images, whose patches are halved three times."""


def convnext_tiny(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = IMAGENET,
    *,
    stochastic_depth: float = 0.1,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build ConvNeXt-tiny; 28 589 128 parameters.

    Patches of 4 x 4 pixels, then four stages of residual blocks: a depthwise 7 x 7 convolution, layer norm
    over the channels, two 1 x 1 convolutions with GELU between them, a learned factor a channel. The arrays
    have torchvision's names; :func:`load_torchvision` reads its weights (there the 1 x 1 convolutions
    are dense layers over the channels, which compute the same).

    Shapes: (N, C, H, W) -> (N, classes), H and W at least 32; the last maps have a 32nd of their size.

    Parameters
    ----------
    classes : int
    image_shape : (channels, height, width)
        The channels decide what is built.
    stochastic_depth : float in [0, 1)
        How often the last block is left out in training; earlier ones less often, the first never.
    init : initializer
        Default He normal; the paper draws all weights from a normal distribution of deviation 0.02, cut. A
        block begins as nearly the identity all the same, its factors being 1e-6.
    rng : Generator, int or None
        Of the weights; stochastic depth gets generators of its own from it.
    dtype : floating point type

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, or images too small.

    Notes
    -----
    Source: Z. Liu et al., "A ConvNet for the 2020s", 2022.

    Examples
    --------
    >>> from neocog.initializers import zeros
    >>> convnext_tiny(init=zeros).parameter_count
    28589128
    """
    return _convnext(TINY, classes, image_shape, stochastic_depth, init, rng, dtype)


def convnext_small(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = IMAGENET,
    *,
    stochastic_depth: float = 0.4,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build ConvNeXt-small; 50 223 688 parameters.

    For shapes, arguments, errors and source see :func:`convnext_tiny`.
    """
    return _convnext(SMALL, classes, image_shape, stochastic_depth, init, rng, dtype)


def _convnext(
    stages: tuple[tuple[int, int], ...],
    classes: int,
    image_shape: tuple[int, int, int],
    stochastic_depth: float,
    init: Initializer,
    rng: RandomSource,
    dtype: Any,
) -> Sequential:
    """Build the ConvNeXt of these stages."""
    C, H, W = check_image_shape(image_shape)
    if min(H, W) < SIDE:
        raise ValueError(
            f"ConvNeXt needs images of {SIDE} x {SIDE} pixels at least, got {H} x {W}; enlarge them."
        )
    new: dict[str, Any] = {"init": init, "rng": generator(rng), "dtype": dtype}
    channels, built, total = stages[0][0], 0, sum(blocks for _, blocks in stages)
    features: list[Layer] = [Sequential(Conv2D(C, channels, 4, stride=4, **new), _norm(channels, new))]
    for k, (width, blocks) in enumerate(stages):
        if k > 0:
            halved = Conv2D(channels, width, 2, stride=2, **new)
            features.append(Sequential(_norm(channels, new), halved))
        left_out = [stochastic_depth * (built + block) / (total - 1) for block in range(blocks)]
        features.append(Sequential(*(_block(width, p, new) for p in left_out)))
        channels, built = width, built + blocks
    network = Sequential(
        features=Sequential(*features),
        avgpool=GlobalAvgPool2D(),
        classifier=Sequential(**{"0": _norm(channels, new), "2": Dense(channels, classes, **new)}),
    )
    network.input_shape = (C, H, W)
    return network


def _block(channels: int, left_out: float, new: dict[str, Any]) -> Container:
    """Build one block, left out in training with this probability; torchvision numbers the layers."""
    layers: dict[str, Layer] = {
        "0": Conv2D(channels, channels, 7, padding=3, groups=channels, **new),
        "2": _norm(channels, new),
        "3": Conv2D(channels, 4 * channels, 1, **new),
        "4": GELU(),
        "5": Conv2D(4 * channels, channels, 1, **new),
    }
    block: dict[str, Layer] = {
        "block": Sequential(**layers),
        "layer_scale": Scale((channels, 1, 1), init=1e-6, dtype=new["dtype"]),
        "stochastic_depth": StochasticDepth(left_out, rng=new["rng"].spawn(1)[0]),
    }
    return chain(block, shortcut=True)


def _norm(channels: int, new: dict[str, Any]) -> LayerNorm:
    return LayerNorm(channels, eps=1e-6, axis=1, dtype=new["dtype"])
