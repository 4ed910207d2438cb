"""Compute activations and their gradients, plane by plane.

A unit of work is ``block`` planes (channels).
"""

from __future__ import annotations

import math
from typing import Any

from neocog.kernels.fused.operation import PLANES, compiled, operation
from neocog.kernels.fused.simd import (
    exponential,
    hyperbolic_tangent,
    logistic,
    normal_distribution,
    size_of,
    view,
)

__all__ = [
    "GELU",
    "GELU_TANH",
    "HARDSWISH",
    "LEAKY",
    "RELU",
    "SIGMOID",
    "SILU",
    "TANH",
    "activate",
    "activate_back",
    "bend",
    "bend_back",
    "clip",
    "clip_back",
    "gate",
    "gate_back",
    "gate_in_place",
    "learned_slope",
    "learned_slope_back",
]

RELU, LEAKY = range(2)
SIGMOID, TANH, GELU, GELU_TANH = range(4)
SILU, HARDSWISH = 1, 2
"""Gates; 0 is none."""
_DENSITY = 1 / math.sqrt(2 * math.pi)
_GELU_SLOPE = math.sqrt(2 / math.pi)


@operation(maps="x y", integers=f"{PLANES} kind", numbers="negative_slope")
def activate(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``y = x`` of positive numbers, and of others 0 or ``negative_slope x``, by ``kind``."""
    like = zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            if p.kind == RELU:
                for n in range(p.lanes):
                    y[n] = x[n] if not x[n] < 0 else like
            else:
                for n in range(p.lanes):
                    y[n] = x[n] if not x[n] < 0 else x[n] * p.negative_slope


@operation(maps="saved dy dx", integers=f"{PLANES} kind", numbers="negative_slope")
def activate_back(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``dx``, the gradient of :func:`activate`, by the sign of what is saved."""
    like = zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            saved = view(p.saved + (c * p.saved_plane + i * p.saved_row) * size, p.lanes, like)
            dy = view(p.dy + (c * p.dy_plane + i * p.dy_row) * size, p.lanes, like)
            dx = view(p.dx + (c * p.dx_plane + i * p.dx_row) * size, p.lanes, like)
            if p.kind == RELU:
                for n in range(p.lanes):
                    dx[n] = dy[n] if saved[n] > 0 else like
            else:
                for n in range(p.lanes):
                    dx[n] = dy[n] if saved[n] > 0 else dy[n] * p.negative_slope


@operation(maps="x y", integers=f"{PLANES} kind", numbers="amplitude slope")
def bend(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``y = f(x)``, f by ``kind``; TANH is ``amplitude tanh(slope x)``."""
    like = zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            if p.kind == SIGMOID:
                for n in range(p.lanes):
                    y[n] = logistic(x[n])
            elif p.kind == TANH:
                for n in range(p.lanes):
                    y[n] = p.amplitude * hyperbolic_tangent(p.slope * x[n])
            elif p.kind == GELU:
                for n in range(p.lanes):
                    y[n] = x[n] * normal_distribution(x[n])
            else:
                for n in range(p.lanes):
                    v = float(x[n])
                    y[n] = v * logistic(2 * _GELU_SLOPE * (v + 0.044715 * v * v * v))


@operation(maps="saved dy dx", integers=f"{PLANES} kind", numbers="amplitude slope")
def bend_back(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``dx = dy f'(x)`` from what the forward pass has saved: x for a GELU, else the output y."""
    like = zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            saved = view(p.saved + (c * p.saved_plane + i * p.saved_row) * size, p.lanes, like)
            dy = view(p.dy + (c * p.dy_plane + i * p.dy_row) * size, p.lanes, like)
            dx = view(p.dx + (c * p.dx_plane + i * p.dx_row) * size, p.lanes, like)
            if p.kind == SIGMOID:
                for n in range(p.lanes):
                    dx[n] = dy[n] * (saved[n] * (1 - saved[n]))
            elif p.kind == TANH:
                for n in range(p.lanes):
                    dx[n] = dy[n] * (p.slope * (p.amplitude - saved[n] * saved[n] / p.amplitude))
            elif p.kind == GELU:
                for n in range(p.lanes):
                    v = float(saved[n])
                    dx[n] = dy[n] * (normal_distribution(v) + v * _DENSITY * exponential(-0.5 * v * v))
            else:
                for n in range(p.lanes):
                    v = float(saved[n])
                    s = logistic(2 * _GELU_SLOPE * (v + 0.044715 * v * v * v))
                    inner = _GELU_SLOPE * (1 + 3 * 0.044715 * v * v)
                    dx[n] = dy[n] * (s + 2 * v * s * (1 - s) * inner)


@operation(maps="x y", integers=PLANES, numbers="slope offset low high")
def clip(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``y = min(max(slope x + offset, low), high)``; a NaN stays one."""
    like = zero[0]
    size = size_of(like)
    low, high = like + p.low, like + p.high
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            for n in range(p.lanes):
                v = p.slope * x[n] + p.offset
                y[n] = low if v < low else high if v > high else v


@operation(maps="saved dy dx", integers=PLANES, numbers="slope low high")
def clip_back(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``dx = slope dy`` where the output, which is saved, is between its bounds."""
    like = zero[0]
    size = size_of(like)
    low, high = like + p.low, like + p.high
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            saved = view(p.saved + (c * p.saved_plane + i * p.saved_row) * size, p.lanes, like)
            dy = view(p.dy + (c * p.dy_plane + i * p.dy_row) * size, p.lanes, like)
            dx = view(p.dx + (c * p.dx_plane + i * p.dx_row) * size, p.lanes, like)
            for n in range(p.lanes):
                dx[n] = p.slope * dy[n] if saved[n] > low and saved[n] < high else like


@compiled
def hard_gated(v: Any, like: Any) -> Any:
    """Return ``v g(v)``, g being straight pieces from -3 to 3."""
    return v * (like if v < -3 else like + 1 if v > 3 else v / 6 + 0.5)


@compiled
def gate_in_place(kind: int, y: Any, like: Any) -> None:
    """Compute what :func:`gate` does in the place of its input."""
    if kind == SILU:
        for n in range(len(y)):
            y[n] = y[n] * logistic(y[n])
    else:
        for n in range(len(y)):
            y[n] = hard_gated(y[n], like)


@operation(maps="x y", integers=f"{PLANES} kind")
def gate(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``y = x g(x)``: g is the sigmoid, or straight pieces from -3 to 3."""
    like = zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            if p.kind == SILU:
                for n in range(p.lanes):
                    y[n] = x[n] * logistic(x[n])
            else:
                for n in range(p.lanes):
                    y[n] = hard_gated(x[n], like)


@operation(maps="saved dy dx", integers=f"{PLANES} kind")
def gate_back(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``dx = dy (g(x) + x g'(x))``; x is saved."""
    like = zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            saved = view(p.saved + (c * p.saved_plane + i * p.saved_row) * size, p.lanes, like)
            dy = view(p.dy + (c * p.dy_plane + i * p.dy_row) * size, p.lanes, like)
            dx = view(p.dx + (c * p.dx_plane + i * p.dx_row) * size, p.lanes, like)
            if p.kind == SILU:
                for n in range(p.lanes):
                    v = saved[n]
                    s = logistic(v)
                    dx[n] = dy[n] * (s + v * s * (1 - s))
            else:
                for n in range(p.lanes):
                    v = saved[n]
                    dx[n] = dy[n] * (like if v < -3 else like + 1 if v > 3 else v / 3 + 0.5)


@operation(maps="x y", arrays="weight", integers=f"{PLANES} weight_step")
def learned_slope(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``y = x if x > 0 else weight x``; the slopes of two channels are ``weight_step`` apart."""
    like = zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        slope = view(p.weight + c * p.weight_step * size, 1, like)[0]
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            for n in range(p.lanes):
                y[n] = x[n] if x[n] > 0 else x[n] * slope


@operation(maps="x dy dx", arrays="weight d_weight", integers=f"{PLANES} weight_step")
def learned_slope_back(p: Any, unit: int, scratch: int, zero: Any) -> None:
    """Compute ``d_weight``, a number for each channel, and ``dx`` unless it is 0."""
    like = zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        slope = view(p.weight + c * p.weight_step * size, 1, like)[0]
        total = 0.0
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            dy = view(p.dy + (c * p.dy_plane + i * p.dy_row) * size, p.lanes, like)
            row = like * 0
            for n in range(p.lanes):
                row += like if x[n] > 0 else dy[n] * x[n]
            total += row
            if p.dx:
                dx = view(p.dx + (c * p.dx_plane + i * p.dx_row) * size, p.lanes, like)
                for n in range(p.lanes):
                    dx[n] = dy[n] if x[n] > 0 else dy[n] * slope
        view(p.d_weight + c * size, 1, like)[0] = total
