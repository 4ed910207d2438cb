"""Compute forward passes by their formulas, and their derivatives by complex steps.

No code of neocog takes part. Where two numbers are compared, their real parts are, so that a complex step
goes through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neocog.exercises.judges.comparing import Array

STEP = 1e-30


def complex_step(function: Callable[..., Any], inputs: tuple[Array, ...], dy: Any) -> tuple[Array, ...]:
    """Return ``dL/dx`` of every input for ``L = sum(dy function(*inputs))``, in float64."""
    gradients = []
    for k, x in enumerate(inputs):
        gradient = np.empty(x.shape)
        for index in np.ndindex(x.shape):
            moved = [np.asarray(each, np.complex128) for each in inputs]
            moved[k] = moved[k].copy()
            moved[k][index] += 1j * STEP
            gradient[index] = np.sum(dy * function(*moved)).imag / STEP
        gradients.append(gradient)
    return tuple(gradients)


def convolve(x: Array, w: Array, b: Array | None, stride: int = 1, padding: int = 0) -> Array:
    """Compute ``y[n,f,i,j] = b[f] + sum_{c,p,q} w[f,c,p,q] x[n,c, i s + p - padding, j s + q - padding]``."""
    y = np.einsum("fcpq,ncijpq->nfij", w, _views(x, w.shape[2], stride, padding))
    return np.asarray(y if b is None else y + b[:, None, None])


def convolve_depthwise(x: Array, w: Array) -> Array:
    """Compute ``y[n,c,i,j] = sum_{p,q} w[c,0,p,q] x[n,c,i+p,j+q]``."""
    return np.asarray(np.einsum("cpq,ncijpq->ncij", w[:, 0], _views(x, w.shape[2], 1, 0)))


def _views(x: Array, size: int, stride: int, padding: int) -> Array:
    """Return the windows of (N, C, H, W) as (N, C, H_out, W_out, size, size)."""
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    return np.lib.stride_tricks.sliding_window_view(padded, (size, size), (2, 3))[:, :, ::stride, ::stride]


def columns(x: Array, kernel_size: int, stride: int, padding: int) -> Array:
    """Write the windows of (N, C, H, W) as rows: (N H_out W_out, C k k)."""
    cut = _views(x, kernel_size, stride, padding).transpose(0, 2, 3, 1, 4, 5)
    return cut.reshape(-1, x.shape[1] * kernel_size**2)


def windows(x: Array, size: int) -> Array:
    """Cut maps into windows that do not overlap: (N, C, H // size, W // size, size size)."""
    N, C, H, W = x.shape
    rows, across = H // size, W // size
    cut = x[:, :, : rows * size, : across * size].reshape(N, C, rows, size, across, size)
    return np.asarray(cut.transpose(0, 1, 2, 4, 3, 5).reshape(N, C, rows, across, size * size))


def largest(cut: Array) -> Array:
    """Take the first maximum of each window."""
    first = cut.real.argmax(axis=-1, keepdims=True)
    return np.asarray(np.take_along_axis(cut, first, axis=-1)[..., 0])


def softmax(z: Array, axis: int = 1) -> Array:
    """Return ``exp(z) / sum exp(z)`` of each row."""
    e = np.exp(z - z.real.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


def cross_entropy(z: Array, t: Array) -> Any:
    """Return the mean of ``-log softmax(z)[t]`` over the rows of logits."""
    shifted = z - z.real.max(axis=1, keepdims=True)
    return (np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(t)), t]).mean()


def normalize(x: Array, gamma: Array, beta: Array, eps: float, axis: int) -> Array:
    """Return ``gamma (x - mean) / sqrt(variance + eps) + beta``, with the moments over one axis."""
    centred = x - x.mean(axis=axis, keepdims=True)
    variance = (centred * centred).mean(axis=axis, keepdims=True)
    return np.asarray(gamma * centred / np.sqrt(variance + eps) + beta)
