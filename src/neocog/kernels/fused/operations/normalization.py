"""Normalise each channel, or sets of numbers of each image, and compute the gradients of that.

A unit of work is ``block`` planes (channels). Sums over a plane are taken row by row in float64, always in
the same order, whatever the number of threads.
"""

from __future__ import annotations

import math
from typing import Any

from neocog.kernels.fused.operation import PLANES, operation
from neocog.kernels.fused.simd import exponential, log1p, size_of, view

__all__ = [
    "normalise",
    "normalise_back",
    "normalise_response",
    "normalise_response_back",
    "normalise_sets",
    "normalise_sets_back",
    "standardise",
]


@operation(maps="x y", arrays="mean std", integers=PLANES)
def standardise(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``y = (x - mean) / std`` of each channel; without a mean, ``y = x / std``: the gradient."""
    like = zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        m = view(p.mean + c * size, 1, like)[0] if p.mean else like
        std = view(p.std + c * size, 1, like)[0]
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            for n in range(p.lanes):
                y[n] = (x[n] - m) / std


@operation(
    maps="x y",
    arrays="weight bias mean inv_std running_mean running_var",
    integers=f"{PLANES} training",
    numbers="momentum eps low high",
)
def normalise(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``y = weight (x - m) / sqrt(v + eps) + bias`` of each channel, bounded by ``low`` and ``high``.

    In ``training``, m and v (biased) are those of the batch, and move the running statistics by ``momentum``;
    else they are the running statistics. ``mean`` and ``inv_std`` receive m and 1 / sqrt(v + eps).
    """
    like = zero[0]
    size = size_of(like)
    low, high = like + p.low, like + p.high
    count = p.rows * p.lanes
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        running_mean = view(p.running_mean + c * size, 1, like)
        running_var = view(p.running_var + c * size, 1, like)
        if p.training:
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
            for n in range(p.lanes):
                v = (x[n] - m) * scale + shift
                y[n] = low if v < low else high if v > high else v


@operation(
    maps="x dy dx clipped",
    arrays="weight mean inv_std d_weight d_bias",
    integers=f"{PLANES} training",
    numbers="low high",
)
def normalise_back(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute the gradients of :func:`normalise`: ``d_weight``, ``d_bias``, ``dx``, unless they are 0.

    With ``clipped``, the output of :func:`normalise`, dy is first set to zero where that is at a bound.
    """
    like = zero[0]
    size = size_of(like)
    low, high = like + p.low, like + p.high
    count = p.rows * p.lanes
    summed = p.training or p.d_weight
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        m = view(p.mean + c * size, 1, like)[0]
        inv_std = view(p.inv_std + c * size, 1, like)[0]
        db, dw = 0.0, 0.0
        for i in range(p.rows if summed or p.clipped else 0):
            dy = view(p.dy + (c * p.dy_plane + i * p.dy_row) * size, p.lanes, like)
            if p.clipped:
                out = view(p.clipped + (c * p.clipped_plane + i * p.clipped_row) * size, p.lanes, like)
                for n in range(p.lanes):
                    dy[n] = dy[n] if out[n] > low and out[n] < high else like
            if summed:
                x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
                row, product = like * 0, like * 0
                for n in range(p.lanes):
                    row += dy[n]
                    product += dy[n] * ((x[n] - m) * inv_std)
                db += row
                dw += product
        if p.d_weight:
            view(p.d_bias + c * size, 1, like)[0] = db
            view(p.d_weight + c * size, 1, like)[0] = dw
        if p.dx == 0:
            continue
        scale = view(p.weight + c * size, 1, like)[0] * inv_std
        shift, slope = db / count, dw / count
        for i in range(p.rows):
            dy = view(p.dy + (c * p.dy_plane + i * p.dy_row) * size, p.lanes, like)
            dx = view(p.dx + (c * p.dx_plane + i * p.dx_row) * size, p.lanes, like)
            if p.training:
                x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
                for n in range(p.lanes):
                    dx[n] = scale * (dy[n] - (shift + ((x[n] - m) * inv_std) * slope))
            else:
                for n in range(p.lanes):
                    dx[n] = scale * dy[n]


@operation(
    maps="x y", arrays="weight bias mean inv_std", integers=f"{PLANES} repeat plane_step", numbers="eps"
)
def normalise_sets(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``y = weight (x - m) / sqrt(v + eps) + bias``, with m and v those of a lane of a plane.

    Row i of plane c has the weight and bias number ``c plane_step + i // repeat``. ``mean`` and ``inv_std``
    receive m and 1 / sqrt(v + eps) of each plane and lane, in float64.
    """
    like = zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        mean = view(p.mean + c * p.lanes * 8, p.lanes, 0.0)
        inv_std = view(p.inv_std + c * p.lanes * 8, p.lanes, 0.0)
        mean[:] = 0.0
        inv_std[:] = 0.0
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            for n in range(p.lanes):
                mean[n] += x[n]
        for n in range(p.lanes):
            mean[n] /= p.rows
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            for n in range(p.lanes):
                inv_std[n] += (x[n] - mean[n]) * (x[n] - mean[n])
        for n in range(p.lanes):
            inv_std[n] = 1 / math.sqrt(inv_std[n] / p.rows + p.eps)
        for i in range(p.rows):
            place = (c * p.plane_step + i // p.repeat) * size
            weight, bias = view(p.weight + place, 1, like)[0], view(p.bias + place, 1, like)[0]
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            for n in range(p.lanes):
                y[n] = (x[n] - mean[n]) * inv_std[n] * weight + bias


@operation(
    maps="x dy dx",
    arrays="weight mean inv_std sums d_weight d_bias",
    integers=f"{PLANES} repeat plane_step d_plane_step d_row_step",
)
def normalise_sets_back(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute the gradients of :func:`normalise_sets`: ``d_weight``, ``d_bias``, ``dx``, unless they are 0.

    The gradients of row i of plane c are number ``c d_plane_step + i // repeat d_row_step``. ``sums`` is room
    for two numbers in float64 for each plane and lane.
    """
    like = zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        mean = view(p.mean + c * p.lanes * 8, p.lanes, 0.0)
        inv_std = view(p.inv_std + c * p.lanes * 8, p.lanes, 0.0)
        total = view(p.sums + 2 * c * p.lanes * 8, p.lanes, 0.0)
        slope = view(p.sums + (2 * c + 1) * p.lanes * 8, p.lanes, 0.0)
        total[:] = 0.0
        slope[:] = 0.0
        dw, db = 0.0, 0.0
        for i in range(p.rows):
            weight = view(p.weight + (c * p.plane_step + i // p.repeat) * size, 1, like)[0]
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            dy = view(p.dy + (c * p.dy_plane + i * p.dy_row) * size, p.lanes, like)
            if i % p.repeat == 0:
                dw, db = 0.0, 0.0
            for n in range(p.lanes):
                x_hat = (x[n] - mean[n]) * inv_std[n]
                dw += dy[n] * x_hat
                db += dy[n]
                total[n] += weight * dy[n]
                slope[n] += weight * dy[n] * x_hat
            if p.d_weight and (i + 1) % p.repeat == 0:
                place = (c * p.d_plane_step + i // p.repeat * p.d_row_step) * size
                view(p.d_weight + place, 1, like)[0] = dw
                view(p.d_bias + place, 1, like)[0] = db
        if p.dx == 0:
            continue
        for i in range(p.rows):
            weight = view(p.weight + (c * p.plane_step + i // p.repeat) * size, 1, like)[0]
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            dy = view(p.dy + (c * p.dy_plane + i * p.dy_row) * size, p.lanes, like)
            dx = view(p.dx + (c * p.dx_plane + i * p.dx_row) * size, p.lanes, like)
            for n in range(p.lanes):
                x_hat = (x[n] - mean[n]) * inv_std[n]
                dx[n] = inv_std[n] * (weight * dy[n] - (total[n] + x_hat * slope[n]) / p.rows)


@operation(maps="x y s", integers=f"{PLANES} before after", numbers="k share beta")
def normalise_response(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``y = x s^-beta`` with ``s = k + share sum x^2`` over the channels c - before .. c + after.

    ``s`` is kept unless its address is 0.
    """
    like = zero[0]
    size = size_of(like)
    sums = view(scratch, p.lanes, 0.0)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            sums[:] = 0.0
            for j in range(max(0, c - p.before), min(p.C, c + p.after + 1)):
                x = view(p.x + (j * p.x_plane + i * p.x_row) * size, p.lanes, like)
                for n in range(p.lanes):
                    sums[n] += x[n] * x[n]
            if p.s:
                s = view(p.s + (c * p.s_plane + i * p.s_row) * size, p.lanes, like)
                for n in range(p.lanes):
                    s[n] = p.k + p.share * sums[n]
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            for n in range(p.lanes):
                y[n] = x[n] * exponential(-p.beta * log1p(p.k + p.share * sums[n] - 1))


@operation(maps="x y s dy dx", integers=f"{PLANES} before after", numbers="share beta")
def normalise_response_back(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``dx = dy s^-beta - 2 share beta x sum dy y / s`` over the channels whose window has c."""
    like = zero[0]
    size = size_of(like)
    sums = view(scratch, p.lanes, 0.0)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            sums[:] = 0.0
            for j in range(max(0, c - p.after), min(p.C, c + p.before + 1)):
                y = view(p.y + (j * p.y_plane + i * p.y_row) * size, p.lanes, like)
                s = view(p.s + (j * p.s_plane + i * p.s_row) * size, p.lanes, like)
                dy = view(p.dy + (j * p.dy_plane + i * p.dy_row) * size, p.lanes, like)
                for n in range(p.lanes):
                    sums[n] += dy[n] * y[n] / s[n]
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            s = view(p.s + (c * p.s_plane + i * p.s_row) * size, p.lanes, like)
            dy = view(p.dy + (c * p.dy_plane + i * p.dy_row) * size, p.lanes, like)
            dx = view(p.dx + (c * p.dx_plane + i * p.dx_row) * size, p.lanes, like)
            for n in range(p.lanes):
                power = exponential(-p.beta * log1p(float(s[n]) - 1))
                dx[n] = dy[n] * power - 2 * p.share * p.beta * x[n] * sums[n]
