"""Compute activations and their gradients, plane by plane.

A unit of work is ``block`` planes (channels).
"""

from __future__ import annotations

import math
from typing import Any

from neocog.kernels.fused.operation import operation, record
from neocog.kernels.fused.simd import size_of, view

__all__ = ["GELU", "GELU_TANH", "LEAKY", "RELU", "SIGMOID", "TANH", "activate", "activate_back"]

RELU, LEAKY, SIGMOID, TANH, GELU, GELU_TANH = range(6)
_SQRT_HALF = math.sqrt(0.5)
_DENSITY = 1 / math.sqrt(2 * math.pi)
_GELU_SLOPE = math.sqrt(2 / math.pi)


@operation
def activate(row: int, unit: int, scratch: int, zero: Any) -> None:
    """``y = f(x)``, f by ``kind``; ``slope`` is the leaky ReLU's."""
    p, like = record(row), zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            if p.kind == RELU:
                for n in range(p.lanes):
                    y[n] = x[n] if not x[n] < 0 else like
            elif p.kind == LEAKY:
                for n in range(p.lanes):
                    y[n] = x[n] if not x[n] < 0 else x[n] * p.slope
            elif p.kind == SIGMOID:
                for n in range(p.lanes):
                    y[n] = 0.5 * (1 + math.tanh(0.5 * x[n]))
            elif p.kind == TANH:
                for n in range(p.lanes):
                    y[n] = p.slope * math.tanh(p.lr * x[n])
            elif p.kind == GELU:
                for n in range(p.lanes):
                    y[n] = 0.5 * x[n] * math.erfc(-_SQRT_HALF * x[n])
            else:
                for n in range(p.lanes):
                    v = float(x[n])
                    y[n] = 0.5 * v * (1 + math.tanh(_GELU_SLOPE * (v + 0.044715 * v * v * v)))


@operation
def activate_back(row: int, unit: int, scratch: int, zero: Any) -> None:
    """``z = y f'``: y is dy, z is dx; x is the input of a GELU, the output of any other activation."""
    p, like = record(row), zero[0]
    size = size_of(like)
    for c in range(unit * p.block, min(p.C, (unit + 1) * p.block)):
        for i in range(p.rows):
            x = view(p.x + (c * p.x_plane + i * p.x_row) * size, p.lanes, like)
            y = view(p.y + (c * p.y_plane + i * p.y_row) * size, p.lanes, like)
            z = view(p.z + (c * p.z_plane + i * p.z_row) * size, p.lanes, like)
            if p.kind == RELU:
                for n in range(p.lanes):
                    z[n] = y[n] if x[n] > 0 else like
            elif p.kind == LEAKY:
                for n in range(p.lanes):
                    z[n] = y[n] if x[n] > 0 else y[n] * p.slope
            elif p.kind == SIGMOID:
                for n in range(p.lanes):
                    z[n] = y[n] * (x[n] * (1 - x[n]))
            elif p.kind == TANH:
                for n in range(p.lanes):
                    z[n] = y[n] * (p.lr * (p.slope - x[n] * x[n] / p.slope))
            elif p.kind == GELU:
                for n in range(p.lanes):
                    v = float(x[n])
                    z[n] = y[n] * (0.5 * math.erfc(-_SQRT_HALF * v) + v * _DENSITY * math.exp(-0.5 * v * v))
            else:
                for n in range(p.lanes):
                    v = float(x[n])
                    t = math.tanh(_GELU_SLOPE * (v + 0.044715 * v * v * v))
                    inner = _GELU_SLOPE * (1 + 3 * 0.044715 * v * v)
                    z[n] = y[n] * (0.5 * (1 + t) + 0.5 * v * (1 - t * t) * inner)
