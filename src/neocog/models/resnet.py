"""Build residual networks: for large images, and for small ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from neocog.initializers import Initializer, he_normal
from neocog.layers import (
    Add,
    BatchNorm2D,
    Conv2D,
    Dense,
    GlobalAvgPool2D,
    Graph,
    Layer,
    MaxPool2D,
    PadChannels,
    ReLU,
    Sequential,
)
from neocog.validation import RandomSource, generator, integer
from neocog.validation import image_shape as check_image_shape

IMAGENET = (3, 224, 224)

Convolutions: TypeAlias = list[tuple[int, int, int, int]]
"""Of a block, each as (in_channels, out_channels, kernel_size, stride)."""

Kind: TypeAlias = Callable[[int, int, int], Convolutions]
"""``kind(in_channels, width, stride)``: the convolutions of one kind of block."""

WayAround: TypeAlias = Callable[[int, int, int], Layer]
"""``around(in_channels, out_channels, stride)``: the shortcut around a block that changes the shape."""


def resnet18(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = IMAGENET,
    *,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build ResNet-18; 11 689 512 parameters.

    For the arguments see :func:`resnet50`.
    """
    return _for_imagenet(_basic, (2, 2, 2, 2), classes, image_shape, init, rng, dtype)


def resnet34(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = IMAGENET,
    *,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build ResNet-34; 21 797 672 parameters.

    For the arguments see :func:`resnet50`.
    """
    return _for_imagenet(_basic, (3, 4, 6, 3), classes, image_shape, init, rng, dtype)


def resnet50(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = IMAGENET,
    *,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build ResNet-50; 25 557 032 parameters.

    A stem, four stages of residual blocks, the mean of each map, one dense layer. The arrays have
    torchvision's names; :func:`load_torchvision` reads its weights. As there, the step of a bottleneck is
    in its 3 x 3 convolution ("version 1.5"); the paper has it in the 1 x 1 before.

    Shapes: (N, C, H, W) -> (N, classes), whatever H and W.

    Parameters
    ----------
    classes : int
    image_shape : (channels, height, width)
        Only the channels decide what is built.
    init : initializer
    rng : Generator, int or None
    dtype : floating point type

    Raises
    ------
    ValueError, TypeError
        On an argument out of range.

    Notes
    -----
    Source: K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", 2016.

    Examples
    --------
    >>> from neocog.initializers import zeros
    >>> resnet50(init=zeros).parameter_count
    25557032
    """
    return _for_imagenet(_bottleneck, (3, 4, 6, 3), classes, image_shape, init, rng, dtype)


def resnet101(
    classes: int = 1000,
    image_shape: tuple[int, int, int] = IMAGENET,
    *,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build ResNet-101; 44 549 160 parameters.

    For the arguments see :func:`resnet50`.
    """
    return _for_imagenet(_bottleneck, (3, 4, 23, 3), classes, image_shape, init, rng, dtype)


def resnet_cifar(
    depth: int = 20,
    classes: int = 10,
    image_shape: tuple[int, int, int] = (3, 32, 32),
    *,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Sequential:
    """Build the residual network for small images; ResNet-20 has 269 722 parameters.

    Three stages of 16, 32 and 64 maps. The shortcuts have no parameters: where the maps get smaller and
    more, every second pixel is taken and maps of zeros are appended.

    Shapes: (N, C, H, W) -> (N, classes), whatever H and W.

    Parameters
    ----------
    depth : int
        6 n + 2: 20, 32, 44, 56 and 110 in the paper.
    classes : int
    image_shape : (channels, height, width)
        Only the channels decide what is built.
    init : initializer
    rng : Generator, int or None
    dtype : floating point type

    Raises
    ------
    ValueError, TypeError
        On an argument out of range.

    Notes
    -----
    Source: K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", 2016, section
    4.2.

    Examples
    --------
    >>> resnet_cifar(20).parameter_count
    269722
    """
    blocks, rest = divmod(integer("depth", depth) - 2, 6)
    if rest or not blocks:
        raise ValueError(f"depth must be 6 n + 2, as 8, 14, 20 ..., got {depth}.")
    new: dict[str, Any] = {"init": init, "rng": generator(rng), "dtype": dtype}
    channels = check_image_shape(image_shape)[0]
    stem = {**_chain([(channels, 16, 3, 1)], new), "relu": ReLU()}
    stages = dict.fromkeys((16, 32, 64), blocks)

    def around(in_channels: int, out_channels: int, stride: int) -> Layer:
        return Sequential(MaxPool2D(1, stride=stride), PadChannels(out_channels - in_channels))

    return _network(stem, _basic, stages, around, classes, image_shape, new)


def _for_imagenet(
    kind: Kind,
    counts: tuple[int, int, int, int],
    classes: int,
    image_shape: tuple[int, int, int],
    init: Initializer,
    rng: RandomSource,
    dtype: Any,
) -> Sequential:
    """Build a network for large images, with so many blocks of a kind in its four stages."""
    new: dict[str, Any] = {"init": init, "rng": generator(rng), "dtype": dtype}
    channels = check_image_shape(image_shape)[0]
    stem = {
        **_chain([(channels, 64, 7, 2)], new),
        "relu": ReLU(),
        "maxpool": MaxPool2D(3, stride=2, padding=1),
    }
    stages = dict(zip((64, 128, 256, 512), counts, strict=True))

    return _network(stem, kind, stages, _projection(new), classes, image_shape, new)


def basic_block(
    in_channels: int,
    out_channels: int,
    stride: int = 1,
    *,
    init: Initializer = he_normal,
    rng: RandomSource = None,
    dtype: Any = "float32",
) -> Graph:
    """Build the block of ResNet-18: two convolutions, each with batch norm, and a way around them.

    ``y = relu(bn2(conv2(relu(bn1(conv1(x))))) + x)``; where the shape changes, a 1 x 1 convolution with batch
    norm takes the place of ``x``.

    Examples
    --------
    >>> basic_block(8, 16, stride=2).output_shape((1, 8, 6, 6))
    (1, 16, 3, 3)
    """
    new: dict[str, Any] = {"init": init, "rng": generator(rng), "dtype": dtype}
    return _block(_basic(in_channels, out_channels, stride), _projection(new), new)


def _projection(new: dict[str, Any]) -> WayAround:
    def around(in_channels: int, out_channels: int, stride: int) -> Layer:
        return Sequential(*_chain([(in_channels, out_channels, 1, stride)], new).values())

    return around


def _network(
    stem: dict[str, Layer],
    kind: Kind,
    stages: dict[int, int],
    around: WayAround,
    classes: int,
    image_shape: tuple[int, int, int],
    new: dict[str, Any],
) -> Sequential:
    """Join a stem, stages (width: number of blocks) and a head; ``new`` are arguments of every layer."""
    channels = next(iter(stages))  # what the stem makes
    layers = dict(stem)
    for k, (width, count) in enumerate(stages.items(), start=1):
        blocks = []
        for block in range(count):
            stride = 2 if k > 1 and block == 0 else 1
            convolutions = kind(channels, width, stride)
            blocks.append(_block(convolutions, around, new))
            channels = convolutions[-1][1]
        layers[f"layer{k}"] = Sequential(*blocks)
    network = Sequential(**layers, avgpool=GlobalAvgPool2D(), fc=Dense(channels, classes, **new))
    network.input_shape = check_image_shape(image_shape)
    return network


def _basic(in_channels: int, width: int, stride: int) -> Convolutions:
    return [(in_channels, width, 3, stride), (width, width, 3, 1)]


def _bottleneck(in_channels: int, width: int, stride: int) -> Convolutions:
    return [(in_channels, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)]


def _chain(convolutions: Convolutions, new: dict[str, Any]) -> dict[str, Layer]:
    """Build convolutions, each with batch norm, and ReLUs between them."""
    layers: dict[str, Layer] = {}
    for k, (in_channels, out_channels, size, stride) in enumerate(convolutions, start=1):
        if k > 1:
            layers[f"relu{k - 1}"] = ReLU()
        layers[f"conv{k}"] = Conv2D(
            in_channels, out_channels, size, stride, padding=size // 2, bias=False, **new
        )
        layers[f"bn{k}"] = BatchNorm2D(out_channels, dtype=new["dtype"])
    return layers


def _block(convolutions: Convolutions, around: WayAround, new: dict[str, Any]) -> Graph:
    """Build ``y = relu(chain(x) + x)``, or with a shortcut where the chain changes the shape."""
    in_channels, out_channels = convolutions[0][0], convolutions[-1][1]
    stride = max(stride for *_, stride in convolutions)
    nodes: dict[str, tuple[Any, ...]] = {}
    shortcut = "input"
    if stride > 1 or in_channels != out_channels:
        shortcut = "downsample"
        nodes[shortcut] = (around(in_channels, out_channels, stride), "input")
    last = "input"
    for name, layer in _chain(convolutions, new).items():
        nodes[name] = (layer, last)
        last = name
    nodes["add"] = (Add(), last, shortcut)
    nodes["relu"] = (ReLU(), "add")
    return Graph(nodes)
