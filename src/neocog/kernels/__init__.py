"""Compute the kernels, by the backend in use: arrays in, arrays out, no state.

Every operation has one signature here and one implementation per backend:

=============  ====================================================================
``reference``  plain loops, the definition; slow, to be read beside the formula
``im2col``     window slices and one matrix product; any array-API array
``fused``      compiled by Numba, vectorised and threaded; compiles for about two seconds, once;
               missing where Numba is (:func:`missing_numba` says why)
``auto``       the default: ``fused`` for long jobs, ``im2col`` for short ones
=============  ====================================================================

Sizes are normalised by the layers: ``stride``, ``dilation`` and ``kernel_size`` are
``(vertical, horizontal)``, ``padding`` is ``((top, bottom), (left, right))``.

:func:`im2col` and :func:`col2im`, for reading and teaching, are the same whatever backend is in use, and also
take integers.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from neocog.kernels.choice import (
    BACKENDS,
    PRECISIONS,
    active_kernels,
    active_precision,
    kernels_for,
    missing_numba,
    use_kernels,
)
from neocog.kernels.columns import col2im, im2col
from neocog.kernels.geometry import NO_PADDING, Array, Counts, Padding, Pair, output_size
from neocog.kernels.threads import get_threads, set_threads, use_threads

__all__ = [
    "BACKENDS",
    "PRECISIONS",
    "active_kernels",
    "active_precision",
    "affine",
    "avg_pool2d",
    "avg_pool2d_input",
    "col2im",
    "conv2d",
    "conv2d_input",
    "conv2d_weight",
    "get_threads",
    "im2col",
    "kernels_for",
    "max_pool2d",
    "max_pool2d_input",
    "missing_numba",
    "output_size",
    "set_threads",
    "use_kernels",
    "use_threads",
    "whole_network",
]

WHOLE_NETWORK = "neocog.compilation"
"""The module that runs a whole network as one program of the ``fused`` kernels, imported when first used.

It is known by its name alone, like the backends: it imports the layers, which import this package."""


def _backend() -> ModuleType:
    """Return the module in use in this thread."""
    return _module(BACKENDS[active_kernels()])


def whole_network() -> Any:
    """Return the module with the compiled forms of networks: inference, and the two passes in training."""
    return _module(WHOLE_NETWORK)


def _module(name: str) -> ModuleType:
    return sys.modules.get(name) or importlib.import_module(name)


def conv2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    stride: Pair = (1, 1),
    padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """Cross-correlate a batch of images with a bank of kernels.

    ``y[n,f,i,j] = b[f] + sum_{c,p,q} w[f,c,p,q] x[n, g C/G + c, i s_h + p d_h - top, j s_w + q d_w - left]``,
    where ``g`` is the group of ``f`` and ``x`` is zero outside the image.

    Parameters
    ----------
    x : array (N, C_in, H, W)
    w : array (C_out, C_in / groups, kH, kW)
    b : array (C_out,), optional
    stride : (int, int)
    padding : ((top, bottom), (left, right))
    dilation : (int, int)
    groups : int

    Returns
    -------
    array (N, C_out, H_out, W_out)
    """
    return _backend().conv2d(x, w, b, stride, padding, dilation, groups)


def conv2d_input(
    dy: Array,
    w: Array,
    x_shape: tuple[int, ...],
    stride: Pair = (1, 1),
    padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """Compute the gradient of :func:`conv2d` in ``x``: each ``dy[n,f,i,j]`` adds its kernel ``w[f]``, scaled.

    Parameters
    ----------
    dy : array (N, C_out, H_out, W_out)
    w : array (C_out, C_in / groups, kH, kW)
    x_shape : (N, C_in, H, W)
    stride, padding, dilation, groups
        As in :func:`conv2d`.

    Returns
    -------
    array (N, C_in, H, W)
    """
    return _backend().conv2d_input(dy, w, x_shape, stride, padding, dilation, groups)


def conv2d_weight(
    x: Array,
    dy: Array,
    w_shape: tuple[int, ...],
    stride: Pair = (1, 1),
    padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """Compute the gradient of :func:`conv2d` in ``w``: the windows of ``x``, weighted by ``dy``, summed.

    Parameters
    ----------
    x : array (N, C_in, H, W)
    dy : array (N, C_out, H_out, W_out)
    w_shape : (C_out, C_in / groups, kH, kW)
    stride, padding, dilation, groups
        As in :func:`conv2d`.

    Returns
    -------
    array (C_out, C_in / groups, kH, kW)
    """
    return _backend().conv2d_weight(x, dy, w_shape, stride, padding, dilation, groups)


def max_pool2d(
    x: Array, kernel_size: Pair, stride: Pair, padding: Padding = NO_PADDING, dilation: Pair = (1, 1)
) -> tuple[Array, Array]:
    """Take the maximum of each window; the padding counts as minus infinity.

    Complex numbers are ordered by their real part.

    Returns
    -------
    y : array (N, C, H_out, W_out)
    argmax : integer array (N, C, H_out, W_out)
        The winner's row-major position in its window, the first one on a tie.
    """
    result: tuple[Array, Array] = _backend().max_pool2d(x, kernel_size, stride, padding, dilation)
    return result


def max_pool2d_input(
    dy: Array,
    argmax: Array,
    x_shape: tuple[int, ...],
    kernel_size: Pair,
    stride: Pair,
    padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1),
) -> Array:
    """Compute the gradient of :func:`max_pool2d` in ``x``: each ``dy`` is added to its window's maximum."""
    return _backend().max_pool2d_input(dy, argmax, x_shape, kernel_size, stride, padding, dilation)


def avg_pool2d(
    x: Array,
    kernel_size: Pair,
    stride: Pair,
    padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1),
    counts: Counts | None = None,
) -> Array:
    """Take the mean of each window; the padding counts as zero.

    The sum of the window at (i, j) is divided by ``counts[0][i] * counts[1][j]``, by default the whole
    window; :func:`neocog.kernels.geometry.window_counts` counts the pixels inside the image.

    Returns
    -------
    array (N, C, H_out, W_out)
    """
    return _backend().avg_pool2d(x, kernel_size, stride, padding, dilation, counts)


def avg_pool2d_input(
    dy: Array,
    x_shape: tuple[int, ...],
    kernel_size: Pair,
    stride: Pair,
    padding: Padding = NO_PADDING,
    dilation: Pair = (1, 1),
    counts: Counts | None = None,
) -> Array:
    """Compute the gradient of :func:`avg_pool2d` in ``x``: each ``dy`` is shared equally by its window."""
    return _backend().avg_pool2d_input(dy, x_shape, kernel_size, stride, padding, dilation, counts)


def affine(x: Array, matrix: Array, fill: float | None = 0.0) -> Array:
    """Read each image at the places that a matrix of its own gives, by bilinear interpolation.

    ``y[n,c,i,j]`` is image x[n,c] at ``(row, column) = matrix[n] (i - (H-1)/2, j - (W-1)/2, 1)``. The bits
    of the result are the same whatever the backend and the number of threads.

    Parameters
    ----------
    x : NumPy array (N, C, H, W)
        Floating point numbers.
    matrix : array (N, 2, 3)
        float64.
    fill : float or None
        The brightness around the image; with None each place outside has that of the nearest pixel.

    Returns
    -------
    array (N, C, H, W)
    """
    return _backend().affine(x, matrix, fill)
