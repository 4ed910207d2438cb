"""Compute activations and their gradients, number by number.

A gradient ``dx`` follows from ``dy`` and from what the forward pass has saved: the output, unless x is said.
"""

from __future__ import annotations

import math
from typing import Any

from neocog.kernels.fused.operation import PLANES, operation
from neocog.kernels.fused.pointwise import Settings, inlined, nothing, pointwise, pointwise_back
from neocog.kernels.fused.simd import (
    exponential,
    hyperbolic_tangent,
    logistic,
    normal_distribution,
    number,
    size_of,
    view,
)

__all__ = [
    "HARDSWISH",
    "SILU",
    "clip",
    "clip_back",
    "gate_in_place",
    "gelu",
    "gelu_back",
    "gelu_tanh",
    "gelu_tanh_back",
    "hardswish",
    "hardswish_back",
    "leaky_relu",
    "leaky_relu_back",
    "learned_slope",
    "learned_slope_back",
    "relu",
    "relu_back",
    "sigmoid",
    "sigmoid_back",
    "silu",
    "silu_back",
    "tanh",
    "tanh_back",
]

SILU, HARDSWISH = 1, 2
"""Gates of a product; 0 is none."""
_DENSITY = 1 / math.sqrt(2 * math.pi)
_GELU_SLOPE = math.sqrt(2 / math.pi)


def _forward(settings: Settings = nothing, numbers: str = "") -> Any:
    return lambda function: operation("x y", "", PLANES, numbers)(pointwise(function, settings))


def _back(settings: Settings = nothing, numbers: str = "") -> Any:
    return lambda function: operation("saved dy dx", "", PLANES, numbers)(pointwise_back(function, settings))


@inlined
def _leak(p: Any) -> tuple[Any, ...]:
    return (p.negative_slope,)


@inlined
def _stretch(p: Any) -> tuple[Any, ...]:
    return p.amplitude, p.slope


@inlined
def _line(p: Any) -> tuple[Any, ...]:
    return p.slope, p.offset, p.low, p.high


@inlined
def _piece(p: Any) -> tuple[Any, ...]:
    return p.slope, p.low, p.high


@_forward()
def relu(x: Any, like: Any) -> Any:
    """Return x of a positive number, else 0; a NaN stays one."""
    return x if not x < 0 else like


@_back()
def relu_back(y: Any, dy: Any, like: Any) -> Any:
    """Return the gradient of :func:`relu`."""
    return dy if y > 0 else like


@_forward(_leak, "negative_slope")
def leaky_relu(x: Any, like: Any, negative_slope: float) -> Any:
    """Return x of a positive number, else ``negative_slope x``."""
    return x if not x < 0 else x * negative_slope


@_back(_leak, "negative_slope")
def leaky_relu_back(y: Any, dy: Any, like: Any, negative_slope: float) -> Any:
    """Return the gradient of :func:`leaky_relu`, by the sign of the output, or of x."""
    return dy if y > 0 else dy * negative_slope


@_forward()
def sigmoid(x: Any, like: Any) -> Any:
    """Return ``1 / (1 + exp(-x))``."""
    return logistic(x)


@_back()
def sigmoid_back(y: Any, dy: Any, like: Any) -> Any:
    """Return the gradient of :func:`sigmoid`."""
    return dy * (y * (1 - y))


@_forward(_stretch, "amplitude slope")
def tanh(x: Any, like: Any, amplitude: float, slope: float) -> Any:
    """Return ``amplitude tanh(slope x)``."""
    return amplitude * hyperbolic_tangent(slope * x)


@_back(_stretch, "amplitude slope")
def tanh_back(y: Any, dy: Any, like: Any, amplitude: float, slope: float) -> Any:
    """Return the gradient of :func:`tanh`."""
    return dy * (slope * (amplitude - y * y / amplitude))


@_forward()
def gelu(x: Any, like: Any) -> Any:
    """Return ``x Phi(x)``."""
    return x * normal_distribution(x)


@_back()
def gelu_back(x: Any, dy: Any, like: Any) -> Any:
    """Return the gradient of :func:`gelu`, from x."""
    v = float(x)
    return dy * (normal_distribution(v) + v * _DENSITY * exponential(-0.5 * v * v))


@_forward()
def gelu_tanh(x: Any, like: Any) -> Any:
    """Return :func:`gelu` with the normal distribution approximated by a tanh."""
    v = float(x)
    return v * logistic(2 * _GELU_SLOPE * (v + 0.044715 * v * v * v))


@_back()
def gelu_tanh_back(x: Any, dy: Any, like: Any) -> Any:
    """Return the gradient of :func:`gelu_tanh`, from x."""
    v = float(x)
    s = logistic(2 * _GELU_SLOPE * (v + 0.044715 * v * v * v))
    inner = _GELU_SLOPE * (1 + 3 * 0.044715 * v * v)
    return dy * (s + 2 * v * s * (1 - s) * inner)


@_forward(_line, "slope offset low high")
def clip(x: Any, like: Any, slope: float, offset: float, low: float, high: float) -> Any:
    """Return ``min(max(slope x + offset, low), high)``; a NaN stays one."""
    v = slope * x + offset
    return low if v < low else high if v > high else v


@_back(_piece, "slope low high")
def clip_back(y: Any, dy: Any, like: Any, slope: float, low: float, high: float) -> Any:
    """Return ``slope dy`` where the output is between its bounds."""
    return slope * dy if y > low and y < high else like


@inlined
def _silu(x: Any) -> Any:
    return x * logistic(x)


@inlined
def _hardswish(x: Any, like: Any) -> Any:
    half, sixth, one = number(0.5, like), number(1 / 6, like), number(1.0, like)
    gate = x * sixth + half
    return x * (like if gate < like else one if gate > one else gate)


@inlined
def gate_in_place(kind: int, y: Any, like: Any) -> None:
    """Compute :func:`silu` or :func:`hardswish` in the place of its input."""
    if kind == SILU:
        for n in range(len(y)):
            y[n] = _silu(y[n])
    else:
        for n in range(len(y)):
            y[n] = _hardswish(y[n], like)


@_forward()
def silu(x: Any, like: Any) -> Any:
    """Return ``x s(x)``, s being the sigmoid."""
    return _silu(x)


@_back()
def silu_back(x: Any, dy: Any, like: Any) -> Any:
    """Return the gradient of :func:`silu`, from x."""
    s = logistic(x)
    return dy * (s + x * s * (1 - s))


@_forward()
def hardswish(x: Any, like: Any) -> Any:
    """Return ``x g(x)``, g being straight pieces from -3 to 3."""
    return _hardswish(x, like)


@_back()
def hardswish_back(x: Any, dy: Any, like: Any) -> Any:
    """Return the gradient of :func:`hardswish`, from x."""
    return dy * (like if x < -3 else like + 1 if x > 3 else x / 3 + 0.5)


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
    """Compute ``d_weight``, a number for each channel, and ``dx``, unless they are 0."""
    like = zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        slope = view(p.weight + c * p.weight_step * size, 1, like)[0]
        total = 0.0
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            dy = view(p.dy + (c * p.dy_plane + i * p.dy_row) * size, p.lanes, like)
            if p.d_weight:
                row = like * 0
                for n in range(p.lanes):
                    row += like if x[n] > 0 else dy[n] * x[n]
                total += row
            if p.dx:
                dx = view(p.dx + (c * p.dx_plane + i * p.dx_row) * size, p.lanes, like)
                for n in range(p.lanes):
                    dx[n] = dy[n] if x[n] > 0 else dy[n] * slope
        if p.d_weight:
            view(p.d_weight + c * size, 1, like)[0] = total
