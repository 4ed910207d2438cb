"""Attribute a logit to pixels: compute how much each contributes.

All functions take images ``x`` (N, C, H, W) and classes ``y``: one class for all images, or one for each, or
None for the class the network predicts. They run the network in inference and do not change it.

The logit is that before a Softmax, LogSoftmax or Sigmoid at the end of the network, which is left out, as
:func:`neocog.evaluate` does: where a network is sure, the gradient of a probability vanishes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.deprecation import accepts_old_names
from neocog.inspection.arguments import (
    class_targets,
    find_convolution,
    find_layer,
    image_batch,
    prepare_batch,
    without_probabilities,
)
from neocog.inspection.trace import trace
from neocog.layers import Layer
from neocog.layers.base import Array
from neocog.layers.normalization import GroupNorm, LayerNorm
from neocog.validation import RandomSource, finite, generator, integer, number, pair, unmasked

__all__ = [
    "grad_cam",
    "gradient_times_input",
    "integrated_gradients",
    "occlusion",
    "resize_bilinear",
    "saliency",
    "smooth_grad",
]


@accepts_old_names
def saliency(network: Layer, x: Any, y: Any = None) -> Array:
    """Compute the gradient of a class's logit in the image: ``d z[n, t] / d x[n]``.

    Parameters
    ----------
    network : Layer
        A Softmax, LogSoftmax or Sigmoid at its end is left out.
    x : floating point array (N, C, H, W)
    y : int, integer array (N,) or None
        None for the predicted class.

    Returns
    -------
    array shaped like x
        With signs; often shown as the largest absolute value over the channels.

    Raises
    ------
    TypeError, ValueError
        If the images do not fit the network, or a class is out of range.

    Notes
    -----
    Source: K. Simonyan, A. Vedaldi, A. Zisserman, "Deep inside convolutional networks", 2013.

    Examples
    --------
    >>> from neocog.layers import Dense, Flatten, Sequential
    >>> network = Sequential(Flatten(), Dense(4, 2, dtype="float64"))
    >>> network.params["1.weight"][:, 1] = [1, 2, 3, 4]
    >>> saliency(network, np.zeros((1, 1, 2, 2)), y=1)
    array([[[[1., 2.],
             [3., 4.]]]])
    """
    network, x = without_probabilities(network), prepare_batch(network, x)
    return _logit_gradient(network, x, class_targets(network, x, y))


@accepts_old_names
def gradient_times_input(network: Layer, x: Any, y: Any = None) -> Array:
    """Multiply the image by the gradient of a class's logit: ``x * d z[n, t] / d x``.

    For a network that is linear and has no biases the shares add up to the logit.

    Parameters
    ----------
    network : Layer
        A Softmax, LogSoftmax or Sigmoid at its end is left out.
    x : floating point array (N, C, H, W)
    y : int, integer array (N,) or None
        None for the predicted class.

    Returns
    -------
    array shaped like x

    Raises
    ------
    TypeError, ValueError
        If the images do not fit the network, or a class is out of range.

    Notes
    -----
    Source: A. Shrikumar et al., "Not just a black box: learning important features through propagating
    activation differences", 2016.
    """
    x = prepare_batch(network, x)
    return x * saliency(network, x, y)


@accepts_old_names
def smooth_grad(
    network: Layer,
    x: Any,
    y: Any = None,
    *,
    samples: int = 25,
    noise: float = 0.1,
    rng: RandomSource = 0,
) -> Array:
    """Average the gradient of a class's logit over noisy copies of the image.

    ``1/S sum_s d z[n, t] / d x  at  x + e_s``, ``e_s`` normal with standard deviation
    ``noise (max x[n] - min x[n])``.

    Parameters
    ----------
    network : Layer
        A Softmax, LogSoftmax or Sigmoid at its end is left out.
    x : floating point array (N, C, H, W)
    y : int, integer array (N,) or None
        None for the class predicted without noise.
    samples : int
    noise : float
        In parts of the range of each image.
    rng : Generator, int or None

    Returns
    -------
    array shaped like x

    Raises
    ------
    TypeError, ValueError
        If the images do not fit the network, or an argument is out of range.

    Notes
    -----
    Source: D. Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017.
    """
    network, x = without_probabilities(network), prepare_batch(network, x)
    y = class_targets(network, x, y)
    samples, rng = integer("samples", samples), generator(rng)
    axes = tuple(range(1, x.ndim))
    scale = number("noise", noise, 0) * np.ptp(x, axis=axes, keepdims=True)
    total = np.zeros_like(x)
    for _ in range(samples):
        noisy = x + (scale * rng.normal(size=x.shape)).astype(x.dtype)
        total += _logit_gradient(network, noisy, y)
    return total / samples


@accepts_old_names
def integrated_gradients(
    network: Layer, x: Any, y: Any = None, *, baseline: Any = 0.0, steps: int = 50
) -> Array:
    """Integrate the gradient of a class's logit along the straight line from a baseline to the image.

    ``a = (x - x0) integral_0^1 g(x0 + s (x - x0)) ds`` with ``g = d z[n, t] / d x``, the integral by
    Gauss-Legendre quadrature. Complete: ``sum a[n] = z[n, t](x) - z[n, t](x0)``, up to the error of the
    quadrature, which is 0 for a linear network.

    Parameters
    ----------
    network : Layer
        A Softmax, LogSoftmax or Sigmoid at its end is left out.
    x : floating point array (N, C, H, W)
    y : int, integer array (N,) or None
        None for the class predicted at ``x``.
    baseline : number or array
        An image without information; anything that broadcasts to ``x``.
    steps : int
        Points of the quadrature.

    Returns
    -------
    array shaped like x

    Raises
    ------
    TypeError, ValueError
        If images or baseline do not fit the network, or an argument is out of range.

    Notes
    -----
    Source: M. Sundararajan, A. Taly, Q. Yan, "Axiomatic attribution for deep networks", 2017.
    """
    network, x = without_probabilities(network), prepare_batch(network, x)
    y = class_targets(network, x, y)
    baseline = np.asarray(unmasked("baseline", baseline))
    if baseline.dtype.kind not in "fiu":
        raise TypeError(f"baseline must be a number or an array of numbers, got {baseline.dtype}.")
    finite("baseline", baseline)
    baseline = baseline.astype(x.dtype)
    try:
        baseline = np.broadcast_to(baseline, x.shape)
    except ValueError:
        raise ValueError(f"baseline must broadcast to shape {x.shape}, got {baseline.shape}.") from None
    points, weights = np.polynomial.legendre.leggauss(integer("steps", steps))  # on -1..1
    total = np.zeros_like(x)
    for s, weight in zip((points + 1) / 2, weights / 2, strict=True):
        between = baseline + x.dtype.type(s) * (x - baseline)
        total += x.dtype.type(weight) * _logit_gradient(network, between, y)
    return (x - baseline) * total


@accepts_old_names
def grad_cam(
    network: Layer, x: Any, y: Any = None, layer: str | None = None, *, resize: bool = True
) -> Array:
    """Weight a layer's feature maps by the mean gradient of a class's logit in each, and keep positive sums.

    ``alpha[n,f] = mean_{i,j} d z[n, t] / d A[n,f,i,j]``, ``L[n] = max(0, sum_f alpha[n,f] A[n,f])``,
    enlarged to the image by bilinear interpolation.

    Parameters
    ----------
    network : Layer
        A Softmax, LogSoftmax or Sigmoid at its end is left out.
    x : floating point array (N, C, H, W)
    y : int, integer array (N,) or None
        None for the predicted class.
    layer : str, default the last convolution
        Any layer whose outputs are maps. Where a layer follows the last convolution that normalizes each
        image's maps by their own mean, such as GroupNorm, that one is the default: the gradients before it
        add up to 0 over the maps, so that their means say nothing.
    resize : bool
        Whether to enlarge the map to the image's size.

    Returns
    -------
    array (N, H, W), or (N, h, w) of the layer's maps
        At least 0; not scaled.

    Raises
    ------
    TypeError, ValueError
        If there is no such layer, it makes no maps, the images do not fit, or a class is out of range.

    Notes
    -----
    Source: R. Selvaraju et al., "Grad-CAM: visual explanations from deep networks", 2017.
    """
    network, x = without_probabilities(network), image_batch(network, x)
    if layer is None:
        layer = _normalized(network, find_convolution(network, last=True)[0])
    find_layer(network, layer)
    record = trace(network, x, class_targets(network, x, y), loss=_Logits())[layer]
    if record.y.ndim != 4 or record.dy is None:
        raise ValueError(f"layer must make maps (N, C, H, W), got {layer!r}, which makes {record.y.shape}.")
    alpha = record.dy.mean(axis=(2, 3), keepdims=True)
    heat = np.maximum((alpha * record.y).sum(axis=1), 0)
    return resize_bilinear(heat, x.shape[2:]) if resize else heat


def _normalized(network: Layer, name: str) -> str:
    """Return the layer that normalizes each image's maps of a layer by their mean; the layer if none does."""
    reader = name

    def visit(place: str, layer: Layer, source: Any) -> str:
        nonlocal reader
        if source == name and isinstance(layer, GroupNorm | LayerNorm):
            reader = place
        return place

    network.walk(visit, "input")
    return reader


