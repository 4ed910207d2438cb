"""Build LeNet-5, in its usual form today and in that of 1998."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.initializers import Initializer, he_normal
from neocog.layers import (
    AvgPool2D,
    Conv2D,
    Dense,
    Flatten,
    MaxPool2D,
    RadialBasis,
    ReLU,
    ScaledTanh,
    Sequential,
    SparseConv2D,
)
from neocog.validation import RandomSource, generator
from neocog.validation import image_shape as check_image_shape

# The paper's table I: which of the 6 maps of S2 (rows) each of the 16 maps of C3 (columns) sees.
C3_TABLE = """
    X...XXX..XXXX.XX
    XX...XXX..XXXX.X
    XXX...XXX..X.XXX
    .XXX..XXXX..X.XX
    ..XXX..XXXX.XX.X
    ...XXX..XXXX.XXX
"""

# What the 84 outputs of F6 should draw for each digit, as a bitmap of 7 x 12; the shapes are our own.
DIGITS = """
    ..###.. ...#... .#####. .#####. .....#. ####### ..####. ####### .#####. .#####.
    .#...#. ..##... #.....# #.....# ....##. #...... .#..... ......# #.....# #.....#
    #.....# .#.#... ......# ......# ...#.#. #...... #...... ......# #.....# #.....#
    #.....# ...#... ......# ......# ..#..#. #...... #...... .....#. #.....# #.....#
    #.....# ...#... ......# ......# .#...#. ######. #...... .....#. .#...#. #.....#
    #.....# ...#... .....#. ..####. #....#. ......# ######. ....#.. ..###.. #.....#
    #.....# ...#... ....#.. ......# #....#. ......# #.....# ....#.. .#...#. .######
    #.....# ...#... ...#... ......# ####### ......# #.....# ...#... #.....# ......#
    #.....# ...#... ..#.... ......# .....#. ......# #.....# ...#... #.....# ......#
    #.....# ...#... .#..... ......# .....#. ......# #.....# ..#.... #.....# ......#
    .#...#. ...#... #...... #.....# .....#. #.....# #.....# ..#.... #.....# .....#.
    ..###.. .#####. ####### .#####. .....#. .#####. .#####. ..#.... .#####. .####..
"""


def lenet5(
    classes: int = 10,
    image_shape: tuple[int, int, int] = (1, 28, 28),
    *,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build LeNet-5 in its usual form today: full connections, ReLU, max pooling; 61 706 parameters.

    Images below 32 x 32 are padded by 2 pixels, as MNIST's 28 x 28 were in 1998.

    Shapes: (N, C, H, W) -> (N, classes).

    Parameters
    ----------
    classes : int
    image_shape : (channels, height, width)
        At least 12 x 12.
    init : initializer
    rng : Generator, int or None
    dtype : floating point type

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, or images too small.

    Examples
    --------
    >>> lenet5().parameter_count, lenet5(image_shape=(1, 32, 32)).parameter_count
    (61706, 61706)
    """
    C, H, W = check_image_shape(image_shape)
    new: dict[str, Any] = {"init": init, "rng": generator(rng), "dtype": dtype}
    maps = Sequential(
        conv1=Conv2D(C, 6, 5, padding=2 if min(H, W) < 32 else 0, **new),
        relu1=ReLU(),
        pool1=MaxPool2D(2),
        conv2=Conv2D(6, 16, 5, **new),
        relu2=ReLU(),
        pool2=MaxPool2D(2),
        flatten=Flatten(),
    )
    _, features = maps.output_shape((1, C, H, W))
    network = Sequential(
        **maps.children,
        fc1=Dense(features, 120, **new),
        relu3=ReLU(),
        fc2=Dense(120, 84, **new),
        relu4=ReLU(),
        fc3=Dense(84, classes, **new),
    )
    network.input_shape = (C, H, W)
    return network


def fan_in_uniform(
    shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator, dtype: Any
) -> np.ndarray:
    """Draw the paper's initial weights: uniform within ``+- 2.4 / fan_in``."""
    return rng.uniform(-2.4 / fan_in, 2.4 / fan_in, shape).astype(dtype, copy=False)


def lenet5_1998(
    *, init: Initializer = fan_in_uniform, rng: RandomSource = None, dtype: Any = "float32"
) -> Sequential:
    """Build LeNet-5 as it read cheques: exactly 60 000 parameters.

    The layers have the paper's names. A subsampling layer takes the mean of four pixels times one learned
    coefficient plus one learned bias a map: average pooling, then a 1 x 1 convolution in as many groups as
    there are maps. C3 sees S2 through a table of connections, every sum is squashed by 1.7159 tanh(2x/3),
    and the output compares the 84 units of F6 with a fixed picture of each digit: logits are minus the
    squared distances, with which softmax cross-entropy is the paper's criterion (9) without its constant.

    Shapes: (N, 1, 32, 32) -> (N, 10). The paper's pixels are -0.1 (paper) to 1.175 (ink).

    Parameters
    ----------
    init : initializer
        Default the paper's, uniform within 2.4 / fan_in.
    rng : Generator, int or None
    dtype : floating point type

    Raises
    ------
    TypeError
        If ``dtype`` is no floating point type.

    Notes
    -----
    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
    recognition", 1998.

    Examples
    --------
    >>> network = lenet5_1998()
    >>> {name: network[name].parameter_count for name in ("c1", "s2", "c3", "s4", "c5", "f6")}
    {'c1': 156, 's2': 12, 'c3': 1516, 's4': 32, 'c5': 48120, 'f6': 10164}
    """
    new: dict[str, Any] = {"init": init, "rng": generator(rng), "dtype": dtype}
    output = RadialBasis(84, 10, dtype=dtype)
    output.buffers["centers"][...] = _codes()
    network = Sequential(
        c1=Conv2D(1, 6, 5, **new),
        c1_squash=ScaledTanh(),
        s2_mean=AvgPool2D(2),
        s2=Conv2D(6, 6, 1, groups=6, **new),
        s2_squash=ScaledTanh(),
        c3=SparseConv2D(6, _connections(), 5, **new),
        c3_squash=ScaledTanh(),
        s4_mean=AvgPool2D(2),
        s4=Conv2D(16, 16, 1, groups=16, **new),
        s4_squash=ScaledTanh(),
        c5=Conv2D(16, 120, 5, **new),
        c5_squash=ScaledTanh(),
        flatten=Flatten(),
        f6=Dense(120, 84, **new),
        f6_squash=ScaledTanh(),
        output=output,
    )
    network.input_shape = (1, 32, 32)
    return network


def _connections() -> list[list[int]]:
    """Read table I by columns: for each map of C3 the maps of S2 that it sees."""
    return [
        [c for c, mark in enumerate(column) if mark == "X"] for column in zip(*C3_TABLE.split(), strict=True)
    ]


def _codes() -> np.ndarray:
    """Read the bitmaps, ink +1 and paper -1: (10, 84)."""
    rows = [line.split() for line in DIGITS.strip().splitlines()]
    return np.array(
        [[1 if dot == "#" else -1 for dot in "".join(digit)] for digit in zip(*rows, strict=True)]
    )
