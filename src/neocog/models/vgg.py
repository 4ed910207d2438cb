"""Build the VGG networks: stacks of 3 x 3 convolutions."""

from __future__ import annotations

from typing import Any

from neocog.initializers import Initializer, he_normal
from neocog.layers import BatchNorm2D, Conv2D, Dense, Dropout, Flatten, Layer, MaxPool2D, ReLU, Sequential
from neocog.validation import RandomSource, generator
from neocog.validation import image_shape as check_image_shape

IMAGENET = (3, 224, 224)


def vgg11(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = IMAGENET,
    *,
    batch_norm: bool = False,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build VGG-11, the paper's configuration A; 132 863 336 parameters.

    For the arguments see :func:`vgg16`.
    """
    return _vgg((1, 1, 2, 2, 2), classes, image_shape, batch_norm, init, rng, dtype)


def vgg13(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = IMAGENET,
    *,
    batch_norm: bool = False,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build VGG-13, the paper's configuration B; 133 047 848 parameters.

    For the arguments see :func:`vgg16`.
    """
    return _vgg((2, 2, 2, 2, 2), classes, image_shape, batch_norm, init, rng, dtype)


def vgg16(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = IMAGENET,
    *,
    batch_norm: bool = False,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build VGG-16, the paper's configuration D; 138 357 544 parameters.

    Five stages of 3 x 3 convolutions, each ended by pooling, then three dense layers. The arrays have
    torchvision's names; :func:`load_torchvision` reads its weights.

    Shapes: (N, C, H, W) -> (N, classes).

    Parameters
    ----------
    classes : int
    image_shape : (channels, height, width)
        At least 32 x 32; torchvision's weights are for 224 x 224.
    batch_norm : bool
        Whether each convolution is followed by batch normalisation, which is younger than the paper.
    init : initializer
    rng : Generator, int or None
        Of the weights; the dropout layers get generators of their own from it.
    dtype : floating point type

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, or images too small.

    Notes
    -----
    Source: K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition",
    2014.

    Examples
    --------
    >>> from neocog.initializers import zeros
    >>> vgg16(init=zeros).parameter_count
    138357544
    """
    return _vgg((2, 2, 3, 3, 3), classes, image_shape, batch_norm, init, rng, dtype)


def vgg19(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = IMAGENET,
    *,
    batch_norm: bool = False,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build VGG-19, the paper's configuration E; 143 667 240 parameters.

    For the arguments see :func:`vgg16`.
    """
    return _vgg((2, 2, 4, 4, 4), classes, image_shape, batch_norm, init, rng, dtype)


def _vgg(
    convolutions: tuple[int, ...],
    classes: int,
    image_shape: tuple[int, int, int],
    batch_norm: bool,
    init: Initializer,
    rng: RandomSource,
    dtype: Any,
) -> Sequential:
    """Build the VGG network with so many convolutions in its five stages."""
    C, H, W = check_image_shape(image_shape)
    rng = generator(rng)
    new: dict[str, Any] = {"init": init, "rng": rng, "dtype": dtype}
    layers: list[Layer] = []
    channels = C
    for width, count in zip((64, 128, 256, 512, 512), convolutions, strict=True):
        for _ in range(count):
            layers.append(Conv2D(channels, width, 3, padding=1, **new))
            if batch_norm:
                layers.append(BatchNorm2D(width, dtype=dtype))
            layers.append(ReLU())
            channels = width
        layers.append(MaxPool2D(2))
    features = Sequential(*layers)
    _, F, rows, columns = features.output_shape((1, C, H, W))
    classifier = Sequential(
        Dense(F * rows * columns, 4096, **new),
        ReLU(),
        Dropout(0.5, rng=rng.spawn(1)[0]),
        Dense(4096, 4096, **new),
        ReLU(),
        Dropout(0.5, rng=rng.spawn(1)[0]),
        Dense(4096, classes, **new),
    )
    network = Sequential(features=features, flatten=Flatten(), classifier=classifier)
    network.input_shape = (C, H, W)
    return network
