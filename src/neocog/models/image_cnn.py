"""Build the network for images of one's own, of any size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neocog.layers import Conv2D, Dense, Flatten, GlobalAvgPool2D, GroupNorm, Layer, ReLU, Sequential
from neocog.models.tiny import pooled_stages
from neocog.validation import image_shape as check_image_shape
from neocog.validation import integer

GROUP = 8
"""Channels in a group of the normalization."""
SMALL = 8
"""Maps of at most so many pixels a side are flattened, larger ones averaged."""
OUTPUT_SCALE = 0.1
"""Factor of the dense layer's first weights, so that all classes are about as probable at first."""


def suited_filters(image_shape: tuple[int, int, int]) -> tuple[int, ...]:
    """Return the channels of the stages that suit images of a size: maps end at about 3 to 6 pixels a side.

    Examples
    --------
    >>> suited_filters((1, 8, 8)), suited_filters((3, 32, 32)), suited_filters((3, 128, 128))
    ((32, 64), (32, 64, 128), (16, 32, 64, 128, 128))
    """
    side = max(check_image_shape(image_shape)[1:])
    stages = max(2, min(5, int(math.log2(side / 4 + 0.01)))) if side > 4 else 2
    first = 32 if side <= 48 else 16
    return tuple(min(first * 2**k, 128) for k in range(stages))


def image_cnn(
    filters: Sequence[int] = (32, 64, 128),
    classes: int = 10,
    image_shape: tuple[int, int, int] = (1, 32, 32),
    seed: int = 42,
    dtype: Any = "float32",
) -> Sequential:
    """Build stages of 3 x 3 convolution, group normalization, ReLU and 2 x 2 max pooling, then dense.

    Fits images of any size: a side of one pixel is not pooled, so that (1, 1, L) is a signal of L values.
    Each image is normalised by its own numbers: outputs do not depend on the batch. Weights are He normal,
    drawn in turn from one ``default_rng(seed)``; the dense layer's are a tenth of that.

    Shapes: (N, C, H, W) -> (N, classes).

    Parameters
    ----------
    filters : sequence of int
        Channels of each stage.
    classes : int
    image_shape : (C, H, W)
    seed : int
    dtype : floating point type

    Raises
    ------
    ValueError, TypeError
        On an argument out of range.

    Examples
    --------
    >>> image_cnn((16, 32), classes=2, image_shape=(3, 48, 40)).output_shape((1, 3, 48, 40))
    (1, 2)
    """
    rng = np.random.default_rng(integer("seed", seed, 0))
    shape = check_image_shape(image_shape)

    def block(C: int, F: int) -> dict[str, Layer]:
        return {
            "conv": Conv2D(C, F, 3, padding=1, bias=False, rng=rng, dtype=dtype),
            "norm": GroupNorm(F // GROUP if F % GROUP == 0 else 1, F, dtype=dtype),
            "relu": ReLU(),
        }

    layers, (C, H, W) = pooled_stages(filters, shape, block)
    if max(H, W) > SMALL:
        layers["average"] = GlobalAvgPool2D()
        features = C
    else:
        layers["flatten"] = Flatten()
        features = C * H * W
    dense = Dense(features, classes, rng=rng, dtype=dtype)
    dense.params["weight"] *= OUTPUT_SCALE
    network = Sequential(**layers, dense=dense)
    network.input_shape = shape
    return network
