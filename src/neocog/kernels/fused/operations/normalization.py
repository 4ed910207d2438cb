"""Normalise each channel, and compute the gradients of that.

A unit of work is ``block`` planes (channels). Sums over a plane are taken in rows, in the dtype of the array,
and the rows' sums in float64: always in the same order, whatever the number of threads.
"""

from __future__ import annotations

import math
from typing import Any

from neocog.kernels.fused.operation import operation, record
from neocog.kernels.fused.simd import size_of, view

__all__ = ["normalise", "normalise_back"]


@operation
def normalise(row: int, unit: int, scratch: int, zero: Any) -> None:
    """``y = max(floor, weight (x - m) / sqrt(v + eps) + bias)`` of each channel.

    Kind 1, training: m and v (biased) of the batch, which also move the running statistics by ``momentum``
    and are kept in ``mean`` and ``inv_std``. Kind 0: the running ones.
    """
    p, like = record(row), zero[0]
    size = size_of(like)
    count = p.rows * p.lanes
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        running_mean = view(p.running_mean + c * size, 1, like)
        running_var = view(p.running_var + c * size, 1, like)
        if p.kind:
            total = 0.0
            for i in range(p.rows):
                x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
                row = like * 0
                for n in range(p.lanes):
                    row += x[n]
                total += row
            view(p.mean + c * size, 1, like)[0] = total / count
            m = view(p.mean + c * size, 1, like)[0]
            total = 0.0
            for i in range(p.rows):
                x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
                row = like * 0
                for n in range(p.lanes):
                    row += (x[n] - m) * (x[n] - m)
                total += row
            variance = total / count
            running_mean[0] += p.momentum * (m - running_mean[0])
            running_var[0] += p.momentum * (variance * count / (count - 1) - running_var[0])
        else:
            m, variance = running_mean[0], float(running_var[0])
            view(p.mean + c * size, 1, like)[0] = m
        inv_std = view(p.inv_std + c * size, 1, like)
        inv_std[0] = 1 / math.sqrt(variance + p.eps)
        scale = view(p.weight + c * size, 1, like)[0] * inv_std[0]
        shift = view(p.bias + c * size, 1, like)[0]
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            if p.floor == 0:
                for n in range(p.lanes):
                    v = (x[n] - m) * scale + shift
                    y[n] = v if not v < 0 else like
            else:
                for n in range(p.lanes):
                    y[n] = (x[n] - m) * scale + shift


@operation
def normalise_back(row: int, unit: int, scratch: int, zero: Any) -> None:
    """Gradients of :func:`normalise`: y is dy, z is dx (0: not wanted); d_weight and d_bias.

    With ``init``, its output after a ReLU: dy is first set to zero where that is zero.
    """
    p, like = record(row), zero[0]
    size = size_of(like)
    count = p.rows * p.lanes
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        m = view(p.mean + c * size, 1, like)[0]
        inv_std = view(p.inv_std + c * size, 1, like)[0]
        db, dw = 0.0, 0.0
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            if p.init:
                out = view(p.init + (c * p.init_plane + i * p.init_row) * size, p.lanes, like)
                for n in range(p.lanes):
                    y[n] = y[n] if out[n] > 0 else like
            row, product = like * 0, like * 0
            for n in range(p.lanes):
                row += y[n]
                product += y[n] * ((x[n] - m) * inv_std)
            db += row
            dw += product
        view(p.d_bias + c * size, 1, like)[0] = db
        view(p.d_weight + c * size, 1, like)[0] = dw
        if p.z == 0:
            continue
        d_bias = view(p.d_bias + c * size, 1, like)
        d_weight = view(p.d_weight + c * size, 1, like)
        scale = view(p.weight + c * size, 1, like)[0] * inv_std
        mean_dy, mean_product = d_bias[0] / count * p.kind, d_weight[0] / count * p.kind
        shift, slope = like * 0 + mean_dy, like * 0 + mean_product
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            z = view(p.z + (c * p.z_plane + i * p.z_row) * size, p.lanes, like)
            for n in range(p.lanes):
                z[n] = scale * (y[n] - (shift + ((x[n] - m) * inv_std) * slope))
