"""Read the kernels of convolutions, compute feature maps, and find units that are never active."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neocog.inspection.arguments import activations, check_batch, find_convolution, find_layer
from neocog.layers import Layer, ReLU
from neocog.layers.base import Array

__all__ = ["DeadUnits", "dead_units", "feature_maps", "filters"]


def filters(network: Layer, layer: str | None = None) -> Array:
    """Return a copy of a convolution's kernels.

    Parameters
    ----------
    network : Layer
    layer : str, default the first convolution

    Returns
    -------
    array (out_channels, in_channels / groups, kH, kW)

    Raises
    ------
    ValueError
        If there is no such layer, or it is no convolution.

    Examples
    --------
    >>> from neocog.models import tiny_cnn
    >>> filters(tiny_cnn()).shape
    (3, 1, 3, 3)
    """
    weight: Array = find_convolution(network, layer)[1].params["weight"]
    return weight.copy()


def feature_maps(network: Layer, x: Any, layer: str, *, batch_size: int = 256) -> Array:
    """Compute the outputs of a layer for images, in inference.

    Parameters
    ----------
    network : Layer
    x : floating point array (N, C, H, W), or lazy images
    layer : str
        Dotted name of any layer.
    batch_size : int

    Returns
    -------
    array (N, channels, height, width), or (N, features) for a layer without maps

    Raises
    ------
    TypeError, ValueError
        If there is no such layer, or the images do not fit the network.

    Examples
    --------
    >>> from neocog.models import tiny_cnn
    >>> feature_maps(tiny_cnn(), np.zeros((5, 1, 8, 8)), "pool1").shape
    (5, 3, 3, 3)
    """
    images = check_batch(network, x)
    return np.concatenate([y[layer] for y in activations(network, images, [layer], batch_size)])


@dataclass(frozen=True)
class DeadUnits:
    """Units of a ReLU whose output is 0 for every image.

    Attributes
    ----------
    layer : str
    mask : bool array (C, H, W), or (features,)
        True where a unit was never active.
    channels : bool array (C,), or (features,)
        True where no unit of a channel was ever active.
    count : int
        Dead units.
    fraction : float
    """

    layer: str
    mask: Array
    channels: Array

    @property
    def count(self) -> int:
        """Number of dead units."""
        return int(np.count_nonzero(self.mask))

    @property
    def fraction(self) -> float:
        """Fraction of the units that are dead."""
        return self.count / int(self.mask.size)


def dead_units(
    network: Layer, x: Any, layer: str | None = None, *, batch_size: int = 256
) -> dict[str, DeadUnits]:
    """Find the units of a ReLU that are never active: ``max_n y[n, ...] <= 0``.

    No gradient passes through them, so on these images they cannot learn.

    Parameters
    ----------
    network : Layer
    x : floating point array (N, C, H, W), or lazy images
    layer : str, default every ReLU
    batch_size : int

    Returns
    -------
    dict of str to DeadUnits
        By the layer's name; empty if the network has no ReLU.

    Raises
    ------
    TypeError, ValueError
        If there is no such layer, it is no ReLU, or the images do not fit the network.

    Notes
    -----
    Source: L. Lu et al., "Dying ReLU and initialization", 2019.

    Examples
    --------
    >>> from neocog.models import tiny_cnn
    >>> dead_units(tiny_cnn(), np.zeros((2, 1, 8, 8)))["relu1"].fraction
    1.0
    """
    images = check_batch(network, x)
    relus = [name for name, leaf in network.leaves() if isinstance(leaf, ReLU)]
    if layer is not None:
        kind = type(find_layer(network, layer)).__name__
        if layer not in relus:
            raise ValueError(f"layer must be a ReLU, one of {relus}, got {layer!r}, a {kind}.")
        relus = [layer]
    masks: dict[str, Array] = {}
    for outputs in activations(network, images, relus, batch_size):
        for name, y in outputs.items():
            masks[name] = (y <= 0).all(axis=0) & masks.get(name, True)
    return {
        name: DeadUnits(name, mask, mask.reshape(len(mask), -1).all(axis=1)) for name, mask in masks.items()
    }
