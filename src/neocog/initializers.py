"""Draw initial weights.

An initialiser is a function ``(shape, fan_in, fan_out, rng, dtype) -> array``. Numbers are drawn in float64
and then converted, so that a float32 network starts from the same weights as its float64 twin, rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from neocog.budgets import charge

__all__ = [
    "Initializer",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "ones",
    "zeros",
]

Shape: TypeAlias = tuple[int, ...]
Initializer: TypeAlias = Callable[[Shape, int, int, np.random.Generator, Any], np.ndarray]


def _normal(std: float, shape: Shape, rng: np.random.Generator, dtype: Any) -> np.ndarray:
    charge(math.prod(shape))
    return rng.normal(0.0, std, shape).astype(dtype, copy=False)


def _uniform(limit: float, shape: Shape, rng: np.random.Generator, dtype: Any) -> np.ndarray:
    charge(math.prod(shape))
    return rng.uniform(-limit, limit, shape).astype(dtype, copy=False)


def he_normal(shape: Shape, fan_in: int, fan_out: int, rng: np.random.Generator, dtype: Any) -> np.ndarray:
    """Draw normal weights with ``std = sqrt(2 / fan_in)``, which keeps the variance through ReLUs.

    Source: K. He et al., "Delving deep into rectifiers", 2015.
    """
    return _normal(np.sqrt(2.0 / fan_in), shape, rng, dtype)


def he_uniform(shape: Shape, fan_in: int, fan_out: int, rng: np.random.Generator, dtype: Any) -> np.ndarray:
    """Draw uniform weights within ``+- sqrt(6 / fan_in)``: the variance of :func:`he_normal`."""
    return _uniform(np.sqrt(6.0 / fan_in), shape, rng, dtype)


def glorot_normal(
    shape: Shape, fan_in: int, fan_out: int, rng: np.random.Generator, dtype: Any
) -> np.ndarray:
    """Draw normal weights with ``std = sqrt(2 / (fan_in + fan_out))``, for tanh and sigmoid.

    Source: X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010.
    """
    return _normal(np.sqrt(2.0 / (fan_in + fan_out)), shape, rng, dtype)


def glorot_uniform(
    shape: Shape, fan_in: int, fan_out: int, rng: np.random.Generator, dtype: Any
) -> np.ndarray:
    """Draw uniform weights within ``+- sqrt(6 / (fan_in + fan_out))``: :func:`glorot_normal`'s variance."""
    return _uniform(np.sqrt(6.0 / (fan_in + fan_out)), shape, rng, dtype)


def lecun_normal(shape: Shape, fan_in: int, fan_out: int, rng: np.random.Generator, dtype: Any) -> np.ndarray:
    """Draw normal weights with ``std = sqrt(1 / fan_in)``.

    Source: Y. LeCun et al., "Efficient BackProp", 1998.
    """
    return _normal(np.sqrt(1.0 / fan_in), shape, rng, dtype)


def zeros(shape: Shape, fan_in: int, fan_out: int, rng: np.random.Generator, dtype: Any) -> np.ndarray:
    """Return zeros; nothing is drawn."""
    charge(math.prod(shape))
    return np.zeros(shape, dtype)


def ones(shape: Shape, fan_in: int, fan_out: int, rng: np.random.Generator, dtype: Any) -> np.ndarray:
    """Return ones; nothing is drawn."""
    charge(math.prod(shape))
    return np.ones(shape, dtype)
