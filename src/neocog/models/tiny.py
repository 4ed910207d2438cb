"""Build the small networks of the textbook and the digits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from neocog.layers import BatchNorm2D, Conv2D, Dense, Flatten, Layer, MaxPool2D, ReLU, Sequential
from neocog.validation import image_shape as check_image_shape
from neocog.validation import integer


def tiny_cnn(
    seed: int = 42,
    classes: int = 3,
    filters: int = 3,
    kernel_size: int = 3,
    size: int = 8,
    dtype: Any = "float64",
) -> Sequential:
    """Build TinyCNN: convolution, ReLU, 2x2 max pooling, dense; 114 parameters for three classes.

    Weights are He normal, the convolution's from ``default_rng(seed)``, the dense layer's from
    ``default_rng(seed + 1)``.

    Shapes: (N, 1, size, size) -> (N, classes).

    Raises
    ------
    ValueError, TypeError
        On an argument out of range.

    Examples
    --------
    >>> tiny_cnn(seed=42).parameter_count
    114
    """
    seed = integer("seed", seed, 0)
    conv1 = Conv2D(1, filters, kernel_size, rng=seed, dtype=dtype)
    pool1 = MaxPool2D(2)
    _, F, H, W = pool1.output_shape(conv1.output_shape((1, 1, size, size)))
    dense = Dense(F * H * W, classes, rng=seed + 1, dtype=dtype)
    network = Sequential(conv1=conv1, relu1=ReLU(), pool1=pool1, flatten=Flatten(), dense=dense)
    network.input_shape = (1, size, size)
    return network


def tiny_mlp(
    seed: int = 5, classes: int = 3, hidden: int = 18, size: int = 8, dtype: Any = "float64"
) -> Sequential:
    """Build TinyMLP, the fully connected rival: 64 - hidden - classes; 1227 parameters for three classes.

    Weights are He normal, the first layer's from ``default_rng(seed)``, the second's from
    ``default_rng(seed + 1)``.

    Shapes: (N, 1, size, size) -> (N, classes).

    Raises
    ------
    ValueError, TypeError
        On an argument out of range.

    Examples
    --------
    >>> tiny_mlp(classes=4).parameter_count
    1246
    """
    seed = integer("seed", seed, 0)
    size = integer("size", size)
    network = Sequential(
        flatten=Flatten(),
        dense1=Dense(size * size, hidden, rng=seed, dtype=dtype),
        relu1=ReLU(),
        dense2=Dense(hidden, classes, rng=seed + 1, dtype=dtype),
    )
    network.input_shape = (1, size, size)
    return network


def pooled_stages(
    filters: Sequence[int], image_shape: tuple[int, int, int], block: Callable[[int, int], dict[str, Layer]]
) -> tuple[dict[str, Layer], tuple[int, int, int]]:
    """Return stages of a block and 2 x 2 max pooling, as layers by name, and the shape of the last maps.

    ``block(in_channels, out_channels)`` returns its layers, by their names without the stage's number. A side
    of one pixel is not pooled.
    """
    if not isinstance(filters, tuple | list) or not filters:
        raise TypeError(f"filters must be a sequence of at least one int, got {filters!r}.")
    C, H, W = image_shape
    layers: dict[str, Layer] = {}
    for k, channels in enumerate(filters, start=1):
        F = integer("filters", channels)
        layers |= {f"{name}{k}": layer for name, layer in block(C, F).items()}
        window = (min(2, H), min(2, W))
        if window != (1, 1):
            layers[f"pool{k}"] = MaxPool2D(window)
        C, H, W = F, H // window[0], W // window[1]
    return layers, (C, H, W)


def conv_net(
    filters: Sequence[int] = (8, 16),
    classes: int = 10,
    image_shape: tuple[int, int, int] = (1, 8, 8),
    seed: int = 42,
    dtype: Any = "float32",
) -> Sequential:
    """Build blocks of 3 x 3 convolution, ReLU and 2 x 2 max pooling, then dense.

    Fits images of any size: a side of one pixel is not pooled, so that (1, 1, L) is a signal of L values.
    Weights are He normal, drawn in turn from one ``default_rng(seed)``.

    Shapes: (N, C, H, W) -> (N, classes).

    Parameters
    ----------
    filters : sequence of int
        Channels of each block's convolution.
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
    >>> conv_net((4, 8, 16), classes=2, image_shape=(3, 32, 32)).output_shape((1, 3, 32, 32))
    (1, 2)
    """
    rng = np.random.default_rng(integer("seed", seed, 0))
    shape = check_image_shape(image_shape)

    def block(C: int, F: int) -> dict[str, Layer]:
        return {"conv": Conv2D(C, F, 3, padding=1, rng=rng, dtype=dtype), "relu": ReLU()}

    layers, maps = pooled_stages(filters, shape, block)
    dense = Dense(math.prod(maps), classes, rng=rng, dtype=dtype)
    network = Sequential(**layers, flatten=Flatten(), dense=dense)
    network.input_shape = shape
    return network


def digits_cnn(
    seed: int = 42,
    classes: int = 10,
    image_shape: tuple[int, int, int] = (1, 8, 8),
    dtype: Any = "float32",
) -> Sequential:
    """Build the digits' network: two blocks of convolution, ReLU, pooling, then dense; 1898 parameters.

    Fits images of any size from 4 x 4 and any number of channels. Weights are He normal, drawn in turn
    from one ``default_rng(seed)``.

    Shapes: (N, C, H, W) -> (N, classes).

    Raises
    ------
    ValueError, TypeError
        On an argument out of range.

    Examples
    --------
    >>> digits_cnn().parameter_count
    1898
    """
    _, H, W = check_image_shape(image_shape)
    if min(H, W) < 4:
        raise ValueError(f"image_shape must be at least 4 x 4 pixels, got {H} x {W}.")
    return conv_net((8, 16), classes, image_shape, seed, dtype)


def small_cnn(
    seed: int = 42,
    classes: int = 10,
    image_shape: tuple[int, int, int] = (1, 8, 8),
    dtype: Any = "float32",
) -> Sequential:
    """Build the network of the recipe "best": three convolutions with batch norm; 30 762 parameters.

    Fits images of any size from 4 x 4 and any number of channels. Weights are He normal, drawn in turn
    from one ``default_rng(seed)``.

    Shapes: (N, C, H, W) -> (N, classes).

    Raises
    ------
    ValueError, TypeError
        On an argument out of range.

    Examples
    --------
    >>> small_cnn().parameter_count
    30762
    """
    rng = np.random.default_rng(integer("seed", seed, 0))
    C, H, W = check_image_shape(image_shape)
    if min(H, W) < 4:
        raise ValueError(f"image_shape must be at least 4 x 4 pixels, got {H} x {W}.")
    arguments: dict[str, Any] = {"padding": 1, "bias": False, "rng": rng, "dtype": dtype}
    network = Sequential(
        conv1=Conv2D(C, 32, 3, **arguments),
        norm1=BatchNorm2D(32, dtype=dtype),
        relu1=ReLU(),
        conv2=Conv2D(32, 32, 3, **arguments),
        norm2=BatchNorm2D(32, dtype=dtype),
        relu2=ReLU(),
        pool2=MaxPool2D(2),
        conv3=Conv2D(32, 64, 3, **arguments),
        norm3=BatchNorm2D(64, dtype=dtype),
        relu3=ReLU(),
        pool3=MaxPool2D(2),
        flatten=Flatten(),
        dense=Dense(64 * (H // 4) * (W // 4), classes, rng=rng, dtype=dtype),
    )
    network.input_shape = (C, H, W)
    return network
