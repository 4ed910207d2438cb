"""Make maps (H, W) of any attribution, by its name, with settings that suit images of any size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from neocog.inspection.arguments import class_targets, image_batch
from neocog.inspection.attribution import (
    grad_cam,
    gradient_times_input,
    integrated_gradients,
    occlusion,
    saliency,
    smooth_grad,
)
from neocog.layers import Layer
from neocog.layers.base import Array
from neocog.validation import one_of

__all__ = ["ATTRIBUTIONS", "Attribution", "attribution_maps"]

PATCHES = 8
"""Patches of occlusion that cover an image's height or width; each overlaps half of the next."""


@dataclass(frozen=True)
class Attribution:
    """A way to attribute a logit to pixels, and what its map shows.

    Parameters
    ----------
    compute : function (network, x, y) -> array (N, H, W) or (N, C, H, W)
    channels : "sum" or "largest"
        How channels become one number a pixel: their sum, or the largest absolute value.
    shows : str
        What the map shows, in a sentence.
    """

    compute: Callable[[Layer, Array, Array], Array]
    shows: str
    channels: str = "sum"


def _occlusion(network: Layer, x: Array, y: Array) -> Array:
    """Cover each image by patches of an eighth of its size and of its mean."""
    H, W = x.shape[2:]
    patch = max(H // PATCHES, 1), max(W // PATCHES, 1)
    stride = max(patch[0] // 2, 1), max(patch[1] // 2, 1)
    each = zip(x, y, strict=True)
    maps = [
        occlusion(network, image[None], [k], patch=patch, stride=stride, value=float(image.mean()))
        for image, k in each
    ]
    return np.concatenate(maps)


ATTRIBUTIONS = {
    "saliency": Attribution(
        saliency, "How much the logit changes with a pixel: the largest slope over the channels.", "largest"
    ),
    "smooth-grad": Attribution(
        smooth_grad, "Saliency, as a mean over 25 copies of the image with other noise.", "largest"
    ),
    "gradient-times-input": Attribution(
        gradient_times_input, "The slope times the pixel, summed over the channels."
    ),
    "integrated-gradients": Attribution(
        integrated_gradients,
        "Each pixel's share of how far the logit lies above that of a black image; they add up to it.",
    ),
    "grad-cam": Attribution(
        grad_cam, "Where the last convolution's maps that raise the logit are active; coarse."
    ),
    "occlusion": Attribution(
        _occlusion, "How far the logit falls when a patch of the image's mean covers the place."
    ),
}
"""The attributions by the names that the command line knows."""


def attribution_maps(network: Layer, x: Any, method: str = "grad-cam", y: Any = None) -> Array:
    """Compute a map for each image: how much each pixel contributes to a class's logit.

    Parameters
    ----------
    network : Layer
    x : floating point array (N, C, H, W)
    method : str
        One of ``ATTRIBUTIONS``.
    y : int, integer array (N,) or None
        None for the predicted class.

    Returns
    -------
    array (N, H, W)

    Raises
    ------
    TypeError, ValueError
        If there is no such method, the images do not fit the network, or a class is out of range.

    Examples
    --------
    >>> from neocog.models import tiny_cnn
    >>> attribution_maps(tiny_cnn(), np.ones((2, 1, 8, 8)), "saliency").shape
    (2, 8, 8)
    """
    chosen = ATTRIBUTIONS[one_of("method", method, ATTRIBUTIONS)]
    x = image_batch(network, x)
    maps = chosen.compute(network, x, class_targets(network, x, y))
    if maps.ndim == 3:
        return maps
    return np.abs(maps).max(axis=1) if chosen.channels == "largest" else maps.sum(axis=1)
