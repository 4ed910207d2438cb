"""Build AlexNet, in its forms for two graphics cards and for one."""

from __future__ import annotations

from typing import Any

from neocog.initializers import Initializer, he_normal
from neocog.layers import Conv2D, Dense, Dropout, Flatten, LocalResponseNorm, MaxPool2D, ReLU, Sequential
from neocog.validation import RandomSource, generator
from neocog.validation import image_shape as check_image_shape


def alexnet(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = (3, 227, 227),
    *,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build the AlexNet of 2012, its channels in two groups, one a card; 60 965 224 parameters.

    The paper says 224 x 224, but its layer sizes require 227 x 227.

    Shapes: (N, C, H, W) -> (N, classes).

    Parameters
    ----------
    classes : int
    image_shape : (channels, height, width)
        At least 67 x 67.
    init : initializer
        The paper drew all weights from N(0, 0.01^2).
    rng : Generator, int or None
        Of the weights; the dropout layers get generators of their own from it.
    dtype : floating point type

    Raises
    ------
    ValueError, TypeError
        On an argument out of range, or images too small.

    Notes
    -----
    Source: A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep convolutional neural
    networks", 2012.

    Examples
    --------
    >>> from neocog.initializers import zeros
    >>> alexnet(init=zeros).parameter_count
    60965224
    """
    C, H, W = check_image_shape(image_shape)
    rng = generator(rng)
    new: dict[str, Any] = {"init": init, "rng": rng, "dtype": dtype}
    maps = Sequential(
        conv1=Conv2D(C, 96, 11, stride=4, **new),
        relu1=ReLU(),
        norm1=LocalResponseNorm(5, alpha=5e-4, k=2.0),
        pool1=MaxPool2D(3, stride=2),
        conv2=Conv2D(96, 256, 5, padding=2, groups=2, **new),
        relu2=ReLU(),
        norm2=LocalResponseNorm(5, alpha=5e-4, k=2.0),
        pool2=MaxPool2D(3, stride=2),
        conv3=Conv2D(256, 384, 3, padding=1, **new),
        relu3=ReLU(),
        conv4=Conv2D(384, 384, 3, padding=1, groups=2, **new),
        relu4=ReLU(),
        conv5=Conv2D(384, 256, 3, padding=1, groups=2, **new),
        relu5=ReLU(),
        pool5=MaxPool2D(3, stride=2),
        flatten=Flatten(),
    )
    _, features = maps.output_shape((1, C, H, W))
    network = Sequential(
        **maps.children,
        fc6=Dense(features, 4096, **new),
        relu6=ReLU(),
        drop6=Dropout(0.5, rng=rng.spawn(1)[0]),
        fc7=Dense(4096, 4096, **new),
        relu7=ReLU(),
        drop7=Dropout(0.5, rng=rng.spawn(1)[0]),
        fc8=Dense(4096, classes, **new),
    )
    network.input_shape = (C, H, W)
    return network


def alexnet_one_tower(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = (3, 224, 224),
    *,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build the AlexNet of 2014, without groups and response normalisation; 61 100 840 parameters.

    It is the one of torchvision, whose weights :func:`load_torchvision` reads.

    Shapes: (N, C, H, W) -> (N, classes).

    Parameters
    ----------
    classes : int
    image_shape : (channels, height, width)
        At least 63 x 63; torchvision's weights are for 224 x 224.
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
    Source: A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014.

    Examples
    --------
    >>> from neocog.initializers import zeros
    >>> alexnet_one_tower(init=zeros).parameter_count
    61100840
    """
    C, H, W = check_image_shape(image_shape)
    rng = generator(rng)
    new: dict[str, Any] = {"init": init, "rng": rng, "dtype": dtype}
    features = Sequential(
        Conv2D(C, 64, 11, stride=4, padding=2, **new),
        ReLU(),
        MaxPool2D(3, stride=2),
        Conv2D(64, 192, 5, padding=2, **new),
        ReLU(),
        MaxPool2D(3, stride=2),
        Conv2D(192, 384, 3, padding=1, **new),
        ReLU(),
        Conv2D(384, 256, 3, padding=1, **new),
        ReLU(),
        Conv2D(256, 256, 3, padding=1, **new),
        ReLU(),
        MaxPool2D(3, stride=2),
    )
    _, F, rows, columns = features.output_shape((1, C, H, W))
    classifier = Sequential(
        Dropout(0.5, rng=rng.spawn(1)[0]),
        Dense(F * rows * columns, 4096, **new),
        ReLU(),
        Dropout(0.5, rng=rng.spawn(1)[0]),
        Dense(4096, 4096, **new),
        ReLU(),
        Dense(4096, classes, **new),
    )
    network = Sequential(features=features, flatten=Flatten(), classifier=classifier)
    network.input_shape = (C, H, W)
    return network