@accepts_old_names
def occlusion(
    network: Layer,
    x: Any,
    y: Any = None,
    *,
    patch: int | tuple[int, int] = 3,
    stride: int | tuple[int, int] = 1,
    value: float = 0.0,
) -> Array:
    """Cover each region of the image with a patch, and measure by how much a class's logit falls.

    ``L[n,i,j] = mean over the patches that cover (i, j) of z[n, t](x) - z[n, t](x covered)``.

    Parameters
    ----------
    network : Layer
        A Softmax, LogSoftmax or Sigmoid at its end is left out.
    x : floating point array (N, C, H, W)
    y : int, integer array (N,) or None
        None for the class predicted without a patch.
    patch : int or (int, int)
        At most the image.
    stride : int or (int, int)
        At most the patch; the last patch ends with the image.
    value : float
        What the patch is filled with, on all channels.

    Returns
    -------
    array (N, H, W)
        Positive where covering a pixel lowers the logit.

    Raises
    ------
    TypeError, ValueError
        If the images do not fit the network, or an argument is out of range.

    Notes
    -----
    Source: M. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", 2014.
    """
    network, x = without_probabilities(network), image_batch(network, x)
    y = class_targets(network, x, y)
    (H, W), patch, stride = x.shape[2:], pair("patch", patch), pair("stride", stride)
    value = number("value", value)
    if patch[0] > H or patch[1] > W:
        raise ValueError(f"patch must be at most the {H}x{W} image, got {patch}.")
    if stride[0] > patch[0] or stride[1] > patch[1]:
        raise ValueError(f"stride must be at most the patch {patch}, or pixels are left out, got {stride}.")
    rows = np.arange(len(x))
    logit = network(x)[rows, y].reshape(len(x))  # of outputs (N, K, 1, 1), too
    total, times = np.zeros((len(x), H, W), dtype=logit.dtype), np.zeros((H, W), dtype=logit.dtype)
    for i in _starts(H, patch[0], stride[0]):
        for j in _starts(W, patch[1], stride[1]):
            place = (..., slice(i, i + patch[0]), slice(j, j + patch[1]))
            covered = x.copy()
            covered[place] = value
            total[place] += (logit - network(covered)[rows, y].reshape(len(x)))[:, None, None]
            times[place] += 1
    return total / times


