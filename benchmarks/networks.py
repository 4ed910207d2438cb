"""Define the networks of the benchmarks: all competitors build them from here, with the same weights."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Conv:
    filters: int
    size: int
    stride: int = 1
    padding: int = 0
    bias: bool = True
    groups: int = 1


@dataclass(frozen=True)
class Pool:
    """The largest of each window."""

    size: int = 2
    stride: int = 2
    padding: int = 0


@dataclass(frozen=True)
class Norm:
    """Batch norm."""

    eps: float = 1e-5


@dataclass(frozen=True)
class ReLU:
    pass


@dataclass(frozen=True)
class ReLU6:
    pass


@dataclass(frozen=True)
class HardSwish:
    pass


@dataclass(frozen=True)
class Gates:
    """Squeeze and excitation, with ReLU and hard sigmoid."""

    squeezed: int


@dataclass(frozen=True)
class Average:
    """The mean of each map."""


@dataclass(frozen=True)
class Thin:
    """Every second pixel, and maps of zeros behind the others: the shortcut of a small residual network."""

    filters: int


@dataclass(frozen=True)
class Flatten:
    pass


@dataclass(frozen=True)
class Drop:
    """Dropout."""

    p: float = 0.5


@dataclass(frozen=True)
class Dense:
    units: int


@dataclass(frozen=True)
class Residual:
    """The sum of two paths; an empty shortcut is the input itself."""

    shortcut: tuple
    body: tuple


@dataclass(frozen=True)
class Network:
    """Layers, the shape (C, H, W) of an image, and how the network is trained."""

    name: str
    image: tuple[int, int, int]
    layers: tuple
    epoch: int  # steps
    sgd: dict[str, float] = field(default_factory=lambda: {"lr": 1e-3, "momentum": 0.9})

    @property
    def classes(self) -> int:
        return self.layers[-1].units

    @property
    def draws(self) -> bool:
        """Return whether training draws random numbers, so that no two competitors get the same losses."""
        return any(isinstance(layer, Drop) for layer in self.layers)

    def with_side(self, side: int) -> Network:
        """Return the same layers for images of another height and width."""
        return replace(self, image=(self.image[0], side, side))

    def weights(self) -> Iterator[np.ndarray]:
        """Draw the weights, layer by layer: as the first convolution's, the first bias, and so on."""
        return _weights(self.layers, self.image, np.random.default_rng(0))

    def images(self, *shape: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw images and labels: a batch of N, or ``images(S, N)``, which begins with the same batch."""
        rng = np.random.default_rng(1)
        x = rng.random((*shape, *self.image), dtype=np.float32)
        return x, np.random.default_rng(2).integers(0, self.classes, shape)


def _weights(
    layers: tuple, shape: tuple[int, ...], rng: np.random.Generator
) -> Generator[np.ndarray, None, tuple[int, ...]]:
    """Yield weights (He normal) and biases in order; return the outputs' shape."""

    def he_normal(*size: int, fan_in: int) -> np.ndarray:
        w = rng.standard_normal(size, dtype=np.float32)
        w *= np.float32(math.sqrt(2 / fan_in))
        return w

    def after(filters: int, window: Conv | Pool) -> tuple[int, ...]:
        return filters, *((n + 2 * window.padding - window.size) // window.stride + 1 for n in shape[1:])

    for layer in layers:
        match layer:
            case Conv(filters, size):
                depth = shape[0] // layer.groups
                yield he_normal(filters, depth, size, size, fan_in=depth * size * size)
                if layer.bias:
                    yield np.zeros(filters, np.float32)
                shape = after(filters, layer)
            case Pool():
                shape = after(shape[0], layer)
            case Norm():
                yield np.ones(shape[0], np.float32)
                yield np.zeros(shape[0], np.float32)
            case Gates(squeezed):
                for F, C in ((squeezed, shape[0]), (shape[0], squeezed)):
                    yield he_normal(F, C, 1, 1, fan_in=C)
                    yield np.zeros(F, np.float32)
            case Thin(filters):
                shape = (filters, -(-shape[1] // 2), -(-shape[2] // 2))
            case Average():
                shape = shape[:1]
            case Dense(units):
                features = math.prod(shape)
                yield he_normal(features, units, fan_in=features)
                yield np.zeros(units, np.float32)
                shape = (units,)
            case Residual(shortcut, body):
                yield from _weights(shortcut, shape, rng)
                shape = yield from _weights(body, shape, rng)
    return shape


def _stage(*filters: int) -> tuple:
    """Make a stage of VGG: convolutions that keep the size, and a pooling."""
    return *(layer for f in filters for layer in (Conv(f, 3, padding=1), ReLU())), Pool()


def _bottlenecks(width: int, count: int, stride: int) -> tuple:
    """Make a stage of ResNet: residual blocks of three convolutions, the first with a projection."""

    def block(stride: int, shortcut: tuple) -> tuple:
        body = (
            *(Conv(width, 1, bias=False), Norm(), ReLU()),
            *(Conv(width, 3, stride, padding=1, bias=False), Norm(), ReLU()),
            *(Conv(4 * width, 1, bias=False), Norm()),
        )
        return Residual(shortcut, body), ReLU()

    projection = (Conv(4 * width, 1, stride, bias=False), Norm())
    return *block(stride, projection), *(layer for _ in range(count - 1) for layer in block(1, ()))


def _inverted(channels: int, width: int, out: int, stride: int, size: int = 3, act=ReLU6, squeezed: int = 0):
    """Make a block of MobileNetV2, or with ``size`` and ``act`` of V3."""
    norm = Norm() if act is ReLU6 else Norm(1e-3)
    wider = (Conv(width, 1, bias=False), norm, act()) if width != channels else ()
    depthwise = Conv(width, size, stride, size // 2, bias=False, groups=width)
    gates = (Gates(squeezed),) if squeezed else ()
    block = *wider, depthwise, norm, act(), *gates, Conv(out, 1, bias=False), norm
    return (Residual((), block),) if stride == 1 and channels == out else block


def _mobilenet_v2() -> Iterator:
    yield from (Conv(32, 3, 2, 1, bias=False), Norm(), ReLU6())
    channels = 32
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2))
    for factor, out, count, first in (*table, (6, 320, 1, 1)):
        for k in range(count):
            yield from _inverted(channels, factor * channels, out, 1 if k else first)
            channels = out
    yield from (Conv(1280, 1, bias=False), Norm(), ReLU6(), Average(), Flatten(), Drop(0.2), Dense(1000))


def _mobilenet_v3_small() -> Iterator:
    yield from (Conv(16, 3, 2, 1, bias=False), Norm(1e-3), HardSwish())
    yield from _inverted(16, 16, 16, 2, 3, ReLU, 8)
    yield from _inverted(16, 72, 24, 2, 3, ReLU)
    yield from _inverted(24, 88, 24, 1, 3, ReLU)
    yield from _inverted(24, 96, 40, 2, 5, HardSwish, 24)
    for _ in range(2):
        yield from _inverted(40, 240, 40, 1, 5, HardSwish, 64)
    yield from _inverted(40, 120, 48, 1, 5, HardSwish, 32)
    yield from _inverted(48, 144, 48, 1, 5, HardSwish, 40)
    yield from _inverted(48, 288, 96, 2, 5, HardSwish, 72)
    for _ in range(2):
        yield from _inverted(96, 576, 96, 1, 5, HardSwish, 144)
    yield from (Conv(576, 1, bias=False), Norm(1e-3), HardSwish(), Average(), Flatten())
    yield from (Dense(1024), HardSwish(), Drop(0.2), Dense(1000))


def _separable() -> Iterator:
    """Make a net of depthwise convolutions, each followed by one of 1 x 1, for images of 32 x 32."""
    yield from (Conv(32, 3, 1, 1, bias=False), Norm(), ReLU())
    channels = 32
    for out, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)):
        yield from (Conv(channels, 3, stride, 1, bias=False, groups=channels), Norm(), ReLU())
        yield from (Conv(out, 1, bias=False), Norm(), ReLU())
        channels = out
    yield from (Average(), Flatten(), Dense(10))


def _stages(*stages: tuple[int, ...]) -> tuple:
    """Make stages of VGG with some filters each, and a dense layer for ten classes."""
    return *(layer for filters in stages for layer in _stage(*filters)), Flatten(), Dense(10)


def _resnet_20() -> Iterator:
    yield from (Conv(16, 3, padding=1, bias=False), Norm(), ReLU())
    for width in (16, 32, 64):
        for block in range(3):
            shrinks = width > 16 and block == 0
            yield Residual(
                (Thin(width),) if shrinks else (),
                (
                    *(Conv(width, 3, 2 if shrinks else 1, padding=1, bias=False), Norm(), ReLU()),
                    *(Conv(width, 3, padding=1, bias=False), Norm()),
                ),
            )
            yield ReLU()
    yield from (Average(), Flatten(), Dense(10))


_ALL = (
    Network(
        "TinyCNN", (1, 8, 8), (Conv(3, 3), ReLU(), Pool(), Flatten(), Dense(3)), epoch=10, sgd={"lr": 1e-3}
    ),
    Network(
        "digits",
        (1, 8, 8),
        (
            *(Conv(8, 3, padding=1), ReLU(), Pool()),
            *(Conv(16, 3, padding=1), ReLU(), Pool()),
            *(Flatten(), Dense(10)),
        ),
        epoch=21,
        sgd={"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4},
    ),
    Network(
        "LeNet-5",
        (1, 28, 28),
        (
            *(Conv(6, 5, padding=2), ReLU(), Pool()),
            *(Conv(16, 5), ReLU(), Pool()),
            *(Flatten(), Dense(120), ReLU(), Dense(84), ReLU(), Dense(10)),
        ),
        epoch=21,
    ),
    Network(
        "AlexNet",
        (3, 224, 224),
        (
            *(Conv(64, 11, 4, 2), ReLU(), Pool(3)),
            *(Conv(192, 5, padding=2), ReLU(), Pool(3)),
            *(Conv(384, 3, padding=1), ReLU()),
            *(Conv(256, 3, padding=1), ReLU()),
            *(Conv(256, 3, padding=1), ReLU(), Pool(3)),
            *(Flatten(), Drop(), Dense(4096), ReLU(), Drop(), Dense(4096), ReLU(), Dense(1000)),
        ),
        epoch=1,
    ),
    Network(
        "VGG-16",
        (3, 224, 224),
        (
            *_stage(64, 64),
            *_stage(128, 128),
            *_stage(256, 256, 256),
            *_stage(512, 512, 512),
            *_stage(512, 512, 512),
            *(Flatten(), Dense(4096), ReLU(), Drop(), Dense(4096), ReLU(), Drop(), Dense(1000)),
        ),
        epoch=1,
    ),
    Network(
        "ResNet-50",
        (3, 224, 224),
        (
            *(Conv(64, 7, 2, 3, bias=False), Norm(), ReLU(), Pool(3, 2, 1)),
            *_bottlenecks(64, 3, stride=1),
            *_bottlenecks(128, 4, stride=2),
            *_bottlenecks(256, 6, stride=2),
            *_bottlenecks(512, 3, stride=2),
            *(Average(), Flatten(), Dense(1000)),
        ),
        epoch=1,
    ),
    Network("MobileNetV2", (3, 224, 224), tuple(_mobilenet_v2()), epoch=1),
    Network("MobileNetV3-small", (3, 224, 224), tuple(_mobilenet_v3_small()), epoch=1),
    Network("Separable", (3, 32, 32), tuple(_separable()), epoch=1),
    Network("ConvNet 32-32-64-64", (1, 28, 28), _stages((32, 32), (64, 64)), epoch=1),
    Network("ConvNet 32-64-128-128", (3, 64, 64), _stages((32,), (64,), (128,), (128,)), epoch=1),
    Network("ResNet-20", (3, 32, 32), tuple(_resnet_20()), epoch=1),
    Network("MNIST", (1, 28, 28), _stages((32,), (64,)), epoch=1, sgd={"lr": 0.05, "momentum": 0.9}),
    Network(
        "photographs", (3, 64, 64), _stages((32,), (64,), (128,)), epoch=1, sgd={"lr": 0.01, "momentum": 0.9}
    ),
)
NETWORKS = {network.name: network for network in _ALL}
