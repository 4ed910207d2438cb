"""Build what several networks are made of: a convolution with its norm, gates for channels, a shortcut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neocog.layers import (
    Add,
    BatchNorm2D,
    Container,
    Conv2D,
    Graph,
    Layer,
    Mean,
    Multiply,
    ReLU,
    Sequential,
    Sigmoid,
)

IMAGENET = (3, 224, 224)


def conv_norm(
    in_channels: int,
    out_channels: int,
    size: int,
    new: Mapping[str, Any],
    activation: Layer | None = None,
    stride: int = 1,
    groups: int = 1,
    norm: Mapping[str, float] | None = None,
) -> Sequential:
    """Build a convolution that keeps the size but for its stride, batch norm, and an activation.

    ``new``: the arguments ``init``, ``rng`` and ``dtype`` of every layer; ``norm``: those of batch norm.
    """
    conv = Conv2D(
        in_channels, out_channels, size, stride, padding=size // 2, groups=groups, bias=False, **new
    )
    layers: list[Layer] = [conv, BatchNorm2D(out_channels, dtype=new["dtype"], **(norm or {}))]
    return Sequential(*layers if activation is None else [*layers, activation])


def squeeze_excitation(
    channels: int,
    squeezed: int,
    new: Mapping[str, Any],
    activation: Layer | None = None,
    gate: Layer | None = None,
) -> Graph:
    """Build squeeze and excitation: each channel times a gate, computed from the means of all channels.

    Source: J. Hu, L. Shen, G. Sun, "Squeeze-and-excitation networks", 2018, with ReLU and sigmoid.

    Examples
    --------
    >>> new = {"init": lambda shape, *_: np.zeros(shape), "rng": 0, "dtype": "float64"}
    >>> import numpy as np
    >>> squeeze_excitation(2, 1, new)(np.ones((1, 2, 1, 1))).ravel()  # gates of sigmoid(0)
    array([0.5, 0.5])
    """
    return Graph(
        {
            "avgpool": (Mean((2, 3), keepdims=True), "input"),
            "fc1": (Conv2D(channels, squeezed, 1, **new), "avgpool"),
            "activation": (activation or ReLU(), "fc1"),
            "fc2": (Conv2D(squeezed, channels, 1, **new), "activation"),
            "gate": (gate or Sigmoid(), "fc2"),
            "multiply": (Multiply(), "input", "gate"),
        }
    )


def chain(layers: Mapping[str, Layer], shortcut: bool) -> Container:
    """Chain layers by their names; with a shortcut, add the input to what they make of it."""
    if not shortcut:
        return Sequential(**layers)
    values = ["input", *layers]
    nodes = {name: (layer, value) for value, (name, layer) in zip(values, layers.items(), strict=False)}
    return Graph({**nodes, "add": (Add(), values[-1], "input")})


def divisible(channels: float, by: int = 8) -> int:
    """Round a number of channels to a multiple, up where that would take more than a tenth away.

    Source: M. Sandler et al., "MobileNetV2", 2018, the authors' code.

    Examples
    --------
    >>> divisible(18), divisible(11.9), divisible(12)
    (24, 16, 16)
    """
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded if rounded >= 0.9 * channels else rounded + by