def resize_bilinear(maps: Array, size: tuple[int, int]) -> Array:
    """Resize maps by bilinear interpolation between pixel centres.

    Pixel i of n lies at ``(i + 1/2) / n``; beyond the outermost centres the value is constant
    (PyTorch's ``align_corners=False``). No smoothing when a map shrinks.

    Parameters
    ----------
    maps : floating point array (..., H, W)
    size : (int, int)
        New height and width.

    Returns
    -------
    array (..., *size)

    Examples
    --------
    >>> resize_bilinear(np.array([[0.0, 1.0]]), (1, 4))
    array([[0.  , 0.25, 0.75, 1.  ]])
    """
    rows = _interpolation(maps.shape[-2], integer("size", size[0])).astype(maps.dtype)
    columns = _interpolation(maps.shape[-1], integer("size", size[1])).astype(maps.dtype)
    return rows @ maps @ columns.T


class _Logits:
    """Sum the logits of the targets, as a loss: ``L = sum_n z[n, t[n]]``, ``dz = onehot(t)``."""

    def __call__(self, z: Array, t: Array, weight: Array | None = None) -> tuple[Any, Array]:
        rows = np.arange(len(z))
        dz = np.zeros_like(z)
        dz[rows, t] = 1
        return float(z[rows, t].sum()), dz

    def correct(self, z: Array, t: Array) -> None:
        return


def _logit_gradient(network: Layer, x: Array, target: Array) -> Array:
    network = network.original  # a copy for inference has no gradients
    z, cache = network.forward(x)
    dx, _ = network.backward(_Logits()(z, target)[1], cache)
    return dx


def _starts(size: int, patch: int, stride: int) -> list[int]:
    """Return where patches start, so that they cover the whole axis."""
    return sorted({*range(0, size - patch + 1, stride), size - patch})


def _interpolation(size: int, new: int) -> Array:
    """Build the matrix (new, size) that interpolates between ``size`` points at ``new`` places."""
    place = np.clip((np.arange(new) + 0.5) * size / new - 0.5, 0, size - 1)
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, size - 1)
    matrix = np.zeros((new, size))
    np.add.at(matrix, (np.arange(new), below), 1 - (place - below))
    np.add.at(matrix, (np.arange(new), above), place - below)
    return matrix
